//! One message (RFC 1035, section 4).

use super::name;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const INTERNET: u16 = 1;
/// Shorter than that is no message.
pub(super) const HEADER: usize = 12;

/// What handlers may ask of a message. Of several records the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: u16,
    pub(super) flags: u16,
    /// Questions, answers, authority, additional.
    pub(super) counts: [u16; 4],
    pub(super) name: Option<String>,
    pub(super) kind: u16,
    pub(super) class: u16,
    pub(super) cname: Option<String>,
    pub(super) a: Option<[u8; 4]>,
    pub(super) aaaa: Option<[u8; 16]>,
    /// It ends before what it announces, or a name in it is none.
    pub(super) damaged: bool,
    /// Nothing is behind its last record.
    pub(super) whole: bool,
}

/// Two bytes.
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

impl Message {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| be16(bytes, 2 * at);
        let mut message =
            Self { id: word(0)?, flags: word(1)?, counts: [word(2)?, word(3)?, word(4)?, word(5)?], ..Self::default() };
        let end = message.records(bytes);
        (message.damaged, message.whole) = (end.is_none(), end == Some(bytes.len()));
        Some(message)
    }

    pub(super) fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// Every record has bytes of its own, so that counts that say too much end with the message.
    /// Where the last one ends.
    fn records(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = HEADER;
        for i in 0..self.counts[0] {
            let name = if i == 0 { Some(name::read(bytes, at)?) } else { None };
            let end = name::end(bytes, at)?;
            let (kind, class) = (be16(bytes, end)?, be16(bytes, end + 2)?);
            if i == 0 {
                (self.name, self.kind, self.class) = (name, kind, class);
            }
            at = end + 4;
        }
        let total: u32 = self.counts[1..].iter().map(|&count| u32::from(count)).sum();
        for _ in 0..total {
            at = self.record(bytes, at)?;
        }
        Some(at)
    }

    fn record(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let at = name::end(bytes, at)?;
        let (kind, class) = (be16(bytes, at)?, be16(bytes, at + 2)?);
        let from = at + 10;
        let end = from + usize::from(be16(bytes, at + 8)?);
        let data = bytes.get(from..end)?;
        // The highest bit of a class is multicast DNS's own.
        if class & 0x7fff != INTERNET {
            return Some(end);
        }
        match kind {
            A => self.a = self.a.or_else(|| data.try_into().ok()),
            AAAA => self.aaaa = self.aaaa.or_else(|| data.try_into().ok()),
            CNAME if self.cname.is_none() => self.cname = name::read(bytes, from),
            _ => {}
        }
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x01a\x02bc\x00\x00\x01\x00\x01\
        \xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01x\xc0\x0e\
        \xc0\x24\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x01";

    #[test]
    fn an_answer_by_way_of_another_name() {
        let message = Message::parse(ANSWER).unwrap();
        assert!(message.is_response() && !message.damaged);
        assert_eq!((message.id, message.kind, message.counts), (0x1234, 1, [1, 2, 0, 0]));
        assert_eq!(message.name.as_deref(), Some("a.bc"));
        assert_eq!(message.cname.as_deref(), Some("x.bc"));
        assert_eq!(message.a, Some([10, 0, 0, 1]));
    }

    #[test]
    fn cut_anywhere_it_is_damaged() {
        for cut in 0..ANSWER.len() {
            let message = Message::parse(&ANSWER[..cut]);
            assert!(message.is_none_or(|message| message.damaged), "cut at {cut}");
        }
    }
}
