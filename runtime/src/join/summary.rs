//! What the join did over its life: the answer at exit, and the heartbeat before it.

use super::result::JoinResult;
use std::{collections::BTreeMap, fmt::Write};
use weftrace_artifact::join::Keep;

/// At most this many peers are counted by name per layer, those that come first; others together.
pub(super) const MAX_PEERS: usize = 1024;

/// Names, each with its results.
pub type Counts<'a> = Vec<(&'a str, u64)>;

#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The join keeps some results and not others.
    chooses: bool,
    /// Anchors that passed the filter.
    pub seen: u64,
    pub closed: u64,
    /// Results that `keep` let through.
    pub kept: u64,
    /// Of those that were seen: what was passed over before it was joined, since nothing would keep it.
    pub passed_over: u64,
    /// Anchors that arrived after the watermark had passed them.
    pub late: u64,
    /// Leg records that came when results of their time had been told.
    pub late_records: u64,
    /// Leg records that belonged to no anchor; not known where anchors were passed over.
    pub orphans: u64,
    /// Leg records without any key.
    pub keyless: u64,
    pub evicted_anchors: u64,
    pub evicted_records: u64,
    pub evicted_bindings: u64,
    /// Of anchors that were over: what later ones are held against.
    pub evicted_ids: u64,
    /// Results that `keep slowest` would have kept.
    pub evicted_slowest: u64,
    /// Events lost before they reached the join.
    pub lost: u64,
    /// Kept results by the layer that took most of their time, with their peers.
    layers: BTreeMap<String, Layer>,
}

#[derive(Clone, Debug, Default)]
struct Layer {
    count: u64,
    peers: BTreeMap<String, u64>,
    /// Results of peers that aren't in `peers`.
    other_peers: u64,
}

/// What a layer was to blame for.
#[derive(Debug)]
pub struct LayerCounts<'a> {
    pub name: &'a str,
    /// Results.
    pub count: u64,
    /// Those by peer, the most frequent first.
    pub peers: Counts<'a>,
    /// And those of peers that aren't in the list, which is full.
    pub other_peers: u64,
}

impl Summary {
    /// Of a join that keeps these results.
    pub(super) fn of(keep: &Keep) -> Self {
        Self { chooses: !matches!(keep, Keep::All), ..Self::default() }
    }

    pub(super) fn kept(&mut self, result: &JoinResult) {
        self.kept += 1;
        let layer = self.layers.entry(result.verdict().layer).or_default();
        layer.count += 1;
        let peer = result.server();
        if peer.is_empty() {
            return;
        }
        if layer.peers.contains_key(&peer) || layer.peers.len() < MAX_PEERS {
            *layer.peers.entry(peer).or_default() += 1;
        } else {
            layer.other_peers += 1;
        }
    }

    /// `312 slow of 48,210: syn 280 (peer 10.0.3.7:8080: 271) · app 20`, with what was lost or dropped.
    pub fn text(&self, name: &str) -> String {
        let what = self.kept_are(name);
        let mut out = format!("{name}: {} {what} of {}", grouped(self.kept), grouped(self.seen));
        for (i, layer) in self.by_layer().into_iter().enumerate() {
            let _ = write!(out, "{}{} {}", if i == 0 { ": " } else { " · " }, layer.name, grouped(layer.count));
            if let Some((peer, count)) = layer.peers.first() {
                let _ = write!(out, " (peer {}: {}", super::show::escaped(peer), grouped(*count));
                if layer.other_peers > 0 {
                    let first = grouped(layer.peers.len() as u64);
                    let _ = write!(out, ", others than the first {first}: {}", grouped(layer.other_peers));
                }
                out.push(')');
            }
        }
        self.losses(&mut out);
        out.push('.');
        out
    }

    /// What the operator called slow is slow, where the join chooses: without `keep` it keeps all.
    fn kept_are(&self, name: &str) -> &'static str {
        if self.chooses && name.contains("slow") { "slow" } else { "kept" }
    }

    /// `1,204 seen, 1,190 joined, none slow. Lost: 0.`: what is said while there is nothing to say.
    pub fn heartbeat(&self, name: &str) -> String {
        let what = self.kept_are(name);
        let mut out = format!("{name}: {} seen, {} joined", grouped(self.seen), grouped(self.closed));
        let _ = match self.kept {
            0 => write!(out, ", none {what}"),
            n => write!(out, ", {} {what} so far", grouped(n)),
        };
        self.losses(&mut out);
        out.push('.');
        out
    }

    /// Layers that were to blame, the most frequent first.
    pub fn by_layer(&self) -> Vec<LayerCounts<'_>> {
        let mut layers: Vec<_> = self.layers.iter().collect();
        layers.sort_by_key(|(name, layer)| (std::cmp::Reverse(layer.count), *name));
        layers.into_iter().map(|(name, layer)| layer.counts(name)).collect()
    }

    fn losses(&self, out: &mut String) {
        let _ = write!(out, ". Lost: {}", grouped(self.lost));
        for (count, what) in [
            (self.late, "late"),
            (self.late_records, "leg records too late for results"),
            (self.evicted_anchors, "closed early for want of room"),
            (self.evicted_slowest, "of the slowest not kept for want of room"),
            (self.evicted_records, "leg records dropped for want of room"),
            (self.evicted_bindings, "bindings dropped for want of room"),
            (self.evicted_ids, "ids of closed anchors dropped for want of room"),
            (self.keyless, "leg records without a key"),
        ] {
            if count > 0 {
                let _ = write!(out, ", {what}: {}", grouped(count));
            }
        }
    }
}

impl Layer {
    fn counts<'a>(&'a self, name: &'a str) -> LayerCounts<'a> {
        let mut peers: Vec<_> = self.peers.iter().map(|(peer, n)| (peer.as_str(), *n)).collect();
        peers.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        LayerCounts { name, count: self.count, peers, other_peers: self.other_peers }
    }
}

/// Thousands separated by commas.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests;
