//! Tags and shims between Ethernet and what it carries.

use super::link::type_or_length;
use super::{Bytes, Layer, Step, next};

/// Cisco MetaData: version, length, options; with one option (the security group tag) 6 bytes. Then an EtherType.
pub(super) fn cisco_metadata(at: &mut Bytes<'_>) -> Option<Step> {
    typed(at, 6)
}

/// 802.1BR E-tag, VN-tag, HSR: a fixed number of bytes before the EtherType.
pub(super) fn typed(at: &mut Bytes<'_>, size: usize) -> Option<Step> {
    let kind = at.be16(size)?;
    at.advance(size + 2)?;
    type_or_length(kind, at)
}

/// Network service header (RFC 8300): its length in words, then what follows by a number of its own.
pub(super) fn nsh(at: &mut Bytes<'_>) -> Option<Step> {
    let (words, follows) = ((at.u8(1)? & 0x3f) as usize, at.u8(3)?);
    if words < 2 {
        return None;
    }
    at.advance(words * 4)?;
    match follows {
        1 => next(Layer::Ipv4),
        2 => next(Layer::Ipv6),
        3 => next(Layer::Ethernet),
        4 => next(Layer::Nsh),
        5 => next(Layer::Mpls),
        _ => Some(Step::Done),
    }
}

/// MACsec (IEEE 802.1AE) that only protects: the frame is in clear, with a check value of 16 bytes behind it.
pub(super) fn macsec(at: &mut Bytes<'_>) -> Option<Step> {
    const CHANGED: u8 = 0x04;
    const ENCRYPTED: u8 = 0x08;
    const CHANNEL: u8 = 0x20;
    let (control, short) = (at.u8(0)?, (at.u8(1)? & 0x3f) as usize);
    if control & (CHANGED | ENCRYPTED) != 0 {
        return Some(Step::Done);
    }
    at.advance(if control & CHANNEL != 0 { 14 } else { 6 })?;
    // A short frame says its length; what lies behind is padding.
    at.cap(if short > 0 { short } else { at.wire_len().saturating_sub(16) });
    typed(at, 0)
}

/// TRILL (RFC 6325): flags with the options' length in words, two names of switches, the frame.
pub(super) fn trill(at: &mut Bytes<'_>) -> Option<Step> {
    let options = (at.be16(0)? >> 6 & 0x1f) as usize * 4;
    at.advance(6 + options)?;
    next(Layer::Ethernet)
}
