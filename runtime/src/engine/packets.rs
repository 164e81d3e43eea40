//! Packets into `pcap` blocks.

mod blocks;
#[cfg(feature = "live")]
mod gone;
#[cfg(feature = "live")]
mod live;

use super::{
    core::Core,
    in_kernel::InKernel,
    replay::Replay,
    supply::{BLOCKS, FILES_NS, KERNEL, SourceId},
    timers::{Jumps, Timers},
};
use crate::{error::Error, losses::LossKind, record::Recorded, session::SessionOptions, sys::watch};
pub(super) use blocks::Blocks;
#[cfg(feature = "live")]
use std::collections::BTreeMap;
use std::{os::fd::OwnedFd, path::PathBuf, rc::Rc, task::Context, time::Instant};
use tokio::io::unix::AsyncFd;
use weftrace_artifact::{Capture, packet::Asked};
use weftrace_probes::packet::source::{Captures, Drops, Secrets, SourceError};

#[cfg(feature = "live")]
use weftrace_probes::packet::source::{NetNs, Place};

#[cfg(feature = "live")]
use live::LIVE_DISORDER_NS;
#[cfg(feature = "live")]
pub(crate) use live::LiveFeed;

/// A `pcap` block of the plan.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "live"), allow(dead_code, reason = "there are no devices"))]
pub(crate) struct BlockSpec {
    pub(crate) entry: u32,
    pub(crate) probe: u32,
    pub(crate) interface: String,
    pub(crate) filter: String,
    /// The families of fields it reads of which a packet can have several (messages), bits of `packet::needs`: it runs again for
    /// each further one.
    pub(crate) parts: u32,
    /// What a packet must have, for the block to do anything.
    pub(crate) asks: Asked,
    /// Reads `tcp.flow.end`: runs once more for each connection that has ended.
    pub(crate) ends: bool,
    /// What must be computed for it.
    pub(crate) needs: u32,
    /// The program that takes plain packets in the kernel.
    pub(crate) program: Option<u32>,
}

/// What all blocks together ask of the pipeline.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "live"), allow(dead_code, reason = "there are no devices"))]
pub(crate) struct Wants {
    /// [`weftrace_artifact::packet::needs`] bits.
    pub(crate) needs: u32,
    pub(crate) community_id_seed: u16,
    /// How packets are captured live.
    pub(crate) capture: Capture,
}

/// Packets handled between two looks at signals and timers; joins go on as often at least.
const BATCH: usize = 2048;
/// How often joins go on by the packets' time, as live, where somebody sees when they do.
const TICK_NS: u64 = 100_000_000;

/// One source of packets.
pub(crate) enum Feed {
    Files(Box<FileFeed>),
    Recording(Box<Replay>),
    #[cfg(feature = "live")]
    Live(Box<LiveFeed>),
}

impl Feed {
    /// Notes it as a source of what its blocks emit.
    pub(crate) fn register(&mut self, core: &mut Core, probes: &[u32]) {
        let artifact = Rc::clone(&core.artifact);
        let emits = probes.iter().filter_map(|i| artifact.probes.get(*i as usize)).flat_map(|p| p.emits.clone());
        let (name, lateness, source) = match self {
            Self::Recording(replay) => return replay.register(core),
            Self::Files(files) => (FILES, FILE_DISORDER_NS, &mut files.source_id),
            #[cfg(feature = "live")]
            Self::Live(live) => {
                live.clock = core.names.clock().clone();
                (&*live.name, LIVE_DISORDER_NS, &mut live.source_id)
            }
        };
        *source = core.supply.add(name, "packets", lateness, emits.collect());
        if name == FILES {
            core.supply.say_uncertainty(*source, FILES_NS);
        }
        core.touch.add_packets(name, probes, &artifact);
        #[cfg(feature = "live")]
        if let Self::Live(live) = self {
            live.blocks.source = live.source_id.0;
            if core.recorder.is_some() {
                live.blocks.find_owners();
            }
            core.record_source(live.source_id, live.interfaces.clone(), live.filter.clone());
        }
    }

    /// When to call [`Self::look`].
    pub(crate) fn next_look(&self) -> Option<Instant> {
        match self {
            Self::Files(_) | Self::Recording(_) => None,
            #[cfg(feature = "live")]
            Self::Live(live) => live.next_look(),
        }
    }

    /// Looks whether its device has gone, or is there again.
    #[cfg(feature = "live")]
    pub(crate) fn look(&mut self, core: &mut Core) {
        if let Self::Live(live) = self {
            live.look(core);
        }
    }

    fn blocks(&mut self) -> Option<&mut Blocks> {
        match self {
            Self::Files(files) => Some(&mut files.blocks),
            Self::Recording(_) => None,
            #[cfg(feature = "live")]
            Self::Live(live) => Some(&mut live.blocks),
        }
    }
}

/// Capture files; time is the packets'.
pub(crate) struct FileFeed {
    captures: Captures,
    blocks: Blocks,
    ended: bool,
    /// A pipe among them has no packet yet.
    waiting: Option<AsyncFd<OwnedFd>>,
    /// A file was damaged or could not be read.
    pub(crate) damaged: bool,
    pub(crate) last_time: u64,
    pub(crate) packets: u64,
    /// When joins go on next by the packets' time.
    next_tick: u64,
    /// What the files said last was dropped when they were captured, and when they did.
    drops: (Drops, u64),
    jumps: Jumps,
    source_id: SourceId,
}

/// Their name among sources.
const FILES: &str = "packets";

impl FileFeed {
    pub(crate) fn new(paths: &[PathBuf], specs: &[BlockSpec], wants: Wants) -> Result<Self, Error> {
        Ok(Self {
            captures: Captures::new(paths.iter().cloned()),
            blocks: Blocks::new(specs, wants)?,
            ended: false,
            waiting: None,
            damaged: false,
            last_time: 0,
            packets: 0,
            next_tick: 0,
            drops: (Drops::default(), 0),
            jumps: Jumps::default(),
            source_id: BLOCKS,
        })
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Whether there may be packets; if not, `cx` is woken when there are.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> bool {
        !self.ended && self.waiting.as_ref().is_none_or(|pipe| pipe.poll_read_ready(cx).is_ready())
    }

    /// Handles a batch of packets, and the intervals that lie before each.
    pub(crate) fn step(&mut self, core: &mut Core, timers: &mut Timers) {
        self.waiting = None;
        self.blocks.pass_over(core);
        for _ in 0..BATCH {
            match self.captures.next_with_secrets() {
                Ok(Some((raw, secrets))) => {
                    for secrets in secrets.iter().filter(|secrets| secrets.kind == Secrets::TLS_KEY_LOG) {
                        self.blocks.pipeline.add_secrets(&secrets.data);
                    }
                    let (time, frame) = (raw.boot_ns.unwrap_or(raw.time_ns), raw.number);
                    self.last_time = self.last_time.max(time);
                    if self.packets == 0 {
                        core.runs_since(time, timers);
                        self.next_tick = first_tick(core, timers, time);
                    }
                    let raw = if time < self.next_tick {
                        if !self.jumps.run_due(core, timers, time, frame) {
                            return;
                        }
                        raw
                    } else {
                        if !self.pass_time(core, timers, (time, frame)) {
                            return;
                        }
                        let Some(raw) = self.captures.current() else { continue };
                        raw
                    };
                    core.telemetry_until(time);
                    self.packets += 1;
                    self.blocks.packet(&raw, core);
                }
                Ok(None) => {
                    // Watched anew each time: which pipe it is may change.
                    self.waiting = self.captures.waits_for().and_then(|pipe| watch(pipe).ok());
                    self.ended = self.captures.waits_for().is_none();
                    // What is there has its results now: the next packet may be long in coming.
                    if !self.ended {
                        self.advance(core, self.last_time);
                    }
                    return;
                }
                Err(error) => {
                    self.damaged = true;
                    warn(core, &error);
                }
            }
            if core.should_stop() {
                return;
            }
        }
        self.advance(core, self.last_time);
    }

    /// A packet's time is there: intervals that lie before it run, each at its own time, and joins go on to it; false: the run is to stop.
    fn pass_time(&mut self, core: &mut Core, timers: &mut Timers, (time, frame): (u64, u64)) -> bool {
        while let Some(due) = timers.due(time, true) {
            self.go_on(core, due.time);
            if core.should_stop() || !self.jumps.run(core, &due, frame) {
                return false;
            }
        }
        self.go_on(core, time);
        !core.should_stop()
    }

    /// Joins go on, ten times a second as they do live, to a time before which all packets were handled. Where none come for long, at times that lie further
    /// and further apart.
    fn go_on(&mut self, core: &mut Core, time: u64) {
        if time < self.next_tick {
            return;
        }
        let mut apart = TICK_NS;
        while let Some(next) = self.next_tick.checked_add(apart).filter(|next| *next <= time) {
            self.advance(core, self.next_tick);
            if core.should_stop() {
                return;
            }
            self.next_tick = next;
            apart = apart.saturating_mul(2);
        }
        self.advance(core, time);
        self.next_tick = time.saturating_add(TICK_NS);
    }

    /// Joins go on to this time.
    fn advance(&mut self, core: &mut Core, time: u64) {
        core.telemetry_until(time);
        self.mark(core, time);
        core.advance();
    }

    /// All packets before this time were handled, and no others bring anything.
    fn mark(&mut self, core: &mut Core, time: u64) {
        core.supply.mark(self.source_id, time, self.blocks.oldest_unsettled());
        core.supply.mark(KERNEL, time, None);
        core.supply.mark(BLOCKS, time, None);
        if !core.joins.is_empty() {
            self.count_losses(core);
            core.count_telemetry_losses();
            // What the file says was dropped lies before the packet that was read last, which may be the next to be handled.
            core.tell_losses(self.last_time);
        }
    }

    fn count_losses(&mut self, core: &mut Core) {
        self.blocks.count_losses(FILES, &mut core.losses);
        let drops = self.captures.drops();
        let (told, since) = self.drops;
        if drops == told {
            return;
        }
        // They were at any time since the count last grew.
        for (what, count) in [("recorded_drops", drops.system), ("recorded_device_drops", drops.device)] {
            core.losses.set_since(FILES, LossKind::Analysis(what), count, since);
        }
        self.drops = (drops, self.last_time);
    }

    pub(crate) fn finish(&mut self, core: &mut Core) {
        self.blocks.finish(core);
        self.count_losses(core);
        self.jumps.sum_up(core);
    }
}

/// When joins go on for the first time by the packets' time. Where no timer and no map asks when results were made, never: the later they are, the more is known of
/// what was lost (a file may say long after that it has dropped something) or is out of order.
fn first_tick(core: &Core, timers: &Timers, time: u64) -> u64 {
    let ages = core.artifact.maps.iter().any(|map| map.ring.is_some() || map.ttl.is_some());
    if ages || timers.next().is_some() { time.saturating_add(TICK_NS) } else { u64::MAX }
}

/// A source, or why it could not be opened, with the probes on it.
pub(crate) type Opened = (Result<Feed, Error>, Vec<u32>);

/// Opens what the blocks need: the files, or each interface once. Inside a tokio runtime. Files are read even if no block wants
/// packets: intervals run on their time.
pub(crate) fn open_feeds(
    options: &SessionOptions,
    blocks: &[BlockSpec],
    wants: Wants,
    in_kernel: &mut InKernel<'_>,
    recorded: Option<Recorded>,
) -> Vec<Opened> {
    let files = &options.read[..];
    let mut opened = if files.is_empty() {
        open_devices(options, blocks, wants, in_kernel)
    } else {
        let probes = blocks.iter().map(|b| b.probe).collect();
        if let Some(Recorded(recording)) = recorded {
            let replay = Replay::new(recording, blocks, wants, options.replay == Some(true));
            return vec![(Ok(Feed::Recording(Box::new(replay))), probes)];
        }
        vec![(FileFeed::new(files, blocks, wants).map(|files| Feed::Files(Box::new(files))), probes)]
    };
    if let Some(log) = &options.tls_keys {
        for (feed, _) in &mut opened {
            let read = feed.as_mut().map(|feed| feed.blocks().map(|b| b.follow_keys(log, files.is_empty())));
            if let Ok(Some(Err(error))) = read {
                *feed = Err(error);
            }
        }
    }
    opened
}

/// Opens each device once for all blocks that name it, and once more for each block with a program: what that leaves is for it alone.
#[cfg(feature = "live")]
fn open_devices(
    options: &SessionOptions,
    blocks: &[BlockSpec],
    wants: Wants,
    in_kernel: &mut InKernel<'_>,
) -> Vec<Opened> {
    let usual = options.network().map(NetNs::Path);
    let mut opened = Vec::new();
    let mut by_place: BTreeMap<Place, Vec<BlockSpec>> = BTreeMap::new();
    let mut with_program = Vec::new();
    for block in blocks {
        match Place::written(&block.interface, usual.as_ref()) {
            Ok(places) if block.program.is_some() => {
                with_program.extend(places.into_iter().map(|place| (place, block)));
            }
            Ok(places) => places.into_iter().for_each(|place| by_place.entry(place).or_default().push(block.clone())),
            Err(error) => {
                let source_name = format!("pcap:{}", block.interface);
                opened.push((Err(Error::Packets { source_name, why: error.to_string() }), vec![block.probe]));
            }
        }
    }
    opened.extend(by_place.into_iter().map(|(place, specs)| {
        let feed = LiveFeed::open(place, &specs, wants).map(|live| Feed::Live(Box::new(live)));
        (feed, specs.iter().map(|b| b.probe).collect())
    }));
    opened.extend(with_program.into_iter().map(|(place, block)| {
        let feed = LiveFeed::open(place, std::slice::from_ref(block), Wants { needs: block.needs, ..wants });
        let mut feed = feed.map(|live| Feed::Live(Box::new(live)));
        if let Ok(feed) = &mut feed {
            in_kernel.take_over(feed, block);
        }
        (feed, vec![block.probe])
    }));
    opened
}

#[cfg(not(feature = "live"))]
fn open_devices(_: &SessionOptions, blocks: &[BlockSpec], _: Wants, _: &mut InKernel<'_>) -> Vec<Opened> {
    let opened = |block: &BlockSpec| {
        let why = "this build has no live capture (built without the feature `live`)".to_owned();
        (Err(Error::Packets { source_name: format!("pcap:{}", block.interface), why }), vec![block.probe])
    };
    blocks.iter().map(opened).collect()
}

/// Packets in a capture may be out of order by so much.
const FILE_DISORDER_NS: u64 = 1_000_000;

fn warn(core: &mut Core, error: &SourceError) {
    core.warn(&error.to_string());
}
