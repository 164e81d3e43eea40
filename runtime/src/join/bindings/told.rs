//! What streams of bindings tell, and when: as it begins, or once it is over. Results may be told before that.

use super::{Bindings, Link, ONE, lists::leads_on};
use crate::join::{
    gaps::{Asked, LATE},
    keys::NodeKey,
    nodes::Nodes,
    store::Past,
    verdict::Interval,
};
use weftrace_artifact::{
    action::StreamId,
    join::{HOLDS_MANY, KeyAt, KeyKind, MAX_STEPS},
};

/// Results are remembered that lack a binding which may still come: so many. Of more it isn't noticed when it comes, they say `no binding` even so.
const MAX_UNLED: usize = 16_384;
/// So many of the oldest go at once.
const UNLED_AT_ONCE: usize = 256;

/// A binding stream's layout.
#[derive(Debug)]
pub(super) struct Layout {
    pub keys: Vec<(KeyKind, KeyAt)>,
    pub start: Option<u32>,
    pub end: Option<u32>,
    /// A record that ties something said when it ended; one didn't.
    ended: bool,
    left_open: bool,
}

impl Layout {
    pub(super) fn new(keys: Vec<(KeyKind, KeyAt)>, start: Option<u32>, end: Option<u32>) -> Self {
        Self { keys, start, end, ended: false, left_open: false }
    }

    /// A stream that has ends and no begins: it ends what others have begun.
    pub(super) fn ends(&self) -> bool {
        self.start.is_none() && self.end.is_some()
    }

    /// Takes note of what a record says.
    pub(super) fn note(&mut self, link: &Link) {
        self.ended |= !link.closes && link.to != u64::MAX;
        self.left_open |= !link.closes && link.to == u64::MAX;
    }

    /// Its records may come only when what they tell of is over.
    fn waits_for_the_end(&self) -> bool {
        self.start.is_some() && self.end.is_some() && !self.left_open
    }

    /// All of its records were over when they came: so were those that are lost.
    fn are_over(&self) -> bool {
        self.waits_for_the_end() && self.ended
    }

    fn ties(&self, kind: KeyKind) -> bool {
        self.keys.len() > 1 && !self.ends() && self.keys.iter().any(|(k, _)| *k == kind)
    }
}

impl Bindings {
    /// Where losses make unknown what is bound within a window. What is told once holds until something else is: of streams that tell it as it begins all
    /// counts since the connection was opened (0: that isn't known). What was over before the window doesn't.
    pub(in crate::join) fn asked(&self, opened: u64, window: Interval) -> Vec<Asked> {
        let since = |stream| if self.last(stream) { opened.min(window.0) } else { window.0 };
        self.needed_streams().map(|stream| Asked { stream, window, since: since(stream) }).collect()
    }

    /// Whether a stream's records count beyond what they say of when they end: as those that don't say it, or that end one of these.
    fn last(&self, stream: StreamId) -> bool {
        let Some(layout) = self.layouts.get(&stream).filter(|layout| layout.are_over()) else { return true };
        let open = |a: KeyKind, b: KeyKind| self.layouts.values().any(|l| !l.are_over() && l.ties(a) && l.ties(b));
        // (Of a goroutine it is known which process it is in.)
        let told = |(a, b): &&(KeyKind, KeyKind)| (*a, *b) != (KeyKind::Goroutine, KeyKind::Pid);
        let pairs = ONE.iter().filter(told).filter(|(a, b)| layout.ties(*a) && layout.ties(*b));
        pairs.into_iter().any(|(a, b)| open(*a, *b))
    }

    /// Whether keys of all these kinds, as far as bindings lead there, are led to by bindings that are told as they begin: what isn't there by then isn't
    /// on its way.
    pub(in crate::join) fn lead_at_once(&self, from: &[KeyKind], mut wanted: impl Iterator<Item = KeyKind>) -> bool {
        let at_once = self.kinds_from(from, |layout| !layout.waits_for_the_end());
        let ever = self.kinds_from(from, |_| true);
        wanted.all(|kind| at_once.contains(&kind) || !ever.contains(&kind))
    }

    /// The kinds of keys that bindings lead to from some.
    fn kinds_from(&self, from: &[KeyKind], takes: impl Fn(&Layout) -> bool) -> Vec<KeyKind> {
        let mut reached = from.to_vec();
        for _ in 0..MAX_STEPS {
            let mut next: Vec<KeyKind> = Vec::new();
            for layout in self.layouts.values().filter(|layout| takes(layout)) {
                for here in reached.iter().filter(|here| layout.ties(**here)) {
                    let leads = |kind: &KeyKind| kind != here && !HOLDS_MANY.contains(&(*here, *kind));
                    next.extend(layout.keys.iter().map(|(kind, _)| *kind).filter(leads));
                }
            }
            // A goroutine's number is one in its process.
            next.extend(reached.contains(&KeyKind::Goroutine).then_some(KeyKind::Pid));
            next.retain(|kind| !reached.contains(kind));
            reached.extend(next);
        }
        reached
    }

    /// A result was told that lacks a binding which may still come, from this key of its anchor on.
    pub(in crate::join) fn told_without(&mut self, key: NodeKey, interval: Interval, nodes: &mut Nodes) {
        let node = nodes.hold(key);
        self.unled.add(node, interval, nodes);
        nodes.release(node);
        if self.unled.len() > MAX_UNLED {
            self.unled.evict_oldest(UNLED_AT_ONCE, nodes);
        }
    }

    /// Forgets the oldest of those results for want of room; false: there are none.
    pub(in crate::join) fn forget_told(&mut self, nodes: &mut Nodes) -> bool {
        self.unled.evict_oldest(UNLED_AT_ONCE, nodes) > 0
    }

    /// By how much a binding comes too late for results that it may belong to, as they were told without it; None: it doesn't.
    pub(super) fn missed_by(&mut self, link: &Link, time: u64, past: Past, nodes: &Nodes) -> Option<u64> {
        let is_over = !link.closes && link.to != u64::MAX;
        let behind = past.missed_by(time, (link.from, if is_over { link.to } else { time }));
        if behind.is_some() {
            // Its source is behind: others may be on their way too.
            self.late.add((if is_over { link.from } else { time }, time), 1, Some(LATE));
        }
        // In time by its source, which tells it when it is over: results don't wait for that.
        let leads = |node: &&u32| is_over && leads_on(link, **node, nodes);
        let ends = link.nodes().iter().filter(leads).filter_map(|n| self.unled.first_end(*n, (link.from, link.to)));
        let told = ends.min().map(|end| past.watermark.saturating_sub(end)).filter(|by| *by > 0);
        behind.max(told)
    }
}
