//! How long the servers waited for a processor by the kernel's own account (proc(5): run delay in /proc/PID/task/TID/schedstat), read again
//! and again. Time that a quota makes a thread wait is not in it.

use super::plan::Hop;
use crate::sys;
use std::{
    collections::BTreeMap,
    fs, io,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

/// Of each server: (CLOCK_BOOTTIME ns, ns that all its threads have waited until then), ascending.
pub type Waits = BTreeMap<Hop, Vec<(u64, u64)>>;

const EVERY: Duration = Duration::from_millis(20);

/// How much of it was between two times; 0 of what was never looked at.
pub fn during(waits: &Waits, hop: Hop, from: u64, to: u64) -> u64 {
    let Some(samples) = waits.get(&hop) else { return 0 };
    let first = samples.partition_point(|(at, _)| *at <= from).saturating_sub(1);
    let last = samples.partition_point(|(at, _)| *at < to).min(samples.len().saturating_sub(1));
    let waited = |index: usize| samples.get(index).map_or(0, |(_, ns)| *ns);
    waited(last).saturating_sub(waited(first))
}

/// Looks until it is stopped.
pub struct Looking {
    end: Sender<()>,
    thread: thread::JoinHandle<Waits>,
}

impl Looking {
    /// At these processes and their children.
    pub fn start(servers: [(Hop, u32); 2]) -> Self {
        let (end, ended) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut waits = Waits::new();
            loop {
                for (hop, pid) in servers {
                    waits.entry(hop).or_default().push((sys::boot(), waited(pid)));
                }
                if ended.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    return waits;
                }
            }
        });
        Self { end, thread }
    }

    pub fn stop(self) -> io::Result<Waits> {
        drop(self.end);
        self.thread.join().map_err(|_| io::Error::other("the looking thread panicked"))
    }
}

/// ns that the threads of a process and of its children have waited.
fn waited(pid: u32) -> u64 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    let threads = [pid].into_iter().chain(children).filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
    // A thread may end meanwhile.
    let texts = threads.flatten().flatten().filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    texts.filter_map(|text| text.split(' ').nth(1)?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_waited_between_two_looks() {
        let waits = Waits::from([(Hop::Go, vec![(10, 1), (20, 5), (30, 5), (40, 9)])]);
        let at = |from, to| during(&waits, Hop::Go, from, to);
        assert_eq!((at(20, 30), at(21, 29), at(15, 31), at(35, 90), at(0, 5)), (0, 0, 8, 4, 0));
        assert_eq!(during(&waits, Hop::Front, 0, 50), 0);
    }

    #[test]
    fn this_process_waits_now_and_then() {
        let looking = Looking::start([(Hop::Front, std::process::id()), (Hop::Go, std::process::id())]);
        let busy = || (0..400).for_each(|_| thread::sleep(Duration::from_micros(50)));
        let threads: Vec<_> = (0..16).map(|_| thread::spawn(busy)).collect();
        for thread in threads {
            thread.join().expect("it ends");
        }
        let waits = looking.stop().expect("it ends");
        assert!(during(&waits, Hop::Go, 0, u64::MAX) > 0, "{waits:?}");
    }
}
