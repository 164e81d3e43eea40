//! Spans and log records into `span` and `log` blocks.

use super::{
    core::{Core, now},
    supply::{SPANS_NS, SourceId},
};
use crate::{
    losses::{ANY_TIME, LossKind},
    record::event::Event,
    telemetry::{Arrivals, Recorded, Wanted},
};
use std::{
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use weftrace_artifact::telemetry::{LATENESS_NS, Signal};
use weftrace_probes::telemetry::Record;

/// The reason of what comes late.
const NOT_YET: &str = "not yet";
/// Their name among sources.
const SOURCE: &str = "spans";

/// Messages handled between two looks at signals and timers.
const BATCH: usize = 64;

/// At the end, what is being received is waited for so long.
const PATIENCE: Duration = Duration::from_millis(200);

/// A `span` or `log` block of the plan.
#[derive(Clone, Debug)]
pub(crate) struct TelemetryBlock {
    pub(crate) entry: u32,
    pub(crate) probe: u32,
    pub(crate) wanted: Wanted,
}

/// Where they come from.
pub(crate) enum Origin {
    Live(Arrivals),
    /// Read from files for a run over recordings.
    Recorded(Recorded),
}

/// The source of spans and log records.
pub(crate) struct TelemetryFeed {
    from: Origin,
    blocks: Vec<TelemetryBlock>,
    source: SourceId,
    /// Received, not handled yet.
    next: Option<Vec<Record>>,
}

impl TelemetryFeed {
    /// Notes it as a source of what its blocks emit.
    pub(crate) fn new(from: Origin, blocks: Vec<TelemetryBlock>, core: &mut Core) -> Self {
        let artifact = Rc::clone(&core.artifact);
        let probes: Vec<u32> = blocks.iter().map(|b| b.probe).collect();
        let emits = probes.iter().filter_map(|i| artifact.probes.get(*i as usize)).flat_map(|p| p.emits.clone());
        // Recorded ones come when they end, which may be after what they belong to, as live ones do.
        let source = core.supply.add(SOURCE, "spans", LATENESS_NS, emits.collect());
        core.supply.say_uncertainty(source, SPANS_NS);
        core.touch.add_packets(SOURCE, &probes, &artifact);
        let of_logs = blocks.iter().filter(|block| block.wanted.is_of(Signal::Log)).map(|block| block.probe);
        core.touch.add_logs(SOURCE, of_logs);
        Self { from, blocks, source, next: None }
    }

    pub(crate) fn start(&mut self) -> std::io::Result<()> {
        match &mut self.from {
            Origin::Live(arrivals) => arrivals.start(),
            Origin::Recorded(_) => Ok(()),
        }
    }

    /// Where it listens, for people.
    pub(crate) fn places(&self) -> &[String] {
        match &self.from {
            Origin::Live(arrivals) => &arrivals.places,
            Origin::Recorded(_) => &[],
        }
    }

    /// Whether there is something to handle; if not, `cx` is woken when there is.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> bool {
        if let (None, Origin::Live(arrivals)) = (&self.next, &mut self.from)
            && let Poll::Ready(message) = arrivals.queue.poll_recv(cx)
        {
            self.next = message;
        }
        self.next.is_some()
    }

    fn take(&mut self) -> Option<Vec<Record>> {
        let Origin::Live(arrivals) = &mut self.from else { return None };
        let records = self.next.take().or_else(|| arrivals.queue.try_recv().ok())?;
        arrivals.intake.taken(&records);
        Some(records)
    }

    /// Handles what has arrived, at most a batch; false: there may be more.
    fn step(&mut self, core: &mut Core) -> bool {
        for _ in 0..BATCH {
            let Some(records) = self.take() else { return true };
            for record in &records {
                self.handle(record, core);
            }
            if core.should_stop() {
                return false;
            }
        }
        false
    }

    fn handle(&self, record: &Record, core: &mut Core) {
        let clock = core.names.clock();
        let (start, end) = (clock.boot_of_past(record.start), clock.boot_of_past(record.end));
        // A start before this machine's is one of another machine, or of another clock.
        let start = if start > end { 0 } else { start };
        let view = record.view((start, end));
        for block in self.blocks.iter().filter(|b| b.wanted.takes(record)) {
            core.run_telemetry(block.entry, block.probe, &view);
        }
    }

    /// Applications tell in batches what they did: at the end of a run some of the last seconds is still theirs.
    fn doubt_the_last(&self, core: &mut Core) {
        if matches!(self.from, Origin::Recorded(_)) {
            return;
        }
        let lateness = core.supply.get(self.source).map_or(LATENESS_NS, |source| source.lateness);
        let from = now().min(core.until).saturating_sub(lateness);
        for stream in core.supply.streams(self.source) {
            core.joins.doubted(stream, from, NOT_YET);
            core.note(|| Event::Doubted { stream: stream.0, from, reason: NOT_YET.to_owned() });
        }
    }

    fn count_losses(&self, core: &mut Core) {
        let [unusable, full, untraced, attributes] = match &self.from {
            Origin::Live(arrivals) => {
                let counts = &arrivals.intake.counts;
                let unusable = counts.unusable.load(Relaxed) + counts.malformed.load(Relaxed);
                let of = |count: &AtomicU64| count.load(Relaxed);
                [unusable, of(&counts.full), of(&counts.untraced), of(&counts.attributes)]
            }
            Origin::Recorded(recorded) => [recorded.unusable, 0, recorded.untraced, recorded.attributes],
        };
        for (kind, count) in [
            (LossKind::Unusable, unusable),
            (LossKind::Refused, full),
            (LossKind::Analysis("untraced"), untraced),
            (LossKind::Analysis("attributes"), attributes),
        ] {
            match &self.from {
                Origin::Live(_) => core.losses.set(SOURCE, kind, count),
                // When what can't be read was nobody knows.
                Origin::Recorded(_) => core.losses.set_since(SOURCE, kind, count, ANY_TIME),
            }
        }
    }
}

impl Core {
    /// Does `work` with the source, if there is one.
    fn with_telemetry(&mut self, work: impl FnOnce(&mut TelemetryFeed, &mut Self)) {
        if let Some(mut feed) = self.telemetry.take() {
            work(&mut feed, self);
            self.telemetry = Some(feed);
        }
    }

    /// Something has arrived.
    pub(crate) fn step_telemetry(&mut self) {
        self.with_telemetry(|feed, core| {
            feed.step(core);
        });
    }

    /// All that arrived before `time` (CLOCK_BOOTTIME ns) is handled.
    pub(crate) fn tick_telemetry(&mut self, time: u64) {
        self.with_telemetry(|feed, core| {
            if feed.step(core) {
                core.supply.mark(feed.source, time, None);
            }
            feed.count_losses(core);
        });
    }

    /// What was refused so far goes into the table.
    pub(crate) fn count_telemetry_losses(&mut self) {
        self.with_telemetry(|feed, core| feed.count_losses(core));
    }

    /// Recorded ones that ended by this time.
    pub(crate) fn telemetry_until(&mut self, time: u64) {
        if self.telemetry.is_none() {
            return;
        }
        self.with_telemetry(|feed, core| {
            while let Origin::Recorded(recorded) = &mut feed.from {
                let Some(record) = recorded.records.pop_front_if(|record| record.end <= time) else { break };
                feed.handle(&record, core);
            }
            core.supply.mark(feed.source, time, None);
        });
    }

    /// Nothing more is taken: what has arrived, and what is arriving, is handled.
    pub(crate) fn finish_telemetry(&mut self) {
        self.telemetry_until(u64::MAX);
        self.with_telemetry(|feed, core| {
            let due = Instant::now() + PATIENCE;
            loop {
                while !feed.step(core) && !core.should_stop() {}
                let busy = matches!(&feed.from, Origin::Live(arrivals) if arrivals.intake.is_busy());
                if !busy || Instant::now() > due || core.should_stop() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            if let Origin::Live(arrivals) = &mut feed.from {
                arrivals.stop();
            }
            while !feed.step(core) && !core.should_stop() {}
            core.supply.mark(feed.source, now(), None);
            feed.count_losses(core);
            feed.doubt_the_last(core);
        });
    }
}
