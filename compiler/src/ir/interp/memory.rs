//! Objects, and checked reads and writes of them.

use super::{Fault, InterpError, Machine};
use crate::ir::{Function, Slot, Value};

/// Memory with bounds of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Ctx,
    Slot(Slot),
    /// Map number, element.
    Map(u32, usize),
    /// Index into the host's reservations.
    Record(usize),
    /// A region of the host's data.
    Data(usize),
    /// No object: the offset is the address.
    Wild,
}

/// The slots; None: never written.
pub(super) struct Memory {
    slots: Vec<Vec<Option<u8>>>,
}

/// What a byte holds that a helper was given to write and did not: initialised for the kernel's verifier, content unknown.
const UNSPECIFIED: u8 = 0xa5;

impl Memory {
    pub(super) fn new(func: &Function) -> Self {
        Self { slots: func.slots.iter().map(|s| vec![None; s.size as usize]).collect() }
    }
}

/// Numbers that stand for the addresses of slots and map values: kind in the top byte, then the number, then the offset.
const SLOT_KIND: u64 = 0xa1;
const MAP_KIND: u64 = 0xa2;

/// The address of a place as a number; [`object_at`] finds it again. 0 for what has no lasting address.
pub(super) fn address(object: Object, offset: i64) -> u64 {
    let (kind, number) = match object {
        Object::Slot(slot) => (SLOT_KIND, u64::from(slot.0)),
        Object::Map(map, element) => (MAP_KIND, u64::from(map) << 16 | element as u64 & 0xffff),
        _ => return 0,
    };
    (kind << 56 | (number & 0xff_ffff) << 32).wrapping_add(offset as u64)
}

/// The place that a number stands for.
pub(super) fn object_at(address: u64) -> Option<(Object, i64)> {
    let number = address >> 32 & 0xff_ffff;
    let object = match address >> 56 {
        SLOT_KIND => Object::Slot(Slot(number as u32)),
        MAP_KIND => Object::Map((number >> 16) as u32, (number & 0xffff) as usize),
        _ => return None,
    };
    Some((object, (address & 0xffff_ffff) as i64))
}

fn range(start: i64, len: i64, size: usize) -> Result<std::ops::Range<usize>, Fault> {
    let end = start.checked_add(len).ok_or(Fault::OutOfBounds)?;
    if start < 0 || len < 0 || end > size as i64 { Err(Fault::OutOfBounds) } else { Ok(start as usize..end as usize) }
}

impl Machine<'_> {
    /// `len` bytes at `ptr + offset`.
    pub(super) fn read(&mut self, ptr: Value, offset: i32, len: i64) -> Result<Vec<u8>, InterpError> {
        let (object, at) = self.ptr(ptr)?;
        let start = at.wrapping_add(i64::from(offset));
        self.try_read(object, start, len).map_err(|what| self.fault(what, object, start, len))
    }

    /// What a read helper finds at a number that is the address of a slot or a map's value: the bytes there are, at most `len`.
    pub(super) fn peek_own(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let (object, start) = object_at(address)?;
        (0..=len as i64).rev().find_map(|len| self.try_read(object, start, len).ok())
    }

    pub(super) fn write(&mut self, ptr: Value, offset: i32, bytes: &[u8]) -> Result<(), InterpError> {
        let (object, at) = self.ptr(ptr)?;
        let start = at.wrapping_add(i64::from(offset));
        let len = bytes.len() as i64;
        self.try_write(object, start, bytes).map_err(|what| self.fault(what, object, start, len))
    }

    /// Makes `len` bytes count as written, as the kernel's verifier does for a helper's output.
    pub(super) fn touch(&mut self, ptr: Value, len: i64) -> Result<(), InterpError> {
        let (object, start) = self.ptr(ptr)?;
        let Object::Slot(slot) = object else {
            let bytes = self.try_read(object, start, len);
            return bytes.map(drop).map_err(|what| self.fault(what, object, start, len));
        };
        let size = self.memory.slots[slot.index()].len();
        let range = range(start, len, size).map_err(|what| self.fault(what, object, start, len))?;
        for byte in &mut self.memory.slots[slot.index()][range] {
            byte.get_or_insert(UNSPECIFIED);
        }
        Ok(())
    }

    fn fault(&self, what: Fault, object: Object, start: i64, len: i64) -> InterpError {
        let object = match object {
            Object::Ctx => "the context".into(),
            Object::Slot(slot) => slot.to_string(),
            Object::Map(map, element) => format!("element {element} of map{map}"),
            Object::Record(record) => format!("record {record}"),
            Object::Data(region) => format!("data region {region}"),
            Object::Wild => "no object".into(),
        };
        InterpError::Memory { what, object, start, end: start.wrapping_add(len), span: self.span }
    }

    fn try_read(&self, object: Object, start: i64, len: i64) -> Result<Vec<u8>, Fault> {
        let bytes = match object {
            Object::Slot(slot) => {
                let slot = &self.memory.slots[slot.index()];
                let bytes = &slot[range(start, len, slot.len())?];
                return bytes.iter().map(|b| b.ok_or(Fault::Uninitialised)).collect();
            }
            Object::Ctx => &self.host.ctx[..],
            Object::Map(map, element) => self.host.maps[map as usize].value(element).ok_or(Fault::StaleValue)?,
            Object::Record(record) => self.host.live_record(record).ok_or(Fault::DeadRecord)?,
            Object::Data(region) => &self.host.regions[region],
            // An empty string may have any address.
            Object::Wild if len == 0 => return Ok(vec![]),
            Object::Wild => return Err(Fault::Wild),
        };
        Ok(bytes[range(start, len, bytes.len())?].to_vec())
    }

    fn try_write(&mut self, object: Object, start: i64, new: &[u8]) -> Result<(), Fault> {
        let len = new.len() as i64;
        let bytes = match object {
            Object::Slot(slot) => {
                let slot = &mut self.memory.slots[slot.index()];
                let range = range(start, len, slot.len())?;
                slot[range].iter_mut().zip(new).for_each(|(byte, &new)| *byte = Some(new));
                return Ok(());
            }
            Object::Map(map, element) => self.host.maps[map as usize].value_mut(element).ok_or(Fault::StaleValue)?,
            Object::Record(record) => self.host.live_record_mut(record).ok_or(Fault::DeadRecord)?,
            Object::Ctx | Object::Data(_) => return Err(Fault::ReadOnly),
            Object::Wild => return Err(Fault::Wild),
        };
        let range = range(start, len, bytes.len())?;
        bytes[range].copy_from_slice(new);
        Ok(())
    }
}
