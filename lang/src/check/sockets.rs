//! `http:server`, `http:client`: blocks on what sockets carry. Kernel probes beside the script's own, in the language itself,
//! tell user space what each system call moved; it presents exchanges with the fields that packets have.

use super::attach::{Point, Resolved, bad};
use super::cx::Checker;
use super::glob;
use super::providers::ProviderKind;
use super::turns::{self, Turns};
use super::value::Val;
use crate::ast::{AttachPoint, Item, Script};
use crate::builtins::class;
use crate::diag::Diagnostic;
use crate::hir::{ExprKind, Provider, SocketSide, Ty};
use crate::span::Span;
use std::collections::BTreeSet;

/// Heads fill the ring: of so many bytes, unless the script says.
const RING: u32 = 4 << 20;
/// The streams of the kernel's part begin so.
pub(crate) const STREAMS: &str = "__sockets.";

/// What an `http:` block has of a packet's fields, besides those of all exchanges.
const HTTP_FIELDS: &[&str] = &["http.exchange", "http.exchange.*", "grpc.*"];

/// What any exchange at a socket has of a packet's fields.
const FIELDS: &[&str] = &[
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "ip.version",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.conn",
    "tcp.from_client",
    "flow",
    "conversation",
    "community_id",
    "frame.time*",
    "pkt.owner.*",
];

/// Patterns of the packet fields that blocks of a provider have: `http`, `tcp`.
pub fn exchange_fields(provider: &str) -> impl Iterator<Item = &'static str> {
    let own = if provider == turns::PROVIDER { turns::FIELDS } else { HTTP_FIELDS };
    own.iter().chain(FIELDS).copied()
}

/// What the process that reads or writes the request is called in such a block, and as a packet's field.
const OWN: &[(&str, &str, Ty)] = &[
    ("pid", "pkt.owner.pid", Ty::U32),
    ("tid", "pkt.owner.tid", Ty::U32),
    ("comm", "pkt.owner.comm", Ty::Str { cap: 16 }),
];

/// Of which sockets the blocks tell.
pub(crate) struct Asked {
    pub(super) servers: bool,
    pub(super) clients: bool,
    /// Empty: all.
    pub(super) ports: BTreeSet<u16>,
    /// Some blocks are of one port.
    pub(super) by_port: bool,
    /// `http:` blocks are there, `tcp:exchange` blocks are.
    pub(super) http: bool,
    pub(super) turns: Option<Turns>,
    /// Of the first such block.
    pub(super) span: Span,
}

/// More ports are not compared one by one in the kernel.
pub(super) const MOST_PORTS: usize = 8;

/// What the blocks of these scripts ask of sockets; None: nothing.
pub(crate) fn asked<'a>(scripts: impl IntoIterator<Item = &'a Script>) -> Option<Asked> {
    let probes = scripts.into_iter().flat_map(|s| &s.items).filter_map(|item| match item {
        Item::Probe(probe) => Some(probe),
        _ => None,
    });
    let is_exchange = |p: &&AttachPoint| {
        super::providers::find(&p.provider.text).is_some_and(|row| row.kind == ProviderKind::Exchange)
    };
    let all: Vec<&AttachPoint> = probes.flat_map(super::modules::points).filter(is_exchange).collect();
    let (turns, found): (Vec<&AttachPoint>, Vec<&AttachPoint>) = all.iter().partition(|p| turns::are_asked(p));
    let text = |p: &&AttachPoint, i: usize| p.segments.get(i).map(|s| s.text.clone()).unwrap_or_default();
    let ports: Option<BTreeSet<u16>> = found.iter().map(|p| text(p, 1).parse().ok()).collect();
    (!all.is_empty()).then(|| Asked {
        http: !found.is_empty(),
        turns: Turns::of(&turns),
        servers: found.iter().any(|p| text(p, 0) != "client"),
        clients: found.iter().any(|p| text(p, 0) != "server"),
        ports: ports.filter(|ports| ports.len() <= MOST_PORTS).unwrap_or_default(),
        by_port: found.iter().any(|p| !text(p, 1).is_empty()),
        span: all.first().map_or(Span::default(), |p| p.span),
    })
}

impl Checker<'_> {
    /// `http:server[:PORT]`, `http:client[:PORT]`
    pub(crate) fn exchange(&mut self, p: &Point<'_>) -> Resolved {
        let side = match p.text(0) {
            _ if p.row.name == turns::PROVIDER => turns::side(p)?,
            "server" => SocketSide::Server,
            "client" => SocketSide::Client,
            "*" => SocketSide::Either,
            _ => {
                let d = Diagnostic::error("bad-attach-point", p.segment_span(0), format!("no side {}", p.text(0)))
                    .note("server: requests that processes here answer; client: those that they send; *: both")
                    .write(p.row.shape);
                return Err(bad(d));
            }
        };
        let port = match (p.segments.len(), p.text(1).parse::<u16>()) {
            (1, _) => 0,
            (_, Ok(port)) if port > 0 => port,
            _ => {
                let text = format!("{} is no port: 1 to 65535", p.text(1));
                return Err(bad(Diagnostic::error("bad-attach-point", p.segment_span(1), text).write(p.row.shape)));
            }
        };
        if !self.config.entries.iter().any(|(k, _)| k == "ring_bytes" || k == "perf_rb_pages") {
            self.config.ring_bytes = self.config.ring_bytes.max(RING);
        }
        Ok(vec![p.found(p.as_written(), Provider::Exchange { side, port }, false)])
    }

    /// `pid`, `tid` and `comm` in such a block.
    pub(crate) fn exchange_value(&self, name: &str, span: Span) -> Option<Val> {
        let (_, field, ty) = OWN.iter().find(|(own, ..)| self.class() == class::EXCHANGE && *own == name)?;
        Some(Val::new(ExprKind::Packet((*field).into()), ty.clone(), span))
    }

    /// Whether a packet's field is known where the block runs; if not, it is told.
    pub(crate) fn is_of_exchange(&mut self, name: &str, span: Span) -> bool {
        if self.probe.kind() != ProviderKind::Exchange {
            return !turns::are_told(self, name, span);
        }
        let fields = || exchange_fields(self.probe.row.name);
        if fields().any(|f| glob::matches(f, name)) {
            return true;
        }
        let known: Vec<&str> = fields().filter(|f| *f != "http.exchange").collect();
        let d =
            Diagnostic::error("packet-field", span, format!("{name} is a packet's field: sockets don't show packets"))
                .note(format!("known here: {}", known.join(", ")))
                .write(format!("pcap:any {{ … {name} … }}"));
        self.report(d);
        false
    }
}
