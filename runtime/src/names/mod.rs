//! Names for what programs only know by number: kernel and user addresses, stacks, users, times.
//!
//! Everything is looked up late, when a value prints, and cached.

mod asked;
mod cgroup;
mod host;
mod kept;
mod kernel;

pub(crate) use asked::{Answers, Named, digest};
pub use host::{HostNames, Settings, StackReader};
pub(crate) use kept::Cut;
pub use kernel::{KernelNames, KernelSymbols};

pub use weftrace_probes::symbols::Unwound;

/// A symbol and the distance of the address from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    pub name: &'a str,
    pub offset: u64,
    /// File the symbol is from, for stacks in perf's style.
    pub module: Option<&'a str>,
}

/// One function at an address of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Empty: only the file is known, and the offset is an address in it.
    pub name: String,
    pub offset: u64,
    /// The file that it is from.
    pub module: Option<String>,
    /// Source file and line.
    pub source: Option<(String, u32)>,
    /// It is inlined into the one that follows.
    pub inlined: bool,
}

/// Which of the stack maps a stack is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stack {
    /// At most so many.
    pub frames: u32,
    /// Of struct bpf_stack_build_id instead of addresses.
    pub build_id: bool,
}

/// What printing asks of the host. Tests answer from a table.
pub trait Names {
    fn kernel(&mut self, addr: u64) -> Option<Symbol<'_>>;
    fn user(&mut self, pid: u32, addr: u64) -> Option<Symbol<'_>>;
    /// Functions at an address of a stack, of the kernel's or a process's: innermost first, all but the last inlined. `leaf`: the
    /// address is that of the instruction itself, not of a return.
    fn frames(&mut self, pid: Option<u32>, addr: u64, leaf: bool) -> Vec<Frame> {
        let _ = leaf;
        let symbol = match pid {
            None => self.kernel(addr),
            Some(pid) => self.user(pid, addr),
        };
        let frame = |s: Symbol<'_>| Frame {
            name: s.name.to_owned(),
            offset: s.offset,
            module: s.module.map(str::to_owned),
            ..Frame::default()
        };
        symbol.map(frame).into_iter().collect()
    }
    /// Bytes of a stack by its id in its map: frames, leaf first, then zeros.
    fn stack(&mut self, stack: Stack, id: i64) -> Option<Vec<u8>>;
    /// Follows a copied stack; None: stacks of this process are not unwound.
    fn unwind(&mut self, pid: u32, registers: &[u8], stack: &[u8], most: usize) -> Option<Unwound> {
        let _ = (pid, registers, stack, most);
        None
    }
    /// Follows a copied stack and keeps it: its id, with [`weftrace_artifact::abi::UNWOUND_STACKS`] set, by which [`Self::stack`] gives it; that
    /// of no stack if this process's are not unwound. None: there is no room for more.
    fn keep_unwound(&mut self, pid: u32, registers: &[u8], stack: &[u8], most: usize) -> Option<i64> {
        let _ = (pid, registers, stack, most);
        None
    }
    /// Why a kept stack isn't whole.
    fn cut(&self, id: i64) -> Option<&'static str> {
        let _ = id;
        None
    }
    fn user_name(&mut self, uid: u32) -> Option<String>;
    /// `hierarchy:/path` of a cgroup for each hierarchy whose name the glob matches, joined by commas.
    fn cgroup_path(&mut self, id: u64, hierarchies: &str) -> String;
    /// Appends a time given in CLOCK_BOOTTIME ns.
    fn time(&mut self, boot_ns: u64, fmt: &str, out: &mut Vec<u8>);
}

/// Knows nothing: addresses print as numbers, times in UTC as if the machine had booted at the epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Names for NoNames {
    fn kernel(&mut self, _: u64) -> Option<Symbol<'_>> {
        None
    }
    fn user(&mut self, _: u32, _: u64) -> Option<Symbol<'_>> {
        None
    }
    fn stack(&mut self, _: Stack, _: i64) -> Option<Vec<u8>> {
        None
    }
    fn user_name(&mut self, _: u32) -> Option<String> {
        None
    }
    fn cgroup_path(&mut self, _: u64, _: &str) -> String {
        String::new()
    }
    fn time(&mut self, boot_ns: u64, fmt: &str, out: &mut Vec<u8>) {
        crate::sys::strftime(boot_ns, fmt, true, out);
    }
}
