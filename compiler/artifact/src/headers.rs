//! Packed headers ([`crate::ty::Type::Headers`]), and what is packed in the same way: attributes of spans and of log records.
//!
//! Repeated {u8 name length, u16 value length (little endian), name, value}, ended by a name length of 0 or by the end of the
//! buffer. Names of HTTP headers are in lower case. Where they are copied, there is room for [`crate::abi::HEADERS_CAP`] bytes ([`copy`]). An entry that is
//! cut is none.

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

/// Names as [`copy`] takes them: repeated {u8 length, name}.
pub fn names<'a>(all: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut packed = Vec::new();
    for name in all {
        // A longer one is no entry's.
        if let Ok(len) = u8::try_from(name.len()) {
            packed.push(len);
            packed.extend_from_slice(name);
        }
    }
    packed
}

/// Copies entries to where there may be less room, each whole or not at all: the first of each of these names, then others as they come. Of one name the
/// first stays the first. Says how many of these names have an entry that found no room.
pub fn copy(dst: &mut [u8], packed: &[u8], mut names: &[u8]) -> u64 {
    if let Some((whole, rest)) = dst.split_at_mut_checked(packed.len()) {
        whole.copy_from_slice(packed);
        rest.fill(0);
        return 0;
    }
    let mut copied = Copied { dst, len: 0, left_out: Vec::new() };
    let mut chosen = Vec::new();
    while let Some((name, rest)) = names.split_first().and_then(|(len, rest)| rest.split_at_checked((*len).into())) {
        names = rest;
        if let Some((name, value)) = entries(packed).find(|(have, _)| have.eq_ignore_ascii_case(name)) {
            copied.put(name, value);
            chosen.push(name.as_ptr());
        }
    }
    let lost = copied.left_out.len() as u64;
    for (name, value) in entries(packed).filter(|(name, _)| !chosen.contains(&name.as_ptr())) {
        copied.put(name, value);
    }
    copied.dst[copied.len..].fill(0);
    lost
}

struct Copied<'d, 'p> {
    dst: &'d mut [u8],
    len: usize,
    left_out: Vec<&'p [u8]>,
}

impl<'p> Copied<'_, 'p> {
    fn put(&mut self, name: &'p [u8], value: &[u8]) {
        let size = ENTRY_HEAD + name.len() + value.len();
        let room = self.dst.get_mut(self.len..self.len + size);
        let Some(room) = room.filter(|_| !self.left_out.iter().any(|before| before.eq_ignore_ascii_case(name))) else {
            self.left_out.push(name);
            return;
        };
        let (head, text) = room.split_at_mut(ENTRY_HEAD);
        head[0] = name.len() as u8;
        head[1..].copy_from_slice(&(value.len() as u16).to_le_bytes());
        text[..name.len()].copy_from_slice(name);
        text[name.len()..].copy_from_slice(value);
        self.len += size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = crate::abi::HEADERS_CAP as usize;

    fn packed(all: &[(&str, &str)]) -> Vec<u8> {
        let mut packed = Vec::new();
        for (name, value) in all {
            assert!(push(&mut packed, name.as_bytes(), value.as_bytes()));
        }
        packed
    }

    fn copied(all: &[(&str, &str)], wanted: &[&str]) -> (u64, Vec<(String, usize)>) {
        let mut dst = vec![0xff; ROOM];
        let lost = copy(&mut dst, &packed(all), &names(wanted.iter().map(|name| name.as_bytes())));
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        (lost, entries(&dst).map(|(name, value)| (text(name), value.len())).collect())
    }

    /// What is too long hides no others; of one name the first stays the first.
    #[test]
    fn long_entries_hide_no_short_ones() {
        let long = "c".repeat(3000);
        let all = [("a", "1"), ("cookie", &long), ("x-request-id", "7"), ("cookie", "short")];
        assert_eq!(copied(&all, &[]), (0, vec![("a".into(), 1), ("x-request-id".into(), 1)]));
        assert_eq!(copied(&all, &["cookie"]), (1, vec![("a".into(), 1), ("x-request-id".into(), 1)]));
    }

    /// What a script reads is kept however much comes before it.
    #[test]
    fn wanted_entries_come_first() {
        let (fill, some) = ("f".repeat(600), "s".repeat(500));
        let all = [("fill", &*fill), ("other", "1"), ("some", &some), ("x-request-id", "7"), ("x-request-id", "8")];
        let (_, without) = copied(&all, &[]);
        assert_eq!(without[..2], [("fill".into(), 600), ("other".into(), 1)]);
        let (lost, kept) = copied(&all, &["absent", "some", "x-request-id"]);
        let want = [("some", 500), ("x-request-id", 1), ("other", 1), ("x-request-id", 1)];
        assert_eq!((lost, kept), (0, want.map(|(name, len)| (name.to_owned(), len)).to_vec()));
        assert_eq!(copied(&all, &["fill", "some"]).0, 1, "together they are too long");
        // Whatever fits is as it was.
        let all = packed(&all[1..]);
        let mut dst = vec![0xff; all.len() + 1];
        assert_eq!(copy(&mut dst, &all, &names([&b"x-request-id"[..]].into_iter())), 0);
        assert_eq!((&dst[..all.len()], dst[all.len()]), (&all[..], 0));
    }

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
