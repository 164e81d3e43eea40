//! Sets of bytes in a view.

use crate::abi::{ByteRange, BytesKey};

/// Ranges of bytes in two directions of a connection; which they are, and what is counted, says who has them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct RangesView {
    /// Sorted within a direction; no two of one direction touch.
    pub ranges: [ByteRange; BytesKey::ROOM],
    /// How many of them there are.
    pub count: u32,
    /// A bit for each: it is of the second direction.
    pub second: u32,
    /// A bit for each: bytes of others lie in it too, as there were more ranges than there is room for, or it isn't known whose they are.
    pub merged: u32,
    /// 0
    pub reserved: u32,
}

impl RangesView {
    /// (of the second direction, the range, whether bytes of others lie in it)
    pub fn iter(&self) -> impl Iterator<Item = (bool, ByteRange, bool)> + '_ {
        let bit = |bits: u32, i: usize| bits >> i & 1 != 0;
        let used = self.ranges.iter().take(self.count as usize).enumerate();
        used.map(move |(i, range)| (bit(self.second, i), *range, bit(self.merged, i)))
    }

    /// Adds a range; false: there is no room.
    pub fn put(&mut self, second: bool, range: ByteRange, merged: bool) -> bool {
        let at = self.count as usize;
        let Some(place) = self.ranges.get_mut(at) else { return false };
        *place = range;
        self.second |= u32::from(second) << at;
        self.merged |= u32::from(merged) << at;
        self.count += 1;
        true
    }
}
