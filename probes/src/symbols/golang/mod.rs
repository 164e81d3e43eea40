//! Go programs: their functions by the table that they carry, where a probe may stand in each, where the runtime keeps what
//! probes ask for.

mod aarch64;
mod code;
mod file;
pub mod pclntab;
pub mod version;
mod x86;

pub use code::Places;
pub use file::GoFile;
pub(crate) use file::Parts;

/// What a file is for, as ELF numbers machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    X86_64,
    Aarch64,
    Other,
}

impl Machine {
    /// The first version whose compiled functions take arguments in registers.
    fn first_register_abi(self) -> u32 {
        match self {
            Self::X86_64 => weftrace_arch::X86_64.go.since,
            Self::Aarch64 => weftrace_arch::AARCH64.go.since,
            Self::Other => u32::MAX,
        }
    }
}

/// Looks over a function's code. None: there is no decoder for the machine.
pub fn places(machine: Machine, bytes: &[u8], address: u64, in_registers: bool, assembly: bool) -> Option<Places> {
    match machine {
        Machine::X86_64 => Some(code::places(&x86::Function { bytes, address }, in_registers, assembly)),
        Machine::Aarch64 => Some(code::places(&aarch64::Function { bytes, address }, in_registers, assembly)),
        Machine::Other => None,
    }
}
