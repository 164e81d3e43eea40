//! weftrace-arch: what differs from one processor architecture to the next, and nothing else does: registers, calling
//! convention, system calls, constants of headers. Data only.
//!
//! Tables of every architecture are compiled on every machine, so that tests hold all of them; [`HOST`] is the one this program
//! was compiled for. A program for another machine (a 32-bit or foreign ELF file) is looked up by [`by_machine`].
//!
//! x86-64 is what the tests run on. aarch64 is compiled, and its tables are tested.

mod aarch64;
mod syscalls;
mod x86_64;

#[cfg(test)]
mod tests;

pub use aarch64::AARCH64;
pub use x86_64::X86_64;

/// One architecture. Offsets of registers are those in what kprobe and uprobe programs get: the kernel's `struct pt_regs`
/// (x86-64) or `struct user_pt_regs` (aarch64).
#[derive(Debug)]
pub struct Arch {
    /// As Rust, Cranelift and `uname -m` name it.
    pub name: &'static str,
    /// As the manual names it.
    pub title: &'static str,
    /// What C compilers define.
    pub define: &'static str,
    /// Debian's folder of libraries and headers.
    pub multiarch: &'static str,
    /// e_machine of its programs.
    pub elf: u16,
    /// Bytes of the registers.
    pub registers_size: u32,
    /// Where the integer arguments of the C calling convention are.
    pub args: &'static [u16],
    /// Where a function's result is.
    pub result: u16,
    pub instruction_pointer: u16,
    pub stack_pointer: u16,
    /// How the interrupted code's privilege is told; None: not from the registers.
    pub privilege: Option<Privilege>,
    /// `reg("name")`: (name, offset).
    pub registers: &'static [(&'static str, u16)],
    /// (offset, bits to shift by) of a register, or a part of one, as the assembler writes it.
    pub assembler: fn(&str) -> Option<(u16, u8)>,
    pub dwarf: Dwarf,
    pub calls: Calls,
    pub go: GoCalls,
    /// Runs of system calls: (first number, names with blanks between).
    pub syscalls: &'static [(u32, &'static str)],
    pub traced_calls: TracedCalls,
    /// Constants of headers that not all architectures share.
    pub constants: &'static [(&'static str, i64)],
    /// Whether a watchpoint can see reads without writes.
    pub watches_reads: bool,
}

/// `register & mask == program`: the code was a program's, not the kernel's.
#[derive(Clone, Copy, Debug)]
pub struct Privilege {
    pub register: u16,
    pub mask: u64,
    pub program: u64,
}

/// System calls as their tracepoints (`syscalls:sys_enter_NAME`) see them. Registers are members of the kernel's `struct pt_regs`.
#[derive(Debug)]
pub struct TracedCalls {
    /// The arguments: member, and bytes into it.
    pub args: [(&'static str, u32); 6],
    /// The call's number, a C int.
    pub number: &'static str,
    /// Bits of the current task that say that the call is one of a 32-bit program, whose calls the tracepoints leave out
    /// (`arch_trace_is_compat_syscall`): member of `struct thread_info`, its bytes, the bits.
    pub compat: (&'static str, u32, i64),
    /// What a register holds from a call's entry until its result is known, and at no other time.
    pub running: Option<(&'static str, i64)>,
    /// (the kernel's function, by which the tracepoints are named; the name of the call that it serves), where they differ.
    pub renamed: &'static [(&'static str, &'static str)],
}

/// Registers by DWARF's numbers.
#[derive(Debug)]
pub struct Dwarf {
    /// Where each is. The last is the instruction pointer, whether DWARF numbers it or not.
    pub offsets: &'static [u16],
    pub stack_pointer: usize,
    pub frame_pointer: usize,
}

/// The C calling convention beyond [`Arch::args`].
#[derive(Debug)]
pub struct Calls {
    /// Registers of floating-point arguments.
    pub floats: u32,
    /// From the stack pointer to the first argument in memory at a function's entry.
    pub stack: u32,
    /// The address of a result in memory takes the first integer register.
    pub result_takes_a_register: bool,
    /// Structs larger than two words are passed by their address (otherwise: copied to the stack).
    pub large_by_reference: bool,
    /// `long double` is in a floating-point register (otherwise: in memory).
    pub long_double_in_register: bool,
}

/// Go's calling convention (ABIInternal, Go's abi-internal.md).
#[derive(Debug)]
pub struct GoCalls {
    /// The first minor version that has it.
    pub since: u32,
    /// Where the words of arguments, and of results, are.
    pub words: &'static [u16],
    /// Floating-point registers of arguments.
    pub floats: u32,
    /// The current goroutine.
    pub goroutine: u16,
    /// It is there in all of Go's code, also where the words are in memory (otherwise: in the thread's own memory there).
    pub always_there: bool,
    /// From the stack pointer to the first word in memory, at a function's entry and at its return.
    pub stack: u32,
    /// From the stack pointer to DWARF's canonical frame address at a function's entry.
    pub frame: u32,
}

/// The architecture this program was compiled for.
pub static HOST: &Arch = &THIS;
/// The same, for constants.
pub const THIS: Arch = if cfg!(target_arch = "aarch64") { aarch64::TABLE } else { x86_64::TABLE };

static ALL: [&Arch; 2] = [&X86_64, &AARCH64];

/// The architecture of an ELF file. 32-bit x86 programs have x86-64's registers, of which they use the lower halves.
pub fn by_machine(machine: u16) -> Option<&'static Arch> {
    const EM_386: u16 = 3;
    let machine = if machine == EM_386 { X86_64.elf } else { machine };
    ALL.into_iter().find(|a| a.elf == machine)
}

/// All architectures.
pub fn all() -> impl Iterator<Item = &'static Arch> {
    ALL.into_iter()
}

impl Arch {
    /// System calls: (number, name), in the order of numbers.
    pub fn syscalls(&self) -> impl Iterator<Item = (u32, &'static str)> {
        self.syscalls.iter().flat_map(|(first, run)| (*first..).zip(run.split(' ')))
    }

    /// The number of the system call that a tracepoint `sys_enter_NAME` is about.
    pub fn traced_call(&self, tracepoint: &str) -> Option<u32> {
        let renamed = self.traced_calls.renamed;
        let name = match renamed.iter().find(|(function, _)| *function == tracepoint) {
            Some((_, name)) => *name,
            // A function of this name is another one: for 32-bit programs.
            None if renamed.iter().any(|(_, name)| *name == tracepoint) => return None,
            None => tracepoint,
        };
        self.syscalls().find(|(_, n)| *n == name).map(|(number, _)| number)
    }

    /// Offset of `reg("name")`.
    pub fn register(&self, name: &str) -> Option<u16> {
        self.registers.iter().find(|(n, _)| *n == name).map(|(_, offset)| *offset)
    }
}
