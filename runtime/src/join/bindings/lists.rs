//! The links of one key, so that only those are looked at that may matter at a time.

use super::{Link, holds_many, order};
use crate::join::{nodes::Nodes, slab::Slab, verdict::Interval};

/// Each list is in order of the links' begin.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Of those nobody has said when they end.
    open: Vec<u32>,
    ended: Vec<u32>,
    /// ns from begin to end that none of `ended` exceeds.
    longest: u64,
    /// Links that tie nothing: they only end others.
    closers: Vec<u32>,
    /// Links that are in none of the lists: nothing is looked up from here over them.
    pub unlisted: u32,
}

/// Whether a link leads from one of its keys to another, or ends what that key was bound to.
pub(super) fn leads_on(link: &Link, from: u32, nodes: &Nodes) -> bool {
    let key = nodes.key(from);
    link.nodes().len() == 1 || link.nodes().iter().any(|&to| to != from && !holds_many(&key, &nodes.key(to)))
}

impl Lists {
    /// `node`: whose lists these are.
    pub(super) fn add(&mut self, id: u32, node: u32, links: &Slab<Link>, nodes: &Nodes) {
        let link = &links[id];
        if !leads_on(link, node, nodes) {
            self.unlisted += 1;
            return;
        }
        let list = if link.closes {
            &mut self.closers
        } else if link.to == u64::MAX {
            &mut self.open
        } else {
            self.longest = self.longest.max(link.to.saturating_sub(link.from));
            &mut self.ended
        };
        let not_after = |other: u32| order(&links[other], nodes) <= order(link, nodes);
        let at = match list.last() {
            Some(&last) if !not_after(last) => list.partition_point(|&other| not_after(other)),
            _ => list.len(),
        };
        list.insert(at, id);
    }

    /// Of a link that goes: what of it is no list's; those are for [`Self::retain`].
    pub(super) fn forget(&mut self, link: &Link, node: u32, nodes: &Nodes) {
        self.unlisted -= u32::from(!leads_on(link, node, nodes));
    }

    pub(super) fn retain(&mut self, links: &Slab<Link>, keep: impl Fn(&Link) -> bool) {
        for list in [&mut self.open, &mut self.ended, &mut self.closers] {
            list.retain(|&id| keep(&links[id]));
        }
        let lengths = self.ended.iter().map(|&id| links[id].to.saturating_sub(links[id].from));
        self.longest = lengths.max().unwrap_or(0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.ended.is_empty() && self.closers.is_empty() && self.unlisted == 0
    }

    /// Links that tie something, and may do so at some moment of an interval.
    pub(super) fn during<'a>(&'a self, (from, to): Interval, links: &'a Slab<Link>) -> impl Iterator<Item = &'a Link> {
        let begun = |list: &[u32]| list.partition_point(|&id| links[id].from <= to);
        let over = self.ended.partition_point(|&id| links[id].from.saturating_add(self.longest) < from);
        let ended = self.ended.get(over..begun(&self.ended)).unwrap_or_default();
        self.open[..begun(&self.open)].iter().chain(ended).map(|&id| &links[id])
    }

    /// The begin of the first closer after a link that `ends` it.
    pub(super) fn next_closer(&self, link: &Link, links: &Slab<Link>, ends: impl Fn(&Link) -> bool) -> u64 {
        first_after(&self.closers, link, links, ends)
    }

    /// The same of what ties something itself.
    pub(super) fn next(&self, link: &Link, links: &Slab<Link>, ends: impl Fn(&Link) -> bool) -> u64 {
        first_after(&self.open, link, links, &ends).min(first_after(&self.ended, link, links, &ends))
    }

    /// Links that tie something and began before a link, the latest first in each of two lists.
    pub(super) fn before<'a>(&'a self, link: &Link, links: &'a Slab<Link>) -> [impl Iterator<Item = &'a Link>; 2] {
        [&self.open, &self.ended].map(|list| {
            let begun = list.partition_point(|&id| links[id].from < link.from);
            list[..begun].iter().rev().map(|&id| &links[id])
        })
    }
}

fn first_after(list: &[u32], link: &Link, links: &Slab<Link>, ends: impl Fn(&Link) -> bool) -> u64 {
    let later = list.partition_point(|&id| links[id].from <= link.from);
    list[later..].iter().map(|&id| &links[id]).find(|l| ends(l)).map_or(u64::MAX, |l| l.from)
}
