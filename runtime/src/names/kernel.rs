//! Kernel symbols from /proc/kallsyms.

use super::Symbol;
use std::{
    fs::File,
    io::{BufRead, BufReader},
};

/// The kernel's symbols, read when first asked for.
#[derive(Debug, Default)]
pub struct KernelNames {
    /// What its reader sees is what its opener might see.
    opened: Option<File>,
    table: Option<KernelSymbols>,
}

impl KernelNames {
    /// Opens the list with the privileges that there are now.
    pub fn open() -> Self {
        Self { opened: File::open("/proc/kallsyms").ok(), table: None }
    }

    /// Whether the kernel told no addresses (no CAP_SYSLOG, or kernel.kptr_restrict) when it was asked.
    pub fn asked_in_vain(&self) -> bool {
        self.table.as_ref().is_some_and(|t| t.table.is_empty())
    }

    pub fn symbols(&mut self) -> &KernelSymbols {
        let opened = &mut self.opened;
        self.table.get_or_insert_with(|| match opened.take() {
            Some(file) => KernelSymbols::parse(buffered(file)),
            None => KernelSymbols::load(),
        })
    }
}

fn buffered(file: File) -> BufReader<File> {
    BufReader::with_capacity(64 * 1024, file)
}

/// Text symbols sorted by address, names in one buffer.
#[derive(Debug, Default)]
pub struct KernelSymbols {
    /// (address, start of the name, its length)
    table: Vec<(u64, u32, u16)>,
    names: String,
}

impl KernelSymbols {
    /// Reads the running kernel's symbols. Without CAP_SYSLOG all addresses are 0: the table is then empty.
    pub fn load() -> Self {
        File::open("/proc/kallsyms").map(|file| Self::parse(buffered(file))).unwrap_or_default()
    }

    /// Lines of `address type name [module]`; only code symbols are kept.
    pub fn parse(mut reader: impl BufRead) -> Self {
        let mut symbols = Self::default();
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            symbols.add(&line);
            line.clear();
        }
        symbols.table.sort_unstable_by_key(|&(addr, at, _)| (addr, at));
        symbols.table.dedup_by_key(|row| row.0);
        symbols.table.shrink_to_fit();
        symbols.names.shrink_to_fit();
        symbols
    }

    fn add(&mut self, line: &[u8]) {
        let Ok(line) = std::str::from_utf8(line) else { return };
        let mut words = line.split_ascii_whitespace();
        let (Some(addr), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else { return };
        let Ok(addr) = u64::from_str_radix(addr, 16) else { return };
        if addr == 0 || !matches!(kind, "t" | "T" | "w" | "W") {
            return;
        }
        let (Ok(at), Ok(len)) = (u32::try_from(self.names.len()), u16::try_from(name.len())) else { return };
        self.names += name;
        self.table.push((addr, at, len));
    }

    pub fn find(&self, addr: u64) -> Option<Symbol<'_>> {
        let after = self.table.partition_point(|row| row.0 <= addr);
        let &(start, at, len) = self.table.get(after.checked_sub(1)?)?;
        let name = self.names.get(at as usize..at as usize + usize::from(len))?;
        Some(Symbol { name, offset: addr - start, module: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_symbol_below() {
        let text = "ffffffff81000000 T _text\nffffffff81000100 t foo\t[mod]\nffffffff81000100 T foo_alias\n\
                    ffffffff81000180 D data\n0000000000000000 T zero\n";
        let symbols = KernelSymbols::parse(text.as_bytes());
        let found = symbols.find(0xffff_ffff_8100_0190).expect("in foo");
        assert_eq!((found.name, found.offset), ("foo", 0x90));
        assert!(symbols.find(0x10).is_none());
    }
}
