//! Functions with their names, by address.

use super::{ElfError, Layout, Reader, parse, visit};
use crate::symbols::golang::GoFile;
use std::path::Path;

/// Go's own table of functions, which stays when a program is stripped.
pub(in crate::symbols) fn of_go(path: &Path) -> Vec<TableRow> {
    let Ok(Some(go)) = GoFile::open(path) else { return Vec::new() };
    go.entries().into_iter().map(|f| (f.address, f.size, f.name.into())).collect()
}

/// The symbols that a stripped file keeps compressed.
pub(in crate::symbols) fn of_minidebug(path: &Path) -> Vec<TableRow> {
    super::unpacked(path).and_then(|image| table_of(&image)).map_or_else(Vec::new, |(_, rows)| rows)
}

/// (address, size, name)
pub type TableRow = (u64, u64, Box<str>);

/// Functions as a table for looking addresses up: sorted, one name per address.
pub fn table(path: &Path, root: &Path) -> Result<(Layout, Vec<TableRow>), ElfError> {
    let mut rows = Vec::new();
    let layout = visit(path, root, &mut |address, size, name| add_row(&mut rows, address, size, name))?;
    Ok((layout, sorted(rows)))
}

/// The same of an image in memory.
pub(in crate::symbols) fn table_of(bytes: &[u8]) -> Option<(Layout, Vec<TableRow>)> {
    let mut rows = Vec::new();
    let read = |file: &dyn Reader| {
        file.visit(&mut |address, size, name| add_row(&mut rows, address, size, name))?;
        file.layout()
    };
    let layout = parse(bytes, 0, read).ok()?;
    Some((layout, sorted(rows)))
}

fn add_row(rows: &mut Vec<TableRow>, address: u64, size: u64, name: &[u8]) {
    /// More than any real program has; what is beyond has no name.
    const MAX: usize = 2_000_000;
    if rows.len() < MAX && !name.is_empty() {
        rows.push((address, size, String::from_utf8_lossy(name).into()));
    }
}

/// The longest of several at one address, then the first by name: so that the choice is always the same.
fn sorted(mut rows: Vec<TableRow>) -> Vec<TableRow> {
    rows.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
    rows.dedup_by_key(|(address, ..)| *address);
    rows
}
