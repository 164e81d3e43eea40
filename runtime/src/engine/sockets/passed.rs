//! Exchanges that end in the kernel (lang/src/stdlib/sockets_passing*.bt): it is told which ones nobody keeps, asked how many it has passed
//! over, and, at the end, which requests still wait.

use super::{SocketFeed, at, number, task, u32_at};
use crate::{
    engine::core::{Core, now},
    maps::Merged,
};
use std::rc::Rc;
use weftrace_artifact::{
    Artifact,
    map::{MapId, MapSpec, Value},
    sockets,
    ty::{Field, Type},
};
use weftrace_probes::packet::{SocketCall, SocketExchange, SocketTask};

/// The kernel's maps about them, where it passes over any.
pub(super) struct Passed {
    /// Which exchanges are kept.
    bound: MapId,
    /// By socket: what is under way, the request that waits, and the beginning of a response that goes on.
    passing: MapId,
    /// How many were passed over, by port where that matters (else without a key: 0); and how many of these were told of.
    count: MapId,
    told: Vec<(u16, u64)>,
}

impl Passed {
    pub(super) fn new(artifact: &Artifact) -> Option<Self> {
        let map = |name| (0u32..).zip(&artifact.maps).find(|(_, spec)| spec.name == name).map(|(i, _)| MapId(i));
        Some(Self {
            bound: map(sockets::BOUND)?,
            passing: map(sockets::PASSING)?,
            count: map(sockets::PASSED_OVER)?,
            told: Vec::new(),
        })
    }

    /// How many more were passed over since this was last asked, by port.
    fn news(&mut self, core: &Core) -> Vec<(u16, u64)> {
        let Ok(snapshot) = core.native.store().peek(self.count) else { return Vec::new() };
        let mut news = Vec::new();
        for element in &snapshot.elements {
            let port = number_of(&element.key) as u16;
            let count = total(&element.value);
            let at = self.told.iter().position(|(known, _)| *known == port).unwrap_or_else(|| {
                self.told.push((port, 0));
                self.told.len() - 1
            });
            let more = count.saturating_sub(std::mem::replace(&mut self.told[at].1, count));
            if more > 0 {
                news.push((port, more));
            }
        }
        news
    }
}

fn total(value: &Merged) -> u64 {
    match value {
        Merged::Total(count) => u64::try_from(count.wide()).unwrap_or(0),
        _ => 0,
    }
}

fn plain(value: &Merged) -> Option<&[u8]> {
    match value {
        Merged::Plain(bytes) => Some(bytes),
        _ => None,
    }
}

/// A number in as many bytes as it has.
fn number_of(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// A request that waited in the kernel, or what was sent of its response: when it came, from where to where its bytes lie and how far the other direction had come,
/// whose call it was.
fn moved(
    (key, sent): (i64, bool),
    start: u64,
    [from, to, other]: [u32; 3],
    task: SocketTask,
    bytes: &[u8],
) -> SocketCall<'_> {
    SocketCall {
        key,
        sent,
        start,
        end: start,
        to,
        other,
        total: to.wrapping_sub(from).into(),
        at: 0,
        bytes,
        last: true,
        eof: false,
        clear: 0,
        ahead: false,
        task,
    }
}

/// One that waits still, of its socket's record in [`Passed::passing`], and what was sent of its response.
fn waiting<'a>(key: i64, spec: &MapSpec, value: &'a [u8]) -> Option<(SocketCall<'a>, Option<SocketCall<'a>>)> {
    let Value::Plain(Type::Tuple { fields, .. }) = &spec.value else { return None };
    // As lang/src/check/sockets_exchange.rs has them.
    let [phase, got, sent, came, at_ns, _, pid, tid, comm, _, _, reached, _, began, head, answer] = &fields[..] else {
        return None;
    };
    let number = |field: &Field| number(value, field);
    let of = |sent, start, places: [&Field; 3], bytes: &'a [u8]| {
        let places = places.map(|field| number(field) as u32);
        moved((key, sent), number(start), places, task([pid, tid, comm], value), bytes)
    };
    let goes_on = match u32::try_from(number(phase)) {
        Ok(sockets::PHASE_HELD) => false,
        Ok(sockets::PHASE_ANSWER_HELD) => true,
        _ => return None,
    };
    let [head, answer] = [head, answer].map(|field| counted(at(value, field)));
    let request = of(false, at_ns, [got, came, sent], head);
    Some((request, goes_on.then(|| of(true, began, [sent, reached, came], answer))))
}

/// One that is told.
pub(super) fn held<'a>(fields: &[Field; 10], payload: &'a [u8]) -> SocketCall<'a> {
    let number = |field: &Field| number(payload, field);
    let [key, sent, start, from, to, other, pid, tid, comm, data] = fields;
    let places = [from, to, other].map(|field| number(field) as u32);
    let (task, bytes) = (task([pid, tid, comm], payload), counted(at(payload, data)));
    moved((number(key) as i64, number(sent) != 0), number(start), places, task, bytes)
}

impl Core {
    /// Once all blocks are there: which exchanges the kernel may pass over.
    pub(crate) fn ask_of_sockets(&mut self) {
        let Some(feed) = self.sockets.take() else { return };
        if let (Some(passed), Some(bound)) = (&feed.passed, feed.bound(self)) {
            let most = |n: u64, bits: u32| n.min((1 << bits) - 1);
            let (longer, status) =
                (most(bound.longer_than_ns, 63 - sockets::STATUS_BITS), most(bound.status_from, sockets::STATUS_BITS));
            let word = longer << sockets::STATUS_BITS | status;
            // Where it can't be set nothing is passed over there, which costs time and loses nothing.
            let _ = self.native.store_mut().set(passed.bound, &[0; 4], &word.to_ne_bytes());
        }
        self.sockets = Some(feed);
    }

    /// Joins count what the kernel has passed over meanwhile.
    pub(crate) fn count_passed(&mut self) {
        // What is passed over while probes are detached is none of the run's.
        if self.until != u64::MAX {
            return;
        }
        let Some(mut feed) = self.sockets.take() else { return };
        if let Some(mut passed) = feed.passed.take() {
            let end = now();
            for (port, count) in passed.news(self) {
                feed.pass_over(SocketExchange { served: true, port }, (count, end), self);
            }
            feed.passed = Some(passed);
        }
        self.sockets = Some(feed);
    }

    /// Requests that wait in the kernel when all has ended are read: nothing answers them any more.
    pub(super) fn take_waiting(&mut self, feed: &mut SocketFeed) {
        let Some(passed) = &feed.passed else { return };
        let artifact = Rc::clone(&self.artifact);
        let Some(spec) = artifact.maps.get(passed.passing.0 as usize) else { return };
        let Ok(sockets) = self.native.store().peek(passed.passing) else { return };
        let mut plain_here = Vec::new();
        for element in &sockets.elements {
            let Some(value) = plain(&element.value) else { continue };
            let key = number_of(&element.key) as i64;
            if let Some((request, response)) =
                waiting(key, spec, value).filter(|(request, _)| request.start <= self.until)
            {
                feed.sockets.past(key, [request.to.wrapping_sub(request.total as u32), request.other], None);
                plain_here.extend(feed.sockets.call(&request));
                plain_here.extend(response.and_then(|response| feed.sockets.call(&response)));
            }
        }
        for exchange in plain_here {
            feed.pass_over(exchange, (1, now()), self);
        }
    }
}

/// The bytes behind a u32 that says how many they are.
fn counted(buffer: &[u8]) -> &[u8] {
    let len = u32_at(buffer, 0) as usize;
    let bytes = buffer.get(4..).unwrap_or_default();
    &bytes[..len.min(bytes.len())]
}
