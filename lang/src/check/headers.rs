//! `#include`: the user's own headers are read. Those of the kernel and the C library need not be installed: names of types
//! come from BTF, constants from BTF's enums and a small table; where the headers are there, they are asked for constants that
//! nothing else knows.

use super::constants;
use crate::ast::{Include, Item, Script};
use crate::diag::Diagnostic;
use crate::span::SourceMap;
use crate::syntax::{Defines, parse_header};
use crate::world::{Answer, Header, World};
use std::collections::{HashMap, HashSet};

/// Headers of one script, and of the system that are searched for constants, at most.
const MOST_HEADERS: usize = 64;
const MOST_SEARCHED: usize = 400;

/// First parts of paths that the kernel's own sources and the C library have.
static FOLDERS: &[&str] = &[
    "acpi",
    "arpa",
    "asm",
    "asm-generic",
    "bits",
    "block",
    "bpf",
    "clocksource",
    "crypto",
    "drivers",
    "drm",
    "dt-bindings",
    "fs",
    "generated",
    "gnu",
    "include",
    "keys",
    "kernel",
    "kvm",
    "linux",
    "math-emu",
    "media",
    "misc",
    "mm",
    "mtd",
    "net",
    "netax25",
    "netinet",
    "netipx",
    "netpacket",
    "nfs",
    "pcmcia",
    "protocols",
    "ras",
    "rdma",
    "rpc",
    "scsi",
    "soc",
    "sound",
    "sys",
    "target",
    "trace",
    "uapi",
    "ufs",
    "vdso",
    "video",
    "x86",
    "xen",
];

/// Headers of C and POSIX that are in no folder.
static ALONE: &[&str] = &[
    "assert.h",
    "complex.h",
    "ctype.h",
    "dirent.h",
    "dlfcn.h",
    "elf.h",
    "endian.h",
    "errno.h",
    "fcntl.h",
    "features.h",
    "float.h",
    "getopt.h",
    "grp.h",
    "ifaddrs.h",
    "inttypes.h",
    "limits.h",
    "link.h",
    "locale.h",
    "malloc.h",
    "math.h",
    "netdb.h",
    "poll.h",
    "pthread.h",
    "pwd.h",
    "sched.h",
    "semaphore.h",
    "setjmp.h",
    "signal.h",
    "stdarg.h",
    "stdatomic.h",
    "stdbool.h",
    "stddef.h",
    "stdint.h",
    "stdio.h",
    "stdlib.h",
    "string.h",
    "strings.h",
    "syscall.h",
    "syslog.h",
    "termios.h",
    "threads.h",
    "time.h",
    "uchar.h",
    "ucontext.h",
    "unistd.h",
    "utime.h",
    "utmp.h",
    "wchar.h",
    "vmlinux.h",
];

/// Whether a header is of the kernel or the C library: it may be missing.
fn is_known(path: &str) -> bool {
    let path = path.trim_start_matches("../");
    match path.split_once('/') {
        Some((folder, rest)) => FOLDERS.contains(&folder) && rest.ends_with(".h") && !rest.contains(".."),
        None => ALONE.contains(&path),
    }
}

/// What headers brought, each before what includes it.
struct Reader<'a> {
    sources: &'a mut SourceMap,
    world: &'a dyn World,
    diags: &'a mut Vec<Diagnostic>,
    defines: Defines,
    seen: HashSet<String>,
    scripts: Vec<Script>,
    /// Found on this system, in case that a constant is asked for.
    system: Vec<Header>,
}

/// Reads what the modules and the script include.
pub(crate) fn load(
    modules: &[Script],
    script: &Script,
    sources: &mut SourceMap,
    world: &dyn World,
    diags: &mut Vec<Diagnostic>,
) -> Vec<Script> {
    let asks = |s: &Script| s.items.iter().any(|i| matches!(i, Item::Include(_)));
    if !modules.iter().chain([script]).any(asks) {
        return Vec::new();
    }
    let mut reader = Reader {
        sources,
        world,
        diags,
        defines: Defines::default(),
        seen: HashSet::new(),
        scripts: Vec::new(),
        system: Vec::new(),
    };
    for s in modules.iter().chain([script]) {
        reader.includes(s, None);
    }
    if !reader.system.is_empty() {
        reader.constants(modules, script);
    }
    reader.scripts
}

impl Reader<'_> {
    /// Follows a text's `#include`s; its `#define`s before them are known in what is included. `within`: the header whose text
    /// it is.
    fn includes(&mut self, script: &Script, within: Option<&str>) {
        for item in &script.items {
            match item {
                Item::Define(d) => self.defines.set(&d.name.text, &d.value),
                Item::Include(include) => self.include(include, within),
                _ => {}
            }
        }
    }

    fn include(&mut self, include: &Include, within: Option<&str>) {
        if self.seen.len() >= MOST_HEADERS {
            return;
        }
        // `#include "b.h"` of `dir/a.h` is `dir/b.h` first.
        let beside = within.filter(|_| !include.system).and_then(|name| name.rsplit_once('/'));
        let beside = beside.map(|(dir, _)| self.world.header(&format!("{dir}/{}", include.path), false));
        let answer = match beside {
            Some(Answer::Found(header)) => Answer::Found(header),
            _ => self.world.header(&include.path, include.system),
        };
        let name = match &answer {
            Answer::Found(header) => &header.name,
            _ => &include.path,
        };
        if !self.seen.insert(name.clone()) {
            return;
        }
        match answer {
            Answer::Found(header) if header.own => {
                let file = self.sources.add(header.name.clone(), header.text.clone());
                let (read, found) = parse_header(&header.text, file, &mut self.defines);
                self.diags.extend(found);
                self.includes(&read, Some(&header.name));
                self.scripts.push(read);
            }
            Answer::Found(header) => self.system.push(header),
            Answer::NotThere if is_known(&include.path) => {}
            Answer::NotThere => self.missing(include),
            Answer::NotPermitted(_) | Answer::CouldNotTell(_) if is_known(&include.path) => {}
            Answer::NotPermitted(why) | Answer::CouldNotTell(why) => {
                let text = format!("the header {} can't be read", include.path);
                self.diags.push(Diagnostic::error("no-such-header", include.span, text).note(why));
            }
        }
    }

    fn missing(&mut self, include: &Include) {
        let (line, column) = self.sources.line_col(include.span);
        let words =
            format!("definitions.h:{}:{}: fatal error: '{}' file not found", line + 1, column + 9, include.path);
        let d = Diagnostic::error("no-such-header", include.span, format!("no header {}", include.path))
            .note("headers are looked for beside the script, then in the directories of -I; those of the kernel need not be installed")
            .bpftrace(words);
        self.diags.push(d);
    }

    /// Constants that the script names and nothing else knows, from the system's headers.
    fn constants(&mut self, modules: &[Script], script: &Script) {
        let mut wanted = HashSet::new();
        for s in modules.iter().chain([script]) {
            wanted.extend(self.unknown_words(s));
        }
        if wanted.is_empty() {
            return;
        }
        let mut defines = Defines::default();
        let mut known: HashMap<String, Item> = HashMap::new();
        let mut queue: std::collections::VecDeque<Header> = std::mem::take(&mut self.system).into();
        let mut searched = HashSet::new();
        while let Some(header) = queue.pop_front() {
            if searched.len() >= MOST_SEARCHED || !searched.insert(header.name.clone()) {
                continue;
            }
            let file = crate::span::FileId::default();
            let (read, _) = parse_header(&header.text, file, &mut defines);
            for item in read.items {
                match item {
                    Item::Define(d) if d.value == d.name.text => {}
                    Item::Define(d) => {
                        known.entry(d.name.text.clone()).or_insert(Item::Define(d));
                    }
                    Item::CType(c) => {
                        for (name, _) in &c.variants {
                            known.entry(name.text.clone()).or_insert_with(|| Item::CType(c.clone()));
                        }
                    }
                    Item::Include(i) => {
                        if let Answer::Found(header) = self.world.header(&i.path, true) {
                            queue.push_back(header);
                        }
                    }
                    _ => {}
                }
            }
        }
        // What a constant's own value names is wanted too.
        let mut items = Vec::new();
        let mut queue: Vec<String> = wanted.into_iter().collect();
        while let Some(name) = queue.pop() {
            let Some(item) = known.remove(&name) else { continue };
            match &item {
                Item::Define(d) => queue.extend(words(&d.value).map(str::to_owned)),
                Item::CType(c) => c.variants.iter().for_each(|(n, _)| drop(known.remove(&n.text))),
                _ => {}
            }
            items.push(item);
        }
        self.scripts.push(Script { shebang: None, items });
    }

    /// Words in capitals in a text that are neither defined nor in the kernel's enums.
    fn unknown_words(&self, script: &Script) -> Vec<String> {
        let own = |word: &str| script.items.iter().any(|i| matches!(i, Item::Define(d) if d.name.text == word));
        let bodies = script.items.iter().filter(|i| !matches!(i, Item::Include(_) | Item::Config(_) | Item::Import(_)));
        let mut found: Vec<String> =
            bodies.flat_map(|item| words(self.sources.snippet(item.span()))).map(str::to_owned).collect();
        found.sort_unstable();
        found.dedup();
        found.retain(|w| !own(w) && constants::find(w).is_none() && !self.world.kernel_enumerator(w).is_found());
        found
    }
}

/// Words that may be names of constants: capitals, of three letters or more.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|w| {
        w.len() > 2
            && w.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
            && !w.contains(|c: char| c.is_ascii_lowercase())
            && !matches!(*w, "BEGIN" | "END")
    })
}
