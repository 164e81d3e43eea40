//! What can be asked of the helper, and how it is written down.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// A file to be opened for reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// /proc/PID/maps
    Maps { pid: u32 },
    /// A program or library as it is mapped, though its file may be gone: /proc/PID/map_files/START-END.
    Mapping { pid: u32, start: u64, end: u64 },
    /// A program, a library, debug information or a JIT compiler's symbols, by the name that the process knows it by.
    InRoot { pid: u32, path: PathBuf },
    /// A program, a library or debug information.
    Program { path: PathBuf },
    /// What `cat()` shows.
    Text { path: PathBuf },
}

/// Which requests a helper answers: what its script can't need it refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// All but [`Request::Text`].
    pub processes: bool,
    pub text: bool,
}

impl Kinds {
    pub fn any(self) -> bool {
        self.processes || self.text
    }
}

/// Bytes of the longest request: its numbers and a path.
pub(super) const MAX_REQUEST: usize = HEAD + libc::PATH_MAX as usize;
/// Kind, sequence number, process, two addresses.
const HEAD: usize = 1 + 4 + 4 + 8 + 8;

impl Request {
    /// What a path of /proc, or any other, is to the helper. None: no request fits.
    pub fn of(path: &Path) -> Option<Self> {
        let mut parts = path.components();
        if parts.next() != Some(Component::RootDir) {
            return None;
        }
        let of_process = |mut parts: std::path::Components<'_>| {
            let word = |part: Option<Component<'_>>| part?.as_os_str().to_str().map(str::to_owned);
            if word(parts.next())? != "proc" {
                return None;
            }
            let pid = word(parts.next())?.parse().ok()?;
            match word(parts.next())?.as_str() {
                "maps" => Some(Self::Maps { pid }),
                "map_files" => {
                    let range = word(parts.next())?;
                    let (start, end) = range.split_once('-')?;
                    let hex = |text| u64::from_str_radix(text, 16).ok();
                    Some(Self::Mapping { pid, start: hex(start)?, end: hex(end)? })
                }
                "root" => Some(Self::InRoot { pid, path: parts.as_path().to_owned() }),
                _ => None,
            }
        };
        of_process(parts).or_else(|| Some(Self::Program { path: path.to_owned() }))
    }

    fn parts(&self) -> (u8, u32, [u64; 2], &Path) {
        let none = Path::new("");
        match self {
            Self::Maps { pid } => (0, *pid, [0, 0], none),
            Self::Mapping { pid, start, end } => (1, *pid, [*start, *end], none),
            Self::InRoot { pid, path } => (2, *pid, [0, 0], path),
            Self::Program { path } => (3, 0, [0, 0], path),
            Self::Text { path } => (4, 0, [0, 0], path),
        }
    }

    /// None: the path is longer than any that the kernel takes.
    pub(super) fn encode(&self, sequence: u32) -> Option<Vec<u8>> {
        let (kind, pid, [a, b], path) = self.parts();
        let path = path.as_os_str().as_bytes();
        if path.len() >= libc::PATH_MAX as usize || path.contains(&0) {
            return None;
        }
        let mut out = Vec::with_capacity(HEAD + path.len());
        out.push(kind);
        out.extend(sequence.to_ne_bytes());
        out.extend(pid.to_ne_bytes());
        out.extend(a.to_ne_bytes());
        out.extend(b.to_ne_bytes());
        out.extend(path);
        Some(out)
    }

    /// None: no request. The sequence number comes with it.
    pub(super) fn decode(bytes: &[u8]) -> Option<(u32, Self)> {
        let (&kind, rest) = bytes.split_first()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (pid, rest) = rest.split_first_chunk()?;
        let (a, rest) = rest.split_first_chunk()?;
        let (b, path) = rest.split_first_chunk()?;
        if path.contains(&0) {
            return None;
        }
        let pid = u32::from_ne_bytes(*pid);
        let path = PathBuf::from(OsStr::from_bytes(path));
        let request = match kind {
            0 => Self::Maps { pid },
            1 => Self::Mapping { pid, start: u64::from_ne_bytes(*a), end: u64::from_ne_bytes(*b) },
            2 => Self::InRoot { pid, path },
            3 => Self::Program { path },
            4 => Self::Text { path },
            _ => return None,
        };
        Some((u32::from_ne_bytes(*sequence), request))
    }
}

/// The answer's bytes: which request, and errno (0: the file comes along).
pub(super) fn answer(sequence: u32, errno: i32) -> [u8; ANSWER] {
    let mut out = [0; ANSWER];
    out[..4].copy_from_slice(&sequence.to_ne_bytes());
    out[4..].copy_from_slice(&errno.to_ne_bytes());
    out
}

pub(super) const ANSWER: usize = 8;

pub(super) fn read_answer(bytes: [u8; ANSWER]) -> (u32, i32) {
    let [a, b, c, d, e, f, g, h] = bytes;
    (u32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h]))
}
