//! A whole artifact as an ELF object that libbpf, bpftool and aya load.
//!
//! Programs lie in sections named by how libbpf attaches them, maps in `.maps` with BTF definitions, `.BTF.ext` ties
//! instructions to the script's lines.

use super::{
    btf::{Builder, Member, SectionVar, TypeId, identifier},
    lineinfo::{line_records, program_func},
};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope, elf,
    write::{Object, Relocation, SectionId, Symbol, SymbolId, SymbolSection},
};
use std::collections::HashSet;
use weftrace_artifact::{
    Artifact,
    map::{Kind, MapSpec},
    plan::{ProbePlan, Unit, Way},
    program::{ProgType, ProgramImage},
};

/// enum bpf_map_type
fn map_type(kind: Kind) -> u32 {
    match kind {
        Kind::Hash => 1,
        Kind::Array => 2,
        Kind::PercpuHash => 5,
        Kind::PercpuArray => 6,
        Kind::StackTrace => 7,
        Kind::LruHash => 9,
        Kind::LruPercpuHash => 10,
        Kind::Ringbuf => 27,
    }
}

/// The object file. Native handlers, actions and the rest of the artifact are not in it.
pub fn object(artifact: &Artifact) -> Result<Vec<u8>, object::write::Error> {
    let mut obj = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let mut names = HashSet::new();
    let mut btf = Builder::new();
    let int = btf.int("int", 4, true);
    let maps = add_maps(&mut obj, &mut btf, int, artifact, &mut names);
    let mut ext = Ext::default();
    let mut proto = None;
    for (section_name, programs) in sections(artifact) {
        let section = obj.add_section(vec![], section_name.clone().into_bytes(), SectionKind::Text);
        let flags = u64::from(elf::SHF_ALLOC | elf::SHF_EXECINSTR);
        obj.section_mut(section).flags = SectionFlags::Elf { sh_flags: flags };
        let title = btf.string(&section_name);
        let (mut funcs, mut lines) = (Vec::new(), Vec::new());
        for program in programs {
            let image = &artifact.programs[program];
            let name = unique(&mut names, &identifier(&image.name));
            let offset = add_program(&mut obj, section, image, &name, &maps)?;
            let (func, p) = program_func(&mut btf, int, proto, &name);
            proto = Some(p);
            funcs.extend([offset as u32, func.0].iter().flat_map(|w| w.to_le_bytes()));
            lines.extend(line_records(&mut btf, &artifact.sources, &image.spans, &[0], 8, offset as u32));
        }
        ext.funcs.add(title, 8, &funcs);
        ext.lines.add(title, 16, &lines);
    }
    let license = obj.add_section(vec![], b"license".to_vec(), SectionKind::Data);
    let text = [artifact.options.license.as_bytes(), b"\0"].concat();
    obj.set_section_data(license, text, 1);
    add_plain(&mut obj, ".BTF", btf.finish());
    add_plain(&mut obj, ".BTF.ext", ext.finish());
    obj.write()
}

fn add_plain(obj: &mut Object<'_>, name: &str, data: Vec<u8>) {
    let section = obj.add_section(vec![], name.as_bytes().to_vec(), SectionKind::Other);
    obj.section_mut(section).flags = SectionFlags::Elf { sh_flags: 0 };
    obj.set_section_data(section, data, 8);
}

/// A name not taken yet.
fn unique(names: &mut HashSet<String>, name: &str) -> String {
    let mut candidate = name.to_owned();
    let mut n = 1;
    while !names.insert(candidate.clone()) {
        n += 1;
        candidate = format!("{name}_{n}");
    }
    candidate
}

/// Section names with their programs, in order of first appearance.
fn sections(artifact: &Artifact) -> Vec<(String, Vec<usize>)> {
    let mut out: Vec<(String, Vec<usize>)> = Vec::new();
    for (index, image) in artifact.programs.iter().enumerate() {
        let mut attached =
            artifact.probes.iter().flat_map(ProbePlan::ways).filter(|a| a.unit == Unit::Kernel(index as u32));
        let way = attached.find_map(|a| section_of(&a.way, image.prog_type));
        let name = way.unwrap_or_else(|| default_section(image.prog_type).to_owned());
        match out.iter_mut().find(|(n, _)| *n == name) {
            Some((_, programs)) => programs.push(index),
            None => out.push((name, vec![index])),
        }
    }
    out
}

/// The name under which libbpf knows how to attach; None if the way is not for this program type.
fn section_of(way: &Way, prog_type: ProgType) -> Option<String> {
    match (way, prog_type) {
        (Way::Tracepoint { category, event }, ProgType::Tracepoint) => Some(format!("tracepoint/{category}/{event}")),
        (Way::RawTracepoint { event }, ProgType::RawTracepoint) => Some(format!("raw_tp/{event}")),
        (Way::TracepointBtf { event }, ProgType::TracingRawTp) => Some(format!("tp_btf/{event}")),
        (Way::Syscall { ret, .. }, ProgType::TracingRawTp) => Some(format!("tp_btf/{}", Way::syscalls(*ret))),
        (Way::Kprobe { function, offset: 0, ret: true, .. }, ProgType::Kprobe) => Some(format!("kretprobe/{function}")),
        (Way::Kprobe { function, offset, ret: false, .. }, ProgType::Kprobe) => Some(match offset {
            0 => format!("kprobe/{function}"),
            offset => format!("kprobe/{function}+{offset:#x}"),
        }),
        (Way::Uprobe { path, symbol, ret, .. }, ProgType::Kprobe) => {
            let kind = if *ret { "uretprobe" } else { "uprobe" };
            Some(format!("{kind}/{path}:{symbol}"))
        }
        (Way::Fentry { function, ret: false, bpf: None, .. }, ProgType::Fentry) => Some(format!("fentry/{function}")),
        (Way::Fentry { function, ret: true, bpf: None, .. }, ProgType::Fexit) => Some(format!("fexit/{function}")),
        (Way::Iter { kind, .. }, ProgType::Iter) => Some(format!("iter/{kind}")),
        (
            Way::Interval { .. } | Way::Profile { .. } | Way::Counter { .. } | Way::Watchpoint { .. },
            ProgType::PerfEvent,
        ) => Some("perf_event".into()),
        _ => None,
    }
}

fn default_section(prog_type: ProgType) -> &'static str {
    match prog_type {
        ProgType::Kprobe => "kprobe",
        ProgType::Tracepoint => "tracepoint",
        ProgType::RawTracepoint => "raw_tp",
        ProgType::PerfEvent => "perf_event",
        ProgType::TracingRawTp => "tp_btf",
        ProgType::Fentry => "fentry",
        ProgType::Fexit => "fexit",
        ProgType::Iter => "iter",
        ProgType::SocketFilter => "socket",
        ProgType::Xdp => "xdp",
    }
}

fn symbol(name: &str, section: SectionId, value: u64, size: u64, kind: SymbolKind) -> Symbol {
    Symbol {
        name: name.as_bytes().to_vec(),
        value,
        size,
        kind,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    }
}

/// Appends the program's code; its offset in the section.
fn add_program(
    obj: &mut Object<'_>,
    section: SectionId,
    image: &ProgramImage,
    name: &str,
    maps: &[SymbolId],
) -> Result<u64, object::write::Error> {
    let mut insns = image.insns.clone();
    for reloc in &image.map_relocs {
        // The loader fills in source and immediate: opcode and destination stay.
        if let Some(word) = insns.get_mut(reloc.insn as usize) {
            *word &= 0x0fff;
        }
    }
    let code: Vec<u8> = insns.iter().flat_map(|i| i.to_le_bytes()).collect();
    let offset = obj.append_section_data(section, &code, 8);
    for reloc in &image.map_relocs {
        let Some(&map) = maps.get(reloc.map.0 as usize) else { continue };
        let flags = RelocationFlags::Elf { r_type: elf::R_BPF_64_64 };
        let at = offset + u64::from(reloc.insn) * 8;
        obj.add_relocation(section, Relocation { offset: at, symbol: map, addend: 0, flags })?;
    }
    obj.add_symbol(symbol(name, section, offset, code.len() as u64, SymbolKind::Text));
    Ok(offset)
}

/// `.maps`: one variable per map, whose type is a struct with the attributes (`__uint(type, N)` in C: a pointer to an array of N
/// integers).
fn add_maps(
    obj: &mut Object<'_>,
    btf: &mut Builder,
    int: TypeId,
    artifact: &Artifact,
    names: &mut HashSet<String>,
) -> Vec<SymbolId> {
    if artifact.maps.is_empty() {
        return vec![];
    }
    let section = obj.add_section(vec![], b".maps".to_vec(), SectionKind::Data);
    let (mut vars, mut symbols) = (Vec::new(), Vec::new());
    for spec in &artifact.maps {
        let name = unique(names, &identifier(&spec.name.replace('@', "at_")));
        let attributes = attributes(spec, artifact.options.ring_bytes);
        let members: Vec<Member<'_>> = attributes
            .iter()
            .zip(0u32..)
            .map(|(&(name, value), n)| {
                let array = btf.array(int, int, value);
                Member { name, ty: btf.pointer(array), offset: n * 8 }
            })
            .collect();
        let size = members.len() as u32 * 8;
        let ty = btf.structure("", size, &members);
        let var = btf.var(&name, ty);
        let offset = obj.append_section_data(section, &vec![0; size as usize], 8);
        vars.push(SectionVar { var, offset: offset as u32, size });
        symbols.push(obj.add_symbol(symbol(&name, section, offset, u64::from(size), SymbolKind::Data)));
    }
    let total = vars.iter().map(|v| v.size).sum();
    btf.datasec(".maps", total, &vars);
    symbols
}

fn attributes(spec: &MapSpec, ring_bytes: u32) -> Vec<(&'static str, u32)> {
    let mut out = vec![("type", map_type(spec.kind))];
    if spec.kind == Kind::Ringbuf {
        let given = spec.max_entries;
        let bytes = if given.is_power_of_two() && given >= 4096 { given } else { ring_bytes };
        out.push(("max_entries", bytes));
        return out;
    }
    out.push(("key_size", spec.key_size));
    out.push(("value_size", spec.value_size));
    out.push(("max_entries", spec.max_entries));
    out
}

/// `.BTF.ext`: per kind of information the record size, then per section its name, number of records and records.
#[derive(Default)]
struct Ext {
    funcs: ExtPart,
    lines: ExtPart,
}

#[derive(Default)]
struct ExtPart(Vec<u8>);

impl ExtPart {
    fn add(&mut self, section: u32, record: u32, records: &[u8]) {
        if records.is_empty() {
            return;
        }
        if self.0.is_empty() {
            self.0.extend_from_slice(&record.to_le_bytes());
        }
        let count = records.len() as u32 / record;
        self.0.extend([section, count].iter().flat_map(|w| w.to_le_bytes()));
        self.0.extend_from_slice(records);
    }
}

impl Ext {
    fn finish(self) -> Vec<u8> {
        let mut out = vec![0x9f, 0xeb, 1, 0];
        let (funcs, lines) = (self.funcs.0.len() as u32, self.lines.0.len() as u32);
        // Header length, then offset and length of functions, lines and CO-RE relocations.
        for word in [32, 0, funcs, funcs, lines, funcs + lines, 0] {
            out.extend_from_slice(&u32::to_le_bytes(word));
        }
        out.extend(self.funcs.0);
        out.extend(self.lines.0);
        out
    }
}
