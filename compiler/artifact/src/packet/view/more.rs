//! What few scripts ask for of a packet.

use crate::abi::FlowValue;

/// Where a packet's [`MoreView`] lies; null unless something of it is known. Valid as long as strings are.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MoreRef(pub *const MoreView);

impl Default for MoreRef {
    fn default() -> Self {
        Self(std::ptr::null())
    }
}

/// What few scripts ask for: apart, so that others' packets don't pay for clearing it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct MoreView {
    /// From the sender to the receiver, and the same for both directions.
    pub flow: FlowValue,
    pub conversation: FlowValue,
    pub community_id: Text,
    pub owner_comm: Text,
    pub owner_pid: u32,
    pub owner_tid: u32,
    pub connection: ConnectionView,
}

/// A short text that lies in the view itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Text {
    pub len: u64,
    pub bytes: [u8; 32],
}

impl From<&str> for Text {
    /// As much as fits.
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<&[u8]> for Text {
    /// As much as fits.
    fn from(text: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let len = text.len().min(bytes.len());
        bytes[..len].copy_from_slice(&text[..len]);
        Self { len: len as u64, bytes }
    }
}

/// What a connection did so far: `tcp.flow.*`. Times are boot time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionView {
    pub client: SideView,
    pub server: SideView,
    /// Both sides together (windows: the client's).
    pub both: SideView,
    pub start: u64,
    /// ns since the epoch.
    pub start_time: u64,
    pub last: u64,
    pub duration: u64,
    /// From the first SYN to the last.
    pub syn_ns: u64,
    /// From the last SYN to the first SYN+ACK after it.
    pub synack_ns: u64,
    /// From the last SYN+ACK to the client's ACK.
    pub ack_ns: u64,
    pub syns: u32,
    pub synacks: u32,
    pub state: Text,
    pub end_reason: Text,
}

/// What one side of a connection sent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SideView {
    pub packets: u64,
    /// Of whole frames, as sent.
    pub bytes: u64,
    pub payload_bytes: u64,
    pub retransmitted_bytes: u64,
    /// How long its receive window was closed.
    pub stall_ns: u64,
    pub retransmissions: u32,
    pub out_of_order: u32,
    pub lost_segments: u32,
    pub duplicate_acks: u32,
    /// How often its receive window closed.
    pub zero_windows: u32,
    /// Of its receive window, scaled.
    pub window: u32,
    pub min_window: u32,
    pub max_window: u32,
}
