//! Static markers (USDT): the notes of `.note.stapsdt`, as <sys/sdt.h> and its like make them
//! (<https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>).

mod args;

use super::elf::{self, ElfError};
use super::find::Binary;
use super::glob::Glob;
use args::Parser;
use object::Endianness;
use object::endian::Endian;
use weftrace_lang::world::{UsdtProbe, UsdtSite};

/// Markers read of one file; what is beyond is left out.
const MOST_MARKERS: usize = 100_000;
/// Note type of version 3, the one in use since 2010.
const NT_STAPSDT: u32 = 3;
/// Note owner, with and without what ends it.
const OWNER: &[u8] = b"stapsdt";

/// A file's notes as they are.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// e_machine
    machine: u16,
    /// Address of `.stapsdt.base`: where it differs from a note's, the file was moved by a prelinker. 0: there is none.
    pub(super) base: u64,
    all: Vec<Note>,
}

#[derive(Debug, PartialEq, Eq)]
struct Note {
    location: u64,
    base: u64,
    semaphore: u64,
    namespace: String,
    name: String,
    args: String,
}

impl Notes {
    pub(super) fn of(machine: u16) -> Self {
        Self { machine, ..Self::default() }
    }

    /// Takes a note, if it is a marker's; a malformed one is none.
    pub(super) fn add(&mut self, owner: &[u8], kind: u32, desc: &[u8], (wide, endian): (bool, Endianness)) {
        if kind != NT_STAPSDT || owner.strip_suffix(b"\0").unwrap_or(owner) != OWNER || self.all.len() >= MOST_MARKERS {
            return;
        }
        self.all.extend(parse(desc, wide, endian));
    }
}

/// Three addresses, then three texts that end with NUL.
fn parse(desc: &[u8], wide: bool, endian: Endianness) -> Option<Note> {
    let width = if wide { 8 } else { 4 };
    let address = |i: usize| {
        let bytes = desc.get(i * width..(i + 1) * width)?;
        Some(if wide {
            endian.read_u64(bytes.try_into().ok()?)
        } else {
            u64::from(endian.read_u32(bytes.try_into().ok()?))
        })
    };
    let mut texts = desc.get(3 * width..)?.split(|b| *b == 0).map(|t| String::from_utf8_lossy(t).into_owned());
    Some(Note {
        location: address(0)?,
        base: address(1)?,
        semaphore: address(2)?,
        namespace: texts.next()?,
        name: texts.next()?,
        args: texts.next()?,
    })
}

/// The markers of a file whose two names match, sorted by name; those of one name together, with a site for each note.
pub fn probes(file: &Binary, namespace: &Glob, name: &Glob) -> Result<Vec<UsdtProbe>, ElfError> {
    let (notes, layout) = elf::markers(&file.path)?;
    let symbol = |wanted: &str| elf::symbol(&file.path, &file.root, wanted).ok().flatten().map(|(address, _)| address);
    let parser = Parser { machine: notes.machine, symbol: &symbol };
    let mut out: Vec<UsdtProbe> = Vec::new();
    for note in &notes.all {
        if !namespace.matches(&note.namespace) || !name.matches(&note.name) {
            continue;
        }
        let moved = if notes.base == 0 || note.base == 0 { 0 } else { notes.base.wrapping_sub(note.base) };
        let location = note.location.wrapping_add(moved);
        let Some(file_offset) = layout.to_offset(location) else { continue };
        let semaphore = match note.semaphore {
            0 => 0,
            address => layout.data_offset(address.wrapping_add(moved)).unwrap_or(0),
        };
        let site = UsdtSite { file_offset, semaphore, args: parser.all(&note.args, location) };
        match out.iter_mut().find(|p| p.namespace == note.namespace && p.name == note.name) {
            // A note may be there twice, where two objects with one inline function were linked.
            Some(probe) if probe.sites.contains(&site) => {}
            Some(probe) => probe.sites.push(site),
            None => out.push(UsdtProbe {
                path: file.path_to_probe().display().to_string(),
                shown: file.shown.clone(),
                namespace: note.namespace.clone(),
                name: note.name.clone(),
                sites: vec![site],
            }),
        }
    }
    out.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(out)
}

#[cfg(test)]
mod tests;
