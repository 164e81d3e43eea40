//! Where the headers of a packet end whose payload isn't known: a piece of a datagram, ICMP, other protocols, or what contradicts itself.

use weftrace_artifact::packet::PacketView;

/// Of a frame without IP only this much stays.
const WITHOUT_IP: usize = 96;
/// Of a frame whose innermost IP header lies elsewhere: in a datagram that was put together. Ethernet and IPv4.
const OUTERMOST: usize = 34;
const MAX_EXTENSIONS: usize = 16;

const AF_INET: u8 = 2;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const ESP: u8 = 50;
const AH: u8 = 51;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

/// Bytes of the frame up to the end of its last header. What is no header of ours is payload.
pub(super) fn headers(view: &PacketView, data: &[u8]) -> usize {
    if view.net_family == 0 {
        return WITHOUT_IP.min(data.len());
    }
    // The first such place: whoever puts a copy of the header into a payload gets more of it masked.
    let is = |at: &usize| data.get(*at..).is_some_and(|bytes| is_header(view, bytes));
    match (0..data.len()).find(is) {
        Some(at) => at + behind(&data[at..], true).min(data.len() - at),
        None => OUTERMOST.min(data.len()),
    }
}

/// Whether the innermost IP header of the view begins here.
fn is_header(view: &PacketView, bytes: &[u8]) -> bool {
    if view.net_family == AF_INET {
        let Some(h) = bytes.first_chunk::<20>() else { return false };
        let fragment = (view.ip_flags as u16) << 13 | view.ip_frag_offset >> 3;
        // With options the destination may be that of a route in them.
        let to = h[0] != 0x45 || h[16..20] == view.ip_dst[..4];
        return h[0] >> 4 == 4
            && (h[1], h[8], h[9]) == (view.ip_dsfield, view.ip_ttl, view.ip_proto)
            && [h[4], h[5]] == view.ip_id.to_be_bytes()
            && [h[6], h[7]] == fragment.to_be_bytes()
            && h[12..16] == view.ip_src[..4]
            && to;
    }
    let Some(h) = bytes.first_chunk::<40>() else { return false };
    h[0] >> 4 == 6
        && h[0] << 4 | h[1] >> 4 == view.ipv6_tclass
        && u32::from(u16::from_be_bytes([h[4], h[5]])) == view.ipv6_plen
        && (h[6], h[7]) == (view.ipv6_nxt, view.ipv6_hlim)
        && h[8..24] == view.ipv6_src
        && h[24..40] == view.ipv6_dst
}

/// Bytes up to the end of the headers of a packet that begins with IP. `quotes`: of an ICMP error the headers of the packet that it is about
/// are headers, too.
fn behind(packet: &[u8], quotes: bool) -> usize {
    let Some((at, proto)) = behind_ip(packet) else { return packet.len().min(20) };
    let rest = packet.get(at..).unwrap_or_default();
    at + match proto {
        None => 0,
        Some(TCP) => {
            let length = rest.get(12).map_or(20, |b| usize::from(b >> 4) * 4);
            // A header that is longer than what is there is none.
            if (20..=rest.len()).contains(&length) { length } else { 20 }
        }
        Some(UDP | UDP_LITE | ESP) => 8,
        Some(SCTP | DCCP) => 12,
        Some(proto @ (ICMP | ICMPV6)) if quotes && is_error(proto, rest) => {
            8 + rest.get(8..).map_or(0, |quoted| {
                let whole = behind(quoted, false);
                // As much as RFC 792 asks for: of TCP the ports and the sequence number.
                whole.min(behind_ip(quoted).map_or(0, |(at, _)| at + 8))
            })
        }
        Some(ICMP | ICMPV6) => 8,
        Some(_) => 0,
    }
}

fn is_error(proto: u8, message: &[u8]) -> bool {
    match message.first() {
        Some(kind) if proto == ICMP => matches!(kind, 3 | 4 | 5 | 11 | 12),
        Some(kind) => (1..=4).contains(kind),
        None => false,
    }
}

/// Bytes of IP's header and its extensions, and the protocol that follows: none in a piece that isn't the first.
fn behind_ip(packet: &[u8]) -> Option<(usize, Option<u8>)> {
    let (mut at, mut proto, mut first) = match packet.first()? >> 4 {
        4 => {
            let h = packet.first_chunk::<20>()?;
            let offset = u16::from_be_bytes([h[6], h[7]]) & 0x1fff;
            (usize::from(h[0] & 0x0f).max(5) * 4, h[9], offset == 0)
        }
        6 => (40, *packet.get(6)?, true),
        _ => return None,
    };
    for _ in 0..MAX_EXTENSIONS {
        let Some(&[next, length, high, low]) = packet.get(at..).and_then(|rest| rest.first_chunk()) else { break };
        let size = match proto {
            _ if !first => break,
            0 | 43 | 60 | 135 | 139 | 140 => (usize::from(length) + 1) * 8,
            44 => {
                first = u16::from_be_bytes([high, low]) & 0xfff8 == 0;
                8
            }
            AH => (usize::from(length) + 2) * 4,
            _ => break,
        };
        (at, proto) = (at + size, next);
    }
    Some((at, Some(proto).filter(|_| first)))
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
