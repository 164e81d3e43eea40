//! Sections of an ELF file that debug information needs, decompressed, and what names the file's companions.

use super::DwarfError;
pub(crate) use super::blocks::Reader;
use super::blocks::{Blocks, Source};
use gimli::RunTimeEndian;
use object::read::ReadCache;
use object::{CompressionFormat, Object, ObjectSection};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

/// Bytes of compressed sections of one file that are taken into memory.
const MAX_BYTES: u64 = 2 << 30;

/// The wanted sections of one file.
#[derive(Clone, Debug)]
pub(crate) struct Sections {
    pub(crate) endian: RunTimeEndian,
    /// Address at which it is loaded, where its bytes are, how many.
    by_name: BTreeMap<String, (u64, Source, usize)>,
    pub(crate) build_id: Vec<u8>,
    /// `.gnu_debugaltlink`: name, build id
    pub(crate) alt_link: Option<(String, Vec<u8>)>,
}

impl Sections {
    /// Finds the sections that `wanted` names, and decompresses those that are compressed. The others are read as they are asked for.
    pub(crate) fn read(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Self, DwarfError> {
        let shown = || path.display().to_string();
        let io = |e: std::io::Error| DwarfError::Io(shown(), e);
        let handle = crate::privilege::open(path).map_err(io)?;
        if !handle.metadata().map_err(io)?.is_file() {
            return Err(DwarfError::Malformed(shown(), "no file".into()));
        }
        let blocks = Rc::new(Blocks::new(handle.try_clone().map_err(io)?).map_err(io)?);
        let mut room = MAX_BYTES;
        Self::collect(&ReadCache::new(&handle), &shown(), wanted, |section| {
            let place = section.compressed_file_range().map_err(|e| e.to_string())?;
            if place.format == CompressionFormat::None {
                let piece = Source::piece(&blocks, place.offset, place.uncompressed_size);
                return piece.ok_or_else(|| "it ends beyond the file".into());
            }
            let within = place.offset.checked_add(place.compressed_size).is_some_and(|end| end <= blocks.len());
            let size = place.compressed_size.max(place.uncompressed_size);
            room = room.checked_sub(size).filter(|_| within).ok_or("it is larger than can be true, or than 2 GiB")?;
            let mut bytes = vec![0; place.compressed_size as usize];
            handle.read_exact_at(&mut bytes, place.offset).map_err(|e| e.to_string())?;
            Ok(in_memory(&inflate(place.format, &bytes, place.uncompressed_size)?))
        })
    }

    /// The same of an image in memory.
    pub(crate) fn of(bytes: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Self, DwarfError> {
        Self::collect(bytes, "an image in memory", wanted, |section| {
            let data = section.compressed_data().map_err(|e| e.to_string())?;
            match data.format {
                CompressionFormat::None => Ok(in_memory(data.data)),
                _ => Err("it is compressed".into()),
            }
        })
    }

    /// These.
    pub(super) fn in_memory(all: &[(&str, &[u8])]) -> Self {
        let section = |bytes: &[u8]| {
            let (source, len) = in_memory(bytes);
            (0, source, len)
        };
        let by_name = all.iter().map(|(name, bytes)| ((*name).to_owned(), section(bytes)));
        Self { endian: RunTimeEndian::Little, by_name: by_name.collect(), build_id: Vec::new(), alt_link: None }
    }

    fn collect<'d, R: object::ReadRef<'d>>(
        data: R,
        shown: &str,
        wanted: impl Fn(&str) -> bool,
        mut take: impl FnMut(&object::Section<'d, '_, R>) -> Result<(Source, usize), String>,
    ) -> Result<Self, DwarfError> {
        let bad = |e: object::Error| DwarfError::Malformed(shown.to_owned(), e.to_string());
        let file = object::File::parse(data).map_err(bad)?;
        let endian = if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        let mut by_name = BTreeMap::new();
        for section in file.sections() {
            let Ok(name) = section.name() else { continue };
            // As Go's linker named compressed sections until 1.18.
            let plain = name.strip_prefix(".z").filter(|rest| rest.starts_with("debug_"));
            let name = plain.map_or_else(|| name.to_owned(), |rest| format!(".{rest}"));
            // A debug file has the names of all others too, without their bytes.
            if !wanted(&name) || section.file_range().is_none() {
                continue;
            }
            let (source, len) =
                take(&section).map_err(|e| DwarfError::Malformed(shown.to_owned(), format!("section {name}: {e}")))?;
            by_name.insert(name, (section.address(), source, len));
        }
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Ok(Self {
            endian,
            by_name,
            build_id: file.build_id().ok().flatten().unwrap_or_default().to_vec(),
            alt_link: file.gnu_debugaltlink().ok().flatten().map(|(name, id)| (text(name), id.to_vec())),
        })
    }

    /// A section's bytes; empty if there is none.
    pub(crate) fn reader(&self, name: &str) -> Reader {
        match self.by_name.get(name) {
            Some((_, source, len)) => Reader::new((source.clone(), *len), self.endian),
            None => Reader::empty(self.endian),
        }
    }

    /// Address at which a section is loaded.
    pub(crate) fn address(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).map(|(address, ..)| *address)
    }

    /// How many bytes all of them have.
    pub(super) fn bytes(&self) -> u64 {
        self.by_name.values().map(|(.., len)| *len as u64).sum()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|(.., len)| *len > 0)
    }
}

fn in_memory(bytes: &[u8]) -> (Source, usize) {
    (Source::Memory(bytes.into()), bytes.len())
}

fn inflate(format: CompressionFormat, bytes: &[u8], size: u64) -> Result<Vec<u8>, String> {
    match format {
        CompressionFormat::Zlib => {
            miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(bytes, size as usize).map_err(|e| e.to_string())
        }
        other => Err(format!("it is compressed by {other:?}; only zlib is read here")),
    }
}

/// What types, functions and the places of parameters are read from.
pub(crate) fn is_parameter_debug(name: &str) -> bool {
    is_debug(name) || matches!(name.trim_end_matches(".dwo"), ".debug_loc" | ".debug_loclists")
}

/// What types, functions, lines and inlining are read from.
pub(crate) fn is_debug(name: &str) -> bool {
    const UNUSED: &[&str] = &[
        ".debug_aranges",
        ".debug_frame",
        ".debug_gnu_pubnames",
        ".debug_gnu_pubtypes",
        ".debug_loc",
        ".debug_loclists",
        ".debug_macinfo",
        ".debug_macro",
        ".debug_names",
        ".debug_pubnames",
        ".debug_pubtypes",
        ".debug_loc.dwo",
        ".debug_loclists.dwo",
        ".debug_macro.dwo",
    ];
    name.starts_with(".debug_") && !UNUSED.contains(&name)
}
