//! Blocks on their way to the file, in order. Packets wait for the results that they belong to, which become their comments.

use crate::{join::JoinResult, pcapng::Interface};
use std::collections::{BTreeSet, HashMap, VecDeque};
use weftrace_artifact::abi::ConnKey;

/// Comments of one packet.
const MAX_COMMENTS: usize = 8;

pub(super) enum Held {
    Events(Vec<u8>),
    Interface(Interface),
    Packet(Box<HeldPacket>),
}

pub(super) struct HeldPacket {
    pub(super) interface: u32,
    /// CLOCK_REALTIME and CLOCK_BOOTTIME, ns.
    pub(super) time_ns: u64,
    pub(super) boot: u64,
    /// On the wire.
    pub(super) len: u32,
    pub(super) data: Vec<u8>,
    pub(super) kept: Vec<u8>,
    pub(super) ends: Option<Ends>,
    pub(super) comments: Vec<String>,
}

impl Held {
    /// Of a packet of a connection: which one, and when it came.
    fn of_connection(&self) -> Option<(Ends, u64)> {
        let Self::Packet(packet) = self else { return None };
        packet.ends.map(|ends| (ends, packet.boot))
    }

    /// What it takes in memory, about.
    fn bytes(&self) -> usize {
        match self {
            Self::Events(events) => events.len(),
            Self::Interface(_) => size_of::<Interface>(),
            Self::Packet(p) => {
                let said: usize = p.comments.iter().map(String::len).sum();
                p.data.len() + p.kept.len() + said + size_of::<HeldPacket>()
            }
        }
    }
}

impl HeldPacket {
    /// Gets a comment if it is of the result's time, and has room for one; whether it did.
    fn belongs(&mut self, result: &JoinResult, text: &str) -> bool {
        let does = self.boot >= result.begin && self.boot <= result.end && !self.is_full();
        if does {
            self.comments.push(text.to_owned());
        }
        does
    }

    fn is_full(&self) -> bool {
        self.comments.len() >= MAX_COMMENTS
    }
}

/// Both endpoints, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends([([u8; 16], u16); 2]);

impl Ends {
    pub(super) fn of(key: &ConnKey) -> Self {
        let mut ends = [(key.a_addr, key.a_port), (key.b_addr, key.b_port)];
        ends.sort_unstable();
        Self(ends)
    }
}

/// What is held.
#[derive(Default)]
pub(super) struct Queue {
    held: VecDeque<Held>,
    bytes: usize,
    /// How many left before the first of `held`.
    gone: u64,
    /// Packets of each connection among `held` that have room for a comment, by time: (boot, number, counted from the recording's first). A result must
    /// not look at all packets, nor at all of a connection that has one after the other.
    by_ends: HashMap<Ends, BTreeSet<(u64, u64)>>,
}

impl Queue {
    pub(super) fn push(&mut self, held: Held) {
        if let Some((ends, boot)) = held.of_connection() {
            self.by_ends.entry(ends).or_default().insert((boot, self.gone + self.held.len() as u64));
        }
        self.bytes += held.bytes();
        self.held.push_back(held);
    }

    pub(super) fn first(&self) -> Option<&Held> {
        self.held.front()
    }

    pub(super) fn pop(&mut self) -> Option<Held> {
        let first = self.held.pop_front()?;
        let number = self.gone;
        self.gone += 1;
        self.bytes -= first.bytes();
        if let Some((ends, boot)) = first.of_connection() {
            self.unlist(ends, &[(boot, number)]);
        }
        Some(first)
    }

    fn unlist(&mut self, ends: Ends, packets: &[(u64, u64)]) {
        let Some(its) = self.by_ends.get_mut(&ends) else { return };
        for packet in packets {
            its.remove(packet);
        }
        if its.is_empty() {
            self.by_ends.remove(&ends);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The packets of a result's connection and time get a comment; `at_hand` will come next.
    pub(super) fn result(&mut self, result: &JoinResult, at_hand: Option<&mut HeldPacket>) {
        let text = format!("{} {}", result.join, result.id());
        if let Some(packet) = at_hand.filter(|p| p.ends.is_some() && p.ends == result.conn.map(|conn| Ends::of(&conn)))
        {
            packet.belongs(result, &text);
        }
        let Some(ends) = result.conn.map(|conn| Ends::of(&conn)) else { return };
        let Some(its) = self.by_ends.get(&ends).filter(|_| result.begin <= result.end) else { return };
        let mut full = Vec::new();
        for &(boot, number) in its.range((result.begin, 0)..=(result.end, u64::MAX)) {
            let Some(Held::Packet(packet)) = self.held.get_mut((number - self.gone) as usize) else { continue };
            if packet.belongs(result, &text) {
                self.bytes += text.len();
            }
            if packet.is_full() {
                full.push((boot, number));
            }
        }
        self.unlist(ends, &full);
    }
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
