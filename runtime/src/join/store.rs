//! The legs' records, kept until no anchor can want them any more. Bounded; the oldest end goes first, and what went is known.

use super::keys::{Tuple, read_conn};
use super::verdict::Interval;
use std::collections::{BTreeMap, HashMap};
use weftrace_artifact::{
    abi::ConnKey,
    join::{KeyKind, LegSpec},
};

/// One record of a leg's stream.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// The time it stands for: an interval, or an instant (start = end).
    pub interval: Interval,
    pub value: i64,
    pub conn: Option<ConnKey>,
    /// An anchor has used it.
    pub matched: bool,
    pub payload: Box<[u8]>,
}

/// The key of a record under one [`KeyKind`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    Conn(Tuple),
    Number(u32),
    Id(Box<[u8]>),
}

impl Key {
    /// Reads the key at `offset`; None where the record carries none (no connection, empty id).
    pub(super) fn read(kind: KeyKind, payload: &[u8], offset: u32) -> Option<(Self, Option<ConnKey>)> {
        match kind {
            KeyKind::Conn => read_conn(payload, offset).map(|conn| (Self::Conn(Tuple::of(&conn)), Some(conn))),
            KeyKind::Pid | KeyKind::Tid => {
                let bytes = payload.get(offset as usize..offset as usize + 4)?;
                let number = u32::from_ne_bytes(bytes.try_into().ok()?);
                (number != 0).then_some((Self::Number(number), None))
            }
            KeyKind::Id { cap } => {
                let bytes = payload.get(offset as usize..(offset + cap) as usize)?;
                let id = bytes.split(|b| *b == 0).next().unwrap_or_default();
                (!id.is_empty()).then(|| (Self::Id(id.into()), None))
            }
        }
    }
}

type RecordId = u64;

/// Records of one leg, found by key and dropped by end time.
#[derive(Debug, Default)]
pub(super) struct Store {
    records: HashMap<RecordId, Record>,
    by_key: HashMap<(u8, Key), Vec<RecordId>>,
    by_end: BTreeMap<(u64, RecordId), Vec<(u8, Key)>>,
    next: RecordId,
    bytes: u64,
    /// Everything up to this end time may have been evicted for want of room.
    pub evicted_to: u64,
    pub evicted: u64,
    /// Records that ended before this were let go: no anchor was expected to want them any more.
    pub expired_to: u64,
}

/// What a record costs beside its payload: the map entries above.
const OVERHEAD: u64 = 256;

impl Store {
    pub(super) fn insert(&mut self, leg: &LegSpec, record: Record) -> Option<RecordId> {
        let keys: Vec<(u8, Key)> = (0u8..)
            .zip(&leg.keys)
            .filter_map(|(i, k)| Key::read(k.kind, &record.payload, k.leg_offset).map(|(key, _)| (i, key)))
            .collect();
        if keys.is_empty() {
            return None;
        }
        let id = self.next;
        self.next += 1;
        for key in &keys {
            self.by_key.entry(key.clone()).or_default().push(id);
        }
        self.bytes += OVERHEAD + record.payload.len() as u64;
        self.by_end.insert((record.interval.1, id), keys);
        self.records.insert(id, record);
        Some(id)
    }

    /// Records under the leg's key number `index`, in order of arrival.
    pub(super) fn find(&self, index: u8, key: Key) -> impl Iterator<Item = (RecordId, &Record)> {
        let ids = self.by_key.get(&(index, key)).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| self.records.get(id).map(|r| (*id, r)))
    }

    pub(super) fn get(&self, id: RecordId) -> Option<&Record> {
        self.records.get(&id)
    }

    pub(super) fn mark(&mut self, id: RecordId) {
        if let Some(record) = self.records.get_mut(&id) {
            record.matched = true;
        }
    }

    pub(super) fn oldest_end(&self) -> Option<u64> {
        self.by_end.first_key_value().map(|(&(end, _), _)| end)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Drops records that ended before `time`; those no anchor used go to `orphan`.
    pub(super) fn expire(&mut self, time: u64, mut orphan: impl FnMut(Record)) {
        self.expired_to = self.expired_to.max(time);
        while let Some((&(end, id), _)) = self.by_end.first_key_value() {
            if end >= time {
                break;
            }
            if let Some(record) = self.remove((end, id))
                && !record.matched
            {
                orphan(record);
            }
        }
    }

    /// Drops the record with the oldest end for want of room.
    pub(super) fn evict_oldest(&mut self) -> bool {
        let Some((&(end, id), _)) = self.by_end.first_key_value() else { return false };
        self.evicted += 1;
        self.evicted_to = self.evicted_to.max(end);
        self.remove((end, id)).is_some()
    }

    fn remove(&mut self, at: (u64, RecordId)) -> Option<Record> {
        for key in self.by_end.remove(&at)? {
            if let Some(ids) = self.by_key.get_mut(&key) {
                ids.retain(|id| *id != at.1);
                if ids.is_empty() {
                    self.by_key.remove(&key);
                }
            }
        }
        let record = self.records.remove(&at.1)?;
        self.bytes -= OVERHEAD + record.payload.len() as u64;
        Some(record)
    }
}
