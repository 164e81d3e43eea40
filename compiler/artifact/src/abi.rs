//! Byte layouts that programs write and user space reads, on both sides of the kernel.

use serde::{Deserialize, Serialize};
use std::mem::offset_of;

/// In a stack's id: it is in the second map of its kind.
pub const SECOND_STACKS: u32 = 1 << 30;

/// In a stack's id: user space has unwound it and keeps it.
pub const UNWOUND_STACKS: u32 = 1 << 29;

/// Every record in the event ring, and every record of a native handler, starts with this.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordHeader {
    /// [`crate::action::ActionId`]
    pub action: u32,
    /// Index of the probe ([`crate::plan::ProbePlan`]) whose program wrote it.
    pub probe: u32,
    /// CLOCK_BOOTTIME ns at the event; 0 where the action doesn't ask ([`crate::action::ActionKind::asks_time`]).
    pub time: u64,
}

pub const RECORD_HEADER_SIZE: u32 = 16;
const _: () = assert!(size_of::<RecordHeader>() == RECORD_HEADER_SIZE as usize);

/// What programs count as lost, each in a u64 of the losses map at index `program * LossSlot::COUNT + slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u32)]
pub enum LossSlot {
    /// The ring was full: a record was not reserved.
    Ring = 0,
    /// A map was full: a new key was not stored.
    MapFull = 1,
    /// A read of kernel or user memory failed (the value became 0 or "").
    Read = 2,
    /// A stack could not be stored (hash collision in the stack map).
    Stack = 3,
    /// As many threads as the program has scratch memory for were in it on that CPU: the event was not seen.
    Nested = 4,
    /// A header that the script reads by name found no room among those that are kept ([`HEADERS_CAP`]).
    Header = 5,
    /// Not a loss: an event that the program's first copy missed and the second saw ([`crate::program::ProgramImage::twin`]).
    Caught = 6,
}

impl LossSlot {
    pub const COUNT: u32 = 7;
}

/// A copy of a task's user registers and of the top of its user stack: {u32 pid (tgid), u32 bytes of the stack that could be
/// read, the kernel's struct pt_regs, the stack from the stack pointer on}.
#[derive(Clone, Copy, Debug)]
pub struct StackSample;

impl StackSample {
    /// Offset of the u32 that says how much of the stack is there.
    pub const USED: u32 = 4;
    pub const REGISTERS: u32 = 8;
    /// struct pt_regs of x86-64; struct user_pt_regs of aarch64.
    pub const REGISTERS_SIZE: u32 = weftrace_arch::THIS.registers_size;
    /// Offset of the stack pointer in the sample.
    pub const STACK_POINTER: u32 = Self::REGISTERS + weftrace_arch::THIS.stack_pointer as u32;
    pub const STACK: u32 = Self::REGISTERS + Self::REGISTERS_SIZE;
    /// The stack is read in such pieces, until one can't be.
    pub const PIECE: u32 = 1024;
    pub const PIECES: u32 = 16;
    pub const SIZE: u32 = Self::STACK + Self::PIECE * Self::PIECES;
}

/// One connection as every layer can name it. 56 bytes; endpoint `a` is the smaller of the two as
/// (address, port) bytes, so that both directions give the same key.
/// Address bytes are in network order; IPv4 occupies the first four, the rest is 0.
///
/// The initial sequence numbers tell apart equal tuples of two network namespaces and tie the two local ends of one
/// connection. From a kernel socket: own = snd_una - bytes_acked, peer's = rcv_nxt - bytes_received - 1 (struct
/// tcp_sock, modulo 2^32). From packets: the SYN's sequence numbers, where they were seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnKey {
    /// Inode number of the network namespace; 0: unknown (a capture file).
    pub netns: u32,
    /// AF_INET = 2, AF_INET6 = 10
    pub family: u16,
    /// IPPROTO_TCP = 6
    pub proto: u16,
    pub a_addr: [u8; 16],
    pub b_addr: [u8; 16],
    pub a_port: u16,
    pub b_port: u16,
    /// Initial sequence number of endpoint `a`'s side; 0: unknown.
    pub a_isn: u32,
    pub b_isn: u32,
    /// Whose socket it is: 1 `a`'s, 2 `b`'s; 0: not known (a packet is seen by both).
    pub local: u8,
    /// Who opened the connection: 1 `a`, 2 `b`; 0: not known.
    pub client: u8,
    /// Whose doing it is what packets tell here: 1 `a`'s, 2 `b`'s; 0: neither's, or a socket's ([`Self::local`]).
    pub about: u8,
    /// 0
    pub reserved: u8,
}

impl ConnKey {
    /// As programs and streams have it.
    pub fn to_bytes(&self) -> [u8; CONN_KEY_SIZE as usize] {
        let mut bytes = [0; CONN_KEY_SIZE as usize];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(offset_of!(Self, netns), &self.netns.to_ne_bytes());
        put(offset_of!(Self, family), &self.family.to_ne_bytes());
        put(offset_of!(Self, proto), &self.proto.to_ne_bytes());
        put(offset_of!(Self, a_addr), &self.a_addr);
        put(offset_of!(Self, b_addr), &self.b_addr);
        put(offset_of!(Self, a_port), &self.a_port.to_ne_bytes());
        put(offset_of!(Self, b_port), &self.b_port.to_ne_bytes());
        put(offset_of!(Self, a_isn), &self.a_isn.to_ne_bytes());
        put(offset_of!(Self, b_isn), &self.b_isn.to_ne_bytes());
        put(offset_of!(Self, local), &[self.local, self.client, self.about]);
        bytes
    }

    /// The reverse.
    pub fn from_bytes(bytes: &[u8; CONN_KEY_SIZE as usize]) -> Self {
        fn part<const N: usize>(bytes: &[u8; CONN_KEY_SIZE as usize], at: usize) -> [u8; N] {
            std::array::from_fn(|i| bytes[at + i])
        }
        Self {
            netns: u32::from_ne_bytes(part(bytes, offset_of!(Self, netns))),
            family: u16::from_ne_bytes(part(bytes, offset_of!(Self, family))),
            proto: u16::from_ne_bytes(part(bytes, offset_of!(Self, proto))),
            a_addr: part(bytes, offset_of!(Self, a_addr)),
            b_addr: part(bytes, offset_of!(Self, b_addr)),
            a_port: u16::from_ne_bytes(part(bytes, offset_of!(Self, a_port))),
            b_port: u16::from_ne_bytes(part(bytes, offset_of!(Self, b_port))),
            a_isn: u32::from_ne_bytes(part(bytes, offset_of!(Self, a_isn))),
            b_isn: u32::from_ne_bytes(part(bytes, offset_of!(Self, b_isn))),
            local: bytes[offset_of!(Self, local)],
            client: bytes[offset_of!(Self, client)],
            about: bytes[offset_of!(Self, about)],
            reserved: 0,
        }
    }
}

/// Bytes of a [`ConnKey`] that say which connection it is; what follows says whose view of it.
pub const CONN_IDENTITY: u32 = offset_of!(ConnKey, local) as u32;

pub const CONN_KEY_SIZE: u32 = 56;
const _: () = assert!(size_of::<ConnKey>() == CONN_KEY_SIZE as usize);

/// Bytes `[from, to)` of one direction of a connection. Unused: `from == to`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteRange {
    pub from: u64,
    pub to: u64,
}

impl ByteRange {
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

/// Ranges of each direction that have their place in a [`BytesKey`]; where one has more, they take the other's.
pub const BYTE_RANGES: usize = 4;

/// Bytes of a connection as a join key: those of a segment, or all that a request and its response took. 192 bytes.
///
/// Offsets count from the initial sequence number that `conn` has for the direction, unwrapped to 64 bits: the SYN is byte 0, data begin
/// at 1. Where `conn` has none (0), they count from sequence number 0 at the time of the first packet seen, so that the lower 32 bits are
/// the sequence numbers as sent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BytesKey {
    pub conn: ConnKey,
    /// What endpoint `a` sends, and what endpoint `b` sends; but for those that `crossed` names. Sorted within a direction.
    pub ranges: [[ByteRange; BYTE_RANGES]; 2],
    /// A bit for each range: bytes of others lie in it too, as there were more ranges than there is room for.
    pub merged: u32,
    /// A bit for each range: it is of the other direction than its place says.
    pub crossed: u32,
}

impl BytesKey {
    /// Ranges that there is room for.
    pub const ROOM: usize = 2 * BYTE_RANGES;

    /// The direction of the range at place `i` of [`Self::ROOM`]: 0 is what `a` sends.
    pub const fn direction(i: usize, crossed: u32) -> usize {
        (i / BYTE_RANGES) ^ (crossed >> i & 1) as usize
    }

    /// Adds a range of a direction, behind those that are there; false: there is no room.
    pub fn put(&mut self, dir: usize, range: ByteRange, merged: bool) -> bool {
        let own = (dir & 1) * BYTE_RANGES;
        let other = BYTE_RANGES - own;
        let mut places = (own..own + BYTE_RANGES).chain(other..other + BYTE_RANGES);
        let all = self.ranges.as_flattened_mut();
        let Some(place) = places.find(|&place| all[place].is_empty()) else { return false };
        all[place] = range;
        self.merged |= u32::from(merged) << place;
        self.crossed |= u32::from(place / BYTE_RANGES != dir & 1) << place;
        true
    }
}

pub const BYTES_KEY_SIZE: u32 = 192;
const _: () = assert!(size_of::<BytesKey>() == BYTES_KEY_SIZE as usize);

/// Who sends to whom: [`crate::ty::Type::Flow`]. 48 bytes; each address is laid out as [`crate::ty::Type::Inet`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowValue {
    /// AF_INET = 2, AF_INET6 = 10; 0: none
    pub src_family: u32,
    /// In network order; IPv4 in the first four bytes.
    pub src: [u8; 16],
    pub dst_family: u32,
    pub dst: [u8; 16],
    /// 0 where the protocol has no ports.
    pub src_port: u16,
    pub dst_port: u16,
    /// Of the IP header: 6 TCP, 17 UDP.
    pub proto: u8,
    /// 1: both directions are the same value, it prints with ↔.
    pub two_way: u8,
    /// 0
    pub reserved: u16,
}

pub const FLOW_VALUE_SIZE: u32 = 48;
const _: () = assert!(size_of::<FlowValue>() == FLOW_VALUE_SIZE as usize);

/// Room for packed headers ([`crate::headers`]) where they are copied.
pub const HEADERS_CAP: u32 = 1024;
