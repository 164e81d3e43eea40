//! IP protocols, and tunnels that carry frames or packets inside IP.

use super::link::ethertype;
use super::{Bytes, Context, Layer, Step, icmp, next, quoted};
use weftrace_artifact::packet::marks;

/// By IP protocol number. Errors in ICMP quote a packet that is not on the wire here: nothing inside them counts.
pub(super) fn by_proto(proto: u8, at: &mut Bytes<'_>, cx: &mut Context<'_>) -> Option<Step> {
    next(match proto {
        1 | 58 => {
            cx.quoted = quoted::tcp(proto, *at);
            if cx.quoted.is_some() {
                cx.view.marks |= marks::QUOTES_TCP;
            }
            icmp::icmp(proto == 58, *at, cx);
            return Some(Step::Done);
        }
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
        103 => return pim(at),
        137 => Layer::Mpls,
        143 => Layer::Ethernet,
        _ => return Some(Step::Done),
    })
}

/// PIM registers (RFC 7761) carry a packet to the rendezvous point; version 2 has 8 bytes before it.
fn pim(at: &mut Bytes<'_>) -> Option<Step> {
    if at.u8(0)? != 0x21 {
        return Some(Step::Done);
    }
    at.advance(8)?;
    next(Layer::AnyIp)
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
        // WCCP version 2 puts four bytes before the packet that it redirects, version 1 none.
        ethertype::WCCP => {
            if at.u8(0)? >> 4 != 4 {
                at.advance(4)?;
            }
            return next(Layer::AnyIp);
        }
        // Aruba's access points: 802.11.
        0x8200..=0x8210 => return super::wlan::frame(at),
        // Here the type comes before what it usually follows.
        ethertype::METADATA => {
            let kind = at.be16(0)?;
            at.advance(8)?;
            return next(Layer::Type(kind));
        }
        kind => return next(Layer::Type(kind)),
    }
    next(Layer::Ethernet)
}

/// MPLS labels (RFC 3032) up to the bottom of the stack. What follows has no type: guessed by the first four bits.
pub(super) fn mpls(at: &mut Bytes<'_>, cx: &mut Context<'_>) -> Option<Step> {
    cx.view.marks |= marks::TUNNELLED;
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

/// VXLAN at the port that Linux takes if none is set (flannel and Cilium keep it). Others may use that port too: nothing but what RFC 7348
/// has is read, with its reserved bits 0.
pub(super) fn vxlan_of_linux(bytes: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
    let plain = bytes.header::<8>()?;
    if matches!(plain, [0x08, 0, 0, 0, .., 0]) { vxlan(bytes) } else { None }
}

/// VXLAN with a next-protocol byte (VXLAN-GPE).
pub(super) fn vxlan_gpe(bytes: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
    let rest = bytes.skip(8)?;
    match bytes.u8(3)? {
        1 => Some((Layer::Ipv4, rest)),
        2 => Some((Layer::Ipv6, rest)),
        3 => Some((Layer::Ethernet, rest)),
        4 => Some((Layer::Nsh, rest)),
        5 => Some((Layer::Mpls, rest)),
        _ => None,
    }
}

/// LISP's data plane (RFC 9300): 8 bytes, then a packet.
pub(super) fn lisp(bytes: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
    any_ip(bytes.skip(8)?)
}

/// LISP's control plane: messages of type 8 carry a packet with another one.
pub(super) fn lisp_control(bytes: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
    if bytes.u8(0)? >> 4 == 8 { any_ip(bytes.skip(4)?) } else { None }
}

fn any_ip(rest: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
    matches!(rest.u8(0)? >> 4, 4 | 6).then_some((Layer::AnyIp, rest))
}

/// L2TP version 2 (RFC 2661): data messages carry PPP.
pub(super) fn l2tp(bytes: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
    let flags = bytes.be16(0)?;
    if flags & 0x8000 != 0 || flags & 0x0f != 2 {
        return None;
    }
    let has = |bit: u16, size: usize| if flags & bit != 0 { size } else { 0 };
    let (length, sequence) = (has(0x4000, 2), has(0x0800, 4));
    let bytes = if length > 0 { bytes.limit(bytes.be16(2)? as usize) } else { bytes };
    let mut header = 2 + length + 4 + sequence;
    if flags & 0x0200 != 0 {
        header += 2 + bytes.be16(header)? as usize;
    }
    Some((Layer::Ppp, bytes.skip(header)?))
}

/// CAPWAP's data channel (RFC 5415): a header whose length is in words, then Ethernet or a frame of the radio's kind. Encrypted
/// frames, pieces and keep-alives have nothing to see.
pub(super) fn capwap(bytes: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
    const NATIVE: u32 = 0x0100;
    const FRAGMENT: u32 = 0x80;
    const KEEP_ALIVE: u32 = 0x08;
    const RADIO_80211: u32 = 1;
    let word = bytes.be32(0)?;
    if word >> 24 != 0 || word & (FRAGMENT | KEEP_ALIVE) != 0 {
        return None;
    }
    let rest = bytes.skip((word >> 19 & 0x1f) as usize * 4)?;
    match (word & NATIVE != 0, word >> 9 & 0x1f) {
        (false, _) => Some((Layer::Ethernet, rest)),
        (true, RADIO_80211) => Some((Layer::SwappedWlan, rest)),
        _ => None,
    }
}

/// TaZmen Sniffer Protocol: version, kind (0 and 1 carry packets), encapsulation, tags up to one that ends them.
pub(super) fn tzsp(bytes: Bytes<'_>) -> Option<(Layer, Bytes<'_>)> {
    const MAX_TAGS: usize = 64;
    let ([version, kind], encapsulation) = (bytes.array::<2>(0)?, bytes.be16(2)?);
    if version != 1 || kind > 1 || encapsulation != 1 {
        return None;
    }
    let mut rest = bytes.skip(4)?;
    for _ in 0..MAX_TAGS {
        rest = match rest.u8(0)? {
            0 => rest.skip(1)?,
            1 => return Some((Layer::Ethernet, rest.skip(1)?)),
            _ => rest.skip(2 + rest.u8(1)? as usize)?,
        };
    }
    None
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
    any_ip(rest)
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
