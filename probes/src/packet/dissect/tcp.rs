//! TCP (RFC 9293): header and options.

use super::{Bytes, Context, Step, Transport};
use weftrace_artifact::packet::{PacketView, StrRef, known, layer, marks, needs};

pub(crate) const FIN: u32 = 0x01;
pub(crate) const SYN: u32 = 0x02;
pub(crate) const RST: u32 = 0x04;
pub(crate) const ACK: u32 = 0x10;

/// Kinds of options that have no length.
const END: u8 = 0;
const NO_OPERATION: u8 = 1;

/// So much of a header is enough to follow its conversation, as in tshark: to the window.
const ENOUGH: usize = 16;

pub(super) fn tcp(at: &mut Bytes<'_>, cx: &mut Context<'_>) -> Option<Step> {
    match at.header::<20>() {
        Some(h) => Some(header(h, known::TCP, at, cx)),
        None => cut_short(at, cx),
    }
}

/// `known`: what of the header and its options was captured.
#[inline]
fn header(h: &[u8; 20], mut known: u64, at: &mut Bytes<'_>, cx: &mut Context<'_>) -> Step {
    let header_len = (h[12] >> 4) as usize * 4;
    let flags = u16::from_be_bytes([h[12], h[13]]) as u32 & 0x0fff;
    let view = &mut *cx.view;
    view.tcp_src_port = u16::from_be_bytes([h[0], h[1]]);
    view.tcp_dst_port = u16::from_be_bytes([h[2], h[3]]);
    view.tcp_seq_raw = u32::from_be_bytes([h[4], h[5], h[6], h[7]]);
    view.tcp_ack_raw = u32::from_be_bytes([h[8], h[9], h[10], h[11]]);
    view.tcp_hdr_len = header_len as u32;
    view.tcp_flags = flags;
    view.tcp_window_raw = u16::from_be_bytes([h[14], h[15]]) as u32;
    view.tcp_urgent = u16::from_be_bytes([h[18], h[19]]);
    view.layers |= layer::TCP;
    if header_len < 20 || header_len > at.wire_len() {
        // A length that can't be: the segment belongs to its conversation, but nothing follows from it.
        view.known |= known & !(known::TCP_LEN | OPTIONS);
        return Step::Transport(Transport::TcpCutShort);
    }
    view.tcp_len = (at.wire_len() - header_len) as u32;
    if header_len > 20 {
        let captured = at.captured();
        let options = captured.get(20..header_len.min(captured.len())).unwrap_or_default();
        let wanted = flags & SYN != 0 || cx.wants_options() || (cx.wants(needs::ANALYSIS) && !is_usual(options));
        let end = if wanted { self::options(options, cx.view) } else { options };
        if captured.len() < header_len && end.first() != Some(&END) {
            cut_option(end, cx.view);
            known &= !(OPTIONS & !seen(cx.view));
        }
    }
    if cx.piece {
        known &= !known::TCP_LEN;
    }
    cx.view.known |= known;
    at.pass(header_len);
    cx.view.payload = StrRef::from(at.captured());
    // How long the segment is, the other pieces know.
    Step::Transport(if cx.piece { Transport::TcpCutShort } else { Transport::Tcp })
}

/// What is known only of options that were captured to their end.
const OPTIONS: u64 = known::TCP_OPTIONS | known::SACK_PERM | known::DSACK;

/// What is known by options that came before the cut.
fn seen(view: &PacketView) -> u64 {
    let bit = |layer: u64, known: u64| if view.layers & layer == 0 { 0 } else { known };
    bit(layer::SACK_PERM, known::SACK_PERM) | bit(layer::TCP_SACK, known::DSACK)
}

/// A header of which only the start was captured.
#[cold]
fn cut_short(at: &mut Bytes<'_>, cx: &mut Context<'_>) -> Option<Step> {
    let captured = at.captured();
    let has = |bytes: usize, bits: u64| if captured.len() >= bytes { bits } else { 0 };
    let known = has(8, known::TCP_SEQ)
        | has(12, known::TCP_ACK)
        | has(13, known::TCP_HDR_LEN | known::TCP_LEN)
        | has(14, known::TCP_FLAGS)
        | has(ENOUGH, known::TCP_WINDOW);
    if captured.len() < 4 {
        return None;
    }
    let mut h = [0; 20];
    h[..captured.len()].copy_from_slice(captured);
    if captured.len() >= ENOUGH {
        // A header without options has none that were cut.
        let options = if h[12] >> 4 == 5 { OPTIONS } else { 0 };
        return Some(header(&h, known | options, at, cx));
    }
    // Whose it is depends on numbers and flags.
    let view = &mut *cx.view;
    (view.tcp_src_port, view.tcp_dst_port) = (u16::from_be_bytes([h[0], h[1]]), u16::from_be_bytes([h[2], h[3]]));
    view.tcp_seq_raw = at.be32(4).unwrap_or(0);
    view.tcp_ack_raw = at.be32(8).unwrap_or(0);
    view.tcp_hdr_len = u32::from(h[12] >> 4) * 4;
    view.tcp_flags = u32::from(at.be16(12).unwrap_or(0)) & 0x0fff;
    let believable = view.tcp_hdr_len >= 20 && view.tcp_hdr_len as usize <= at.wire_len() && !cx.piece;
    if believable {
        view.tcp_len = at.wire_len() as u32 - view.tcp_hdr_len;
    }
    view.known |= if believable { known } else { known & !known::TCP_LEN };
    view.layers |= layer::TCP;
    Some(Step::Transport(Transport::TcpPorts))
}

/// What nearly all segments have, and nothing else: timestamps.
fn is_usual(options: &[u8]) -> bool {
    matches!(options, [1, 1, 8, 10, times @ ..] if times.len() == 8)
}

/// Kinds 0 (end), 1 (no operation); all others have a length that includes kind and length. What is left: from the end on, or from an option
/// that isn't there to its end.
fn options<'a>(mut rest: &'a [u8], view: &mut PacketView) -> &'a [u8] {
    if is_usual(rest) {
        option(8, &rest[4..], view);
        return &[];
    }
    while let [kind, tail @ ..] = rest {
        match *kind {
            END => break,
            NO_OPERATION => {
                rest = tail;
                continue;
            }
            _ => {}
        }
        let Some(value) = tail.first().and_then(|&length| rest.get(2..usize::from(length))) else { break };
        option(*kind, value, view);
        rest = &rest[value.len() + 2..];
    }
    rest
}

/// What was captured of an option that was not captured to its end: timestamps' first number.
fn cut_option(option: &[u8], view: &mut PacketView) {
    if let [8, 10, a, b, c, d, ..] = *option {
        view.tcp_tsval = u32::from_be_bytes([a, b, c, d]);
        view.layers |= layer::TCP_TIMESTAMP;
    }
}

fn option(kind: u8, value: &[u8], view: &mut PacketView) {
    match (kind, value) {
        (2, &[a, b]) => {
            view.tcp_mss = u16::from_be_bytes([a, b]) as u32;
            view.layers |= layer::TCP_MSS;
        }
        (3, &[shift]) => {
            view.tcp_wscale_opt = shift as u32;
            view.layers |= layer::TCP_WSCALE;
        }
        (4, &[]) => view.layers |= layer::SACK_PERM,
        (5, blocks) => sack(blocks, view),
        (8, value) if value.len() == 8 => {
            let word = |at: usize| value[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
            (view.tcp_tsval, view.tcp_tsecr) = (word(0), word(4));
            view.layers |= layer::TCP_TIMESTAMP;
            view.known |= known::TCP_TSECR;
        }
        // Multipath TCP (RFC 8684), by its subtype.
        (30, [first, ..]) => view.marks |= marks::MPTCP << (first >> 4),
        _ => {}
    }
}

/// RFC 2018. Edges are raw here; the flow makes them relative.
fn sack(value: &[u8], view: &mut PacketView) {
    for block in value.chunks_exact(8) {
        let le = u32::from_be_bytes([block[0], block[1], block[2], block[3]]);
        let re = u32::from_be_bytes([block[4], block[5], block[6], block[7]]);
        let i = view.sack_count as usize;
        if let (Some(l), Some(r)) = (view.sack_le.get_mut(i), view.sack_re.get_mut(i)) {
            (*l, *r) = (le, re);
        }
        view.sack_count += 1;
        view.layers |= layer::TCP_SACK;
    }
    if view.sack_count > 0 {
        view.dsack = u32::from(is_dsack(view));
    }
}

/// RFC 2883, section 4: the first block lies below the acknowledgement, or inside the second block.
fn is_dsack(view: &PacketView) -> bool {
    let before = |a: u32, b: u32| (a.wrapping_sub(b) as i32) < 0;
    let (le, re) = (view.sack_le[0], view.sack_re[0]);
    let below = !before(view.tcp_ack_raw, re);
    let inside = view.sack_count > 1 && !before(le, view.sack_le[1]) && !before(view.sack_re[1], re);
    below || inside
}
