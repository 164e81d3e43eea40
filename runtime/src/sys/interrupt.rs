//! Signals that are to end the run, for blocks in user space and for writers that wait: meanwhile the loop that signals wake doesn't run.
#![allow(unsafe_code, reason = "registers what is done at a signal, and asks what was")]

use std::{
    io,
    mem::MaybeUninit,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering},
    },
};

/// Those that end a run. SIGHUP and SIGQUIT don't where they were ignored from the start (`nohup`).
static ENDING: OnceLock<Vec<i32>> = OnceLock::new();
/// The signal that came and whose blocks have not ended yet; 0: none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// A loop was left for it.
static LEFT: AtomicBool = AtomicBool::new(false);
/// How often the run was asked to end.
static ASKED: AtomicU32 = AtomicU32::new(0);

/// From now on signals that end a run are noted as they come, besides what tokio does with them. Says which they are.
pub(crate) fn note_signals() -> io::Result<&'static [i32]> {
    if ENDING.get().is_none() {
        let may_end = |number: &i32| !matches!(*number, libc::SIGHUP | libc::SIGQUIT) || !is_ignored(*number);
        let ending: Vec<i32> =
            [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT].into_iter().filter(may_end).collect();
        for number in ending.iter().copied() {
            // SAFETY: the action may run within a signal's handler, on any thread and amid anything: it uses atomics that are always there,
            // takes no lock, allocates nothing and can't panic.
            unsafe { signal_hook_registry::register(number, move || note(number)) }?;
        }
        // A file that may not grow any more: then writing fails, which is told, instead of ending us. Programs of `-c` don't inherit that.
        // SAFETY: it does nothing.
        unsafe { signal_hook_registry::register(libc::SIGXFSZ, || ()) }?;
        let _ = ENDING.set(ending);
    }
    // Another run's is no affair of this one.
    clear();
    ASKED.store(0, Ordering::Relaxed);
    Ok(ENDING.get().map_or(&[], Vec::as_slice))
}

fn is_ignored(number: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is set, and the kernel fills an action that lives here, in which all zeroes is one too.
    let action = unsafe {
        libc::sigaction(number, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

fn note(number: i32) {
    SIGNAL.store(number, Ordering::Relaxed);
    ASKED.fetch_add(1, Ordering::Relaxed);
}

/// Whether a signal ends a run.
pub(crate) fn ends(number: i32) -> bool {
    ENDING.get().is_some_and(|ending| ending.contains(&number))
}

/// How often the run was asked to end.
pub(crate) fn asked() -> u32 {
    ASKED.load(Ordering::Relaxed)
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
