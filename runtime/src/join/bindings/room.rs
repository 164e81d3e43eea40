//! Bindings that nobody can want any more, and those that go for want of room.

use super::{Bindings, Link, Lists, has_one, lists::leads_on, order};
use crate::join::{gaps::EVICTED, keys::NodeKey, nodes::Nodes};

/// So many are kept before it is looked which of them are over: in tests few, so that they look.
pub(super) const SWEEP_FROM: usize = if cfg!(test) { 8 } else { 4096 };

impl Bindings {
    pub(in crate::join) fn len(&self) -> usize {
        self.live.len()
    }

    /// Memory taken, with what lists keep in reserve.
    pub(in crate::join) fn bytes(&self) -> u64 {
        let link = size_of::<Link>() + 4 * size_of::<u32>();
        let lists = size_of::<Lists>() + 2 * size_of::<u64>() + 4 * size_of::<u32>();
        let links = self.links.len() * link + self.by_node.len() * lists + self.go.len() * 2 * size_of::<u32>();
        links as u64 + self.unled.bytes()
    }

    /// Forgets what was over before `time`, from time to time.
    pub(in crate::join) fn expire(&mut self, time: u64, nodes: &mut Nodes) {
        self.gone.forget_before(time);
        self.late.forget_before(time);
        self.unled.expire(time, nodes);
        if self.live.len() < self.sweep_at {
            return;
        }
        let links = &self.links;
        self.live.sort_by(|a, b| order(&links[*a], nodes).cmp(&order(&links[*b], nodes)));
        self.drop_those(nodes, |all, id, nodes| {
            let end = all.end(id, nodes);
            if end < time {
                // What is over may have to stay for what it ends, but nothing has to stay to end it.
                all.links[id].over = end;
            }
            end < time && !all.ends_something(id, nodes)
        });
        self.sweep_at = (2 * self.live.len()).max(SWEEP_FROM);
    }

    /// Drops an eighth, those that were over first, for want of room. Returns how many of them tied something.
    pub(in crate::join) fn evict_oldest(&mut self, nodes: &mut Nodes) -> u64 {
        let mut live = std::mem::take(&mut self.live);
        live.sort_by_cached_key(|&id| (self.end(id, nodes), order(&self.links[id], nodes)));
        self.live = live;
        let (mut most, mut evicted) = ((self.live.len() / 8).max(1), 0);
        self.drop_those(nodes, |all, id, nodes| {
            // There is always one that ends nothing: the first to begin.
            if most == 0 || all.ends_something(id, nodes) {
                return false;
            }
            most -= 1;
            let (end, link) = (all.end(id, nodes), &all.links[id]);
            if link.may_end(nodes) {
                all.ends_gone_to = all.ends_gone_to.max(link.from);
            }
            if !link.closes {
                all.gone.add((link.from, end), 1, Some(EVICTED));
                evicted += 1;
            }
            true
        });
        evicted
    }

    /// When the last of what a link ties was over.
    fn end(&self, id: u32, nodes: &Nodes) -> u64 {
        let link = &self.links[id];
        let pairs = link.nodes().iter().enumerate().flat_map(|(i, &a)| link.nodes()[..i].iter().map(move |&b| (a, b)));
        pairs.map(|(a, b)| self.tied(link, a, b, nodes).1).max().unwrap_or(link.to)
    }

    /// Whether a link that is there would be taken for longer without this one.
    fn ends_something(&self, id: u32, nodes: &Nodes) -> bool {
        let link = &self.links[id];
        link.nodes().iter().filter_map(|of| Some((of, self.by_node.get(of)?))).any(|(&of, lists)| {
            if link.closes {
                return leads_on(link, of, nodes)
                    && (lists.unlisted > 0 || self.closes_something(link, nodes.key(of).is_conn(), lists));
            }
            let key = nodes.key(of);
            let partners = link.nodes().iter().map(|&partner| nodes.key(partner));
            partners.filter(|partner| has_one(&key, partner)).any(|kind| self.takes_over(link, &kind, lists, nodes))
        })
    }

    fn closes_something(&self, link: &Link, is_conn: bool, lists: &Lists) -> bool {
        lists.before(link, &self.links).into_iter().any(|list| {
            let earlier = list.filter(|l| link.is_about(l));
            let closed = |l: &Link| lists.next_closer(l, &self.links, |closer| closer.is_about(l));
            // What another closed before this one, this one doesn't; nor anything earlier, unless it is about another connection.
            earlier
                .take_while(|l| is_conn || closed(l) == link.from)
                .any(|l| !l.gone && l.to.min(l.over) > link.from && closed(l) == link.from)
        })
    }

    /// Whether the last earlier link to a key of this kind is there, and would go on.
    fn takes_over(&self, link: &Link, kind: &NodeKey, lists: &Lists, nodes: &Nodes) -> bool {
        let (mut latest, mut needed) = (0, false);
        for list in lists.before(link, &self.links) {
            for l in list.filter(|l| l.has_kind(kind, nodes)) {
                if l.from < latest {
                    break;
                }
                needed = needed && l.from == latest || !l.gone && l.to.min(l.over) > link.from;
                latest = l.from;
            }
        }
        needed
    }

    fn drop_those(&mut self, nodes: &mut Nodes, mut goes: impl FnMut(&mut Self, u32, &Nodes) -> bool) {
        let (mut kept, mut dropped) = (Vec::new(), Vec::new());
        for id in std::mem::take(&mut self.live) {
            let gone = goes(self, id, nodes);
            self.links[id].gone = gone;
            if gone { dropped.push(id) } else { kept.push(id) }
        }
        self.live = kept;
        self.unlist(&dropped, nodes);
        for id in dropped {
            self.links[id].nodes().to_vec().into_iter().for_each(|node| nodes.release(node));
            self.links.remove(id);
        }
    }

    fn unlist(&mut self, dropped: &[u32], nodes: &Nodes) {
        let mut touched: Vec<u32> = Vec::new();
        for &id in dropped {
            for &node in self.links[id].nodes() {
                touched.push(node);
                if let Some(lists) = self.by_node.get_mut(&node) {
                    lists.forget(&self.links[id], node, nodes);
                }
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for node in touched {
            if let Some(lists) = self.by_node.get_mut(&node) {
                lists.retain(&self.links, |link| !link.gone);
                if lists.is_empty() {
                    self.by_node.remove(&node);
                }
            }
        }
    }
}
