//! The state that records, handlers and actions share.

use super::{StreamConsumer, joins::Joins, locate::locate, supply::Supply, touch::Touch, warnings::Warned};
use crate::{
    alert::Alerts,
    join::JoinResult,
    losses::{LossKind, Losses},
    metrics::MetricsFeed,
    names::{HostNames, Names},
    native::Native,
    otlp::OtlpOut,
    sink::{Location, Message, Sink},
    style::Style,
};
use std::{
    cell::OnceCell,
    collections::BTreeMap,
    io,
    rc::Rc,
    time::{Duration, Instant},
};
use weftrace_artifact::{
    Artifact, Place,
    abi::{RECORD_HEADER_SIZE, RecordHeader},
    action::{ActionId, ActionKind, StreamId},
    map::MapId,
    plan::{ProbePlan, Unit},
    telemetry::TelemetryView,
};
use weftrace_probes::{
    kernel::{Link, printk::TracePipe, sys::clock_boottime},
    packet::RawPacket,
};

/// What the command line decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreOptions {
    /// Control characters in strings are shown, not sent: the output is a terminal.
    pub(crate) escape: bool,
    /// `system()` is allowed.
    pub(crate) allow_unsafe: bool,
    /// Stop after so many printed events.
    pub(crate) count: Option<u64>,
    /// Headers and query strings are shown as they are.
    pub(crate) open: bool,
    /// Joins tell what they know before their late sources.
    pub(crate) early: bool,
    /// How often joins without a result say so.
    pub(crate) heartbeat: Option<Duration>,
    /// Bytes of a file that `cat()` shows.
    pub(crate) max_cat_bytes: u64,
}

/// Everything but the sources.
pub(crate) struct Core {
    pub(crate) artifact: Rc<Artifact>,
    pub(crate) native: Native,
    pub(crate) names: HostNames,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) joins: Joins,
    /// If the script has any.
    pub(crate) alerts: Option<Box<Alerts>>,
    /// `--metrics`
    pub(crate) metrics: Option<Box<MetricsFeed>>,
    /// `--otlp-metrics`, `--otlp-logs`
    pub(crate) otlp: Option<Box<OtlpOut>>,
    /// The result that a join's block is about.
    pub(super) at_hand: Option<(u32, Box<JoinResult>)>,
    /// When a result was last told, or that there is none.
    pub(super) said_result: Instant,
    pub(crate) consumer: Option<Box<dyn StreamConsumer>>,
    pub(crate) losses: Losses,
    /// Spans and log records, if a block is at them.
    pub(crate) telemetry: Option<Box<super::TelemetryFeed>>,
    /// Connections that the kernel translates, if a join goes by connection.
    pub(super) nat: Option<Box<super::nat::NatFeed>>,
    /// Who feeds the streams, and what losses touch.
    pub(crate) supply: Supply,
    pub(crate) touch: Touch,
    /// Watermarks of all sources when losses were last told to the joins.
    pub(super) snapshot: Vec<u64>,
    pub(crate) options: CoreOptions,
    /// `exit(code)` was called.
    pub(crate) exit: Option<i64>,
    /// Records that were acted on.
    pub(crate) delivered: u64,
    /// Events printed, for the limit.
    pub(crate) printed: u64,
    /// Probes have ended: END's output has no limit.
    pub(crate) ending: bool,
    /// Records are acted on after `exit()` too: iterators are walked to their end, END and joins have their say.
    pub(crate) hears_all: bool,
    /// What benchmarks print is thrown away, so it does not matter if some of it was lost.
    pub(crate) benchmarks: bool,
    /// Nobody reads our output any more, or it can't be written.
    pub(crate) output: Option<io::Error>,
    /// Messages since then.
    pub(crate) unsaid: u64,
    /// `print(@m)` not yet done: a `clear(@m)` that follows makes it a snapshot.
    pub(super) pending: Option<PendingPrint>,
    pub(super) warned: Warned,
    /// Once debugf() asked for it; None within: it can't be written.
    pub(super) trace_pipe: OnceCell<Option<TracePipe>>,
    pub(super) captures: super::capture::CaptureFiles,
    /// What sockets carry, for `http:` blocks.
    pub(crate) sockets: Option<Box<super::sockets::SocketFeed>>,
    /// `--write`
    pub(crate) keeper: Option<Box<super::keep::Keeper>>,
    /// `weftrace record`
    pub(crate) recorder: Option<Box<crate::record::write::Recorder>>,
    /// The recording ended before the run.
    pub(crate) unrecorded: bool,
    /// Names of control groups as recorded, in a recording or a replay.
    pub(super) cgroups: BTreeMap<u64, String>,
    /// `weftrace replay`
    pub(crate) replayed: Option<Box<super::replay::Replayed>>,
    /// By address, so that `unwatch()` finds them.
    pub(crate) watchpoints: Vec<(u64, Link)>,
    pub(super) scratch: Vec<u8>,
    /// Formats that have been told to show only a part of a number.
    pub(super) cut_told: Vec<Place>,
    /// To joins a live run ends then, CLOCK_BOOTTIME ns: detaching takes its time, and what some probes still see others don't.
    pub(crate) until: u64,
    /// Handlers within handlers (a join's block that emits): bounded.
    depth: u32,
    malformed: u64,
    /// The last action started a program or read a file.
    pub(super) slow: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PendingPrint {
    pub(super) map: MapId,
    pub(super) top: u32,
    pub(super) div: u32,
    pub(super) probe: u32,
}

const MAX_DEPTH: u32 = 8;

impl Core {
    pub(crate) fn new(
        artifact: Rc<Artifact>,
        native: Native,
        names: HostNames,
        sink: Box<dyn Sink>,
        options: CoreOptions,
    ) -> Self {
        Self {
            joins: Joins::new(&artifact),
            alerts: None,
            metrics: None,
            otlp: None,
            telemetry: None,
            nat: None,
            supply: Supply::new(&artifact),
            touch: Touch::new(&artifact),
            snapshot: Vec::new(),
            at_hand: None,
            said_result: Instant::now(),
            artifact,
            native,
            names,
            sink,
            consumer: None,
            losses: Losses::default(),
            options,
            exit: None,
            delivered: 0,
            printed: 0,
            ending: false,
            hears_all: false,
            benchmarks: false,
            output: None,
            unsaid: 0,
            pending: None,
            warned: Warned::default(),
            trace_pipe: OnceCell::new(),
            captures: super::capture::CaptureFiles::new(),
            sockets: None,
            keeper: None,
            recorder: None,
            unrecorded: false,
            cgroups: BTreeMap::new(),
            replayed: None,
            watchpoints: Vec::new(),
            scratch: Vec::new(),
            cut_told: Vec::new(),
            until: u64::MAX,
            depth: 0,
            malformed: 0,
            slow: false,
        }
    }

    /// Whether to end: the script said so, enough was printed, nobody reads.
    pub(crate) fn should_stop(&self) -> bool {
        self.exit.is_some() || self.output.is_some() || self.limit_reached()
    }

    /// Whether an action since the last question took longer than formatting does.
    pub(crate) fn acted_slowly(&mut self) -> bool {
        std::mem::take(&mut self.slow)
    }

    /// A `print(@m)` is waiting for what follows it.
    pub(crate) fn print_waits(&self) -> bool {
        self.pending.is_some()
    }

    pub(super) fn limit_reached(&self) -> bool {
        !self.ending && self.options.count.is_some_and(|n| self.printed >= n)
    }

    /// Acts on one record of a program or handler.
    pub(crate) fn record(&mut self, record: &[u8]) {
        let Some((header, payload)) = split(record) else { return self.count_malformed() };
        let artifact = Rc::clone(&self.artifact);
        let Some(action) = artifact.actions.get(ActionId(header.action).0 as usize) else {
            return self.count_malformed();
        };
        if payload.len() < action.size as usize {
            return self.count_malformed();
        }
        let payload = &*self.record_action(header, action, payload);
        if self.pending.is_some() && self.joined_clear(header, &action.kind) {
            self.delivered += 1;
            return;
        }
        // The script has ended: what was on its way is not printed any more. Joins still get their parts.
        if self.exit.is_some() && !self.hears_all && !matches!(action.kind, ActionKind::Emit { .. }) {
            return;
        }
        self.flush_pending();
        self.delivered += 1;
        if let ActionKind::Emit { stream } = action.kind {
            return self.emit(stream, header, payload);
        }
        self.act(header, action, payload);
        if self.names.take_refused() {
            let at = self.locate(action.place);
            let text = "No DWARF unwind data available for this process";
            self.say(&Message::Warning { text, helper: None, at: &at, times: 1 });
        }
        self.tell_unnamed();
    }

    /// Why addresses have no names, once for each cause.
    pub(super) fn tell_unnamed(&mut self) {
        while let Some(text) = self.names.take_unnamed() {
            self.say(&Message::Warning { text, helper: None, at: &Location::default(), times: 1 });
        }
    }

    fn count_malformed(&mut self) {
        self.malformed += 1;
        self.losses.set("records", LossKind::Malformed, self.malformed);
    }

    fn emit(&mut self, stream: StreamId, header: RecordHeader, payload: &[u8]) {
        let of_kernel = |plan: &ProbePlan| matches!(plan.best.unit, Unit::Kernel(_));
        let late = header.time > self.until && !self.waited_since(self.until, stream, payload);
        if late && self.artifact.probes.get(header.probe as usize).is_some_and(of_kernel) {
            return;
        }
        if self.of_socket(stream, header, payload) {
            return;
        }
        if self.replayed.as_ref().is_some_and(|replayed| replayed.drops(stream, header.probe)) {
            return;
        }
        let derived = self.is_derived(header.probe);
        self.take_in(stream, header, payload, derived);
    }

    /// A stream's record, into the recording too. `derived`: a replay makes it again.
    pub(super) fn take_in(&mut self, stream: StreamId, header: RecordHeader, payload: &[u8], derived: bool) {
        let Some(recorder) = &mut self.recorder else { return self.deliver(stream, header, payload) };
        let artifact = Rc::clone(&self.artifact);
        let Some(spec) = artifact.streams.get(stream.0 as usize) else { return };
        let payload = recorder.redacted(spec, payload);
        if let Some(id) = super::recording::cgroup(spec, &payload) {
            self.record_cgroup(id);
        }
        let Some(recorder) = &mut self.recorder else { return };
        recorder.record(stream.0, derived, header.time, &payload);
        self.deliver(stream, header, &payload);
    }

    /// A stream's record, to whoever reads it.
    pub(super) fn deliver(&mut self, stream: StreamId, header: RecordHeader, payload: &[u8]) {
        if let Some(consumer) = &mut self.consumer {
            consumer.record(stream, header, payload);
        }
        if !self.joins.is_empty() {
            self.supply.came_from(header.probe, header.time);
            let now = header.time.max(self.present());
            let outputs = self.joins.record(&mut self.native, stream, (header.time, now), payload);
            self.join_outputs(outputs, now);
        }
    }

    /// Runs a handler without a subject and acts on its records.
    pub(crate) fn run(&mut self, entry: u32, probe: u32, now: u64) {
        self.native.run(entry, probe, now);
        self.take_native();
    }

    /// Runs a `span` or `log` block.
    pub(crate) fn run_telemetry(&mut self, entry: u32, probe: u32, view: &TelemetryView) {
        self.native.run_telemetry(entry, probe, view);
        self.take_native();
    }

    /// Acts on what handlers left in their queue.
    pub(super) fn take_native(&mut self) {
        if self.native.has_records() {
            let records = self.native.take_records();
            self.act_on(&records, |_, _| false);
        }
    }

    /// Acts on records, but those that `taken` has acted on.
    pub(super) fn act_on(&mut self, records: &[Box<[u8]>], mut taken: impl FnMut(&mut Self, &[u8]) -> bool) {
        if records.is_empty() {
            return;
        }
        if self.depth >= MAX_DEPTH {
            self.losses.add("nested blocks", LossKind::RingFull, records.len() as u64);
            return;
        }
        self.depth += 1;
        for record in records {
            if !taken(self, record) {
                self.record(record);
            }
        }
        self.depth -= 1;
        self.flush_pending();
    }

    /// Whether a record is a `capture()`, which has been done then.
    pub(super) fn kept(&mut self, record: &[u8], raw: Option<&RawPacket<'_>>) -> bool {
        let Some((header, payload)) = split(record) else { return false };
        let artifact = Rc::clone(&self.artifact);
        let Some(action) = artifact.actions.get(header.action as usize) else { return false };
        let ActionKind::Capture { comment } = &action.kind else { return false };
        if payload.len() < action.size as usize || self.exit.is_some() {
            return true;
        }
        self.delivered += 1;
        match raw {
            Some(raw) => self.keep(raw, comment.as_deref(), action, payload),
            None => self.losses.add("capture()", LossKind::Analysis("no_packet"), 1),
        }
        true
    }

    /// Sends a message to the sink; remembers a sink that broke.
    pub(crate) fn say(&mut self, message: &Message<'_>) {
        if self.output.is_some() {
            self.unsaid += 1;
            return;
        }
        let artifact = Rc::clone(&self.artifact);
        let mut style = Style::of(&mut self.names, &artifact.options);
        style.escape = self.options.escape;
        if let Some(otlp) = &mut self.otlp {
            otlp.message(message, &mut style);
        }
        if let Err(error) = self.sink.message(message, &mut style) {
            self.output = Some(error);
        }
    }

    /// A warning of our own.
    pub(crate) fn warn(&mut self, text: &str) {
        self.note(|| crate::record::event::Event::Said { level: 0, text: text.to_owned() });
        let level = weftrace_artifact::action::LogLevel::Warning;
        self.say(&Message::Log { level, text: text.as_bytes(), at: &Location::default() });
    }

    /// Once per wake-up.
    pub(crate) fn flush(&mut self) {
        self.flush_pending();
        self.flush_kept();
        if self.alerts.is_some() {
            self.tell_sinks();
        }
        if self.otlp.is_some() {
            self.tell_collectors();
        }
        self.record_wake();
        self.flush_output();
    }

    /// What was said is seen.
    pub(super) fn flush_output(&mut self) {
        if self.output.is_none()
            && let Err(error) = self.sink.flush()
        {
            self.output = Some(error);
        }
    }

    /// Appends a time as strftime shows it.
    pub(super) fn format_time(&mut self, boot_ns: u64, fmt: &str, out: &mut Vec<u8>) {
        self.names.time(boot_ns, fmt, out);
    }

    /// File, line and columns of a place.
    pub(crate) fn locate(&self, place: Place) -> Location {
        locate(&self.artifact, place)
    }
}

/// The present time in CLOCK_BOOTTIME ns.
pub(crate) fn now() -> u64 {
    clock_boottime()
}

fn split(record: &[u8]) -> Option<(RecordHeader, &[u8])> {
    let (head, payload) = record.split_at_checked(RECORD_HEADER_SIZE as usize)?;
    let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let time = u64::from_ne_bytes(*head[8..].first_chunk()?);
    Some((RecordHeader { action: word(0), probe: word(4), time }, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_records_have_no_header() {
        assert!(split(&[0; 15]).is_none());
        let (header, payload) = split(&[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9]).expect("a header");
        assert_eq!((header, payload), (RecordHeader { action: 1, probe: 2, time: 3 }, &[9u8][..]));
    }
}
