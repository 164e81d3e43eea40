//! Kernel symbols from /proc/kallsyms.

use super::Symbol;
use std::io::BufRead;

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
        match std::fs::File::open("/proc/kallsyms") {
            Ok(file) => Self::parse(std::io::BufReader::with_capacity(64 * 1024, file)),
            Err(_) => Self::default(),
        }
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
