//! User addresses → symbols, by the process's memory map and the files in it.

use super::loaded::{Files, Loaded, is_vdso};
use super::perfmap::PerfMap;
use super::watch::Watch;
use super::{demangle, demangle_all, elf};
use crate::dwarf::unwind::{Registers, StackCopy, Step};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// What an address means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFrame {
    /// Demangled; None: only the file is known.
    pub symbol: Option<String>,
    /// Bytes into the symbol, or into the file's own addresses if there is none.
    pub offset: u64,
    /// As the process's map names it: `/usr/lib/libc.so.6`, `[vdso]`.
    pub file: String,
    /// Source file and line, where they were asked for and are known.
    pub source: Option<(String, u32)>,
    /// It is inlined into the frame that follows.
    pub inlined: bool,
}

/// A stack as far as it could be followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unwound {
    /// Addresses, innermost first.
    pub frames: Vec<u64>,
    /// The stack goes on beyond the copy.
    pub beyond: bool,
    /// There is no unwind information for the last frame.
    pub unknown: bool,
}

/// (device, inode): the same file in many processes is read once.
pub(super) type Identity = (u64, u64);

/// An executable mapping of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) file_offset: u64,
    pub(super) identity: Identity,
    pub(super) path: Arc<str>,
}

/// Symbolises addresses of any process. Maps are read when a process is first seen (and again if an address is new), files when
/// first needed; both are kept, in bounded number, so that a process that has ended still has names.
#[derive(Debug, Default)]
pub struct ProcessSymbols {
    processes: BTreeMap<u32, Process>,
    files: Files,
    /// What processes have had mapped.
    watch: Option<Watch>,
    /// Symbols that programs with a JIT compiler write down themselves.
    perf_maps: BTreeMap<u32, PerfMap>,
    clock: u64,
    /// C++ names are shown as C++ writes them.
    cpp: bool,
    /// Some process's map may not be read.
    unreadable: bool,
}

#[derive(Debug)]
struct Process {
    /// Start time (field 22 of /proc/PID/stat): tells a reused number.
    started: Option<u64>,
    regions: Vec<Region>,
    used: u64,
}

/// Processes whose maps are kept.
const MAX_PROCESSES: usize = 1024;
/// Mappings kept of one process.
const MAX_REGIONS: usize = 16 << 10;

impl ProcessSymbols {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with_cpp(mut self, cpp: bool) -> Self {
        self.cpp = cpp;
        self
    }

    /// Whether names were missing because a process is another user's and we may not look into it.
    pub fn unreadable(&self) -> bool {
        self.unreadable
    }

    /// Also knows what processes had mapped that have ended.
    #[must_use]
    pub fn watching(mut self, watch: Option<Watch>) -> Self {
        self.watch = watch;
        self
    }

    /// From now on what is mapped is kept.
    pub fn start_watching(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.start();
        }
    }

    /// Records of what was mapped that were lost.
    pub fn lost_mappings(&self) -> u64 {
        self.watch.as_ref().map_or(0, Watch::lost)
    }

    fn shown(&self, name: &str) -> String {
        if self.cpp { demangle_all(name) } else { demangle(name) }.into_owned()
    }

    /// Finds out where a process that has gone had its program, by the first address of a stack that was taken in one of these
    /// places: (file, address in the file).
    pub fn infer(&mut self, pid: u32, leaf: u64, places: &[(String, u64)]) {
        self.remember(pid);
        if self.processes.contains_key(&pid) || places.is_empty() {
            return;
        }
        // Programs are loaded at page boundaries.
        let fits = |(_, address): &&(String, u64)| leaf >= *address && (leaf - address).is_multiple_of(4096);
        let mut candidates = places.iter().filter(fits).map(|(path, address)| (path, leaf - address));
        let Some((path, base)) = candidates.next() else { return };
        // Two that could be: better none than the wrong one.
        if candidates.any(|other| other != (path, base)) {
            return;
        }
        let (Ok(layout), Ok(meta)) = (elf::layout(Path::new(path)), std::fs::metadata(path)) else { return };
        let identity = ((u64::from(libc::major(meta.dev())) << 32) | u64::from(libc::minor(meta.dev())), meta.ino());
        let regions = layout.segments.iter().filter(|s| s.executable).map(|s| Region {
            start: base.saturating_add(s.address),
            end: base.saturating_add(s.address).saturating_add(s.size),
            file_offset: s.file_offset,
            identity,
            path: path.as_str().into(),
        });
        let regions = regions.collect();
        self.make_room(pid);
        self.processes.insert(pid, Process { started: None, regions, used: self.clock });
    }

    /// All functions at an address, innermost first: those that were inlined, then the one that the symbol table has. `leaf`: the
    /// address is that of the instruction itself, not of a return. `debug`: with source lines and inlined functions.
    pub fn frames(&mut self, pid: u32, address: u64, leaf: bool, debug: bool) -> Vec<UserFrame> {
        let Some(mut outer) = self.resolve(pid, address) else { return Vec::new() };
        let found = self.region(pid, address).filter(|r| debug && r.path.starts_with('/')).and_then(|region| {
            let symbols = self.file(pid, &region);
            let symbols = Option::as_ref(&symbols)?;
            let in_file = address - region.start + region.file_offset;
            // A return address may be past the call's line, even past its function.
            let own = symbols.layout.to_address(in_file)?.checked_sub(u64::from(!leaf))?;
            Some(symbols.frames()?.at(own))
        });
        let mut found = found.unwrap_or_default();
        let Some(last) = found.pop() else { return vec![outer] };
        outer.source = last.file.zip(last.line);
        let inlined = found.into_iter().filter_map(|f| {
            let symbol = Some(self.shown(&f.function?));
            Some(UserFrame { symbol, offset: 0, file: outer.file.clone(), source: f.file.zip(f.line), inlined: true })
        });
        let mut out: Vec<UserFrame> = inlined.collect();
        out.push(outer);
        out
    }

    /// Follows a copied stack by the unwind information of the files that the process has mapped.
    pub fn unwind(&mut self, pid: u32, mut registers: Registers, bytes: &[u8], most: usize) -> Unwound {
        let mut out = Unwound::default();
        let Some(start) = registers.sp() else { return out };
        let stack = StackCopy { start, bytes };
        self.remember(pid);
        // Of the first frame, and of one that a signal interrupted, it is the instruction itself.
        let mut exact = true;
        while let Some(pc) = registers.pc().filter(|_| out.frames.len() < most) {
            out.frames.push(pc);
            let step = self.step(pid, pc - u64::from(!exact && pc > 0), &registers, &stack);
            let (caller, signal) = match step {
                Step::Caller(caller, signal) => (caller, signal),
                Step::End => return out,
                Step::Beyond => {
                    out.beyond = true;
                    return out;
                }
                Step::Unknown => {
                    let Some(caller) = registers.by_frame_pointer(&stack) else {
                        out.unknown = true;
                        return out;
                    };
                    (caller, false)
                }
            };
            // A stack that doesn't shrink has no end.
            if caller.sp() <= registers.sp() && out.frames.len() > 1 {
                return out;
            }
            (registers, exact) = (caller, signal);
        }
        out
    }

    fn step(&mut self, pid: u32, pc: u64, registers: &Registers, stack: &StackCopy<'_>) -> Step {
        let found = self.region(pid, pc).filter(|r| r.path.starts_with('/') || is_vdso(r));
        let Some(region) = found else { return Step::Unknown };
        let symbols = self.file(pid, &region);
        let Some(symbols) = Option::as_ref(&symbols) else { return Step::Unknown };
        let address = symbols.layout.to_address(pc - region.start + region.file_offset);
        match (symbols.unwind(), address) {
            (Some(info), Some(address)) => info.step(address, registers, stack),
            _ => Step::Unknown,
        }
    }

    /// Reads a process's map now, so that its addresses have names when it has gone.
    pub fn remember(&mut self, pid: u32) {
        self.clock += 1;
        let started = start_time(pid);
        if self.processes.get(&pid).is_none_or(|p| started.is_some() && p.started != started) {
            self.read_maps(pid, started);
        }
    }

    /// The symbol of an address; None: the process has gone (or isn't ours to look at) or has nothing there. Show it in
    /// hexadecimal then.
    pub fn resolve(&mut self, pid: u32, address: u64) -> Option<UserFrame> {
        self.remember(pid);
        let region = self.region(pid, address)?;
        let in_file = address - region.start + region.file_offset;
        let plain = |symbol, offset, file: &str| {
            Some(UserFrame { symbol, offset, file: file.to_owned(), source: None, inlined: false })
        };
        let anonymous = !region.path.starts_with('/') || region.path.starts_with("//anon");
        if (anonymous || region.path.starts_with("/memfd:")) && !is_vdso(&region) {
            let map = self.perf_maps.entry(pid).or_insert_with(|| PerfMap::new(pid));
            return match map.find(address) {
                Some((name, start)) => plain(Some(name.to_owned()), address - start, map.path()),
                None => plain(None, address - region.start, &region.path),
            };
        }
        let symbols = self.file(pid, &region);
        let Some(symbols) = symbols.as_ref() else { return plain(None, in_file, &region.path) };
        let own = symbols.layout.to_address(in_file).unwrap_or(in_file);
        let found = symbols.table.find(own);
        match found {
            Some((start, name)) => plain(Some(self.shown(&name)), own - start, &region.path),
            None => plain(None, own, &region.path),
        }
    }

    /// The mapping that an address is in: as the process has it, or had it. The process has been [`Self::remember`]ed.
    fn region(&mut self, pid: u32, address: u64) -> Option<Region> {
        if let Some(found) = self.known_region(pid, address) {
            return Some(found);
        }
        // Mapped since: a library loaded later.
        if let Some(started) = start_time(pid) {
            self.read_maps(pid, Some(started));
        }
        self.known_region(pid, address).or_else(|| self.watch.as_ref()?.find(pid, address))
    }

    fn known_region(&mut self, pid: u32, address: u64) -> Option<Region> {
        let process = self.processes.get_mut(&pid)?;
        process.used = self.clock;
        let after = process.regions.partition_point(|r| r.start <= address);
        process.regions.get(after.checked_sub(1)?).filter(|r| address < r.end).cloned()
    }

    fn read_maps(&mut self, pid: u32, started: Option<u64>) {
        let mut regions = match regions_of(pid) {
            Ok(regions) => regions,
            Err(e) => {
                self.unreadable |= e.kind() == std::io::ErrorKind::PermissionDenied;
                return;
            }
        };
        // A process on its way out has an empty map: what was read before is better.
        if regions.is_empty() {
            return;
        }
        regions.sort_unstable_by_key(|r| r.start);
        self.make_room(pid);
        self.perf_maps.remove(&pid);
        self.processes.insert(pid, Process { started, regions, used: self.clock });
    }

    fn make_room(&mut self, pid: u32) {
        if self.processes.len() >= MAX_PROCESSES && !self.processes.contains_key(&pid) {
            let oldest = self.processes.iter().min_by_key(|(_, p)| p.used).map(|(pid, _)| *pid);
            if let Some(pid) = oldest {
                self.processes.remove(&pid);
                self.perf_maps.remove(&pid);
            }
        }
    }

    fn file(&mut self, pid: u32, region: &Region) -> Rc<Option<Loaded>> {
        let watch = self.watch.as_ref();
        self.files.get(pid, region, || watch.map(|w| w.relatives(pid, region.identity)).unwrap_or_default())
    }
}

/// What a process has mapped to execute; nothing if it has gone or isn't ours to look at.
pub(super) fn maps_of(pid: u32) -> Vec<Region> {
    regions_of(pid).unwrap_or_default()
}

fn regions_of(pid: u32) -> std::io::Result<Vec<Region>> {
    let mut text = String::new();
    crate::privilege::open(Path::new(&format!("/proc/{pid}/maps")))?.read_to_string(&mut text)?;
    Ok(text.lines().filter_map(parse_region).take(MAX_REGIONS).collect())
}

/// `55d0c8a00000-55d0c8a01000 r-xp 00002000 08:01 1234   /usr/bin/cat`; executable ones only.
pub(super) fn parse_region(line: &str) -> Option<Region> {
    let mut parts = line.splitn(6, ' ');
    let (start, end) = parts.next()?.split_once('-')?;
    let flags = parts.next()?;
    if flags.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let file_offset = hex(parts.next()?)?;
    let (major, minor) = parts.next()?.split_once(':')?;
    let inode = parts.next()?.parse().ok()?;
    let path = parts.next().unwrap_or("").trim_start().into();
    Some(Region {
        start: hex(start)?,
        end: hex(end)?,
        file_offset,
        identity: (hex(major)? << 32 | hex(minor)?, inode),
        path,
    })
}

/// Field 22 of /proc/PID/stat; the name in parentheses may have anything in it.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
