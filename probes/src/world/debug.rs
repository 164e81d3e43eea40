//! Answers from programs' debug information.

use super::HostWorld;
use crate::dwarf::{DebugInfo, DwarfError};
use crate::symbols::elf;
use crate::symbols::find::{self, FindError};
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use weftrace_lang::world::{Answer, SourceLines, UserSymbol};

/// None: the file has no debug information; `Err`: why it could not be read.
type Opened = Result<Option<Rc<DebugInfo>>, String>;

/// Debug information of the files that were asked about, by path.
#[derive(Debug, Default)]
pub(super) struct DebugFiles {
    open: RefCell<HashMap<String, Opened>>,
    /// `--debuginfo`
    pub(super) directories: Vec<String>,
}

impl DebugFiles {
    /// Asks a file's debug information; "not there" if it has none, or has no answer.
    pub(super) fn ask<T>(
        &self,
        path: &str,
        ask: impl FnOnce(&DebugInfo) -> Result<Option<T>, DwarfError>,
    ) -> Answer<T> {
        match self.info(path) {
            Ok(Some(info)) => match ask(&info) {
                Ok(found) => found.map_or(Answer::NotThere, Answer::Found),
                Err(e) => Answer::CouldNotTell(e.to_string()),
            },
            Ok(None) => Answer::NotThere,
            Err(why) => Answer::CouldNotTell(why),
        }
    }

    pub(super) fn info(&self, path: &str) -> Opened {
        if let Some(known) = self.open.borrow().get(path) {
            return known.clone();
        }
        let opened = DebugInfo::open(Path::new(path), &root_of(path), &self.directories);
        let opened = opened.map(|info| info.map(Rc::new)).map_err(|e| e.to_string());
        self.open.borrow_mut().insert(path.to_owned(), opened.clone());
        opened
    }
}

/// `/proc/PID/root` of a path below it.
fn root_of(path: &str) -> PathBuf {
    let mut parts = path.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(""), Some("proc"), Some(pid), Some("root")) if pid.bytes().all(|b| b.is_ascii_digit()) => {
            PathBuf::from(format!("/proc/{pid}/root"))
        }
        _ => PathBuf::new(),
    }
}

impl HostWorld {
    /// Code of a source line in every file that `binary` means.
    pub(super) fn source_lines(&self, binary: &str, file: &str, line: u32, column: u32) -> Answer<SourceLines> {
        let files = match find::find(binary, self.pid, &self.search) {
            Ok(files) => files,
            Err(FindError::NotPermitted(path)) => {
                return Answer::NotPermitted(FindError::NotPermitted(path).to_string());
            }
            Err(FindError::NotFound(_) | FindError::NoProcess(_)) => return Answer::NotThere,
        };
        let mut out = SourceLines::default();
        let mut informed = false;
        for found in &files {
            let path = found.path.display().to_string();
            let info = match self.debug.info(&path) {
                Ok(Some(info)) => info,
                Ok(None) => continue,
                Err(why) => return Answer::CouldNotTell(why),
            };
            informed = true;
            let lines = match info.lines(file, line, column) {
                Ok(lines) => lines,
                Err(e) => return Answer::CouldNotTell(e.to_string()),
            };
            out.file = out.file.or_else(|| lines.files.iter().next().map(|f| f.display().to_string()));
            if lines.files.len() > 1 {
                out.ambiguous.extend(lines.files.iter().map(|f| f.display().to_string()));
                continue;
            }
            if lines.addresses.is_empty() {
                let before = lines.with_code.range(..line).next_back();
                out.near.extend(before.into_iter().chain(lines.with_code.range(line + 1..).next()));
            }
            let Ok((layout, table)) = elf::table(&found.path, &found.root) else { continue };
            for address in lines.addresses {
                let Some(file_offset) = layout.to_offset(address) else { continue };
                let after = table.partition_point(|(start, ..)| *start <= address);
                let symbol = after.checked_sub(1).and_then(|i| table.get(i));
                let (name, size) = symbol.map_or((String::new(), 0), |(_, size, name)| (name.to_string(), *size));
                let shown = if binary.contains('/') && files.len() == 1 { binary.to_owned() } else { String::new() };
                let path = path.clone();
                let rest = UserSymbol::default();
                out.found.push(UserSymbol { path, shown, name, address, file_offset, size, ..rest });
            }
        }
        if informed { Answer::Found(out) } else { Answer::CouldNotTell(format!("{binary} has no debug information")) }
    }
}
