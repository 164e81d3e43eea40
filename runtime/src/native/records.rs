//! Records of native handlers on their way to the actions.

use weftrace_artifact::abi::{RECORD_HEADER_SIZE, RecordHeader};

/// Bytes kept for the records of one handler run: what doesn't fit is lost, and counted.
const CAPACITY: usize = 4 << 20;
const CHUNK_WORDS: usize = 8 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reserved,
    Submitted,
    Discarded,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    chunk: usize,
    /// In u64s.
    at: usize,
    /// In bytes.
    len: usize,
    state: State,
}

/// A queue whose records don't move while handlers write them. Emptied after every run, so that it stays small.
#[derive(Debug, Default)]
pub(crate) struct Records {
    chunks: Vec<Box<[u64]>>,
    entries: Vec<Entry>,
    used: usize,
}

impl Records {
    /// A zeroed record of `size` bytes, header included, with the header's probe and time filled in; None: no room.
    pub(crate) fn reserve(&mut self, size: usize, header: RecordHeader) -> Option<*mut u64> {
        let words = size.max(RECORD_HEADER_SIZE as usize).div_ceil(8);
        if self.used + words * 8 > CAPACITY {
            return None;
        }
        self.used += words * 8;
        let next = self.entries.last().map_or((0, 0), |e| (e.chunk, e.at + e.len.div_ceil(8)));
        let (chunk, at) = match self.chunks.get(next.0) {
            Some(c) if next.1 + words <= c.len() => next,
            Some(_) => (next.0 + 1, 0),
            None => (0, 0),
        };
        if self.chunks.get(chunk).is_none_or(|c| c.len() < words) {
            self.chunks.truncate(chunk);
            self.chunks.push(vec![0; words.max(CHUNK_WORDS)].into());
        }
        let record = &mut self.chunks[chunk][at..at + words];
        record.fill(0);
        record[0] = u64::from(header.action) | (u64::from(header.probe) << 32);
        record[1] = header.time;
        self.entries.push(Entry { chunk, at, len: size.max(RECORD_HEADER_SIZE as usize), state: State::Reserved });
        Some(record.as_mut_ptr())
    }

    pub(crate) fn submit(&mut self, record: *const u64) {
        self.set(record, State::Submitted);
    }

    pub(crate) fn discard(&mut self, record: *const u64) {
        self.set(record, State::Discarded);
    }

    fn set(&mut self, record: *const u64, state: State) {
        for entry in self.entries.iter_mut().rev() {
            if std::ptr::eq(&raw const self.chunks[entry.chunk][entry.at], record) {
                entry.state = state;
                return;
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Copies the submitted records out, in the order of their reservation, and empties the queue.
    pub(crate) fn take(&mut self) -> Vec<Box<[u8]>> {
        let taken = self
            .entries
            .iter()
            .filter(|e| e.state == State::Submitted)
            .map(|e| bytes(&self.chunks[e.chunk][e.at..], e.len))
            .collect();
        self.entries.clear();
        self.used = 0;
        self.chunks.truncate(1);
        taken
    }
}

/// The first `len` bytes of these words. (Word by word into room of that size: the compiler makes one copy of it.)
fn bytes(words: &[u64], len: usize) -> Box<[u8]> {
    let mut bytes = vec![0; len].into_boxed_slice();
    for (bytes, word) in bytes.chunks_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes()[..bytes.len()]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submitted_records_come_out_in_order() {
        let mut records = Records::default();
        let header = |action| RecordHeader { action, probe: 7, time: 99 };
        let a = records.reserve(24, header(1)).expect("room");
        let b = records.reserve(16, header(2)).expect("room");
        let c = records.reserve(100_000, header(3)).expect("room");
        records.submit(c);
        records.submit(a);
        records.discard(b);
        let taken = records.take();
        assert_eq!(taken.iter().map(|r| (r.len(), r[0])).collect::<Vec<_>>(), [(24, 1), (100_000, 3)]);
        assert_eq!(&taken[0][4..16], &[7, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0]);
        assert!(records.is_empty());
    }

    #[test]
    fn bounded() {
        let mut records = Records::default();
        let header = RecordHeader::default();
        let n = (0..1000).take_while(|_| records.reserve(1 << 16, header).is_some()).count();
        assert_eq!(n, 64);
        records.take();
        assert!(records.reserve(1 << 16, header).is_some());
    }
}
