//! pcapng (draft-ietf-opsawg-pcapng): sections in either byte order, several interfaces with their own link types and clocks.

use super::reader::{Item, MAX_RECORD, Record, Window, human};
use crate::packet::LinkType;
use std::io::Read;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
/// Obsolete, still read.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Interfaces that one section may describe.
const MAX_INTERFACES: usize = 65_536;

#[derive(Clone, Copy)]
struct Interface {
    link: LinkType,
    snaplen: u32,
    /// Units of a time stamp per second, and seconds to add.
    units: u64,
    offset: i64,
}

#[derive(Default)]
pub(super) struct PcapNg {
    swapped: bool,
    interfaces: Vec<Interface>,
    /// Interfaces of earlier sections: numbers go on across sections.
    base: u32,
    last_time: u64,
}

impl PcapNg {
    pub(super) fn detect(head: &[u8]) -> bool {
        head.starts_with(&SECTION.to_le_bytes())
    }

    fn word(&self, bytes: &[u8], at: usize) -> u32 {
        let word =
            bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if self.swapped { word.swap_bytes() } else { word }
    }

    fn half(&self, bytes: &[u8], at: usize) -> u16 {
        let half =
            bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()).map_or(0, |bytes| u16::from_le_bytes(*bytes));
        if self.swapped { half.swap_bytes() } else { half }
    }

    pub(super) fn next<R: Read>(&mut self, window: &mut Window<R>) -> std::io::Result<Item> {
        let there = window.fill(12)?;
        if there == 0 {
            return Ok(Item::End);
        }
        if there < 12 {
            return Ok(Item::Broken("has its header cut short: the file ends".into()));
        }
        let head = window.bytes();
        if head.starts_with(&SECTION.to_le_bytes()) {
            match u32::from_le_bytes([head[8], head[9], head[10], head[11]]) {
                BYTE_ORDER => self.swapped = false,
                word if word.swap_bytes() == BYTE_ORDER => self.swapped = true,
                _ => return Ok(Item::Broken("starts a section without a byte order".into())),
            }
        }
        let (kind, size) = (self.word(head, 0), self.word(head, 4) as usize);
        if size > MAX_RECORD {
            return Ok(Item::Broken(format!("claims {}", human(size as u64))));
        }
        if size < 12 || !size.is_multiple_of(4) {
            return Ok(Item::Broken(format!("claims a size of {size} bytes")));
        }
        let there = window.fill(size)?;
        if there < size {
            return Ok(Item::Broken(format!("is cut short: {there} of {size} bytes")));
        }
        let block = window.bytes().get(..size).unwrap_or_default();
        if self.word(block, size - 4) as usize != size {
            return Ok(Item::Broken("has two different sizes".into()));
        }
        Ok(match self.block(kind, block) {
            Ok(Some(record)) => Item::Packet(record),
            Ok(None) => Item::Skip(size),
            Err(what) => Item::Broken(what),
        })
    }

    fn block(&mut self, kind: u32, block: &[u8]) -> Result<Option<Record>, String> {
        match kind {
            SECTION => {
                self.base = self.base.wrapping_add(self.interfaces.len() as u32);
                self.interfaces.clear();
                Ok(None)
            }
            INTERFACE if block.len() >= 20 => {
                if self.interfaces.len() >= MAX_INTERFACES {
                    return Err("describes one interface too many".into());
                }
                self.interfaces.push(self.interface(block));
                Ok(None)
            }
            ENHANCED_PACKET if block.len() >= 32 => {
                let time = u64::from(self.word(block, 12)) << 32 | u64::from(self.word(block, 16));
                self.packet(block, self.word(block, 8), Some(time), 28, self.word(block, 20), self.word(block, 24))
                    .map(Some)
            }
            PACKET if block.len() >= 32 => {
                let time = u64::from(self.word(block, 12)) << 32 | u64::from(self.word(block, 16));
                let interface = u32::from(self.half(block, 8));
                self.packet(block, interface, Some(time), 28, self.word(block, 20), self.word(block, 24)).map(Some)
            }
            SIMPLE_PACKET if block.len() >= 16 => {
                let len = self.word(block, 8);
                let snaplen = self.interfaces.first().map_or(0, |interface| interface.snaplen);
                let captured = if snaplen == 0 { len } else { len.min(snaplen) }.min(block.len() as u32 - 16);
                self.packet(block, 0, None, 12, captured, len).map(Some)
            }
            INTERFACE | ENHANCED_PACKET | PACKET | SIMPLE_PACKET => {
                Err(format!("is a block of {} bytes, too short", block.len()))
            }
            // Names, statistics, secrets, comments of others.
            _ => Ok(None),
        }
    }

    fn packet(
        &mut self,
        block: &[u8],
        id: u32,
        time: Option<u64>,
        at: usize,
        captured: u32,
        len: u32,
    ) -> Result<Record, String> {
        let Some(interface) = self.interfaces.get(id as usize) else {
            return Err(format!("belongs to interface {id}, which the file does not describe"));
        };
        let end = at + captured as usize;
        if end > block.len() - 4 {
            return Err(format!("claims {captured} captured bytes in a block of {}", block.len()));
        }
        if let Some(time) = time {
            self.last_time = interface.nanoseconds(time);
        }
        Ok(Record {
            size: block.len(),
            data: at..end,
            len: len.max(captured),
            link: interface.link,
            interface: self.base.wrapping_add(id),
            time_ns: self.last_time,
        })
    }

    fn interface(&self, block: &[u8]) -> Interface {
        const IF_TSRESOL: u16 = 9;
        const IF_TSOFFSET: u16 = 14;
        let mut interface = Interface {
            link: LinkType(u32::from(self.half(block, 8))),
            snaplen: self.word(block, 12),
            units: 1_000_000,
            offset: 0,
        };
        let mut at = 16;
        while at + 4 <= block.len() - 4 {
            let (code, length) = (self.half(block, at), self.half(block, at + 2) as usize);
            let value = block.get(at + 4..at + 4 + length).unwrap_or_default();
            match (code, value) {
                (0, _) => break,
                (IF_TSRESOL, &[resolution]) => {
                    let power = u32::from(resolution & 0x7f);
                    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
                    interface.units = base.checked_pow(power).unwrap_or(u64::MAX);
                }
                (IF_TSOFFSET, value) if value.len() == 8 => {
                    let (a, b) = (self.word(value, 0), self.word(value, 4));
                    let (high, low) = if self.swapped { (a, b) } else { (b, a) };
                    interface.offset = (u64::from(high) << 32 | u64::from(low)) as i64;
                }
                _ => {}
            }
            at += 4 + length.next_multiple_of(4);
        }
        interface
    }
}

impl Interface {
    fn nanoseconds(&self, time: u64) -> u64 {
        let ns = u128::from(time) * 1_000_000_000 / u128::from(self.units);
        let ns = ns as i128 + i128::from(self.offset) * 1_000_000_000;
        u64::try_from(ns).unwrap_or(0)
    }
}
