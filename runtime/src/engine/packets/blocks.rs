//! The blocks on one source of packets.

use super::{BlockSpec, Wants};
use crate::{engine::core::Core, error::Error, losses::LossKind};
use std::path::Path;
use weftrace_artifact::packet::PacketView;
use weftrace_probes::packet::{
    Options, Owners, Pipeline, RawPacket,
    source::{BlockFilter, KeyLog},
};

struct Block {
    entry: u32,
    probe: u32,
    filter: BlockFilter,
    parts: u32,
    ends: bool,
    matched: bool,
}

/// Blocks on one source of packets, with what the source's packets are followed by.
pub(in crate::engine) struct Blocks {
    list: Vec<Block>,
    pub(super) pipeline: Pipeline,
    view: Box<PacketView>,
    /// Some block is told of connections that end.
    pub(super) ends: bool,
    /// Some block is told of messages.
    parts: bool,
    /// Live, if a block asks whose packets are.
    owners: Option<Box<Owners>>,
    /// A block asks. Otherwise it is for a recording's comments, which lack nothing that was asked for.
    owners_asked: bool,
    /// Its number in a recording.
    pub(super) source: u32,
}

impl Blocks {
    pub(in crate::engine) fn new(specs: &[BlockSpec], wants: Wants) -> Result<Self, Error> {
        let list = specs
            .iter()
            .map(|spec| {
                let filter = BlockFilter::new(&spec.filter, &[]).map_err(|e| Error::Packets {
                    source_name: format!("pcap:{}", spec.interface),
                    why: e.to_string(),
                })?;
                Ok(Block {
                    entry: spec.entry,
                    probe: spec.probe,
                    filter,
                    parts: spec.parts,
                    ends: spec.ends,
                    matched: false,
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let options = Options { community_id_seed: wants.community_id_seed, ..Options::default() };
        let ends = specs.iter().any(|spec| spec.ends);
        let parts = specs.iter().any(|spec| spec.parts != 0);
        Ok(Self {
            list,
            pipeline: Pipeline::new(wants.needs, options),
            view: Box::default(),
            ends,
            parts,
            owners: None,
            owners_asked: false,
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
        let (mut wanted, mut parts) = (0, 0);
        for (bit, block) in bits().zip(&mut self.list) {
            block.matched = block.filter.matches(raw);
            if block.matched {
                wanted |= bit;
                parts |= block.parts;
            }
        }
        // What no block wants is not dissected: as if the kernel had filtered it.
        if wanted == 0 {
            return;
        }
        if self.ends || self.parts {
            self.pipeline.wanted_by(wanted);
        }
        self.pipeline.process(raw, &mut self.view);
        let found = self.owners.as_mut().and_then(|owners| owners.of(&self.view));
        let owner = found.as_ref().map(|owner| (owner.pid, &*owner.comm)).or(recorded);
        if let Some((pid, comm)) = owner {
            self.pipeline.set_owner(pid, comm, &mut self.view);
        }
        if let Some(recorder) = &mut core.recorder {
            recorder.packet(raw, self.source, owner);
        }
        for block in self.list.iter().filter(|b| b.matched) {
            core.run_packet(block.entry, block.probe, &self.view, Some(raw));
        }
        if parts != 0 {
            while let Some(family) = self.pipeline.next_part(&mut self.view) {
                for block in self.list.iter().filter(|b| b.matched && b.parts & family != 0) {
                    core.run_packet(block.entry, block.probe, &self.view, Some(raw));
                }
            }
        }
        if self.ends {
            self.tell_ends(core);
        }
    }

    /// Connections that have ended: to the blocks that one of their packets was for.
    fn tell_ends(&mut self, core: &mut Core) {
        while let Some(wanted) = self.pipeline.next_end(&mut self.view) {
            for (bit, block) in bits().zip(&self.list) {
                if block.ends && wanted & bit != 0 {
                    core.run_packet(block.entry, block.probe, &self.view, None);
                }
            }
        }
    }

    /// Time has passed without packets.
    pub(in crate::engine) fn pass_time(&mut self, time: u64, core: &mut Core) {
        if self.ends {
            self.pipeline.pass_time(time);
            self.tell_ends(core);
        }
    }

    /// Packets are this host's, and their owners are asked for.
    #[cfg(feature = "live")]
    pub(super) fn find_owners(&mut self, asked: bool) {
        self.owners.get_or_insert_default();
        self.owners_asked |= asked;
    }

    /// `--tls-keys`. `later`: the file may not be there yet.
    pub(super) fn follow_keys(&mut self, log: &Path, later: bool) -> Result<(), Error> {
        let log = KeyLog::open(log, later)
            .map_err(|e| Error::Packets { source_name: "--tls-keys".into(), why: format!("{}: {e}", log.display()) })?;
        self.pipeline.follow_secrets(Box::new(log));
        Ok(())
    }

    /// What the analysis could not keep goes into the table.
    pub(in crate::engine) fn count_losses(&self, source: &str, core: &mut Core) {
        let c = self.pipeline.counters();
        for (what, count) in [
            ("filter", self.list.iter().map(|b| b.filter.not_applicable).sum()),
            ("unknown_link", c.unknown_link),
            ("fragments", c.fragments_dropped),
            ("flows", c.flows_evicted),
            ("segments", c.segments_dropped),
            ("http_gaps", c.http_gaps),
            ("http_malformed", c.http_malformed),
            ("http_dropped", c.http_dropped),
            ("tls_gaps", c.tls_gaps),
            ("tls_secrets", c.secrets_dropped),
            ("tls_refused", c.tls_refused),
            ("http2_unknown", c.http2.unknown),
            ("http2_gaps", c.http2.gaps),
            ("http2_malformed", c.http2.malformed),
            ("http2_cut", c.http2.cut + c.http2.forgotten),
            ("parts", c.parts_dropped),
            ("questions", c.questions_dropped),
            ("connections", c.ends_dropped),
            ("owners", self.owners.as_ref().filter(|_| self.owners_asked).map_or(0, |owners| owners.unknown)),
        ] {
            core.losses.set(source, LossKind::Analysis(what), count);
        }
    }

    /// Connections and exchanges still open at the end.
    pub(in crate::engine) fn finish(&mut self, core: &mut Core) {
        while self.ends && core.exit.is_none() && self.pipeline.end_more() {
            self.tell_ends(core);
        }
        if !self.parts {
            return;
        }
        while let Some((family, wanted)) = self.pipeline.finish(&mut self.view) {
            for (bit, block) in bits().zip(&self.list) {
                if block.parts & family != 0 && wanted & bit != 0 {
                    core.run_packet(block.entry, block.probe, &self.view, None);
                }
            }
        }
    }
}

/// A bit for each block; the last one stands for all further ones.
fn bits() -> impl Iterator<Item = u64> {
    (0u32..).map(|i| 1 << i.min(u64::BITS - 1))
}
