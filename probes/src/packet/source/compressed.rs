//! Compressed captures: unpacked as they are read, in memory that does not grow with what they unpack to.

use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{BufRead, BufReader, Chain, Cursor, Error, ErrorKind, Read};
use std::time::Duration;

/// zstd's `--long` with its default of 27; files packed with more say what to do.
const MAX_WINDOW: u64 = 128 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// By a file's first bytes.
    pub(super) fn detect(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            // A frame, or one to be skipped: pzstd begins with those.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// What was read of the input already, then the rest of it.
type Packed<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// Where in the file: it is a sequence of members (gzip) or frames (zstd).
enum Member<R: Read> {
    Between(Packed<R>),
    Gzip(Box<GzDecoder<Packed<R>>>),
    Zstd(Packed<R>),
    Over,
}

/// Input that is unpacked on the way.
pub(super) struct Unpacker<R: Read> {
    pub(super) packing: Packing,
    member: Member<R>,
    /// Made once; holds at most one window.
    frames: Option<Box<FrameDecoder>>,
    /// The input ended within a frame: told once what was decoded of it is read.
    cut: bool,
}

impl<R: Read> Unpacker<R> {
    pub(super) fn new(packing: Packing, already: Vec<u8>, input: R) -> Self {
        let input = BufReader::with_capacity(1 << 16, Cursor::new(already).chain(input));
        Self { packing, member: Member::Between(input), frames: None, cut: false }
    }

    /// The next member, if one follows. Zeros that fill up the last block of a tape or disk do not count.
    fn next_member(&mut self, mut input: Packed<R>) -> (Member<R>, Result<(), Error>) {
        loop {
            let first = match input.fill_buf() {
                Ok(buf) => buf.first().copied(),
                Err(error) => return (Member::Between(input), Err(error)),
            };
            match (first, self.packing) {
                (None, _) => return (Member::Over, Ok(())),
                (Some(0), _) => input.consume(1),
                (Some(0x1f), Packing::Gzip) => return (Member::Gzip(Box::new(GzDecoder::new(input))), Ok(())),
                (Some(0x28 | 0x50..=0x5f), Packing::Zstd) => return self.next_frame(input),
                (Some(_), _) => {
                    return (Member::Over, Err(Error::new(ErrorKind::InvalidData, "is followed by other bytes")));
                }
            }
        }
    }

    fn next_frame(&mut self, mut input: Packed<R>) -> (Member<R>, Result<(), Error>) {
        let frames = self.frames.get_or_insert_with(|| {
            let mut frames = Box::new(FrameDecoder::new());
            frames.set_max_window_size(MAX_WINDOW);
            frames
        });
        match frames.reset(Patient(&mut input)) {
            Ok(()) => (Member::Zstd(input), Ok(())),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                let skipped = std::io::copy(&mut Patient(&mut input).take(length.into()), &mut std::io::sink());
                match skipped {
                    Ok(n) if n == u64::from(length) => (Member::Between(input), Ok(())),
                    Ok(_) => (Member::Over, Err(ErrorKind::UnexpectedEof.into())),
                    Err(error) => (Member::Over, Err(error)),
                }
            }
            Err(error) => (Member::Over, Err(frame_error(&error))),
        }
    }

    /// Reads on in a zstd frame; 0: it ended well.
    fn read_frame(&mut self, input: &mut Packed<R>, buf: &mut [u8]) -> Result<usize, Error> {
        let Some(frames) = &mut self.frames else { return Ok(0) };
        while frames.can_collect() == 0 && !frames.is_finished() {
            let decoded = frames.decode_blocks(Patient(&mut *input), BlockDecodingStrategy::UptoBlocks(1));
            let Err(error) = decoded.map_err(|error| frame_error(&error)) else { continue };
            // The decoder keeps a window of what it decoded until the frame's end. A cut frame is given one: a last block of nothing,
            // and a checksum. A block that is damaged may have left wrong bytes, so then the window is lost.
            if self.cut || error.kind() != ErrorKind::UnexpectedEof {
                return Err(error);
            }
            self.cut = true;
            let end = [1_u8, 0, 0, 0, 0, 0, 0];
            if frames.decode_blocks(&end[..], BlockDecodingStrategy::UptoBlocks(1)).is_err() {
                return Err(error);
            }
        }
        let read = frames.read(buf)?;
        if self.cut {
            return if read == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(read) };
        }
        let wrong = frames.get_checksum_from_data().zip(frames.get_calculated_checksum()).is_some_and(|(a, b)| a != b);
        if read == 0 && wrong {
            return Err(Error::new(ErrorKind::InvalidData, "does not have the checksum it says"));
        }
        Ok(read)
    }

    fn step(&mut self, buf: &mut [u8]) -> Result<Option<usize>, Error> {
        match std::mem::replace(&mut self.member, Member::Over) {
            Member::Over => Ok(Some(0)),
            Member::Between(input) => {
                let (member, found) = self.next_member(input);
                self.member = member;
                found.map(|()| None)
            }
            Member::Gzip(mut gzip) => match gzip.read(buf) {
                Ok(0) => {
                    self.member = Member::Between(gzip.into_inner());
                    Ok(None)
                }
                Ok(read) => {
                    self.member = Member::Gzip(gzip);
                    Ok(Some(read))
                }
                Err(error) => {
                    // A pipe that has nothing yet; everything else is the end.
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
                        self.member = Member::Gzip(gzip);
                    }
                    Err(error)
                }
            },
            Member::Zstd(mut input) => match self.read_frame(&mut input, buf)? {
                0 => {
                    self.member = Member::Between(input);
                    Ok(None)
                }
                read => {
                    self.member = Member::Zstd(input);
                    Ok(Some(read))
                }
            },
        }
    }

    /// What went wrong, to follow "the gzip data".
    pub(super) fn words(error: &Error) -> String {
        match error.kind() {
            ErrorKind::UnexpectedEof => "is cut short".into(),
            ErrorKind::InvalidInput => "is damaged".into(),
            ErrorKind::InvalidData => match error.to_string() {
                text if text.starts_with("is ") || text.starts_with("does ") || text.starts_with("needs ") => text,
                text => format!("is damaged ({text})"),
            },
            _ => format!("is damaged ({error})"),
        }
    }
}

impl<R: Read> Read for Unpacker<R> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(read) = self.step(buf)? {
                return Ok(read);
            }
        }
    }
}

/// An error of the decoder, as one of input and output: what its reads met comes through.
fn frame_error(error: &FrameDecoderError) -> Error {
    if let FrameDecoderError::WindowSizeTooBig { requested, .. } = error {
        let text = format!(
            "needs {} MB of memory to unpack; write zstdcat --long=31 FILE | weftrace --read - …",
            requested.div_ceil(1 << 20)
        );
        return Error::new(ErrorKind::InvalidData, text);
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if let Some(io) = at.downcast_ref::<Error>() {
            return io.kind().into();
        }
        cause = at.source();
    }
    // Some of its errors name their cause only in their text.
    let text = error.to_string();
    let kind = if text.contains("fill whole buffer") { ErrorKind::UnexpectedEof } else { ErrorKind::InvalidData };
    Error::new(kind, text)
}

/// The zstd decoder cannot go on after a read that gave nothing: here a read waits.
struct Patient<R>(R);

impl<R: Read> Read for Patient<R> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        loop {
            match self.0.read(buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(2)),
                done => return done,
            }
        }
    }
}
