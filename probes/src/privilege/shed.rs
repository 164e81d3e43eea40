//! Giving up privileges.

use crate::kernel::caps::{CapSet, Capability};
use crate::kernel::sys::{self, CapSets, SyscallError};

/// What became of this process's privileges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shed {
    pub dropped: CapSet,
    pub kept: CapSet,
    /// Threads that were there already and keep what they have: capabilities are each thread's own.
    pub other_threads: usize,
}

/// Gives up every capability of this thread, and of those it makes later, but `keep`; and what would bring them back: ambient and inheritable
/// sets, the bounding set (where that may be changed), what user 0 gets by executing something, files with capabilities.
///
/// `maps_work` tells whether maps can still be looked into; if not, what that needs is kept too.
pub fn shed(keep: CapSet, maps_work: impl FnOnce() -> bool) -> Result<Shed, SyscallError> {
    let before = CapSets::get()?;
    let mut kept = before.permitted & keep.0;
    // Tried with what remains effective; permitted still has the rest.
    CapSets { effective: kept, ..before }.set()?;
    // Before Linux 5.19, where unprivileged BPF is off.
    if !maps_work() {
        let bpf = CapSet::of(&[Capability::Bpf, Capability::SysAdmin]).0 & before.permitted;
        // CAP_SYS_ADMIN includes it: only where there is nothing smaller.
        let small = CapSet::of(&[Capability::Bpf]).0;
        kept |= if bpf & small != 0 { small } else { bpf };
    }
    // These need CAP_SETPCAP, which goes last; where it isn't there, no_new_privileges does the same for what is executed.
    CapSets { effective: before.effective, ..before }.set()?;
    let _ = sys::root_is_nobody();
    for number in (0..64).take_while(|n| sys::knows_capability(*n)).filter(|n| kept & (1 << n) == 0) {
        if sys::drop_from_bounding_set(number).is_err() {
            break;
        }
    }
    sys::no_new_privileges()?;
    let _ = sys::clear_ambient_set();
    CapSets { effective: kept, permitted: kept, inheritable: 0 }.set()?;
    Ok(Shed { dropped: CapSet(before.permitted & !kept), kept: CapSet(kept), other_threads: other_threads() })
}

fn other_threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count().saturating_sub(1))
}
