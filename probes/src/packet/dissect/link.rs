//! Link layers: Ethernet with its tags, cooked captures, loopback, PPP, raw IP, NFLOG.

use super::{Bytes, Context, Layer, Step, next, pseudo, tag, wlan};
use crate::packet::LinkType;
use weftrace_artifact::packet::{layer, marks};

/// EtherTypes.
pub(super) mod ethertype {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const TRANSPARENT_ETHERNET: u16 = 0x6558;
    pub(crate) const VLAN: u16 = 0x8100;
    pub(crate) const IPV6: u16 = 0x86dd;
    pub(crate) const PPP: u16 = 0x880b;
    pub(crate) const MPLS: u16 = 0x8847;
    pub(crate) const MPLS_MULTICAST: u16 = 0x8848;
    pub(crate) const PPPOE_SESSION: u16 = 0x8864;
    pub(crate) const PROVIDER_VLAN: u16 = 0x88a8;
    pub(crate) const ERSPAN_2: u16 = 0x88be;
    pub(crate) const PROVIDER_BACKBONE: u16 = 0x88e7;
    /// Cisco FabricPath.
    pub(crate) const FABRIC_PATH: u16 = 0x8903;
    pub(crate) const MACSEC: u16 = 0x88e5;
    /// Cisco MetaData, of its security groups.
    pub(crate) const METADATA: u16 = 0x8909;
    pub(crate) const VNTAG: u16 = 0x8926;
    /// High-availability seamless redundancy.
    pub(crate) const HSR: u16 = 0x892f;
    /// 802.1BR port extension.
    pub(crate) const ETAG: u16 = 0x893f;
    pub(crate) const NSH: u16 = 0x894f;
    pub(crate) const TRILL: u16 = 0x22f3;
    /// Frame relay in GRE.
    pub(crate) const FRAME_RELAY: u16 = 0x6559;
    pub(crate) const OLD_PROVIDER_VLAN: u16 = 0x9100;
    pub(crate) const WCCP: u16 = 0x883e;
    pub(crate) const ERSPAN_3: u16 = 0x22eb;
}

/// Values below are lengths (IEEE 802.3), not types.
pub(super) const FIRST_ETHERTYPE: u16 = 0x0600;

/// `depth`: how many link types lie around this one.
pub(super) fn link(kind: LinkType, at: &mut Bytes<'_>, cx: &mut Context<'_>, depth: u8) -> Option<Step> {
    match kind {
        LinkType::ETHERNET => next(Layer::Ethernet),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => next(Layer::AnyIp),
        LinkType::IPV4 => next(Layer::Ipv4),
        LinkType::IPV6 => next(Layer::Ipv6),
        LinkType::LINUX_SLL => sll(at),
        LinkType::LINUX_SLL2 => sll2(at, cx),
        LinkType::NULL | LinkType::LOOP => null(at),
        // Cisco's HDLC, which goes by these numbers too, begins with unicast or multicast and a zero.
        LinkType::PPP | LinkType::PPP_HDLC if matches!(at.be16(0)?, 0x0f00 | 0x8f00) => c_hdlc(at),
        LinkType::PPP | LinkType::PPP_HDLC => next(Layer::Ppp),
        LinkType::PPP_ETHER => pppoe(at, cx),
        LinkType::C_HDLC => c_hdlc(at),
        LinkType::IEEE802_11 => wlan::frame(at),
        LinkType::IEEE802_11_RADIOTAP => wlan::radiotap(at),
        LinkType::NFLOG => nflog(at),
        other => pseudo::pseudo(other, at, cx, depth),
    }
}

fn c_hdlc(at: &mut Bytes<'_>) -> Option<Step> {
    let kind = at.be16(2)?;
    at.advance(4)?;
    next(Layer::Type(kind))
}

/// An EtherType, or the length of an IEEE 802.3 frame.
pub(super) fn type_or_length(word: u16, at: &mut Bytes<'_>) -> Option<Step> {
    if word < FIRST_ETHERTYPE {
        at.cap(word as usize);
        return next(Layer::Llc);
    }
    next(Layer::Type(word))
}

pub(super) fn ethernet(at: &mut Bytes<'_>, cx: &mut Context<'_>) -> Option<Step> {
    let header = at.header::<14>()?;
    let kind = u16::from_be_bytes([header[12], header[13]]);
    let view = &mut *cx.view;
    view.eth_dst.copy_from_slice(&header[..6]);
    view.eth_src.copy_from_slice(&header[6..12]);
    view.eth_type = if kind < FIRST_ETHERTYPE { 0 } else { kind };
    view.layers |= layer::ETH;
    at.advance(14)?;
    type_or_length(kind, at)
}

pub(super) fn by_type(kind: u16, at: &mut Bytes<'_>, cx: &mut Context<'_>) -> Option<Step> {
    next(match kind {
        ethertype::IPV4 => Layer::Ipv4,
        ethertype::IPV6 => Layer::Ipv6,
        ethertype::VLAN | ethertype::PROVIDER_VLAN | ethertype::OLD_PROVIDER_VLAN => {
            cx.view.vlan_id = at.be16(0)? & 0x0fff;
            cx.view.layers |= layer::VLAN;
            let kind = at.be16(2)?;
            at.advance(4)?;
            return type_or_length(kind, at);
        }
        ethertype::MPLS | ethertype::MPLS_MULTICAST => Layer::Mpls,
        ethertype::PPPOE_SESSION => return pppoe(at, cx),
        ethertype::PPP => Layer::Ppp,
        ethertype::NSH => Layer::Nsh,
        ethertype::METADATA => return tag::cisco_metadata(at),
        ethertype::VNTAG | ethertype::HSR => return tag::typed(at, 4),
        ethertype::ETAG => return tag::typed(at, 6),
        ethertype::MACSEC => return tag::macsec(at),
        ethertype::TRILL => return tag::trill(at),
        ethertype::FRAME_RELAY => return pseudo::frame_relay(at),
        ethertype::TRANSPARENT_ETHERNET => Layer::Ethernet,
        // An instance tag of 4 bytes, then the customer's frame (IEEE 802.1ah).
        ethertype::PROVIDER_BACKBONE => {
            at.advance(4)?;
            Layer::Ethernet
        }
        // A forwarding tag of 2 bytes, then the frame as the host sent it; its check sequence counts as captured, as in Wireshark.
        ethertype::FABRIC_PATH => {
            at.advance(2)?;
            at.cap(at.wire_len().saturating_sub(4));
            Layer::Ethernet
        }
        _ => return Some(Step::Done),
    })
}

/// IEEE 802.2: only SNAP carries an EtherType; SAP 6 is IP.
pub(super) fn llc(at: &mut Bytes<'_>) -> Option<Step> {
    match at.array::<3>(0)? {
        [0xaa, 0xaa, 0x03] => {
            at.advance(3)?;
            snap(at)
        }
        [6, 6, 3] => {
            at.advance(3)?;
            next(Layer::Ipv4)
        }
        _ => Some(Step::Done),
    }
}

/// Organisation and a type of its own.
pub(super) fn snap(at: &mut Bytes<'_>) -> Option<Step> {
    let organisation = at.array::<3>(0)?;
    let kind = at.be16(3)?;
    at.advance(5)?;
    match (organisation, kind) {
        // EtherType; 0x0000f8 is the bridged kind of it.
        ([0, 0, 0 | 0xf8], kind) => next(Layer::Type(kind)),
        // Bridged Ethernet with and without check sequence (RFC 2684; on ATM two bytes of padding come first).
        ([0, 0x80, 0xc2], 1 | 7) => {
            if at.be16(0)? == 0 {
                at.advance(2)?;
            }
            next(Layer::Ethernet)
        }
        _ => Some(Step::Done),
    }
}

/// LINKTYPE_LINUX_SLL: packet type, ARPHRD, address length, address[8], protocol.
fn sll(at: &mut Bytes<'_>) -> Option<Step> {
    let proto = at.be16(14)?;
    at.advance(16)?;
    cooked(proto)
}

/// LINKTYPE_LINUX_SLL2: protocol, reserved, interface index, ARPHRD, packet type, address length, address[8].
fn sll2(at: &mut Bytes<'_>, cx: &mut Context<'_>) -> Option<Step> {
    let (proto, index) = (at.be16(0)?, at.be32(4)?);
    // In a file frame.interface_id is the file's interface; live it is the device's.
    if cx.live {
        cx.view.interface = index;
    }
    at.advance(20)?;
    cooked(proto)
}

fn cooked(proto: u16) -> Option<Step> {
    match proto {
        // ETH_P_802_2: LLC without a length.
        0x0004 => next(Layer::Llc),
        _ => next(Layer::Type(proto)),
    }
}

/// BSD loopback: an address family in the byte order of the machine that captured (OpenBSD: big endian).
fn null(at: &mut Bytes<'_>) -> Option<Step> {
    let word = at.be32(0)?;
    at.advance(4)?;
    // Some wrote an EtherType in the lower half.
    if word & 0xffff >= FIRST_ETHERTYPE.into() {
        return next(Layer::Type(word as u16));
    }
    pseudo::by_family(if word > 0xffff { word.swap_bytes() } else { word })
}

/// RFC 1661: optional address and control, then the protocol, whose first byte may be left out when 0.
pub(super) fn ppp(at: &mut Bytes<'_>) -> Option<Step> {
    if at.be16(0)? == 0xff03 {
        at.advance(2)?;
    }
    let first = at.u8(0)?;
    let (proto, size) = if first & 1 == 1 { (first as u16, 1) } else { (at.be16(0)?, 2) };
    at.advance(size)?;
    match proto {
        0x0021 => next(Layer::Ipv4),
        0x0057 => next(Layer::Ipv6),
        0x0281 | 0x0283 => next(Layer::Mpls),
        _ => Some(Step::Done),
    }
}

/// RFC 2516: version and type, code, session, length.
fn pppoe(at: &mut Bytes<'_>, cx: &mut Context<'_>) -> Option<Step> {
    let length = at.be16(4)? as usize;
    if at.u8(1)? != 0 {
        return Some(Step::Done);
    }
    cx.view.marks |= marks::TUNNELLED;
    at.advance(6)?;
    at.cap(length);
    next(Layer::Ppp)
}

/// NFLOG: family, version, group; then attributes {length, type, value}, each padded to 4 bytes, in host order (little
/// endian on every machine that writes such captures today). The packet is attribute 9.
fn nflog(at: &mut Bytes<'_>) -> Option<Step> {
    const NFULA_PAYLOAD: u16 = 9;
    let family = at.u8(0)?;
    at.advance(4)?;
    loop {
        let length = at.le16(0)? as usize;
        let kind = at.le16(2)? & 0x7fff;
        if length < 4 {
            return None;
        }
        if kind == NFULA_PAYLOAD {
            at.cap(length);
            at.advance(4)?;
            return match family {
                2 => next(Layer::Ipv4),
                10 => next(Layer::Ipv6),
                _ => Some(Step::Done),
            };
        }
        at.advance(length.next_multiple_of(4))?;
    }
}
