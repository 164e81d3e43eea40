//! From the link layer to TCP or UDP: a loop over layers, each a checked view that names the next one.
//!
//! Where a tunnel repeats a layer, the innermost one ends up in the view, as Wireshark's last occurrence.

mod fragments;
mod icmp;
mod inside;
mod ip;
mod link;
mod pseudo;
mod quoted;
mod tag;
mod tcp;
mod tunnel;
mod udp;
mod wlan;

pub(crate) use fragments::Fragments;
pub(crate) use inside::may_carry;
pub(crate) use quoted::Quoted;
pub(crate) use tcp::{ACK, FIN, RST, SYN};

use super::bytes::Bytes;
use super::raw::RawPacket;
use fragments::Piece;
use inside::Inside;
use weftrace_artifact::packet::{PacketView, kernel::goes_on, needs};

/// More nested layers than any real frame has; guards against crafted ones.
const MAX_LAYERS: usize = 32;

/// What comes next. The bytes it starts at are handed on beside it, so that a layer fits in a register.
#[derive(Clone, Copy)]
enum Layer {
    Ethernet,
    /// By EtherType.
    Type(u16),
    Llc,
    /// By PPP protocol number, which comes first.
    Ppp,
    Mpls,
    /// IEEE 802.11 whose two bytes of frame control changed places.
    SwappedWlan,
    /// Network service header.
    Nsh,
    /// IPv4 or IPv6, by the version nibble.
    AnyIp,
    Ipv4,
    Ipv6,
    /// By IP protocol number.
    Proto(u8),
    /// A complete datagram now lies in the reassembly buffer.
    Reassembled(u8),
    Tcp,
    Udp,
}

/// How a layer's dissection ended; a header that is cut short or contradicts itself gives none.
#[derive(Clone, Copy)]
enum Step {
    Next(Layer),
    /// The bytes left are its captured payload.
    Transport(Transport),
    /// Nothing more to find: another protocol, a fragment, an ICMP error.
    Done,
    /// No dissector for this link type.
    UnknownLink,
}

#[allow(clippy::unnecessary_wraps, reason = "every dissector answers with an option")]
const fn next(layer: Layer) -> Option<Step> {
    Some(Step::Next(layer))
}

/// The transport layer of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    Tcp,
    /// Of a piece of a segment, or with a header whose length can't be: its conversation is known, and no more.
    TcpCutShort,
    /// No more was captured of the header than may say its ports.
    TcpPorts,
    Udp,
}

/// What a packet was.
pub(crate) enum Found<'a> {
    /// With the captured payload, which may be shorter than `PacketView::tcp_len`.
    Transport(Transport, &'a [u8]),
    /// An ICMP error that quotes a TCP segment.
    Quoted(Quoted),
    Other,
    Malformed,
    UnknownLink,
}

/// State that dissection keeps between packets: datagrams in pieces.
#[derive(Default)]
pub(crate) struct Dissector {
    pub(crate) fragments: Fragments,
    inside: Inside,
}

struct Context<'v> {
    view: &'v mut PacketView,
    needs: u32,
    time_ns: u64,
    /// The packet's.
    number: u64,
    live: bool,
    /// A datagram's first piece, whose others can't be had.
    piece: bool,
    /// What an ICMP error is about.
    quoted: Option<Quoted>,
    /// It is only looked at: what it carries is noted.
    inside: Option<&'v mut Inside>,
}

impl<'v> Context<'v> {
    fn new(raw: &RawPacket<'_>, needs: u32, view: &'v mut PacketView) -> Self {
        let (time_ns, number, live) = (raw.time_ns, raw.number, raw.live);
        Self { view, needs, time_ns, number, live, piece: false, quoted: None, inside: None }
    }
}

impl Dissector {
    pub(crate) fn new(max_datagrams: usize) -> Self {
        Self { fragments: Fragments::new(max_datagrams), ..Self::default() }
    }

    pub(crate) fn dissect<'a>(&'a mut self, raw: &RawPacket<'a>, needs: u32, view: &mut PacketView) -> Found<'a> {
        through(&mut self.fragments, raw, Context::new(raw, needs, view))
    }

    /// The innermost IP packet as a frame; None: there is none. A piece of a datagram is kept if others of it are, and
    /// [`Self::dissect`] of the same packet keeps it no second time.
    pub(crate) fn look_inside(&mut self, raw: &RawPacket<'_>, view: &mut PacketView) -> Option<&[u8]> {
        self.inside.clear();
        let cx = Context { inside: Some(&mut self.inside), ..Context::new(raw, 0, view) };
        through(&mut self.fragments, raw, cx);
        self.inside.frame(raw.data.len())
    }
}

/// Through all layers of a packet.
fn through<'a>(fragments: &'a mut Fragments, raw: &RawPacket<'a>, mut cx: Context<'_>) -> Found<'a> {
    let mut at = Bytes::new(raw.data, raw.len as usize);
    let mut step = link::link(raw.link, &mut at, &mut cx, 0);
    let mut budget = MAX_LAYERS;
    // Until a datagram is complete the fragments are only written to; then the rest is read from their buffer.
    let proto = loop {
        match step {
            Some(Step::Next(Layer::Reassembled(proto))) => break proto,
            Some(Step::Next(layer)) if budget > 0 => {
                step = dissect(layer, &mut at, &mut cx, Some(&mut *fragments));
            }
            end => return found(end, at, cx.quoted),
        }
        budget -= 1;
    };
    let datagram = fragments.completed();
    let mut at = Bytes::new(datagram, datagram.len());
    let mut step = next(Layer::Proto(proto));
    loop {
        // A fragment inside a reassembled datagram is left alone.
        match step {
            Some(Step::Next(layer)) if budget > 0 => step = dissect(layer, &mut at, &mut cx, None),
            end => return found(end, at, cx.quoted),
        }
        budget -= 1;
    }
}

fn found(end: Option<Step>, rest: Bytes<'_>, quoted: Option<Quoted>) -> Found<'_> {
    match end {
        Some(Step::Transport(transport)) => Found::Transport(transport, rest.captured()),
        Some(Step::Done) => quoted.map_or(Found::Other, Found::Quoted),
        Some(Step::UnknownLink) => Found::UnknownLink,
        Some(Step::Next(_)) | None => Found::Malformed,
    }
}

fn dissect(layer: Layer, at: &mut Bytes<'_>, cx: &mut Context<'_>, fragments: Option<&mut Fragments>) -> Option<Step> {
    match layer {
        Layer::Ethernet => link::ethernet(at, cx),
        Layer::Type(kind) => {
            let step = link::by_type(kind, at, cx);
            goes_on_as_listed(step, || {
                goes_on::ETHERTYPES.contains(&kind) || goes_on::VLAN.contains(&kind) || [0x0800, 0x86dd].contains(&kind)
            });
            step
        }
        Layer::Llc => link::llc(at),
        Layer::Ppp => link::ppp(at),
        Layer::Mpls => tunnel::mpls(at, cx),
        Layer::Nsh => tag::nsh(at),
        Layer::SwappedWlan => wlan::swapped(at),
        Layer::AnyIp => ip::by_version(at),
        Layer::Ipv4 => ip::ipv4(at, cx, fragments),
        Layer::Ipv6 => ip::ipv6(at, cx, fragments),
        Layer::Proto(proto) => {
            cx.view.transport = proto;
            cx.note(proto, None, *at);
            if proto == ip::FRAGMENT && cx.view.net_family == ip::AF_INET6 {
                return ip::late_fragment(at, cx, fragments);
            }
            if cx.wants(needs::COMMUNITY_ID | needs::FLOW_VALUE) {
                let head = at.captured().first_chunk::<4>().copied();
                (cx.view.head, cx.view.head_len) = head.map_or(([0; 4], 0), |head| (head, 4));
            }
            let step = tunnel::by_proto(proto, at, cx);
            goes_on_as_listed(step, || goes_on::PROTOCOLS.contains(&proto));
            step
        }
        Layer::Reassembled(_) => Some(Step::Done),
        Layer::Tcp => tcp::tcp(at, cx),
        Layer::Udp => {
            let step = udp::udp(at, cx);
            let view = &cx.view;
            goes_on_as_listed(step, || {
                [view.udp_src_port, view.udp_dst_port].iter().any(|port| goes_on::UDP_PORTS.contains(port))
            });
            step
        }
    }
}

/// A packet that a layer goes on into may end up with the fields of another one inside. Programs on packet sockets leave those to user
/// space, by a list; what is new here must be on it.
fn goes_on_as_listed(step: Option<Step>, listed: impl FnOnce() -> bool) {
    let into = matches!(
        step,
        Some(Step::Next(
            Layer::Ethernet
                | Layer::Type(_)
                | Layer::Llc
                | Layer::Ppp
                | Layer::Mpls
                | Layer::Nsh
                | Layer::AnyIp
                | Layer::Ipv4
                | Layer::Ipv6
                | Layer::Proto(_)
        ))
    );
    debug_assert!(!into || listed(), "packet::kernel::goes_on lacks what leads to more headers");
}

impl Context<'_> {
    /// An IP header, or its extension headers, end here.
    fn note(&mut self, proto: u8, piece: Option<&Piece>, rest: Bytes<'_>) {
        if let Some(inside) = &mut self.inside {
            inside.note(self.view, proto, piece, rest);
        }
    }

    fn wants(&self, need: u32) -> bool {
        self.needs & need != 0
    }

    fn wants_options(&self) -> bool {
        self.wants(needs::OPTIONS)
    }
}
