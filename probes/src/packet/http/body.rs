//! Chunked bodies (RFC 9112, section 7.1): skipped, their end found.

/// Where in a chunked body the next byte lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunked {
    at: At,
    /// Bytes left of the chunk's data.
    left: u64,
    digits: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    /// Extension, up to the end of the line.
    Extension,
    Data,
    /// The line end after the data.
    DataEnd,
    /// A trailer line's start, or the empty line that ends the body.
    Trailer,
    TrailerLine,
}

/// What a piece of a body came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    /// The body ends after this many bytes of the piece.
    End(usize),
    /// Not the framing it should be.
    Broken,
}

impl Chunked {
    /// Bytes that may go missing without losing the framing.
    pub(crate) fn skippable(&self) -> u64 {
        if self.at == At::Data { self.left } else { 0 }
    }

    /// Skips data that was not captured; at most [`Self::skippable`] bytes.
    pub(crate) fn skip(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
        if self.at == At::Data && self.left == 0 {
            self.at = At::DataEnd;
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Progress {
        let mut i = 0;
        while i < bytes.len() {
            if self.at == At::Data {
                let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - i);
                self.skip(take as u64);
                i += take;
                continue;
            }
            match self.byte(bytes[i]) {
                Progress::More => i += 1,
                Progress::End(_) => return Progress::End(i + 1),
                Progress::Broken => return Progress::Broken,
            }
        }
        Progress::More
    }

    fn byte(&mut self, byte: u8) -> Progress {
        const MAX_DIGITS: u8 = 15;
        match (self.at, byte) {
            (At::Size | At::Extension, b'\n') => {
                if self.digits == 0 {
                    return Progress::Broken;
                }
                self.at = if self.left == 0 { At::Trailer } else { At::Data };
                self.digits = 0;
            }
            (At::Size, b'\r' | b' ' | b'\t') => {}
            (At::Size, b';') => self.at = At::Extension,
            (At::Size, digit) => match (digit as char).to_digit(16) {
                Some(value) if self.digits < MAX_DIGITS => {
                    self.left = self.left << 4 | value as u64;
                    self.digits += 1;
                }
                _ => return Progress::Broken,
            },
            (At::DataEnd | At::Trailer, b'\r') => {}
            (At::DataEnd, b'\n') => self.at = At::Size,
            (At::DataEnd, _) => return Progress::Broken,
            (At::Trailer, b'\n') => return Progress::End(0),
            (At::Trailer, _) => self.at = At::TrailerLine,
            (At::TrailerLine, b'\n') => self.at = At::Trailer,
            (At::Extension | At::TrailerLine | At::Data, _) => {}
        }
        Progress::More
    }
}

/// Whether bytes of a chunked body, of which it isn't known where its chunks begin, look like its end: an empty last chunk without
/// trailers.
pub(crate) fn ends_chunked(bytes: &[u8]) -> bool {
    const END: &[u8] = b"\r\n0\r\n\r\n";
    bytes.ends_with(END) || bytes == &END[2..]
}

#[cfg(test)]
mod tests;
