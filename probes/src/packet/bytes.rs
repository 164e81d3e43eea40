//! A checked view of the bytes of one layer. Nothing here can panic.

/// Bytes of a layer: what was captured of it, and how long it was on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a> {
    data: &'a [u8],
    /// Length on the wire; never less than `data.len()`.
    wire: usize,
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(data: &'a [u8], wire: usize) -> Self {
        Self { data, wire: wire.max(data.len()) }
    }

    pub(crate) fn captured(self) -> &'a [u8] {
        self.data
    }

    pub(crate) fn wire_len(self) -> usize {
        self.wire
    }

    pub(crate) fn u8(self, at: usize) -> Option<u8> {
        self.data.get(at).copied()
    }

    pub(crate) fn be16(self, at: usize) -> Option<u16> {
        self.array::<2>(at).map(u16::from_be_bytes)
    }

    pub(crate) fn le16(self, at: usize) -> Option<u16> {
        self.array::<2>(at).map(u16::from_le_bytes)
    }

    pub(crate) fn be32(self, at: usize) -> Option<u32> {
        self.array::<4>(at).map(u32::from_be_bytes)
    }

    pub(crate) fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.data.get(at..)?.first_chunk::<N>().copied()
    }

    /// The first `N` bytes at once: one bounds check for a fixed header.
    pub(crate) fn header<const N: usize>(self) -> Option<&'a [u8; N]> {
        self.data.first_chunk::<N>()
    }

    /// What follows the first `n` bytes, which must have been captured.
    pub(crate) fn skip(self, n: usize) -> Option<Self> {
        Some(Self { data: self.data.get(n..)?, wire: self.wire - n })
    }

    /// Goes on behind the first `n` bytes, which must have been captured.
    pub(crate) fn advance(&mut self, n: usize) -> Option<()> {
        *self = self.skip(n)?;
        Some(())
    }

    /// Goes behind a header that may not have been captured to its end.
    pub(crate) fn pass(&mut self, n: usize) {
        self.data = self.data.get(n..).unwrap_or_default();
        self.wire = self.wire.saturating_sub(n);
    }

    /// Leaves at most `n` bytes on the wire.
    pub(crate) fn cap(&mut self, n: usize) {
        *self = self.limit(n);
    }

    /// At most `n` bytes on the wire: what lies behind is padding.
    pub(crate) fn limit(self, n: usize) -> Self {
        Self { data: self.data.get(..n).unwrap_or(self.data), wire: self.wire.min(n) }
    }

    /// All bytes on the wire were captured.
    pub(crate) fn is_whole(self) -> bool {
        self.wire == self.data.len()
    }
}
