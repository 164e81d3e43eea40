//! IPv4 (RFC 791) and IPv6 (RFC 8200) with extension headers and fragments.

use super::fragments::{Fragments, Key, Piece};
use super::{Bytes, Context, Layer, Step, inside, next};
use weftrace_artifact::packet::{PacketView, known, layer, marks};

const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;
/// IPv6's fragment header.
pub(super) const FRAGMENT: u8 = 44;

/// The header that TCP or UDP is in: the last one, unless one more follows.
fn family(view: &mut PacketView, family: u8) {
    if view.net_family != 0 {
        view.marks |= marks::TUNNELLED;
    }
    view.net_family = family;
}

pub(super) fn by_version(at: &Bytes<'_>) -> Option<Step> {
    match at.u8(0)? >> 4 {
        4 => next(Layer::Ipv4),
        6 => next(Layer::Ipv6),
        _ => Some(Step::Done),
    }
}

pub(super) fn ipv4(at: &mut Bytes<'_>, cx: &mut Context<'_>, fragments: Option<&mut Fragments>) -> Option<Step> {
    if at.u8(0)? >> 4 == 6 {
        // Said to be version 4: what it says itself counts.
        return next(Layer::Ipv6);
    }
    let Some(h) = at.header::<20>() else { return ipv4_cut_short(*at, cx.view) };
    let header_len = (h[0] & 0x0f) as usize * 4;
    if h[0] >> 4 != 4 || header_len < 20 {
        return None;
    }
    let mut total = u16::from_be_bytes([h[2], h[3]]) as usize;
    if total == 0 {
        // Segmentation offload: the length did not fit or was left to the device.
        total = at.wire_len();
    }
    if total < header_len {
        return None;
    }
    let flags_offset = u16::from_be_bytes([h[6], h[7]]);
    let proto = h[9];
    let view = &mut *cx.view;
    view.ip_len = total as u32;
    view.ip_id = u16::from_be_bytes([h[4], h[5]]);
    view.ip_flags = (flags_offset >> 13) as u32;
    view.ip_frag_offset = (flags_offset & 0x1fff) << 3;
    view.ip_ttl = h[8];
    view.ip_proto = proto;
    view.ip_dsfield = h[1];
    view.ip_src[..4].copy_from_slice(&h[12..16]);
    view.ip_dst[..4].copy_from_slice(&h[16..20]);
    if header_len > 20
        && let Some(last) = routed_to(at.captured().get(20..header_len).unwrap_or_default())
    {
        view.ip_dst[..4].copy_from_slice(&last);
    }
    family(view, AF_INET);
    view.layers |= layer::IP;
    view.known |= known::IP;
    let fits = total <= at.wire_len();
    at.cap(total);
    at.advance(header_len)?;
    if view.ip_frag_offset == 0 && view.ip_flags & 1 == 0 {
        return next(Layer::Proto(proto));
    }
    view.marks |= marks::FRAGMENT;
    let piece = Piece {
        key: Key { family: AF_INET, proto, id: view.ip_id as u32, src: view.ip_src, dst: view.ip_dst },
        offset: view.ip_frag_offset as usize,
        more: flags_offset & 0x2000 != 0,
        // The IP length says more than there is: the frame cannot hold the whole fragment.
        whole: at.is_whole() && fits,
    };
    fragment(&piece, at, cx, fragments)
}

/// A header of which only the start was captured. What it is within, and what lies behind it, stays as it is; nothing follows from it, and who sends to whom isn't known.
#[cold]
fn ipv4_cut_short(bytes: Bytes<'_>, view: &mut PacketView) -> Option<Step> {
    if bytes.u8(0)? >> 4 != 4 || bytes.u8(0)? & 0x0f < 5 {
        return None;
    }
    view.layers |= layer::IP;
    view.net_family = 0;
    view.ip_dsfield = bytes.u8(1)?;
    view.known |= known::IP_DSFIELD;
    let total = bytes.be16(2)?;
    view.ip_len = if total == 0 { bytes.wire_len() as u32 } else { total.into() };
    view.known |= known::IP_LEN;
    view.ip_id = bytes.be16(4)?;
    view.known |= known::IP_ID;
    let flags_offset = bytes.be16(6)?;
    (view.ip_flags, view.ip_frag_offset) = ((flags_offset >> 13).into(), (flags_offset & 0x1fff) << 3);
    view.known |= known::IP_FRAGMENT;
    view.ip_ttl = bytes.u8(8)?;
    view.known |= known::IP_TTL;
    view.ip_proto = bytes.u8(9)?;
    view.known |= known::IP_PROTO;
    view.ip_src[..4].copy_from_slice(&bytes.array::<4>(12)?);
    view.known |= known::IP_SRC;
    None
}

/// The final destination of a packet with a source route (RFC 791, 3.1): the header has the next hop until the route is used up.
fn routed_to(mut options: &[u8]) -> Option<[u8; 4]> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const LOOSE_ROUTE: u8 = 131;
    const STRICT_ROUTE: u8 = 137;
    while let [kind, tail @ ..] = options {
        match *kind {
            END => return None,
            NO_OPERATION => {
                options = tail;
                continue;
            }
            _ => {}
        }
        let length = *tail.first()? as usize;
        let option = options.get(..length).filter(|_| length >= 2)?;
        if let [LOOSE_ROUTE | STRICT_ROUTE, _, pointer, route @ ..] = option {
            let pointer = *pointer as usize;
            let under_way = pointer >= 4 && pointer.is_multiple_of(4) && pointer <= length;
            return route.last_chunk().copied().filter(|_| under_way);
        }
        options = &options[length..];
    }
    None
}

/// Keeps a fragment; goes on if it completes its datagram.
fn fragment(piece: &Piece, at: &Bytes<'_>, cx: &mut Context<'_>, fragments: Option<&mut Fragments>) -> Option<Step> {
    let proto = piece.key.proto;
    cx.note(proto, Some(piece), *at);
    if !piece.whole || fragments.is_none() {
        // Cannot be put together; the first piece still has the transport header.
        cx.piece = true;
        return Some(if piece.offset == 0 { Step::Next(Layer::Proto(proto)) } else { Step::Done });
    }
    let fragments = fragments?;
    let complete = if cx.inside.is_none() {
        let brought = fragments.brought(cx.number);
        brought.unwrap_or_else(|| fragments.add(piece, at.captured(), cx.time_ns))
    } else if fragments.has(&piece.key) || piece.offset == 0 && inside::has_more(proto, *at) {
        let complete = fragments.add(piece, at.captured(), cx.time_ns);
        fragments.looked_at(cx.number, complete);
        complete
    } else {
        // Nobody may want it, and what it says of the datagram is there to be asked about: it begins nothing.
        false
    };
    Some(if complete { Step::Next(Layer::Reassembled(proto)) } else { Step::Done })
}

pub(super) fn ipv6(at: &mut Bytes<'_>, cx: &mut Context<'_>, fragments: Option<&mut Fragments>) -> Option<Step> {
    let Some(h) = at.header::<40>() else { return ipv6_cut_short(*at, cx.view) };
    if h[0] >> 4 != 6 {
        return None;
    }
    let length = u16::from_be_bytes([h[4], h[5]]) as usize;
    let view = &mut *cx.view;
    view.ipv6_tclass = h[0] << 4 | h[1] >> 4;
    view.ipv6_plen = length as u32;
    view.ipv6_nxt = h[6];
    view.ipv6_hlim = h[7];
    view.ipv6_src.copy_from_slice(&h[8..24]);
    view.ipv6_dst.copy_from_slice(&h[24..40]);
    family(view, AF_INET6);
    view.layers |= layer::IPV6;
    view.known |= known::IPV6;
    at.advance(40)?;
    // Length 0: a jumbogram or segmentation offload; the frame's length holds.
    if length != 0 {
        at.cap(length);
    }
    extensions(h[6], at, cx, fragments)
}

/// As [`ipv4_cut_short`].
#[cold]
fn ipv6_cut_short(bytes: Bytes<'_>, view: &mut PacketView) -> Option<Step> {
    let [first, second] = bytes.array(0)?;
    if first >> 4 != 6 {
        return None;
    }
    view.layers |= layer::IPV6;
    view.net_family = 0;
    view.ipv6_tclass = first << 4 | second >> 4;
    view.known |= known::IPV6_TCLASS;
    view.ipv6_plen = bytes.be16(4)?.into();
    view.known |= known::IPV6_PLEN;
    view.ipv6_nxt = bytes.u8(6)?;
    view.known |= known::IPV6_NXT;
    view.ipv6_hlim = bytes.u8(7)?;
    view.known |= known::IPV6_HLIM;
    view.ipv6_src = bytes.array(8)?;
    view.known |= known::IPV6_SRC;
    None
}

/// Walks the extension headers up to the transport protocol.
fn extensions(first: u8, at: &mut Bytes<'_>, cx: &mut Context<'_>, fragments: Option<&mut Fragments>) -> Option<Step> {
    const MAX_EXTENSIONS: usize = 16;
    let mut proto = first;
    for _ in 0..MAX_EXTENSIONS {
        match proto {
            // Hop-by-hop, routing, destination options, mobility, HIP, shim6: length in units of 8 bytes, without the first.
            0 | 43 | 60 | 135 | 139 | 140 => {
                proto = at.u8(0)?;
                at.advance((at.u8(1)? as usize + 1) * 8)?;
            }
            FRAGMENT => {
                let piece = fragment_header(at, cx.view)?;
                // An atomic fragment (RFC 6946) is a whole datagram.
                if !piece.is_all() {
                    return fragment(&piece, at, cx, fragments);
                }
                proto = piece.key.proto;
            }
            _ => return next(Layer::Proto(proto)),
        }
    }
    None
}

fn fragment_header(at: &mut Bytes<'_>, view: &PacketView) -> Option<Piece> {
    let (proto, flags, id) = (at.u8(0)?, at.be16(2)?, at.be32(4)?);
    at.advance(8)?;
    let key = Key { family: AF_INET6, proto, id, src: view.ipv6_src, dst: view.ipv6_dst };
    Some(Piece { key, offset: (flags & 0xfff8) as usize, more: flags & 1 != 0, whole: at.is_whole() })
}

/// A fragment header where it should not be: behind the authentication header.
pub(super) fn late_fragment(at: &mut Bytes<'_>, cx: &mut Context<'_>, parts: Option<&mut Fragments>) -> Option<Step> {
    let piece = fragment_header(at, cx.view)?;
    if piece.is_all() { next(Layer::Proto(piece.key.proto)) } else { fragment(&piece, at, cx, parts) }
}
