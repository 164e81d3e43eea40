//! pcapng (draft-ietf-opsawg-pcapng): sections in either byte order, several interfaces with their own link types and clocks.

use super::reader::{Item, MAX_RECORD, Record, Window, human};
use crate::packet::LinkType;
use std::io::Read;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
/// Obsolete, still read.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const DECRYPTION_SECRETS: u32 = 10;
const CUSTOM: u32 = 0x0bad;
const CUSTOM_NOT_COPIED: u32 = 0x4000_0bad;
const CUSTOM_BINARY: u16 = 2989;
const CUSTOM_BINARY_NOT_COPIED: u16 = 19_373;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Interfaces that one section may describe.
const MAX_INTERFACES: usize = 65_536;

/// Keys of all kinds that a file may hold; more than anyone has, and less than hurts.
const MAX_SECRETS: usize = 64 << 20;

/// A decryption secrets block: keys for packets that come after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// [`Secrets::TLS_KEY_LOG`] or another number of the format's registry.
    pub kind: u32,
    pub data: Vec<u8>,
}

impl Secrets {
    /// The text of an SSLKEYLOGFILE.
    pub const TLS_KEY_LOG: u32 = 0x544c_534b;
}

#[derive(Clone)]
struct Interface {
    /// "": it has none.
    name: String,
    link: LinkType,
    snaplen: u32,
    /// Units of a time stamp per second, and seconds to add.
    units: u128,
    offset: i64,
    drops: Drops,
}

/// Packets that a file says were dropped while it was captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// By the devices or their drivers.
    pub device: u64,
    /// By the system that captured.
    pub system: u64,
}

impl std::ops::AddAssign for Drops {
    fn add_assign(&mut self, other: Self) {
        self.device = self.device.saturating_add(other.device);
        self.system = self.system.saturating_add(other.system);
    }
}

#[derive(Default)]
pub(super) struct PcapNg {
    swapped: bool,
    interfaces: Vec<Interface>,
    /// Interfaces of earlier sections: numbers go on across sections.
    base: u32,
    last_time: u64,
    secrets: Vec<Secrets>,
    /// Bytes of secrets over the whole file.
    secret_bytes: usize,
    /// Of earlier sections.
    drops: Drops,
}

impl PcapNg {
    pub(super) fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    pub(super) fn take_secrets(&mut self) -> Vec<Secrets> {
        std::mem::take(&mut self.secrets)
    }

    /// What was dropped in the sections so far.
    pub(super) fn drops(&self) -> Drops {
        let mut all = self.drops;
        self.interfaces.iter().for_each(|interface| all += interface.drops);
        all
    }

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
        if matches!(kind, CUSTOM | CUSTOM_NOT_COPIED) && size >= 16 {
            return Ok(Item::Custom(self.word(block, 8), 12..size - 4, size));
        }
        Ok(match self.block(kind, block) {
            Ok(Some(record)) => Item::Packet(record),
            Ok(None) => Item::Skip(size),
            Err(what) => Item::Broken(what),
        })
    }

    /// An interface's name, by the number that packets of the whole file have for it.
    pub(super) fn device(&self, number: u32) -> &str {
        self.interfaces.get(number.wrapping_sub(self.base) as usize).map_or("", |interface| &interface.name)
    }

    /// The data of the first option among a block's that an enterprise made.
    pub(super) fn custom_option<'a>(&self, options: &'a [u8], enterprise: u32) -> Option<&'a [u8]> {
        let custom = |code| matches!(code, CUSTOM_BINARY | CUSTOM_BINARY_NOT_COPIED);
        let mut values = self.options(options).filter(|(code, _)| custom(*code)).map(|(_, value)| value);
        values.find(|value| value.len() >= 4 && self.word(value, 0) == enterprise)?.get(4..)
    }

    fn block(&mut self, kind: u32, block: &[u8]) -> Result<Option<Record>, String> {
        match kind {
            SECTION => {
                self.drops = self.drops();
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
            DECRYPTION_SECRETS if block.len() >= 20 => {
                let (kind, length) = (self.word(block, 8), self.word(block, 12) as usize);
                let Some(data) = block.get(16..block.len() - 4).and_then(|rest| rest.get(..length)) else {
                    return Err(format!("claims {length} bytes of secrets in a block of {}", block.len()));
                };
                self.secret_bytes += length;
                if self.secret_bytes > MAX_SECRETS {
                    return Err(format!("has more secrets than {}", human(MAX_SECRETS as u64)));
                }
                self.secrets.push(Secrets { kind, data: data.to_vec() });
                Ok(None)
            }
            STATISTICS if block.len() >= 24 => {
                let id = self.word(block, 8) as usize;
                let drops = self.statistics(block);
                // Counted from the capture's begin: the last block has all.
                if let Some(interface) = self.interfaces.get_mut(id) {
                    interface.drops = drops;
                }
                Ok(None)
            }
            // Names, journals, what others defined for themselves.
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
            options: end.next_multiple_of(4).min(block.len() - 4)..block.len() - 4,
            len: len.max(captured),
            link: interface.link,
            interface: self.base.wrapping_add(id),
            time_ns: self.last_time,
        })
    }

    fn interface(&self, block: &[u8]) -> Interface {
        /// Longer names are nobody's.
        const MAX_NAME: usize = 256;
        const IF_NAME: u16 = 2;
        const IF_TSRESOL: u16 = 9;
        const IF_TSOFFSET: u16 = 14;
        let mut interface = Interface {
            name: String::new(),
            link: LinkType(u32::from(self.half(block, 8))),
            snaplen: self.word(block, 12),
            units: 1_000_000,
            offset: 0,
            drops: Drops::default(),
        };
        for (code, value) in self.options(options_of(block, 16)) {
            match (code, value) {
                (IF_NAME, value) if value.len() <= MAX_NAME => {
                    String::from_utf8_lossy(value).trim_end_matches('\0').clone_into(&mut interface.name);
                }
                (IF_TSRESOL, &[resolution]) => {
                    let power = u32::from(resolution & 0x7f);
                    let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
                    interface.units = base.checked_pow(power).unwrap_or(u128::MAX);
                }
                (IF_TSOFFSET, value) if value.len() == 8 => interface.offset = self.long(value) as i64,
                _ => {}
            }
        }
        interface
    }

    fn statistics(&self, block: &[u8]) -> Drops {
        const ISB_IFDROP: u16 = 5;
        const ISB_OSDROP: u16 = 7;
        let mut drops = Drops::default();
        for (code, value) in self.options(options_of(block, 20)).filter(|(_, value)| value.len() == 8) {
            match code {
                ISB_IFDROP => drops.device = self.long(value),
                ISB_OSDROP => drops.system = self.long(value),
                _ => {}
            }
        }
        drops
    }

    fn long(&self, value: &[u8]) -> u64 {
        let (a, b) = (self.word(value, 0), self.word(value, 4));
        let (high, low) = if self.swapped { (a, b) } else { (b, a) };
        u64::from(high) << 32 | u64::from(low)
    }

    /// Code and value of each of a block's options.
    fn options<'a>(&self, mut options: &'a [u8]) -> impl Iterator<Item = (u16, &'a [u8])> {
        std::iter::from_fn(move || {
            let (code, length) = (self.half(options, 0), usize::from(self.half(options, 2)));
            let value = options.get(4..4 + length)?;
            options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
            (code != 0).then_some((code, value))
        })
    }
}

/// The options of a block, which start at `at`; its size is behind them once more.
fn options_of(block: &[u8], at: usize) -> &[u8] {
    block.get(at..block.len().saturating_sub(4)).unwrap_or_default()
}

impl Interface {
    fn nanoseconds(&self, time: u64) -> u64 {
        let ns = u128::from(time) * 1_000_000_000 / self.units;
        let ns = ns as i128 + i128::from(self.offset) * 1_000_000_000;
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }
}
