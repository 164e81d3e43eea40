//! `tcp:exchange`: blocks on the turns that the two sides of a TCP connection take, whatever they speak. Seen at the same system calls as
//! `http:` blocks are, which say how many bytes went which way.

use super::attach::{Fault, Point, bad};
use super::cx::Checker;
use super::providers::ProviderKind;
use super::sockets::MOST_PORTS;
use crate::ast::AttachPoint;
use crate::diag::Diagnostic;
use crate::hir::SocketSide;
use crate::span::Span;
use std::collections::BTreeSet;

pub(super) const PROVIDER: &str = "tcp";

const TEXT: &str = include_str!("../stdlib/sockets_turns.bt");

/// In the text of sockets: its map, and what becomes of a socket that is gone.
pub(super) const MAPS: &str = "
// Sockets that were told of, until they go.
let @__sockets_turns = hash(65536);
";
pub(super) const IS_GONE: &str = "if (@__sockets_turns[$key] != 0) {
    emit __sockets.turn_end(key = $key, at = (int64)nsecs);
    delete(@__sockets_turns, $key);
  }";

/// What such a block has of a packet's fields, besides those of all exchanges.
pub(super) const FIELDS: &[&str] = &["tcp.exchange.*"];

/// Of which connections the blocks tell.
pub(super) struct Turns {
    /// Of either side; empty: all.
    ports: BTreeSet<u16>,
}

pub(super) fn are_asked(point: &AttachPoint) -> bool {
    super::providers::find(&point.provider.text).is_some_and(|row| row.name == PROVIDER)
}

impl Turns {
    /// None: there are no such blocks.
    pub(super) fn of(points: &[&AttachPoint]) -> Option<Self> {
        let port = |p: &&AttachPoint| p.segments.get(1).and_then(|s| s.text.parse().ok());
        let ports: Option<BTreeSet<u16>> = points.iter().map(port).collect();
        let ports = ports.filter(|ports| ports.len() <= MOST_PORTS).unwrap_or_default();
        (!points.is_empty()).then_some(Self { ports })
    }

    /// The kernel's part, where a system call has moved something.
    pub(super) fn text(&self) -> String {
        let is =
            |port: &u16| format!("$sk.__sk_common.skc_num == {port} || bswap($sk.__sk_common.skc_dport) == {port}");
        let any: Vec<String> = self.ports.iter().map(is).collect();
        let ports = if any.is_empty() { String::new() } else { format!("&& ({})", any.join(" || ")) };
        TEXT.replace("PORTS", &ports)
    }
}

pub(super) fn side(p: &Point<'_>) -> Result<SocketSide, Fault> {
    if p.text(0) == "exchange" {
        return Ok(SocketSide::Turns);
    }
    let text = format!("no event {} of TCP connections", p.text(0));
    let d = Diagnostic::error("bad-attach-point", p.segment_span(0), text)
        .note("tcp:exchange: what one side sends, and what the other one answers; kernel events: tracepoint:tcp:*")
        .write(p.row.shape);
    Err(bad(d))
}

/// Whether a field is one of these, and read in another block, which is told.
pub(super) fn are_told(checker: &mut Checker<'_>, name: &str, span: Span) -> bool {
    if checker.probe.kind() != ProviderKind::Pcap || !name.starts_with("tcp.exchange") {
        return false;
    }
    let d = Diagnostic::error("packet-field", span, format!("{name} is known in tcp:exchange blocks"))
        .note("packets have exchanges of HTTP: http.exchange.*")
        .write("tcp:exchange[:PORT] { … }");
    checker.report(d);
    true
}
