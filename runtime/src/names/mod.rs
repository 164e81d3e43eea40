//! Names for what programs only know by number: kernel and user addresses, stacks, users, times.
//!
//! Everything is looked up late, when a value prints, and cached.

mod cgroup;
mod elf;
mod host;
mod kernel;
mod process;

pub use host::{HostNames, StackReader};
pub use kernel::KernelSymbols;
pub use process::ProcessSymbols;

/// A symbol and the distance of the address from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    pub name: &'a str,
    pub offset: u64,
    /// File the symbol is from, for stacks in perf's style.
    pub module: Option<&'a str>,
}

/// What printing asks of the host. Tests answer from a table.
pub trait Names {
    fn kernel(&mut self, addr: u64) -> Option<Symbol<'_>>;
    fn user(&mut self, pid: u32, addr: u64) -> Option<Symbol<'_>>;
    /// Frames of a stack by its id in the stacks map, leaf first.
    fn stack(&mut self, id: i64) -> Option<Vec<u64>>;
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
    fn stack(&mut self, _: i64) -> Option<Vec<u64>> {
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
