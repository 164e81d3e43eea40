//! What a head says, in one buffer, as handlers read it.

use super::read::{Said, read};
use weftrace_artifact::packet::StrRef;
use weftrace_artifact::{abi::HEADERS_CAP, headers};

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

    /// Puts fields, packed. Where they are copied only so much goes along, so what is too large for that comes last: a long cookie hides no
    /// `x-request-id`. Of one name the first stays the first.
    pub(super) fn pack<'a>(&mut self, all: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Text {
        let from = self.here();
        let mut room = HEADERS_CAP as usize - 1;
        let mut large: Vec<(&[u8], &[u8])> = Vec::new();
        for (name, value) in all.filter(|(name, _)| !name.is_empty()) {
            let size = 3 + name.len() + value.len();
            if size > room || large.iter().any(|(before, _)| before.eq_ignore_ascii_case(name)) {
                large.push((name, value));
            } else if self.push(name, value) {
                room -= size;
            }
        }
        for (name, value) in large {
            self.push(name, value);
        }
        self.since(from)
    }

    /// A field, its name in lower case. False if name or value is longer than the layout can say.
    fn push(&mut self, name: &[u8], value: &[u8]) -> bool {
        let at = self.here() + headers::ENTRY_HEAD;
        let fits = headers::push(&mut self.buf, name, value);
        if fits {
            self.buf[at..at + name.len()].make_ascii_lowercase();
        }
        fits
    }
}
