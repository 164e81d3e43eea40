//! Functions by address, for the names of stacks. Names stay in their files until they are asked for: the tables of a browser or a
//! compiler have tens of megabytes of them.

use super::elf::{self, ElfError, Layout};
use super::{archive, debug_file};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Functions kept of a file; what is beyond has no name.
const MOST: usize = 2_000_000;
/// Bytes of a name that are read.
const LONGEST: usize = 64 << 10;
/// Symbols of one address and size whose names are compared.
const MOST_ALIASES: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Row {
    address: u64,
    size: u32,
    /// Where its name begins in its table of names.
    name: u32,
    names: u8,
}

/// A table of names.
#[derive(Debug)]
enum Names {
    InFile {
        file: File,
        start: u64,
        len: u64,
    },
    /// By number.
    Kept(Vec<Box<str>>),
}

/// The functions of a file and of its debug file, sorted.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
    names: Vec<Names>,
}

impl Table {
    pub(super) fn open(path: &Path, root: &Path) -> Result<(Layout, Self), ElfError> {
        let mut table = Self::default();
        let layout = elf::layout(path)?;
        let whole = table.add_file(path)?;
        if let Some(debug) = debug_file::find(path, root, &layout) {
            // Its symbols are a bonus: a broken debug file doesn't take the file's own away.
            let _ = table.add_file(&debug);
        } else if !whole {
            table.add_kept(elf::of_minidebug(path));
            table.add_kept(elf::of_go(path));
        }
        table.sort();
        Ok((layout, table))
    }

    /// Of an image in memory.
    pub(super) fn of(bytes: &[u8]) -> Option<(Layout, Self)> {
        let (layout, rows) = elf::table_of(bytes)?;
        let mut table = Self::default();
        table.add_kept(rows);
        table.sort();
        Some((layout, table))
    }

    /// Whether it had the symbols that stripping takes away.
    fn add_file(&mut self, path: &Path) -> Result<bool, ElfError> {
        let before = self.names.len();
        let rows = &mut self.rows;
        let (whole, strings) = elf::rows(path, &mut |table, address, size, name| {
            let names = u8::try_from(before + table).ok().filter(|_| rows.len() < MOST && name != 0);
            let size = u32::try_from(size).unwrap_or(u32::MAX);
            rows.extend(names.map(|names| Row { address, size, name, names }));
        })?;
        for (start, len) in strings {
            let file = crate::privilege::open(&archive::container(path));
            let file = file.map_err(|source| ElfError::Io { path: path.display().to_string(), source })?;
            self.names.push(Names::InFile { file, start, len });
        }
        Ok(whole)
    }

    fn add_kept(&mut self, all: Vec<elf::TableRow>) {
        let Ok(names) = u8::try_from(self.names.len()) else { return };
        let mut kept = Vec::with_capacity(all.len());
        for ((address, size, name), number) in all.into_iter().zip(0u32..) {
            self.rows.push(Row { address, size: u32::try_from(size).unwrap_or(u32::MAX), name: number, names });
            kept.push(name);
        }
        self.names.push(Names::Kept(kept));
    }

    /// The longest of several at one address first.
    fn sort(&mut self) {
        self.rows.sort_unstable_by(|a, b| a.address.cmp(&b.address).then(b.size.cmp(&a.size)));
        self.rows.shrink_to_fit();
    }

    /// The function that an address lies in: its start and name. Those without a size reach to the next one. Of several that are as
    /// long the first by name: so that the choice is always the same.
    pub(super) fn find(&self, address: u64) -> Option<(u64, String)> {
        let after = self.rows.partition_point(|row| row.address <= address);
        let start = self.rows.get(after.checked_sub(1)?)?.address;
        let first = self.rows.partition_point(|row| row.address < start);
        let best = self.rows.get(first)?;
        if best.size != 0 && address - start >= u64::from(best.size) {
            return None;
        }
        let same = self.rows.get(first..after)?.iter().take_while(|row| row.size == best.size).take(MOST_ALIASES);
        let name = same.filter_map(|row| self.name(*row)).min()?;
        Some((start, name))
    }

    fn name(&self, row: Row) -> Option<String> {
        let (file, start, len) = match self.names.get(usize::from(row.names))? {
            Names::Kept(names) => return names.get(row.name as usize).map(ToString::to_string),
            Names::InFile { file, start, len } => (file, start, len),
        };
        let most = usize::try_from(len.checked_sub(u64::from(row.name))?).unwrap_or(usize::MAX).min(LONGEST);
        // Most are short.
        for wanted in [512.min(most), most] {
            let mut bytes = vec![0; wanted];
            file.read_exact_at(&mut bytes, start.checked_add(u64::from(row.name))?).ok()?;
            if let Some(end) = memchr::memchr(0, &bytes) {
                let name = &bytes[..end];
                let name = &name[..memchr::memchr(b'@', name).filter(|at| *at > 0).unwrap_or(end)];
                return (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_end_functions() {
        let mut table = Table::default();
        table.add_kept(vec![
            (0x10, 4, "b".into()),
            (0x10, 4, "a".into()),
            (0x10, 0, "0".into()),
            (0x20, 0, "c".into()),
        ]);
        table.sort();
        assert_eq!(table.find(0x13), Some((0x10, "a".into())));
        assert_eq!(table.find(0x14), None);
        assert_eq!(table.find(0x99), Some((0x20, "c".into())));
        assert_eq!(table.find(0x0f), None);
    }
}
