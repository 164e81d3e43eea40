//! Packed headers ([`crate::ty::Type::Headers`]), and what is packed in the same way: attributes of spans and of log records.
//!
//! Repeated {u8 name length, u16 value length (little endian), name, value}, ended by a name length of 0 or by the end of the
//! buffer. Names of HTTP headers are in lower case. Where they are copied, the first [`crate::abi::HEADERS_CAP`] bytes are: the last
//! entry may be cut, and is none then.

use std::ops::Range;

/// Bytes before an entry's name.
pub const ENTRY_HEAD: usize = 3;

/// Where name and value of the entry at `at` lie; None: there is none, or it is cut.
pub fn place(packed: &[u8], at: usize) -> Option<(Range<usize>, Range<usize>)> {
    let &[name_len, low, high] = packed.get(at..)?.first_chunk()?;
    let name = at + ENTRY_HEAD..at + ENTRY_HEAD + usize::from(name_len);
    let value = name.end..name.end + usize::from(u16::from_le_bytes([low, high]));
    (name_len > 0 && value.end <= packed.len()).then_some((name, value))
}

/// Name and value of each entry.
pub fn entries(packed: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (name, value) = place(packed, at)?;
        at = value.end;
        Some((&packed[name], &packed[value]))
    })
}

/// The value of the first entry of a name, in capitals or not.
pub fn find<'a>(packed: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    entries(packed).find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Appends an entry. False: there is no name, or a length is more than the layout can say.
pub fn push(packed: &mut Vec<u8>, name: &[u8], value: &[u8]) -> bool {
    let (Ok(name_len), Ok(value_len)) = (u8::try_from(name.len()), u16::try_from(value.len())) else { return false };
    if name_len == 0 {
        return false;
    }
    packed.push(name_len);
    packed.extend_from_slice(&value_len.to_le_bytes());
    packed.extend_from_slice(name);
    packed.extend_from_slice(value);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_found() {
        let mut packed = Vec::new();
        assert!(
            push(&mut packed, b"host", b"ab") && push(&mut packed, b"x", b"") && push(&mut packed, b"host", b"later")
        );
        let all: Vec<_> = entries(&packed).collect();
        assert_eq!(all, [(&b"host"[..], &b"ab"[..]), (b"x", b""), (b"host", b"later")]);
        assert_eq!(find(&packed, b"Host"), Some(&b"ab"[..]), "the first");
        assert_eq!((find(&packed, b"x"), find(&packed, b"y")), (Some(&b""[..]), None));
    }

    #[test]
    fn lengths_that_cannot_be_said_are_refused() {
        let mut packed = Vec::new();
        let (long, longer) = (vec![b'n'; 256], vec![b'v'; 65_536]);
        assert!(!push(&mut packed, &long, b"") && !push(&mut packed, b"n", &longer) && !push(&mut packed, b"", b"v"));
        assert!(packed.is_empty(), "nothing of them");
        assert!(push(&mut packed, &long[1..], &longer[1..]));
        assert_eq!(find(&packed, &long[1..]), Some(&longer[1..]));
    }

    /// Wherever the buffer ends, whole entries are told and nothing of the others; behind a name length of 0 there is none.
    #[test]
    fn cut_and_ended_buffers() {
        let mut packed = Vec::new();
        push(&mut packed, b"a", b"12");
        let first = packed.len();
        push(&mut packed, b"bc", b"3");
        for cut in 0..packed.len() {
            assert_eq!(entries(&packed[..cut]).count(), usize::from(cut >= first), "{cut} bytes");
        }
        packed[first] = 0;
        assert_eq!(entries(&packed).count(), 1);
    }
}
