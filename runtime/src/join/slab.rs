//! Memory that is taken in pieces, used again, and never moved: growing costs no copy and no more than a piece.

/// Values by number.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
    live: usize,
}

const CHUNK: usize = 512;

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), live: 0 }
    }
}

impl<T> Slab<T> {
    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.live += 1;
        if let Some(at) = self.free.pop() {
            self[at] = value;
            return at;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let index = self.chunks.len() - 1;
        self.chunks[index].push(value);
        (index * CHUNK + self.chunks[index].len() - 1) as u32
    }

    /// The number may be used again; the value stays until then.
    pub(super) fn remove(&mut self, at: u32) {
        self.live -= 1;
        self.free.push(at);
    }

    pub(super) fn len(&self) -> usize {
        self.live
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, at: u32) -> &T {
        &self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }
}

/// Payloads of one stream, by number.
#[derive(Debug)]
pub(super) struct Payloads {
    size: usize,
    chunks: Vec<Box<[u8]>>,
    next: u32,
    free: Vec<u32>,
}

impl Payloads {
    pub(super) fn new(size: u32) -> Self {
        Self { size: size as usize, chunks: Vec::new(), next: 0, free: Vec::new() }
    }

    fn per_chunk(&self) -> usize {
        (64 * 1024 / self.size.max(1)).clamp(1, 4096)
    }

    /// Copies the payload: what it lacks of the stream's size is 0.
    pub(super) fn insert(&mut self, payload: &[u8]) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        if at as usize / self.per_chunk() == self.chunks.len() {
            self.chunks.push(vec![0; self.per_chunk() * self.size].into());
        }
        let slot = self.slot(at);
        let len = payload.len().min(slot.len());
        slot[..len].copy_from_slice(&payload[..len]);
        slot[len..].fill(0);
        at
    }

    fn slot(&mut self, at: u32) -> &mut [u8] {
        let (per_chunk, size) = (self.per_chunk(), self.size);
        let from = at as usize % per_chunk * size;
        &mut self.chunks[at as usize / per_chunk][from..from + size]
    }

    pub(super) fn get(&self, at: u32) -> &[u8] {
        let from = at as usize % self.per_chunk() * self.size;
        &self.chunks[at as usize / self.per_chunk()][from..from + self.size]
    }

    pub(super) fn remove(&mut self, at: u32) {
        self.free.push(at);
    }
}
