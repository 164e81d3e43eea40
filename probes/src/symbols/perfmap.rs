//! `/tmp/perf-PID.map`: symbols of code that a program compiled at run time, as Linux perf reads them. A line is
//! `START SIZE name`, in hexadecimal; the file grows while the program runs.

use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of such a file that are read; what is beyond has no names.
const MAX_FILE: u64 = 256 << 20;

#[derive(Debug)]
pub(super) struct PerfMap {
    path: PathBuf,
    shown: String,
    /// Length of the file when it was read.
    read: Option<u64>,
    /// (start, size, name), sorted
    table: Vec<(u64, u64, Box<str>)>,
}

impl PerfMap {
    pub(super) fn new(pid: u32) -> Self {
        // The program writes the number that it has in its own namespace.
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let inner = status.lines().find_map(|l| l.strip_prefix("NSpid:")?.split_whitespace().next_back()?.parse().ok());
        let shown = format!("/tmp/perf-{}.map", inner.unwrap_or(pid));
        let path = Path::new(&format!("/proc/{pid}/root")).join(shown.trim_start_matches('/'));
        Self { path, shown, read: None, table: Vec::new() }
    }

    /// The file's name, as the program sees it.
    pub(super) fn path(&self) -> &str {
        &self.shown
    }

    /// Name and start of the code that an address is in.
    pub(super) fn find(&mut self, address: u64) -> Option<(&str, u64)> {
        if self.look(address).is_none() {
            self.refresh();
        }
        let at = self.look(address)?;
        self.table.get(at).map(|(start, _, name)| (&**name, *start))
    }

    fn look(&self, address: u64) -> Option<usize> {
        let at = self.table.partition_point(|(start, ..)| *start <= address).checked_sub(1)?;
        let (start, size, _) = self.table.get(at)?;
        (address - start < *size).then_some(at)
    }

    /// Reads the file if it has grown.
    fn refresh(&mut self) {
        let Ok(file) = crate::privilege::open(&self.path) else { return };
        // The program may put anything there: a device has no end.
        let Some(length) = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len()) else { return };
        if self.read == Some(length) || length > MAX_FILE {
            return;
        }
        self.read = Some(length);
        let mut bytes = Vec::new();
        if file.take(MAX_FILE).read_to_end(&mut bytes).is_err() {
            return;
        }
        self.table = parse(&String::from_utf8_lossy(&bytes));
    }
}

/// Of several entries for one address the last one holds: the code was compiled again.
fn parse(text: &str) -> Vec<(u64, u64, Box<str>)> {
    let hex = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let mut table: Vec<(u64, u64, Box<str>)> = text
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ' ');
            Some((hex(parts.next()?)?, hex(parts.next()?)?, parts.next()?.trim().into()))
        })
        .collect();
    table.reverse();
    table.sort_by_key(|(start, ..)| *start);
    table.dedup_by_key(|(start, ..)| *start);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_for_an_address_holds() {
        let table = parse("7f00 10 old name\n0x8000 20 b\nnonsense\n7f00 30 LazyCompile:~f x.js:1\n");
        let map = PerfMap { path: PathBuf::new(), shown: String::new(), read: None, table };
        let name = |a| map.look(a).map(|i| &*map.table[i].2);
        assert_eq!(name(0x7f2f), Some("LazyCompile:~f x.js:1"));
        assert_eq!(name(0x7f30), None);
        assert_eq!(name(0x801f), Some("b"));
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let zeroes = PathBuf::from("/dev/zero");
        let mut map = PerfMap { path: zeroes, shown: String::new(), read: None, table: Vec::new() };
        map.refresh();
        assert_eq!((map.read, map.table.len()), (None, 0));
    }
}
