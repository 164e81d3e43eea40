//! The application protocols on TCP: one row each.

use super::{Context, Protocol, Shared};
use crate::packet::{dns, http, http2, tls};
use weftrace_artifact::packet::needs;

/// What a connection's bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sniff {
    Yes,
    /// Too short to tell.
    Maybe,
    No,
}

/// What is known about bytes beside themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    /// Both ends' ports.
    pub(crate) ports: [u16; 2],
    /// What both sides agreed on by ALPN in the protocol below; empty: nothing.
    pub(crate) alpn: &'a [u8],
}

/// A protocol.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// It is looked for if a script's fields need any of these.
    pub(crate) needs: u32,
    /// Whether these are the first bytes of a direction, or of a message after a hole.
    pub(crate) sniff: fn(&[u8], &Setting<'_>) -> Sniff,
    pub(crate) open: fn(&mut Context<'_>) -> Box<dyn Protocol>,
}

/// In the order of asking: the first that says yes.
pub(super) static PROTOCOLS: &[Row] = &[
    // HTTP/2 may begin with an upgrade from HTTP/1, and its exchanges are HTTP's.
    Row {
        name: "http",
        needs: needs::HTTP | needs::HTTP2,
        sniff: http::sniff,
        open: |_| Box::<http::HttpFlow>::default(),
    },
    Row {
        name: "http2",
        needs: needs::HTTP | needs::HTTP2,
        sniff: http2::sniff,
        open: |cx| Box::new(http2::Http2Flow::new(cx.shared.upgraded.take())),
    },
    Row { name: "tls", needs: needs::TLS, sniff: tls::sniff, open: |_| Box::<tls::TlsFlow>::default() },
    // By its port alone, so that what can be told by its bytes comes before.
    Row { name: "dns", needs: needs::DNS, sniff: dns::sniff, open: |_| Box::<dns::DnsFlow>::default() },
];

/// What the rows say.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    Is(&'static Row),
    Maybe,
    No,
}

impl Verdict {
    pub(crate) fn is_no(self) -> bool {
        matches!(self, Self::No)
    }
}

/// Looks for the protocol of a direction's first bytes.
pub(crate) fn sniff(bytes: &[u8], setting: &Setting<'_>, shared: &Shared) -> Verdict {
    let mut maybe = false;
    for row in PROTOCOLS.iter().filter(|row| shared.needs & row.needs != 0) {
        match (row.sniff)(bytes, setting) {
            Sniff::Yes => return Verdict::Is(row),
            Sniff::Maybe => maybe = true,
            Sniff::No => {}
        }
    }
    if maybe { Verdict::Maybe } else { Verdict::No }
}

/// A protocol by name, if the script's fields need it.
pub(super) fn open(name: &str, cx: &mut Context<'_>) -> Option<Box<dyn Protocol>> {
    let row = PROTOCOLS.iter().find(|row| row.name == name && cx.shared.needs & row.needs != 0)?;
    Some((row.open)(cx))
}
