//! Whether a log that somebody else wrote can be compiled by: a recording may be made to harm.

use super::WorldLog;
use crate::hir::{StructDef, Ty};
use crate::world::{Answer, TraceField};
use std::collections::BTreeMap;

/// Bytes of a type, offsets, numbers of elements: more than any kernel or program has.
const MOST: u64 = 1 << 24;
/// Structs within structs.
const DEEPEST: usize = 64;
/// And how many, at all depths: what looks for a member goes through them. The kernel's largest have some hundreds.
const MOST_NESTED: usize = 1 << 14;

impl WorldLog {
    /// What no host would have answered; None: it is sound.
    pub fn problem(&self) -> Option<String> {
        let all = self.kernel_struct.iter().chain(&self.user_struct);
        let found =
            all.filter_map(|(key, answer)| if let Answer::Found(def) = answer { Some((key, def)) } else { None });
        // By what they were asked by (of a program's: `PATH:NAME`), and by what types call them (`NAME@PATH`).
        let structs: BTreeMap<&str, &StructDef> =
            found.flat_map(|(key, def)| [(key.as_str(), def), (def.name.as_str(), def)]).collect();
        let odd = structs.values().find(|def| !is_sound(def)).map(|def| format!("the layout of struct {}", def.name));
        let endless = || {
            let mut known = BTreeMap::new();
            let deep = structs.keys().find(|name| nested(name, &structs, &mut known, 0).is_none())?;
            Some(format!("struct {deep}, in which structs have no end"))
        };
        let record = || {
            let events = self.tracepoint.values().filter_map(|a| if let Answer::Found(e) = a { Some(e) } else { None });
            let mut odd = events.filter(|e| u64::from(e.size) > MOST || !e.fields.iter().all(is_field));
            odd.next().map(|e| format!("the record of tracepoint {}:{}", e.category, e.name))
        };
        odd.or_else(endless).or_else(record)
    }
}

fn is_sound(def: &StructDef) -> bool {
    let sized = u64::from(def.size) <= MOST && u64::from(def.align) <= MOST;
    let bits = |bits: Option<(u8, u8)>| bits.is_none_or(|(first, width)| first < 64 && (1..=64).contains(&width));
    sized && def.fields.iter().all(|f| u64::from(f.offset) <= MOST && bits(f.bits) && is_type(&f.ty, 0).is_some())
}

fn is_field(field: &TraceField) -> bool {
    u64::from(field.offset) <= MOST && u64::from(field.size) <= MOST && is_type(&field.ty, 0).is_some()
}

/// About how many bytes a type takes, those of structs left out; None: it is none.
fn is_type(ty: &Ty, within: usize) -> Option<u64> {
    let size = match ty {
        _ if within > DEEPEST => return None,
        Ty::Int { bits, .. } | Ty::Enum { bits, .. } => {
            matches!(bits, 8 | 16 | 32 | 64).then_some(u64::from(*bits) / 8)?
        }
        Ty::Str { cap } | Ty::Buf { cap } => (*cap).into(),
        Ty::Ptr { to, .. } => is_type(to, within + 1).map(|_| 8)?,
        Ty::Array { elem, len } => is_type(elem, within + 1)?.max(1).checked_mul((*len).into())?,
        Ty::Tuple(parts) => {
            parts.iter().map(|part| is_type(part, within + 1)).try_fold(0u64, |a, b| a.checked_add(b?))?
        }
        Ty::Record(parts) => {
            parts.iter().map(|(_, part)| is_type(part, within + 1)).try_fold(0u64, |a, b| a.checked_add(b?))?
        }
        _ => 8,
    };
    (size <= MOST).then_some(size)
}

/// How many structs are in one, each as often as it is there, in those that were looked at before too; None: without end, or more than any has.
fn nested<'a>(
    name: &'a str,
    structs: &BTreeMap<&'a str, &'a StructDef>,
    known: &mut BTreeMap<&'a str, usize>,
    within: usize,
) -> Option<usize> {
    if let Some(n) = known.get(name) {
        return Some(*n);
    }
    let Some(def) = structs.get(name).filter(|_| within <= DEEPEST) else {
        return (within <= DEEPEST).then_some(0);
    };
    let mut all = 0;
    for field in &def.fields {
        let mut ty = &field.ty;
        while let Ty::Array { elem, .. } = ty {
            ty = elem;
        }
        if let Ty::Struct(inner) = ty {
            all += 1 + nested(inner, structs, known, within + 1)?;
        }
        if all > MOST_NESTED {
            return None;
        }
    }
    known.insert(name, all);
    Some(all)
}

#[cfg(test)]
#[path = "sound_tests.rs"]
mod tests;
