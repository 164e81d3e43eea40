//! Byte layouts that programs write and user space reads, on both sides of the kernel.

use serde::{Deserialize, Serialize};

/// In a stack's id: it is in the second map of its kind.
pub const SECOND_STACKS: u32 = 1 << 30;

/// Every record in the event ring, and every record of a native handler, starts with this.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordHeader {
    /// [`crate::action::ActionId`]
    pub action: u32,
    /// Index of the probe ([`crate::plan::ProbePlan`]) whose program wrote it.
    pub probe: u32,
    /// CLOCK_BOOTTIME ns at the event.
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
}

impl LossSlot {
    pub const COUNT: u32 = 5;
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
    /// 0
    pub reserved: u32,
}

pub const CONN_KEY_SIZE: u32 = 56;
const _: () = assert!(size_of::<ConnKey>() == CONN_KEY_SIZE as usize);

/// Packed headers ([`crate::ty::Type::Headers`]): repeated {u8 name length, u16 value length (little
/// endian), name in lower case, value}, ended by a name length of 0 or the end of the buffer.
pub const HEADERS_CAP: u32 = 1024;
