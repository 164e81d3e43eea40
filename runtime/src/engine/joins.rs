//! Streams into the join engines, and what they find into `join:NAME` blocks or the output.

use super::core::Core;
use crate::{
    join::{self, Evaluate, JoinResult, Output, State, ViewStorage},
    json::write_string,
    native::Native,
    sink::Message,
    text::{push, separated},
};
use std::io::Write;
use weftrace_artifact::{
    Artifact,
    action::StreamId,
    join::JoinView,
    plan::{JoinEvent, Unit, Way},
};

/// A block at a join.
#[derive(Clone, Copy, Debug)]
struct Block {
    join: u32,
    on: JoinEvent,
    entry: u32,
    probe: u32,
}

/// All joins of an artifact.
pub(crate) struct Joins {
    engines: Vec<join::Engine>,
    blocks: Vec<Block>,
    streams: Vec<StreamId>,
}

/// A join's number with what it found.
pub(crate) type Found = (u32, Output);

struct Eval<'a> {
    native: &'a mut Native,
    now: u64,
}

impl Evaluate for Eval<'_> {
    fn call(&mut self, handler: u32, view: &JoinView) -> u64 {
        self.native.run_join(handler, 0, self.now, view)
    }
}

impl Joins {
    pub(crate) fn new(artifact: &Artifact) -> Self {
        let engines = artifact.joins.iter().map(|spec| join::Engine::new(spec.clone(), &artifact.streams)).collect();
        let mut blocks = Vec::new();
        for (probe, plan) in artifact.probes.iter().enumerate() {
            if let (Way::Join { join, on }, Unit::Native(entry)) = (&plan.best.way, plan.best.unit) {
                blocks.push(Block { join: *join, on: *on, entry, probe: probe as u32 });
            }
        }
        let streams = (0..artifact.streams.len() as u32).map(StreamId).collect();
        Self { engines, blocks, streams }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.engines.is_empty()
    }

    pub(crate) fn record(&mut self, native: &mut Native, stream: StreamId, time: u64, payload: &[u8]) -> Vec<Found> {
        self.each(native, time, |engine, eval, out| engine.record(stream, time, payload, eval, out))
    }

    pub(crate) fn advance(&mut self, native: &mut Native, watermark: u64) -> Vec<Found> {
        self.each(native, watermark, |engine, eval, out| engine.advance(watermark, eval, out))
    }

    pub(crate) fn flush(&mut self, native: &mut Native, now: u64) -> Vec<Found> {
        self.each(native, now, |engine, eval, out| engine.flush(eval, out))
    }

    fn each(
        &mut self,
        native: &mut Native,
        now: u64,
        mut work: impl FnMut(&mut join::Engine, &mut dyn Evaluate, &mut dyn FnMut(Output)),
    ) -> Vec<Found> {
        let mut found = Vec::new();
        for (i, engine) in self.engines.iter_mut().enumerate() {
            let mut eval = Eval { native: &mut *native, now };
            work(engine, &mut eval, &mut |output| found.push((i as u32, output)));
        }
        found
    }

    /// Events were lost somewhere between two times: no leg may say "none" for that stretch.
    pub(crate) fn lost(&mut self, from: u64, to: u64, count: u64) {
        for engine in &mut self.engines {
            engine.lost((from, to), &self.streams, count);
        }
    }

    /// Streams that no running probe emits to (it did not attach, or doesn't run on files): what their legs lack is unknown, not none.
    pub(crate) fn tell_unfed(&mut self, artifact: &Artifact, failed: &[u32]) {
        let emits =
            |stream: StreamId| artifact.probes.iter().enumerate().filter(move |(_, p)| p.emits.contains(&stream));
        for &stream in &self.streams {
            if emits(stream).any(|(i, _)| !failed.contains(&(i as u32))) {
                continue;
            }
            let reason = if emits(stream).next().is_some() { "not attached" } else { "not running" };
            for engine in &mut self.engines {
                engine.unfed(stream, reason);
            }
        }
    }

    fn blocks(&self, join: u32, on: JoinEvent) -> Vec<Block> {
        self.blocks.iter().filter(|b| b.join == join && b.on == on).copied().collect()
    }

    /// One line per join for people: what it found in all.
    pub(crate) fn summaries(&self) -> Vec<String> {
        self.engines.iter().map(|e| e.summary().text(e.name())).collect()
    }
}

impl Core {
    /// Runs the joins' blocks; results without a block are printed.
    pub(super) fn join_outputs(&mut self, outputs: Vec<Found>, now: u64) {
        for (join, output) in outputs {
            match output {
                Output::Result(result) => {
                    let blocks = self.joins.blocks(join, JoinEvent::Result);
                    if blocks.is_empty() {
                        self.say_result(&result);
                    }
                    self.run_blocks(&blocks, now, &ViewStorage::for_result(&result));
                }
                Output::Orphan { leg, payload } => {
                    let blocks = self.joins.blocks(join, JoinEvent::Orphan(leg));
                    self.run_blocks(&blocks, now, &ViewStorage::for_orphan(&payload));
                }
                Output::Late { payload } => {
                    let blocks = self.joins.blocks(join, JoinEvent::Late);
                    self.run_blocks(&blocks, now, &ViewStorage::for_anchor(&payload));
                }
            }
        }
    }

    fn run_blocks(&mut self, blocks: &[Block], now: u64, storage: &ViewStorage<'_>) {
        for block in blocks {
            self.native.run_join(block.entry, block.probe, now, &storage.view());
            self.take_native();
        }
    }

    fn say_result(&mut self, result: &JoinResult) {
        if self.limit_reached() {
            return;
        }
        self.printed += 1;
        let json = result_json(result);
        self.say(&Message::Record { kind: "join_result", text: result.text.as_bytes(), json: &json });
    }

    /// The end of all streams.
    pub(crate) fn flush_joins(&mut self, now: u64) {
        if let Some(consumer) = &mut self.consumer {
            consumer.flush();
        }
        if self.joins.is_empty() {
            return;
        }
        // Every source has ended and was drained: nothing can come late any more.
        for outputs in [self.joins.advance(&mut self.native, u64::MAX), self.joins.flush(&mut self.native, now)] {
            self.join_outputs(outputs, now);
        }
    }

    pub(crate) fn say_join_summaries(&mut self) {
        for text in self.joins.summaries() {
            let mut json = Vec::new();
            write_string(&mut json, text.as_bytes());
            self.say(&Message::Record { kind: "join_summary", text: text.as_bytes(), json: &json });
        }
    }
}

fn result_json(result: &JoinResult) -> Vec<u8> {
    let mut out = Vec::new();
    let verdict = result.verdict();
    push(&mut out, "{\"join\": ");
    write_string(&mut out, result.join.as_bytes());
    push(&mut out, ", \"id\": ");
    write_string(&mut out, result.id().as_bytes());
    let _ = write!(
        out,
        ", \"status\": \"{}\", \"begin\": {}, \"end\": {}, \"total\": {}, \"app\": {}, \"unknown\": {}",
        result.status.name(),
        result.begin,
        result.end,
        result.total(),
        result.app,
        result.unknown
    );
    push(&mut out, ", \"verdict\": {\"layer\": ");
    write_string(&mut out, verdict.layer.as_bytes());
    let _ = write!(out, ", \"ns\": {}, \"percent\": {}}}, \"legs\": ", verdict.ns, verdict.percent);
    separated(&mut out, "{", ", ", "}", &result.legs, |out, leg| {
        write_string(out, leg.name.as_bytes());
        let (state, value) = match &leg.state {
            State::Value(v) => ("value".to_owned(), Some(*v)),
            State::None => ("none".to_owned(), None),
            State::Unknown(why) => (format!("unknown({why})"), None),
            State::Ambiguous(n) => (format!("ambiguous({n})"), None),
        };
        push(out, ": {\"state\": ");
        write_string(out, state.as_bytes());
        if let Some(value) = value {
            let _ = write!(out, ", \"value\": {value}");
        }
        let _ = write!(
            out,
            ", \"via\": \"{}\", \"count\": {}, \"lost\": {}, \"charged\": {}}}",
            leg.via.name(),
            leg.count,
            leg.lost,
            leg.charged
        );
    });
    push(&mut out, "}");
    out
}
