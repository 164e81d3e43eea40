//! Layout of the script's own structs and unions: the C rules of x86-64 and arm64 (System V, AAPCS64).

use crate::hir::{StructDef, StructField, Ty};

/// A member as it is found: offset from the start of the outermost struct that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) offset: u32,
    pub(crate) ty: Ty,
    pub(crate) bits: Option<(u8, u8)>,
}

/// A member to be placed.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) ty: Ty,
    pub(crate) size: u32,
    pub(crate) align: u32,
    /// It says so itself: the struct's `packed` doesn't change it.
    pub(crate) own_align: bool,
    pub(crate) bits: Option<u32>,
}

/// `aligned` without a number: as the machine likes it best.
const MOST_ALIGNED: u32 = 16;

/// What attributes say, one by one: `packed, aligned(4)` says two things.
fn each(attributes: &[String]) -> impl Iterator<Item = &str> {
    let mut depth = 0usize;
    let outside = move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    attributes.iter().flat_map(move |list| list.split(outside)).map(str::trim)
}

/// Of attributes that say `aligned`: what stands in its brackets, if it has any.
fn alignments(attributes: &[String]) -> impl Iterator<Item = Option<&str>> {
    each(attributes).filter_map(|a| {
        let (name, rest) = a.split_at(a.find('(').unwrap_or(a.len()));
        let inner = rest.strip_prefix('(').map(|r| r.strip_suffix(')').unwrap_or(r).trim());
        (name.trim().trim_matches('_') == "aligned").then_some(inner)
    })
}

fn power_of_two(text: &str) -> Option<u32> {
    let number = text.trim_end_matches(['u', 'U', 'l', 'L']);
    let n = super::params::parse_number(number).and_then(|n| u32::try_from(n).ok());
    n.filter(|n| n.is_power_of_two())
}

/// The number in `aligned(N)`, if an attribute says so; of several the largest, as in C.
pub(crate) fn aligned(attributes: &[String]) -> Option<u32> {
    alignments(attributes).filter_map(|inner| inner.map_or(Some(MOST_ALIGNED), power_of_two)).max()
}

/// What `aligned` is asked for and can't be.
pub(crate) fn unaligned(attributes: &[String]) -> Option<&str> {
    alignments(attributes).flatten().find(|inner| power_of_two(inner).is_none())
}

/// Whether an attribute says `packed`.
pub(crate) fn packed(attributes: &[String]) -> bool {
    each(attributes).any(|a| a.trim_matches('_') == "packed")
}

/// Places members one after the other (or all at 0 in a union).
pub(crate) fn lay_out(name: &str, union: bool, members: Vec<Input>, attributes: &[String]) -> StructDef {
    let packed = packed(attributes);
    let mut fields = Vec::new();
    // Position in bits after the last member, so that bit-fields share their unit.
    let (mut at, mut end, mut most) = (0u64, 0u64, 1u32);
    for m in members {
        let align = if packed && !m.own_align { 1 } else { m.align.max(1) };
        if union {
            at = 0;
        }
        let unit = u64::from(m.size.max(1)) * 8;
        let (offset, bits) = match m.bits {
            Some(0) => {
                at = at.next_multiple_of(unit);
                continue;
            }
            Some(width) => {
                let width = u64::from(width).min(unit);
                if !packed && at % unit + width > unit {
                    at = at.next_multiple_of(unit);
                }
                let offset = at / unit * unit;
                let bit = at - offset;
                at += width;
                (u32::try_from(offset / 8).unwrap_or(u32::MAX), Some((bit as u8, width as u8)))
            }
            None => {
                at = at.next_multiple_of(u64::from(align) * 8);
                let offset = at;
                at += u64::from(m.size) * 8;
                (u32::try_from(offset / 8).unwrap_or(u32::MAX), None)
            }
        };
        most = most.max(align);
        end = end.max(at);
        fields.push(StructField { name: m.name, ty: m.ty, offset, bits });
    }
    if let Some(n) = aligned(attributes) {
        most = most.max(n);
    }
    let size = u32::try_from(end.div_ceil(8).next_multiple_of(u64::from(most))).unwrap_or(u32::MAX);
    StructDef { name: name.to_owned(), union, size, align: most, fields, go: None }
}
