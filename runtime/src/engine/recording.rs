//! A run that is recorded: what goes into the recording, and when.

use super::{
    Core,
    replay::own_maps,
    supply::{SourceId, Stall},
};
use crate::{
    maps::{CLOCK, Read, Reads},
    names::{Answers, Names},
    record::{
        RecordOptions, Recorded,
        event::Event,
        run::Run,
        write::{Recorder, streams},
    },
    sink::{Location, Message},
    sys::{Pair, zone},
};
use std::{borrow::Cow, rc::Rc};
use weftrace_artifact::{
    abi::RecordHeader,
    action::{Action, ActionKind, StreamSpec},
    plan::{Attach, Unit, Way},
};

impl Core {
    /// Begins the recording of a run that starts at `start`.
    pub(crate) fn begin_recording(&mut self, options: &RecordOptions, start: u64) -> std::io::Result<()> {
        self.names.clock().be_explicit();
        self.native.be_recorded(start);
        if options.redact {
            self.native.hide_secrets();
        }
        let first = self.names.clock().take_fresh().pop();
        let run = Run {
            clock: first.map_or([0; 3], |pair| [pair.boot, pair.wall, pair.width]),
            zone: zone(first.map_or(0, |pair| pair.wall)),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            little_endian: cfg!(target_endian = "little"),
            redacted: options.redact,
            start,
            count: self.options.count.unwrap_or(0),
            sources: self.artifact.sources.clone(),
            arguments: options.arguments.clone(),
            streams: streams(&self.artifact),
        };
        let artifact = Rc::clone(&self.artifact);
        let recorder = Recorder::new(options, &artifact, run)?;
        let (maps, notes) = (self.unplayed_maps(), recorder.notes.clone());
        self.names.answers = Answers::noted(notes.clone());
        self.native.ask_of(&maps, Reads::noted(maps.clone(), notes));
        self.native.set_aside(artifact.probes.iter().map(|plan| !is_played(&plan.best)).collect());
        self.recorder = Some(Box::new(recorder));
        self.record_sources();
        self.record_clock();
        Ok(())
    }

    /// Takes the clock and the random numbers of a recorded run, before BEGIN; its start, CLOCK_BOOTTIME ns.
    ///
    /// `own`: the script is the one that was recorded.
    pub(crate) fn begin_replay(&mut self, Recorded(recording): &mut Recorded, own: bool) -> u64 {
        let run = &recording.run;
        let start = run.start;
        let [boot, wall, width] = run.clock;
        self.names.clock().add(Pair { boot, wall, width });
        self.names.clock().set_zone(run.zone.0, &run.zone.1);
        self.native.be_recorded(start);
        if own && recording.compiled.is_some() {
            self.names.answers = Answers::recorded();
            let maps = self.unplayed_maps();
            self.native.ask_of(&maps, Reads::recorded(maps.clone()));
            // For BEGIN. What is wrong with the file is told when its events are read.
            let compiled = recording.compiled.as_ref().map_or(&[][..], |compiled| &compiled.maps);
            let maps = own_maps(compiled, &self.artifact);
            while let Ok(Some(event)) = recording.next_told_ahead() {
                self.told_ahead(event, &maps);
            }
        }
        start
    }

    /// What later events ask for. `maps`: the script's by the recorded ones'.
    pub(super) fn told_ahead(&mut self, event: Event, maps: &[Option<u32>]) {
        match event {
            Event::Read(read) if read.map == CLOCK.0 => self.native.store().reads.push(read),
            Event::Read(read) => {
                if let Some(map) = maps.get(read.map as usize).copied().flatten() {
                    self.native.store().reads.push(Read { map, ..read });
                }
            }
            Event::Name(named) => self.names.answers.learn(named),
            _ => {}
        }
    }

    /// By map: blocks use it that no replay runs, so that what is in it must be in the recording.
    fn unplayed_maps(&self) -> Vec<bool> {
        let mut maps = vec![false; self.artifact.maps.len()];
        let unplayed = self.artifact.probes.iter().filter(|plan| !is_played(&plan.best));
        for map in unplayed.flat_map(|plan| &plan.maps) {
            if let Some(unplayed) = maps.get_mut(*map as usize) {
                *unplayed = true;
            }
        }
        maps
    }

    /// What a block wants done that no replay runs: recorded, and as it is recorded done. What runs in a replay is wanted there again.
    pub(super) fn record_action<'a>(
        &mut self,
        header: RecordHeader,
        action: &Action,
        payload: &'a [u8],
    ) -> Cow<'a, [u8]> {
        let Some(recorder) = &mut self.recorder else { return Cow::Borrowed(payload) };
        let played = self.artifact.probes.get(header.probe as usize).is_none_or(|plan| is_played(&plan.best));
        if played || !is_replayed(&action.kind) {
            return Cow::Borrowed(payload);
        }
        let payload = recorder.masked(action, payload);
        recorder.action(header, action, &payload);
        payload
    }

    /// A source, before anything comes of it.
    pub(crate) fn record_source(&mut self, id: SourceId, interfaces: Vec<String>, filter: String) {
        let Some(source) = self.supply.get(id).filter(|source| source.kind != "join") else { return };
        let streams = source.streams.iter().map(|stream| stream.0).collect();
        let (kind, name) = (source.kind.to_owned(), source.name.clone());
        self.note(|| Event::Source { id: id.0, kind, name, streams, interfaces, filter });
    }

    /// Sources that were added since.
    fn record_sources(&mut self) {
        for id in (0..self.supply.sources().len() as u32).map(SourceId) {
            if self.recorder.as_ref().is_some_and(|recorder| !recorder.knows(id.0)) {
                self.record_source(id, Vec::new(), String::new());
            }
        }
    }

    /// A round of the loop begins: the clocks are read if that is due, so that what follows has it.
    pub(crate) fn begin_round(&mut self) {
        if self.recorder.is_some() {
            self.names.clock().tick();
            self.record_clock();
        }
    }

    /// Readings of the clocks that are new.
    pub(crate) fn record_clock(&mut self) {
        if self.recorder.is_none() {
            return;
        }
        for pair in self.names.clock().take_fresh() {
            let (offset, zone) = zone(pair.wall);
            self.note(|| Event::Clock { boot: pair.boot, wall: pair.wall, width: pair.width, offset, zone });
        }
    }

    /// Writes an event, if there is a recording.
    pub(crate) fn note(&mut self, event: impl FnOnce() -> Event) {
        if let Some(recorder) = &mut self.recorder {
            recorder.event(&event());
        }
    }

    /// A source stands still, or goes on: what its streams lack joins know, and the recording.
    pub(crate) fn stalled(&mut self, stall: &Stall) {
        let streams = self.supply.streams(stall.source);
        self.joins.stalled(stall.interval, &streams);
        let (source, change, (from, to)) = (stall.source.0, stall.change as u8, stall.interval);
        self.note(|| Event::Stalled { source, change, from, to });
    }

    /// How sure the times of sources are, before the joins go by it.
    pub(super) fn record_uncertainty(&mut self) {
        self.record_clock();
        self.record_sources();
        let Some(recorder) = &mut self.recorder else { return };
        for (i, source) in (0..).zip(self.supply.sources()).filter(|(_, source)| source.kind != "join") {
            if let Some(ns) = source.uncertainty() {
                recorder.uncertain(i, ns);
            }
        }
    }

    /// Watermarks that have moved, before the joins go on to them.
    pub(super) fn record_marks(&mut self) {
        self.record_clock();
        self.record_sources();
        let Some(recorder) = &mut self.recorder else { return };
        let mut moved = false;
        for (i, source) in (0..).zip(self.supply.sources()).filter(|(_, source)| source.kind != "join") {
            moved |= recorder.mark(i, source.watermark());
        }
        if moved {
            recorder.event(&Event::Advance);
        }
    }

    /// Whether a block that runs in a replay too makes a stream's records: a timer's, a join's.
    pub(crate) fn makes(&self, stream: weftrace_artifact::action::StreamId) -> bool {
        let probes = self.artifact.probes.iter();
        probes.filter(|p| is_made_again(&p.best)).any(|p| p.emits.contains(&stream))
    }

    /// Whether what a probe emits is made again by a replay.
    pub(super) fn is_derived(&self, probe: u32) -> bool {
        self.artifact.probes.get(probe as usize).is_some_and(|p| is_made_again(&p.best))
    }

    /// What a control group is called, once: a replay can't ask.
    pub(super) fn record_cgroup(&mut self, id: u64) {
        if id == 0 || self.cgroups.len() >= MAX_CGROUPS || self.cgroups.contains_key(&id) {
            return;
        }
        let path = self.names.cgroup_path(id, "*");
        self.cgroups.insert(id, path.clone());
        self.note(|| Event::Cgroup { id, path });
    }

    /// The path of a control group; of a recording only what it says.
    pub(super) fn cgroup_path(&mut self, id: u64) -> String {
        match self.cgroups.get(&id) {
            Some(path) => path.clone(),
            None if self.replayed.is_some() => String::new(),
            None => self.names.cgroup_path(id, "*"),
        }
    }

    /// Once per round of the loop.
    pub(super) fn record_wake(&mut self) {
        let stops = self.should_stop();
        let Some(recorder) = &mut self.recorder else { return };
        recorder.wake(stops);
        if let Some(text) = recorder.take_error() {
            self.recording_failed(&text);
        }
    }

    /// The run goes on; that it is not recorded any more is told now, and by the exit code.
    fn recording_failed(&mut self, text: &str) {
        self.unrecorded = true;
        let level = weftrace_artifact::action::LogLevel::Error;
        self.say(&Message::Log { level, text: text.as_bytes(), at: &Location::default() });
    }

    /// The file is whole.
    pub(crate) fn end_recording(&mut self) {
        let Some(mut recorder) = self.recorder.take() else { return };
        recorder.finish();
        if let Some(text) = recorder.take_error() {
            self.recording_failed(&text);
            self.flush();
        }
    }
}

/// Control groups whose names are kept.
pub(super) const MAX_CGROUPS: usize = 65_536;

/// The control group that a stream's record names.
pub(super) fn cgroup(spec: &StreamSpec, payload: &[u8]) -> Option<u64> {
    let field = spec.field("cgroup").filter(|field| field.ty.size() == 8)?;
    Some(crate::decode::u64_at(payload, field.offset as usize))
}

/// Whether a replay does it: it writes no files, and has nothing to detach.
pub(super) fn is_replayed(kind: &ActionKind) -> bool {
    !matches!(
        kind,
        ActionKind::Emit { .. } | ActionKind::Packet { .. } | ActionKind::Capture { .. } | ActionKind::Unwatch
    )
}

/// Whether a block runs in a replay.
fn is_played(attach: &Attach) -> bool {
    matches!(attach.way, Way::Pcap { .. }) || is_made_again(attach)
}

/// Whether a block runs in a replay, of other things than packets.
fn is_made_again(attach: &Attach) -> bool {
    let by_time_or_join = matches!(
        attach.way,
        Way::Begin | Way::End | Way::Interval { .. } | Way::Profile { .. } | Way::Signal { .. } | Way::Join { .. }
    );
    by_time_or_join && matches!(attach.unit, Unit::Native(_))
}
