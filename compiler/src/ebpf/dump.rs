//! Programs as text: instructions as the verifier's log prints them, under the script lines they come from.

use super::{
    insn::{Imm64, Insn, decode},
    lineinfo::line_at,
};
use std::fmt::Write;
use weftrace_artifact::{
    map::MapSpec,
    program::{FieldPath, ProgramImage, RelocSlot},
};

/// The program's listing.
pub fn disassemble(image: &ProgramImage, maps: &[MapSpec], sources: &[(String, String)]) -> String {
    let mut out = String::new();
    let (insns, frame, scratch) = (image.insns.len(), image.frame_size, image.scratch_size);
    let _ = writeln!(
        out,
        "program {} {:?}: {insns} instructions, frame {frame}, scratch {scratch}",
        image.name, image.prog_type
    );
    let mut spans = image.spans.iter().peekable();
    let mut last_line = None;
    let mut at = 0;
    while at < image.insns.len() {
        while let Some(&(_, place)) = spans.next_if(|(start, _)| *start as usize <= at) {
            let line = line_at(sources, place);
            if let Some(line) = line.as_ref().filter(|_| line != last_line) {
                let _ = writeln!(out, "; {} @ {}:{}", line.text.trim(), line.file, line.number);
            }
            last_line = line;
        }
        let word = image.insns[at];
        let Some(insn) = decode(&image.insns[at..]) else {
            let _ = writeln!(out, "{at:4}: ({:02x}) unknown {word:#018x}", word as u8);
            at += 1;
            continue;
        };
        let _ = writeln!(out, "{at:4}: ({:02x}) {}{}", word as u8, text(image, maps, at, insn), field(image, at));
        at += insn.units();
    }
    out
}

fn text(image: &ProgramImage, maps: &[MapSpec], at: usize, insn: Insn) -> String {
    let Insn::LoadImm64 { kind: Imm64::MapFd, dst, .. } = insn else { return insn.to_string() };
    let map = image.map_relocs.iter().find(|r| r.insn as usize == at).and_then(|r| maps.get(r.map.0 as usize));
    match map {
        Some(map) => format!("{dst} = map[{}]", map.name),
        None => insn.to_string(),
    }
}

fn field(image: &ProgramImage, at: usize) -> String {
    let Some(reloc) = image.field_relocs.iter().find(|r| r.insn as usize == at) else { return String::new() };
    let path = match &reloc.path {
        FieldPath::Struct { name, members } => format!("struct {name}.{members}"),
        FieldPath::Tracepoint { category, event, field } => format!("{category}:{event}.{field}"),
        FieldPath::LinkKind => return "    ; imm = kind of link: 1 Ethernet, 2 cooked, 3 raw IP".to_owned(),
    };
    let slot = match reloc.slot {
        RelocSlot::Off => "off",
        RelocSlot::Imm => "imm",
    };
    format!("    ; {slot} = offset of {path}")
}
