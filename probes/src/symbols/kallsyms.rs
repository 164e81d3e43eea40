//! Kernel symbols from /proc/kallsyms: one pass for a name, a table (made when first needed) for addresses.

use std::fs::File;
use std::io::{BufRead, BufReader};

/// Why symbols can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KallsymsError {
    #[error("kernel addresses are hidden (kernel.kptr_restrict, or no CAP_SYSLOG)")]
    Hidden,
    #[error("/proc/kallsyms: {0}")]
    Io(String),
    #[error("the list of traceable functions can't be read: {0}")]
    List(String),
}

/// A symbol that an address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSymbol<'a> {
    pub name: &'a str,
    /// None: the kernel itself.
    pub module: Option<&'a str>,
    pub offset: u64,
}

/// All symbols by address. About 4 MB for 120,000.
#[derive(Debug)]
pub struct KernelSymbols {
    /// Sorted: (address, start of the name in `text`, index in `modules` + 1).
    entries: Vec<(u64, u32, u16)>,
    /// Names, each after its length in one byte (the kernel's KSYM_NAME_LEN is 512, but only mangled Rust names pass 255).
    text: Vec<u8>,
    modules: Vec<Box<str>>,
}

/// One line: `ffffffff81000000 T _stext [module]`.
fn parse(line: &str) -> Option<(u64, u8, &str, Option<&str>)> {
    let mut parts = line.split_ascii_whitespace();
    let address = u64::from_str_radix(parts.next()?, 16).ok()?;
    let kind = *parts.next()?.as_bytes().first()?;
    let name = parts.next()?;
    let module = parts.next().and_then(|m| m.strip_prefix('[')?.strip_suffix(']'));
    Some((address, kind, name, module))
}

fn lines(mut see: impl FnMut(u64, u8, &str, Option<&str>) -> bool) -> Result<(), KallsymsError> {
    let file = File::open("/proc/kallsyms").map_err(|e| KallsymsError::Io(e.to_string()))?;
    scan(BufReader::with_capacity(64 << 10, file), &mut see)
}

/// Gets (address, kind, name, module); false: enough seen.
type See<'s> = &'s mut dyn FnMut(u64, u8, &str, Option<&str>) -> bool;

fn scan(mut from: impl BufRead, see: See<'_>) -> Result<(), KallsymsError> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = from.read_until(b'\n', &mut line).map_err(|e| KallsymsError::Io(e.to_string()))?;
        if read == 0 {
            return Ok(());
        }
        if let Some((address, kind, name, module)) = std::str::from_utf8(&line).ok().and_then(parse)
            && !see(address, kind, name, module)
        {
            return Ok(());
        }
    }
}

fn is_code(kind: u8) -> bool {
    matches!(kind, b't' | b'T' | b'w' | b'W')
}

/// Address of a symbol, without keeping anything. `module:name` looks in that module only.
pub fn address_of(wanted: &str) -> Result<Option<u64>, KallsymsError> {
    let (module, wanted) = wanted.split_once(':').map_or((None, wanted), |(m, n)| (Some(m), n));
    let mut found = None;
    lines(|address, _, name, in_module| {
        if name == wanted && (module.is_none() || in_module == module) {
            found = Some(address);
        }
        found.is_none()
    })?;
    match found {
        Some(0) => Err(KallsymsError::Hidden),
        other => Ok(other),
    }
}

/// Whether there is a function of that name (the address may be hidden).
pub fn has_function(wanted: &str) -> Result<bool, KallsymsError> {
    let (module, wanted) = wanted.split_once(':').map_or((None, wanted), |(m, n)| (Some(m), n));
    let mut found = false;
    lines(|_, kind, name, in_module| {
        found = is_code(kind) && name == wanted && (module.is_none() || in_module == module);
        !found
    })?;
    Ok(found)
}

/// How many functions of the kernel itself have each of these names.
pub fn count_functions(names: &[String]) -> Result<Vec<(String, usize)>, KallsymsError> {
    let mut counts: Vec<(String, usize)> = names.iter().map(|name| (name.clone(), 0)).collect();
    lines(|_, kind, name, module| {
        if module.is_none() && is_code(kind) {
            counts.iter_mut().filter(|(wanted, _)| wanted == name).for_each(|(_, count)| *count += 1);
        }
        true
    })?;
    Ok(counts)
}

/// Visits every function: (name, module).
pub fn each_function(mut see: impl FnMut(&str, Option<&str>)) -> Result<(), KallsymsError> {
    lines(|_, kind, name, module| {
        if is_code(kind) {
            see(name, module);
        }
        true
    })
}

/// Names of functions that match, sorted, each once.
pub fn functions(glob: &super::glob::Glob) -> Result<Vec<String>, KallsymsError> {
    let mut out = Vec::new();
    lines(|_, kind, name, _| {
        if is_code(kind) && glob.matches(name) {
            out.push(name.to_owned());
        }
        true
    })?;
    out.sort_unstable();
    out.dedup();
    Ok(out)
}

impl KernelSymbols {
    pub fn read() -> Result<Self, KallsymsError> {
        let file = File::open("/proc/kallsyms").map_err(|e| KallsymsError::Io(e.to_string()))?;
        Self::from_reader(BufReader::with_capacity(64 << 10, file))
    }

    /// From text in the format of /proc/kallsyms.
    pub fn from_reader(from: impl BufRead) -> Result<Self, KallsymsError> {
        let mut made = Self { entries: Vec::new(), text: Vec::new(), modules: Vec::new() };
        scan(from, &mut |address, _, name, module| {
            made.add(address, name, module);
            true
        })?;
        if made.entries.is_empty() {
            return Err(KallsymsError::Hidden);
        }
        // Aliases: the first in the file stays first.
        made.entries.sort_by_key(|(address, ..)| *address);
        made.entries.shrink_to_fit();
        Ok(made)
    }

    fn add(&mut self, address: u64, name: &str, module: Option<&str>) {
        // Hidden addresses are all 0; per-CPU symbols are small numbers.
        if address == 0 {
            return;
        }
        let module = module.map_or(0, |m| {
            let known = self.modules.iter().position(|known| **known == *m);
            if known.is_none() {
                self.modules.push(m.into());
            }
            known.map_or(self.modules.len(), |at| at + 1)
        });
        let mut len = name.len().min(255);
        while !name.is_char_boundary(len) {
            len -= 1;
        }
        let at = self.text.len() as u32;
        self.text.push(len as u8);
        self.text.extend_from_slice(&name.as_bytes()[..len]);
        self.entries.push((address, at, module as u16));
    }

    /// The symbol that an address lies in: the nearest one below. None below the first.
    pub fn resolve(&self, address: u64) -> Option<KernelSymbol<'_>> {
        let after = self.entries.partition_point(|(start, ..)| *start <= address);
        let start = self.entries.get(after.checked_sub(1)?)?.0;
        let first = self.entries.partition_point(|(a, ..)| *a < start);
        let (_, name, module) = self.entries[first];
        // Beyond the kernel's code nothing has a size: don't name what is megabytes away.
        const FAR: u64 = 16 << 20;
        let offset = address - start;
        (offset < FAR).then(|| KernelSymbol { name: self.name(name), module: self.module(module), offset })
    }

    fn name(&self, at: u32) -> &str {
        let at = at as usize;
        let len = self.text.get(at).map_or(0, |l| *l as usize);
        self.text.get(at + 1..at + 1 + len).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }

    fn module(&self, index: u16) -> Option<&str> {
        (index as usize).checked_sub(1).and_then(|i| self.modules.get(i)).map(|m| &**m)
    }
}

#[cfg(test)]
#[path = "kallsyms_tests.rs"]
mod tests;
