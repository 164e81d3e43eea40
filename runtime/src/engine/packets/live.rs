//! Packets of a device.

use super::{BATCH, BlockSpec, Wants, blocks::Blocks, gone::There};
use crate::{
    engine::{
        core::{Core, now},
        supply::{BLOCKS, SourceId},
    },
    error::Error,
    losses::{LossKind, Lost},
    record::event::Event,
    sys::{Clock, watch},
};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};
use tokio::io::unix::AsyncFd;
use weftrace_artifact::packet::needs;
use weftrace_probes::packet::{
    RawPacket,
    source::{Latency, LiveOptions, LiveSource, Place, union},
};

/// The kernel hands packets over after so long at the latest, though its block isn't full.
const BLOCK_MS: u16 = 20;

/// The lateness of packets: two block times (a block that was just retired, and one
/// being filled), and the time to be scheduled.
pub(super) const LIVE_DISORDER_NS: u64 = 3 * BLOCK_MS as u64 * 1_000_000;

/// A live interface.
pub(crate) struct LiveFeed {
    pub(in crate::engine) source: LiveSource,
    pub(crate) fd: AsyncFd<OwnedFd>,
    pub(in crate::engine) name: String,
    /// A program on the source takes what is plain.
    pub(in crate::engine) program: bool,
    pub(super) blocks: Blocks,
    pub(super) clock: Clock,
    pub(super) source_id: SourceId,
    /// Of its blocks, as written, and the filter of all.
    pub(super) interfaces: Vec<String>,
    pub(super) filter: String,
    /// Boot time of the last packet.
    last_boot: u64,
    /// Losses that were told already.
    told: BTreeMap<LossKind, u64>,
    remedy_told: bool,
    pub(super) there: There,
    /// A packet was seen that is younger than the end: all that came before it is read.
    past_end: bool,
}

impl LiveFeed {
    /// Opens the device that all of `specs` name; must be called inside a tokio runtime.
    pub(crate) fn open(place: Place, specs: &[BlockSpec], wants: Wants) -> Result<Self, Error> {
        let Place { device, netns, name } = place;
        let fail = |why: String| Error::Packets { source_name: name.clone(), why };
        let mut blocks = Blocks::new(specs, wants)?;
        if wants.needs & needs::OWNER != 0 {
            blocks.find_owners();
        }
        let mut options = LiveOptions::new(device);
        options.filter = union(specs.iter().map(|spec| &*spec.filter));
        options.netns = netns;
        (options.promiscuous, options.snaplen) = (wants.capture.promiscuous, wants.capture.snaplen);
        options.buffer_bytes = wants.capture.buffer_bytes;
        // Blocks, not single packets: in the ring that hands packets over at once every packet takes a slot of the snap length, and a
        // burst of a hundred overruns it.
        options.latency = Latency::Block(BLOCK_MS);
        let source = LiveSource::open(&options).map_err(|e| fail(e.to_string()))?;
        let fd = watch(source.as_fd()).map_err(|e| fail(e.to_string()))?;
        let told = BTreeMap::new();
        let mut interfaces: Vec<String> = specs.iter().map(|spec| spec.interface.clone()).collect();
        interfaces.dedup();
        Ok(Self {
            source,
            fd,
            name,
            program: false,
            blocks,
            clock: Clock::live(),
            source_id: BLOCKS,
            interfaces,
            filter: options.filter,
            last_boot: 0,
            told,
            remedy_told: false,
            there: There::new(),
            past_end: false,
        })
    }

    /// Handles what has arrived, at most a batch; true: there may be more.
    pub(crate) fn step(&mut self, core: &mut Core) -> bool {
        self.blocks.pass_over(core);
        (0..BATCH).all(|_| self.one(core, u64::MAX) && !core.should_stop()) || core.should_stop()
    }

    /// Handles the next packet; false: none is there that arrived before `end`.
    fn one(&mut self, core: &mut Core, end: u64) -> bool {
        match self.source.next_packet() {
            Ok(Some(raw)) => {
                let boot = self.clock.boot(raw.time_ns);
                core.record_clock();
                if boot > end {
                    self.past_end = true;
                    return false;
                }
                self.last_boot = self.last_boot.max(boot);
                self.blocks.packet(&RawPacket { boot_ns: Some(boot), ..raw }, core);
                true
            }
            Ok(None) => false,
            Err(error) => {
                let text = error.to_string();
                if self.source.is_gone() {
                    self.tell_gone(core);
                } else {
                    core.warn(&text);
                }
                false
            }
        }
    }

    /// Tells what was lost since the last call, which was so long ago.
    pub(crate) fn tell_losses(&mut self, core: &mut Core, since: Duration) {
        self.count_losses(core);
        let mut remedy = false;
        for lost in core.losses.of(&self.name) {
            let told = self.told.insert(lost.kind, lost.count).unwrap_or(0);
            if lost.count > told {
                remedy |= lost.kind == LossKind::Packets;
                let lost = Lost { count: lost.count - told, ..lost };
                core.warn(&format!("{lost}, in the last {:.1} s", since.as_secs_f64()));
            }
        }
        if remedy && !std::mem::replace(&mut self.remedy_told, true) {
            core.warn("a larger --packet-buffer, a smaller --snaplen or a narrower filter loses fewer packets");
        }
    }

    /// A tick at `time`: handles what is there, and says up to when that is all.
    pub(crate) fn tick(&mut self, core: &mut Core, time: u64) {
        // As long as packets wait, time is theirs.
        let all = if self.step(core) {
            self.last_boot
        } else {
            self.pass_time(core);
            time
        };
        if self.there.is_gone() {
            return;
        }
        core.supply.mark(self.source_id, all, self.blocks.oldest_unsettled());
    }

    /// Up to when all packets were handled, at `time`; `waiting`: some are there.
    pub(crate) fn handled(&self, core: &Core, time: u64, waiting: bool) -> u64 {
        let lateness = core.supply.get(self.source_id).map_or(0, |source| source.lateness);
        let all = if waiting { self.last_boot } else { time };
        all.saturating_sub(lateness)
    }

    /// Whether connections that end without a packet are to be told.
    pub(crate) fn ticks(&self) -> bool {
        self.blocks.ends
    }

    fn pass_time(&mut self, core: &mut Core) {
        let time = now().saturating_sub(LIVE_DISORDER_NS);
        if self.blocks.ends {
            core.note(|| Event::PassTime { source: self.source_id.0, time });
        }
        self.blocks.pass_time(time, core);
    }

    /// Packets the kernel dropped so far go into the table.
    pub(crate) fn count_losses(&mut self, core: &mut Core) {
        let counters = self.source.counters();
        core.losses.set(&self.name, LossKind::Packets, counters.dropped_kernel);
        // Some drivers count these.
        core.losses.set(&self.name, LossKind::Device, counters.dropped_interface);
        self.blocks.count_losses(&self.name, &mut core.losses);
    }

    /// From now on no packet comes, neither here nor to the program.
    pub(crate) fn stop(&mut self) {
        self.program = false;
        self.source.stop();
    }

    /// What arrived until `end`, then the exchanges still open. The kernel keeps the last packets until their block is due; on a busy
    /// machine its timer may be late, so what it says it has taken is waited for, up to a limit. After exit() it is for joins alone: what tells them runs on
    /// where it does nothing else; where it does, what it would have told of these packets is unknown.
    pub(crate) fn finish(&mut self, core: &mut Core, end: u64) {
        /// What the kernel has taken may also be what libpcap left out: filtered in user space.
        const PATIENCE: Duration = Duration::from_millis(500);
        let begin = Instant::now();
        let due = begin + 2 * Duration::from_millis(BLOCK_MS.into());
        let mut left = self.source.waiting();
        let tells = self.blocks.tell_joins_alone(core);
        while core.exit.is_none() || tells == Some(true) {
            let mut taken = 0;
            while self.one(core, end) && (core.exit.is_none() || tells == Some(true)) {
                taken += 1;
            }
            left = left.map(|n| n.saturating_sub(taken));
            let now = Instant::now();
            if left == Some(0) || self.past_end || now > due && (left.is_none() || now > begin + PATIENCE) {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if core.exit.is_some() && tells == Some(false) {
            self.leave_unread(core, end);
        }
        self.end_without(core, end);
        core.note(|| Event::SourceEnd(self.source_id.0));
        self.blocks.finish(core);
    }
}
