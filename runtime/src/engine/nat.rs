//! Connections that the kernel translates, as records of [`nat::STREAM`].
//!
//! Looked at by ticks, just before watermarks: nobody is woken for them.

use super::{
    core::{Core, now},
    supply::SourceId,
};
use crate::{join::ALWAYS, losses::LossKind, session::SessionOptions};
use std::{
    collections::BTreeSet,
    rc::Rc,
    time::{Duration, Instant},
};
#[cfg(feature = "live")]
use weftrace_artifact::plan::{ProbePlan, Way};
use weftrace_artifact::{abi::RecordHeader, action::StreamId, nat};
use weftrace_probes::conntrack::{Blind, Change, Conntrack, ConntrackError, Entry, Table, tracks};
#[cfg(feature = "live")]
use weftrace_probes::packet::source::NetNs;

/// The kernel tells of a connection before its first packet goes on; between that and the message lie interrupts, as with programs.
const LATENESS_NS: u64 = 10_000_000;
/// Batches of messages at a tick, so that a flood doesn't keep it.
const BATCHES: usize = 16;
/// How often it is looked whether connections are tracked, where that can't be read.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The translations of the network namespaces that the run looks at.
pub(crate) struct NatFeed {
    stream: StreamId,
    source: Option<SourceId>,
    places: Vec<Place>,
    /// Our own namespace's can't be read; told once there is something to read.
    blind: Option<ConntrackError>,
    looked: Instant,
    /// Time of the last record: each has its own, in order.
    last: u64,
    lost: u64,
    entries: Vec<Entry>,
}

struct Place {
    conntrack: Conntrack,
    /// It can't be read any more.
    broken: bool,
}

impl NatFeed {
    /// Takes a namespace's translations, which may be read already.
    fn add(&mut self, conntrack: Conntrack, table: &Table, core: &mut Core) {
        if self.places.iter().any(|place| place.conntrack.netns == conntrack.netns) {
            return;
        }
        let stream = self.stream;
        self.source.get_or_insert_with(|| core.supply.add(nat::SOURCE, "nat", LATENESS_NS, BTreeSet::from([stream])));
        core.touch.add_stream(nat::SOURCE, stream);
        let netns = conntrack.netns;
        self.lost += table.missing;
        self.places.push(Place { conntrack, broken: false });
        for entry in &table.entries {
            self.tell(entry, netns, true, core);
        }
    }

    fn tell(&mut self, entry: &Entry, netns: u32, old: bool, core: &mut Core) {
        self.last = now().max(self.last + 1);
        let (start, end) = match entry.change {
            Change::There if old => (ALWAYS, 0),
            Change::There => (self.last, 0),
            Change::Gone => (0, self.last),
        };
        let (conn, translated) = entry.connections(netns);
        let times = [start, end].map(u64::to_ne_bytes);
        let payload = [&conn.to_bytes()[..], &translated.to_bytes(), &times[0], &times[1]].concat();
        let header = RecordHeader { action: u32::MAX, probe: u32::MAX, time: self.last };
        core.take_in(self.stream, header, &payload, false);
    }

    /// Tells all that was read; true: nothing is left.
    fn step(&mut self, core: &mut Core) -> bool {
        let mut done = true;
        for i in 0..self.places.len() {
            for batch in 0..BATCHES {
                let Place { conntrack, broken } = &mut self.places[i];
                if *broken {
                    // From now on any connection may be translated.
                    self.lost += 1;
                    break;
                }
                let mut entries = std::mem::take(&mut self.entries);
                let netns = conntrack.netns;
                let missed = conntrack.changes(&mut entries);
                for entry in entries.drain(..) {
                    self.tell(&entry, netns, false, core);
                }
                self.entries = entries;
                match missed {
                    Ok(missed) => {
                        self.lost += missed.messages;
                        if !missed.more {
                            break;
                        }
                        done &= batch + 1 < BATCHES;
                    }
                    Err(why) => {
                        self.places[i].broken = true;
                        core.warn(&format!("{UNKNOWN} from now on: {why}"));
                    }
                }
            }
        }
        core.losses.set(nat::SOURCE, LossKind::Analysis("translations"), self.lost);
        done
    }

    /// Connections may be tracked from some time on. `last`: it isn't looked again.
    fn look(&mut self, last: bool, core: &mut Core) {
        if self.blind.is_none() || !last && self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked = Instant::now();
        if tracks()
            && let Some(why) = self.blind.take()
        {
            core.warn(&format!("{UNKNOWN}: {why}"));
        }
    }
}

const UNKNOWN: &str =
    "joins don't know which connections this machine translates (NAT), and have them by one of their addresses only";

/// The network namespaces in which packets are captured, besides our own.
#[cfg(feature = "live")]
fn others(options: &SessionOptions, probes: &[ProbePlan]) -> Vec<NetNs> {
    let usual = options.network().filter(|_| options.enters_network()).map(NetNs::Path);
    let named = probes.iter().filter_map(|plan| match &plan.best.way {
        Way::Pcap { interface, .. } => Some(NetNs::written(interface.split_once('@')?.1)),
        _ => None,
    });
    usual.into_iter().chain(named).collect::<BTreeSet<_>>().into_iter().collect()
}

impl Core {
    /// Begins to listen, where a join of a live run goes by connection.
    pub(crate) fn open_nat(&mut self, options: &SessionOptions) {
        let artifact = Rc::clone(&self.artifact);
        let live = options.read.is_empty() && !options.dry_run && options.by_hand.is_none();
        let Some(stream) = artifact.streams.iter().position(|stream| stream.name == nat::STREAM).filter(|_| live)
        else {
            return;
        };
        let mut feed = NatFeed {
            stream: StreamId(stream as u32),
            source: None,
            places: Vec::new(),
            blind: None,
            looked: Instant::now(),
            last: 0,
            lost: 0,
            entries: Vec::new(),
        };
        match Conntrack::start() {
            Ok((conntrack, table)) => feed.add(conntrack, &table, self),
            Err(Blind { why, tracks: false }) => feed.blind = Some(why),
            Err(Blind { why, tracks: true }) => self.warn(&format!("{UNKNOWN}: {why}")),
        }
        #[cfg(feature = "live")]
        for netns in others(options, &artifact.probes) {
            let NetNs::Path(path) = &netns;
            match Conntrack::start_in(&netns) {
                Ok((conntrack, table)) => feed.add(conntrack, &table, self),
                // Where it can't be entered, that is told by what should be captured there.
                Err(Blind { tracks: false, .. }) => {}
                Err(Blind { why, tracks: true }) => self.warn(&format!("{UNKNOWN} in {}: {why}", path.display())),
            }
        }
        self.nat = Some(Box::new(feed));
    }

    fn with_nat(&mut self, work: impl FnOnce(&mut NatFeed, &mut Self)) {
        if let Some(mut feed) = self.nat.take() {
            work(&mut feed, self);
            self.nat = Some(feed);
        }
    }

    /// All that was told before `time` (CLOCK_BOOTTIME ns) is handled.
    pub(crate) fn tick_nat(&mut self, time: u64) {
        self.with_nat(|feed, core| {
            if feed.step(core)
                && let Some(source) = feed.source
            {
                core.supply.mark(source, time, None);
            }
            feed.look(false, core);
        });
    }

    /// What the kernel has told by the end.
    pub(crate) fn finish_nat(&mut self) {
        self.tick_nat(now());
        self.with_nat(|feed, core| feed.look(true, core));
    }
}
