//! Addresses → functions with those inlined into them, source files and lines.

use super::sections::Reader;
use super::units::Units;
use super::{DwarfError, locate};
use addr2line::{Context, LookupContinuation, LookupResult};
use std::cell::OnceCell;
use std::path::Path;

/// One function at an address: innermost first, and all but the last are inlined into the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFrame {
    /// As the debug information has it: not demangled.
    pub function: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
}

/// A file's table of addresses, made as it is asked.
pub struct Frames {
    units: Units,
    context: OnceCell<Option<Context<Reader>>>,
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Frames")
    }
}

impl Frames {
    /// None: the file has no debug information.
    pub fn open(path: &Path, root: &Path, extra: &[String]) -> Result<Option<Self>, DwarfError> {
        let Some((file, sections)) = locate::locate(path, root, extra, super::sections::is_debug)? else {
            return Ok(None);
        };
        Ok(Some(Self::of(Units::new(&sections, &file, path)?)))
    }

    pub(super) fn of(units: Units) -> Self {
        Self { units, context: OnceCell::new() }
    }

    /// The functions at an address of the file; empty: nothing is known.
    pub fn at(&self, address: u64) -> Vec<SourceFrame> {
        self.units.answer(|| self.look(address)).unwrap_or_default()
    }

    fn look(&self, address: u64) -> Vec<SourceFrame> {
        let context = self.context.get_or_init(|| Context::from_arc_dwarf(self.units.dwarf.clone()).ok());
        let Some(context) = context else { return Vec::new() };
        let Ok(mut frames) = self.finish(context.find_frames(address)) else { return Vec::new() };
        let mut out = Vec::new();
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.as_ref().and_then(|f| f.raw_name().ok().map(std::borrow::Cow::into_owned));
            let place = frame.location;
            let file = place.as_ref().and_then(|l| l.file).map(str::to_owned);
            out.push(SourceFrame { function, file, line: place.and_then(|l| l.line) });
        }
        out
    }

    /// Goes on until nothing more that was split off is asked for.
    fn finish<L: LookupContinuation<Buf = Reader>>(&self, mut lookup: LookupResult<L>) -> L::Output {
        loop {
            lookup = match lookup {
                LookupResult::Output(found) => return found,
                LookupResult::Load { load, continuation } => {
                    let name = load.path.as_ref().and_then(super::units::text);
                    continuation.resume(self.units.split_dwarf(load.dwo_id, load.comp_dir.as_ref(), name.as_deref()))
                }
            };
        }
    }
}
