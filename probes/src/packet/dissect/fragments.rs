//! IP datagrams in pieces: put together within fixed bounds, what does not fit is counted.

use std::collections::{HashMap, VecDeque};

/// Largest payload an IP header can describe.
const MAX_DATAGRAM: usize = 65_535;
/// RFC 8200 gives up after 60 s.
const LIFETIME_NS: u64 = 60_000_000_000;
const MAX_PIECES: usize = 8_192;

/// Whose fragments belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) family: u8,
    pub(crate) proto: u8,
    pub(crate) id: u32,
    pub(crate) src: [u8; 16],
    pub(crate) dst: [u8; 16],
}

pub(crate) struct Piece {
    pub(crate) key: Key,
    /// In bytes.
    pub(crate) offset: usize,
    pub(crate) more: bool,
    /// All its bytes were captured.
    pub(crate) whole: bool,
}

impl Piece {
    /// There are no others.
    pub(crate) fn is_all(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// One datagram under way.
#[derive(Default)]
struct Datagram {
    bytes: Vec<u8>,
    /// Ranges present, sorted, merged where they touch.
    have: Vec<(usize, usize)>,
    /// Known once the last piece was seen.
    total: Option<usize>,
    started_ns: u64,
    serial: u64,
    pieces: usize,
}

/// All datagrams under way. At most `max` of them; the oldest makes room.
pub(crate) struct Fragments {
    open: HashMap<Key, Datagram>,
    /// In order of arrival; entries whose serial no longer matches are stale.
    order: VecDeque<(Key, u64)>,
    done: Vec<u8>,
    serial: u64,
    max: usize,
    /// The packet whose piece was added by a look at it, and whether that completed its datagram.
    looked_at: Option<(u64, bool)>,
    /// Fragments thrown away: datagrams never completed, or pieces that contradict.
    pub(crate) dropped: u64,
}

impl Default for Fragments {
    fn default() -> Self {
        Self::new(256)
    }
}

impl Fragments {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            open: HashMap::new(),
            order: VecDeque::new(),
            done: Vec::new(),
            serial: 0,
            max: max.max(1),
            looked_at: None,
            dropped: 0,
        }
    }

    /// The datagram that the last `add` completed.
    pub(crate) fn completed(&self) -> &[u8] {
        &self.done
    }

    /// Whether pieces of this datagram are kept.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.open.contains_key(key)
    }

    /// Notes that the packet of this number was only looked at, and its piece added.
    pub(crate) fn looked_at(&mut self, number: u64, complete: bool) {
        self.looked_at = Some((number, complete));
    }

    /// What a look at the packet of this number has brought: whether the datagram of its piece is complete. None: nothing was added.
    pub(crate) fn brought(&self, number: u64) -> Option<bool> {
        self.looked_at.filter(|(of, _)| *of == number).map(|(_, complete)| complete)
    }

    /// Adds a piece. True: its datagram is complete.
    pub(crate) fn add(&mut self, piece: &Piece, bytes: &[u8], now_ns: u64) -> bool {
        let end = piece.offset + bytes.len();
        if end > MAX_DATAGRAM || bytes.is_empty() {
            self.dropped += 1;
            return false;
        }
        self.make_room(&piece.key, now_ns);
        let serial = self.serial;
        let datagram = self.open.entry(piece.key).or_insert_with(|| {
            self.order.push_back((piece.key, serial));
            self.serial += 1;
            Datagram { started_ns: now_ns, serial, ..Datagram::default() }
        });
        datagram.pieces += 1;
        let contradicts = match datagram.total {
            Some(total) => end > total || (!piece.more && end != total),
            None => !piece.more && datagram.bytes.len() > end,
        };
        if contradicts || datagram.pieces > MAX_PIECES {
            self.dropped += 1;
            return false;
        }
        if !piece.more {
            datagram.total = Some(end);
        }
        datagram.put(piece.offset, bytes);
        if datagram.is_complete() {
            if let Some(datagram) = self.open.remove(&piece.key) {
                self.done = datagram.bytes;
            }
            return true;
        }
        false
    }

    /// No more packets will come: datagrams still open count as dropped.
    pub(crate) fn close(&mut self) {
        self.dropped += self.open.values().map(|datagram| datagram.pieces as u64).sum::<u64>();
        self.open.clear();
        self.order.clear();
    }

    /// Drops what is too old, and the oldest if a new datagram would be one too many.
    fn make_room(&mut self, key: &Key, now_ns: u64) {
        let is_new = !self.open.contains_key(key);
        while let Some((oldest, serial)) = self.order.front().copied() {
            let current = self.open.get(&oldest).filter(|datagram| datagram.serial == serial);
            let Some(datagram) = current else {
                self.order.pop_front();
                continue;
            };
            let stale = now_ns.saturating_sub(datagram.started_ns) > LIFETIME_NS;
            let full = is_new && self.open.len() >= self.max;
            let drop = full || stale && oldest != *key;
            if !drop {
                break;
            }
            self.dropped += datagram.pieces as u64;
            self.open.remove(&oldest);
            self.order.pop_front();
        }
    }
}

impl Datagram {
    /// Where pieces overlap the later one wins, as in Wireshark.
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
        let (mut from, mut to) = (offset, end);
        self.have.retain(|&(a, b)| {
            let touches = a <= to && from <= b;
            if touches {
                from = from.min(a);
                to = to.max(b);
            }
            !touches
        });
        let at = self.have.partition_point(|&(a, _)| a < from);
        self.have.insert(at, (from, to));
    }

    fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| self.have == [(0, total)])
    }
}

#[cfg(test)]
mod tests;
