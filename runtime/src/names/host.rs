//! The host's own names.

use super::{
    Frame, KernelNames, Stack, Symbol, Unwound,
    asked::{Answers, SymbolAnswer},
    cgroup::CgroupPaths,
    kept::Kept,
};
use crate::sys::{Clock, strftime};
use std::collections::BTreeMap;
use weftrace_probes::{
    dwarf::unwind::Registers,
    symbols::{ProcessSymbols, UserFrame, Watch},
};

/// Where stacks are read: the kernel's stack maps.
pub type StackReader = Box<dyn FnMut(Stack, i64) -> Option<Vec<u8>>>;

/// How names are shown, and what is known about traced programs.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Source files, lines and inlined functions.
    pub debug_info: bool,
    /// C++ names as C++ writes them.
    pub cpp: bool,
    /// Where user probes are: (file, address in it).
    pub places: Vec<(String, u64)>,
    /// Only stacks of these processes are unwound; None: of any.
    pub unwound: Option<Vec<u32>>,
    /// What processes map is recorded, so that those that have ended still have names.
    pub watch: bool,
    /// The one process that is of interest.
    pub only: Option<u32>,
}

/// Names of this host, each table loaded when first asked.
pub struct HostNames {
    pub(super) clock: Clock,
    kernel: KernelNames,
    processes: ProcessSymbols,
    /// Processes whose stacks were not unwound, and whether that was told.
    refused: BTreeMap<u32, bool>,
    /// The last symbol that was asked for.
    last: Option<UserFrame>,
    settings: Settings,
    users: Option<BTreeMap<u32, String>>,
    stacks: Option<StackReader>,
    pub(super) unwound: Kept,
    cgroups: CgroupPaths,
    told: Unnamed,
    /// Where names come from, and whether they are noted.
    pub(crate) answers: Answers,
    /// The last of them.
    pub(super) answered: Option<SymbolAnswer>,
}

impl HostNames {
    pub fn new(clock: Clock, stacks: Option<StackReader>, settings: Settings, kernel: KernelNames) -> Self {
        Self {
            clock,
            kernel,
            processes: ProcessSymbols::new()
                .with_cpp(settings.cpp)
                .watching(settings.watch.then(|| Watch::open(settings.only)).flatten()),
            refused: BTreeMap::new(),
            last: None,
            settings,
            users: None,
            stacks,
            unwound: Kept::default(),
            cgroups: CgroupPaths::default(),
            told: Unnamed::default(),
            answers: Answers::default(),
            answered: None,
        }
    }
}

impl HostNames {
    /// Whether a process's stack was not unwound, said once for each.
    pub fn take_refused(&mut self) -> bool {
        let new = self.refused.values().any(|told| !told);
        self.refused.values_mut().for_each(|told| *told = true);
        new
    }
}

/// What could not be named for want of a privilege.
#[derive(Clone, Copy, Debug, Default)]
struct Unnamed {
    kernel: bool,
    processes: bool,
}

const HIDDEN: &str = "addresses of the kernel have no names here: the kernel hides them (CAP_SYSLOG is missing, or kernel.kptr_restrict is 2)";
const FOREIGN: &str =
    "addresses of some processes have no names: other users' may not be looked into (CAP_SYS_PTRACE is missing)";

impl HostNames {
    /// Names that are missing for want of a privilege, each cause said once.
    pub fn take_unnamed(&mut self) -> Option<&'static str> {
        if !self.told.kernel && self.kernel.asked_in_vain() {
            self.told.kernel = true;
            return Some(HIDDEN);
        }
        if !self.told.processes && self.processes.unreadable() {
            self.told.processes = true;
            return Some(FOREIGN);
        }
        None
    }
}

/// Processes that are remembered as told about.
const MOST_REFUSED: usize = 1024;

impl HostNames {
    /// Privileges have been given up: threads that begin now have none of them.
    pub(crate) fn start_watching(&mut self) {
        self.processes.start_watching();
    }

    /// Records of what processes mapped that were lost.
    pub(crate) fn lost_mappings(&self) -> u64 {
        self.processes.lost_mappings()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The wall clock's ns at a time since boot.
    pub(crate) fn wall(&mut self, boot_ns: u64) -> u64 {
        self.clock.wall(boot_ns)
    }

    /// A time since the epoch, as strftime shows it.
    pub(crate) fn wall_time(wall_ns: u64, fmt: &str, out: &mut Vec<u8>) {
        strftime(wall_ns, fmt, false, out);
    }
}

/// What is known here and now; [`Names`] asks it, or a recording.
impl HostNames {
    pub(super) fn find(&mut self, pid: Option<u32>, addr: u64) -> Option<Symbol<'_>> {
        let Some(pid) = pid else { return self.kernel.symbols().find(addr) };
        self.last = self.processes.resolve(pid, addr).filter(|f| f.symbol.is_some());
        let found = self.last.as_ref()?;
        Some(Symbol { name: found.symbol.as_deref()?, offset: found.offset, module: Some(&found.file) })
    }

    pub(super) fn find_frames(&mut self, pid: Option<u32>, addr: u64, leaf: bool) -> Vec<Frame> {
        let Some(pid) = pid else {
            let found = self.find(None, addr);
            // As perf names them.
            let module = |s: &Symbol<'_>| format!("[{}]", s.module.unwrap_or("kernel.kallsyms"));
            let frame = |s: Symbol<'_>| Frame {
                module: Some(module(&s)),
                name: s.name.to_owned(),
                offset: s.offset,
                ..Frame::default()
            };
            return found.map(frame).into_iter().collect();
        };
        if leaf {
            self.processes.infer(pid, addr, &self.settings.places);
        }
        let found = self.processes.frames(pid, addr, leaf, self.settings.debug_info);
        let frame = |f: UserFrame| {
            let module = Some(f.file).filter(|file| !file.is_empty());
            let name = f.symbol.unwrap_or_default();
            // Memory without a name or a file says nothing.
            let known = !name.is_empty() || module.is_some();
            known.then_some(Frame { name, offset: f.offset, module, source: f.source, inlined: f.inlined })
        };
        found.into_iter().filter_map(frame).collect()
    }

    pub(super) fn follow(&mut self, pid: u32, registers: &[u8], stack: &[u8], most: usize) -> Option<Unwound> {
        if self.settings.unwound.as_ref().is_some_and(|only| !only.contains(&pid)) {
            if self.refused.len() < MOST_REFUSED {
                self.refused.entry(pid).or_insert(false);
            }
            return None;
        }
        let registers = Registers::from_kernel(registers)?;
        if let Some(pc) = registers.pc() {
            self.processes.infer(pid, pc, &self.settings.places);
        }
        Some(self.processes.unwind(pid, registers, stack, most))
    }

    pub(super) fn read_stack(&mut self, stack: Stack, id: i64) -> Option<Vec<u8>> {
        self.stacks.as_mut()?(stack, id)
    }

    pub(super) fn find_user(&mut self, uid: u32) -> Option<String> {
        let users = self.users.get_or_insert_with(|| match std::fs::read("/etc/passwd") {
            Ok(text) => parse_passwd(&String::from_utf8_lossy(&text)),
            Err(_) => BTreeMap::new(),
        });
        users.get(&uid).cloned()
    }

    pub(super) fn find_cgroup(&mut self, id: u64, hierarchies: &str) -> String {
        self.cgroups.find(id, hierarchies)
    }
}

/// passwd(5): uid → the first name that has it.
fn parse_passwd(text: &str) -> BTreeMap<u32, String> {
    let mut users = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(|f| f.parse().ok())) {
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_name_of_a_uid() {
        let users = parse_passwd("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\nbad\nww:x:33:33:::\n");
        assert_eq!(users.get(&0).map(String::as_str), Some("root"));
        assert_eq!(users.get(&33).map(String::as_str), Some("ww"));
        assert_eq!(users.len(), 2);
    }
}
