//! ICMP (RFC 792) and ICMPv6 (RFC 4443): echoes, and errors with the packet they quote.

use super::{Bytes, Context, quoted};
use weftrace_artifact::packet::{IcmpView, layer};

/// What a type's message holds after its first four bytes.
pub(super) enum Holds {
    /// Identifier and sequence number.
    Echo,
    /// The start of the packet that failed.
    Quote {
        mtu: bool,
    },
    Other,
}

pub(super) fn holds(v6: bool, kind: u8, code: u8) -> Holds {
    match (v6, kind) {
        (false, 0 | 8) | (true, 128 | 129) => Holds::Echo,
        (false, 3) => Holds::Quote { mtu: code == 4 },
        (false, 4 | 5 | 11 | 12) | (true, 1 | 3 | 4) => Holds::Quote { mtu: false },
        (true, 2) => Holds::Quote { mtu: true },
        _ => Holds::Other,
    }
}

/// A message that ends before its code is none.
pub(super) fn icmp(v6: bool, at: Bytes<'_>, cx: &mut Context<'_>) {
    let Some([kind, code]) = at.array(0) else { return };
    let view = &mut *cx.view;
    view.layers |= if v6 { layer::ICMPV6 } else { layer::ICMP };
    view.icmp = IcmpView { kind, code, ..IcmpView::default() };
    match holds(v6, kind, code) {
        Holds::Echo => {
            if let (Some(ident), Some(seq)) = (at.be16(4), at.be16(6)) {
                view.layers |= layer::ICMP_ECHO;
                (view.icmp.ident, view.icmp.seq) = (ident, seq);
            }
        }
        Holds::Quote { mtu } => {
            if quote(v6, at, &mut view.icmp).is_some() {
                view.layers |= layer::ICMP_QUOTE;
            }
            if mtu && let Some(value) = if v6 { at.be32(4) } else { at.be16(6).map(u32::from) } {
                view.layers |= layer::ICMP_DETAIL;
                view.icmp.mtu = value;
            }
        }
        Holds::Other => {}
    }
}

/// Addresses, protocol and ports of the packet in an error.
fn quote(v6: bool, at: Bytes<'_>, icmp: &mut IcmpView) -> Option<()> {
    let quoted = at.skip(8)?;
    let transport = if v6 {
        icmp.src = quoted.array(8)?;
        icmp.dst = quoted.array(24)?;
        icmp.proto = quoted.u8(6)?;
        // Ports are looked for behind the fixed header alone.
        quoted.skip(40)
    } else {
        icmp.src[..4].copy_from_slice(&quoted.array::<4>(12)?);
        icmp.dst[..4].copy_from_slice(&quoted.array::<4>(16)?);
        icmp.proto = quoted.u8(9)?;
        quoted::behind_ipv4(quoted)
    };
    let ports = transport.and_then(|transport| Some((transport.be16(0)?, transport.be16(2)?)));
    if let Some((src, dst)) = ports.filter(|_| matches!(icmp.proto, 6 | 17 | 132)) {
        (icmp.src_port, icmp.dst_port) = (src, dst);
    }
    Some(())
}
