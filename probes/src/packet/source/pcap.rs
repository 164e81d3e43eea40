//! The classic format (draft-ietf-opsawg-pcap): microseconds or nanoseconds, either byte order, and the variant with longer
//! record headers that some old kernels' patches wrote.

use super::reader::{Item, MAX_RECORD, Record, Window, human};
use crate::packet::LinkType;
use std::io::Read;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// IXIA's, of hardware and software: nanoseconds, and the length of all records after the file header.
const IXIA: [u32; 2] = [0x1c00_01ac, 0x1c00_01ab];
/// Alexey Kuznetsov's: interface index, protocol and packet type after each record's header.
const MODIFIED: u32 = 0xa1b2_cd34;

/// Captures of libpcap before 0.4 have the two lengths of a record the other way round; version 2.3 was written both ways.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lengths {
    CapturedFirst,
    LargerLast,
    CapturedLast,
}

pub(super) struct Pcap {
    swapped: bool,
    lengths: Lengths,
    /// ns per unit of the fraction.
    unit: u64,
    link: LinkType,
    header: usize,
}

impl Pcap {
    pub(super) fn is_magic(head: &[u8]) -> bool {
        let Some(word) = head.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)) else { return false };
        magic_of(word).is_some()
    }

    /// The format and the size of its file header.
    pub(super) fn detect(head: &[u8]) -> Option<(Self, usize)> {
        const FILE_HEADER: usize = 24;
        if !Self::is_magic(head) || head.len() < FILE_HEADER {
            return None;
        }
        let (magic, swapped) = magic_of(u32::from_le_bytes(*head.first_chunk()?))?;
        let mut format = Self { swapped, lengths: Lengths::CapturedFirst, unit: 1_000, link: LinkType(0), header: 16 };
        let mut size = FILE_HEADER;
        match magic {
            NANOSECONDS => format.unit = 1,
            MODIFIED => format.header = 24,
            MICROSECONDS => {}
            // IXIA's
            _ => (format.unit, size) = (1, FILE_HEADER + 4),
        }
        // The halves of the word lie in the order of the file's bytes.
        let version = format.word(head, 4);
        let (major, minor) =
            if swapped { (version >> 16, version & 0xffff) } else { (version & 0xffff, version >> 16) };
        format.lengths = match (major, minor) {
            (543, _) | (2, 0..=2) => Lengths::CapturedLast,
            (2, 3) => Lengths::LargerLast,
            _ => Lengths::CapturedFirst,
        };
        // The upper half holds the length of the frame check sequence.
        format.link = LinkType(format.word(head, 20) & 0xffff);
        Some((format, size))
    }

    fn word(&self, bytes: &[u8], at: usize) -> u32 {
        let word =
            bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if self.swapped { word.swap_bytes() } else { word }
    }

    pub(super) fn next<R: Read>(&self, window: &mut Window<R>) -> std::io::Result<Item> {
        let there = window.fill(self.header)?;
        if there == 0 {
            return Ok(Item::End);
        }
        if there < self.header {
            return Ok(Item::Broken("has its header cut short: the file ends".into()));
        }
        let [seconds, fraction, first, second] =
            window.bytes().first_chunk().map_or([0; 4], |head: &[u8; 16]| [0, 4, 8, 12].map(|at| self.word(head, at)));
        let lengths = (first, second);
        let (captured, len) = match self.lengths {
            Lengths::LargerLast if lengths.0 <= lengths.1 => lengths,
            Lengths::CapturedFirst => lengths,
            Lengths::LargerLast | Lengths::CapturedLast => (lengths.1, lengths.0),
        };
        let captured = captured as usize;
        if captured > MAX_RECORD {
            return Ok(Item::Broken(format!("claims {}", human(captured as u64))));
        }
        let size = self.header + captured;
        let there = window.fill(size)?;
        if there < size {
            return Ok(Item::Broken(format!("is cut short: {} of {captured} bytes", there - self.header)));
        }
        Ok(Item::Packet(Record {
            size,
            data: self.header..size,
            len: len.max(captured as u32),
            link: self.link,
            interface: 0,
            time_ns: u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit,
            options: 0..0,
        }))
    }
}

/// The magic number, and whether its bytes are the other way round.
fn magic_of(word: u32) -> Option<(u32, bool)> {
    let known = |word: u32| [MICROSECONDS, NANOSECONDS, MODIFIED].contains(&word) || IXIA.contains(&word);
    match word {
        word if known(word) => Some((word, false)),
        word if known(word.swap_bytes()) => Some((word.swap_bytes(), true)),
        _ => None,
    }
}
