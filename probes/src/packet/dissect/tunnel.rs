//! IP protocols, and tunnels that carry frames or packets inside IP.

use super::link::ethertype;
use super::{Bytes, Layer, Step, next};

/// By IP protocol number. Errors in ICMP quote a packet that is not on the wire here: nothing inside them counts.
pub(super) fn by_proto(proto: u8, at: &mut Bytes<'_>) -> Option<Step> {
    next(match proto {
        4 => Layer::Ipv4,
        6 => Layer::Tcp,
        17 => Layer::Udp,
        41 => Layer::Ipv6,
        47 => return gre(at),
        // Authentication header: next, length in words minus 2.
        51 => {
            let proto = at.u8(0)?;
            at.advance((at.u8(1)? as usize + 2) * 4)?;
            Layer::Proto(proto)
        }
        // IPv6 extension headers inside a reassembled datagram.
        0 | 43 | 60 => {
            let proto = at.u8(0)?;
            at.advance((at.u8(1)? as usize + 1) * 8)?;
            Layer::Proto(proto)
        }
        // Ethernet in IP: a version of 2 bytes.
        97 => {
            at.advance(2)?;
            Layer::Ethernet
        }
        137 => Layer::Mpls,
        _ => return Some(Step::Done),
    })
}

/// GRE (RFC 2784, 2890; version 1 as in PPTP, RFC 2637), ERSPAN inside it.
fn gre(at: &mut Bytes<'_>) -> Option<Step> {
    let flags = at.be16(0)?;
    let kind = at.be16(2)?;
    let has = |bit: u16| flags & bit != 0;
    let version = flags & 7;
    let (checksum, routing, key, sequence) = (has(0x8000), has(0x4000), has(0x2000), has(0x1000));
    if routing || version > 1 {
        return Some(Step::Done);
    }
    let acknowledgement = version == 1 && has(0x0080);
    let words = [checksum, key, sequence, acknowledgement].iter().filter(|&&there| there).count();
    at.advance(4 + words * 4)?;
    match kind {
        // Without a sequence number it is ERSPAN type I, which has no header.
        ethertype::ERSPAN_2 if !sequence => {}
        ethertype::ERSPAN_2 => at.advance(8)?,
        ethertype::ERSPAN_3 => {
            // The O bit announces a platform header.
            let platform = at.u8(11)? & 1 != 0;
            at.advance(if platform { 20 } else { 12 })?;
        }
        kind => return next(Layer::Type(kind)),
    }
    next(Layer::Ethernet)
}

/// MPLS labels (RFC 3032) up to the bottom of the stack. What follows has no type: guessed by the first four bits.
pub(super) fn mpls(at: &mut Bytes<'_>) -> Option<Step> {
    loop {
        let bottom = at.u8(2)? & 1 != 0;
        at.advance(4)?;
        if bottom {
            break;
        }
    }
    match at.u8(0)? >> 4 {
        4 => next(Layer::Ipv4),
        6 => next(Layer::Ipv6),
        // A pseudowire's control word (RFC 4385), then the frame.
        0 => {
            at.advance(4)?;
            next(Layer::Ethernet)
        }
        _ => Some(Step::Done),
    }
}

/// VXLAN (RFC 7348): the I flag, 24 bits of network id, then a frame.
pub(super) fn vxlan(bytes: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
    let valid = bytes.u8(0)? & 0x08 != 0;
    if valid { Some((Layer::Ethernet, bytes.skip(8)?)) } else { None }
}

/// VXLAN with a next-protocol byte (VXLAN-GPE).
pub(super) fn vxlan_gpe(bytes: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
    let rest = bytes.skip(8)?;
    match bytes.u8(3)? {
        1 => Some((Layer::Ipv4, rest)),
        2 => Some((Layer::Ipv6, rest)),
        3 => Some((Layer::Ethernet, rest)),
        _ => None,
    }
}

/// GENEVE (RFC 8926): option length in words, then an EtherType.
pub(super) fn geneve(bytes: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
    let first = bytes.u8(0)?;
    if first >> 6 != 0 {
        return None;
    }
    Some((Layer::Type(bytes.be16(2)?), bytes.skip(8 + (first & 0x3f) as usize * 4)?))
}

/// GTP version 1, user plane (3GPP TS 29.281): only G-PDUs carry a packet.
pub(super) fn gtp_u(bytes: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
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
    matches!(rest.u8(0)? >> 4, 4 | 6).then_some((Layer::AnyIp, rest))
}

/// Teredo (RFC 4380): optional authentication and origin headers, then IPv6.
pub(super) fn teredo(bytes: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
    let mut rest = bytes;
    if rest.be16(0)? == 1 {
        rest = rest.skip(13 + rest.u8(2)? as usize + rest.u8(3)? as usize)?;
    }
    if rest.be16(0)? == 0 {
        rest = rest.skip(8)?;
    }
    (rest.u8(0)? >> 4 == 6).then_some((Layer::Ipv6, rest))
}
