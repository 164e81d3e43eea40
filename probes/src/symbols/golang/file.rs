//! A Go program's file: what it is known by, its version, its table of functions.

use super::pclntab::{Bytes, Entry, Header, Index, Table};
use super::version::{self, Version};
use super::{Machine, places};
use crate::symbols::archive;
use crate::symbols::elf::{self as symbols, ElfError, Layout};
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, ReadRef};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use weftrace_lang::world::{GoAbi, GoFunction, GoRuntime};

/// Sections that only Go programs have.
const MARKS: &[&str] = &[".go.buildinfo", ".note.go.buildid", ".gopclntab", ".data.rel.ro.gopclntab"];
/// Where the linker puts the table: by itself, or (externally linked, position-independent) among others.
const TABLES: &[&str] = &[".gopclntab", ".data.rel.ro.gopclntab"];
const AMONG: &[&str] = &[".data.rel.ro", ".rodata"];
/// Code of one function that is looked over.
const MAX_CODE: u64 = 4 << 20;
/// A table of functions that is read at once.
const MAX_TABLE: u64 = 1 << 30;
/// Bytes of names of functions that are kept; the largest programs known have a tenth of that.
const MAX_NAMES: usize = 512 << 20;

/// A piece of the file with a name.
#[derive(Clone, Debug)]
struct Piece {
    name: String,
    address: u64,
    offset: u64,
    size: u64,
}

/// What of an ELF file concerns Go.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    machine: Machine,
    pieces: Vec<Piece>,
    /// Size and alignment of a thread's own memory, if there is any.
    thread: Option<(u64, u64)>,
}

impl Parts {
    /// None: it was not made by Go.
    pub(in crate::symbols) fn of<'d, H, R>(header: &H, data: R) -> object::Result<Option<Self>>
    where
        H: FileHeader<Endian = Endianness>,
        R: ReadRef<'d>,
    {
        let endian = header.endian()?;
        let sections = header.sections(endian, data)?;
        let mut pieces = Vec::new();
        for section in sections.iter().filter(|s| s.sh_type(endian) != elf::SHT_NOBITS) {
            let name = String::from_utf8_lossy(sections.section_name(endian, section)?).into_owned();
            let (address, offset) = (section.sh_addr(endian).into(), section.sh_offset(endian).into());
            pieces.push(Piece { name, address, offset, size: section.sh_size(endian).into() });
        }
        if !pieces.iter().any(|p| MARKS.contains(&p.name.as_str())) {
            return Ok(None);
        }
        let machine = Machine::of(header, endian);
        let headers = header.program_headers(endian, data)?;
        let thread = headers.iter().find(|p| p.p_type(endian) == elf::PT_TLS);
        let thread = thread.map(|p| (p.p_memsz(endian).into(), p.p_align(endian).into()));
        Ok(Some(Self { machine, pieces, thread }))
    }

    fn piece(&self, names: &[&str]) -> Option<&Piece> {
        names.iter().find_map(|name| self.pieces.iter().find(|p| p.name == *name && p.size > 0))
    }
}

/// An open Go program.
#[derive(Debug)]
pub struct GoFile {
    file: File,
    layout: Layout,
    machine: Machine,
    /// Offset and size of the table in the file, and where code begins.
    table: Option<(u64, u64, u64)>,
    version: Option<Version>,
    runtime: GoRuntime,
}

/// A piece of a file.
struct Window<'f> {
    file: &'f File,
    offset: u64,
    size: u64,
}

impl Bytes for Window<'_> {
    fn read(&self, at: u64, out: &mut [u8]) -> bool {
        let fits = at.checked_add(out.len() as u64).is_some_and(|end| end <= self.size);
        fits && self.file.read_exact_at(out, self.offset.saturating_add(at)).is_ok()
    }
}

impl GoFile {
    /// None: no Go program.
    pub fn open(path: &Path) -> Result<Option<Self>, ElfError> {
        // Programs in archives are no programs of Go's.
        if archive::split(path).is_some() {
            return Ok(None);
        }
        let Some((parts, layout)) = symbols::go_parts(path)? else { return Ok(None) };
        let file =
            crate::privilege::open(path).map_err(|source| ElfError::Io { path: path.display().to_string(), source })?;
        let symbol = |name: &str| symbols::symbol(path, Path::new(""), name).ok().flatten().map(|(address, _)| address);
        let text = version_text(&file, &layout, &parts).unwrap_or_default();
        let version = Version::parse(&text);
        let runtime = GoRuntime {
            tls: thread_word(parts.thread, || symbol("runtime.tlsg")),
            goid: version.and_then(version::goid),
            recovery: version.and_then(version::recovery),
            version: text,
        };
        let mut go = Self { file, layout, machine: parts.machine, table: None, version, runtime };
        go.table = go.find_table(&parts, symbol);
        Ok(Some(go))
    }

    fn find_table(&self, parts: &Parts, symbol: impl Fn(&str) -> Option<u64>) -> Option<(u64, u64, u64)> {
        let (offset, size) = match parts.piece(TABLES) {
            Some(piece) => (piece.offset, piece.size),
            None => self.table_among(parts, &symbol)?,
        };
        let header = Header::read(&Window { file: &self.file, offset, size })?;
        let is_code = |address: &u64| self.layout.to_offset(*address).is_some();
        let text = Some(header.text).filter(is_code).or_else(|| symbol("runtime.text").filter(is_code));
        Some((offset, size, text.or_else(|| Some(parts.piece(&[".text"])?.address)).unwrap_or(0)))
    }

    /// The table within a larger section: by its symbol, else by how it begins.
    fn table_among(&self, parts: &Parts, symbol: &impl Fn(&str) -> Option<u64>) -> Option<(u64, u64)> {
        let piece = parts.piece(AMONG)?;
        let rest = |offset: u64| (offset, piece.offset.saturating_add(piece.size).saturating_sub(offset));
        if let Some(offset) = symbol("runtime.pclntab").and_then(|address| self.layout.data_offset(address)) {
            return Some(rest(offset));
        }
        let mut chunk = vec![0; 1 << 20];
        let mut at = piece.offset.next_multiple_of(8);
        let end = piece.offset.saturating_add(piece.size);
        while at < end {
            let len = usize::try_from(end - at).map_or(chunk.len(), |n| n.min(chunk.len()));
            self.file.read_exact_at(&mut chunk[..len], at).ok()?;
            // The header's other words are beyond the eight, perhaps beyond the chunk.
            let may_begin =
                |eight: &[u8]| eight[1..4] == [0xff; 3] && eight[4..6] == [0; 2] && matches!(eight[7], 4 | 8);
            let begins = |offset: &u64| {
                let mut head = [0; 64];
                self.file.read_exact_at(&mut head, *offset).is_ok() && Header::read(&&head[..]).is_some()
            };
            let places = (at..).step_by(8).zip(chunk[..len].chunks_exact(8));
            let mut places = places.filter(|(_, eight)| may_begin(eight)).map(|(offset, _)| offset);
            if let Some(offset) = places.find(begins) {
                return Some(rest(offset));
            }
            at += len.max(1) as u64;
        }
        None
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn version(&self) -> Option<Version> {
        self.version
    }

    fn window(&self) -> Option<(Window<'_>, u64)> {
        let (offset, size, text) = self.table?;
        Some((Window { file: &self.file, offset, size }, text))
    }

    /// Every function, by address.
    pub fn entries(&self) -> Vec<Entry> {
        let Some((window, text)) = self.window() else { return Vec::new() };
        let Ok(size) = usize::try_from(window.size.min(MAX_TABLE)) else { return Vec::new() };
        let mut bytes = vec![0; size];
        if !window.read(0, &mut bytes) {
            return Vec::new();
        }
        let Some(table) = Table::new(&bytes[..], text) else { return Vec::new() };
        // All may share one long name in a table that was made to.
        let mut left = MAX_NAMES;
        let fits = |e: &Entry| {
            let room = left.checked_sub(e.name.len());
            left = room.unwrap_or(left);
            room.is_some()
        };
        (0..table.len()).filter_map(|i| table.entry(i)).take_while(fits).collect()
    }

    /// The function that an address lies in. `symbol`: its name in the symbol table, if there is one. None: Go's own compiler made
    /// none there.
    pub fn function(&self, address: u64, symbol: &str) -> Result<Option<GoFunction>, String> {
        let (window, text) = self.window().ok_or("its table of functions (.gopclntab) was not found")?;
        let table =
            Table::new(window, text).ok_or("its table of functions (.gopclntab) has a form that is not known here")?;
        let Some(index) = table.find(address) else { return Ok(None) };
        let Some(entry) = table.entry(index) else { return Ok(None) };
        self.look_over(&table, index, entry, symbol).map(Some)
    }

    fn look_over<B: Bytes>(
        &self,
        table: &Table<B>,
        index: Index,
        e: Entry,
        symbol: &str,
    ) -> Result<GoFunction, String> {
        let Some(version) = self.version else {
            let said = &self.runtime.version;
            let said = if said.is_empty() { "none" } else { said.as_str() };
            return Err(format!("its version of Go is not known here ({said})"));
        };
        let assembly = table.file(index).is_some_and(|file| file.rsplit_once('.').is_some_and(|(_, end)| end == "s"));
        let abi = match version.abi(self.machine.first_register_abi()) {
            _ if symbol.rsplit_once('.').is_some_and(|(_, end)| end == "abi0") => GoAbi::Stack,
            GoAbi::Registers if assembly => GoAbi::Unknown,
            abi => abi,
        };
        let wrong = || format!("the code of {} is not in the file", e.name);
        let offset = self.layout.to_offset(e.address).ok_or_else(wrong)?;
        let mut code = vec![0; usize::try_from(e.size.min(MAX_CODE)).map_err(|_| wrong())?];
        self.file.read_exact_at(&mut code, offset).map_err(|_| wrong())?;
        let Some(found) = places(self.machine, &code, e.address, abi != GoAbi::Stack, assembly) else {
            return Err("Go programs of this architecture are not supported yet".into());
        };
        let to_file = |address: &u64| offset + (address - e.address);
        Ok(GoFunction {
            start: offset,
            entry: to_file(&found.entry),
            returns: found.returns.iter().map(to_file).collect(),
            tails: found.tails.iter().map(to_file).collect(),
            unclear: found.unclear,
            looped: found.looped,
            abi,
            runtime: self.runtime.clone(),
            name: e.name,
        })
    }
}

/// From the thread pointer to the word that holds the current goroutine.
fn thread_word(thread: Option<(u64, u64)>, symbol: impl Fn() -> Option<u64>) -> i64 {
    // Without memory of its own for threads the linker's convention holds: the word below.
    let Some((size, align)) = thread.filter(|(size, _)| *size > 8) else { return -8 };
    let top = size.checked_next_multiple_of(align.max(1)).unwrap_or(size);
    symbol().unwrap_or(0).wrapping_sub(top) as i64
}

/// `go1.19.8`, from `.go.buildinfo` (cmd/link's buildinfo; debug/buildinfo reads it).
fn version_text(file: &File, layout: &Layout, parts: &Parts) -> Option<String> {
    /// Longest version that is taken for one.
    const MAX: usize = 256;
    let piece = parts.piece(&[".go.buildinfo"])?;
    let mut head = [0; 32];
    file.read_exact_at(&mut head, piece.offset).ok()?;
    if head[..14] != *b"\xff Go buildinf:" {
        return None;
    }
    let text = |offset: u64, len: usize| {
        let mut text = vec![0; len];
        file.read_exact_at(&mut text, offset).ok()?;
        String::from_utf8(text).ok()
    };
    if head[15] & 2 != 0 {
        // Since Go 1.18: a length and the text behind the header.
        let mut len = [0; 2];
        file.read_exact_at(&mut len, piece.offset + 32).ok()?;
        let (len, bytes) = if len[0] < 0x80 {
            (usize::from(len[0]), 1)
        } else {
            (usize::from(len[0] & 0x7f) | usize::from(len[1]) << 7, 2)
        };
        return text(piece.offset + 32 + bytes, len.min(MAX));
    }
    // Before: the address of a string. Of a big-endian machine: not read here.
    if head[14] != 8 || head[15] & 1 != 0 {
        return None;
    }
    let word = |at: u64| {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, at).ok()?;
        Some(u64::from_le_bytes(word))
    };
    let string = layout.data_offset(word(piece.offset + 16)?)?;
    let (address, len) = (word(string)?, word(string + 8)?);
    text(layout.data_offset(address)?, usize::try_from(len).ok()?.min(MAX))
}
