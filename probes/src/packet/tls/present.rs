//! What is presented to handlers: records, messages in them, the end of a handshake; and what a connection agreed on.

use super::handshake::Hello;
use super::records::Header;
use crate::packet::stream::Part;
use weftrace_artifact::packet::{PacketView, StrRef, TlsView, layer, needs};

/// What a connection's sides agreed on.
#[derive(Clone, Default)]
pub(crate) struct Conn {
    pub(super) server_name: Vec<u8>,
    pub(super) alpn: Vec<u8>,
    /// 0: no server hello yet.
    pub(super) version: u16,
    pub(super) suite: u16,
    pub(super) decrypted: bool,
}

impl Conn {
    /// Strings point into `self`.
    pub(crate) fn describe(&self, view: &mut PacketView) {
        view.layers |= layer::TLS_CONN;
        let tls = &mut view.tls;
        tls.conn_server_name = StrRef::from(&self.server_name[..]);
        tls.conn_alpn = StrRef::from(&self.alpn[..]);
        tls.conn_version = self.version;
        tls.conn_suite = self.suite;
        tls.decrypted = u32::from(self.decrypted);
    }
}

/// A handshake that ended.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    pub(super) start: u64,
    pub(super) duration: u64,
    pub(super) server_hello: Option<u64>,
    pub(super) completed: bool,
    pub(super) resumed: bool,
}

/// What is kept of a hello.
#[derive(Clone)]
pub(super) struct HelloFields {
    version: u16,
    suite: u16,
    supported: Option<u16>,
    group: Option<u16>,
    session_id_length: u8,
    server_name: Option<Vec<u8>>,
    alpn: Option<Vec<u8>>,
}

impl HelloFields {
    pub(super) fn of(hello: &Hello<'_>) -> Self {
        Self {
            version: hello.version,
            suite: hello.suite,
            supported: hello.extensions.version,
            group: hello.extensions.group,
            session_id_length: hello.session_id.len() as u8,
            server_name: hello.extensions.server_name.map(<[u8]>::to_vec),
            alpn: hello.extensions.alpn.map(<[u8]>::to_vec),
        }
    }
}

/// One presentation: a record, or a handshake message in one.
#[derive(Clone, Default)]
pub(super) struct TlsPart {
    /// None: nothing but the end of a handshake, with its connection's.
    pub(super) record: Option<(Header, Option<u8>)>,
    /// A protected record of TLS 1.3.
    pub(super) opaque: bool,
    /// Type and length.
    pub(super) message: Option<(u8, u32)>,
    pub(super) hello: Option<HelloFields>,
    /// Of encrypted extensions.
    pub(super) alpn: Option<Vec<u8>>,
    /// Level and description.
    pub(super) alert: Option<(u8, u8)>,
    pub(super) ended: Option<Ended>,
}

impl TlsPart {
    /// A record as its header says.
    pub(super) fn of(header: &Header) -> Self {
        Self { record: Some((*header, Some(header.kind))), ..Self::default() }
    }

    /// A protected record of TLS 1.3. `kind`: of its content, if it could be decrypted.
    pub(super) fn protected(header: &Header, kind: Option<u8>) -> Self {
        Self { record: Some((*header, kind)), opaque: true, ..Self::default() }
    }
}

impl Part for TlsPart {
    fn family(&self) -> u32 {
        needs::TLS
    }

    fn present(&self, number: u32, view: &mut PacketView) {
        let layers = &mut view.layers;
        let old = view.tls;
        view.tls = TlsView {
            part: number,
            conn_server_name: old.conn_server_name,
            conn_alpn: old.conn_alpn,
            conn_version: old.conn_version,
            conn_suite: old.conn_suite,
            decrypted: old.decrypted,
            ..TlsView::default()
        };
        let tls = &mut view.tls;
        if let Some((header, kind)) = &self.record {
            *layers |= layer::TLS;
            (tls.record_version, tls.record_length) = (header.version, header.length);
            if self.opaque {
                *layers |= layer::TLS_OPAQUE;
                tls.opaque_type = header.kind;
            }
            if let Some(kind) = *kind {
                *layers |= layer::TLS_CONTENT;
                tls.content_type = kind;
            }
        }
        if let Some((kind, length)) = self.message {
            *layers |= layer::TLS_HANDSHAKE;
            (tls.handshake_type, tls.handshake_length) = (kind, length);
        }
        if let Some((level, description)) = self.alert {
            *layers |= layer::TLS_ALERT;
            (tls.alert_level, tls.alert_desc) = (level, description);
        }
        if let Some(alpn) = self.alpn.as_ref().or_else(|| self.hello.as_ref()?.alpn.as_ref()) {
            *layers |= layer::TLS_ALPN;
            tls.alpn = StrRef::from(&alpn[..]);
        }
        if let Some(hello) = &self.hello {
            hello.fill(layers, tls);
        }
        if let Some(ended) = &self.ended {
            ended.fill(layers, tls);
        }
    }
}

impl HelloFields {
    fn fill(&self, layers: &mut u64, tls: &mut TlsView) {
        *layers |= layer::TLS_HELLO;
        (tls.hello_version, tls.hello_suite) = (self.version, self.suite);
        tls.session_id_length = self.session_id_length;
        if let Some(version) = self.supported {
            *layers |= layer::TLS_SUPPORTED_VERSION;
            tls.supported_version = version;
        }
        if let Some(group) = self.group {
            tls.key_share_group = group;
        }
        if let Some(name) = &self.server_name {
            *layers |= layer::TLS_SERVER_NAME;
            tls.server_name = StrRef::from(&name[..]);
        }
    }
}

impl Ended {
    fn fill(&self, layers: &mut u64, tls: &mut TlsView) {
        *layers |= layer::TLS_HANDSHAKE_END;
        tls.handshake_start = self.start;
        tls.handshake_ns = self.duration;
        tls.completed = u32::from(self.completed);
        tls.resumed = u32::from(self.resumed);
        if let Some(after) = self.server_hello {
            *layers |= layer::TLS_SERVER_HELLO;
            tls.server_hello_ns = after;
        }
    }
}
