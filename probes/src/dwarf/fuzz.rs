//! A step for fuzzers: bytes as an ELF file, and as the sections of one.

use super::c_text::MOST_TEXT;
use super::sections::{Sections, is_parameter_debug};
pub use super::seeds::seeds;
use super::units::{Node, Part, Units};
use super::unwind::{Registers, StackCopy, UnwindInfo};
use super::{DebugInfo, Frames, limits};
use gimli::constants as c;
use std::path::Path;
use std::rc::Rc;
use weftrace_lang::world::{GoAbi, UserProto};

/// Sections by their number in [`sections`].
const NAMES: [&str; 14] = [
    ".debug_info",
    ".debug_abbrev",
    ".debug_str",
    ".debug_line",
    ".debug_line_str",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_addr",
    ".debug_loc",
    ".debug_loclists",
    ".debug_str_offsets",
    ".debug_types",
    ".eh_frame",
    ".eh_frame_hdr",
];
/// Reads that a question may make.
const MOST_READS: u64 = 1 << 14;
/// Questions that are asked of one input.
const MOST_QUESTIONS: usize = 32;

/// A section as [`fuzz_one`] takes it: its number, its length, its bytes.
pub fn section(name: &str, bytes: &[u8]) -> Vec<u8> {
    let number = NAMES.iter().position(|known| *known == name).unwrap_or_default();
    [&[number as u8][..], &(bytes.len() as u16).to_le_bytes(), bytes].concat()
}

/// The sections that are in the bytes, as far as these reach.
pub(super) fn sections(mut bytes: &[u8]) -> Vec<(&'static str, &[u8])> {
    let mut out = Vec::new();
    while let [number, low, high, rest @ ..] = bytes {
        let (section, after) = rest.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(rest.len()));
        out.push((NAMES[usize::from(*number) % NAMES.len()], section));
        bytes = after;
    }
    out
}

/// Must return, and soon, whatever the bytes are.
pub fn fuzz_one(bytes: &[u8]) {
    limits::set_reads(MOST_READS);
    let _ = Sections::of(bytes, is_parameter_debug).and_then(|sections| DebugInfo::of(&sections));
    let _ = UnwindInfo::of(bytes);
    let all = Sections::in_memory(&sections(bytes));
    if let Ok(info) = DebugInfo::of(&all) {
        ask(&info);
    }
    if let Ok(units) = Units::new(&all, Path::new("/"), Path::new("/")) {
        let frames = Frames::of(units);
        for n in 0..64 {
            let _ = frames.at(0x1000 + 4 * n);
        }
    }
    unwind(&all);
}

/// Asks for everything that the entries name.
fn ask(info: &DebugInfo) {
    let mut asked = 0;
    let mut units = Vec::new();
    let _ = info.answer(|| units.extend(info.units.all()));
    for part in units {
        let mut entries = part.unit.entries();
        while let Ok(Some(entry)) = entries.next_dfs() {
            let node = Node { part: part.clone(), offset: entry.offset() };
            asked += usize::from(about(info, &part, &node, entry.tag()));
            if asked == MOST_QUESTIONS {
                return;
            }
        }
    }
    let _ = info.lines("x.c", 1, 0);
}

/// The question that an entry is the answer to, if there is one.
fn about(info: &DebugInfo, part: &Rc<Part>, node: &Node, tag: gimli::DwTag) -> bool {
    let name = || info.answer(|| info.name(node)).ok().flatten().unwrap_or_default();
    match tag {
        c::DW_TAG_subprogram => {
            let value = node.entry().and_then(|e| e.attr_value(c::DW_AT_low_pc));
            let low = value.and_then(|value| part.dwarf.attr_address(&part.unit, value).ok().flatten());
            let Some(low) = low else { return false };
            let _ = [GoAbi::Registers, GoAbi::Stack].map(|abi| info.go_proto(low, low, abi));
            is_bounded(info.proto(low, "f").ok().flatten().as_ref());
        }
        c::DW_TAG_structure_type | c::DW_TAG_class_type | c::DW_TAG_union_type => drop(info.struct_def(&name())),
        c::DW_TAG_enumeration_type => drop(info.enum_named(&name())),
        c::DW_TAG_typedef => drop(info.typedef(&name())),
        _ => return false,
    }
    true
}

fn is_bounded(proto: Option<&UserProto>) {
    let texts = proto.into_iter().flat_map(|proto| proto.params.iter().map(|p| &p.c_type).chain([&proto.ret_c_type]));
    texts.for_each(|text| assert!(text.len() <= MOST_TEXT, "a type of {} bytes", text.len()));
}

fn unwind(all: &Sections) {
    let Some(unwind) = UnwindInfo::from_sections(all) else { return };
    let stack = StackCopy { start: 0x7000, bytes: &[0x10; 256] };
    let Some(registers) = Registers::from_kernel(&[0x70; 512]) else { return };
    for n in 0..16 {
        let _ = unwind.step(0x1000 + 4 * n, &registers, &stack);
    }
}
