//! printf: the pieces of a format string and a record's arguments to bytes, by C's rules (ISO C 7.21.6.1).

mod gfp;
mod int;

use crate::{
    decode::{self, Num, bit_field, member, scalar},
    style::Style,
    text::{self, BufStyle},
};
use weftrace_artifact::{
    action::{Conv, Piece, Spec},
    ty::{Field, Type},
};

/// Appends a format with its arguments; `payload` is the record after its header.
pub fn printf(out: &mut Vec<u8>, pieces: &[Piece], args: &[Field], payload: &[u8], style: &mut Style<'_>) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Arg { index, spec } => {
                if let Some(field) = args.get(*index as usize) {
                    style.cut |= int::is_cut(spec, number(field, payload));
                    argument(out, spec, field, payload, style);
                }
            }
        }
    }
}

fn argument(out: &mut Vec<u8>, spec: &Spec, field: &Field, payload: &[u8], style: &mut Style<'_>) {
    match spec.conv {
        Conv::Str | Conv::Buf | Conv::BufHex | Conv::BufHexSpaced => {
            if spec.width.is_none() && spec.precision.is_none() {
                return write_text(out, spec.conv, field, payload, style);
            }
            let start = out.len();
            write_text(out, spec.conv, field, payload, style);
            if let Some(precision) = spec.precision {
                let cut = char_floor(&out[start..], precision as usize);
                out.truncate(start + cut);
            }
            justify(out, start, spec);
        }
        Conv::Gfp => {
            let start = out.len();
            text::push(out, &gfp::text(number(field, payload).map_or(0, Num::bits)));
            justify(out, start, spec);
        }
        _ => match number(field, payload) {
            Some(num) => int::write(out, spec, num),
            // A conversion that the checker would refuse: the value's own text.
            None => text::write_field(out, field, payload, style),
        },
    }
}

fn write_text(out: &mut Vec<u8>, conv: Conv, field: &Field, payload: &[u8], style: &mut Style<'_>) {
    let how = match conv {
        Conv::BufHex => BufStyle::Hex,
        Conv::BufHexSpaced => BufStyle::HexSpaced,
        _ => BufStyle::Printable,
    };
    match (&field.ty, conv) {
        (Type::Buf { cap }, _) => text::write_buffer(out, decode::buffer(member(field, payload), *cap), how),
        _ => text::write_field(out, field, payload, style),
    }
}

fn number(field: &Field, payload: &[u8]) -> Option<Num> {
    bit_field(field, payload).or_else(|| scalar(&field.ty, member(field, payload)))
}

/// The largest number of bytes, at most `max`, that ends between two characters.
fn char_floor(bytes: &[u8], max: usize) -> usize {
    if bytes.len() <= max {
        return bytes.len();
    }
    let mut end = max;
    while end > 0 && bytes[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    end
}

/// Pads what was appended since `start` to the field's width.
fn justify(out: &mut Vec<u8>, start: usize, spec: &Spec) {
    let missing = (spec.width.unwrap_or(0) as usize).min(int::MAX_WIDTH).saturating_sub(out.len() - start);
    if missing == 0 {
        return;
    }
    let end = out.len();
    // Zeroes before numbers are written by their own rules; before text they are bpftrace's.
    let fill = if spec.zero && spec.conv == Conv::Str { b'0' } else { b' ' };
    out.resize(end + missing, fill);
    if !spec.minus {
        out.copy_within(start..end, start + missing);
        out[start..start + missing].fill(fill);
    }
}

#[cfg(test)]
mod tests;
