//! Patching instructions: map descriptors, and offsets that differ between hosts.

use std::os::fd::RawFd;
use weftrace_artifact::program::{FieldPath, FieldReloc, ProgramImage, RelocSlot};
use weftrace_lang::hir::{StructDef, Ty};
use weftrace_lang::world::{Answer, World};

/// BPF_PSEUDO_MAP_FD, in the source register's place.
const PSEUDO_MAP_FD: u64 = 1;
/// BPF_LD | BPF_DW | BPF_IMM
const LD_IMM64: u64 = 0x18;

/// The image's instructions, ready to load. `Err` says what doesn't fit, in words.
pub(super) fn apply(image: &ProgramImage, map_fds: &[RawFd], world: Option<&dyn World>) -> Result<Vec<u64>, String> {
    let mut insns = image.insns.clone();
    for reloc in &image.map_relocs {
        let fd = map_fds.get(reloc.map.0 as usize).ok_or_else(|| format!("map {} was not created", reloc.map.0))?;
        let at = reloc.insn as usize;
        // Two instructions: the second holds the upper half, 0 here.
        let [low, high] = insns.get_mut(at..at + 2).ok_or_else(|| beyond(reloc.insn))? else {
            return Err(beyond(reloc.insn));
        };
        if *low & 0xff != LD_IMM64 {
            return Err(format!("instruction {at} doesn't load a map"));
        }
        *low = (*low & 0x0fff) | PSEUDO_MAP_FD << 12 | u64::from(*fd as u32) << 32;
        *high = 0;
    }
    if let Some(world) = world {
        for reloc in image.field_relocs.iter().filter(|r| r.path != FieldPath::LinkKind) {
            patch(&mut insns, reloc, resolve(&reloc.path, world)?)?;
        }
    }
    Ok(insns)
}

fn beyond(insn: u32) -> String {
    format!("a relocation names instruction {insn}, beyond the program's end")
}

/// Moves the instruction's offset or immediate by as much as the field moved: the compiler may have added to it.
fn patch(insns: &mut [u64], reloc: &FieldReloc, here: i64) -> Result<(), String> {
    let moved = here - reloc.compiled;
    if moved == 0 {
        return Ok(());
    }
    let insn = insns.get_mut(reloc.insn as usize).ok_or_else(|| beyond(reloc.insn))?;
    let too_far = || format!("{} lies too far into its struct on this host ({here})", shown(&reloc.path));
    match reloc.slot {
        RelocSlot::Off => {
            let off = i64::from((*insn >> 16) as u16 as i16) + moved;
            let off = i16::try_from(off).map_err(|_| too_far())?;
            *insn = (*insn & !0xffff_0000) | u64::from(off as u16) << 16;
        }
        RelocSlot::Imm => {
            let imm = i64::from((*insn >> 32) as u32 as i32) + moved;
            let imm = i32::try_from(imm).map_err(|_| too_far())?;
            *insn = (*insn & 0xffff_ffff) | u64::from(imm as u32) << 32;
        }
    }
    Ok(())
}

fn shown(path: &FieldPath) -> String {
    match path {
        FieldPath::Struct { name, members } => format!("{members} of struct {name}"),
        FieldPath::Tracepoint { category, event, field } => format!("args.{field} of tracepoint:{category}:{event}"),
        FieldPath::LinkKind => "the kind of link".to_owned(),
    }
}

fn resolve(path: &FieldPath, world: &dyn World) -> Result<i64, String> {
    let found = match path {
        FieldPath::Struct { name, members } => member_offset(world, name, members).map(|o| o.map(i64::from)),
        FieldPath::Tracepoint { category, event, field } => answer(world.tracepoint(category, event))
            .map(|e| e.and_then(|e| e.fields.iter().find(|f| f.name == *field).map(|f| i64::from(f.offset)))),
        // Known by who opened the socket, not by the host.
        FieldPath::LinkKind => Ok(None),
    };
    found.map_err(|why| format!("{}: {why}", shown(path)))?.ok_or_else(|| format!("this host has no {}", shown(path)))
}

fn answer<T>(answer: Answer<T>) -> Result<Option<T>, String> {
    match answer {
        Answer::Found(x) => Ok(Some(x)),
        Answer::NotThere => Ok(None),
        Answer::NotPermitted(why) | Answer::CouldNotTell(why) => Err(why),
    }
}

/// Byte offset of `a.b.c` within a struct, through structs held by value and anonymous members.
fn member_offset(world: &dyn World, name: &str, members: &str) -> Result<Option<u32>, String> {
    let mut at = 0;
    let mut owner = name.to_owned();
    for member in members.split('.') {
        let Some(def) = answer(world.kernel_struct(&owner))? else { return Ok(None) };
        let Some((offset, ty)) = find_member(world, &def, member, 0)? else { return Ok(None) };
        at += offset;
        owner = match ty {
            Ty::Struct(inner) => inner,
            _ => String::new(),
        };
    }
    Ok(Some(at))
}

fn find_member(world: &dyn World, def: &StructDef, member: &str, depth: u32) -> Result<Option<(u32, Ty)>, String> {
    /// Anonymous members within anonymous members.
    const MAX_DEPTH: u32 = 8;
    if let Some(field) = def.fields.iter().find(|f| f.name == member) {
        return Ok(Some((field.offset, field.ty.clone())));
    }
    for field in def.fields.iter().filter(|f| f.name.is_empty() && depth < MAX_DEPTH) {
        let Ty::Struct(inner) = &field.ty else { continue };
        let Some(inner) = answer(world.kernel_struct(inner))? else { continue };
        if let Some((offset, ty)) = find_member(world, &inner, member, depth + 1)? {
            return Ok(Some((field.offset + offset, ty)));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[path = "reloc_tests.rs"]
mod tests;
