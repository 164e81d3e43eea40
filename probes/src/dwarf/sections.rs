//! Sections of an ELF file that debug information needs, decompressed, and what names the file's companions.

use super::DwarfError;
use gimli::{EndianReader, RunTimeEndian};
use object::read::ReadCache;
use object::{CompressionFormat, Object, ObjectSection};
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

/// How bytes of sections are read: shared, so that a unit keeps what it needs alive.
pub(crate) type Reader = EndianReader<RunTimeEndian, Rc<[u8]>>;

/// Bytes of debug sections of one file that are taken into memory.
const MAX_BYTES: u64 = 2 << 30;

/// The wanted sections of one file.
#[derive(Clone, Debug)]
pub(crate) struct Sections {
    pub(crate) endian: RunTimeEndian,
    by_name: BTreeMap<String, (u64, Rc<[u8]>)>,
    pub(crate) build_id: Vec<u8>,
    /// `.gnu_debuglink`: name, CRC-32 of the file
    pub(crate) debug_link: Option<(String, u32)>,
    /// `.gnu_debugaltlink`: name, build id
    pub(crate) alt_link: Option<(String, Vec<u8>)>,
}

impl Sections {
    /// Reads the sections that `wanted` names; `.debug_*` sections of other names are left where they are.
    pub(crate) fn read(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Self, DwarfError> {
        let shown = || path.display().to_string();
        let io = |e: std::io::Error| DwarfError::Io(shown(), e);
        let handle = crate::privilege::open(path).map_err(io)?;
        if !handle.metadata().map_err(io)?.is_file() {
            return Err(DwarfError::Malformed(shown(), "no file".into()));
        }
        Self::collect(&ReadCache::new(handle), &shown(), wanted)
    }

    /// The same of an image in memory.
    pub(crate) fn of(bytes: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Self, DwarfError> {
        Self::collect(bytes, "an image in memory", wanted)
    }

    fn collect<'d>(
        data: impl object::ReadRef<'d>,
        shown: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Self, DwarfError> {
        let bad = |e: object::Error| DwarfError::Malformed(shown.to_owned(), e.to_string());
        let file = object::File::parse(data).map_err(bad)?;
        let endian = if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        let mut total = 0u64;
        let mut by_name = BTreeMap::new();
        for section in file.sections() {
            let Ok(name) = section.name() else { continue };
            // As Go's linker named compressed sections until 1.18.
            let plain = name.strip_prefix(".z").filter(|rest| rest.starts_with("debug_"));
            let name = &plain.map_or_else(|| name.to_owned(), |rest| format!(".{rest}"));
            if !wanted(name) {
                continue;
            }
            let data = section.compressed_data().map_err(bad)?;
            total = total.saturating_add(data.uncompressed_size);
            if total > MAX_BYTES {
                return Err(DwarfError::Malformed(
                    shown.to_owned(),
                    "its debug information is larger than 2 GiB".into(),
                ));
            }
            let bytes: Rc<[u8]> = match data.format {
                CompressionFormat::None => data.data.into(),
                CompressionFormat::Zlib => {
                    let all = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(
                        data.data,
                        data.uncompressed_size as usize,
                    );
                    all.map_err(|e| DwarfError::Malformed(shown.to_owned(), format!("section {name}: {e}")))?.into()
                }
                other => {
                    let why = format!("section {name} is compressed by {other:?}; only zlib is read here");
                    return Err(DwarfError::Malformed(shown.to_owned(), why));
                }
            };
            by_name.insert(name.clone(), (section.address(), bytes));
        }
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Ok(Self {
            endian,
            by_name,
            build_id: file.build_id().ok().flatten().unwrap_or_default().to_vec(),
            debug_link: file.gnu_debuglink().ok().flatten().map(|(name, crc)| (text(name), crc)),
            alt_link: file.gnu_debugaltlink().ok().flatten().map(|(name, id)| (text(name), id.to_vec())),
        })
    }

    /// A section's bytes; empty if there is none.
    pub(crate) fn reader(&self, name: &str) -> Reader {
        let bytes = self.by_name.get(name).map_or_else(|| Rc::from(&[][..]), |(_, bytes)| bytes.clone());
        EndianReader::new(bytes, self.endian)
    }

    /// Address at which a section is loaded.
    pub(crate) fn address(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).map(|(address, _)| *address)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|(_, bytes)| !bytes.is_empty())
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
