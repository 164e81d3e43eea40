//! What a head says, in one buffer, as handlers read it.

use super::read::{Said, read};
use weftrace_artifact::headers;
use weftrace_artifact::packet::StrRef;

/// Where in the buffer a text lies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Text {
    from: u32,
    to: u32,
}

impl Text {
    pub(super) fn is_empty(self) -> bool {
        self.from == self.to
    }
}

/// The texts of a head.
#[derive(Debug, Default)]
pub(super) struct Texts {
    buf: Vec<u8>,
    pub(super) method: Text,
    pub(super) uri: Text,
    pub(super) host: Option<Text>,
    pub(super) version: Text,
    pub(super) phrase: Text,
    pub(super) headers: Text,
}

impl Texts {
    /// Of a whole head of HTTP/1; of other bytes none.
    pub(super) fn of(bytes: &[u8]) -> Self {
        read(bytes, Self::made).map(|(texts, _)| texts).unwrap_or_default()
    }

    fn made(said: &Said<'_>, fields: &[httparse::Header<'_>]) -> Self {
        let mut texts = Self { buf: Vec::with_capacity(512), ..Self::default() };
        let host = fields.iter().find(|field| field.name.eq_ignore_ascii_case("host"));
        texts.host = host.map(|field| texts.put(field.value));
        let version = match *said {
            Said::Request { method, target, version } => {
                texts.method = texts.put(method.as_bytes());
                texts.uri = texts.put(target.as_bytes());
                version
            }
            Said::Response { phrase, version, .. } => {
                texts.phrase = texts.put(phrase);
                version
            }
        };
        texts.version = texts.put(if version == 0 { b"HTTP/1.0" } else { b"HTTP/1.1" });
        texts.headers = texts.pack(fields.iter().map(|field| (field.name.as_bytes(), field.value)));
        texts
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Text {
        let from = self.here();
        self.buf.extend_from_slice(bytes);
        self.since(from)
    }

    /// Where what is put next will lie.
    pub(super) fn here(&self) -> usize {
        self.buf.len()
    }

    /// What was put since then.
    pub(super) fn since(&self, from: usize) -> Text {
        Text { from: from as u32, to: self.buf.len() as u32 }
    }

    pub(super) fn bytes(&self, text: Text) -> &[u8] {
        self.buf.get(text.from as usize..text.to as usize).unwrap_or_default()
    }

    pub(super) fn at(&self, which: impl FnOnce(&Self) -> Text) -> StrRef {
        self.bytes(which(self)).into()
    }

    #[cfg(test)]
    pub(super) fn buf(&self) -> &[u8] {
        &self.buf
    }

    /// Bytes of memory behind it.
    pub(super) fn held(&self) -> usize {
        self.buf.capacity()
    }

    /// Puts fields, packed, their names in lower case.
    pub(super) fn pack<'a>(&mut self, all: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Text {
        let from = self.here();
        for (name, value) in all {
            let at = self.here() + headers::ENTRY_HEAD;
            if headers::push(&mut self.buf, name, value) {
                self.buf[at..at + name.len()].make_ascii_lowercase();
            }
        }
        self.since(from)
    }
}
