//! What DWARF debug information says about a program: types, functions' parameters, source lines, inlined calls.
//!
//! Nothing is read before it is asked for. A question about a function looks into the one unit whose code it is, found by its
//! address range. The information may be in the file, in a file of its own (by build id or `.gnu_debuglink`), or partly in
//! `.dwo` and `.dwp` files.

mod abi;
mod blocks;
mod c_text;
mod frames;
mod functions;
pub mod fuzz;
mod golang;
mod golang_abi;
mod limits;
mod lines;
mod locate;
mod location;
mod sections;
mod seeds;
mod structs;
mod types;
mod units;
pub mod unwind;

pub use frames::{Frames, SourceFrame};

use sections::{Sections, is_parameter_debug};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::rc::Rc;
use units::{Node, Part, Units};

/// Why debug information could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DwarfError {
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    #[error("{0}: {1}")]
    Malformed(String, String),
    #[error("its debug information was split off, and {0} is not there")]
    SplitMissing(String),
}

/// What a name is looked up as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wanted {
    Struct,
    Enum,
    Typedef,
}

/// Structs by the names they were given.
#[derive(Debug, Default)]
struct Names {
    by_node: HashMap<(usize, usize), String>,
    /// Own name → definitions that differ, with what tells them apart.
    by_name: BTreeMap<String, Vec<(u64, Node)>>,
    nodes: HashMap<String, Node>,
}

/// The debug information of one program or library.
#[derive(Debug)]
pub struct DebugInfo {
    /// The file as the checker knows it: part of its types' names.
    path: String,
    units: Units,
    names: RefCell<Names>,
    found: RefCell<HashMap<(String, Wanted), Option<Node>>>,
    /// The unit of the function that was asked for last: its types come first.
    near: RefCell<Option<Rc<Part>>>,
}

impl DebugInfo {
    /// Opens a file's debug information; None: it has none. `root` is prefixed to absolute paths (`/proc/PID/root`, or empty);
    /// `extra` are `--debuginfo`'s directories.
    pub fn open(path: &Path, root: &Path, extra: &[String]) -> Result<Option<Self>, DwarfError> {
        let Some((file, sections)) = locate::locate(path, root, extra, is_parameter_debug)? else { return Ok(None) };
        Ok(Some(Self::new(path, Units::new(&sections, &file, path)?)))
    }

    fn new(path: &Path, units: Units) -> Self {
        Self {
            path: path.display().to_string(),
            units,
            names: RefCell::default(),
            found: RefCell::default(),
            near: RefCell::default(),
        }
    }

    /// Of sections that are in memory.
    fn of(sections: &Sections) -> Result<Self, DwarfError> {
        // No file is beside it.
        let nowhere = Path::new("/");
        Ok(Self::new(nowhere, Units::new(sections, nowhere, nowhere)?))
    }

    /// Answers a question, or says that the file is not such that it can be answered.
    fn answer<T>(&self, ask: impl FnOnce() -> T) -> Result<T, DwarfError> {
        self.units.answer(ask).map_err(|why| DwarfError::Malformed(self.path.clone(), why.to_string()))
    }
}

#[cfg(test)]
mod tests;
