//! From the language's types to byte layouts.

use weftrace_artifact::ty::{Field, StackMode, Type, lay_out};
use weftrace_lang::hir::{self, Agg, Program, Ty};

/// Nested types deeper than this are a bug or an attack, not a script.
const MAX_DEPTH: u32 = 32;

/// The layout of a type; None for what has no bytes (void, errors, a map's aggregate) or refers to an unknown struct.
pub fn layout(program: &Program, ty: &Ty) -> Option<Type> {
    nested(program, ty, 0)
}

fn nested(program: &Program, ty: &Ty, depth: u32) -> Option<Type> {
    if depth > MAX_DEPTH {
        return None;
    }
    let inner = |t: &Ty| nested(program, t, depth + 1);
    Some(match ty {
        Ty::Bool => Type::Bool,
        Ty::Int { bits, signed } => Type::Int { bytes: bits / 8, signed: *signed },
        Ty::Enum { name, bits, signed } => {
            let variants = program.enum_def(name).map(|e| e.variants.clone()).unwrap_or_default();
            Type::Enum { name: name.clone(), bytes: bits / 8, signed: *signed, variants }
        }
        Ty::Str { cap } => Type::Str { cap: *cap },
        Ty::Buf { cap } => Type::Buf { cap: *cap },
        Ty::Ptr { .. } => Type::Ptr,
        Ty::Struct(name) => structure(program, program.struct_def(name)?, depth),
        Ty::Array { elem, len } => Type::Array { elem: Box::new(member(program, elem, depth)?), len: *len },
        Ty::Tuple(items) => {
            let items = items.iter().map(|t| Some((None, inner(t)?))).collect::<Option<Vec<_>>>()?;
            let (fields, size) = lay_out(items);
            Type::Tuple { fields, size }
        }
        Ty::Record(items) => {
            let items = items.iter().map(|(n, t)| Some((Some(n.clone()), inner(t)?))).collect::<Option<Vec<_>>>()?;
            let (fields, size) = lay_out(items);
            Type::Record { fields, size }
        }
        Ty::Ksym => Type::Ksym,
        Ty::Usym => Type::Usym,
        Ty::KStack { mode, limit } => Type::KStack { mode: stack_mode(*mode), limit: *limit },
        Ty::UStack { mode, limit } => Type::UStack { mode: stack_mode(*mode), limit: *limit },
        Ty::DwStack { mode, limit } => Type::Sample { mode: stack_mode(*mode), limit: *limit },
        Ty::Inet => Type::Inet,
        Ty::Mac => Type::Mac,
        Ty::Time { fmt } => Type::Time { fmt: fmt.clone() },
        Ty::Username => Type::Username,
        Ty::Float { bytes } => Type::Opaque { bytes: *bytes },
        Ty::CgroupPath { filter } => Type::CgroupPath { filter: filter.clone() },
        Ty::Conn => Type::Conn,
        Ty::ByteRanges => Type::ByteRanges,
        Ty::Flow => Type::Flow,
        Ty::Headers => Type::Headers,
        // Read as a number.
        Ty::Agg(agg) => Type::Int { bytes: 8, signed: agg_signed(agg) },
        Ty::Void | Ty::Error => return None,
    })
}

/// What lies in a struct or an array: characters in a row are text there, as in C.
fn member(program: &Program, ty: &Ty, depth: u32) -> Option<Type> {
    match ty {
        Ty::Array { elem, len } if matches!(**elem, Ty::Int { bits: 8, signed: true }) => Some(Type::Str { cap: *len }),
        ty => nested(program, ty, depth + 1),
    }
}

fn structure(program: &Program, def: &hir::StructDef, depth: u32) -> Type {
    let mut fields = Vec::new();
    for f in &def.fields {
        // Members whose type is not known here are not shown.
        let Some(ty) = member(program, &f.ty, depth) else { continue };
        match ty {
            // An unnamed member's own members are the enclosing struct's.
            Type::Struct { fields: inner, .. } if f.name.is_empty() => {
                fields.extend(inner.into_iter().map(|g| Field { offset: f.offset + g.offset, ..g }));
            }
            ty => fields.push(Field { name: Some(f.name.clone()), offset: f.offset, ty, bits: f.bits }),
        }
    }
    Type::Struct { name: def.name.clone(), fields, size: def.size }
}

/// The artifact's name for a stack mode.
pub(crate) fn stack_mode(mode: hir::StackMode) -> StackMode {
    match mode {
        hir::StackMode::Bpftrace => StackMode::Bpftrace,
        hir::StackMode::Perf => StackMode::Perf,
        hir::StackMode::Raw => StackMode::Raw,
        hir::StackMode::BuildId => StackMode::BuildId,
    }
}

/// The artifact's name for what a series keeps.
pub(crate) fn series_how(how: hir::SeriesHow) -> weftrace_artifact::map::SeriesHow {
    use weftrace_artifact::map::SeriesHow as S;
    match how {
        hir::SeriesHow::Last => S::Last,
        hir::SeriesHow::Avg => S::Avg,
        hir::SeriesHow::Max => S::Max,
        hir::SeriesHow::Min => S::Min,
        hir::SeriesHow::Sum => S::Sum,
    }
}

/// Whether the aggregate's values are signed.
pub(crate) fn agg_signed(agg: &Agg) -> bool {
    match agg {
        Agg::Count | Agg::Hist { .. } | Agg::Lhist { .. } => false,
        Agg::Sum { signed }
        | Agg::Min { signed }
        | Agg::Max { signed }
        | Agg::Avg { signed }
        | Agg::Stats { signed }
        | Agg::Series { signed, .. } => *signed,
    }
}

/// What a map's value bytes mean.
pub(crate) fn map_value(program: &Program, ty: &Ty) -> Option<weftrace_artifact::map::Value> {
    use weftrace_artifact::map::Value as V;
    Some(match ty {
        Ty::Agg(agg) => match *agg {
            Agg::Count => V::Count,
            Agg::Sum { signed } => V::Sum { signed },
            Agg::Min { signed } => V::Min { signed },
            Agg::Max { signed } => V::Max { signed },
            Agg::Avg { signed } => V::Avg { signed },
            Agg::Stats { signed } => V::Stats { signed },
            Agg::Hist { bits } => V::Hist { bits },
            Agg::Lhist { min, max, step } => V::Lhist { min, max, step },
            Agg::Series { interval, count, how, signed } => V::Series { interval, count, how: series_how(how), signed },
        },
        plain => V::Plain(layout(program, plain)?),
    })
}

/// Held in a register: the rest lives in memory.
pub(crate) fn in_register(ty: &Ty) -> bool {
    ty.is_scalar() || matches!(ty, Ty::KStack { .. } | Ty::Agg(_))
}

/// (bytes, signed) of a type that is held in a register.
pub(crate) fn width(ty: &Ty) -> (u32, bool) {
    match ty {
        Ty::Bool => (1, false),
        Ty::Int { bits, signed } | Ty::Enum { bits, signed, .. } => (u32::from(*bits) / 8, *signed),
        Ty::Username => (4, false),
        Ty::KStack { .. } => (8, true),
        Ty::Agg(agg) => (8, agg_signed(agg)),
        _ => (8, false),
    }
}
