//! The classic format (draft-ietf-opsawg-pcap): microseconds or nanoseconds, either byte order, and the variant with longer
//! record headers that some old kernels' patches wrote.

use super::reader::{Item, MAX_RECORD, Record, Window, human};
use crate::packet::LinkType;
use std::io::Read;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Alexey Kuznetsov's: interface index, protocol and packet type after each record's header.
const MODIFIED: u32 = 0xa1b2_cd34;

pub(super) struct Pcap {
    swapped: bool,
    /// ns per unit of the fraction.
    unit: u64,
    link: LinkType,
    header: usize,
}

impl Pcap {
    pub(super) fn is_magic(head: &[u8]) -> bool {
        let Some(word) = head.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)) else { return false };
        [MICROSECONDS, NANOSECONDS, MODIFIED].iter().any(|&magic| word == magic || word.swap_bytes() == magic)
    }

    /// The format and the size of its file header.
    pub(super) fn detect(head: &[u8]) -> Option<(Self, usize)> {
        const FILE_HEADER: usize = 24;
        if !Self::is_magic(head) || head.len() < FILE_HEADER {
            return None;
        }
        let word = u32::from_le_bytes(*head.first_chunk()?);
        let swapped = ![MICROSECONDS, NANOSECONDS, MODIFIED].contains(&word);
        let magic = if swapped { word.swap_bytes() } else { word };
        let mut format = Self { swapped, unit: 1_000, link: LinkType(0), header: 16 };
        match magic {
            NANOSECONDS => format.unit = 1,
            MODIFIED => format.header = 24,
            _ => {}
        }
        // The upper half holds the length of the frame check sequence.
        format.link = LinkType(format.word(head, 20) & 0xffff);
        Some((format, FILE_HEADER))
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
        let head = window.bytes();
        let (seconds, fraction) = (self.word(head, 0), self.word(head, 4));
        let (captured, len) = (self.word(head, 8) as usize, self.word(head, 12));
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
        }))
    }
}
