//! Hellos (RFC 8446, section 4.1; RFC 5246, section 7.4.1).

use super::cursor::Cursor;

/// Types of handshake messages.
pub(super) mod kind {
    pub(crate) const CLIENT_HELLO: u8 = 1;
    pub(crate) const SERVER_HELLO: u8 = 2;
    pub(crate) const ENCRYPTED_EXTENSIONS: u8 = 8;
    pub(crate) const CERTIFICATE: u8 = 11;
    pub(crate) const FINISHED: u8 = 20;
    pub(crate) const KEY_UPDATE: u8 = 24;

    /// A number that no message has: what is read as one was encrypted.
    pub(crate) fn is_known(kind: u8) -> bool {
        matches!(kind, 0..=5 | 8 | 11..=16 | 20..=25 | 67 | 254)
    }
}

pub(super) const TLS13: u16 = 0x0304;
const DRAFT: u16 = 0x7f;

/// TLS 1.3, or a draft of it.
pub(super) fn is_13(version: u16) -> bool {
    version == TLS13 || version >> 8 == DRAFT
}

/// The random of a server hello that asks for another client hello.
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

mod extension {
    pub(super) const SERVER_NAME: u16 = 0;
    pub(super) const ALPN: u16 = 16;
    pub(super) const ENCRYPT_THEN_MAC: u16 = 22;
    pub(super) const PRE_SHARED_KEY: u16 = 41;
    pub(super) const SUPPORTED_VERSIONS: u16 = 43;
    pub(super) const KEY_SHARE: u16 = 51;
}

/// A client hello, a server hello, or encrypted extensions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hello<'a> {
    pub(super) version: u16,
    pub(super) random: [u8; 32],
    pub(super) session_id: &'a [u8],
    /// The one chosen, or the first offered.
    pub(super) suite: u16,
    /// A server hello's choice: what is encrypted was compressed before (RFC 3749).
    pub(super) compressed: bool,
    pub(super) extensions: Extensions<'a>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extensions<'a> {
    pub(super) server_name: Option<&'a [u8]>,
    pub(super) alpn: Option<&'a [u8]>,
    /// The highest offered, or the one chosen.
    pub(super) version: Option<u16>,
    pub(super) group: Option<u16>,
    pub(super) pre_shared_key: bool,
    pub(super) encrypt_then_mac: bool,
}

impl<'a> Hello<'a> {
    pub(super) fn client(body: &'a [u8]) -> Option<Self> {
        let mut at = Cursor(body);
        let version = at.u16()?;
        let random = *at.take(32)?.first_chunk()?;
        let session_id = at.vec8()?;
        let mut suites = Cursor(at.vec16()?);
        let suite = std::iter::from_fn(|| suites.u16()).find(|&suite| !is_grease(suite)).unwrap_or(0);
        at.vec8()?;
        let extensions = Extensions::of(at, true);
        Some(Self { version, random, session_id, suite, compressed: false, extensions })
    }

    pub(super) fn server(body: &'a [u8]) -> Option<Self> {
        let mut at = Cursor(body);
        let version = at.u16()?;
        let random = *at.take(32)?.first_chunk()?;
        // Drafts of TLS 1.3 before the 22nd left out what it does not use.
        let short = version >> 8 == DRAFT;
        let session_id = if short { &[] } else { at.vec8()? };
        let suite = at.u16()?;
        let compressed = !short && at.u8()? != 0;
        let extensions = Extensions::of(at, false);
        Some(Self { version, random, session_id, suite, compressed, extensions })
    }

    /// Not an answer yet: the client has to send its hello again.
    pub(super) fn is_retry(&self) -> bool {
        self.random == RETRY
    }

    /// The version that a server hello settles.
    pub(super) fn negotiated(&self) -> u16 {
        self.extensions.version.unwrap_or(self.version)
    }
}

impl<'a> Extensions<'a> {
    /// What follows the fixed part of a message; an extension that is not well-formed is as good as none.
    pub(super) fn of(mut at: Cursor<'a>, client: bool) -> Self {
        let mut found = Self::default();
        let mut list = Cursor(at.vec16().unwrap_or_default());
        while let (Some(kind), Some(data)) = (list.u16(), list.vec16()) {
            found.one(kind, Cursor(data), client);
        }
        found
    }

    fn one(&mut self, kind: u16, mut data: Cursor<'a>, client: bool) {
        match kind {
            extension::SERVER_NAME => self.server_name = self.server_name.or_else(|| server_name(data)),
            extension::ALPN => {
                let first = data.vec16().and_then(|list| Cursor(list).vec8());
                self.alpn = self.alpn.or(first.filter(|name| !name.is_empty()));
            }
            extension::ENCRYPT_THEN_MAC => self.encrypt_then_mac = true,
            extension::PRE_SHARED_KEY => self.pre_shared_key = true,
            extension::SUPPORTED_VERSIONS if client => {
                let mut list = Cursor(data.vec8().unwrap_or_default());
                let offered = std::iter::from_fn(|| list.u16()).filter(|&version| !is_grease(version));
                self.version = offered.max();
            }
            extension::SUPPORTED_VERSIONS => self.version = data.u16(),
            extension::KEY_SHARE => {
                let mut list = if client { Cursor(data.vec16().unwrap_or_default()) } else { data };
                while let Some(group) = list.u16() {
                    if !is_grease(group) {
                        self.group = Some(group);
                        break;
                    }
                    list.vec16();
                }
            }
            _ => {}
        }
    }
}

/// RFC 6066, section 3: the first name of type host_name.
fn server_name(mut data: Cursor<'_>) -> Option<&[u8]> {
    let mut list = Cursor(data.vec16()?);
    while !list.is_empty() {
        let (kind, name) = (list.u8()?, list.vec16()?);
        if kind == 0 {
            return Some(name);
        }
    }
    None
}

/// Values that mean nothing (RFC 8701).
fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

#[cfg(test)]
mod tests;
