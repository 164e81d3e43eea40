//! Records that come in.

use super::{CHECK_EVERY, Engine, Evaluate, Output};
use crate::join::{
    result::ViewStorage,
    store::{Past, Taken},
};
use weftrace_artifact::{action::StreamId, join::KeyKind};

impl Engine {
    /// Takes a record of any stream; those of other joins are ignored. `time`: CLOCK_BOOTTIME ns of the event.
    pub fn record(
        &mut self,
        stream: StreamId,
        time: u64,
        payload: &[u8],
        eval: &mut dyn Evaluate,
        out: &mut dyn FnMut(Output),
    ) {
        if stream == self.spec.anchor {
            self.anchor(payload, eval, out);
        }
        let past = Past { watermark: self.clock, told_to: self.told_to };
        let bound = self.bindings.insert(stream, time, payload, past, (&mut self.nodes, &self.digest));
        if let Some(by) = self.leg(stream, time, payload, past).max(bound) {
            self.summary.late_records += 1;
            out(Output::LateRecord { stream, by });
        }
        self.goroutine(stream, payload);
        self.translations.insert(stream, time, payload, &mut self.nodes);
        self.since_check += 1;
        if self.since_check >= CHECK_EVERY {
            // Eighths over the limit are for the time until the next watermark: what goes is best decided there.
            self.bound(|limit| limit + limit / 8, eval, out);
        }
    }

    /// Keeps a record for the legs on its stream, and counts it once, however many these are. Says by how much it comes too late for results; None: it
    /// doesn't.
    fn leg(&mut self, stream: StreamId, time: u64, payload: &[u8], past: Past) -> Option<u64> {
        let stores = self.by_stream.get(stream.0 as usize)?;
        let (mut keyless, mut late) = (false, None);
        for &i in stores {
            match self.stores[i].insert(payload, time, past, (&mut self.nodes, &self.digest)) {
                Taken::InTime => {}
                Taken::Keyless => keyless = true,
                Taken::Late(by) => late = late.max(Some(by)),
            }
        }
        self.summary.keyless += u64::from(keyless);
        late
    }

    /// A process is known to have goroutines by whatever tells of one: what no binding tells of (HTTP/2, gRPC) is served by them all the same.
    fn goroutine(&mut self, stream: StreamId, payload: &[u8]) {
        if let Some(Some(at)) = self.goroutines.get(stream.0 as usize)
            && let Some(carried) = self.digest.read(KeyKind::Goroutine, payload, *at)
        {
            self.bindings.has_goroutine(&carried.node, &mut self.nodes);
        }
    }

    fn anchor(&mut self, payload: &[u8], eval: &mut dyn Evaluate, out: &mut dyn FnMut(Output)) {
        let storage = ViewStorage::for_anchor(payload);
        if let Some(filter) = self.spec.filter
            && eval.call(filter, &storage.view()) == 0
        {
            return;
        }
        let taken = self.anchors.take(payload, self.watermark, &mut self.nodes, &self.digest);
        self.summary.seen += u64::from(taken.first);
        if taken.late {
            self.summary.late += 1;
            out(Output::Late { payload: payload.into() });
        }
    }

    /// Anchors that `keep` doesn't let through, whatever their legs are, and that had ended by then: they are counted.
    pub(crate) fn pass_over(&mut self, count: u64, end: u64) {
        self.summary.seen += count;
        self.summary.passed_over += count;
        *(if end < self.watermark { &mut self.summary.late } else { &mut self.summary.closed }) += count;
    }
}
