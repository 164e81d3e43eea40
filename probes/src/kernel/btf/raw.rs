//! Bytes → records: header, walking, finding by name and by id.

use super::record::{Kind, Record, head, record, word};
use crate::kernel::sys::Mapping;
use memchr::memmem;
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::ops::{ControlFlow, Deref, Range};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    #[error("this kernel has no type information ({0} is missing: CONFIG_DEBUG_INFO_BTF)")]
    Missing(String),
    #[error("{0} can't be read: permission denied")]
    NotPermitted(String),
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    #[error("malformed BTF: {0}")]
    Malformed(&'static str),
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mapping),
    Read(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(m) => m,
            Self::Read(v) => v,
        }
    }
}

/// The types of vmlinux, or of a module on top of them.
#[derive(Debug)]
pub struct Btf {
    bytes: Bytes,
    types: Range<usize>,
    strings: Range<usize>,
    pub(super) base: Option<Arc<Btf>>,
    /// `vmlinux`, `nf_conntrack`
    pub(super) name: String,
    first_id: u32,
    first_string: u32,
    positions: OnceLock<Positions>,
    /// (name_off, id) of every named type of an indexed kind, sorted.
    index: OnceLock<Vec<(u32, u32)>>,
    finds: AtomicU32,
}

/// Offsets of every [`STEP`]th type, and how many types there are.
#[derive(Debug)]
struct Positions {
    offsets: Vec<u32>,
    count: u32,
}

const STEP: u32 = 32;
/// From this many lookups (0.5 ms each) on the index (2 ms, 8 bytes a name) pays.
const FINDS_BEFORE_INDEX: u32 = 6;
/// Larger files aren't BTF.
const MAX_FILE: u64 = 256 << 20;

impl Btf {
    /// The running kernel's.
    pub fn vmlinux() -> Result<Self, BtfError> {
        Self::open(Path::new("/sys/kernel/btf/vmlinux"), None)
    }

    /// A loaded module's.
    pub fn module(name: &str, vmlinux: &Arc<Self>) -> Result<Self, BtfError> {
        Self::open(&Path::new("/sys/kernel/btf").join(name), Some(vmlinux.clone()))
    }

    fn open(path: &Path, base: Option<Arc<Self>>) -> Result<Self, BtfError> {
        let shown = || path.display().to_string();
        let fail = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound => BtfError::Missing(shown()),
            std::io::ErrorKind::PermissionDenied => BtfError::NotPermitted(shown()),
            _ => BtfError::Io(shown(), e),
        };
        let mut file = File::open(path).map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len();
        // Kernels before 6.16 can't map it.
        let bytes = match Mapping::of_sysfs(&file, size as usize) {
            Ok(mapping) if size > 0 => Bytes::Mapped(mapping),
            _ => {
                let mut all = Vec::with_capacity(size.min(MAX_FILE) as usize);
                file.by_ref().take(MAX_FILE).read_to_end(&mut all).map_err(fail)?;
                Bytes::Read(all)
            }
        };
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Self::parse(bytes, name, base)
    }

    /// BTF from memory, as in an object file.
    pub fn from_bytes(bytes: Vec<u8>, name: &str, base: Option<Arc<Self>>) -> Result<Self, BtfError> {
        Self::parse(Bytes::Read(bytes), name.into(), base)
    }

    fn parse(bytes: Bytes, name: String, base: Option<Arc<Self>>) -> Result<Self, BtfError> {
        /// BTF_MAGIC
        const MAGIC: u32 = 0xeb9f;
        let head = |at| word(&bytes, at).ok_or(BtfError::Malformed("shorter than its header"));
        // u16 magic, u8 version, u8 flags; then hdr_len, type_off, type_len, str_off, str_len
        if u32::from(u16::from_ne_bytes((head(0)?.to_ne_bytes()[..2]).try_into().unwrap_or_default())) != MAGIC {
            return Err(BtfError::Malformed("wrong magic number"));
        }
        let header = head(4)? as usize;
        let section = |off: u32, len: u32| {
            let start = header.checked_add(off as usize)?;
            let end = start.checked_add(len as usize)?;
            (end <= bytes.len()).then_some(start..end)
        };
        let types = section(head(8)?, head(12)?).ok_or(BtfError::Malformed("type section beyond the end"))?;
        let strings = section(head(16)?, head(20)?).ok_or(BtfError::Malformed("string section beyond the end"))?;
        let first_id = base.as_ref().map_or(1, |b| b.first_id + b.positions().count);
        let first_string = base.as_ref().map_or(0, |b| b.first_string + b.strings.len() as u32);
        Ok(Self {
            bytes,
            types,
            strings,
            base,
            name,
            first_id,
            first_string,
            positions: OnceLock::new(),
            index: OnceLock::new(),
            finds: AtomicU32::new(0),
        })
    }

    fn types(&self) -> &[u8] {
        &self.bytes[self.types.clone()]
    }

    /// Visits this file's own types in order. Stops at a kind it doesn't know (a newer format): what comes before it counts.
    pub(super) fn walk<'a>(&'a self, mut see: impl FnMut(Record<'a>) -> ControlFlow<()>) {
        let types = self.types();
        let (mut at, mut id) = (0, self.first_id);
        while let Some((record, next)) = record(types, at, id) {
            if see(record).is_break() {
                return;
            }
            at = next;
            id += 1;
        }
    }

    fn positions(&self) -> &Positions {
        self.positions.get_or_init(|| {
            let types = self.types();
            let mut positions = Positions { offsets: Vec::with_capacity(types.len() / 1024), count: 0 };
            let mut at = 0;
            while let Some((.., next)) = head(types, at).filter(|(.., next)| *next <= types.len()) {
                if positions.count.is_multiple_of(STEP) {
                    positions.offsets.push(at as u32);
                }
                positions.count += 1;
                at = next;
            }
            positions
        })
    }

    /// The type of that number; None for 0 (void) and for numbers out of range.
    pub fn by_id(&self, id: u32) -> Option<Record<'_>> {
        if id < self.first_id {
            return self.base.as_deref().and_then(|b| b.by_id(id));
        }
        let index = id - self.first_id;
        let positions = self.positions();
        if index >= positions.count {
            return None;
        }
        let mut at = *positions.offsets.get((index / STEP) as usize)? as usize;
        let types = self.types();
        for _ in 0..index % STEP {
            at = record(types, at, 0)?.1;
        }
        record(types, at, id).map(|(record, _)| record)
    }

    /// The NUL-terminated bytes at a string offset.
    pub(super) fn bytes_at(&self, off: u32) -> &[u8] {
        if off < self.first_string {
            return self.base.as_deref().map_or(&[], |b| b.bytes_at(off));
        }
        let strings = &self.bytes[self.strings.clone()];
        let rest = strings.get((off - self.first_string) as usize..).unwrap_or(&[]);
        &rest[..memchr::memchr(0, rest).unwrap_or(0)]
    }

    /// `vmlinux`, or the module's name.
    pub fn module_name(&self) -> &str {
        &self.name
    }

    /// The string at an offset; "" if there is none.
    pub fn string(&self, off: u32) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes_at(off))
    }

    /// Name of a type.
    pub fn name_of(&self, record: &Record<'_>) -> Cow<'_, str> {
        self.string(record.name_off)
    }

    /// Offsets of a string here and in the base (each file has a string once).
    pub(super) fn string_offsets(&self, name: &str) -> Vec<u32> {
        let mut out = self.base.as_deref().map(|b| b.string_offsets(name)).unwrap_or_default();
        if name.is_empty() || name.contains('\0') {
            return out;
        }
        let needle = [b"\0", name.as_bytes(), b"\0"].concat();
        let strings = &self.bytes[self.strings.clone()];
        // Module BTF's first string isn't preceded by a NUL of its own.
        if self.base.is_some() && strings.starts_with(&needle[1..]) {
            out.push(self.first_string);
        }
        if let Some(at) = memmem::find(strings, &needle) {
            out.push(self.first_string + at as u32 + 1);
        }
        out
    }

    /// The first of this file's own types with that name whose kind is wanted.
    pub fn find(&self, name: &str, wanted: &[Kind]) -> Option<Record<'_>> {
        let offsets = self.string_offsets(name);
        if offsets.is_empty() {
            return None;
        }
        if self.index.get().is_some() || self.finds.fetch_add(1, Ordering::Relaxed) >= FINDS_BEFORE_INDEX {
            let index = self.index();
            return offsets.iter().find_map(|off| {
                let from = index.partition_point(|(o, _)| o < off);
                let same = index[from..].iter().take_while(|(o, _)| o == off);
                same.filter_map(|(_, id)| self.by_id(*id)).find(|r| wanted.contains(&r.kind))
            });
        }
        offsets.iter().find_map(|off| self.named(*off, wanted))
    }

    /// The first type with a name: its offset's four bytes are looked for, which is quicker than walking, then it is made sure that a
    /// type starts there (they may also be a member's name, or chance).
    fn named(&self, name_off: u32, wanted: &[Kind]) -> Option<Record<'_>> {
        let types = self.types();
        let candidates = memmem::find_iter(types, &name_off.to_ne_bytes()[..]).collect::<Vec<_>>();
        candidates.into_iter().filter(|at| at.is_multiple_of(4)).find_map(|at| {
            let (found, _) = record(types, at, 0).filter(|(r, _)| wanted.contains(&r.kind))?;
            Some(Record { id: self.id_at(at)?, ..found })
        })
    }

    /// Number of the type that starts at an offset; None: none does.
    fn id_at(&self, offset: usize) -> Option<u32> {
        let positions = self.positions();
        let step = positions.offsets.partition_point(|start| *start as usize <= offset).checked_sub(1)?;
        let mut at = positions.offsets[step] as usize;
        let mut index = step as u32 * STEP;
        while at < offset {
            at = head(self.types(), at)?.2;
            index += 1;
        }
        (at == offset && index < positions.count).then_some(self.first_id + index)
    }

    fn index(&self) -> &[(u32, u32)] {
        self.index.get_or_init(|| {
            let mut index = Vec::new();
            self.walk(|r| {
                if r.name_off != 0 && r.kind.is_indexed() {
                    index.push((r.name_off, r.id));
                }
                ControlFlow::Continue(())
            });
            index.sort_unstable();
            index
        })
    }
}
