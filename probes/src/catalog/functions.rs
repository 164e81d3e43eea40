//! Kernel functions that may be probed, by module: tracefs's own list, a file that the user names, or else kallsyms.

use crate::kernel::tracefs::Tracefs;
use crate::symbols::glob::Glob;
use crate::symbols::kallsyms::{self, KallsymsError};
use std::path::Path;

/// The kernel itself, as a module's name.
pub const VMLINUX: &str = "vmlinux";

/// All functions, sorted by name, each once per module. About 4 MB for 120,000.
#[derive(Debug, Default)]
pub struct KernelFunctions {
    text: String,
    /// (start, length, module)
    items: Vec<(u32, u16, u16)>,
    modules: Vec<String>,
}

impl KernelFunctions {
    /// From a file of lines `function [module]`.
    pub fn from_file(path: &Path) -> std::io::Result<Self> {
        Ok(Self::from_lines(&std::fs::read_to_string(path)?))
    }

    /// What tracefs says can be traced; None: it may not be read, or lists nothing.
    pub fn traceable(tracefs: &Tracefs) -> Option<Self> {
        let text = tracefs.traceable_functions().ok()?;
        Some(Self::from_lines(&text)).filter(|made| !made.items.is_empty())
    }

    /// Every function of kallsyms.
    pub fn symbols() -> Result<Self, KallsymsError> {
        let mut made = Self::default();
        kallsyms::each_function(|name, module| made.add(name, module))?;
        made.sort();
        Ok(made)
    }

    fn from_lines(text: &str) -> Self {
        let mut made = Self::default();
        for line in text.lines() {
            let (name, module) = line.trim().split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((line.trim(), ""));
            let module = module.trim().strip_prefix('[').and_then(|m| m.strip_suffix(']'));
            made.add(name, module);
        }
        made.sort();
        made
    }

    fn add(&mut self, name: &str, module: Option<&str>) {
        let module = module.unwrap_or(VMLINUX);
        if !is_probeable(name) || module == "bpf" || module.starts_with("__builtin__") {
            return;
        }
        let known = self.modules.iter().rposition(|m| m == module);
        let module = known.unwrap_or_else(|| {
            self.modules.push(module.to_owned());
            self.modules.len() - 1
        });
        self.items.push((self.text.len() as u32, name.len() as u16, module as u16));
        self.text.push_str(name);
    }

    fn sort(&mut self) {
        let Self { text, items, .. } = self;
        let name = |i: &(u32, u16, u16)| &text[i.0 as usize..i.0 as usize + i.1 as usize];
        items.sort_unstable_by(|a, b| name(a).cmp(name(b)).then(a.2.cmp(&b.2)));
        items.dedup_by(|b, a| a.2 == b.2 && name(a) == name(b));
    }

    /// (module, name), sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.items.iter().map(|item| (self.modules[item.2 as usize].as_str(), self.name(*item)))
    }

    fn name(&self, item: (u32, u16, u16)) -> &str {
        &self.text[item.0 as usize..item.0 as usize + item.1 as usize]
    }

    /// Whether there is a function of this name, in a module if one is named.
    pub fn has(&self, module: Option<&str>, name: &str) -> bool {
        let at = self.items.partition_point(|item| self.name(*item) < name);
        let same = self.items[at..].iter().take_while(|item| self.name(**item) == name);
        let mut modules = same.map(|item| self.modules[item.2 as usize].as_str());
        match module {
            None => modules.next().is_some(),
            Some(module) => modules.any(|m| m == module),
        }
    }

    /// Names that match, each once; with a module's pattern, as `module:name`.
    pub fn matching(&self, module: Option<&Glob>, name: &Glob) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for (its, function) in self.iter().filter(|(_, function)| name.matches(function)) {
            match module {
                None if out.last().is_some_and(|last| last == function) => {}
                None => out.push(function.to_owned()),
                Some(module) if module.matches(its) => out.push(format!("{its}:{function}")),
                Some(_) => {}
            }
        }
        if module.is_some() {
            out.sort_unstable();
        }
        out
    }
}

/// Pieces of functions that the compiler moved away, paddings and table entries are in the symbol table and can't be probed.
fn is_probeable(name: &str) -> bool {
    const PADDING: [&str; 4] = ["__pfx_", "__cfi_", "__ftrace_invalid_address", "."];
    !name.is_empty()
        && u16::try_from(name.len()).is_ok()
        && !PADDING.iter().any(|prefix| name.starts_with(prefix))
        && !name.contains(".part.")
        && !name.contains(".cold")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_and_without_modules() {
        let made = KernelFunctions::from_lines(
            "vfs_write\nvfs_read\nvfs_read [ext4]\nvfs_read\nvfs_read.part.0\n__pfx_vfs_read\nbpf_prog_1 [bpf]\n\n",
        );
        let all: Vec<_> = made.iter().collect();
        assert_eq!(all, [(VMLINUX, "vfs_read"), ("ext4", "vfs_read"), (VMLINUX, "vfs_write")]);
        assert!(made.has(None, "vfs_read") && made.has(Some("ext4"), "vfs_read"));
        assert!(!made.has(Some("ext4"), "vfs_write") && !made.has(None, "vfs_rea"));
        assert_eq!(made.matching(None, &Glob::new("vfs_r*")), ["vfs_read"]);
        assert_eq!(made.matching(Some(&Glob::new("*")), &Glob::new("vfs_r*")), ["ext4:vfs_read", "vmlinux:vfs_read"]);
    }
}
