//! The blocks on one source of packets.

use super::{BlockSpec, Wants};
use crate::{
    engine::core::Core,
    error::Error,
    losses::{LossKind, Losses},
};
use std::path::Path;
use weftrace_artifact::packet::{Asked, PacketView, layer, needs};
use weftrace_probes::packet::{
    Options, Owner, Owners, Pipeline, RawPacket,
    source::{BlockFilter, KeyLog},
};

struct Block {
    entry: u32,
    probe: u32,
    /// In [`Blocks::filters`].
    filter: usize,
    parts: u32,
    asks: Asked,
    /// Bits of [`needs`] for what may end where there is no packet any more.
    lasting: u32,
    ends: bool,
    /// It reads whose packets are.
    reads_owner: bool,
    matched: bool,
}

impl Block {
    fn reads_http(&self) -> bool {
        self.parts & needs::HTTP != 0
    }

    /// Runs for exchanges of HTTP alone.
    fn is_of_exchanges(&self) -> bool {
        self.asks.layers & layer::HTTP_EXCHANGE != 0
    }

    /// Runs it. `over`: the script has ended, and it runs only if it does nothing but tell joins.
    fn run(&self, view: &PacketView, raw: Option<&RawPacket<'_>>, over: bool, core: &mut Core) {
        if !over || core.only_tells(self.probe) {
            core.run_packet(self.entry, self.probe, view, raw);
        }
    }

    /// Whether what is found when all packets are over is for it: it reads what ends then, or does nothing without a message like this one.
    /// Others count packets, and there is none.
    fn is_for_last(&self, family: u32, view: &PacketView) -> bool {
        if family == needs::STALLS {
            return self.lasting & family != 0 && self.asks.is_in(view);
        }
        let ended = |bit: u64, need: u32| view.layers & bit != 0 && self.lasting & need != 0;
        let asked = self.asks.layers & layer::PARTS != 0;
        let reads = ended(layer::HTTP_EXCHANGE, needs::EXCHANGES) || ended(layer::TLS_HANDSHAKE_END, needs::HANDSHAKES);
        self.asks.is_in(view) && (reads || asked)
    }
}

/// Blocks on one source of packets, with what the source's packets are followed by.
pub(in crate::engine) struct Blocks {
    list: Vec<Block>,
    /// Each once, and whether the packet at hand passes it.
    filters: Vec<(BlockFilter, bool)>,
    pub(super) pipeline: Pipeline,
    view: Box<PacketView>,
    /// Some block is told of connections that end, or of what ends with one of which nothing more comes.
    pub(super) ends: bool,
    /// Some block is told of losses and closed windows.
    stalls: bool,
    /// Some block is told of messages.
    parts: bool,
    /// Live, if a block asks whose packets are, or a recording's comments say it.
    owners: Option<Box<Owners>>,
    /// Packets that a block asked for, and whose owner is not known. What a recording's comments lack nobody has asked for.
    unowned: u64,
    /// Its number in a recording.
    pub(super) source: u32,
}

impl Blocks {
    pub(in crate::engine) fn new(specs: &[BlockSpec], wants: Wants) -> Result<Self, Error> {
        let mut filters: Vec<(BlockFilter, bool)> = Vec::new();
        let list = specs
            .iter()
            .map(|spec| {
                let known = filters.iter().position(|(filter, _)| filter.text() == spec.filter.trim());
                let filter = known.unwrap_or(filters.len());
                if known.is_none() {
                    let new = BlockFilter::new(&spec.filter, &[]).map_err(|e| Error::Packets {
                        source_name: format!("pcap:{}", spec.interface),
                        why: e.to_string(),
                    })?;
                    filters.push((new, false));
                }
                Ok(Block {
                    entry: spec.entry,
                    probe: spec.probe,
                    filter,
                    parts: spec.parts,
                    // There is always a frame, but at the end of all packets, which is for blocks that ask for it too.
                    asks: Asked { layers: spec.asks.layers & !layer::FRAME, ..spec.asks },
                    lasting: spec.needs & (needs::EXCHANGES | needs::HANDSHAKES | needs::STALLS),
                    ends: spec.ends,
                    reads_owner: spec.needs & needs::OWNER != 0,
                    matched: false,
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        // Of messages by themselves only blocks are told that don't ask for exchanges.
        let messages = list.iter().any(|block: &Block| block.reads_http() && !block.is_of_exchanges());
        let more = if messages { needs::HTTP_MESSAGES } else { 0 };
        let options = Options { community_id_seed: wants.community_id_seed, ..Options::default() };
        let read = specs.iter().fold(0, |all, spec| all | spec.needs);
        let last = read & (needs::EXCHANGES | needs::HANDSHAKES) != 0;
        let ends = last || specs.iter().any(|spec| spec.ends);
        let parts = specs.iter().any(|spec| spec.parts != 0);
        Ok(Self {
            list,
            filters,
            pipeline: Pipeline::new(wants.needs | more, options),
            view: Box::default(),
            ends,
            stalls: read & needs::STALLS != 0,
            parts,
            owners: None,
            unowned: 0,
            source: 0,
        })
    }

    pub(super) fn packet(&mut self, raw: &RawPacket<'_>, core: &mut Core) {
        self.process(raw, None, core);
    }

    /// A packet of a recording, with the process it was of.
    pub(in crate::engine) fn recorded(&mut self, raw: &RawPacket<'_>, owner: Option<(u32, &[u8])>, core: &mut Core) {
        self.process(raw, owner, core);
    }

    fn process(&mut self, raw: &RawPacket<'_>, recorded: Option<(u32, &[u8])>, core: &mut Core) {
        // (A script that ends at this packet has its other blocks at it.)
        let over = core.exit.is_some();
        let (mut wanted, mut parts) = (0, 0);
        for (filter, passes) in &mut self.filters {
            *passes = filter.matches(raw);
        }
        self.look_inside(raw);
        for (bit, block) in bits().zip(&mut self.list) {
            block.matched = self.filters.get(block.filter).is_some_and(|(_, passes)| *passes);
            if block.matched {
                wanted |= bit;
                parts |= block.parts;
            }
        }
        // What no block wants is not dissected: as if the kernel had filtered it.
        if wanted == 0 {
            // A replay needs the pieces that later ones make whole.
            if let Some(recorder) = core.recorder.as_mut().filter(|_| self.pipeline.has_kept(raw)) {
                recorder.packet(raw, self.source, recorded);
            }
            return;
        }
        if self.ends || self.parts || self.stalls {
            self.pipeline.wanted_by(wanted);
        }
        self.pipeline.process(raw, &mut self.view);
        if let Some(passed) = self.pipeline.passed() {
            for block in self.list.iter().filter(|b| b.matched && b.reads_http()) {
                core.joins.pass_over(block.probe, (passed.count, passed.end));
            }
        }
        let found = self.find_owner(core.recorder.is_some());
        let owner = found.as_ref().map(|owner| (owner.pid, &*owner.comm)).or(recorded);
        if let Some((pid, comm)) = owner {
            self.pipeline.set_owner(pid, comm, &mut self.view);
        }
        if let Some(recorder) = &mut core.recorder {
            recorder.packet(raw, self.source, owner);
        }
        for block in self.list.iter().filter(|b| b.matched && b.asks.is_in(&self.view)) {
            block.run(&self.view, Some(raw), over, core);
        }
        if parts != 0 {
            while let Some(family) = self.pipeline.next_part(&mut self.view) {
                let mine = |b: &&Block| b.matched && b.parts & family != 0 && b.asks.is_in(&self.view);
                for block in self.list.iter().filter(mine) {
                    block.run(&self.view, Some(raw), over, core);
                }
            }
        }
        if self.ends || self.parts || self.stalls {
            self.tell_ends(over, core);
        }
    }

    /// Filters see the outermost headers, fields are of the innermost: what a filter refused it is asked about once more, as that.
    fn look_inside(&mut self, raw: &RawPacket<'_>) {
        if self.filters.iter().all(|(_, passes)| *passes) {
            return;
        }
        let Some(inside) = self.pipeline.look_inside(raw, &mut self.view) else { return };
        for (filter, passes) in self.filters.iter_mut().filter(|(_, passes)| !passes) {
            *passes = filter.matches_inside(raw, inside);
        }
    }

    /// Of exchanges that no join would keep nothing is to be presented, where all that blocks do with exchanges is to tell joins.
    pub(in crate::engine) fn pass_over(&mut self, core: &Core) {
        let bounds = self.list.iter().filter(|block| block.reads_http()).map(|block| core.joins.bound(block.probe));
        let bound = bounds.reduce(|a, b| Some(a?.or(b?))).flatten();
        self.pipeline.pass_over(bound.filter(|_| core.only_joins_read()));
    }

    /// Connections that have ended, and what ended with those of which nothing more comes: to the blocks that one of their packets was for.
    fn tell_ends(&mut self, over: bool, core: &mut Core) {
        while let Some(wanted) = self.pipeline.next_end(&mut self.view) {
            for (bit, block) in bits().zip(&self.list) {
                if block.ends && wanted & bit != 0 {
                    block.run(&self.view, None, over, core);
                }
            }
        }
        while let Some(last) = self.pipeline.next_given_up(&mut self.view) {
            self.tell_last(last, over, core);
        }
    }

    /// What ended, or lasts, where there is no packet: it is of a family, and told to the blocks that wanted its connection's.
    fn tell_last(&self, (family, wanted): (u32, u64), over: bool, core: &mut Core) {
        for (bit, block) in bits().zip(&self.list) {
            let reads = (block.parts | block.lasting) & family != 0;
            if reads && wanted & bit != 0 && block.is_for_last(family, &self.view) {
                block.run(&self.view, None, over, core);
            }
        }
    }

    /// Time has passed without packets.
    pub(in crate::engine) fn pass_time(&mut self, time: u64, core: &mut Core) {
        if self.ends {
            self.pipeline.pass_time(time);
            self.tell_ends(false, core);
        }
    }

    /// Whether joins are told by its blocks, and by which: Some(true): by those alone that do nothing else, so that they may run on once the script has ended.
    #[cfg(feature = "live")]
    pub(super) fn tell_joins_alone(&self, core: &Core) -> Option<bool> {
        let telling = self.list.iter().filter(|block| core.tells(block.probe));
        telling.map(|block| core.only_tells(block.probe)).reduce(|all, one| all && one)
    }

    /// Packets are this host's, and their owners are asked for.
    #[cfg(feature = "live")]
    pub(super) fn find_owners(&mut self) {
        self.owners.get_or_insert_default();
    }

    /// Whose the packet at hand is, if a block that it is for asks, or a recording does.
    fn find_owner(&mut self, recorded: bool) -> Option<Owner> {
        let asked = self.list.iter().any(|block| block.matched && block.reads_owner);
        let owners = self.owners.as_mut().filter(|_| asked || recorded)?;
        let before = owners.unknown;
        let found = owners.of(&self.view);
        self.unowned += if asked { owners.unknown - before } else { 0 };
        found
    }

    /// `--tls-keys`. `later`: the file may not be there yet.
    pub(super) fn follow_keys(&mut self, log: &Path, later: bool) -> Result<(), Error> {
        let log = KeyLog::open(log, later)
            .map_err(|e| Error::Packets { source_name: "--tls-keys".into(), why: format!("{}: {e}", log.display()) })?;
        self.pipeline.follow_secrets(Box::new(log));
        Ok(())
    }

    /// The end of the earliest exchange that is still to be told: it waits for its acknowledgement.
    pub(in crate::engine) fn oldest_unsettled(&self) -> Option<u64> {
        self.pipeline.oldest_unsettled()
    }

    /// What the analysis could not keep goes into the table.
    pub(in crate::engine) fn count_losses(&self, source: &str, losses: &mut Losses) {
        let c = self.pipeline.counters();
        for (what, count) in [
            ("filter", self.filters.iter().map(|(filter, _)| filter.not_applicable).sum()),
            ("unknown_link", c.unknown_link),
            ("fragments", c.fragments_dropped),
            ("flows", c.flows_evicted),
            ("segments", c.segments_dropped),
            ("http_gaps", c.http_gaps),
            ("http_cut", c.http_cut),
            ("http_malformed", c.http_malformed),
            ("http_dropped", c.http_dropped),
            ("tls_gaps", c.tls_gaps),
            ("tls_secrets", c.secrets_dropped),
            ("tls_refused", c.tls_refused),
            ("tls_compressed", c.tls_compressed),
            ("http2_unknown", c.http2.unknown),
            ("http2_gaps", c.http2.gaps),
            ("http2_malformed", c.http2.malformed),
            ("http2_cut", c.http2.cut + c.http2.forgotten),
            ("parts", c.parts_dropped),
            ("questions", c.questions_dropped),
            ("connections", c.ends_dropped),
            ("owners", self.unowned),
        ] {
            losses.set(source, LossKind::Analysis(what), count);
        }
    }

    /// Connections and exchanges still open at the end.
    pub(in crate::engine) fn finish(&mut self, core: &mut Core) {
        while self.ends && core.exit.is_none() && self.pipeline.end_more() {
            self.tell_ends(false, core);
        }
        if !self.parts && !self.stalls {
            return;
        }
        // These are not of one packet: each is told to its own blocks.
        self.pipeline.pass_over(None);
        let over = core.exit.is_some();
        while let Some(last) = self.pipeline.finish(&mut self.view) {
            self.tell_last(last, over, core);
        }
    }
}

/// A bit for each block; the last one stands for all further ones.
fn bits() -> impl Iterator<Item = u64> {
    (0u32..).map(|i| 1 << i.min(u64::BITS - 1))
}
