//! From the link layer to TCP or UDP: a loop over layers, each a checked view that names the next one.
//!
//! Where a tunnel repeats a layer, the innermost one ends up in the view, as Wireshark's last occurrence.

mod fragments;
mod ip;
mod link;
mod tcp;
mod tunnel;
mod udp;
mod wlan;

pub(crate) use fragments::Fragments;
pub(crate) use tcp::{ACK, FIN, RST, SYN};

use super::bytes::Bytes;
use super::raw::RawPacket;
use weftrace_artifact::packet::{PacketView, needs};

/// More nested layers than any real frame has; guards against crafted ones.
const MAX_LAYERS: usize = 32;

/// What comes next, with the bytes it starts at.
#[derive(Clone, Copy)]
enum Layer<'a> {
    Link(super::LinkType, Bytes<'a>),
    Ethernet(Bytes<'a>),
    /// By EtherType.
    Type(u16, Bytes<'a>),
    Llc(Bytes<'a>),
    /// By PPP protocol number, which comes first.
    Ppp(Bytes<'a>),
    Mpls(Bytes<'a>),
    /// IPv4 or IPv6, by the version nibble.
    AnyIp(Bytes<'a>),
    Ipv4(Bytes<'a>),
    Ipv6(Bytes<'a>),
    /// By IP protocol number.
    Proto(u8, Bytes<'a>),
    /// A complete datagram now lies in the reassembly buffer.
    Reassembled(u8),
    Tcp(Bytes<'a>),
    Udp(Bytes<'a>),
}

/// How a layer's dissection ended.
enum Step<'a> {
    Next(Layer<'a>),
    /// TCP or UDP was found.
    Transport(Transport<'a>),
    /// Nothing more to find: another protocol, a fragment, an ICMP error.
    Done,
    /// A header is cut short or contradicts itself.
    Malformed,
    /// No dissector for this link type.
    UnknownLink,
}

/// The transport layer of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport<'a> {
    Tcp {
        /// Captured payload; may be shorter than `PacketView::tcp_len`.
        payload: &'a [u8],
    },
    Udp {
        payload: &'a [u8],
    },
}

/// What a packet was.
pub(crate) enum Found<'a> {
    Transport(Transport<'a>),
    Other,
    Malformed,
    UnknownLink,
}

/// State that dissection keeps between packets: datagrams in pieces.
#[derive(Default)]
pub(crate) struct Dissector {
    pub(crate) fragments: Fragments,
}

struct Context<'v> {
    view: &'v mut PacketView,
    needs: u32,
    time_ns: u64,
}

impl Dissector {
    pub(crate) fn dissect<'a>(&'a mut self, raw: &RawPacket<'a>, needs: u32, view: &mut PacketView) -> Found<'a> {
        let mut cx = Context { view, needs, time_ns: raw.time_ns };
        let whole = Bytes::new(raw.data, raw.len as usize);
        let mut layer = Layer::Link(raw.link, whole);
        let mut budget = MAX_LAYERS;
        // Until a datagram is complete the fragments are only written to; then the rest is read from their buffer.
        let proto = loop {
            match step(layer, &mut cx, Some(&mut self.fragments)) {
                Step::Next(Layer::Reassembled(proto)) => break proto,
                Step::Next(next) => layer = next,
                end => return found(end),
            }
            budget -= 1;
            if budget == 0 {
                return Found::Malformed;
            }
        };
        let datagram = self.fragments.completed();
        let mut layer = Layer::Proto(proto, Bytes::new(datagram, datagram.len()));
        loop {
            // A fragment inside a reassembled datagram is left alone.
            match step(layer, &mut cx, None) {
                Step::Next(next) => layer = next,
                end => return found(end),
            }
            budget -= 1;
            if budget == 0 {
                return Found::Malformed;
            }
        }
    }
}

fn found(step: Step<'_>) -> Found<'_> {
    match step {
        Step::Transport(transport) => Found::Transport(transport),
        Step::Next(_) | Step::Done => Found::Other,
        Step::Malformed => Found::Malformed,
        Step::UnknownLink => Found::UnknownLink,
    }
}

fn step<'a>(layer: Layer<'a>, cx: &mut Context<'_>, fragments: Option<&mut Fragments>) -> Step<'a> {
    let next = match layer {
        Layer::Link(kind, bytes) => return link::link(kind, bytes, cx),
        Layer::Ethernet(bytes) => link::ethernet(bytes, cx),
        Layer::Type(kind, bytes) => link::by_type(kind, bytes, cx),
        Layer::Llc(bytes) => link::llc(bytes),
        Layer::Ppp(bytes) => link::ppp(bytes),
        Layer::Mpls(bytes) => tunnel::mpls(bytes),
        Layer::AnyIp(bytes) => ip::by_version(bytes),
        Layer::Ipv4(bytes) => ip::ipv4(bytes, cx, fragments),
        Layer::Ipv6(bytes) => ip::ipv6(bytes, cx, fragments),
        Layer::Proto(proto, bytes) => tunnel::by_proto(proto, bytes),
        Layer::Reassembled(_) => Some(Step::Done),
        Layer::Tcp(bytes) => tcp::tcp(bytes, cx),
        Layer::Udp(bytes) => udp::udp(bytes, cx),
    };
    next.unwrap_or(Step::Malformed)
}

impl Context<'_> {
    fn wants(&self, need: u32) -> bool {
        self.needs & need != 0
    }

    fn wants_options(&self) -> bool {
        self.wants(needs::OPTIONS)
    }
}
