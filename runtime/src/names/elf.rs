//! Function symbols of an ELF file, sorted by address.

use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};
use std::{fs, path::Path};

/// Largest file that is read for its symbols.
const MAX_FILE: u64 = 512 << 20;

/// Code symbols and load segments of one file.
#[derive(Debug, Default)]
pub(super) struct ElfSymbols {
    /// (address, size, name)
    symbols: Vec<(u64, u64, Box<str>)>,
    /// (file offset, bytes in the file, address)
    segments: Vec<(u64, u64, u64)>,
}

impl ElfSymbols {
    pub(super) fn load(path: &Path) -> Option<Self> {
        let file = fs::File::open(path).ok()?;
        let meta = file.metadata().ok()?;
        if !meta.is_file() || meta.len() > MAX_FILE {
            return None;
        }
        drop(file);
        Self::parse(&fs::read(path).ok()?)
    }

    pub(super) fn parse(data: &[u8]) -> Option<Self> {
        let file = object::File::parse(data).ok()?;
        let segments = file
            .segments()
            .map(|s| {
                let (offset, size) = s.file_range();
                (offset, size, s.address())
            })
            .collect();
        let mut symbols: Vec<(u64, u64, Box<str>)> = file
            .symbols()
            .chain(file.dynamic_symbols())
            .filter(|s| s.kind() == SymbolKind::Text && s.address() != 0)
            .filter_map(|s| Some((s.address(), s.size(), demangle(s.name().ok()?))))
            .collect();
        // Of several names for one address the sized, then the alphabetically first one is shown.
        symbols.sort_by(|a, b| (a.0, b.1, &a.2).cmp(&(b.0, a.1, &b.2)));
        symbols.dedup_by_key(|s| s.0);
        Some(Self { symbols, segments })
    }

    /// Name and distance for a byte of the file.
    pub(super) fn find(&self, file_offset: u64) -> Option<(&str, u64)> {
        let &(at, _, address) =
            self.segments.iter().find(|&&(at, size, _)| file_offset >= at && file_offset - at < size)?;
        let addr = file_offset - at + address;
        let after = self.symbols.partition_point(|s| s.0 <= addr);
        let (start, size, name) = self.symbols.get(after.checked_sub(1)?)?;
        let offset = addr - start;
        (*size == 0 || offset < *size).then_some((name, offset))
    }
}

fn demangle(name: &str) -> Box<str> {
    match rustc_demangle::try_demangle(name) {
        Ok(plain) => format!("{plain:#}").into(),
        Err(_) => name.into(),
    }
}
