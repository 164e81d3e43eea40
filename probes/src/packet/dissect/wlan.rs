//! IEEE 802.11 data frames, with or without a radiotap header.

use super::{Bytes, Layer, Step, next};

/// Radiotap: version, pad, header length and presence bits in little endian.
pub(super) fn radiotap(at: &mut Bytes<'_>) -> Option<Step> {
    let length = at.le16(2)? as usize;
    let flags = radiotap_flags(*at);
    at.advance(length)?;
    if flags & 0x10 != 0 {
        // A frame check sequence at the end.
        at.cap(at.wire_len().saturating_sub(4));
    }
    data(at, flags & 0x20 != 0, false)
}

/// The flags field, if the first presence word says that there is one (bit 1); only the timestamp (bit 0) lies before it.
fn radiotap_flags(bytes: Bytes<'_>) -> u8 {
    let Some(present) = bytes.array::<4>(4).map(u32::from_le_bytes) else { return 0 };
    if present & 2 == 0 {
        return 0;
    }
    // More presence words follow while bit 31 is set.
    let mut at = 4;
    let mut word = present;
    while word & (1 << 31) != 0 {
        at += 4;
        match bytes.array::<4>(at).map(u32::from_le_bytes) {
            Some(next) => word = next,
            None => return 0,
        }
    }
    at += 4;
    if present & 1 != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    bytes.u8(at).unwrap_or(0)
}

pub(super) fn frame(at: &mut Bytes<'_>) -> Option<Step> {
    data(at, false, false)
}

/// As Cisco's access points send it in CAPWAP.
pub(super) fn swapped(at: &mut Bytes<'_>) -> Option<Step> {
    data(at, false, true)
}

fn data(at: &mut Bytes<'_>, padded: bool, swapped: bool) -> Option<Step> {
    let bytes = *at;
    let (first, second) = (bytes.u8(0)?, bytes.u8(1)?);
    let (control, flags) = if swapped { (second, first) } else { (first, second) };
    let subtype = control >> 4;
    let (kind, version) = (control >> 2 & 3, control & 3);
    // Only data frames that carry data, in clear.
    if version != 0 || kind != 2 || subtype & 4 != 0 || flags & 0x40 != 0 {
        return Some(Step::Done);
    }
    let mut header = 24;
    if flags & 3 == 3 {
        header += 6; // a fourth address between distribution systems
    }
    if subtype & 8 != 0 {
        // Several frames in one are left alone.
        if bytes.u8(header)? & 0x80 != 0 {
            return Some(Step::Done);
        }
        header += 2;
        if flags & 0x80 != 0 {
            header += 4; // HT control
        }
    }
    // A fragment other than the first has no LLC header; access points put whole frames together.
    if !swapped && bytes.le16(22)? & 0x0f != 0 {
        return Some(Step::Done);
    }
    if padded {
        header = header.next_multiple_of(4);
    }
    at.advance(header)?;
    next(Layer::Llc)
}
