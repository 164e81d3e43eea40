//! What the join did over its life: the answer at exit, and the heartbeat before it.

use super::result::JoinResult;
use std::{collections::BTreeMap, fmt::Write};

/// At most this many peers are counted by name per layer.
const MAX_PEERS: usize = 1024;

#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Anchors that passed the filter.
    pub seen: u64,
    pub closed: u64,
    /// Results that `keep` let through.
    pub kept: u64,
    /// Anchors that arrived after the watermark had passed them.
    pub late: u64,
    /// Leg records that belonged to no anchor.
    pub orphans: u64,
    /// Leg records without any key.
    pub keyless: u64,
    pub evicted_anchors: u64,
    pub evicted_records: u64,
    /// Events lost before they reached the join.
    pub lost: u64,
    /// Kept results by the layer that took most of their time, with their peers.
    layers: BTreeMap<String, Layer>,
}

#[derive(Clone, Debug, Default)]
struct Layer {
    count: u64,
    peers: BTreeMap<String, u64>,
}

impl Summary {
    pub(super) fn kept(&mut self, result: &JoinResult) {
        self.kept += 1;
        let layer = self.layers.entry(result.verdict().layer).or_default();
        layer.count += 1;
        let peer = result.server();
        if !peer.is_empty() && (layer.peers.contains_key(&peer) || layer.peers.len() < MAX_PEERS) {
            *layer.peers.entry(peer).or_default() += 1;
        }
    }

    /// `312 slow of 48,210: syn 280 (10.0.3.7:8080: 271) · app 20`, with what was lost or dropped.
    pub fn text(&self, name: &str) -> String {
        let mut out = format!("{name}: {} kept of {}", grouped(self.kept), grouped(self.seen));
        let mut layers: Vec<(&String, &Layer)> = self.layers.iter().collect();
        layers.sort_by_key(|(name, layer)| (std::cmp::Reverse(layer.count), *name));
        for (i, (name, layer)) in layers.iter().enumerate() {
            let _ = write!(out, "{}{name} {}", if i == 0 { ": " } else { " · " }, grouped(layer.count));
            if let Some((peer, count)) = layer.peers.iter().max_by_key(|(peer, n)| (**n, std::cmp::Reverse(*peer))) {
                let _ = write!(out, " ({peer}: {})", grouped(*count));
            }
        }
        let _ = write!(out, ". Lost: {}", grouped(self.lost));
        for (count, what) in [
            (self.late, "late"),
            (self.evicted_anchors, "closed early for want of room"),
            (self.evicted_records, "leg records dropped for want of room"),
            (self.keyless, "leg records without a key"),
        ] {
            if count > 0 {
                let _ = write!(out, ", {what}: {}", grouped(count));
            }
        }
        out.push('.');
        out
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
