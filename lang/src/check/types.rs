//! Rules about types: how they are named in messages, how two uses of one name meet, sizes.

use crate::hir::{Agg, SeriesHow, Space, Ty};

/// Whether an integer's sign is still open: a positive literal takes the sign of what it meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flex {
    No,
    Yes,
    /// Members of a tuple or record.
    Parts(Vec<Flex>),
}

impl Flex {
    fn part(&self, i: usize) -> Flex {
        match self {
            Self::Parts(p) => p.get(i).cloned().unwrap_or(Self::No),
            Self::Yes => Self::Yes,
            Self::No => Self::No,
        }
    }
}

/// A type with the openness of its literals: what a variable, key, value or stream field has so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) ty: Ty,
    pub(crate) flex: Flex,
}

impl Open {
    pub(crate) fn firm(ty: Ty) -> Self {
        Self { ty, flex: Flex::No }
    }
}

/// The smallest signed integer that holds a literal; uint64 above int64.
pub(crate) fn literal_type(value: i128) -> Ty {
    let bits = if i8::try_from(value).is_ok() {
        8
    } else if i16::try_from(value).is_ok() {
        16
    } else if i32::try_from(value).is_ok() {
        32
    } else {
        return Ty::Int { bits: 64, signed: i64::try_from(value).is_ok() };
    };
    Ty::Int { bits, signed: true }
}

/// Whether a value is in an integer type's range.
pub(crate) fn fits(value: i128, bits: u8, signed: bool) -> bool {
    let (low, high) =
        if signed { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
    (low..=high).contains(&value)
}

/// Width and sign of what counts as an integer.
pub(crate) fn int_shape(ty: &Ty) -> Option<(u8, bool)> {
    match ty {
        Ty::Int { bits, signed } | Ty::Enum { bits, signed, .. } => Some((*bits, *signed)),
        Ty::Bool => Some((8, false)),
        _ => None,
    }
}

/// `char` in C: what makes an array a string.
pub(crate) fn is_char(ty: &Ty) -> bool {
    matches!(ty, Ty::Int { bits: 8, signed: true })
}

/// The type an aggregate has when it is read as a number; None where it has no single number.
pub(crate) fn agg_number(agg: &Agg) -> Option<Ty> {
    let signed = match agg {
        Agg::Count => false,
        Agg::Sum { signed } | Agg::Min { signed } | Agg::Max { signed } | Agg::Avg { signed } => *signed,
        Agg::Stats { .. } | Agg::Hist { .. } | Agg::Lhist { .. } | Agg::Series { .. } => return None,
    };
    Some(Ty::Int { bits: 64, signed })
}

/// The type that two uses of one variable, key, value or field have together; None if they don't go together.
pub(crate) fn join(a: &Open, b: &Open) -> Option<Open> {
    if a == b {
        return Some(a.clone());
    }
    match (&a.ty, &b.ty) {
        (Ty::Error, _) => Some(b.clone()),
        (_, Ty::Error) => Some(a.clone()),
        (Ty::Agg(x), Ty::Agg(y)) => join_agg(x, y).map(|g| Open::firm(Ty::Agg(g))),
        (Ty::Enum { name: x, .. }, Ty::Enum { name: y, .. }) if x == y => Some(a.clone()),
        (Ty::Bool, Ty::Bool) => Some(Open::firm(Ty::Bool)),
        (Ty::Bool, Ty::Int { .. }) | (Ty::Int { .. }, Ty::Bool) => None,
        (x, y) if int_shape(x).is_some() && int_shape(y).is_some() => join_int(a, b),
        (Ty::Str { cap: x }, Ty::Str { cap: y }) => Some(Open::firm(Ty::Str { cap: *x.max(y) })),
        (Ty::Buf { cap: x }, Ty::Buf { cap: y }) => Some(Open::firm(Ty::Buf { cap: *x.max(y) })),
        (Ty::Ptr { .. }, Ty::Ptr { .. }) => join_ptr(&a.ty, &b.ty).map(Open::firm),
        // A literal 0 is the null pointer.
        (Ty::Ptr { .. }, Ty::Int { .. }) if a.flex == Flex::No && b.flex == Flex::Yes => Some(a.clone()),
        (Ty::Int { .. }, Ty::Ptr { .. }) if a.flex == Flex::Yes => Some(b.clone()),
        (Ty::Array { elem: x, len: n }, Ty::Array { elem: y, len: m }) if n == m => {
            let elem = join(&Open::firm((**x).clone()), &Open::firm((**y).clone()))?;
            // Elements of two widths are not one array.
            let same = plain_size(x) == plain_size(y);
            same.then(|| Open::firm(Ty::Array { elem: Box::new(elem.ty), len: *n }))
        }
        (Ty::Tuple(x), Ty::Tuple(y)) => {
            join_members(x, &a.flex, y, &b.flex).map(|(m, f)| Open { ty: Ty::Tuple(m), flex: f })
        }
        (Ty::Record(x), Ty::Record(y)) => join_records(x, &a.flex, y, &b.flex),
        (x, y) if x == y => Some(Open::firm(x.clone())),
        _ => None,
    }
}

fn join_agg(a: &Agg, b: &Agg) -> Option<Agg> {
    Some(match (a, b) {
        (Agg::Sum { signed: x }, Agg::Sum { signed: y }) => Agg::Sum { signed: x | y },
        (Agg::Min { signed: x }, Agg::Min { signed: y }) => Agg::Min { signed: x | y },
        (Agg::Max { signed: x }, Agg::Max { signed: y }) => Agg::Max { signed: x | y },
        (Agg::Avg { signed: x }, Agg::Avg { signed: y }) => Agg::Avg { signed: x | y },
        (Agg::Stats { signed: x }, Agg::Stats { signed: y }) => Agg::Stats { signed: x | y },
        (Agg::Series { interval, count, how, signed: x }, Agg::Series { signed: y, .. }) => {
            let wanted = |signed| Agg::Series { interval: *interval, count: *count, how: *how, signed };
            if *b != wanted(*y) {
                return None;
            }
            wanted(x | y)
        }
        (x, y) if x == y => x.clone(),
        _ => return None,
    })
}

/// bpftrace's promotion of integers that share a name (types.cpp, get_promoted_int).
fn join_int(a: &Open, b: &Open) -> Option<Open> {
    let ((abits, asigned), (bbits, bsigned)) = (int_shape(&a.ty)?, int_shape(&b.ty)?);
    let (aflex, bflex) = (a.flex == Flex::Yes, b.flex == Flex::Yes);
    let max = abits.max(bbits);
    let flex = if aflex && bflex { Flex::Yes } else { Flex::No };
    let (bits, signed) = if asigned == bsigned {
        (max, asigned)
    } else if aflex || bflex {
        (max, (!aflex && asigned) || (!bflex && bsigned))
    } else if (asigned && abits > bbits) || (bsigned && bbits > abits) {
        (max, true)
    } else {
        ((max * 2).min(64), true)
    };
    Some(Open { ty: Ty::Int { bits, signed }, flex })
}

fn join_ptr(a: &Ty, b: &Ty) -> Option<Ty> {
    let (Ty::Ptr { to: first, space }, Ty::Ptr { to: second, space: other }) = (a, b) else { return None };
    let space = if *space == Space::Unknown { *other } else { *space };
    let to = match (&**first, &**second) {
        (Ty::Void, known) | (known, Ty::Void) => known.clone(),
        (same, again) if same == again => same.clone(),
        (Ty::Ptr { .. }, Ty::Ptr { .. }) => join_ptr(first, second)?,
        // The first use says how it is read.
        (Ty::Int { .. }, Ty::Int { .. }) => (**first).clone(),
        _ => return None,
    };
    Some(Ty::Ptr { to: Box::new(to), space })
}

fn join_members(x: &[Ty], xf: &Flex, y: &[Ty], yf: &Flex) -> Option<(Vec<Ty>, Flex)> {
    if x.len() != y.len() {
        return None;
    }
    let mut types = Vec::new();
    let mut flexes = Vec::new();
    for (i, (p, q)) in x.iter().zip(y).enumerate() {
        let m = join(&Open { ty: p.clone(), flex: xf.part(i) }, &Open { ty: q.clone(), flex: yf.part(i) })?;
        types.push(m.ty);
        flexes.push(m.flex);
    }
    Some((types, Flex::Parts(flexes)))
}

/// Records match by name; the order of the first use stays.
fn join_records(x: &[(String, Ty)], xf: &Flex, y: &[(String, Ty)], yf: &Flex) -> Option<Open> {
    if x.len() != y.len() {
        return None;
    }
    let mut fields = Vec::new();
    let mut flexes = Vec::new();
    for (i, (name, p)) in x.iter().enumerate() {
        let j = y.iter().position(|(n, _)| n == name)?;
        let m = join(&Open { ty: p.clone(), flex: xf.part(i) }, &Open { ty: y[j].1.clone(), flex: yf.part(j) })?;
        fields.push((name.clone(), m.ty));
        flexes.push(m.flex);
    }
    Some(Open { ty: Ty::Record(fields), flex: Flex::Parts(flexes) })
}

/// A type in a message: without what the user did not write.
pub(crate) fn show(ty: &Ty) -> String {
    named(ty, false)
}

/// As bpftrace writes it in its messages.
pub(crate) fn spelled(ty: &Ty) -> String {
    show_full(ty).replace(", ", ",")
}

/// A type with all its parts, as scripts can write it.
pub(crate) fn show_full(ty: &Ty) -> String {
    named(ty, true)
}

fn named(ty: &Ty, full: bool) -> String {
    let list = |m: &[Ty]| m.iter().map(|t| named(t, full)).collect::<Vec<_>>().join(", ");
    match ty {
        Ty::Int { bits, signed } => format!("{}int{bits}", if *signed { "" } else { "u" }),
        Ty::Enum { name, .. } if name.is_empty() || name.starts_with("anon") => "enum".into(),
        Ty::Enum { name, .. } => format!("enum {}", bare(name)),
        Ty::Str { cap } if full => format!("string[{cap}]"),
        Ty::Buf { cap } if full => format!("buffer[{cap}]"),
        Ty::Ptr { to, .. } => format!("{} *", named(to, full)),
        Ty::Struct(name) if !full && (name.starts_with("anon") || name.is_empty()) => "an unnamed struct".into(),
        Ty::Struct(name) => format!("struct {}", bare(name)),
        Ty::Array { elem, len } => format!("{}[{len}]", named(elem, full)),
        Ty::Tuple(m) => format!("({})", list(m)),
        Ty::Record(m) => {
            let fields: Vec<_> = m.iter().map(|(n, t)| format!("{n}: {}", named(t, full))).collect();
            format!("({})", fields.join(", "))
        }
        Ty::Agg(a) => format!("{}()", agg_name(a)),
        other => word(other).into(),
    }
}

/// A type's name without the program that it is from.
fn bare(name: &str) -> &str {
    name.split_once('@').map_or(name, |(bare, _)| bare)
}

/// Types that have one word.
fn word(ty: &Ty) -> &'static str {
    match ty {
        Ty::Void => "void",
        Ty::Bool => "bool",
        Ty::Str { .. } => "string",
        Ty::Buf { .. } => "buffer",
        Ty::Ksym => "kernel symbol",
        Ty::Usym => "user symbol",
        Ty::KStack { .. } => "kernel stack",
        Ty::UStack { .. } => "user stack",
        Ty::DwStack { .. } => "dw_ustack",
        Ty::Inet => "IP address",
        Ty::Mac => "MAC address",
        Ty::Time { .. } => "formatted time",
        Ty::Username => "username",
        Ty::Float { .. } => "floating-point number",
        Ty::CgroupPath { .. } => "cgroup path",
        Ty::Conn => "connection",
        Ty::ByteRanges => "bytes of a connection",
        Ty::Flow => "flow",
        Ty::Headers => "HTTP headers",
        _ => "unknown",
    }
}

/// The function that makes an aggregate.
pub(crate) fn agg_name(agg: &Agg) -> &'static str {
    match agg {
        Agg::Count => "count",
        Agg::Sum { .. } => "sum",
        Agg::Min { .. } => "min",
        Agg::Max { .. } => "max",
        Agg::Avg { .. } => "avg",
        Agg::Stats { .. } => "stats",
        Agg::Hist { .. } => "hist",
        Agg::Lhist { .. } => "lhist",
        Agg::Series { .. } => "tseries",
    }
}

/// The same with what tells apart two of them.
pub(crate) fn agg_full(agg: &Agg) -> String {
    match agg {
        Agg::Hist { bits } => format!("hist(n, {bits})"),
        Agg::Lhist { min, max, step } => format!("lhist(n, {min}, {max}, {step})"),
        Agg::Series { interval, count, how, .. } => {
            let how = match how {
                SeriesHow::Last => String::new(),
                how => format!(", \"{}\"", format!("{how:?}").to_lowercase()),
            };
            format!("tseries(n, {}, {count}{how})", duration(*interval))
        }
        other => format!("{}()", agg_name(other)),
    }
}

/// As scripts write it: `500ms`.
fn duration(ns: u64) -> String {
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000)];
    let unit = units.iter().find(|(_, n)| ns > 0 && ns.is_multiple_of(*n));
    unit.map_or_else(|| format!("{ns}ns"), |(unit, n)| format!("{}{unit}", ns / n))
}

/// Bytes of a type whose layout needs no struct definitions.
pub(crate) fn plain_size(ty: &Ty) -> Option<u32> {
    Some(match ty {
        Ty::Void => 0,
        Ty::Bool => 1,
        Ty::Int { bits, .. } | Ty::Enum { bits, .. } => u32::from(*bits) / 8,
        Ty::Str { cap } | Ty::Buf { cap } => *cap,
        Ty::Ptr { .. } | Ty::Ksym | Ty::Time { .. } | Ty::CgroupPath { .. } | Ty::KStack { .. } | Ty::Agg(_) => 8,
        Ty::Usym | Ty::UStack { .. } => 16,
        Ty::DwStack { .. } => crate::hir::DW_STACK_BYTES,
        Ty::Inet => 20,
        Ty::Mac => 6,
        Ty::Username => 4,
        Ty::Float { bytes } => u32::from(*bytes),
        Ty::Conn => 56,
        Ty::ByteRanges => 192,
        Ty::Flow => 48,
        Ty::Headers => 1024,
        Ty::Array { elem, len } => plain_size(elem)?.checked_mul(*len)?,
        Ty::Struct(_) | Ty::Tuple(_) | Ty::Record(_) | Ty::Error => return None,
    })
}
