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
    /// The device or its driver dropped packets before the kernel had them.
    Device,
    /// Not acted on when the run was ended: acting took too long.
    Unread,
    /// Spans or log records that there was no room for.
    Refused,
    /// Spans or log records that say too little, or messages of them that can't be read.
    Unusable,
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
            Self::Device => "device",
            Self::Unread => "unread",
            Self::Refused => "refused",
            Self::Unusable => "unusable",
            Self::Malformed => "malformed",
            Self::Mappings => "mappings",
            Self::Analysis(what) => what,
        }
    }

    /// By its name in JSON. What an analysis lacks is known by the names that this version has.
    pub fn from_name(name: &str) -> Option<Self> {
        const PLAIN: &[LossKind] = &[
            LossKind::RingFull,
            LossKind::MapFull,
            LossKind::Read,
            LossKind::Stack,
            LossKind::Recursion,
            LossKind::Missed,
            LossKind::Nested,
            LossKind::Packets,
            LossKind::Device,
            LossKind::Unread,
            LossKind::Refused,
            LossKind::Unusable,
            LossKind::Malformed,
            LossKind::Mappings,
        ];
        let plain = PLAIN.iter().find(|kind| kind.name() == name).copied();
        plain.or_else(|| ANALYSIS.iter().find(|(what, _)| *what == name).map(|(what, _)| Self::Analysis(what)))
    }

    /// Why a leg is unknown, where the number of what was lost says little: one operation may have moved many requests.
    pub(crate) fn reason(self) -> Option<&'static str> {
        matches!(self, Self::Analysis("io_uring" | "io_uring_sockets")).then_some("io_uring")
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
                | Self::Device
                | Self::Unread
                | Self::Refused
                | Self::Unusable
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
            Self::Packets => "packets (the kernel's buffer was full)",
            Self::Device => "packets (dropped by the device or its driver)",
            Self::Unread => "events (not acted on before the end)",
            Self::Refused => "spans or log records (more than there was room for)",
            Self::Unusable => "spans or log records (without trace id or time, or unreadable)",
            Self::Malformed => "records (unreadable)",
            Self::Mappings => "records of mappings (some processes that have ended may have no names)",
            Self::Analysis(what) => ANALYSIS.iter().find(|(name, _)| *name == what).map_or(what, |(_, text)| *text),
        }
    }
}

/// What [`LossKind::Analysis`] is of: its name, and for people what was lost.
pub(crate) const ANALYSIS: &[(&str, &str)] = &[
    ("filter", "packets (not matched: libpcap has no such filter for their link type)"),
    ("unknown_link", "packets (of a link type that can't be dissected)"),
    ("fragments", "IP fragments (their datagram was never complete)"),
    ("flows", "conversations (the flow table was full)"),
    ("segments", "segments (not followed for round trip times)"),
    ("http2_unknown", "HTTP/2 headers (sent before the capture began, or in bytes that are missing)"),
    ("http2_gaps", "pieces of HTTP/2 connections (holes in the capture)"),
    ("http2_malformed", "HTTP/2 header blocks or frames (not as RFC 9113 and 7541 have them)"),
    ("http2_cut", "HTTP/2 header blocks or tables (larger than what is kept)"),
    ("http_malformed", "HTTP messages (not as RFC 9112 has them, or with a head longer than is read)"),
    ("http_gaps", "pieces of HTTP streams (holes in the capture)"),
    ("tls_gaps", "pieces of TLS streams (holes in the capture)"),
    ("tls_secrets", "TLS secrets (not kept: too many sessions)"),
    ("tls_refused", "TLS records (not read: connections held too much together)"),
    ("tls_compressed", "TLS connections (compressed: not read in spite of secrets)"),
    ("connections", "ends of connections (too many at once)"),
    ("owners", "owners of packets (their socket was gone, or no process holds it alone)"),
    ("no_packet", "packets to be kept (there was none: time alone ended a connection or an exchange)"),
    ("recorded_drops", "packets (the file says: not kept up with when it was captured)"),
    ("recorded_device_drops", "packets (the file says: dropped by a device or its driver when it was captured)"),
    ("headers", "headers that the script reads (not kept: all that it reads of one message are more than 1 KB)"),
    ("untraced", "trace ids of log records (not 32 hex digits: which trace they are of isn't known)"),
    ("attributes", "attributes of spans or log records (more than is kept of one, or with too long a name)"),
    ("kept", "packets to be kept (not written)"),
    ("questions", "queries (forgotten before their answer: too many at once)"),
    ("parts", "messages (too many ended in one packet)"),
    (
        "socket_gaps",
        "pieces of HTTP streams at sockets (moved by io_uring or another way that no system call shows, or told in a lost record)",
    ),
    ("io_uring", "operations of io_uring on TCP sockets (what they carried is unknown)"),
    ("io_uring_sockets", "TCP sockets used by io_uring (requests on them are not seen)"),
    ("sockets_unknown", "pieces of sockets that were not told of (a lost record)"),
    ("tls_unbound", "messages within TLS (whose socket is not known, or was not yet)"),
    ("sockets", "sockets (too many at once)"),
    ("socket_owners", "threads of requests at sockets (too many in turn to keep)"),
    ("translations", "messages of translated connections (the kernel had no room to tell of them)"),
    ("http_dropped", "HTTP exchanges (given up)"),
    (
        "http_cut",
        "pieces of HTTP messages (their packets were captured in part; at sockets: a call moved more than is copied, 32 KB)",
    ),
];

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// A probe's name, or a packet source's.
    pub source: String,
    pub kind: LossKind,
    pub count: u64,
    /// From when on it may have been (boot time ns), where it is told long after, or [`ANY_TIME`]; else since the source was last asked.
    pub since: Option<u64>,
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
    /// See [`Lost::since`].
    since: BTreeMap<(String, LossKind), u64>,
    told: u64,
    /// Of these, spans and log records that can't be used.
    told_unusable: u64,
    /// What [`Self::fresh`] has given out.
    given: BTreeMap<(String, LossKind), u64>,
}

/// Of what was lost at some time, and nobody knows when.
pub const ANY_TIME: u64 = u64::MAX;

impl Losses {
    /// Sets a row to an absolute count (counters are read as totals).
    pub fn set(&mut self, source: &str, kind: LossKind, count: u64) {
        if count > 0 {
            self.rows.insert((source.to_owned(), kind), count);
        }
    }

    /// The same of what was lost since `since`, as far as it was not told before.
    pub fn set_since(&mut self, source: &str, kind: LossKind, count: u64, since: u64) {
        self.set(source, kind, count);
        self.since.insert((source.to_owned(), kind), since);
    }

    /// So much at least was lost, and joins were told: it is not fresh.
    pub(crate) fn set_told(&mut self, source: &str, kind: LossKind, count: u64) {
        let row = self.rows.entry((source.to_owned(), kind)).or_default();
        *row = (*row).max(count);
        self.given.insert((source.to_owned(), kind), *row);
    }

    pub fn add(&mut self, source: &str, kind: LossKind, count: u64) {
        if count > 0 {
            *self.rows.entry((source.to_owned(), kind)).or_default() += count;
        }
    }

    /// By source, then kind.
    pub fn rows(&self) -> Vec<Lost> {
        let lost = |(row, count): (&(String, LossKind), &u64)| self.lost(row, *count);
        self.rows.iter().map(lost).collect()
    }

    fn lost(&self, row: &(String, LossKind), count: u64) -> Lost {
        Lost { source: row.0.clone(), kind: row.1, count, since: self.since.get(row).copied() }
    }

    /// Of one source.
    pub fn of(&self, source: &str) -> Vec<Lost> {
        self.rows().into_iter().filter(|row| row.source == source).collect()
    }

    /// Events that were not delivered.
    pub fn events(&self) -> u64 {
        self.rows.iter().filter(|((_, kind), _)| kind.is_event()).map(|(_, n)| n).sum()
    }

    /// Lost events that were not told yet; they count as told from now on. Packets are told by themselves, with their device. Spans that can't be used may
    /// go on for as long as who sends them, or the file that can't be read, is there: they are told when they are twice as many as were told.
    pub fn news(&mut self) -> u64 {
        let apart = |kind: &LossKind| matches!(kind, LossKind::Packets | LossKind::Device | LossKind::Unusable);
        let all = self.sum(|kind| kind.is_event() && !apart(kind));
        let new = all - self.told.min(all);
        self.told = all;
        let unusable = self.sum(|kind| *kind == LossKind::Unusable);
        if unusable == 0 || unusable < 2 * self.told_unusable {
            return new;
        }
        new + unusable - std::mem::replace(&mut self.told_unusable, unusable)
    }

    fn sum(&self, of: impl Fn(&LossKind) -> bool) -> u64 {
        self.rows.iter().filter(|((_, kind), _)| of(kind)).map(|(_, count)| count).sum()
    }

    /// What was added since the last call, of all kinds.
    pub fn fresh(&mut self) -> Vec<Lost> {
        let mut fresh = Vec::new();
        for (row, &count) in &self.rows {
            let before = self.given.get(row).copied().unwrap_or(0);
            if count > before {
                fresh.push(self.lost(row, count - before));
                self.given.insert(row.clone(), count);
            }
        }
        fresh
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recording keeps names, and its replay tells the same losses.
    #[test]
    fn every_kind_is_known_by_its_name() {
        // All, in a row: a new kind must be put into it for this to compile.
        let after = |kind: &LossKind| match kind {
            LossKind::RingFull => Some(LossKind::MapFull),
            LossKind::MapFull => Some(LossKind::Read),
            LossKind::Read => Some(LossKind::Stack),
            LossKind::Stack => Some(LossKind::Recursion),
            LossKind::Recursion => Some(LossKind::Missed),
            LossKind::Missed => Some(LossKind::Nested),
            LossKind::Nested => Some(LossKind::Packets),
            LossKind::Packets => Some(LossKind::Device),
            LossKind::Device => Some(LossKind::Unread),
            LossKind::Unread => Some(LossKind::Refused),
            LossKind::Refused => Some(LossKind::Unusable),
            LossKind::Unusable => Some(LossKind::Malformed),
            LossKind::Malformed => Some(LossKind::Mappings),
            LossKind::Mappings | LossKind::Analysis(_) => None,
        };
        let plain = std::iter::successors(Some(LossKind::RingFull), after);
        let analysis = ANALYSIS.iter().map(|(name, _)| LossKind::Analysis(name));
        for kind in plain.chain(analysis) {
            assert_eq!(LossKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(LossKind::from_name("nothing_of_the_kind"), None);
    }

    #[test]
    fn totals_and_news() {
        let mut losses = Losses::default();
        losses.set("kprobe:f", LossKind::RingFull, 3);
        losses.set("kprobe:f", LossKind::Read, 9);
        assert_eq!(losses.events(), 3);
        assert_eq!(losses.news(), 3);
        losses.set("kprobe:f", LossKind::RingFull, 5);
        losses.add("pcap:any", LossKind::Packets, 2);
        assert_eq!((losses.news(), losses.events()), (2, 7));
        assert_eq!(losses.news(), 0);
        assert_eq!(losses.rows()[0].to_string(), "lost 5 events (the event ring was full): kprobe:f");
        assert_eq!(losses.rows().len(), 3);
        // A file of spans that can't be read any more counts each second.
        let told: Vec<u64> = (1..10)
            .map(|n| {
                losses.set("spans", LossKind::Unusable, n);
                losses.news()
            })
            .collect();
        assert_eq!(told, [1, 1, 0, 2, 0, 0, 0, 4, 0]);
        losses.set("kprobe:f", LossKind::RingFull, 6);
        assert_eq!((losses.news(), losses.events()), (1, 17));
        losses.add("pcap:any", LossKind::Analysis("tls_secrets"), 1);
        assert!(losses.of("pcap:any").iter().any(|row| row.to_string().contains("TLS secrets")));
    }
}
