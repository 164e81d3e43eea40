//! Packets into `pcap` blocks.

#[cfg(feature = "live")]
use super::core::now;
use super::{core::Core, timers::Timers};
use crate::{
    error::Error,
    losses::LossKind,
    session::SessionOptions,
    sink::{Location, Message},
};
use std::path::PathBuf;
#[cfg(feature = "live")]
use std::time::{Duration, Instant};
use weftrace_artifact::{action::LogLevel, packet::PacketView};
use weftrace_probes::packet::{
    Options, Pipeline, RawPacket,
    source::{BlockFilter, Captures, SourceError},
};

#[cfg(feature = "live")]
use crate::sys::Clock;
#[cfg(feature = "live")]
use crate::sys::watch;
#[cfg(feature = "live")]
use std::os::fd::{AsFd, OwnedFd};
#[cfg(feature = "live")]
use tokio::io::unix::AsyncFd;
#[cfg(feature = "live")]
use weftrace_probes::packet::source::{Latency, LiveOptions, LiveSource, NetNs};

/// A `pcap` block of the plan.
#[derive(Clone, Debug)]
pub(crate) struct BlockSpec {
    pub(crate) entry: u32,
    pub(crate) probe: u32,
    pub(crate) interface: String,
    pub(crate) filter: String,
    /// Reads `http.*`: runs again for each further message in a packet.
    pub(crate) parts: bool,
}

struct Block {
    entry: u32,
    probe: u32,
    filter: BlockFilter,
    parts: bool,
    matched: bool,
}

/// Blocks on one source of packets, with what the source's packets are followed by.
struct Blocks {
    list: Vec<Block>,
    pipeline: Pipeline,
    view: Box<PacketView>,
}

/// Packets handled between two looks at signals and timers.
const BATCH: usize = 2048;

impl Blocks {
    fn new(specs: &[BlockSpec], needs: u32) -> Result<Self, Error> {
        let list = specs
            .iter()
            .map(|spec| {
                let filter = BlockFilter::new(&spec.filter, &[]).map_err(|e| Error::Packets {
                    source_name: format!("pcap:{}", spec.interface),
                    why: e.to_string(),
                })?;
                Ok(Block { entry: spec.entry, probe: spec.probe, filter, parts: spec.parts, matched: false })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Self { list, pipeline: Pipeline::new(needs, Options::default()), view: Box::default() })
    }

    fn packet(&mut self, raw: &RawPacket<'_>, core: &mut Core) {
        let mut any = false;
        for block in &mut self.list {
            block.matched = block.filter.matches(raw);
            any |= block.matched;
        }
        // What no block wants is not dissected: as if the kernel had filtered it.
        if !any {
            return;
        }
        self.pipeline.process(raw, &mut self.view);
        for block in self.list.iter().filter(|b| b.matched) {
            core.run_packet(block.entry, block.probe, &self.view);
        }
        if self.list.iter().any(|b| b.matched && b.parts) {
            while self.pipeline.next_part(&mut self.view) {
                for block in self.list.iter().filter(|b| b.matched && b.parts) {
                    core.run_packet(block.entry, block.probe, &self.view);
                }
            }
        }
    }

    /// What the analysis could not keep goes into the table.
    fn count_losses(&self, source: &str, core: &mut Core) {
        let c = self.pipeline.counters();
        for (what, count) in [
            ("unknown_link", c.unknown_link),
            ("fragments", c.fragments_dropped),
            ("flows", c.flows_evicted),
            ("segments", c.segments_dropped),
            ("http_gaps", c.http_gaps),
            ("http_dropped", c.http_dropped),
        ] {
            core.losses.set(source, LossKind::Analysis(what), count);
        }
    }

    /// Exchanges still open at the end.
    fn finish(&mut self, core: &mut Core) {
        if !self.list.iter().any(|b| b.parts) {
            return;
        }
        while self.pipeline.finish(&mut self.view) {
            for block in self.list.iter().filter(|b| b.parts) {
                core.run_packet(block.entry, block.probe, &self.view);
            }
        }
    }
}

/// One source of packets.
pub(crate) enum Feed {
    Files(Box<FileFeed>),
    #[cfg(feature = "live")]
    Live(Box<LiveFeed>),
}

/// Capture files; time is the packets'.
pub(crate) struct FileFeed {
    captures: Captures,
    blocks: Blocks,
    ended: bool,
    /// A file was damaged or could not be read.
    pub(crate) damaged: bool,
    pub(crate) last_time: u64,
    pub(crate) packets: u64,
}

impl FileFeed {
    pub(crate) fn new(paths: &[PathBuf], specs: &[BlockSpec], needs: u32) -> Result<Self, Error> {
        Ok(Self {
            captures: Captures::new(paths.iter().cloned()),
            blocks: Blocks::new(specs, needs)?,
            ended: false,
            damaged: false,
            last_time: 0,
            packets: 0,
        })
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Handles a batch of packets, and the intervals that lie before each.
    pub(crate) fn step(&mut self, core: &mut Core, timers: &mut Timers) {
        for _ in 0..BATCH {
            match self.captures.next_packet() {
                Ok(Some(raw)) => {
                    let time = raw.boot_ns.unwrap_or(raw.time_ns);
                    self.last_time = self.last_time.max(time);
                    timers.start(time);
                    while let Some(due) = timers.due(time, true) {
                        core.run(due.entry, due.probe, due.time);
                        if core.should_stop() {
                            return;
                        }
                    }
                    self.packets += 1;
                    self.blocks.packet(&raw, core);
                }
                Ok(None) => {
                    self.ended = true;
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
        core.watermark(self.last_time.saturating_sub(FILE_DISORDER_NS));
    }

    pub(crate) fn finish(&mut self, core: &mut Core) {
        self.blocks.finish(core);
        self.blocks.count_losses("packets", core);
    }
}

/// Time of the first packet of the first file, if it can be known without consuming it.
pub(crate) fn first_packet_time(paths: &[PathBuf]) -> Option<u64> {
    let first = paths.first().filter(|p| p.is_file())?;
    let mut captures = Captures::new([first.clone()]);
    let packet = captures.next_packet().ok()??;
    Some(packet.time_ns)
}

/// A source, or why it could not be opened, with the probes on it.
pub(crate) type Opened = (Result<Feed, Error>, Vec<u32>);

/// Opens what the blocks need: the files, or each interface once. Inside a tokio runtime. Files are read even if no block wants
/// packets: intervals run on their time.
pub(crate) fn open_feeds(options: &SessionOptions, blocks: &[BlockSpec], needs: u32) -> Vec<Opened> {
    let files = &options.read[..];
    if !files.is_empty() {
        let probes = blocks.iter().map(|b| b.probe).collect();
        return vec![(FileFeed::new(files, blocks, needs).map(|files| Feed::Files(Box::new(files))), probes)];
    }
    let mut interfaces: Vec<&str> = blocks.iter().map(|b| b.interface.as_str()).collect();
    interfaces.sort_unstable();
    interfaces.dedup();
    interfaces
        .into_iter()
        .map(|interface| {
            let specs: Vec<BlockSpec> = blocks.iter().filter(|b| b.interface == interface).cloned().collect();
            (open_live(&specs, needs, options), specs.iter().map(|b| b.probe).collect())
        })
        .collect()
}

#[cfg(feature = "live")]
fn open_live(specs: &[BlockSpec], needs: u32, options: &SessionOptions) -> Result<Feed, Error> {
    LiveFeed::open(specs, needs, options.network().map(NetNs::Path)).map(|live| Feed::Live(Box::new(live)))
}

#[cfg(not(feature = "live"))]
fn open_live(specs: &[BlockSpec], _: u32, _: &SessionOptions) -> Result<Feed, Error> {
    let interface = specs.first().map_or("any", |s| s.interface.as_str());
    let why = "this build has no live capture (built without the feature `live`)".to_owned();
    Err(Error::Packets { source_name: format!("pcap:{interface}"), why })
}

/// The kernel hands packets over after so long at the latest, though its block isn't full.
const BLOCK_MS: u16 = 20;

/// How far the watermark stays behind the clock where packets are captured: two block times (a block that was just retired, and one
/// being filled), and the time to be scheduled.
pub(crate) const LIVE_DISORDER_NS: u64 = 3 * BLOCK_MS as u64 * 1_000_000;

/// Packets in a capture may be out of order by so much.
const FILE_DISORDER_NS: u64 = 1_000_000;

fn warn(core: &mut Core, error: &SourceError) {
    let text = error.to_string();
    core.say(&Message::Log { level: LogLevel::Warning, text: text.as_bytes(), at: &Location::default() });
}

/// A live interface.
#[cfg(feature = "live")]
pub(crate) struct LiveFeed {
    source: LiveSource,
    pub(crate) fd: AsyncFd<OwnedFd>,
    name: String,
    blocks: Blocks,
    clock: Clock,
    /// Interface drops are counted by some drivers only.
    lost: u64,
}

#[cfg(feature = "live")]
impl LiveFeed {
    /// Opens the interface that all of `specs` name; must be called inside a tokio runtime.
    pub(crate) fn open(specs: &[BlockSpec], needs: u32, netns: Option<NetNs>) -> Result<Self, Error> {
        let interface = specs.first().map_or("any", |s| s.interface.as_str());
        let name = format!("pcap:{interface}");
        let fail = |why: String| Error::Packets { source_name: name.clone(), why };
        let blocks = Blocks::new(specs, needs)?;
        let mut options = LiveOptions::new(interface);
        options.filter = union(specs);
        options.netns = netns;
        // Blocks, not single packets: in the ring that hands packets over at once every packet takes a slot of the snap length, and a
        // burst of a hundred overruns it.
        options.latency = Latency::Block(BLOCK_MS);
        let source = LiveSource::open(&options).map_err(|e| fail(e.to_string()))?;
        let fd = watch(source.as_fd()).map_err(|e| fail(e.to_string()))?;
        Ok(Self { source, fd, name, blocks, clock: Clock::live(), lost: 0 })
    }

    /// Handles what has arrived, at most a batch; true: there may be more.
    pub(crate) fn step(&mut self, core: &mut Core) -> bool {
        (0..BATCH).all(|_| self.one(core, u64::MAX) && !core.should_stop()) || core.should_stop()
    }

    /// Handles the next packet; false: none is there that arrived before `end`.
    fn one(&mut self, core: &mut Core, end: u64) -> bool {
        match self.source.next_packet() {
            Ok(Some(raw)) => {
                let boot = self.clock.boot(raw.time_ns);
                if boot > end {
                    return false;
                }
                self.blocks.packet(&RawPacket { boot_ns: Some(boot), ..raw }, core);
                true
            }
            Ok(None) => false,
            Err(error) => {
                warn(core, &error);
                false
            }
        }
    }

    /// Packets the kernel dropped so far go into the table.
    pub(crate) fn count_losses(&mut self, core: &mut Core) {
        let counters = self.source.counters();
        self.lost = counters.dropped_kernel + counters.dropped_interface;
        core.losses.set(&self.name, LossKind::Packets, self.lost);
        self.blocks.count_losses(&self.name, core);
    }

    /// What arrived until now, then the exchanges still open. The kernel keeps the last packets until their block is due. After
    /// exit() nothing more is looked at.
    pub(crate) fn finish(&mut self, core: &mut Core) {
        let end = now();
        let due = Instant::now() + 2 * Duration::from_millis(BLOCK_MS.into());
        while core.exit.is_none() {
            while self.one(core, end) && core.exit.is_none() {}
            if Instant::now() > due {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.blocks.finish(core);
    }
}

/// One kernel filter for several blocks: what any of them wants.
#[cfg(feature = "live")]
fn union(specs: &[BlockSpec]) -> String {
    if specs.iter().any(|s| s.filter.trim().is_empty()) {
        return String::new();
    }
    let mut filters: Vec<&str> = specs.iter().map(|s| s.filter.trim()).collect();
    filters.sort_unstable();
    filters.dedup();
    match filters[..] {
        [one] => one.to_owned(),
        _ => filters.iter().map(|f| format!("({f})")).collect::<Vec<_>>().join(" or "),
    }
}
