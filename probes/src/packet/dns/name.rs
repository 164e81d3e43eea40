//! Names: labels, and pointers to names before (RFC 1035, section 4.1.4).

use std::fmt::Write;

/// As encoded, with its lengths.
const MAX_NAME: usize = 255;

/// One step of a name.
enum Step<'a> {
    Label(&'a [u8]),
    /// The rest is at another place.
    Pointer(usize),
    End,
}

fn step(message: &[u8], at: usize) -> Option<Step<'_>> {
    let length = *message.get(at)?;
    match length >> 6 {
        0 if length == 0 => Some(Step::End),
        0 => message.get(at + 1..at + 1 + usize::from(length)).map(Step::Label),
        3 => Some(Step::Pointer(usize::from(length & 0x3f) << 8 | usize::from(*message.get(at + 1)?))),
        _ => None,
    }
}

/// The name at `at`, as text. A name may point to others, each of which must lie before the place that points to it: so it ends.
pub(super) fn read(message: &[u8], at: usize) -> Option<String> {
    let mut text = String::new();
    let (mut at, mut lowest, mut size) = (at, at, 0);
    loop {
        match step(message, at)? {
            Step::Label(label) => {
                size += 1 + label.len();
                if size > MAX_NAME {
                    return None;
                }
                push(&mut text, label);
                at += 1 + label.len();
            }
            Step::Pointer(target) if target < lowest => (at, lowest) = (target, target),
            Step::Pointer(_) => return None,
            Step::End => break,
        }
    }
    if text.is_empty() {
        text.push_str("<Root>");
    }
    Some(text)
}

/// Where what follows the name at `at` begins. What it points to is not looked at.
pub(super) fn end(message: &[u8], at: usize) -> Option<usize> {
    let from = at;
    let mut at = at;
    loop {
        match step(message, at)? {
            Step::Label(label) => at += 1 + label.len(),
            Step::Pointer(target) => return (target < from).then_some(at + 2),
            Step::End => return Some(at + 1),
        }
        if at - from > MAX_NAME {
            return None;
        }
    }
}

/// Bytes that are no characters of a name are shown by their number.
fn push(text: &mut String, label: &[u8]) {
    if !text.is_empty() {
        text.push('.');
    }
    match std::str::from_utf8(label) {
        Ok(label) if !label.chars().any(char::is_control) => text.push_str(label),
        _ => {
            for &byte in label {
                if byte.is_ascii_graphic() || byte == b' ' {
                    text.push(byte.into());
                } else {
                    let _ = write!(text, "\\{byte:03o}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{end, read};

    #[test]
    fn labels_and_pointers() {
        let message = b"\x03www\x07example\x00\x02ab\xc0\x04\x00";
        for (at, name, after) in [(0, "www.example", 13), (13, "ab.example", 18), (18, "<Root>", 19)] {
            assert_eq!((read(message, at).as_deref(), end(message, at)), (Some(name), Some(after)));
        }
    }

    #[test]
    fn names_that_never_end_are_none() {
        let none = |message: &[u8], at, why| assert_eq!((read(message, at), end(message, at)), (None, None), "{why}");
        none(b"\xc0\x00", 0, "points to itself");
        none(b"\x01a\xc0\x00", 0, "a name inside itself");
        none(&[63; 400], 0, "too long");
        none(b"\x05ab", 0, "cut short");
        none(b"\xc0", 0, "a pointer cut short");
        assert_eq!(read(b"\xc0\x02\xc0\x00", 2), None, "two that point to each other");
        // A chain of pointers, each before the last, ends after as many steps as there are bytes.
        let mut chain = vec![0, 0];
        for at in 0..2000_u16 {
            chain.extend((0xc000 | (at * 2)).to_be_bytes());
        }
        assert_eq!(read(&chain, chain.len() - 2).as_deref(), Some("<Root>"));
        assert_eq!(end(&chain, chain.len() - 2), Some(chain.len()));
    }
}
