//! The function table of a Go program (`.gopclntab`): every Go program has it, also without symbols and debug information.
//!
//! Its layout is that of runtime/symtab.go and debug/gosym/pclntab.go in Go's source. Nothing in it is trusted: what leads outside
//! is "not there".

/// Bytes of a table, wherever they are.
pub trait Bytes {
    /// Fills `out` from an offset; false: it is not all there.
    fn read(&self, at: u64, out: &mut [u8]) -> bool;
}

impl Bytes for &[u8] {
    fn read(&self, at: u64, out: &mut [u8]) -> bool {
        let bytes = usize::try_from(at).ok().and_then(|at| self.get(at..)?.get(..out.len()));
        bytes.is_some_and(|bytes| {
            out.copy_from_slice(bytes);
            true
        })
    }
}

/// The formats, by the version that brought them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    Go12,
    Go116,
    Go118,
    Go120,
}

/// Longest name of a function or file; generic ones are long.
const MAX_NAME: usize = 1 << 16;
/// More functions than any program has.
const MAX_FUNCTIONS: u64 = 1 << 22;

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub address: u64,
    /// To the next one: with what fills up the space between.
    pub size: u64,
    pub name: String,
}

/// A function's number in the table.
pub type Index = u64;

#[derive(Clone, Debug)]
pub struct Table<B> {
    bytes: B,
    format: Format,
    /// Bytes of an address: 4 or 8.
    pointer: u64,
    functions: u64,
    /// Added to what the table has for addresses.
    text: u64,
    names: u64,
    units: u64,
    files: u64,
    values: u64,
    /// The list of functions, and what their records' offsets count from.
    list: u64,
}

/// What of a header matters before the rest is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub format: Format,
    pub pointer: u64,
    /// Where code begins, as the header has it; 0 where the linker or loader fills that in.
    pub text: u64,
}

impl Header {
    /// Of little-endian machines, which all of Go's with uprobes are but s390x.
    pub fn read(bytes: &impl Bytes) -> Option<Self> {
        let mut head = [0; 8];
        if !bytes.read(0, &mut head) {
            return None;
        }
        let format = match head[..4] {
            [0xfb, 0xff, 0xff, 0xff] => Format::Go12,
            [0xfa, 0xff, 0xff, 0xff] => Format::Go116,
            [0xf0, 0xff, 0xff, 0xff] => Format::Go118,
            [0xf1, 0xff, 0xff, 0xff] => Format::Go120,
            _ => return None,
        };
        let pointer = u64::from(head[7]);
        let quantum = matches!(head[6], 1 | 2 | 4);
        if head[4..6] != [0, 0] || !quantum || !matches!(pointer, 4 | 8) {
            return None;
        }
        let text = if format >= Format::Go118 { word(bytes, 8 + 2 * pointer, pointer)? } else { 0 };
        Some(Self { format, pointer, text })
    }
}

impl<B: Bytes> Table<B> {
    /// `text`: where the program's code begins, for the formats that count from there.
    pub fn new(bytes: B, text: u64) -> Option<Self> {
        let Header { format, pointer, .. } = Header::read(&bytes)?;
        let at = |n: u64| word(&bytes, 8 + n * pointer, pointer);
        let functions = at(0).filter(|n| *n <= MAX_FUNCTIONS)?;
        let (names, units, files, values, list, text) = match format {
            Format::Go12 => {
                let list = 8 + pointer;
                // The files' offsets follow the list.
                let files = word(&bytes, list.checked_add((functions * 2 + 1) * pointer)?, 4)?;
                (0, 0, files, 0, list, 0)
            }
            Format::Go116 => (at(2)?, at(3)?, at(4)?, at(5)?, at(6)?, 0),
            Format::Go118 | Format::Go120 => (at(3)?, at(4)?, at(5)?, at(6)?, at(7)?, text),
        };
        Some(Self { bytes, format, pointer, functions, text, names, units, files, values, list })
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// How many functions there are.
    pub fn len(&self) -> u64 {
        self.functions
    }

    pub fn is_empty(&self) -> bool {
        self.functions == 0
    }

    /// Bytes of an address in the list.
    fn width(&self) -> u64 {
        if self.format >= Format::Go118 { 4 } else { self.pointer }
    }

    /// Where a function begins; that of number `len()` is the end of the last.
    pub fn address(&self, index: Index) -> Option<u64> {
        let at = self.list.checked_add(index.checked_mul(2 * self.width())?)?;
        word(&self.bytes, at, self.width())?.checked_add(self.text)
    }

    /// The function that an address lies in.
    pub fn find(&self, address: u64) -> Option<Index> {
        let (mut low, mut high) = (0, self.functions);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.address(middle)? <= address {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let index = low.checked_sub(1)?;
        (address < self.address(index + 1)?).then_some(index)
    }

    /// Where a function's record is.
    fn record(&self, index: Index) -> Option<u64> {
        if index >= self.functions {
            return None;
        }
        let at = self.list.checked_add(index.checked_mul(2 * self.width())?)?.checked_add(self.width())?;
        let offset = word(&self.bytes, at, self.width())?;
        if self.format == Format::Go12 { Some(offset) } else { self.list.checked_add(offset) }
    }

    /// A 32-bit member of a record, counted behind the function's address.
    fn member(&self, index: Index, n: u64) -> Option<u64> {
        word(&self.bytes, self.record(index)?.checked_add(self.width() + 4 * n)?, 4)
    }

    pub fn name(&self, index: Index) -> Option<String> {
        self.text_at(self.names.checked_add(self.member(index, 0)?)?)
    }

    pub fn entry(&self, index: Index) -> Option<Entry> {
        let address = self.address(index)?;
        let size = self.address(index + 1)?.checked_sub(address)?;
        Some(Entry { address, size, name: self.name(index)? })
    }

    /// The source file of a function's first instruction.
    pub fn file(&self, index: Index) -> Option<String> {
        // {pcsp, pcfile}: the first value of a list is the difference to -1.
        let list = self.values.checked_add(self.member(index, 4)?)?;
        let first = varint(&self.bytes, list)?;
        let change = if first & 1 == 1 { !(first >> 1) } else { first >> 1 };
        let number = u64::from((u32::MAX).wrapping_add(change as u32));
        if self.format == Format::Go12 {
            let offset = word(&self.bytes, self.files.checked_add(number.checked_mul(4)?)?, 4)?;
            return self.text_at(offset);
        }
        let unit = self.member(index, 7)?;
        let at = self.units.checked_add(unit.checked_add(number)?.checked_mul(4)?)?;
        let offset = word(&self.bytes, at, 4).filter(|n| *n != u64::from(u32::MAX))?;
        self.text_at(self.files.checked_add(offset)?)
    }

    fn text_at(&self, mut at: u64) -> Option<String> {
        let mut text = Vec::new();
        // Names are short: most are there after the first piece.
        let mut piece = [0; 64];
        while text.len() < MAX_NAME {
            let mut have = piece.len();
            while have > 0 && !self.bytes.read(at, &mut piece[..have]) {
                have /= 2;
            }
            if have == 0 {
                return None;
            }
            if let Some(end) = memchr::memchr(0, &piece[..have]) {
                text.extend_from_slice(&piece[..end]);
                return String::from_utf8(text).ok();
            }
            text.extend_from_slice(&piece[..have]);
            at = at.checked_add(have as u64)?;
        }
        None
    }
}

/// A little-endian number of 4 or 8 bytes.
fn word(bytes: &impl Bytes, at: u64, size: u64) -> Option<u64> {
    let mut word = [0; 8];
    bytes.read(at, word.get_mut(..size as usize)?).then(|| u64::from_le_bytes(word))
}

/// LEB128, of 32 bits.
fn varint(bytes: &impl Bytes, mut at: u64) -> Option<u64> {
    let (mut value, mut shift) = (0, 0);
    while shift < 35 {
        let mut byte = [0];
        if !bytes.read(at, &mut byte) {
            return None;
        }
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Some(value);
        }
        shift += 7;
        at = at.checked_add(1)?;
    }
    None
}

#[cfg(test)]
mod tests;
