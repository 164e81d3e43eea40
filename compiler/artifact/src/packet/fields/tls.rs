//! TLS: records, handshake messages, alerts; what a connection agreed on.

use super::{TLS, row};
use crate::packet::{
    FieldRow, FieldType as T, PacketView as P,
    Read::{Bit, Load, Str},
    layer as l, needs,
};
use std::mem::offset_of;

const HELLO: u64 = l::TLS | l::TLS_HELLO;
const HANDSHAKE: u32 = TLS | needs::HANDSHAKES;
const END: u64 = l::TLS_HANDSHAKE_END;

#[rustfmt::skip]
pub(super) const ROWS: &[FieldRow] = &[
    row("tls.record.content_type", T::U8, TLS, l::TLS | l::TLS_CONTENT, Load(offset_of!(P, tls.content_type)), "Content of the record that ends here: 20 change cipher spec, 21 alert, 22 handshake, 23 application data. Absent where TLS 1.3 encrypts it (see opaque_type)."),
    row("tls.record.opaque_type", T::U8, TLS, l::TLS | l::TLS_OPAQUE, Load(offset_of!(P, tls.opaque_type)), "What a protected record of TLS 1.3 says it is: always 23. Where it could be decrypted, content_type says what it is."),
    row("tls.record.version", T::U16, TLS, l::TLS, Load(offset_of!(P, tls.record_version)), "Version of the record: 0x0301 … 0x0303; TLS 1.3 writes 0x0303 too."),
    row("tls.record.length", T::U16, TLS, l::TLS, Load(offset_of!(P, tls.record_length)), "Length of the record's content as sent."),
    row("tls.handshake.type", T::U8, TLS, l::TLS | l::TLS_HANDSHAKE, Load(offset_of!(P, tls.handshake_type)), "Handshake message that ends here: 1 client hello, 2 server hello, 4 new session ticket, 8 encrypted extensions, 11 certificate, 12 server key exchange, 14 server hello done, 15 certificate verify, 16 client key exchange, 20 finished, 24 key update."),
    row("tls.handshake.length", T::U32, TLS, l::TLS | l::TLS_HANDSHAKE, Load(offset_of!(P, tls.handshake_length)), "Length of the handshake message."),
    row("tls.handshake.version", T::U16, TLS, HELLO, Load(offset_of!(P, tls.hello_version)), "Version of a hello: 0x0303 is TLS 1.2 (TLS 1.3 is negotiated in supported_version)."),
    row("tls.handshake.extensions.supported_version", T::U16, TLS, HELLO | l::TLS_SUPPORTED_VERSION, Load(offset_of!(P, tls.supported_version)), "Version by extension: the highest a client hello offers, the one a server hello chose. 0x0304 is TLS 1.3."),
    row("tls.handshake.ciphersuite", T::U16, TLS, HELLO, Load(offset_of!(P, tls.hello_suite)), "Cipher suite: the first a client hello offers, the one a server hello chose."),
    row("tls.handshake.session_id_length", T::U8, TLS, HELLO, Load(offset_of!(P, tls.session_id_length)), "Length of the session id of a hello."),
    row("tls.handshake.extensions_server_name", T::Str, TLS, HELLO | l::TLS_SERVER_NAME, Str(offset_of!(P, tls.server_name)), "Server name that a client hello asks for."),
    row("tls.handshake.extensions_alpn_str", T::Str, TLS, l::TLS | l::TLS_ALPN, Str(offset_of!(P, tls.alpn)), "Application protocol (ALPN): the first a client hello offers, or the one the server chose."),
    row("tls.handshake.extensions_key_share_group", T::U16, TLS, HELLO, Load(offset_of!(P, tls.key_share_group)), "Group of the (first) key share of a hello: 29 is x25519, 23 is secp256r1, 4588 is X25519MLKEM768; 0 without one."),
    row("tls.alert_message.level", T::U8, TLS, l::TLS | l::TLS_ALERT, Load(offset_of!(P, tls.alert_level)), "Alert: 1 warning, 2 fatal."),
    row("tls.alert_message.desc", T::U8, TLS, l::TLS | l::TLS_ALERT, Load(offset_of!(P, tls.alert_desc)), "Alert: 0 close notify, 40 handshake failure, 42 bad certificate, 45 certificate expired, 48 unknown CA, 70 protocol version, 112 unrecognized name …"),
    row("tls.part", T::U32, TLS, l::FRAME, Load(offset_of!(P, tls.part)), "0; a block that reads tls.* runs again with 1, 2 … for each further message or record that ends in the same packet. (Ours.)"),

    row("tls.handshake.start", T::U64, HANDSHAKE, END, Load(offset_of!(P, tls.handshake_start)), "A handshake ends with this packet: boot time of its client hello. (Ours.)"),
    row("tls.handshake.server_hello", T::U64, HANDSHAKE, END | l::TLS_SERVER_HELLO, Load(offset_of!(P, tls.server_hello_ns)), "From client hello to server hello, ns. (Ours.)"),
    row("tls.handshake.dur", T::U64, HANDSHAKE, END, Load(offset_of!(P, tls.handshake_ns)), "From client hello to the end of the handshake, ns: the last Finished (in TLS 1.3 that is not decrypted, the client's first protected record after the server hello that is long enough for it), a fatal alert (there: a record that is as long as an alert), or the end of the connection. (Ours.)"),
    row("tls.handshake.completed", T::Bool, HANDSHAKE, END, Bit(offset_of!(P, tls.completed), 1), "True: both sides can send data; false: the handshake failed. (Ours.)"),
    row("tls.handshake.resumed", T::Bool, HANDSHAKE, END, Bit(offset_of!(P, tls.resumed), 1), "The handshake resumed an earlier session. (Ours.)"),

    row("tls.conn.server_name", T::Str, TLS, l::TLS_CONN, Str(offset_of!(P, tls.conn_server_name)), "Server name the connection's client asked for, in all its packets from then on; \"\" without one. (Ours.)"),
    row("tls.conn.alpn", T::Str, TLS, l::TLS_CONN, Str(offset_of!(P, tls.conn_alpn)), "Application protocol agreed on; \"\" if none was, or it could not be read (TLS 1.3 encrypts it). (Ours.)"),
    row("tls.conn.version", T::U16, TLS, l::TLS_CONN, Load(offset_of!(P, tls.conn_version)), "Version agreed on: 0x0303 is TLS 1.2, 0x0304 TLS 1.3; 0 before the server hello. (Ours.)"),
    row("tls.conn.ciphersuite", T::U16, TLS, l::TLS_CONN, Load(offset_of!(P, tls.conn_suite)), "Cipher suite agreed on; 0 before the server hello. (Ours.)"),
    row("tls.conn.decrypted", T::Bool, TLS, l::TLS_CONN, Bit(offset_of!(P, tls.decrypted), 1), "Records of the connection were decrypted with secrets from --tls-keys or the capture. (Ours.)"),
];
