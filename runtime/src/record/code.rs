//! Numbers, texts and lists as bytes, little-endian, and back.

pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(crate) fn u8(&mut self, n: u8) {
        self.0.push(n);
    }
    pub(crate) fn u32(&mut self, n: u32) {
        self.0.extend(n.to_le_bytes());
    }
    pub(crate) fn u64(&mut self, n: u64) {
        self.0.extend(n.to_le_bytes());
    }
    pub(crate) fn u64s(&mut self, all: &[u64]) {
        for n in all {
            self.u64(*n);
        }
    }
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.0.extend(bytes);
    }
    pub(crate) fn texts<const N: usize>(&mut self, texts: [&String; N]) {
        for text in texts {
            self.bytes(text.as_bytes());
        }
    }
    pub(crate) fn list<T>(&mut self, all: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.u32(all.len() as u32);
        for one in all {
            each(self, one);
        }
    }
}

/// Reads what [`Writer`] wrote; None: it isn't that.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }
    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }
    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = self.u32()? as usize;
        self.take(n)
    }
    pub(crate) fn text(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.bytes()?).into_owned())
    }
    /// Every element takes a byte at least, so that a claim of many is no reason to make room for them.
    pub(crate) fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let n = self.u32()? as usize;
        if n > self.0.len() {
            return None;
        }
        (0..n).map(|_| each(self)).collect()
    }
}
