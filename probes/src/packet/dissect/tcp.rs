//! TCP (RFC 9293): header and options.

use super::{Bytes, Context, Step, Transport};
use weftrace_artifact::packet::{PacketView, StrRef, layer};

pub(crate) const FIN: u32 = 0x01;
pub(crate) const SYN: u32 = 0x02;
pub(crate) const RST: u32 = 0x04;
pub(crate) const ACK: u32 = 0x10;

pub(super) fn tcp(at: &mut Bytes<'_>, cx: &mut Context<'_>) -> Option<Step> {
    let Some(h) = at.header::<20>() else { return cut_short(*at, cx.view) };
    let header_len = (h[12] >> 4) as usize * 4;
    // A length that can't be: the ports are there all the same.
    if header_len < 20 || header_len > at.wire_len() {
        return cut_short(*at, cx.view);
    }
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
    view.tcp_len = (at.wire_len() - header_len) as u32;
    view.layers |= layer::TCP | if flags & ACK != 0 { layer::ACK } else { 0 };
    let captured = at.captured();
    if header_len > 20 && (flags & SYN != 0 || cx.wants_options()) {
        let end = header_len.min(captured.len());
        options(captured.get(20..end).unwrap_or_default(), cx.view);
    }
    at.pass(header_len);
    cx.view.payload = StrRef::from(at.captured());
    // How long the segment is, the other pieces know.
    Some(Step::Transport(if cx.piece { Transport::TcpCutShort } else { Transport::Tcp }))
}

/// A header of which only the start was captured or can be believed: belongs to its conversation, but nothing follows from it.
fn cut_short(bytes: Bytes<'_>, view: &mut PacketView) -> Option<Step> {
    view.tcp_src_port = bytes.be16(0)?;
    view.tcp_dst_port = bytes.be16(2)?;
    view.tcp_seq_raw = bytes.be32(4).unwrap_or(0);
    view.tcp_ack_raw = bytes.be32(8).unwrap_or(0);
    let word = u32::from(bytes.be16(12).unwrap_or(0));
    view.tcp_hdr_len = (word >> 12) * 4;
    view.tcp_flags = word & 0x0fff;
    view.tcp_window_raw = u32::from(bytes.be16(14).unwrap_or(0));
    view.layers |= layer::TCP;
    Some(Step::Transport(Transport::TcpCutShort))
}

/// Kinds 0 (end), 1 (no operation); all others have a length that includes kind and length.
fn options(mut rest: &[u8], view: &mut PacketView) {
    // What nearly all segments have, and nothing else.
    if let [1, 1, 8, 10, times @ ..] = rest
        && times.len() == 8
    {
        return option(8, times, view);
    }
    while let [kind, tail @ ..] = rest {
        match kind {
            0 => return,
            1 => {
                rest = tail;
                continue;
            }
            _ => {}
        }
        let Some(&length) = tail.first() else { return };
        let length = length as usize;
        let Some(value) = rest.get(2..length) else { return };
        option(*kind, value, view);
        rest = &rest[length..];
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
        }
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
