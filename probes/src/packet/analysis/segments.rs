//! Segments not yet acknowledged: one slab with a list per direction, for round trip times and bytes in flight.

use super::{Segment, before};
use crate::packet::flow::Direction;

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    time: u64,
    /// It was sent to mend a hole that is as old; 0: it was not.
    since: u64,
    /// TSval that it was sent with (RFC 7323), if it had one.
    stamp: Option<u32>,
    seq: u32,
    end: u32,
    /// Towards newer and older segments of the same direction; `newer` also links free nodes.
    newer: u32,
    older: u32,
}

/// What an acknowledgement covers.
#[derive(Default)]
pub(crate) struct Acknowledged {
    /// When the segment that ends exactly there was sent (the oldest of several).
    pub(super) sent: Option<u64>,
    /// Since when bytes were missing, and when the last copy of them was sent.
    pub(crate) repaired: Option<(u64, u64)>,
    /// Which they were: of each such segment where it began and ended.
    pub(crate) mended: Vec<(u32, u32)>,
    /// TSval of the first of these copies.
    copied: Option<u32>,
}

impl Acknowledged {
    fn add(&mut self, node: &Node) {
        if node.since != 0 {
            let (since, until) = self.repaired.unwrap_or((node.since, node.time));
            self.repaired = Some((since.min(node.since), until.max(node.time)));
            self.mended.push((node.seq, node.end));
            let earlier = |stamp: &u32| self.copied.is_none_or(|first| before(*stamp, first));
            self.copied = node.stamp.filter(earlier).or(self.copied);
        }
    }

    /// Forgets copies that `ack` shows to have been sent for nothing: it answers what was sent before any of them (the Eifel detection, RFC 3522). A receiver
    /// whose buffer held the ACK back may report the duplicate only with a later one.
    pub(super) fn without_needless(self, ack: &Segment) -> Self {
        match (self.copied, ack.stamps) {
            (Some(copied), Some((_, echoed))) if before(echoed, copied) => Self { sent: self.sent, ..Self::default() },
            _ => self,
        }
    }
}

pub(crate) struct Segments {
    nodes: Vec<Node>,
    free: u32,
    max: usize,
    pub(crate) dropped: u64,
}

impl Segments {
    pub(crate) fn new(max: usize) -> Self {
        Self { nodes: Vec::new(), free: NONE, max: max.min(NONE as usize), dropped: 0 }
    }

    fn node(&mut self, at: u32) -> &mut Node {
        &mut self.nodes[at as usize]
    }

    pub(super) fn oldest_time(&self, dir: &Direction) -> Option<u64> {
        self.nodes.get(dir.oldest as usize).map(|node| node.time)
    }

    /// Whether a listed segment has this byte.
    pub(super) fn covers(&self, dir: &Direction, seq: u32) -> bool {
        let mut at = dir.newest;
        while let Some(node) = self.nodes.get(at as usize) {
            if !before(seq, node.seq) && before(seq, node.end) {
                return true;
            }
            if dir.sorted && !before(seq, node.end) {
                return false;
            }
            at = node.older;
        }
        false
    }

    /// `since`: since when the bytes were missing that it brings; 0: they were not.
    pub(super) fn push(&mut self, dir: &mut Direction, sent: &Segment, since: u64) {
        let (seq, end, stamp) = (sent.seq, sent.end(), sent.stamps.map(|(stamp, _)| stamp));
        let node = Node { time: sent.time, since, stamp, seq, end, newer: NONE, older: dir.newest };
        let at = if self.free != NONE {
            let at = self.free;
            self.free = self.node(at).newer;
            *self.node(at) = node;
            at
        } else if self.nodes.len() < self.max {
            self.nodes.push(node);
            self.nodes.len() as u32 - 1
        } else {
            self.dropped += 1;
            return;
        };
        if dir.newest == NONE {
            dir.oldest = at;
            dir.sorted = true;
        } else {
            let newest = dir.newest;
            dir.sorted &= !before(seq, self.nodes[newest as usize].end);
            self.node(newest).newer = at;
        }
        dir.newest = at;
        dir.in_list += 1;
    }

    fn remove(&mut self, dir: &mut Direction, at: u32) {
        let Node { newer, older, .. } = *self.node(at);
        if newer == NONE {
            dir.newest = older;
        } else {
            self.node(newer).older = older;
        }
        if older == NONE {
            dir.oldest = newer;
        } else {
            self.node(older).newer = newer;
        }
        self.node(at).newer = self.free;
        self.free = at;
        dir.in_list -= 1;
    }

    /// Gives back all nodes of a flow.
    pub(crate) fn clear(&mut self, dirs: &mut [Direction; 2]) {
        for dir in dirs {
            while dir.oldest != NONE {
                self.remove(dir, dir.oldest);
            }
        }
    }

    /// What was sent again and isn't acknowledged. It is told once: copies of it that come later are others.
    pub(crate) fn under_repair(&mut self, dir: &Direction) -> Acknowledged {
        let (mut found, mut at) = (Acknowledged::default(), dir.newest);
        while let Some(node) = self.nodes.get_mut(at as usize) {
            found.add(node);
            node.since = 0;
            at = node.older;
        }
        found
    }

    /// Step 15: drops what `ack` covers, shortens what it covers in part.
    pub(super) fn acknowledge(&mut self, dir: &mut Direction, ack: u32) -> Acknowledged {
        let mut found = Acknowledged::default();
        if dir.oldest == NONE {
            return found;
        }
        // Oldest and newest disagree the wrong way round only if `ack` is nonsense half the number space away.
        let covered = |node: &Node| !before(ack, node.end);
        let (oldest, newest) = (self.nodes[dir.oldest as usize], self.nodes[dir.newest as usize]);
        if dir.sorted && (covered(&oldest) || !covered(&newest)) {
            return self.acknowledge_sorted(dir, ack);
        }
        let mut at = dir.newest;
        while at != NONE {
            let node = self.nodes[at as usize];
            let Node { seq, end, older, time, .. } = node;
            if ack == end {
                found.sent = Some(time);
            }
            if !before(ack, end) {
                found.add(&node);
                self.remove(dir, at);
            } else if before(seq, ack) {
                self.node(at).seq = ack;
            }
            at = older;
        }
        found
    }

    fn acknowledge_sorted(&mut self, dir: &mut Direction, ack: u32) -> Acknowledged {
        let mut found = Acknowledged::default();
        while dir.oldest != NONE {
            let at = dir.oldest;
            let node = self.nodes[at as usize];
            let Node { seq, end, time, .. } = node;
            if before(ack, end) {
                if before(seq, ack) {
                    self.node(at).seq = ack;
                }
                break;
            }
            if ack == end && found.sent.is_none() {
                found.sent = Some(time);
            }
            found.add(&node);
            self.remove(dir, at);
        }
        found
    }

    /// From the lowest byte not acknowledged to the highest byte sent, less those `sacked`.
    pub(super) fn in_flight(&self, dir: &Direction, sacked: u32) -> Option<u32> {
        const NONSENSE: u32 = 2_000_000_000;
        let newest = self.nodes.get(dir.newest as usize)?;
        let relative = |seq: u32| seq.wrapping_sub(dir.base_seq);
        let (mut first, mut last) = (newest.seq, newest.end);
        let oldest = self.nodes.get(dir.oldest as usize)?;
        // Ascending numbers may pass the base, where two connections share their ports.
        if dir.sorted && relative(oldest.seq) <= relative(last) {
            first = oldest.seq;
        } else {
            let mut at = dir.newest;
            while let Some(node) = self.nodes.get(at as usize) {
                if relative(node.end) > relative(last) {
                    last = node.end;
                }
                if relative(node.seq) < relative(first) {
                    first = node.seq;
                }
                at = node.older;
            }
        }
        let bytes = last.wrapping_sub(first).wrapping_sub(sacked);
        (bytes > 0 && bytes < NONSENSE).then_some(bytes)
    }
}
