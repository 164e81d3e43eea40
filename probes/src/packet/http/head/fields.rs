//! Heads of HTTP/2 messages: made from the fields of a header block.

use super::{
    Framing, Head, Kind, Outline,
    texts::{Text, Texts},
};
use crate::packet::{http::route::route, http2::Fields};
use std::sync::OnceLock;
use weftrace_artifact::{headers, packet::StrRef};

/// What HTTP/2 and gRPC say beyond HTTP/1's heads.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    scheme: Text,
    /// All fields with the pseudo ones (`:path`), packed.
    all: Text,
    /// Fields that are not known.
    pub(crate) unknown: u32,
    /// The content is gRPC's.
    pub(crate) is_grpc: bool,
    pub(crate) grpc_status: Option<u32>,
    grpc_message: Text,
}

impl Head {
    /// The head that a block's fields make: a request has a method, a response a status; trailers have neither.
    pub(crate) fn of_fields(fields: &Fields) -> Self {
        let mut head = Self::new(Outline::new(Kind::Response), &[]);
        let mut texts = Texts::default();
        texts.version = texts.put(b"HTTP/2");
        let mut extra = Extra { unknown: fields.unknown, ..Extra::default() };
        let from = texts.here();
        texts.pack(fields.iter().filter(|(name, _)| name.starts_with(b":")));
        texts.headers = texts.pack(fields.iter().filter(|(name, _)| !name.starts_with(b":")));
        extra.all = texts.since(from);
        for (name, value) in fields.iter() {
            head.note(name, value, &mut texts, &mut extra);
        }
        if !texts.method.is_empty() {
            head.outline.kind = Kind::Request;
        }
        if head.outline.connects && texts.uri.is_empty() {
            texts.uri = texts.host.unwrap_or_default();
        }
        head.texts = OnceLock::from(Box::new(texts));
        head.extra = Some(Box::new(extra));
        head
    }

    fn note(&mut self, name: &[u8], value: &[u8], texts: &mut Texts, extra: &mut Extra) {
        let number = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<u32>().ok());
        match name {
            b":method" => {
                self.outline.bodiless = value == b"HEAD";
                self.outline.connects = value == b"CONNECT";
                texts.method = texts.put(value);
            }
            b":path" => texts.uri = texts.put(value),
            b":scheme" => extra.scheme = texts.put(value),
            b":authority" => texts.host = Some(texts.put(value)),
            b"host" if texts.host.is_none() => texts.host = Some(texts.put(value)),
            b":status" => {
                self.outline.status = number(value).unwrap_or(0);
            }
            b"content-length" => {
                self.outline.content_length = super::content_length(value);
                self.outline.framing = self.outline.content_length.map_or(Framing::Unsaid, Framing::Length);
            }
            b"content-type" => extra.is_grpc = is_grpc(value),
            b"grpc-status" => extra.grpc_status = number(value),
            b"grpc-message" => {
                let text = unescape(value);
                extra.grpc_message = texts.put(&text);
            }
            _ => {}
        }
    }

    pub(crate) fn extra(&self) -> Option<&Extra> {
        self.extra.as_deref()
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + size_of::<Extra>() + size_of::<Texts>() + self.texts().held()
    }

    /// `:authority`, or a Host field.
    pub(crate) fn has_host(&self) -> bool {
        self.texts().host.is_some()
    }

    pub(crate) fn is_grpc(&self) -> bool {
        self.extra().is_some_and(|extra| extra.is_grpc)
    }

    pub(crate) fn has_method(&self) -> bool {
        !self.texts().method.is_empty()
    }

    pub(crate) fn has_uri(&self) -> bool {
        !self.texts().uri.is_empty()
    }

    pub(crate) fn scheme(&self) -> StrRef {
        self.extra().map(|extra| self.texts().at(|_| extra.scheme)).unwrap_or_default()
    }

    /// All fields, pseudo ones too.
    pub(crate) fn all_fields(&self) -> StrRef {
        self.extra().map(|extra| self.texts().at(|_| extra.all)).unwrap_or_default()
    }

    pub(crate) fn grpc_message(&self) -> StrRef {
        self.extra().map(|extra| self.texts().at(|_| extra.grpc_message)).unwrap_or_default()
    }

    /// Ids of the trace and of the caller's span, by the header traceparent; empty without a proper one.
    pub(crate) fn trace(&self) -> (StrRef, StrRef) {
        let value = headers::find(self.texts().bytes(self.texts().headers), b"traceparent");
        value.and_then(traceparent).map_or_else(Default::default, |(trace, span)| (trace.into(), span.into()))
    }

    /// What the request has in common with others of its kind.
    pub(crate) fn route(&self) -> Box<str> {
        route(self.texts().bytes(self.texts().uri)).into_boxed_str()
    }

    /// `/package.Service/Method` as (service, method).
    pub(crate) fn grpc_call(&self) -> (StrRef, StrRef) {
        let path = self.texts().bytes(self.texts().uri);
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let slash = path.iter().rposition(|&byte| byte == b'/').unwrap_or(path.len());
        (path[..slash].into(), path.get(slash + 1..).unwrap_or_default().into())
    }
}

/// Trace and caller's span in a traceparent header (W3C Trace Context): `00-TRACE-SPAN-FLAGS`, each in small hexadecimal digits, not all zero.
fn traceparent(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = value.trim_ascii().splitn(4, |b| *b == b'-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &[u8], len: usize| {
        part.len() == len && part.iter().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
    };
    let fine = hex(version, 2) && version != b"ff" && hex(trace, 32) && hex(span, 16);
    let some = |part: &[u8]| part.iter().any(|b| *b != b'0');
    (fine && some(trace) && some(span) && parts.next().is_some()).then_some((trace, span))
}

fn is_grpc(content_type: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let Some((start, rest)) = content_type.split_at_checked(GRPC.len()) else { return false };
    start.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'-'))
}

/// gRPC sends its messages percent-encoded.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|&byte| (byte as char).to_digit(16));
        rest = after;
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            _ => out.push(first),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::traceparent;

    #[test]
    fn traceparents() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let read = |text: String| traceparent(text.as_bytes()).map(|(t, s)| (t.to_vec(), s.to_vec()));
        let both = Some((trace.as_bytes().to_vec(), span.as_bytes().to_vec()));
        assert_eq!(read(format!("00-{trace}-{span}-01")), both);
        assert_eq!(read(format!(" cc-{trace}-{span}-01-what-comes-later")), both, "of later versions");
        for wrong in [
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{trace}-{span}"),
            trace.to_owned(),
            String::new(),
        ] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }
}
