//! Header compression (RFC 7541), for a listener that may have come late.
//!
//! No crate serves here: they decode from a connection's first byte on and fail for good on an index they don't know. A listener
//! that missed bytes of the connection knows the entries inserted since, and by the way indexes count (from the newest) it
//! knows exactly which index means which of them; all others are *unknown*, never wrong.

mod huffman;
mod tables;

use std::collections::VecDeque;
use std::sync::Arc;

/// The bytes are no header block. What follows on the connection can't be decoded from the former state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Each entry counts 32 bytes more than its strings (section 4.1).
const OVERHEAD: usize = 32;
const DEFAULT_TABLE: usize = 4096;
/// Tables are followed up to this size: what an encoder keeps beyond is unknown.
const LARGEST_TABLE: usize = 64 << 10;

/// A name and a value. Without a name: it was one that is unknown.
#[derive(Debug)]
struct Entry {
    name: Option<Box<[u8]>>,
    value: Box<[u8]>,
}

impl Entry {
    fn size(&self) -> usize {
        OVERHEAD + self.name.as_ref().map_or(0, |name| name.len()) + self.value.len()
    }
}

/// The header fields of one block: what is known of them, as far as there is room.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    bytes: Vec<u8>,
    /// Name and value of the field at hand.
    name: Vec<u8>,
    value: Vec<u8>,
    /// Ends of name and value of each field.
    ends: Vec<(u32, u32)>,
    room: usize,
    /// Fields whose name or value is an entry that was never seen.
    pub(crate) unknown: u32,
    /// Fields beyond the room.
    pub(crate) cut: u32,
}

impl Fields {
    /// Makes ready for a block whose fields may take `room` bytes.
    pub(crate) fn reset(&mut self, room: usize) {
        *self = Self {
            bytes: std::mem::take(&mut self.bytes),
            ends: std::mem::take(&mut self.ends),
            name: std::mem::take(&mut self.name),
            value: std::mem::take(&mut self.value),
            room,
            ..Self::default()
        };
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds the field at hand.
    fn push_own(&mut self) {
        let (name, value) = (std::mem::take(&mut self.name), std::mem::take(&mut self.value));
        self.push(&name, &value);
        (self.name, self.value) = (name, value);
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + OVERHEAD;
        if self.cut > 0 || size > self.room {
            self.cut += 1;
            return;
        }
        self.room -= size;
        self.bytes.extend_from_slice(name);
        let name_end = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        self.ends.push((name_end, self.bytes.len() as u32));
    }

    /// Names and values in the block's order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(_, end)| end));
        starts.zip(&self.ends).map(|(start, &(name, value))| {
            let part = |from: u32, to: u32| self.bytes.get(from as usize..to as usize).unwrap_or_default();
            (part(start, name), part(name, value))
        })
    }
}

/// What an index stands for.
enum Found {
    Static(&'static str, &'static str),
    Entry(Arc<Entry>),
    Unknown,
}

/// One direction's decoder.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// The newest first.
    entries: VecDeque<Arc<Entry>>,
    size: usize,
    limit: usize,
    /// The encoder may hold entries older than ours.
    blind: bool,
}

impl Default for Decoder {
    /// At the start of a connection.
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, limit: DEFAULT_TABLE, blind: false }
    }
}

impl Decoder {
    /// Blocks were missed: how many entries they inserted is unknown.
    pub(crate) fn lose(&mut self) {
        self.entries = VecDeque::new();
        self.size = 0;
        self.blind = true;
        self.limit = LARGEST_TABLE;
    }

    /// Bytes the table takes.
    pub(crate) fn held(&self) -> usize {
        self.size + self.entries.capacity() * size_of::<Arc<Entry>>()
    }

    /// Decodes a whole block. After an error nothing is known any more, as [`Self::lose`].
    pub(crate) fn decode(&mut self, block: &[u8], fields: &mut Fields) -> Result<(), Malformed> {
        let mut rest = block;
        while !rest.is_empty() {
            match self.field(rest, fields) {
                Ok(after) => rest = after,
                Err(malformed) => {
                    self.lose();
                    return Err(malformed);
                }
            }
        }
        Ok(())
    }

    /// One representation (section 6). Returns what follows it.
    fn field<'a>(&mut self, bytes: &'a [u8], fields: &mut Fields) -> Result<&'a [u8], Malformed> {
        let first = *bytes.first().ok_or(Malformed)?;
        match first {
            0x80.. => {
                let (index, rest) = integer(bytes, 7)?;
                match self.find(index)? {
                    Found::Static(name, value) => fields.push(name.as_bytes(), value.as_bytes()),
                    Found::Entry(entry) => match &entry.name {
                        Some(name) => fields.push(name, &entry.value),
                        None => fields.unknown += 1,
                    },
                    Found::Unknown => fields.unknown += 1,
                }
                Ok(rest)
            }
            0x40.. => self.literal(bytes, 6, true, fields),
            0x20.. => {
                let (size, rest) = integer(bytes, 5)?;
                self.resize(size);
                Ok(rest)
            }
            _ => self.literal(bytes, 4, false, fields),
        }
    }

    fn literal<'a>(
        &mut self,
        bytes: &'a [u8],
        prefix: u32,
        insert: bool,
        fields: &mut Fields,
    ) -> Result<&'a [u8], Malformed> {
        let (index, mut rest) = integer(bytes, prefix)?;
        fields.name.clear();
        let mut known = true;
        if index == 0 {
            rest = string(rest, &mut fields.name)?;
        } else {
            match self.find(index)? {
                Found::Static(name, _) => fields.name.extend_from_slice(name.as_bytes()),
                Found::Entry(entry) => match &entry.name {
                    Some(name) => fields.name.extend_from_slice(name),
                    None => known = false,
                },
                Found::Unknown => known = false,
            }
        }
        fields.value.clear();
        rest = string(rest, &mut fields.value)?;
        if known {
            fields.push_own();
        } else {
            fields.unknown += 1;
        }
        if insert {
            let name = known.then(|| fields.name.as_slice().into());
            self.insert(Entry { name, value: fields.value.as_slice().into() });
        }
        Ok(rest)
    }

    /// Index 0 means nothing; one beyond the table is an error only where the whole table is known.
    fn find(&self, index: u32) -> Result<Found, Malformed> {
        let index = index as usize;
        if let Some(&(name, value)) = tables::STATIC.get(index.checked_sub(1).ok_or(Malformed)?) {
            return Ok(Found::Static(name, value));
        }
        match self.entries.get(index - 1 - tables::STATIC.len()) {
            Some(entry) => Ok(Found::Entry(Arc::clone(entry))),
            None if self.blind => Ok(Found::Unknown),
            None => Err(Malformed),
        }
    }

    fn insert(&mut self, entry: Entry) {
        let size = entry.size();
        self.shrink(self.limit.saturating_sub(size));
        // An entry larger than the table empties it, and is not in it (section 4.4).
        if size <= self.limit {
            self.size += size;
            self.entries.push_front(Arc::new(entry));
        }
    }

    fn resize(&mut self, size: u32) {
        let size = size as usize;
        self.limit = size.min(LARGEST_TABLE);
        // An empty table is known, whatever it was before.
        self.blind = (self.blind && size > 0) || size > LARGEST_TABLE;
        self.shrink(self.limit);
    }

    fn shrink(&mut self, limit: usize) {
        while self.size > limit
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size();
        }
    }
}

/// An integer with a prefix of so many bits (section 5.1).
fn integer(bytes: &[u8], prefix: u32) -> Result<(u32, &[u8]), Malformed> {
    let (&first, mut rest) = bytes.split_first().ok_or(Malformed)?;
    let most = (1_u32 << prefix) - 1;
    let mut value = u64::from(u32::from(first) & most);
    if value < u64::from(most) {
        return Ok((value as u32, rest));
    }
    // Five bytes hold every 32-bit number.
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, after) = rest.split_first().ok_or(Malformed)?;
        rest = after;
        value += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).map(|value| (value, rest)).map_err(|_| Malformed);
        }
    }
    Err(Malformed)
}

/// A string (section 5.2), appended.
fn string<'a>(bytes: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Malformed> {
    let coded = bytes.first().ok_or(Malformed)? & 0x80 != 0;
    let (len, rest) = integer(bytes, 7)?;
    let (text, rest) = rest.split_at_checked(len as usize).ok_or(Malformed)?;
    if coded {
        huffman::decode(text, out)?;
    } else {
        out.extend_from_slice(text);
    }
    Ok(rest)
}

#[cfg(test)]
mod tests;
