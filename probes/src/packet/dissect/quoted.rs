//! What ICMP errors quote (RFC 792, RFC 4443): the packet that caused them.

use super::Bytes;
use super::icmp::{Holds, holds};

/// Endpoints of a quoted TCP segment. IPv4 addresses are the first four bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quoted {
    pub(crate) family: u8,
    pub(crate) src: [u8; 16],
    pub(crate) dst: [u8; 16],
    pub(crate) ports: [u16; 2],
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The TCP segment whose start an ICMP (or ICMPv6: `proto` 58) message quotes, if it is an error that does.
pub(super) fn tcp(proto: u8, at: Bytes<'_>) -> Option<Quoted> {
    if !matches!(holds(proto != ICMP, at.u8(0)?, 0), Holds::Quote { .. }) {
        return None;
    }
    let packet = at.skip(8)?;
    let mut quoted = Quoted::default();
    let segment = match packet.u8(0)? >> 4 {
        4 => {
            if packet.u8(9)? != TCP {
                return None;
            }
            quoted.family = AF_INET;
            quoted.src[..4].copy_from_slice(&packet.array::<4>(12)?);
            quoted.dst[..4].copy_from_slice(&packet.array::<4>(16)?);
            behind_ipv4(packet)?
        }
        6 => {
            (quoted.family, quoted.src, quoted.dst) = (AF_INET6, packet.array(8)?, packet.array(24)?);
            tcp_in_ipv6(packet)?
        }
        _ => return None,
    };
    quoted.ports = [segment.be16(0)?, segment.be16(2)?];
    Some(quoted)
}

/// Behind a header of IPv4; of a later fragment there is none.
pub(super) fn behind_ipv4(packet: Bytes<'_>) -> Option<Bytes<'_>> {
    let header = usize::from(packet.u8(0)? & 0x0f) * 4;
    // The three flags above the offset don't matter.
    let first_piece = packet.be16(6)? << 3 == 0;
    if first_piece && header >= 20 { packet.skip(header) } else { None }
}

/// Behind IPv6 extension headers; of a later fragment there is none.
fn tcp_in_ipv6(packet: Bytes<'_>) -> Option<Bytes<'_>> {
    const MAX_EXTENSIONS: usize = 16;
    let mut proto = packet.u8(6)?;
    let mut at = packet.skip(40)?;
    for _ in 0..MAX_EXTENSIONS {
        let size = match proto {
            0 | 43 | 60 | 135 | 139 | 140 => (at.u8(1)? as usize + 1) * 8,
            44 if at.be16(2)? & 0xfff8 == 0 => 8,
            TCP => return Some(at),
            _ => return None,
        };
        proto = at.u8(0)?;
        at = at.skip(size)?;
    }
    None
}
