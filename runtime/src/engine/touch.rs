//! Which streams a loss touches: only legs on those are unknown because of it.
//!
//! A probe that missed an event emitted nothing, and left nothing in its maps for other probes to emit: what it touches is what
//! it emits and what all probes emit that share a map with it, directly or through others. A loss that can't be attributed
//! touches all.

use crate::losses::LossKind;
use std::collections::{BTreeMap, BTreeSet};
use weftrace_artifact::{
    Artifact,
    action::StreamId,
    packet::needs,
    plan::{ProbePlan, Unit, Way},
    sockets,
};

/// What the probes of one name, or a source of packets, emit.
#[derive(Clone, Debug, Default)]
struct Streams {
    /// Its own records.
    own: BTreeSet<StreamId>,
    /// What depends on its having seen an event.
    depend: BTreeSet<StreamId>,
    /// For packets: by block, what it asks of the analysis.
    by_needs: Vec<(u32, BTreeSet<StreamId>)>,
    /// Of spans and log records: what depends on the latter.
    logs: BTreeSet<StreamId>,
}

/// By source of losses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Touch {
    sources: BTreeMap<String, Streams>,
    /// By probe: what depends on it.
    depend: Vec<BTreeSet<StreamId>>,
    kernel: BTreeSet<StreamId>,
    all: BTreeSet<StreamId>,
}

impl Touch {
    pub(crate) fn new(artifact: &Artifact) -> Self {
        if artifact.streams.is_empty() {
            return Self::default();
        }
        let depend = dependents(artifact);
        let all = (0..artifact.streams.len() as u32).map(StreamId).collect();
        let mut touch = Self { depend, all, ..Self::default() };
        let of_sockets = |p: &&ProbePlan| matches!(p.best.way, Way::Exchange { .. });
        let exchanges: BTreeSet<StreamId> =
            artifact.probes.iter().filter(of_sockets).flat_map(|p| p.emits.iter().copied()).collect();
        if !exchanges.is_empty() {
            let by_needs = vec![(u32::MAX, exchanges.clone())];
            let streams = Streams { own: exchanges.clone(), depend: exchanges.clone(), by_needs, ..Streams::default() };
            touch.sources.insert(sockets::SOURCE.to_owned(), streams);
        }
        for (i, plan) in artifact.probes.iter().enumerate() {
            let streams = touch.sources.entry(plan.name.clone()).or_default();
            streams.own.extend(&plan.emits);
            streams.depend.extend(&touch.depend[i]);
            if sockets::tells(plan, artifact) {
                streams.own.extend(&exchanges);
            }
            if plan.ways().any(|a| matches!(a.unit, Unit::Kernel(_))) && !matches!(plan.best.way, Way::Pcap { .. }) {
                touch.kernel.extend(&plan.emits);
            }
        }
        touch
    }

    /// A source of packets, with the probes on it.
    pub(crate) fn add_packets(&mut self, name: &str, probes: &[u32], artifact: &Artifact) {
        let mut streams = Streams::default();
        for &probe in probes {
            let Some(plan) = artifact.probes.get(probe as usize) else { continue };
            let depend = self.depend.get(probe as usize).cloned().unwrap_or_default();
            streams.own.extend(&plan.emits);
            streams.depend.extend(&depend);
            streams.by_needs.push((plan.packet_needs, depend));
        }
        self.sources.insert(name.to_owned(), streams);
    }

    /// Which of a source's probes are at log records.
    pub(crate) fn add_logs(&mut self, name: &str, probes: impl Iterator<Item = u32>) {
        let depend = probes.filter_map(|probe| self.depend.get(probe as usize)).flatten().copied().collect();
        if let Some(streams) = self.sources.get_mut(name) {
            streams.logs = depend;
        }
    }

    /// Streams that a recording has are its own: what the blocks on a source of packets here miss they don't. Whether others are left.
    pub(crate) fn leave_out(&mut self, name: &str, recorded: impl Fn(StreamId) -> bool) -> bool {
        let Some(streams) = self.sources.get_mut(name) else { return false };
        let by_needs = streams.by_needs.iter_mut().map(|(_, streams)| streams);
        for streams in [&mut streams.own, &mut streams.depend, &mut streams.logs].into_iter().chain(by_needs) {
            streams.retain(|stream| !recorded(*stream));
        }
        !streams.depend.is_empty()
    }

    /// A source that is no probe's and feeds one stream.
    pub(crate) fn add_stream(&mut self, name: &str, stream: StreamId) {
        let all = BTreeSet::from([stream]);
        let by_needs = vec![(u32::MAX, all.clone())];
        let streams = Streams { own: all.clone(), depend: all, by_needs, ..Streams::default() };
        self.sources.insert(name.to_owned(), streams);
    }

    /// Whether a stream lacks something if this probe misses an event.
    pub(crate) fn matters(&self, probe: u32) -> bool {
        self.depend.get(probe as usize).is_some_and(|streams| !streams.is_empty())
    }

    /// The streams that lack something, or have something wrong, because of a loss.
    pub(crate) fn streams(&self, source: &str, kind: LossKind) -> Vec<StreamId> {
        let Some(streams) = self.sources.get(source) else {
            return match (source, kind) {
                ("events", _) => self.kernel.iter().copied().collect(),
                // What is lost is a text, or a packet that was to be kept.
                (_, LossKind::Mappings | LossKind::Analysis("kept" | "no_packet")) => Vec::new(),
                _ => self.all.iter().copied().collect(),
            };
        };
        match kind {
            LossKind::RingFull | LossKind::Stack | LossKind::Unread | LossKind::Analysis("headers") => {
                streams.own.iter().copied().collect()
            }
            LossKind::Analysis("untraced") => streams.logs.iter().copied().collect(),
            LossKind::Analysis(what) => {
                let wanted = analysed_for(what);
                let mine = streams.by_needs.iter().filter(|(needs, _)| needs & wanted != 0 || wanted == u32::MAX);
                mine.flat_map(|(_, streams)| streams).copied().collect::<BTreeSet<_>>().into_iter().collect()
            }
            LossKind::Mappings => Vec::new(),
            _ => streams.depend.iter().copied().collect(),
        }
    }
}

/// The families of fields that lack something where the analysis could not keep or follow this; all bits: whatever reads packets.
fn analysed_for(what: &str) -> u32 {
    match what {
        "segments" => needs::SEGMENTS | needs::ANALYSIS,
        "flows" => needs::FLOW | needs::ANALYSIS | needs::SEGMENTS | needs::STREAMS | needs::FLOW_STATS,
        "http_gaps" | "http_malformed" | "http_dropped" | "http_cut" => needs::HTTP,
        "http2_unknown" | "http2_gaps" | "http2_malformed" | "http2_cut" => needs::HTTP2 | needs::HTTP,
        "tls_gaps" | "tls_secrets" | "tls_compressed" => needs::STREAMS,
        "parts" => needs::PARTS,
        "questions" => needs::DNS | needs::ICMP,
        "connections" => needs::FLOW_END,
        "owners" => needs::OWNER,
        // Of an attribute that was left out the record is there, and no stream of ours has it.
        "no_packet" | "kept" | "attributes" => 0,
        _ => u32::MAX,
    }
}

/// By probe: what it emits, and what all probes do that share a map with it, directly or not.
fn dependents(artifact: &Artifact) -> Vec<BTreeSet<StreamId>> {
    let probes = &artifact.probes;
    let mut group: Vec<usize> = (0..probes.len()).collect();
    let mut by_map: BTreeMap<u32, usize> = BTreeMap::new();
    for (i, plan) in probes.iter().enumerate() {
        for &map in &plan.maps {
            let first = *by_map.entry(map).or_insert(i);
            let (a, b) = (group[first], group[i]);
            if a != b {
                group.iter_mut().filter(|g| **g == b).for_each(|g| *g = a);
            }
        }
    }
    // Blocks on sockets depend on all that tells of them.
    let of_sockets = |p: &ProbePlan| sockets::tells(p, artifact) || matches!(p.best.way, Way::Exchange { .. });
    let mut all = (0..probes.len()).filter(|&i| of_sockets(&probes[i]));
    if let Some(first) = all.next() {
        for i in all {
            let (a, b) = (group[first], group[i]);
            group.iter_mut().filter(|g| **g == b).for_each(|g| *g = a);
        }
    }
    let mut streams: BTreeMap<usize, BTreeSet<StreamId>> = BTreeMap::new();
    for (plan, group) in probes.iter().zip(&group) {
        streams.entry(*group).or_default().extend(&plan.emits);
    }
    group.iter().map(|g| streams.get(g).cloned().unwrap_or_default()).collect()
}

#[cfg(test)]
#[path = "touch/tests.rs"]
mod tests;
