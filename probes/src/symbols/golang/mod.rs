//! Go programs: their functions by the table that they carry, where a probe may stand in each, where the runtime keeps what
//! probes ask for.

mod aarch64;
mod code;
mod file;
pub mod pclntab;
pub mod version;
mod x86;

use code::{Decode, Kind};
use object::Endianness;
use object::read::elf::FileHeader;

pub use code::Places;
pub use file::GoFile;
pub(crate) use file::Parts;

/// What a file is for, as ELF numbers machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Machine {
    X86_64,
    Aarch64,
    #[default]
    Other,
}

impl Machine {
    pub(crate) fn of<H: FileHeader<Endian = Endianness>>(header: &H, endian: Endianness) -> Self {
        match weftrace_arch::by_machine(header.e_machine(endian)).map_or("", |arch| arch.name) {
            _ if !header.is_type_64() || !header.is_little_endian() => Self::Other,
            name if name == weftrace_arch::X86_64.name => Self::X86_64,
            name if name == weftrace_arch::AARCH64.name => Self::Aarch64,
            _ => Self::Other,
        }
    }

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

/// Whether an instruction begins so far into a function's code, told by decoding all before it. None: that isn't only code, or there is no
/// decoder.
pub(super) fn begins_at(machine: Machine, bytes: &[u8], at: u64) -> Option<bool> {
    fn walk(code: &impl Decode, at: u64) -> Option<bool> {
        let mut here = 0;
        while here < at {
            let instruction = code.at(here).filter(|i| i.kind != Kind::Unknown)?;
            here = instruction.next;
        }
        Some(here == at)
    }
    match machine {
        Machine::X86_64 => walk(&x86::Function { bytes, address: 0 }, at),
        Machine::Aarch64 => walk(&aarch64::Function { bytes, address: 0 }, at),
        Machine::Other => None,
    }
}

/// For fuzzers: every question about a table, and about code, made of these bytes. Nothing may panic.
pub fn fuzz_one(bytes: &[u8]) {
    if let Some(table) = pclntab::Table::new(bytes, 0x1000) {
        let few = (0..table.len().min(64)).chain([table.len(), u64::MAX]);
        for index in few {
            let _ = (table.entry(index), table.file(index), table.address(index).and_then(|a| table.find(a)));
        }
    }
    let code = &bytes[..bytes.len().min(512)];
    for machine in [Machine::X86_64, Machine::Aarch64] {
        for (address, assembly) in [(0, true), (0x1000, false), (u64::MAX - 100, true)] {
            let Some(found) = places(machine, code, address, !assembly, assembly) else { continue };
            let within = |at: &u64| at.wrapping_sub(address) <= code.len() as u64;
            assert!(within(&found.entry) && found.returns.iter().all(within), "places beyond the function");
        }
    }
}

#[cfg(test)]
mod tests;
