//! When do two connection keys name the same connection?
//!
//! The tuple is the index; network namespaces and initial sequence numbers decide. The two ends of a connection on one
//! machine have different namespaces and the same sequence numbers; a reused port has the same
//! namespace and other sequence numbers.

use weftrace_artifact::abi::{CONN_KEY_SIZE, ConnKey};

/// The part of a [`ConnKey`] that both ends and all incarnations share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Tuple {
    family: u16,
    proto: u16,
    a: ([u8; 16], u16),
    b: ([u8; 16], u16),
}

impl Tuple {
    pub(super) fn of(key: &ConnKey) -> Self {
        Self { family: key.family, proto: key.proto, a: (key.a_addr, key.a_port), b: (key.b_addr, key.b_port) }
    }
}

/// How well two keys with the same tuple agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Agreement {
    /// Another incarnation, or another pair of namespaces.
    No,
    /// Other namespace, and no sequence number known on both sides.
    Maybe,
    /// Same namespace (or a capture file, which has none), or the same sequence numbers.
    Yes,
}

pub(super) fn agree(x: &ConnKey, y: &ConnKey) -> Agreement {
    let isns = [(x.a_isn, y.a_isn), (x.b_isn, y.b_isn)];
    let known = || isns.iter().filter(|(p, q)| *p != 0 && *q != 0);
    // What a socket tells may be one too high: its counters include the SYN or FIN on some paths and not on others.
    if known().any(|(p, q)| p.abs_diff(*q) > 1) {
        return Agreement::No;
    }
    let same_place = x.netns == y.netns || x.netns == 0 || y.netns == 0;
    if same_place || known().next().is_some() { Agreement::Yes } else { Agreement::Maybe }
}

/// Reads a key from its bytes in a record; None if they are too few or the family is unset.
pub(super) fn read_conn(bytes: &[u8], offset: u32) -> Option<ConnKey> {
    let b = bytes.get(offset as usize..(offset + CONN_KEY_SIZE) as usize)?;
    let u32_at = |at: usize| u32::from_ne_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
    let u16_at = |at: usize| u16::from_ne_bytes([b[at], b[at + 1]]);
    let address = |at: usize| {
        let mut out = [0; 16];
        out.copy_from_slice(&b[at..at + 16]);
        out
    };
    use std::mem::offset_of;
    let key = ConnKey {
        netns: u32_at(offset_of!(ConnKey, netns)),
        family: u16_at(offset_of!(ConnKey, family)),
        proto: u16_at(offset_of!(ConnKey, proto)),
        a_addr: address(offset_of!(ConnKey, a_addr)),
        b_addr: address(offset_of!(ConnKey, b_addr)),
        a_port: u16_at(offset_of!(ConnKey, a_port)),
        b_port: u16_at(offset_of!(ConnKey, b_port)),
        a_isn: u32_at(offset_of!(ConnKey, a_isn)),
        b_isn: u32_at(offset_of!(ConnKey, b_isn)),
        reserved: 0,
    };
    (key.family != 0).then_some(key)
}
