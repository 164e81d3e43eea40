//! What a packet carries inside, for filters: libpcap looks at the outermost headers, fields are of the innermost.

use super::fragments::Piece;
use super::ip::{AF_INET6, FRAGMENT};
use super::{Bytes, link::FIRST_ETHERTYPE, link::ethertype};
use crate::packet::{LinkType, RawPacket};
use weftrace_artifact::packet::{PacketView, kernel::goes_on, layer};

const UDP: u8 = 17;
const FRAGMENT_HEADER: usize = 8;

/// Whether a packet may have other headers behind those that libpcap's filters know: tags, tunnels, extension headers; or is a fragment. A
/// quick look, which most packets of a capture are plain to.
pub(crate) fn may_carry(raw: &RawPacket<'_>) -> bool {
    let bytes = Bytes::new(raw.data, raw.data.len());
    match raw.link {
        LinkType::ETHERNET => typed(bytes, 12, 14),
        LinkType::LINUX_SLL => typed(bytes, 14, 16),
        LinkType::LINUX_SLL2 => typed(bytes, 0, 20),
        LinkType::RAW | LinkType::RAW_BSD => ip(bytes),
        // Of some others libpcap doesn't know IPv6, or nothing at all.
        _ => true,
    }
}

/// The same of a frame whose type stands at `at`, and what it is of at `network`.
fn typed(bytes: Bytes<'_>, at: usize, network: usize) -> bool {
    match bytes.be16(at) {
        Some(ethertype::IPV4 | ethertype::IPV6) => bytes.skip(network).is_some_and(ip),
        // What is no type is a length, or a cooked frame without one: LLC.
        Some(kind) => kind < FIRST_ETHERTYPE || goes_on::VLAN.contains(&kind) || goes_on::ETHERTYPES.contains(&kind),
        None => false,
    }
}

fn ip(bytes: Bytes<'_>) -> bool {
    let first = bytes.u8(0).unwrap_or_default();
    let (proto, behind) = match first >> 4 {
        4 => (bytes.u8(9), usize::from(first & 0x0f) * 4),
        6 => (bytes.u8(6), 40),
        _ => return false,
    };
    let is_fragment = first >> 4 == 4 && bytes.be16(6).is_some_and(|flags_offset| flags_offset & 0x3fff != 0);
    let inside = |proto| bytes.skip(behind).is_some_and(|bytes| has_more(proto, bytes));
    is_fragment || proto.is_some_and(inside)
}

/// Whether there may be more headers in what IP carries.
pub(super) fn has_more(proto: u8, bytes: Bytes<'_>) -> bool {
    let tunnel = |at: usize| bytes.be16(at).is_some_and(|port| goes_on::UDP_PORTS.contains(&port));
    if proto == UDP { tunnel(0) || tunnel(2) } else { goes_on::PROTOCOLS.contains(&proto) }
}

/// The innermost IP packet as a frame of its own: Ethernet, IP without options and extension headers, and what that carries.
#[derive(Default)]
pub(crate) struct Inside {
    frame: Vec<u8>,
}

impl Inside {
    pub(super) fn clear(&mut self) {
        self.frame.clear();
    }

    /// An IP header was read into the view, and `rest` lies behind it, as a piece of a datagram or whole; what was noted before is around it.
    pub(super) fn note(&mut self, view: &PacketView, proto: u8, piece: Option<&Piece>, rest: Bytes<'_>) {
        let frame = &mut self.frame;
        frame.clear();
        let macs = if view.layers & layer::ETH == 0 { [[0; 6]; 2] } else { [view.eth_dst, view.eth_src] };
        frame.extend_from_slice(macs.as_flattened());
        let (offset, more) = piece.map_or((0, false), |piece| (piece.offset as u16, piece.more));
        if view.net_family == AF_INET6 {
            // Of a datagram's first piece libpcap would not find the ports behind the fragment header.
            let later = piece.filter(|_| offset > 0);
            frame.extend(ethertype::IPV6.to_be_bytes());
            frame.extend([0x60 | view.ipv6_tclass >> 4, view.ipv6_tclass << 4, 0, 0]);
            frame.extend(length(rest, later.map_or(0, |_| FRAGMENT_HEADER)));
            frame.extend([later.map_or(proto, |_| FRAGMENT), view.ipv6_hlim]);
            frame.extend_from_slice(&view.ipv6_src);
            frame.extend_from_slice(&view.ipv6_dst);
            if let Some(piece) = later {
                frame.extend([proto, 0]);
                frame.extend((offset | u16::from(more)).to_be_bytes());
                frame.extend(piece.key.id.to_be_bytes());
            }
        } else {
            let dont_fragment = (view.ip_flags as u16 & 2) << 13;
            frame.extend(ethertype::IPV4.to_be_bytes());
            frame.extend([0x45, view.ip_dsfield]);
            frame.extend(length(rest, 20));
            frame.extend(view.ip_id.to_be_bytes());
            frame.extend((dont_fragment | u16::from(more) << 13 | offset >> 3).to_be_bytes());
            frame.extend([view.ip_ttl, proto, 0, 0]);
            frame.extend_from_slice(&view.ip_src[..4]);
            frame.extend_from_slice(&view.ip_dst[..4]);
        }
        frame.extend_from_slice(rest.captured());
    }

    /// The frame, made as long as the packet that it lay in: filters ask for that one's length. None: there was no IP.
    pub(super) fn frame(&mut self, around: usize) -> Option<&[u8]> {
        let len = self.frame.len().max(around);
        self.frame.resize(if self.frame.is_empty() { 0 } else { len }, 0);
        Some(&*self.frame).filter(|frame| !frame.is_empty())
    }
}

/// A length in an IP header, of what is behind it and `more`.
fn length(rest: Bytes<'_>, more: usize) -> [u8; 2] {
    u16::try_from(rest.wire_len() + more).unwrap_or(u16::MAX).to_be_bytes()
}
