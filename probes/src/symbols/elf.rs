//! Functions of an ELF file: from its symbol tables, its dynamic symbols, and its separate debug file.
//!
//! A path may name a stored member of a zip archive ([`super::archive`]): offsets are those in the archive then.
//!
//! Only headers and symbol tables are read, never the whole file. Files are untrusted: a malformed one is an error.

use super::glob::Glob;
use super::golang::{Machine, Parts};
use super::stapsdt::Notes;
use super::wanted::{By, Wanted};
mod layout;
mod rows;

pub use layout::{Layout, Segment};
pub use rows::{TableRow, table};
pub(super) use rows::{of_go, of_minidebug, table_of};

use super::{archive, debug_file, minidebug};
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::ReadCache;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{Endian, Endianness, ReadRef};
use std::collections::BTreeSet;
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error("{path} is not an ELF file")]
    NotElf { path: String },
    #[error("{path} is malformed: {what}")]
    Malformed { path: String, what: String },
}

/// A function of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Function {
    /// Address that the file gives it.
    pub address: u64,
    pub size: u64,
    /// Offset in the file, as uprobes want it.
    pub file_offset: u64,
    /// As in the symbol table (mangled), without a `@VERSION`.
    pub name: String,
    /// As its language writes it, where it was wanted by that.
    pub demangled: Option<String>,
    /// The language is Rust; else C++.
    pub rust: bool,
    /// It only chooses one of several when the program is loaded (IFUNC).
    pub chooser: bool,
}

/// A symbol as visited: (address, size, name's bytes).
type See<'f> = &'f mut dyn FnMut(u64, u64, &[u8]);
/// The same with names left where they are: (table, address, size, start of the name).
type SeeRow<'f> = &'f mut dyn FnMut(usize, u64, u64, u32);

/// A name that ends with NUL, then, at the next multiple of four, a checksum.
fn debug_link(bytes: &[u8], endian: Endianness) -> Option<(String, u32)> {
    let end = memchr::memchr(0, bytes)?;
    let crc = bytes.get((end + 4) & !3..)?.first_chunk()?;
    Some((String::from_utf8_lossy(&bytes[..end]).into_owned(), endian.read_u32(*crc)))
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ElfError + '_ {
    move |source| ElfError::Io { path: path.display().to_string(), source }
}

/// Runs `use_it` on the file's bytes, typed for its word size.
fn open<T>(path: &Path, use_it: impl FnOnce(&dyn Reader) -> object::Result<T>) -> Result<T, ElfError> {
    let shown = || path.display().to_string();
    let member = archive::split(path);
    let file = crate::privilege::open(member.as_ref().map_or(path, |(archive, _)| archive)).map_err(io(path))?;
    let meta = file.metadata().map_err(io(path))?;
    if !meta.is_file() {
        return Err(ElfError::NotElf { path: shown() });
    }
    let (base, len) = match &member {
        None => (0, meta.len()),
        Some((archive, name)) => archive::member(&file, name)
            .map_err(|e| ElfError::Malformed { path: archive.display().to_string(), what: e.to_string() })?,
    };
    let cache = ReadCache::new(file);
    let data = cache.range(base, len);
    parse(data, base, use_it).map_err(|e| match e {
        None => ElfError::NotElf { path: shown() },
        Some(e) => ElfError::Malformed { path: shown(), what: e.to_string() },
    })
}

/// The same on bytes that are at hand. The error None: they are no ELF file.
fn parse<'d, R: ReadRef<'d>, T>(
    data: R,
    base: u64,
    use_it: impl FnOnce(&dyn Reader) -> object::Result<T>,
) -> Result<T, Option<object::Error>> {
    let ident = data.read_bytes_at(0, 16).map_err(|()| None)?;
    if ident[..4] != elf::ELFMAG {
        return Err(None);
    }
    let done = if ident[4] == 1 {
        FileHeader32::<Endianness>::parse(data).and_then(|header| use_it(&File32or64 { header, data, base }))
    } else {
        FileHeader64::<Endianness>::parse(data).and_then(|header| use_it(&File32or64 { header, data, base }))
    };
    done.map_err(Some)
}

/// A parsed header of either word size.
trait Reader {
    fn layout(&self) -> object::Result<Layout>;
    /// Every function; whether there is a whole symbol table, not only what is loaded.
    fn visit(&self, see: See<'_>) -> object::Result<bool>;
    /// Every function: (which table of symbols, address, size, where its name begins in the table's names); and where those names
    /// are in the file (offset, length); and whether the symbols are there that stripping takes away.
    fn rows(&self, see: SeeRow<'_>) -> object::Result<(bool, Vec<(u64, u64)>)>;
    /// Addresses of the functions that only choose one when the program is loaded (IFUNC).
    fn choosers(&self) -> object::Result<BTreeSet<u64>>;
    /// Addresses of the functions that have a version of this name.
    fn versioned(&self, version: &Glob) -> object::Result<BTreeSet<u64>>;
    /// A function or variable by its name: (address, size).
    fn symbol(&self, name: &[u8]) -> object::Result<Option<(u64, u64)>>;
    /// Notes of static markers.
    fn markers(&self) -> object::Result<Notes>;
    /// `.gnu_debugdata`, compressed.
    fn packed(&self) -> object::Result<Option<Vec<u8>>>;
    /// What concerns Go, if Go made it.
    fn go(&self) -> object::Result<Option<Parts>>;
}

struct File32or64<'d, H, R> {
    header: &'d H,
    data: R,
    base: u64,
}

impl<'d, H: FileHeader<Endian = Endianness>, R: ReadRef<'d>> Reader for File32or64<'d, H, R> {
    fn layout(&self) -> object::Result<Layout> {
        let endian = self.header.endian()?;
        let mut layout = Layout { entry: self.header.e_entry(endian).into(), base: self.base, ..Layout::default() };
        layout.machine = Machine::of(self.header, endian);
        layout.fixed = self.header.e_type(endian) == elf::ET_EXEC;
        for segment in self.header.program_headers(endian, self.data)? {
            if segment.p_type(endian) == elf::PT_LOAD {
                layout.segments.push(Segment {
                    address: segment.p_vaddr(endian).into(),
                    file_offset: segment.p_offset(endian).into(),
                    size: segment.p_filesz(endian).into(),
                    executable: segment.p_flags(endian) & elf::PF_X != 0,
                });
            }
        }
        let sections = self.header.sections(endian, self.data)?;
        if let Some((_, section)) = sections.section_by_name(endian, b".gnu_debuglink") {
            layout.debug_link = debug_link(section.data(endian, self.data)?, endian);
        }
        for section in sections.iter() {
            let Ok(Some(mut notes)) = section.notes(endian, self.data) else { continue };
            while let Ok(Some(note)) = notes.next() {
                if note.n_type(endian) == elf::NT_GNU_BUILD_ID && note.name() == elf::ELF_NOTE_GNU {
                    layout.build_id = note.desc().to_vec();
                }
            }
        }
        Ok(layout)
    }

    fn visit(&self, see: See<'_>) -> object::Result<bool> {
        let endian = self.header.endian()?;
        let sections = self.header.sections(endian, self.data)?;
        let whole = sections.iter().any(|s| s.sh_type(endian) == elf::SHT_SYMTAB);
        for section in sections.iter() {
            if !matches!(section.sh_type(endian), elf::SHT_SYMTAB | elf::SHT_DYNSYM) {
                continue;
            }
            let symbols: &[H::Sym] = section.data_as_array(endian, self.data)?;
            // The whole table at once: one read, not one per name.
            let strings = sections.section(section.link(endian))?.data(endian, self.data)?;
            for symbol in symbols {
                let is_code = matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_GNU_IFUNC);
                if !is_code || symbol.st_shndx(endian) == elf::SHN_UNDEF {
                    continue;
                }
                let rest = strings.get(symbol.st_name(endian) as usize..).unwrap_or(&[]);
                let name = &rest[..memchr::memchr(0, rest).unwrap_or(0)];
                let name = &name[..memchr::memchr(b'@', name).filter(|at| *at > 0).unwrap_or(name.len())];
                see(symbol.st_value(endian).into(), symbol.st_size(endian).into(), name);
            }
        }
        Ok(whole)
    }

    fn rows(&self, see: SeeRow<'_>) -> object::Result<(bool, Vec<(u64, u64)>)> {
        let endian = self.header.endian()?;
        let sections = self.header.sections(endian, self.data)?;
        let (mut whole, mut strings) = (false, Vec::new());
        for section in sections.iter() {
            let kind = section.sh_type(endian);
            if !matches!(kind, elf::SHT_SYMTAB | elf::SHT_DYNSYM) {
                continue;
            }
            whole |= kind == elf::SHT_SYMTAB;
            let symbols: &[H::Sym] = section.data_as_array(endian, self.data)?;
            for symbol in symbols {
                let is_code = matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_GNU_IFUNC);
                if is_code && symbol.st_shndx(endian) != elf::SHN_UNDEF {
                    let (address, size) = (symbol.st_value(endian).into(), symbol.st_size(endian).into());
                    see(strings.len(), address, size, symbol.st_name(endian));
                }
            }
            let names = sections.section(section.link(endian))?;
            let start: u64 = names.sh_offset(endian).into();
            strings.push((self.base.saturating_add(start), names.sh_size(endian).into()));
        }
        Ok((whole, strings))
    }

    fn choosers(&self) -> object::Result<BTreeSet<u64>> {
        let endian = self.header.endian()?;
        let symbols = self.header.sections(endian, self.data)?.symbols(endian, self.data, elf::SHT_DYNSYM)?;
        let all = symbols.iter().filter(|s| s.st_type() == elf::STT_GNU_IFUNC && s.st_shndx(endian) != elf::SHN_UNDEF);
        Ok(all.map(|s| s.st_value(endian).into()).collect())
    }

    fn versioned(&self, version: &Glob) -> object::Result<BTreeSet<u64>> {
        let endian = self.header.endian()?;
        let sections = self.header.sections(endian, self.data)?;
        let mut out = BTreeSet::new();
        let Some(versions) = sections.versions(endian, self.data)? else { return Ok(out) };
        let symbols = sections.symbols(endian, self.data, elf::SHT_DYNSYM)?;
        for (index, symbol) in symbols.enumerate() {
            let found = versions.version(versions.version_index(endian, index)).ok().flatten();
            if found.is_some_and(|found| version.matches_bytes(found.name())) {
                out.insert(symbol.st_value(endian).into());
            }
        }
        Ok(out)
    }

    fn symbol(&self, name: &[u8]) -> object::Result<Option<(u64, u64)>> {
        let endian = self.header.endian()?;
        let sections = self.header.sections(endian, self.data)?;
        for section in sections.iter() {
            if !matches!(section.sh_type(endian), elf::SHT_SYMTAB | elf::SHT_DYNSYM) {
                continue;
            }
            let symbols: &[H::Sym] = section.data_as_array(endian, self.data)?;
            let strings = sections.section(section.link(endian))?.data(endian, self.data)?;
            let found = symbols.iter().find(|s| {
                let rest = strings.get(s.st_name(endian) as usize..).unwrap_or(&[]);
                s.st_shndx(endian) != elf::SHN_UNDEF
                    && rest.strip_prefix(name).is_some_and(|end| matches!(end.first(), Some(0 | b'@')))
            });
            if let Some(s) = found {
                return Ok(Some((s.st_value(endian).into(), s.st_size(endian).into())));
            }
        }
        Ok(None)
    }

    fn packed(&self) -> object::Result<Option<Vec<u8>>> {
        let endian = self.header.endian()?;
        let sections = self.header.sections(endian, self.data)?;
        let found = sections.section_by_name(endian, b".gnu_debugdata").map(|(_, section)| section);
        let small = found.filter(|s| s.sh_size(endian).into() <= minidebug::MOST_PACKED);
        small.map(|section| Ok(section.data(endian, self.data)?.to_vec())).transpose()
    }

    fn go(&self) -> object::Result<Option<Parts>> {
        Parts::of(self.header, self.data)
    }

    fn markers(&self) -> object::Result<Notes> {
        let endian = self.header.endian()?;
        let mut notes = Notes::of(self.header.e_machine(endian));
        let sections = self.header.sections(endian, self.data)?;
        if let Some((_, section)) = sections.section_by_name(endian, b".stapsdt.base") {
            notes.base = section.sh_addr(endian).into();
        }
        for section in sections.iter() {
            if sections.section_name(endian, section)? != b".note.stapsdt" {
                continue;
            }
            let Some(mut all) = section.notes(endian, self.data)? else { continue };
            while let Some(note) = all.next()? {
                notes.add(note.name(), note.n_type(endian), note.desc(), (self.header.is_type_64(), endian));
            }
        }
        Ok(notes)
    }
}

/// Segments, entry point, where the debug file is.
pub fn layout(path: &Path) -> Result<Layout, ElfError> {
    open(path, |file| file.layout())
}

/// File offset of the entry point.
pub fn entry_offset(path: &Path) -> Result<u64, ElfError> {
    let layout = layout(path)?;
    layout.to_offset(layout.entry).ok_or_else(|| ElfError::Malformed {
        path: path.display().to_string(),
        what: "its entry point is in no segment".into(),
    })
}

/// Visits every function symbol of the file, and of its debug file if there is one; `root` is prefixed to absolute paths
/// (`/proc/PID/root`, or empty). The same function may come more than once.
fn visit(path: &Path, root: &Path, see: See<'_>) -> Result<Layout, ElfError> {
    let (whole, layout) = open(path, |file| Ok((file.visit(see)?, file.layout()?)))?;
    if let Some(debug) = debug_file::find(path, root, &layout) {
        // Its symbols are a bonus: a broken debug file doesn't take the file's own away.
        let _ = open(&debug, |file| file.visit(see));
    } else if !whole {
        if let Some(image) = unpacked(path) {
            let _ = parse(&*image, 0, |file| file.visit(see));
        }
        for (address, size, name) in of_go(path) {
            see(address, size, name.as_bytes());
        }
    }
    Ok(layout)
}

/// All functions that are wanted; sorted by address, aliases kept, doubles removed.
pub fn functions(path: &Path, root: &Path, wanted: &Wanted) -> Result<Vec<Function>, ElfError> {
    let mut found: Vec<(u64, u64, String, By)> = Vec::new();
    let layout = visit(path, root, &mut |address, size, name| {
        if let Some(by) = wanted.matches(name) {
            found.push((address, size, String::from_utf8_lossy(name).into_owned(), by));
        }
    })?;
    if let Some(version) = wanted.version() {
        let of_version = open(path, |file| file.versioned(version))?;
        found.retain(|(address, ..)| of_version.contains(address));
    }
    // A second look at the file, for a name or two.
    let few = !found.is_empty() && found.len() <= 16;
    let choosers = if few { open(path, |file| file.choosers()).unwrap_or_default() } else { BTreeSet::new() };
    let mut out: Vec<Function> = found
        .into_iter()
        .filter_map(|(address, size, name, by)| {
            let file_offset = layout.to_offset(address)?;
            let rust = matches!(by, By::Rust(_));
            let demangled = if let By::Cpp(shown) | By::Rust(shown) = by { Some(shown) } else { None };
            Some(Function { address, size, file_offset, name, demangled, rust, chooser: choosers.contains(&address) })
        })
        .collect();
    out.sort_unstable();
    // Of one in two tables, with the size where only one has it.
    out.dedup_by(|later, kept| {
        let same = later.address == kept.address && later.name == kept.name;
        if same {
            kept.size = kept.size.max(later.size);
        }
        same
    });
    Ok(out)
}

/// A function or variable by its name in the symbol table: (address, size); in the debug file too.
pub fn symbol(path: &Path, root: &Path, name: &str) -> Result<Option<(u64, u64)>, ElfError> {
    let (found, layout) = open(path, |file| Ok((file.symbol(name.as_bytes())?, file.layout()?)))?;
    if found.is_some() {
        return Ok(found);
    }
    let Some(debug) = debug_file::find(path, root, &layout) else {
        return Ok(unpacked(path).and_then(|image| parse(&*image, 0, |file| file.symbol(name.as_bytes())).ok()?));
    };
    Ok(open(&debug, |file| file.symbol(name.as_bytes())).unwrap_or(None))
}

/// The symbols that a stripped file keeps compressed, as an ELF file of their own.
fn unpacked(path: &Path) -> Option<Vec<u8>> {
    open(path, |file| file.packed()).ok()?.and_then(minidebug::unpack)
}

/// What a file says of its static markers, and where its segments are.
pub(super) fn markers(path: &Path) -> Result<(Notes, Layout), ElfError> {
    open(path, |file| Ok((file.markers()?, file.layout()?)))
}

/// What of a file concerns Go, and where its segments are; None: Go did not make it.
pub(crate) fn go_parts(path: &Path) -> Result<Option<(Parts, Layout)>, ElfError> {
    open(path, |file| match file.go()? {
        Some(parts) => Ok(Some((parts, file.layout()?))),
        None => Ok(None),
    })
}

/// [`Reader::rows`] of a file.
pub(super) fn rows(path: &Path, see: SeeRow<'_>) -> Result<(bool, Vec<(u64, u64)>), ElfError> {
    open(path, |file| file.rows(see))
}

#[cfg(test)]
#[path = "elf_tests.rs"]
mod tests;
