//! What processes have and had mapped to execute, from perf's side-band records: so that the addresses of one that has ended keep
//! their meaning.

use super::process::{Identity, Region};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Processes that are remembered; those without news for longest go first.
const MOST_PROCESSES: usize = 4096;
/// Mappings of one process; the oldest go first.
const MOST_MAPPED: usize = 1024;
/// Paths that are kept once for all.
const MOST_PATHS: usize = 16 << 10;

const PERF_RECORD_LOST: u32 = 2;
const PERF_RECORD_FORK: u32 = 7;
const PERF_RECORD_MMAP2: u32 = 10;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TaskEvent {
    Mapped { pid: u32, region: Region },
    Forked { pid: u32, parent: u32 },
    Lost(u64),
}

/// A process that is, or was.
#[derive(Debug, Default)]
struct Images {
    parent: u32,
    /// When it was made; 0: before we looked.
    since: u64,
    /// What it got from its parent, or had when we first looked.
    inherited: Arc<[Region]>,
    /// (when, what), in this order.
    own: Vec<(u64, Region)>,
    used: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Table {
    processes: BTreeMap<u32, Images>,
    paths: BTreeSet<Arc<str>>,
    clock: u64,
    /// Records that the kernel had no room for.
    pub(super) lost: u64,
}

impl Table {
    /// Takes the records that were read from all rings, in the order of their times. `maps`: a process's mappings as they are.
    pub(super) fn take(&mut self, bytes: &[u8], maps: &dyn Fn(u32) -> Vec<Region>) {
        let mut events = parse(bytes);
        events.sort_by_key(|(time, _)| *time);
        for (time, event) in events {
            self.apply(time, event, maps);
        }
    }

    fn apply(&mut self, time: u64, event: TaskEvent, maps: &dyn Fn(u32) -> Vec<Region>) {
        match event {
            TaskEvent::Lost(n) => self.lost += n,
            TaskEvent::Forked { pid, parent } if pid != parent => {
                // What a parent that we don't know yet has is what its child got.
                if !self.processes.contains_key(&parent) {
                    self.seen(parent, maps(parent));
                }
                let inherited = self.processes.get_mut(&parent).map(Images::all).unwrap_or_default();
                let images = self.images(pid);
                // An older process of the same number keeps its own, in case that its stacks are still to come.
                let had = std::mem::take(&mut images.inherited);
                images.own.splice(0..0, had.iter().map(|region| (0, region.clone())));
                images.own.sort_by_key(|(when, _)| *when);
                (images.inherited, images.since, images.parent) = (inherited, time, parent);
                images.bound();
            }
            TaskEvent::Forked { .. } => {}
            TaskEvent::Mapped { pid, mut region } => {
                region.path = self.shared(&region.path);
                let images = self.images(pid);
                // The same again, with other rights.
                images.own.retain(|(_, r)| (r.start, r.end, r.identity) != (region.start, region.end, region.identity));
                images.own.push((time, region));
                images.bound();
            }
        }
    }

    /// What a process had when we first looked.
    pub(super) fn seen(&mut self, pid: u32, regions: Vec<Region>) {
        if regions.is_empty() {
            return;
        }
        let regions = regions.into_iter().map(|r| Region { path: self.shared(&r.path), ..r }).collect();
        let images = self.images(pid);
        if images.inherited.is_empty() {
            images.inherited = regions;
        }
    }

    /// The mapping that an address of a process was in last.
    pub(super) fn find(&self, pid: u32, address: u64) -> Option<Region> {
        let images = self.processes.get(&pid)?;
        let within = |r: &&Region| (r.start..r.end).contains(&address);
        let later = images.own.iter().rev().take_while(|(when, _)| *when >= images.since).map(|(_, r)| r);
        let older = images.own.iter().rev().skip_while(|(when, _)| *when >= images.since).map(|(_, r)| r);
        later.chain(images.inherited.iter()).chain(older).find(within).cloned()
    }

    /// Other processes with the same file, and its ancestors: whose view of the file system may have it.
    pub(super) fn relatives(&self, pid: u32, file: Identity) -> Vec<u32> {
        const MOST: usize = 16;
        let mut out = Vec::new();
        let mut at = pid;
        while let Some(images) = self.processes.get(&at).filter(|i| i.parent != 0 && out.len() < MOST / 2) {
            out.push(images.parent);
            at = images.parent;
        }
        let has = |i: &Images| i.own.iter().map(|(_, r)| r).chain(&*i.inherited).any(|r| r.identity == file);
        out.extend(self.processes.iter().filter(|(_, i)| has(i)).map(|(pid, _)| *pid).take(MOST));
        let mut seen = BTreeSet::from([pid]);
        out.retain(|other| seen.insert(*other));
        out
    }

    fn images(&mut self, pid: u32) -> &mut Images {
        self.clock += 1;
        if self.processes.len() >= MOST_PROCESSES && !self.processes.contains_key(&pid) {
            let oldest = self.processes.iter().min_by_key(|(_, i)| i.used).map(|(pid, _)| *pid);
            oldest.map(|pid| self.processes.remove(&pid));
        }
        let images = self.processes.entry(pid).or_default();
        images.used = self.clock;
        images
    }

    fn shared(&mut self, path: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.paths.get(path) {
            return known.clone();
        }
        if self.paths.len() < MOST_PATHS {
            self.paths.insert(path.clone());
        }
        path.clone()
    }
}

impl Images {
    /// What a child gets.
    fn all(&mut self) -> Arc<[Region]> {
        let since = self.since;
        let own = self.own.iter().filter(|(when, _)| *when >= since);
        if own.clone().next().is_none() {
            return self.inherited.clone();
        }
        // Newest first, as they are looked up.
        own.rev().map(|(_, r)| r).chain(&*self.inherited).take(MOST_MAPPED).cloned().collect()
    }

    fn bound(&mut self) {
        if self.own.len() > MOST_MAPPED {
            self.own.drain(..self.own.len() - MOST_MAPPED);
        }
    }
}

/// Records as perf_event_open(2) lays them out, each with its time at the end.
fn parse(bytes: &[u8]) -> Vec<(u64, TaskEvent)> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((kind, body, after)) = split(rest) {
        rest = after;
        let Some(time) = body.len().checked_sub(8).and_then(|at| u64_at(body, at)) else { continue };
        out.extend(event(kind, &body[..body.len() - 8]).map(|event| (time, event)));
    }
    out
}

/// {u32 type, u16 misc, u16 size}
fn split(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    const HEADER: usize = 8;
    let kind = u32_at(bytes, 0)?;
    let size = usize::from(u16::from_ne_bytes(bytes.get(6..8)?.try_into().ok()?));
    Some((kind, bytes.get(HEADER..size)?, &bytes[size..]))
}

fn event(kind: u32, body: &[u8]) -> Option<TaskEvent> {
    match kind {
        PERF_RECORD_LOST => Some(TaskEvent::Lost(u64_at(body, 8)?)),
        PERF_RECORD_FORK => Some(TaskEvent::Forked { pid: u32_at(body, 0)?, parent: u32_at(body, 4)? }),
        PERF_RECORD_MMAP2 => {
            let (start, len) = (u64_at(body, 8)?, u64_at(body, 16)?);
            let name = body.get(64..)?;
            let name = &name[..memchr::memchr(0, name).unwrap_or(name.len())];
            let region = Region {
                start,
                end: start.checked_add(len)?,
                file_offset: u64_at(body, 24)?,
                identity: (u64::from(u32_at(body, 32)?) << 32 | u64::from(u32_at(body, 36)?), u64_at(body, 40)?),
                path: String::from_utf8_lossy(name).into(),
            };
            Some(TaskEvent::Mapped { pid: u32_at(body, 0)?, region })
        }
        _ => None,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
