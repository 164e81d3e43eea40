//! What frames a message, read from a head of the usual form without taking it apart: one look for each line's end, and at the few fields
//! that say where the body ends. Whatever looks unusual is left to the parser, so that both say the same of every head.

use super::{Kind, MAX_HEADERS, Outline};

/// Of the head that `bytes` begin with, and where it ends. None: it is not whole, or not of the usual form.
pub(super) fn scan(bytes: &[u8]) -> Option<(Outline, usize)> {
    let (first, mut at) = line(bytes, 0)?;
    let mut outline = first_line(first)?;
    for _ in 0..MAX_HEADERS {
        let (text, next) = line(bytes, at)?;
        at = next;
        match text.first() {
            None => return is_usual(&bytes[..at]).then_some((outline, at)),
            // Goes on with the line before.
            Some(b' ' | b'\t') => return None,
            Some(b'C' | b'c') => field(b"content-length", text, &mut outline)?,
            Some(b'T' | b't') => field(b"transfer-encoding", text, &mut outline)?,
            Some(b'U' | b'u') => field(b"upgrade", text, &mut outline)?,
            Some(_) => {}
        }
    }
    None
}

/// The line that starts at `at`, and where the next one does. None: it doesn't end, or not by CR and LF.
fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = memchr::memchr(b'\n', rest)?;
    Some((rest[..end].strip_suffix(b"\r")?, at + end + 1))
}

fn first_line(line: &[u8]) -> Option<Outline> {
    if let Some(rest) = line.strip_prefix(b"HTTP/1.") {
        let ([b'0' | b'1', b' ', code @ ..], phrase) = rest.split_first_chunk::<5>()? else { return None };
        let known = code.iter().all(u8::is_ascii_digit) && matches!(phrase, [] | [b' ', ..]);
        let status = code.iter().fold(0, |code, digit| code * 10 + u32::from(digit.wrapping_sub(b'0')));
        return known.then(|| Outline { status, ..Outline::new(Kind::Response) });
    }
    let request = line.strip_suffix(b" HTTP/1.1").or_else(|| line.strip_suffix(b" HTTP/1.0"))?;
    let space = request.iter().position(|&byte| byte == b' ')?;
    let (method, uri) = (&request[..space], &request[space + 1..]);
    let plain = !method.is_empty() && method.iter().all(u8::is_ascii_uppercase) && !uri.is_empty();
    (plain && uri.iter().all(u8::is_ascii_graphic)).then(|| Outline::of_request(method))
}

/// Notes the field of this name, if the line is one. None: it may be, written in an unusual way.
fn field(name: &[u8], line: &[u8], outline: &mut Outline) -> Option<()> {
    if !line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
        return Some(());
    }
    match line[name.len()..].split_first()? {
        (b':', value) => outline.note(name, value.trim_ascii()),
        // A longer name.
        (byte, _) if byte.is_ascii_alphanumeric() || *byte == b'-' => {}
        _ => return None,
    }
    Some(())
}

/// No control characters but tabs and the ends of lines.
#[allow(clippy::needless_bitwise_bool, reason = "without a branch and in bytes, many are looked at together")]
fn is_usual(head: &[u8]) -> bool {
    let after = head.get(1..).unwrap_or_default();
    let odd = head.iter().zip(after).fold(0_u8, |odd, (&byte, &next)| {
        let line_end = (byte == b'\n') | ((byte == b'\r') & (next == b'\n'));
        odd | u8::from((byte < b' ') & (byte != b'\t') & !line_end) | u8::from(byte == 0x7f)
    });
    odd == 0
}
