//! Numbers and strings: what the grammar takes as one word is checked here.

use crate::ast::ExprKind;

/// Suffix and factor in nanoseconds. `m` is a minute, `d` a day.
pub(crate) const DURATIONS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Suffix and factor in bytes.
pub(crate) const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// What is wrong with a literal: message, and what to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LiteralError {
    pub(super) message: String,
    pub(super) write: Option<String>,
    pub(super) note: Option<String>,
}

fn error(message: String) -> LiteralError {
    LiteralError { message, write: None, note: None }
}

fn too_large(text: &str) -> LiteralError {
    let mut e = error(format!("{text} doesn't fit in 64 bits"));
    e.note = Some(format!("the largest number is {}", u64::MAX));
    e
}

/// A number as written: decimal, `0x…`, `0b…`, octal `0…`, `1e6`, `1_000`, suffixes U/L, durations, sizes.
pub(super) fn number(text: &str) -> Result<ExprKind, LiteralError> {
    if text.ends_with('_') {
        let mut e = error("a number can't end in `_`".into());
        e.write = Some(text.trim_end_matches('_').into());
        return Err(e);
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let lower = plain.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        let (digits, suffix) = split(hex, |b| b.is_ascii_hexdigit());
        return radix(text, digits, suffix, 16);
    }
    if let Some(binary) = lower.strip_prefix("0b").filter(|b| !b.is_empty()) {
        let (digits, suffix) = split(binary, |b| b.is_ascii_digit());
        return radix(text, digits, suffix, 2);
    }
    let (digits, suffix) = split(&plain, |b| b.is_ascii_digit());
    if digits.len() > 1 && digits.starts_with('0') && suffix_unsigned(suffix).is_some() {
        return radix(text, &digits[1..], suffix, 8);
    }
    let value: u64 = digits.parse().map_err(|_| too_large(text))?;
    if let Some(unsigned) = suffix_unsigned(suffix) {
        return Ok(ExprKind::Int { value, unsigned });
    }
    if let Some(exponent) = suffix.strip_prefix(['e', 'E']) {
        return scientific(text, value, exponent);
    }
    let scaled =
        |table: &[(&str, u64)]| table.iter().find(|(s, _)| *s == suffix).map(|(_, factor)| value.checked_mul(*factor));
    if let Some(found) = scaled(DURATIONS) {
        return found.map(ExprKind::Duration).ok_or_else(|| too_large(text));
    }
    if let Some(found) = scaled(SIZES) {
        return found.map(ExprKind::Size).ok_or_else(|| too_large(text));
    }
    Err(unknown_suffix(digits, suffix))
}

fn split(text: &str, is_digit: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|b| !is_digit(b)).unwrap_or(text.len());
    text.split_at(end)
}

/// C's integer suffixes; None for any other.
fn suffix_unsigned(suffix: &str) -> Option<bool> {
    match suffix.to_ascii_lowercase().as_str() {
        "" | "l" | "ll" => Some(false),
        "u" | "ul" | "ull" | "lu" | "llu" => Some(true),
        _ => None,
    }
}

fn radix(text: &str, digits: &str, suffix: &str, base: u32) -> Result<ExprKind, LiteralError> {
    let Some(unsigned) = suffix_unsigned(suffix) else {
        return Err(error(format!("`{suffix}` in {text} is neither a digit nor a suffix")));
    };
    if digits.is_empty() {
        return Err(error(format!("{text} has no digits")));
    }
    if digits.chars().any(|c| !c.is_digit(base)) {
        let kind = if base == 8 { "an octal number (it begins with 0)" } else { "a binary number" };
        let mut e = error(format!("{text} is {kind} with a digit that such numbers don't have"));
        if base == 8 {
            e.write = Some(digits.trim_start_matches('0').to_owned());
        }
        return Err(e);
    }
    let value = u64::from_str_radix(digits, base).map_err(|_| too_large(text))?;
    Ok(ExprKind::Int { value, unsigned })
}

fn scientific(text: &str, mantissa: u64, exponent: &str) -> Result<ExprKind, LiteralError> {
    let Ok(power) = exponent.parse::<u32>() else {
        let mut e = error(format!("{text} needs digits after the `e`"));
        e.write = Some("1e6".into());
        return Err(e);
    };
    let value = 10u64.checked_pow(power).and_then(|p| p.checked_mul(mantissa)).ok_or_else(|| too_large(text))?;
    Ok(ExprKind::Int { value, unsigned: false })
}

fn unknown_suffix(digits: &str, suffix: &str) -> LiteralError {
    let mut e = error(format!("`{suffix}` is no unit that a number can have"));
    let lower = suffix.to_ascii_lowercase();
    let meant = match lower.as_str() {
        "k" | "kib" | "ki" => Some("KiB"),
        "mib" | "mi" => Some("MiB"),
        "g" | "gb" | "gib" | "gi" => Some("GiB"),
        "t" | "tib" | "ti" => Some("TiB"),
        "kb" => Some("kB"),
        "mb" => Some("MB"),
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "min" | "mins" | "minute" | "minutes" => Some("m"),
        "hr" | "hour" | "hours" => Some("h"),
        "day" | "days" => Some("d"),
        "msec" | "msecs" | "millis" => Some("ms"),
        "usec" | "usecs" | "micros" => Some("us"),
        "nsec" | "nsecs" | "nanos" => Some("ns"),
        _ => None,
    };
    e.write = meant.map(|unit| format!("{digits}{unit}"));
    e.note = Some("durations: ns us ms s m h d; sizes: B KiB MiB GiB TiB kB MB GB TB; integers: u l ul ll ull".into());
    e
}

/// First of the private-use characters that stand for bytes 0x80–0xff which are no UTF-8 (`"\xff"`): `ast::ExprKind::Str`
/// is text, and a script may ask for any bytes.
const RAW_BYTES: u32 = 0x10_ff00;

/// The bytes that a string of the syntax tree means.
pub fn string_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut buffer = [0; 4];
    for c in text.chars() {
        match raw_byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    bytes
}

fn raw_byte(c: char) -> Option<u8> {
    let code = c as u32;
    (RAW_BYTES + 0x80..=RAW_BYTES + 0xff).contains(&code).then(|| (code - RAW_BYTES) as u8)
}

/// A string's text, and what is wrong in it (byte ranges within `raw`, and why).
pub(super) fn unescape(raw: &str) -> (String, Vec<(std::ops::Range<usize>, LiteralError)>) {
    if !raw.contains('\\') {
        return (raw.to_owned(), Vec::new());
    }
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(raw.len());
    let mut errors = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let (end, result) = escape(raw, at);
        match result {
            Ok(byte) => out.push(byte),
            Err(e) => errors.push((at..end, e)),
        }
        at = end;
    }
    (text_of(out), errors)
}

/// Bytes as text, with those that are no UTF-8 as private-use characters.
fn text_of(bytes: Vec<u8>) -> String {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return text,
        Err(e) => e.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|b| char::from_u32(RAW_BYTES + u32::from(*b))));
    }
    text
}

/// C's `'a'`, with its quotes.
pub(super) fn character(raw: &str) -> Result<u64, LiteralError> {
    let inner = raw.strip_prefix('\'').and_then(|r| r.strip_suffix('\'')).unwrap_or(raw);
    let own = [("'", b'\''), ("?", b'?'), ("a", 7), ("b", 8), ("f", 12), ("v", 11)];
    if let Some((_, byte)) = inner.strip_prefix('\\').and_then(|e| own.into_iter().find(|(name, _)| *name == e)) {
        return Ok(u64::from(byte));
    }
    let (text, errors) = unescape(inner);
    if let Some((_, e)) = errors.into_iter().next() {
        return Err(e);
    }
    match string_bytes(&text)[..] {
        [byte] if byte.is_ascii() => Ok(u64::from(byte)),
        _ => Err(error(format!("{raw} is no single ASCII character: write its number"))),
    }
}

/// The escape at `at` (a backslash): where it ends and its byte.
fn escape(raw: &str, at: usize) -> (usize, Result<u8, LiteralError>) {
    let bytes = raw.as_bytes();
    let run =
        |from: usize, most: usize, ok: fn(&u8) -> bool| bytes[from..].iter().take(most).take_while(|b| ok(b)).count();
    match bytes.get(at + 1) {
        Some(b'n') => (at + 2, Ok(b'\n')),
        Some(b't') => (at + 2, Ok(b'\t')),
        Some(b'r') => (at + 2, Ok(b'\r')),
        Some(b'"') => (at + 2, Ok(b'"')),
        Some(b'\\') => (at + 2, Ok(b'\\')),
        Some(b'0'..=b'7') => {
            let end = at + 1 + run(at + 1, 3, |b| (b'0'..=b'7').contains(b));
            let digits = &raw[at + 1..end];
            let value = u8::from_str_radix(digits, 8);
            (end, value.map_err(|_| error(format!("`\\{digits}` is more than a byte can hold (\\377)"))))
        }
        Some(b'x' | b'X') => {
            let end = at + 2 + run(at + 2, 2, u8::is_ascii_hexdigit);
            let value = u8::from_str_radix(&raw[at + 2..end], 16);
            (end, value.map_err(|_| error("`\\x` needs one or two hexadecimal digits after it".into())))
        }
        Some(_) => {
            let c = raw[at + 1..].chars().next().unwrap_or(' ');
            let shown = if c == '\n' { "before the end of the line".to_owned() } else { format!("`\\{c}`") };
            let mut e = error(format!("unknown escape {shown}"));
            e.note = Some("escapes are \\n \\t \\r \\\" \\\\ \\x41 \\101; a backslash itself is \\\\".into());
            if c != '\n' {
                e.write = Some(format!("\\\\{c}"));
            }
            (at + 1 + c.len_utf8(), Err(e))
        }
        None => (at + 1, Err(error("unknown escape".into()))),
    }
}

/// A string as it is written, with its quotes.
pub(super) fn quote(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => match raw_byte(c) {
                Some(byte) => {
                    let _ = write!(out, "\\x{byte:02x}");
                }
                None => out.push(c),
            },
        }
    }
    out.push('"');
    out
}

/// The largest unit that divides `value` exactly, as written.
pub(super) fn with_unit(value: u64, units: &[(&str, u64)]) -> String {
    let best = units
        .iter()
        .filter(|(_, factor)| value.is_multiple_of(*factor) && value >= *factor)
        .max_by_key(|(_, factor)| *factor);
    match best {
        Some((unit, factor)) => format!("{}{unit}", value / factor),
        None => format!("{value}{}", units[0].0),
    }
}
