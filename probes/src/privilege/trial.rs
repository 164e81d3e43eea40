//! Trying something with fewer capabilities than this process has: they are each thread's own.

use crate::kernel::caps::CapSet;
use crate::kernel::sys::CapSets;

/// Runs `work` in a thread of its own that has only these capabilities. None: this one hasn't got them all.
pub fn with_only<T: Send>(set: CapSet, work: impl FnOnce() -> T + Send) -> Option<T> {
    let own = CapSets::get().ok().filter(|own| own.permitted & set.0 == set.0)?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            (CapSets { effective: set.0, ..own }).set().ok()?;
            Some(work())
        });
        thread.join().ok().flatten()
    })
}
