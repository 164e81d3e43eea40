//! The times of the anchors that carry an id, kept beyond those: an id that several carry at once names none of them. (Also of those that were told
//! without a binding that one of their keys may have.)

use crate::join::{
    calendar::Calendar,
    gaps::{EVICTED, Gaps},
    keys::NodeKey,
    nodes::Nodes,
    slab::Slab,
    verdict::Interval,
};
use std::collections::{HashMap, VecDeque};

/// An anchor that carries an id.
#[derive(Debug)]
struct Span {
    interval: Interval,
    /// The id's.
    node: u32,
}

/// Those of all ids. Each holds its id's node.
#[derive(Debug, Default)]
pub(in crate::join) struct Spans {
    by_id: HashMap<u32, Carriers>,
    all: Slab<Span>,
    by_end: Calendar,
    /// What went for want of room.
    gone: Gaps,
    /// Ids that several carry, and how many spans are theirs.
    shared: (usize, usize),
    scratch: Vec<u32>,
}

impl Spans {
    pub(in crate::join) fn add(&mut self, node: u32, interval: Interval, nodes: &mut Nodes) {
        nodes.hold_too(node);
        let id = self.all.insert(Span { interval, node });
        self.by_end.insert(interval.1, id);
        let shared = &mut self.shared;
        let add = |carriers: &mut Carriers| carriers.add(interval, shared);
        self.by_id.entry(node).and_modify(add).or_insert(Carriers::One(interval));
    }

    /// How many anchors with an id began by the end of an interval and ended at its begin or later, but before `watermark`.
    pub(super) fn meeting(&self, node: u32, interval: Interval, watermark: u64) -> usize {
        self.by_id.get(&node).map_or(0, |carriers| carriers.meeting(interval, watermark))
    }

    /// The first end of those with an id that meet an interval.
    pub(in crate::join) fn first_end(&self, node: u32, interval: Interval) -> Option<u64> {
        self.by_id.get(&node)?.first_end(interval)
    }

    pub(in crate::join) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether all anchors are known that have an id within an interval.
    pub(super) fn knows(&self, interval: Interval) -> bool {
        self.gone.within(interval).is_none()
    }

    /// Forgets those that were over before `time`.
    pub(in crate::join) fn expire(&mut self, time: u64, nodes: &mut Nodes) {
        let mut ids = std::mem::take(&mut self.scratch);
        let all = &self.all;
        self.by_end.take_before(time, &mut ids, |id| all[id].interval.1 < time);
        ids.drain(..).for_each(|id| self.remove(id, nodes));
        self.scratch = ids;
        self.gone.forget_before(time);
    }

    /// The slot of the oldest end.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.by_end.oldest()
    }

    /// Forgets those with the oldest end for want of room, at most `most`; says how many.
    pub(in crate::join) fn evict_oldest(&mut self, most: usize, nodes: &mut Nodes) -> u64 {
        let mut ids = std::mem::take(&mut self.scratch);
        let all = &self.all;
        // By time, then by what it is: never by arrival.
        let order = |id: u32| -> (u64, u64, NodeKey) {
            let Span { interval: (start, end), node } = all[id];
            (end, start, nodes.key(node))
        };
        self.by_end.take_oldest(most, &mut ids, order);
        let evicted = ids.len() as u64;
        for id in ids.drain(..) {
            self.gone.add(self.all[id].interval, 1, Some(EVICTED));
            self.remove(id, nodes);
        }
        self.scratch = ids;
        evicted
    }

    fn remove(&mut self, id: u32, nodes: &mut Nodes) {
        let Span { interval, node } = self.all[id];
        self.all.remove(id);
        if let Some(carriers) = self.by_id.get_mut(&node)
            && !carriers.remove(interval, &mut self.shared)
        {
            self.by_id.remove(&node);
        }
        nodes.release(node);
    }

    /// Memory taken, with what tables and lists keep in reserve; keys are the nodes'.
    pub(in crate::join) fn bytes(&self) -> u64 {
        let each = size_of::<Span>() + 3 * size_of::<u32>();
        let id = (size_of::<(u32, Carriers)>() + 1) * 3 / 2;
        let (lists, in_lists) = self.shared;
        let lists = lists * (size_of::<Lists>() + 64) + in_lists * 2 * size_of::<(Interval, u64)>();
        (self.all.len() * each + self.by_id.len() * id + lists) as u64
    }
}

/// Those of one id: most often one.
#[derive(Debug)]
enum Carriers {
    One(Interval),
    Several(Box<Lists>),
}

impl Carriers {
    fn add(&mut self, interval: Interval, shared: &mut (usize, usize)) {
        if let Self::One(first) = *self {
            let mut lists = Lists::default();
            lists.add(first);
            *self = Self::Several(lists.into());
            *shared = (shared.0 + 1, shared.1 + 1);
        }
        if let Self::Several(lists) = self {
            lists.add(interval);
            shared.1 += 1;
        }
    }

    /// Whether any are left.
    fn remove(&mut self, interval: Interval, shared: &mut (usize, usize)) -> bool {
        let Self::Several(lists) = self else { return false };
        lists.remove(interval);
        shared.1 -= 1;
        shared.0 -= usize::from(lists.ends.is_empty());
        !lists.ends.is_empty()
    }

    fn first_end(&self, (from, to): Interval) -> Option<u64> {
        match self {
            Self::One((start, end)) => (*start <= to && *end >= from).then_some(*end),
            Self::Several(lists) => {
                let over = lists.ends.partition_point(|span| span.0 < from);
                lists.ends.range(over..).find(|span| span.1 <= to).map(|span| span.0)
            }
        }
    }

    fn meeting(&self, (from, to): Interval, watermark: u64) -> usize {
        match self {
            Self::One((start, end)) => usize::from(*start <= to && *end >= from && *end < watermark),
            Self::Several(lists) => lists.meeting((from, to), watermark),
        }
    }
}

/// Those of one id. They come about in the order of their ends, and go so; in between it may be very many, if a client sends one id again and again:
/// nothing here looks through those that are over.
#[derive(Debug, Default)]
struct Lists {
    /// (end, start), in order.
    ends: VecDeque<(u64, u64)>,
    starts: VecDeque<u64>,
}

impl Lists {
    fn add(&mut self, (start, end): Interval) {
        let at = self.ends.partition_point(|span| *span < (end, start));
        self.ends.insert(at, (end, start));
        let at = self.starts.partition_point(|other| *other < start);
        self.starts.insert(at, start);
    }

    fn remove(&mut self, (start, end): Interval) {
        if let Ok(at) = self.ends.binary_search(&(end, start)) {
            self.ends.remove(at);
        }
        if let Ok(at) = self.starts.binary_search(&start) {
            self.starts.remove(at);
        }
        if self.ends.len() < self.ends.capacity() / 4 {
            self.ends.shrink_to(2 * self.ends.len());
            self.starts.shrink_to(2 * self.starts.len());
        }
    }

    /// How many began by `to`, and ended at `from` or later, but before `watermark`. (`from` isn't behind `to`.)
    fn meeting(&self, (from, to): Interval, watermark: u64) -> usize {
        let begun = self.starts.partition_point(|start| *start <= to);
        let over = self.ends.partition_point(|span| span.0 < from);
        let known = self.ends.partition_point(|span| span.0 < watermark).max(over);
        // What is told of already and ends behind the watermark: as much as is under way.
        let unknown = self.ends.range(known..).filter(|span| span.1 <= to).count();
        begun.saturating_sub(over).saturating_sub(unknown)
    }
}

#[cfg(test)]
mod tests;
