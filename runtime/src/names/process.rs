//! Symbols of running processes: /proc/PID/maps, then the mapped file's symbol table.

use super::{Symbol, elf::ElfSymbols};
use std::{collections::HashMap, fs, path::PathBuf};

/// Processes and files kept at most; beyond that the cache starts anew.
const MAX_PROCESSES: usize = 512;
const MAX_FILES: usize = 64;

#[derive(Clone, Debug)]
struct Mapping {
    start: u64,
    end: u64,
    offset: u64,
    /// (device, inode) as /proc shows them
    file: (Box<str>, u64),
    path: Box<str>,
}

/// A cache of processes' mappings and files' symbols.
#[derive(Debug, Default)]
pub struct ProcessSymbols {
    processes: HashMap<u32, Vec<Mapping>>,
    files: HashMap<(Box<str>, u64), Option<ElfSymbols>>,
}

impl ProcessSymbols {
    /// Symbol of a user address; None when the process is gone, or the address is in no known function.
    pub fn find(&mut self, pid: u32, addr: u64) -> Option<Symbol<'_>> {
        let mapping = self.mapping(pid, addr)?;
        if !self.files.contains_key(&mapping.file) {
            if self.files.len() >= MAX_FILES {
                self.files.clear();
            }
            // Through the process's root: the path is the one in its mount namespace.
            let path = PathBuf::from(format!("/proc/{pid}/root{}", mapping.path));
            self.files.insert(mapping.file.clone(), ElfSymbols::load(&path));
        }
        let symbols = self.files.get(&mapping.file)?.as_ref()?;
        let (name, offset) = symbols.find(addr - mapping.start + mapping.offset)?;
        let module = self.processes.get(&pid)?.iter().find(|m| m.start == mapping.start).map(|m| &*m.path);
        Some(Symbol { name, offset, module })
    }

    fn mapping(&mut self, pid: u32, addr: u64) -> Option<Mapping> {
        let within = |maps: &[Mapping]| maps.iter().find(|m| m.start <= addr && addr < m.end).cloned();
        if let Some(found) = self.processes.get(&pid).and_then(|maps| within(maps)) {
            return Some(found);
        }
        // Unknown process, or a library loaded since.
        let text = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        if self.processes.len() >= MAX_PROCESSES {
            self.processes.clear();
        }
        let maps: Vec<Mapping> = text.lines().filter_map(parse_mapping).collect();
        let found = within(&maps);
        self.processes.insert(pid, maps);
        found
    }
}

/// `start-end perms offset dev inode path`; only executable file mappings.
fn parse_mapping(line: &str) -> Option<Mapping> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let perms = words.next()?;
    let offset = u64::from_str_radix(words.next()?, 16).ok()?;
    let device = words.next()?;
    let inode = words.next()?.parse().ok()?;
    let path = &line[line.find('/')?..];
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    perms.contains('x').then_some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        offset,
        file: (device.into(), inode),
        path: path.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn a_function_to_find() -> u64 {
        std::hint::black_box(7)
    }

    #[test]
    fn own_function_is_found() {
        assert_eq!(a_function_to_find(), 7);
        let addr = a_function_to_find as *const () as u64;
        let mut symbols = ProcessSymbols::default();
        let found = symbols.find(std::process::id(), addr + 1).expect("own symbol");
        assert!(found.name.contains("a_function_to_find"), "{found:?}");
        assert_eq!(found.offset, 1);
    }

    #[test]
    fn a_line_of_maps() {
        let line = "7f00-7f10 r-xp 00001000 fe:01 42                         /usr/lib/a b.so (deleted)";
        let m = parse_mapping(line).expect("executable");
        assert_eq!((m.start, m.end, m.offset, &*m.path), (0x7f00, 0x7f10, 0x1000, "/usr/lib/a b.so"));
        assert!(parse_mapping("7f00-7f10 rw-p 0 fe:01 42 /x").is_none());
        assert!(parse_mapping("7f00-7f10 r-xp 0 00:00 0 [vdso]").is_none());
    }
}
