//! What is known of a file without its symbols.

use crate::symbols::golang::Machine;

/// A loadable piece of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub address: u64,
    pub file_offset: u64,
    /// Bytes in the file.
    pub size: u64,
    pub executable: bool,
}

/// What is known of a file without its symbols.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub segments: Vec<Segment>,
    pub entry: u64,
    /// What its code is for, where there is a decoder.
    pub machine: Machine,
    /// `.gnu_debuglink`: the name of the file with debug information, the CRC-32 of its bytes.
    pub debug_link: Option<(String, u32)>,
    /// `.note.gnu.build-id`
    pub build_id: Vec<u8>,
    /// Loaded at the addresses it says (ET_EXEC): not moved.
    pub fixed: bool,
    /// Where the image begins in its file: not at 0 in an archive.
    pub base: u64,
}

impl Layout {
    /// Address → offset in the file, in executable segments.
    pub fn to_offset(&self, address: u64) -> Option<u64> {
        self.offset_where(address, |s| s.executable)
    }

    /// Address → offset in the file, in any segment.
    pub fn data_offset(&self, address: u64) -> Option<u64> {
        self.offset_where(address, |_| true)
    }

    fn offset_where(&self, address: u64, wanted: impl Fn(&Segment) -> bool) -> Option<u64> {
        let mut segments = self.segments.iter();
        let s = segments.find(|s| wanted(s) && address >= s.address && address - s.address < s.size)?;
        self.base.checked_add(s.file_offset)?.checked_add(address - s.address)
    }

    /// Offset in the file → address.
    pub fn to_address(&self, offset: u64) -> Option<u64> {
        let offset = offset.checked_sub(self.base)?;
        let s = self
            .segments
            .iter()
            .find(|s| s.executable && offset >= s.file_offset && offset - s.file_offset < s.size)?;
        s.address.checked_add(offset - s.file_offset)
    }
}
