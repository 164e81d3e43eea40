//! Conversions of integers.

use super::justify;
use crate::decode::{Num, sign_extend};
use weftrace_artifact::action::{Conv, Spec};

/// Bytes of an integer whose conversion has no length: C's int.
const INT: u8 = 4;

/// Longest run of padding or digits that a specification may ask for: a script can't blow up its output.
pub(super) const MAX_WIDTH: usize = 4096;

/// Without a length integers are 32 bits wide, as in C: whether that loses a part of this one.
pub(super) fn is_cut(spec: &Spec, num: Option<Num>) -> bool {
    let wide = !matches!(spec.conv, Conv::Signed | Conv::Unsigned | Conv::Octal | Conv::HexLower | Conv::HexUpper);
    let Some(num) = num.filter(|_| !wide && spec.length.is_none()) else { return false };
    i32::try_from(num.wide()).is_err() && u32::try_from(num.wide()).is_err()
}

pub(super) fn write(out: &mut Vec<u8>, spec: &Spec, num: Num) {
    let start = out.len();
    let raw = num.bits();
    match spec.conv {
        Conv::Char => {
            out.push(raw as u8);
            justify(out, start, spec);
        }
        Conv::Pointer => {
            // C++ streams, and so bpftrace, print the null pointer as 0.
            let digits = if raw == 0 { "0".to_owned() } else { format!("{raw:#x}") };
            out.extend_from_slice(digits.as_bytes());
            justify(out, start, spec);
        }
        Conv::Signed => {
            let value = sign_extend(raw, u32::from(spec.length.unwrap_or(INT)) * 8);
            let sign = match (value < 0, spec.plus, spec.space) {
                (true, ..) => "-",
                (false, true, _) => "+",
                (false, false, true) => " ",
                _ => "",
            };
            let mut buf = [0; 32];
            put(out, spec, sign, digits(&mut buf, value.unsigned_abs(), 10, false));
        }
        conv => {
            let value = match spec.length.unwrap_or(INT) {
                bytes @ 1..=7 => raw & ((1u64 << (u32::from(bytes) * 8)) - 1),
                _ => raw,
            };
            unsigned(out, spec, conv, value);
        }
    }
}

fn unsigned(out: &mut Vec<u8>, spec: &Spec, conv: Conv, value: u64) {
    let mut buf = [0; 32];
    let (base, upper, prefix) = match conv {
        Conv::Octal => (8, false, ""),
        Conv::HexLower => (16, false, "0x"),
        Conv::HexUpper => (16, true, "0X"),
        _ => (10, false, ""),
    };
    let text = digits(&mut buf, value, base, upper);
    let prefix = if spec.alternate && value != 0 { prefix } else { "" };
    if conv == Conv::Octal && spec.alternate {
        // `#` makes the precision large enough for a leading zero.
        let enough = text.len() + usize::from(value != 0);
        if spec.precision.is_none_or(|p| (p as usize) < enough) {
            if spec.precision.is_some() || !spec.zero || spec.minus || enough > spec.width.unwrap_or(0) as usize {
                let spec = Spec { precision: Some(enough as u32), zero: false, ..spec.clone() };
                return put(out, &spec, "", text);
            }
            return put(out, spec, "", text);
        }
    }
    put(out, spec, prefix, text);
}

/// Digits of `value` at the end of `buf`; "0" for 0.
fn digits(buf: &mut [u8; 32], mut value: u64, base: u64, upper: bool) -> &[u8] {
    let alphabet: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let mut at = buf.len();
    loop {
        at -= 1;
        buf[at] = alphabet[(value % base) as usize];
        value /= base;
        if value == 0 {
            return &buf[at..];
        }
    }
}

/// Sign or prefix, zeros, digits, padded to the width.
fn put(out: &mut Vec<u8>, spec: &Spec, prefix: &str, digits: &[u8]) {
    let start = out.len();
    // Precision 0 prints the value 0 as nothing.
    let digits = if spec.precision == Some(0) && digits == b"0" { b"" } else { digits };
    let zeros = match spec.precision {
        Some(precision) => (precision as usize).min(MAX_WIDTH).saturating_sub(digits.len()),
        None if spec.zero && !spec.minus => {
            (spec.width.unwrap_or(0) as usize).min(MAX_WIDTH).saturating_sub(digits.len() + prefix.len())
        }
        None => 0,
    };
    out.extend_from_slice(prefix.as_bytes());
    out.resize(out.len() + zeros, b'0');
    out.extend_from_slice(digits);
    justify(out, start, spec);
}
