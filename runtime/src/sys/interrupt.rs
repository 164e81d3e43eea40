//! Signals that are to end the run, for blocks in user space: while one runs, the loop that signals wake doesn't.
#![allow(unsafe_code, reason = "registers what is done at a signal")]

use std::{
    io,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
};

/// The signal that came and whose blocks have not ended yet; 0: none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// A loop was left for it.
static LEFT: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT and SIGTERM are noted as they come, besides what tokio does with them.
pub(crate) fn note_signals() -> io::Result<()> {
    static NOTED: OnceLock<()> = OnceLock::new();
    if NOTED.get().is_none() {
        for number in [libc::SIGINT, libc::SIGTERM] {
            // SAFETY: the action may run within a signal's handler, on any thread and amid anything: it stores to an atomic that is always
            // there, which takes no lock, allocates nothing and can't panic.
            unsafe { signal_hook_registry::register(number, move || SIGNAL.store(number, Ordering::Relaxed)) }?;
        }
        let _ = NOTED.set(());
    }
    // Another run's is no affair of this one.
    clear();
    Ok(())
}

/// The signal that is to end the run.
pub(crate) fn signal() -> Option<i32> {
    Some(SIGNAL.load(Ordering::Relaxed)).filter(|number| *number != 0)
}

/// Whether a loop is to be left: 0, or 1 of the first one, then 2.
pub(crate) fn leave_loop() -> u64 {
    match signal() {
        None => 0,
        Some(_) => 1 + u64::from(LEFT.swap(true, Ordering::Relaxed)),
    }
}

/// The signal is being acted on: what runs from now on runs to its end, unless a loop had to be left. Such a script's others would not end either.
pub(crate) fn taken() {
    if !LEFT.load(Ordering::Relaxed) {
        clear();
    }
}

/// Blocks that run from now on run to their end, or the next signal.
pub(crate) fn clear() {
    SIGNAL.store(0, Ordering::Relaxed);
    LEFT.store(false, Ordering::Relaxed);
}
