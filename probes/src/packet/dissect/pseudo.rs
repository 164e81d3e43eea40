//! Link types whose frames begin with a header of whoever captured them, and rarer link layers.

use super::link::link;
use super::{Bytes, Context, Layer, Step, next, wlan};
use crate::packet::LinkType;

/// How deep link types may lie in each other: PKTAP and PPI name the next one.
const DEPTH: u8 = 2;

pub(super) fn pseudo(kind: LinkType, at: &mut Bytes<'_>, cx: &mut Context<'_>, depth: u8) -> Option<Step> {
    match kind {
        LinkType::TOKEN_RING => token_ring(at),
        LinkType::FDDI => fddi(at),
        LinkType::ATM_RFC1483 => next(Layer::Llc),
        LinkType::FRELAY => frame_relay(at),
        LinkType::ENC => encapsulated(at),
        LinkType::PFLOG => pflog(at),
        LinkType::PRISM => prism(at),
        LinkType::AVS => avs(at),
        LinkType::JUNIPER_ETHER => juniper(at),
        LinkType::PPI => ppi(at, cx, depth),
        LinkType::PPP_WITH_DIR => skip(at, 1, Layer::Ppp),
        LinkType::MPLS => next(Layer::Mpls),
        LinkType::IPNET => ipnet(at),
        LinkType::NETANALYZER => net_analyzer(at),
        // 40 bytes of addresses, an EtherType, 2 reserved.
        LinkType::IPOIB => {
            let kind = at.be16(40)?;
            at.advance(44)?;
            next(Layer::Type(kind))
        }
        LinkType::PKTAP | LinkType::USER2 => pktap(at, cx, depth),
        // A preamble and a start of frame (IEEE 802.3br).
        LinkType::ETHERNET_MPACKET => skip(at, 8, Layer::Ethernet),
        LinkType::DSA_BRCM => tagged(at, 4),
        LinkType::DSA_BRCM_PREPEND => skip(at, 4, Layer::Ethernet),
        LinkType::DSA => tagged(at, 4),
        LinkType::EDSA => tagged(at, 8),
        _ => Some(Step::UnknownLink),
    }
}

fn skip(at: &mut Bytes<'_>, bytes: usize, layer: Layer) -> Option<Step> {
    at.advance(bytes)?;
    next(layer)
}

/// An address family, by its number on the system that captured.
pub(super) fn by_family(family: u32) -> Option<Step> {
    match family {
        2 => next(Layer::Ipv4),
        // NetBSD and OpenBSD, FreeBSD, macOS, Linux
        24 | 28 | 30 | 10 => next(Layer::Ipv6),
        _ => Some(Step::Done),
    }
}

/// Access control, frame control, addresses, a routing field if the source address says so, LLC.
fn token_ring(at: &mut Bytes<'_>) -> Option<Step> {
    let routed = at.u8(8)? & 0x80 != 0;
    let routing = if routed { (at.u8(14)? & 0x1f) as usize } else { 0 };
    skip(at, 14 + routing, Layer::Llc)
}

/// Frame control, addresses; only LLC frames (0x5X) are followed.
fn fddi(at: &mut Bytes<'_>) -> Option<Step> {
    if at.u8(0)? & 0xf0 == 0x50 { skip(at, 13, Layer::Llc) } else { Some(Step::Done) }
}

/// Q.922: an address of two to four bytes, the last one odd. Then a control byte and the NLPID (RFC 2427), or Cisco's EtherType.
pub(super) fn frame_relay(at: &mut Bytes<'_>) -> Option<Step> {
    let mut address = 0;
    while at.u8(address)? & 1 == 0 {
        address += 1;
        if address > 3 {
            return Some(Step::Done);
        }
    }
    at.advance(address + 1)?;
    if at.u8(0)? != 3 {
        let kind = at.be16(0)?;
        return skip(at, 2, Layer::Type(kind));
    }
    // A byte of padding may stand before the NLPID.
    let padding = usize::from(at.u8(1)? == 0);
    let nlpid = at.u8(1 + padding)?;
    at.advance(2 + padding)?;
    match nlpid {
        0xcc => next(Layer::Ipv4),
        0x8e => next(Layer::Ipv6),
        0x80 => super::link::snap(at),
        _ => Some(Step::Done),
    }
}

/// OpenBSD's view into IPsec: family in host order, SPI, flags.
fn encapsulated(at: &mut Bytes<'_>) -> Option<Step> {
    let word = at.be32(0)?;
    at.advance(12)?;
    by_family(if word > 0xffff { word.swap_bytes() } else { word })
}

/// The packet filter's log: its own length (then padded to words), family.
fn pflog(at: &mut Bytes<'_>) -> Option<Step> {
    let (length, family) = (at.u8(0)? as usize, at.u8(1)?);
    at.advance(length.next_multiple_of(4))?;
    by_family(u32::from(family))
}

/// Prism's header says its length in the byte order of its first word (0x44); some drivers put AVS's here.
fn prism(at: &mut Bytes<'_>) -> Option<Step> {
    if at.be32(0)? >> 12 == 0x8021_1000 >> 12 {
        return avs(at);
    }
    let length = at.be32(4)?;
    let length = if length > 0xffff { length.swap_bytes() } else { length };
    at.advance(length as usize)?;
    wlan::frame(at)
}

fn avs(at: &mut Bytes<'_>) -> Option<Step> {
    let length = at.be32(4)? as usize;
    at.advance(length)?;
    wlan::frame(at)
}

/// Juniper's: "MGC", flags (0x80: an extension of a length follows; 2: no link layer), then Ethernet.
fn juniper(at: &mut Bytes<'_>) -> Option<Step> {
    let [m, g, c, flags] = at.array::<4>(0)?;
    if [m, g, c] != *b"MGC" {
        return Some(Step::Done);
    }
    let extension = if flags & 0x80 != 0 { 2 + at.be16(4)? as usize } else { 0 };
    at.advance(4 + extension)?;
    if flags & 2 != 0 { Some(Step::Done) } else { next(Layer::Ethernet) }
}

/// Version, flags, length, link type in little endian, fields; one of 802.11 tells whether a check sequence follows.
fn ppi(at: &mut Bytes<'_>, cx: &mut Context<'_>, depth: u8) -> Option<Step> {
    let (length, kind) = (at.le16(2)? as usize, u32::from_le_bytes(at.array(4)?));
    let fields = at.limit(length);
    let mut checked = false;
    let mut field = 8;
    while field + 4 <= length {
        let (what, size) = (fields.le16(field)?, fields.le16(field + 2)? as usize);
        // 802.11-Common: a time of 8 bytes, flags.
        checked |= what == 2 && fields.le16(field + 12).is_some_and(|flags| flags & 1 != 0);
        field += 4 + size;
    }
    at.advance(length)?;
    if checked {
        at.cap(at.wire_len().saturating_sub(4));
    }
    deeper(LinkType(kind), at, cx, depth)
}

/// Solaris: version, family, type of hook, length, interfaces, zones.
fn ipnet(at: &mut Bytes<'_>) -> Option<Step> {
    const SOLARIS_INET6: u8 = 26;
    let family = at.u8(1)?;
    at.advance(24)?;
    if family == SOLARIS_INET6 { next(Layer::Ipv6) } else { by_family(u32::from(family)) }
}

/// Four bytes of the analyser's own; the check sequence was captured.
fn net_analyzer(at: &mut Bytes<'_>) -> Option<Step> {
    at.advance(4)?;
    at.cap(at.wire_len().saturating_sub(4));
    next(Layer::Ethernet)
}

/// Apple's: length, type of the record (1: a packet), link type, in little endian.
fn pktap(at: &mut Bytes<'_>, cx: &mut Context<'_>, depth: u8) -> Option<Step> {
    let word = |offset| at.array::<4>(offset).map(u32::from_le_bytes);
    let (length, kind, dlt) = (word(0)?, word(4)?, word(8)?);
    if kind != 1 {
        return Some(Step::Done);
    }
    at.advance(length as usize)?;
    deeper(LinkType(dlt), at, cx, depth)
}

fn deeper(kind: LinkType, at: &mut Bytes<'_>, cx: &mut Context<'_>, depth: u8) -> Option<Step> {
    if depth >= DEPTH { Some(Step::Done) } else { link(kind, at, cx, depth + 1) }
}

/// A switch's tag between the addresses and the EtherType.
fn tagged(at: &mut Bytes<'_>, tag: usize) -> Option<Step> {
    let kind = at.be16(12 + tag)?;
    skip(at, 14 + tag, Layer::Type(kind))
}
