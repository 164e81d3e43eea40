//! Source lines → addresses.

use super::sections::Reader;
use super::units::{Part, text};
use super::{DebugInfo, DwarfError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// What a source line means.
#[derive(Debug, Default)]
pub struct Lines {
    /// Where its statements begin: the lowest address in each function or inlined call.
    pub addresses: Vec<u64>,
    /// Source files whose path ends so.
    pub files: BTreeSet<PathBuf>,
    /// Lines of the file that have code.
    pub with_code: BTreeSet<u32>,
}

impl DebugInfo {
    /// Addresses of `file:line[:column]`; `column` 0: any.
    pub fn lines(&self, file: &str, line: u32, column: u32) -> Result<Lines, DwarfError> {
        let units = self.answer(|| self.units.count())?;
        let mut out = Lines::default();
        // Lowest address by (unit, function or inlined call).
        let mut first: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        for index in 0..units {
            let Some(part) = self.units.skeleton(index) else { continue };
            let Some(rows) = matching_rows(&part, file, &mut out.files) else { continue };
            let here: Vec<u64> = rows
                .iter()
                .filter(|r| r.line == line && (column == 0 || r.column == u64::from(column)))
                .map(|r| r.address)
                .collect();
            out.with_code.extend(rows.iter().map(|r| r.line));
            if here.is_empty() {
                continue;
            }
            let full = self.units.full(index).unwrap_or(part);
            let is_file = |part: &Part, number: u64| {
                let Some(program) = &part.unit.line_program else { return true };
                path_of(part, program.header(), number).is_none_or(|path| ends_with(&path, Path::new(file)))
            };
            for address in here {
                let scope = self.scope_at(&full, address, line, &is_file).unwrap_or(0);
                let lowest = first.entry((index, scope)).or_insert(address);
                *lowest = address.min(*lowest);
            }
        }
        out.addresses = first.into_values().collect();
        out.addresses.sort_unstable();
        out.addresses.dedup();
        Ok(out)
    }
}

struct Row {
    address: u64,
    line: u32,
    column: u64,
}

/// The statements of a unit that come from the file; None: it has no such file.
fn matching_rows(part: &Rc<Part>, file: &str, files: &mut BTreeSet<PathBuf>) -> Option<Vec<Row>> {
    let program = part.unit.line_program.clone()?;
    let header = program.header().clone();
    let numbers: BTreeMap<u64, PathBuf> = (0..=header.file_names().len() as u64)
        .filter_map(|i| Some((i, path_of(part, &header, i)?)))
        .filter(|(_, path)| ends_with(path, Path::new(file)))
        .collect();
    if numbers.is_empty() {
        return None;
    }
    let mut out = Vec::new();
    let mut rows = program.rows();
    while let Ok(Some((_, row))) = rows.next_row() {
        let Some(path) = numbers.get(&row.file_index()).filter(|_| row.is_stmt() && !row.end_sequence()) else {
            continue;
        };
        // Addresses near 0 are of code that the linker left out.
        let Some(line) = row.line().and_then(|n| u32::try_from(n.get()).ok()).filter(|_| row.address() != 0) else {
            continue;
        };
        files.insert(path.clone());
        let column = match row.column() {
            gimli::ColumnType::LeftEdge => 0,
            gimli::ColumnType::Column(n) => n.get(),
        };
        out.push(Row { address: row.address(), line, column });
    }
    Some(out)
}

/// A source file's path, as absolute as the information has it, without `.` and `..`.
fn path_of(part: &Part, header: &gimli::LineProgramHeader<Reader>, index: u64) -> Option<PathBuf> {
    let file = header.file(index)?;
    let string = |value| text(&part.dwarf.attr_string(&part.unit, value).ok()?);
    let mut path = PathBuf::new();
    if let Some(directory) = part.unit.comp_dir.as_ref().and_then(text) {
        path.push(directory);
    }
    if let Some(directory) = file.directory(header).and_then(string) {
        path.push(directory);
    }
    path.push(string(file.path_name())?);
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// Whether a path ends in all components of another.
fn ends_with(path: &Path, end: &Path) -> bool {
    let end: PathBuf = end.components().filter(|c| !matches!(c, Component::CurDir)).collect();
    path.ends_with(end)
}
