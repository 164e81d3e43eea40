//! IP protocols, and tunnels that carry frames or packets inside IP.

use super::link::ethertype;
use super::{Bytes, Layer, Step};

/// By IP protocol number. Errors in ICMP quote a packet that is not on the wire here: nothing inside them counts.
pub(super) fn by_proto(proto: u8, bytes: Bytes<'_>) -> Option<Step<'_>> {
    Some(Step::Next(match proto {
        4 => Layer::Ipv4(bytes),
        6 => Layer::Tcp(bytes),
        17 => Layer::Udp(bytes),
        41 => Layer::Ipv6(bytes),
        47 => return gre(bytes),
        // Authentication header: next, length in words minus 2.
        51 => Layer::Proto(bytes.u8(0)?, bytes.skip((bytes.u8(1)? as usize + 2) * 4)?),
        // IPv6 extension headers inside a reassembled datagram.
        0 | 43 | 60 => Layer::Proto(bytes.u8(0)?, bytes.skip((bytes.u8(1)? as usize + 1) * 8)?),
        // Ethernet in IP: a version of 2 bytes.
        97 => Layer::Ethernet(bytes.skip(2)?),
        137 => Layer::Mpls(bytes),
        _ => return Some(Step::Done),
    }))
}

/// GRE (RFC 2784, 2890; version 1 as in PPTP, RFC 2637), ERSPAN inside it.
fn gre(bytes: Bytes<'_>) -> Option<Step<'_>> {
    let flags = bytes.be16(0)?;
    let kind = bytes.be16(2)?;
    let has = |bit: u16| flags & bit != 0;
    let version = flags & 7;
    let (checksum, routing, key, sequence) = (has(0x8000), has(0x4000), has(0x2000), has(0x1000));
    if routing || version > 1 {
        return Some(Step::Done);
    }
    let mut length = 4;
    if checksum {
        length += 4;
    }
    if key {
        length += 4;
    }
    if sequence {
        length += 4;
    }
    if version == 1 && has(0x0080) {
        length += 4;
    }
    let rest = bytes.skip(length)?;
    Some(Step::Next(match kind {
        // Without a sequence number it is ERSPAN type I, which has no header.
        ethertype::ERSPAN_2 if !sequence => Layer::Ethernet(rest),
        ethertype::ERSPAN_2 => Layer::Ethernet(rest.skip(8)?),
        ethertype::ERSPAN_3 => {
            // The O bit announces a platform header.
            let platform = rest.u8(11)? & 1 != 0;
            Layer::Ethernet(rest.skip(if platform { 20 } else { 12 })?)
        }
        kind => Layer::Type(kind, rest),
    }))
}

/// MPLS labels (RFC 3032) up to the bottom of the stack. What follows has no type: guessed by the first four bits.
pub(super) fn mpls(bytes: Bytes<'_>) -> Option<Step<'_>> {
    let mut rest = bytes;
    loop {
        let bottom = rest.u8(2)? & 1 != 0;
        rest = rest.skip(4)?;
        if bottom {
            break;
        }
    }
    Some(match rest.u8(0)? >> 4 {
        4 => Step::Next(Layer::Ipv4(rest)),
        6 => Step::Next(Layer::Ipv6(rest)),
        // A pseudowire's control word (RFC 4385), then the frame.
        0 => Step::Next(Layer::Ethernet(rest.skip(4)?)),
        _ => Step::Done,
    })
}

/// VXLAN (RFC 7348): the I flag, 24 bits of network id, then a frame.
pub(super) fn vxlan(bytes: Bytes<'_>) -> Option<Layer<'_>> {
    let valid = bytes.u8(0)? & 0x08 != 0;
    if valid { Some(Layer::Ethernet(bytes.skip(8)?)) } else { None }
}

/// VXLAN with a next-protocol byte (VXLAN-GPE).
pub(super) fn vxlan_gpe(bytes: Bytes<'_>) -> Option<Layer<'_>> {
    let rest = bytes.skip(8)?;
    match bytes.u8(3)? {
        1 => Some(Layer::Ipv4(rest)),
        2 => Some(Layer::Ipv6(rest)),
        3 => Some(Layer::Ethernet(rest)),
        _ => None,
    }
}

/// GENEVE (RFC 8926): option length in words, then an EtherType.
pub(super) fn geneve(bytes: Bytes<'_>) -> Option<Layer<'_>> {
    let first = bytes.u8(0)?;
    if first >> 6 != 0 {
        return None;
    }
    Some(Layer::Type(bytes.be16(2)?, bytes.skip(8 + (first & 0x3f) as usize * 4)?))
}

/// GTP version 1, user plane (3GPP TS 29.281): only G-PDUs carry a packet.
pub(super) fn gtp_u(bytes: Bytes<'_>) -> Option<Layer<'_>> {
    let flags = bytes.u8(0)?;
    if flags >> 5 != 1 || flags & 0x10 == 0 || bytes.u8(1)? != 0xff {
        return None;
    }
    let length = bytes.be16(2)? as usize;
    let bytes = bytes.limit(length + 8);
    let mut rest = bytes.skip(8)?;
    if flags & 7 != 0 {
        // Sequence, N-PDU number and next extension type are there together.
        let mut extension = rest.u8(3)?;
        rest = rest.skip(4)?;
        while flags & 4 != 0 && extension != 0 {
            let words = rest.u8(0)? as usize;
            if words == 0 {
                return None;
            }
            extension = rest.u8(words * 4 - 1)?;
            rest = rest.skip(words * 4)?;
        }
    }
    matches!(rest.u8(0)? >> 4, 4 | 6).then_some(Layer::AnyIp(rest))
}

/// Teredo (RFC 4380): optional authentication and origin headers, then IPv6.
pub(super) fn teredo(bytes: Bytes<'_>) -> Option<Layer<'_>> {
    let mut rest = bytes;
    if rest.be16(0)? == 1 {
        rest = rest.skip(13 + rest.u8(2)? as usize + rest.u8(3)? as usize)?;
    }
    if rest.be16(0)? == 0 {
        rest = rest.skip(8)?;
    }
    (rest.u8(0)? >> 4 == 6).then_some(Layer::Ipv6(rest))
}
