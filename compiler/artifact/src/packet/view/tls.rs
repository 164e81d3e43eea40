//! What a packet's view says about TLS.

use super::StrRef;

/// The record, handshake message or alert that ends in a packet, and what is known of its connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsView {
    pub server_name: StrRef,
    pub alpn: StrRef,
    pub conn_server_name: StrRef,
    pub conn_alpn: StrRef,
    /// A handshake that ends: boot ns of its client hello.
    pub handshake_start: u64,
    pub handshake_ns: u64,
    pub server_hello_ns: u64,
    /// 1 if it ended well.
    pub completed: u32,
    /// 1 if it resumed a session.
    pub resumed: u32,
    /// 1 if records of the connection were decrypted.
    pub decrypted: u32,
    pub handshake_length: u32,
    /// 0 for a packet's first presentation.
    pub part: u32,
    pub conn_version: u16,
    pub conn_suite: u16,
    pub record_version: u16,
    pub record_length: u16,
    pub hello_version: u16,
    pub hello_suite: u16,
    pub supported_version: u16,
    pub key_share_group: u16,
    pub content_type: u8,
    pub opaque_type: u8,
    pub handshake_type: u8,
    pub session_id_length: u8,
    pub alert_level: u8,
    pub alert_desc: u8,
}
