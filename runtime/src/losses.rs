//! What was lost, exactly: one table of {source, kind} → count, told at the end and whenever it grows.

use std::collections::BTreeMap;
use std::fmt;

/// Why something was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossKind {
    /// The event ring (or a native handler's queue) was full: an event was not delivered.
    RingFull,
    /// A map was full: a new key was not stored.
    MapFull,
    /// A read of memory failed: the value became 0 or "".
    Read,
    /// A stack was not stored.
    Stack,
    /// The program was already running on that CPU: the event was not seen.
    Recursion,
    /// The kernel's kprobe was running already, or more calls were under way than it keeps returns for.
    Missed,
    /// Too many threads were in the program on that CPU: the event was not seen.
    Nested,
    /// The kernel dropped packets before they were read.
    Packets,
    /// Not acted on when the run was ended: acting took too long.
    Unread,
    /// A record that names no action, or is too short.
    Malformed,
    /// What processes had mapped, so that some of their addresses may have no names.
    Mappings,
    /// Something the packet analysis could not keep or follow, by name.
    Analysis(&'static str),
}

impl LossKind {
    /// In JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::MapFull => "map_full",
            Self::Read => "failed_read",
            Self::Stack => "stack",
            Self::Recursion => "recursion",
            Self::Missed => "missed",
            Self::Nested => "nested",
            Self::Packets => "packets",
            Self::Unread => "unread",
            Self::Malformed => "malformed",
            Self::Mappings => "mappings",
            Self::Analysis(what) => what,
        }
    }

    /// Whether a whole event was lost, not just a value in it.
    pub fn is_event(self) -> bool {
        matches!(
            self,
            Self::RingFull
                | Self::Recursion
                | Self::Missed
                | Self::Nested
                | Self::Packets
                | Self::Unread
                | Self::Malformed
        )
    }

    /// For people, after the count.
    fn text(self) -> &'static str {
        match self {
            Self::RingFull => "events (the event ring was full)",
            Self::MapFull => "map updates (the map was full)",
            Self::Read => "reads of memory (the value is 0 or empty)",
            Self::Stack => "stacks",
            Self::Recursion => "events (the probe was already running on that CPU)",
            Self::Missed => "events (the kernel was in a kprobe already, or had no room to watch for the return)",
            Self::Nested => "events (too many threads were in the probe at once on that CPU)",
            Self::Packets => "packets (dropped before they were read)",
            Self::Unread => "events (not acted on before the end)",
            Self::Malformed => "records (unreadable)",
            Self::Mappings => "records of mappings (some processes that have ended may have no names)",
            Self::Analysis("unknown_link") => "packets (of a link type that can't be dissected)",
            Self::Analysis("fragments") => "IP fragments (their datagram was never complete)",
            Self::Analysis("flows") => "conversations (the flow table was full)",
            Self::Analysis("segments") => "segments (not followed for round trip times)",
            Self::Analysis("http_gaps") => "pieces of HTTP streams (holes in the capture)",
            Self::Analysis(_) => "HTTP exchanges (given up)",
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// A probe's name, or a packet source's.
    pub source: String,
    pub kind: LossKind,
    pub count: u64,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lost {} {}: {}", self.count, self.kind.text(), self.source)
    }
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    rows: BTreeMap<(String, LossKind), u64>,
    told: u64,
}

impl Losses {
    /// Sets a row to an absolute count (counters are read as totals).
    pub fn set(&mut self, source: &str, kind: LossKind, count: u64) {
        if count > 0 {
            self.rows.insert((source.to_owned(), kind), count);
        }
    }

    pub fn add(&mut self, source: &str, kind: LossKind, count: u64) {
        if count > 0 {
            *self.rows.entry((source.to_owned(), kind)).or_default() += count;
        }
    }

    /// By source, then kind.
    pub fn rows(&self) -> Vec<Lost> {
        self.rows.iter().map(|((source, kind), &count)| Lost { source: source.clone(), kind: *kind, count }).collect()
    }

    /// Events that were not delivered.
    pub fn events(&self) -> u64 {
        self.rows.iter().filter(|((_, kind), _)| kind.is_event()).map(|(_, n)| n).sum()
    }

    /// Lost events that were not told yet; they count as told from now on.
    pub fn news(&mut self) -> u64 {
        let all = self.events();
        let new = all - self.told.min(all);
        self.told = all;
        new
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_and_news() {
        let mut losses = Losses::default();
        losses.set("kprobe:f", LossKind::RingFull, 3);
        losses.set("kprobe:f", LossKind::Read, 9);
        assert_eq!(losses.events(), 3);
        assert_eq!(losses.news(), 3);
        losses.set("kprobe:f", LossKind::RingFull, 5);
        losses.add("pcap:any", LossKind::Packets, 2);
        assert_eq!(losses.news(), 4);
        assert_eq!(losses.news(), 0);
        assert_eq!(losses.rows()[0].to_string(), "lost 5 events (the event ring was full): kprobe:f");
        assert_eq!(losses.rows().len(), 3);
    }
}
