//! The bounded table of conversations: open addressing over a slab, evicting by the clock algorithm (a flow not used since
//! the hand's last round goes first), so that looking up a flow writes to no other flow's memory.

use super::Flow;
use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hasher},
};
use weftrace_artifact::abi::{ByteRange, BytesKey, ConnKey};
use weftrace_artifact::packet::{HttpView, PacketBytes, PacketEnd, PacketView, known, layer, marks};

/// Endpoints of a conversation, the smaller first. Live, the same endpoints on two interfaces are two conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlowKey {
    lo: [u8; 16],
    hi: [u8; 16],
    lo_port: u16,
    hi_port: u16,
    family: u32,
    netns: u32,
    interface: u32,
}

impl FlowKey {
    /// The key of a packet, and the direction (0: from the smaller endpoint).
    pub(crate) fn of(view: &PacketView, live: bool) -> (Self, usize) {
        let (src, dst) = innermost(view);
        let (sport, dport) = (view.tcp_src_port, view.tcp_dst_port);
        // As numbers of 128 bits: compared at once.
        let end = |address: &[u8; 16], port: u16| (u128::from_be_bytes(*address), port);
        let dir = usize::from(end(src, sport) > end(dst, dport));
        let mut key = Self { family: view.net_family as u32, ..Self::default() };
        (key.lo, key.hi, key.lo_port, key.hi_port) =
            if dir == 0 { (*src, *dst, sport, dport) } else { (*dst, *src, dport, sport) };
        if live {
            key.netns = view.netns;
            key.interface = view.interface;
        }
        (key, dir)
    }

    /// Writes addresses and ports of a packet sent in direction `dir`.
    pub(super) fn write(&self, dir: usize, view: &mut PacketView) {
        let ends = [(self.lo, self.lo_port), (self.hi, self.hi_port)];
        let ((src, sport), (dst, dport)) = (ends[dir & 1], ends[1 - (dir & 1)]);
        (view.tcp_src_port, view.tcp_dst_port) = (sport, dport);
        view.net_family = self.family as u8;
        (view.netns, view.interface) = (self.netns, self.interface);
        if self.family == 2 {
            (view.ip_src, view.ip_dst) = (src, dst);
            view.layers |= layer::IP;
            view.known |= known::IP_SRC | known::IP_DST;
        } else {
            (view.ipv6_src, view.ipv6_dst) = (src, dst);
            view.layers |= layer::IPV6;
            view.known |= known::IPV6_SRC | known::IPV6_DST;
        }
    }

    fn hash(&self, seed: u64) -> u32 {
        let word = |bytes: &[u8; 16], at: usize| {
            bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()).map_or(0, |chunk| u64::from_le_bytes(*chunk))
        };
        let ports = (self.lo_port as u64) << 48 | (self.hi_port as u64) << 32 | self.interface as u64;
        let mut state = mix(seed ^ word(&self.lo, 0), word(&self.hi, 0) ^ ports.rotate_left(17));
        state = mix(state ^ ports, (self.netns as u64) << 8 | self.family as u64 | 1 << 63);
        if self.family != 2 {
            state = mix(state ^ word(&self.lo, 8), word(&self.hi, 8) ^ seed);
        }
        (state ^ state >> 32) as u32
    }
}

/// Folded multiplication: every input bit reaches every output bit.
fn mix(a: u64, b: u64) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let wide = ((a ^ K) as u128).wrapping_mul((b | 1) as u128 ^ (K as u128) << 1);
    (wide as u64) ^ (wide >> 64) as u64
}

/// Addresses of the IP header that carries the transport.
pub(crate) fn innermost(view: &PacketView) -> (&[u8; 16], &[u8; 16]) {
    if view.net_family == 2 { (&view.ip_src, &view.ip_dst) } else { (&view.ipv6_src, &view.ipv6_dst) }
}

/// The join key of a packet's connection: what [`weftrace_artifact::native::NativeHelper::PacketConn`] writes.
pub fn conn_key(view: &PacketView, whose: PacketEnd) -> Option<ConnKey> {
    if view.layers & layer::TCP == 0 {
        return None;
    }
    let (src, dst) = innermost(view);
    // Ports compare as bytes in network order, which is how numbers compare.
    let sender = (src, view.tcp_src_port, view.tcp_isn);
    let receiver = (dst, view.tcp_dst_port, view.tcp_peer_isn);
    let (a, b) = if (sender.0, sender.1) <= (receiver.0, receiver.1) { (sender, receiver) } else { (receiver, sender) };
    let sender_is = if a == sender { 1 } else { 2 };
    // Who sent the first packet seen need not have opened the connection.
    let client = match (view.tcp_isn | view.tcp_peer_isn, view.from_client) {
        (0, _) => 0,
        (_, 0) => 3 - sender_is,
        _ => sender_is,
    };
    let about = match whose {
        PacketEnd::Neither => 0,
        PacketEnd::Client => client,
        PacketEnd::Repair => bytes_key(view, PacketBytes::Repair).map_or(0, |key| key.conn.about),
        PacketEnd::ZeroWindow if view.marks & marks::PEER_STALLED != 0 => 3 - sender_is,
        PacketEnd::ZeroWindow => sender_is,
    };
    Some(ConnKey {
        netns: view.netns,
        family: view.net_family as u16,
        proto: 6,
        a_addr: *a.0,
        b_addr: *b.0,
        a_port: a.1,
        b_port: b.1,
        a_isn: a.2,
        b_isn: b.2,
        local: 0,
        client,
        about,
        reserved: 0,
    })
}

/// The join key of bytes that a packet shows: what [`weftrace_artifact::native::NativeHelper::PacketBytes`] writes.
pub fn bytes_key(view: &PacketView, which: PacketBytes) -> Option<BytesKey> {
    let conn = conn_key(view, PacketEnd::Neither)?;
    let (src, dst) = innermost(view);
    let from_a = (src, view.tcp_src_port) <= (dst, view.tcp_dst_port);
    let mut key = BytesKey { conn, ..BytesKey::default() };
    // `reverse`: bytes that the packet's receiver sends. Streams begin after the SYN.
    let mut senders = [false; 2];
    let mut put = |reverse: bool, range: ByteRange, merged: bool| {
        let (isn, base) = if reverse { (view.tcp_peer_isn, view.tcp_peer_base) } else { (view.tcp_isn, view.tcp_base) };
        let before = if isn == 0 { u64::from(base) } else { 0 };
        let range = ByteRange { from: before + range.from, to: before + range.to };
        if !range.is_empty() {
            let sender = usize::from(from_a == reverse);
            senders[sender] = true;
            let fits = key.put(sender, range, merged);
            debug_assert!(fits, "there is room for all that a view has");
        }
    };
    match which {
        PacketBytes::Segment => {
            put(false, ByteRange { from: view.tcp_place, to: view.tcp_place + u64::from(view.tcp_len) }, false);
        }
        PacketBytes::Repair if view.repair_start == 0 => {}
        PacketBytes::Repair => view.repair.iter().for_each(|(own, range, merged)| put(!own, range, merged)),
        PacketBytes::Request | PacketBytes::Response | PacketBytes::Exchange => {
            let asked_by_receiver = view.http.request_dir != view.tcp_dir;
            let wanted = [which != PacketBytes::Response, which != PacketBytes::Request];
            for (answers, ByteRange { from, to }, merged) in of_exchange(&view.http) {
                if wanted[usize::from(answers)] {
                    put(asked_by_receiver != answers, ByteRange { from: from + 1, to: to + 1 }, merged);
                }
            }
        }
    }
    key.conn.about = match senders {
        [true, false] => 1,
        [false, true] => 2,
        _ => 0,
    };
    senders.contains(&true).then_some(key)
}

/// Bytes of an exchange: (of the response's direction, which, whether others' lie between them).
fn of_exchange(http: &HttpView) -> impl Iterator<Item = (bool, ByteRange, bool)> + '_ {
    let request = (false, ByteRange { from: http.request_from, to: http.request_to }, false);
    let response = (true, ByteRange { from: http.response_from, to: http.response_to }, false);
    let whole = (http.frames.count == 0).then_some([request, response]);
    http.frames.iter().chain(whole.into_iter().flatten())
}

const EMPTY: u32 = u32::MAX;
const CHUNK: usize = 1024;
/// Live, a closed conversation that was quiet for so long gives its place to another: as long as its own system waits for stray packets
/// (TIME_WAIT of Linux).
const LINGER_NS: u64 = 60_000_000_000;
/// Closed ones that are looked at for each new conversation.
const LOOKS: usize = 4;

#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    flow: u32,
}

pub(crate) struct FlowTable {
    slots: Vec<Slot>,
    /// Chunks, so that growing never copies a flow.
    chunks: Vec<Vec<Flow>>,
    len: usize,
    max: usize,
    hand: usize,
    seed: u64,
    last: u32,
    /// Conversations that were closed: when their places are free, the places, their numbers.
    pub(super) closed: VecDeque<(u64, u32, u32)>,
    pub(crate) evicted: u64,
}

impl FlowTable {
    pub(crate) fn new(max: usize) -> Self {
        // A peer that picks ports must not be able to pick collisions. Nothing visible depends on the seed.
        let seed = std::hash::RandomState::new().build_hasher().finish();
        let slots = vec![Slot { hash: 0, flow: EMPTY }; 64];
        Self {
            slots,
            chunks: Vec::new(),
            len: 0,
            max: max.clamp(1, EMPTY as usize / 2),
            hand: 0,
            seed,
            last: EMPTY,
            closed: VecDeque::new(),
            evicted: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> &mut Flow {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    fn get(&self, index: u32) -> &Flow {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    /// Index of the key's flow, and whether it is new. `evict` sees a flow before its slot is reused. `now`: boot time, of live packets: a
    /// run of days has no end at which everything is told, so what is over makes room.
    pub(crate) fn find_or_insert(
        &mut self,
        key: &FlowKey,
        now: Option<u64>,
        evict: &mut dyn FnMut(&mut Flow),
    ) -> (u32, bool) {
        // Packets of a flow come in bursts.
        if self.last != EMPTY && self.get(self.last).key == *key {
            self.get_mut(self.last).recent = true;
            return (self.last, false);
        }
        let hash = key.hash(self.seed);
        if let Some(index) = self.find(key, hash) {
            self.last = index;
            self.get_mut(index).recent = true;
            return (index, false);
        }
        let index = match now.and_then(|now| self.over(now)) {
            Some(index) => {
                self.remove_slot(index);
                evict(self.get_mut(index));
                index
            }
            None if self.len < self.max => self.push(),
            None => self.evict(evict),
        };
        let flow = self.get_mut(index);
        *flow = Flow::new(*key);
        if self.len * 8 > self.slots.len() * 7 {
            self.grow();
        }
        self.insert_slot(Slot { hash, flow: index });
        self.last = index;
        (index, true)
    }

    fn find(&self, key: &FlowKey, hash: u32) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.flow == EMPTY {
                return None;
            }
            if slot.hash == hash && self.get(slot.flow).key == *key {
                return Some(slot.flow);
            }
            at = (at + 1) & mask;
        }
    }

    fn push(&mut self) -> u32 {
        let index = self.len;
        if index.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK.min(self.max - index)));
        }
        self.chunks[index / CHUNK].push(Flow::default());
        self.len += 1;
        index as u32
    }

    /// The flow's conversation was closed, at this time.
    pub(super) fn closes(&mut self, index: u32, now: u64) {
        // One place that is opened and closed again and again leaves nothing behind.
        while self.closed.front().is_some_and(|&(_, index, stream)| !self.get(index).is_closed(stream)) {
            self.closed.pop_front();
        }
        self.closed.push_back((now.saturating_add(LINGER_NS), index, self.get(index).stream));
    }

    /// A place whose conversation is over.
    fn over(&mut self, now: u64) -> Option<u32> {
        for _ in 0..LOOKS {
            let &(due, index, stream) = self.closed.front()?;
            let flow = self.get(index);
            if flow.is_closed(stream) && now < due {
                return None;
            }
            let (closed, quiet) = (flow.is_closed(stream), flow.touched.saturating_add(LINGER_NS));
            // What is still read from it is to be told before.
            let told = flow.app.is_none();
            self.closed.pop_front();
            match closed {
                true if now >= quiet && told => return Some(index),
                // It went on: a reset that nobody heeds closes nothing.
                true => self.closed.push_back((quiet, index, stream)),
                false => {}
            }
        }
        None
    }

    /// Second chance: the hand clears marks until it finds a flow without one.
    fn evict(&mut self, evict: &mut dyn FnMut(&mut Flow)) -> u32 {
        let index = loop {
            let index = self.hand as u32;
            self.hand = (self.hand + 1) % self.len;
            let flow = self.get_mut(index);
            if !flow.recent {
                break index;
            }
            flow.recent = false;
        };
        self.evicted += 1;
        self.remove_slot(index);
        evict(self.get_mut(index));
        index
    }

    fn insert_slot(&mut self, slot: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = slot.hash as usize & mask;
        while self.slots[at].flow != EMPTY {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    /// Removes by shifting back what was pushed aside, so that no tombstones stay.
    fn remove_slot(&mut self, flow: u32) {
        let mask = self.slots.len() - 1;
        let hash = self.get(flow).key.hash(self.seed);
        let mut hole = hash as usize & mask;
        while self.slots[hole].flow != flow {
            hole = (hole + 1) & mask;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at];
            if slot.flow == EMPTY {
                break;
            }
            let home = slot.hash as usize & mask;
            // Distance from home to `at` covers the hole: the entry may move there.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = Slot { hash: 0, flow: EMPTY };
    }

    fn grow(&mut self) {
        let doubled = vec![Slot { hash: 0, flow: EMPTY }; self.slots.len() * 2];
        for slot in std::mem::replace(&mut self.slots, doubled) {
            if slot.flow != EMPTY {
                self.insert_slot(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests;
