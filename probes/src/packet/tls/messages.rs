//! Handshake messages, which lie in records like a stream: several in one, or one over several.

/// A message that is longer has no content that is looked at.
const MAX_MESSAGE: usize = 64 << 10;
const HEADER: usize = 4;

/// A handshake message that ended.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) kind: u8,
    pub(super) length: u32,
    /// Empty if it was too long to be kept.
    pub(super) body: &'a [u8],
}

/// One direction's messages.
#[derive(Default)]
pub(super) struct Messages {
    /// A message that is not complete.
    partial: Vec<u8>,
    /// A message too long to be kept: type, length, bytes still to come.
    long: Option<(u8, u32, usize)>,
}

impl Messages {
    /// Takes a record's content.
    pub(super) fn feed(&mut self, content: &[u8], each: &mut dyn FnMut(Message<'_>)) {
        let mut rest = content;
        if let Some((kind, length, left)) = self.long {
            let used = left.min(rest.len());
            rest = rest.get(used..).unwrap_or_default();
            self.long = Some((kind, length, left - used));
            if used < left {
                return;
            }
            self.long = None;
            each(Message { kind, length, body: &[] });
        }
        if self.partial.is_empty() {
            let used = self.several(rest, each);
            self.partial.extend_from_slice(rest.get(used..).unwrap_or_default());
        } else {
            let mut all = std::mem::take(&mut self.partial);
            all.extend_from_slice(rest);
            let used = self.several(&all, each);
            all.drain(..used.min(all.len()));
            // A connection that is past its handshake keeps nothing.
            self.partial = if all.is_empty() { Vec::new() } else { all };
        }
    }

    /// Takes whole messages; says how many bytes they had.
    fn several(&mut self, bytes: &[u8], each: &mut dyn FnMut(Message<'_>)) -> usize {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..)
            && let Some(&[kind, high, middle, low]) = rest.first_chunk::<HEADER>()
        {
            let length = u32::from_be_bytes([0, high, middle, low]);
            let size = HEADER + length as usize;
            if let Some(body) = rest.get(HEADER..size) {
                each(Message { kind, length, body });
                used += size;
            } else if size > MAX_MESSAGE {
                self.long = Some((kind, length, size - rest.len()));
                return bytes.len();
            } else {
                break;
            }
        }
        used
    }

    /// Whether a record's content can be read as messages: what is not complete yet goes on, or one begins.
    pub(super) fn plausible(&self, content: &[u8]) -> bool {
        let under_way = self.long.is_some() || !self.partial.is_empty();
        under_way || content.first().is_some_and(|&kind| super::handshake::kind::is_known(kind))
    }

    /// Type and length of a message whose start alone was captured.
    pub(super) fn cut_short(&self) -> Option<(u8, u32)> {
        let &[kind, high, middle, low] = self.partial.first_chunk::<HEADER>()?;
        Some((kind, u32::from_be_bytes([0, high, middle, low])))
    }

    /// Bytes kept.
    pub(super) fn kept(&self) -> usize {
        self.partial.capacity()
    }

    /// Content went missing, or became unreadable.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;
