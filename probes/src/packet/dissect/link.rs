//! Link layers: Ethernet with its tags, cooked captures, loopback, PPP, raw IP, NFLOG.

use super::{Bytes, Context, Layer, Step, wlan};
use crate::packet::LinkType;
use weftrace_artifact::packet::layer;

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
    pub(crate) const OLD_PROVIDER_VLAN: u16 = 0x9100;
    pub(crate) const ERSPAN_3: u16 = 0x22eb;
}

/// Values below are lengths (IEEE 802.3), not types.
const FIRST_ETHERTYPE: u16 = 0x0600;

pub(super) fn link<'a>(kind: LinkType, bytes: Bytes<'a>, cx: &mut Context<'_>) -> Step<'a> {
    let step = match kind {
        LinkType::ETHERNET => return Step::Next(Layer::Ethernet(bytes)),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => return Step::Next(Layer::AnyIp(bytes)),
        LinkType::IPV4 => return Step::Next(Layer::Ipv4(bytes)),
        LinkType::IPV6 => return Step::Next(Layer::Ipv6(bytes)),
        LinkType::LINUX_SLL => sll(bytes),
        LinkType::LINUX_SLL2 => sll2(bytes, cx),
        LinkType::NULL | LinkType::LOOP => null(bytes),
        LinkType::PPP | LinkType::PPP_HDLC => return Step::Next(Layer::Ppp(bytes)),
        LinkType::PPP_ETHER => pppoe(bytes),
        LinkType::C_HDLC => bytes.be16(2).and_then(|kind| next(kind, bytes.skip(4)?)),
        LinkType::IEEE802_11 => wlan::frame(bytes),
        LinkType::IEEE802_11_RADIOTAP => wlan::radiotap(bytes),
        LinkType::NFLOG => nflog(bytes),
        _ => return Step::UnknownLink,
    };
    step.unwrap_or(Step::Malformed)
}

fn next(kind: u16, bytes: Bytes<'_>) -> Option<Step<'_>> {
    Some(Step::Next(Layer::Type(kind, bytes)))
}

pub(super) fn ethernet<'a>(bytes: Bytes<'a>, cx: &mut Context<'_>) -> Option<Step<'a>> {
    let header = bytes.header::<14>()?;
    let kind = u16::from_be_bytes([header[12], header[13]]);
    let view = &mut *cx.view;
    view.eth_dst.copy_from_slice(&header[..6]);
    view.eth_src.copy_from_slice(&header[6..12]);
    view.layers |= layer::ETH;
    let rest = bytes.skip(14)?;
    if kind < FIRST_ETHERTYPE {
        view.eth_type = 0;
        return Some(Step::Next(Layer::Llc(rest.limit(kind as usize))));
    }
    view.eth_type = kind;
    next(kind, rest)
}

pub(super) fn by_type<'a>(kind: u16, bytes: Bytes<'a>, cx: &mut Context<'_>) -> Option<Step<'a>> {
    Some(Step::Next(match kind {
        ethertype::IPV4 => Layer::Ipv4(bytes),
        ethertype::IPV6 => Layer::Ipv6(bytes),
        ethertype::VLAN | ethertype::PROVIDER_VLAN | ethertype::OLD_PROVIDER_VLAN => {
            cx.view.vlan_id = bytes.be16(0)? & 0x0fff;
            cx.view.layers |= layer::VLAN;
            let kind = bytes.be16(2)?;
            let rest = bytes.skip(4)?;
            if kind < FIRST_ETHERTYPE { Layer::Llc(rest.limit(kind as usize)) } else { Layer::Type(kind, rest) }
        }
        ethertype::MPLS | ethertype::MPLS_MULTICAST => Layer::Mpls(bytes),
        ethertype::PPPOE_SESSION => return pppoe(bytes),
        ethertype::PPP => Layer::Ppp(bytes),
        ethertype::TRANSPARENT_ETHERNET => Layer::Ethernet(bytes),
        // An instance tag of 4 bytes, then the customer's frame (IEEE 802.1ah).
        ethertype::PROVIDER_BACKBONE => Layer::Ethernet(bytes.skip(4)?),
        // A forwarding tag of 2 bytes, then the frame as the host sent it.
        ethertype::FABRIC_PATH => Layer::Ethernet(bytes.skip(2)?),
        _ => return Some(Step::Done),
    }))
}

/// IEEE 802.2: only SNAP carries an EtherType; SAP 6 is IP.
pub(super) fn llc(bytes: Bytes<'_>) -> Option<Step<'_>> {
    match bytes.array::<3>(0)? {
        [0xaa, 0xaa, 0x03] => {
            let [a, b, c] = bytes.array::<3>(3)?;
            let kind = bytes.be16(6)?;
            // Organisation 0 is EtherType, 0x0000f8 the bridged kind of it.
            if [a, b, c] == [0, 0, 0] || [a, b, c] == [0, 0, 0xf8] { next(kind, bytes.skip(8)?) } else { Some(Step::Done) }
        }
        [6, 6, 3] => Some(Step::Next(Layer::Ipv4(bytes.skip(3)?))),
        _ => Some(Step::Done),
    }
}

/// LINKTYPE_LINUX_SLL: packet type, ARPHRD, address length, address[8], protocol.
fn sll(bytes: Bytes<'_>) -> Option<Step<'_>> {
    cooked(bytes.be16(14)?, bytes.skip(16)?)
}

/// LINKTYPE_LINUX_SLL2: protocol, reserved, interface index, ARPHRD, packet type, address length, address[8].
fn sll2<'a>(bytes: Bytes<'a>, cx: &mut Context<'_>) -> Option<Step<'a>> {
    let index = bytes.be32(4)?;
    // In a file frame.interface_id is the file's interface; live (netns known) it is the device's.
    if cx.view.netns != 0 {
        cx.view.interface = index;
    }
    cooked(bytes.be16(0)?, bytes.skip(20)?)
}

fn cooked(proto: u16, rest: Bytes<'_>) -> Option<Step<'_>> {
    match proto {
        // ETH_P_802_2: LLC without a length.
        0x0004 => Some(Step::Next(Layer::Llc(rest))),
        _ => next(proto, rest),
    }
}

/// BSD loopback: an address family in the byte order of the machine that captured (OpenBSD: big endian).
fn null(bytes: Bytes<'_>) -> Option<Step<'_>> {
    let word = bytes.be32(0)?;
    let family = if word > 0xffff { word.swap_bytes() } else { word };
    let rest = bytes.skip(4)?;
    Some(match family {
        2 => Step::Next(Layer::Ipv4(rest)),
        // NetBSD and OpenBSD, FreeBSD, macOS, Linux
        24 | 28 | 30 | 10 => Step::Next(Layer::Ipv6(rest)),
        _ => Step::Done,
    })
}

/// RFC 1661: optional address and control, then the protocol, whose first byte may be left out when 0.
pub(super) fn ppp(bytes: Bytes<'_>) -> Option<Step<'_>> {
    let bytes = if bytes.be16(0)? == 0xff03 { bytes.skip(2)? } else { bytes };
    let first = bytes.u8(0)?;
    let (proto, rest) = if first & 1 == 1 { (first as u16, bytes.skip(1)?) } else { (bytes.be16(0)?, bytes.skip(2)?) };
    Some(match proto {
        0x0021 => Step::Next(Layer::Ipv4(rest)),
        0x0057 => Step::Next(Layer::Ipv6(rest)),
        0x0281 | 0x0283 => Step::Next(Layer::Mpls(rest)),
        _ => Step::Done,
    })
}

/// RFC 2516: version and type, code, session, length.
fn pppoe(bytes: Bytes<'_>) -> Option<Step<'_>> {
    let length = bytes.be16(4)? as usize;
    if bytes.u8(1)? != 0 {
        return Some(Step::Done);
    }
    Some(Step::Next(Layer::Ppp(bytes.skip(6)?.limit(length))))
}

/// NFLOG: family, version, group; then attributes {length, type, value}, each padded to 4 bytes, in host order (little
/// endian on every machine that writes such captures today). The packet is attribute 9.
fn nflog(bytes: Bytes<'_>) -> Option<Step<'_>> {
    const NFULA_PAYLOAD: u16 = 9;
    let family = bytes.u8(0)?;
    let mut rest = bytes.skip(4)?;
    loop {
        let length = rest.le16(0)? as usize;
        let kind = rest.le16(2)? & 0x7fff;
        if length < 4 {
            return None;
        }
        if kind == NFULA_PAYLOAD {
            let payload = rest.limit(length).skip(4)?;
            return Some(match family {
                2 => Step::Next(Layer::Ipv4(payload)),
                10 => Step::Next(Layer::Ipv6(payload)),
                _ => Step::Done,
            });
        }
        rest = rest.skip(length.next_multiple_of(4))?;
    }
}
