//! Records → the language's types.

use super::raw::Btf;
use super::record::{Kind, Record};
use weftrace_lang::hir::{EnumDef, Space, StructDef, StructField, Ty};

/// Chains of typedefs, qualifiers, pointers and arrays are never this long; malformed BTF may have a cycle.
const MAX_DEPTH: u32 = 32;
/// Nesting of structs by value.
const MAX_NESTING: u32 = 24;
/// Names of structs without one: `anon#ID`, or `anon#MODULE#ID`.
const ANON: &str = "anon#";

impl Btf {
    /// A struct or union by its tag, a typedef's name, or [`Ty::Struct`]'s name for one without a tag.
    pub fn struct_def(&self, name: &str) -> Option<StructDef> {
        let tag = name.strip_prefix("struct ").or_else(|| name.strip_prefix("union ")).unwrap_or(name);
        let record = match tag.strip_prefix(ANON) {
            Some(id) => self.anonymous(id)?,
            None => match self.find(tag, &[Kind::Struct, Kind::Union]) {
                Some(r) => r,
                None => self.peel(self.find(tag, &[Kind::Typedef])?.id)?,
            },
        };
        if !matches!(record.kind, Kind::Struct | Kind::Union) {
            return None;
        }
        let fields = (0..record.vlen).map(|i| self.member(&record, i)).collect();
        Some(StructDef {
            name: tag.to_owned(),
            union: record.kind == Kind::Union,
            size: record.word,
            align: self.align(record.id, 0),
            fields,
            go: None,
        })
    }

    /// Id of a struct that has this tag.
    pub fn struct_id(&self, tag: &str) -> Option<u32> {
        self.find(tag, &[Kind::Struct]).map(|record| record.id)
    }

    fn anonymous(&self, id: &str) -> Option<Record<'_>> {
        let id = match id.split_once('#') {
            Some((module, id)) if module == self.name => id,
            Some(_) => return None,
            None => id,
        };
        self.by_id(id.parse().ok()?)
    }

    fn anonymous_name(&self, id: u32) -> String {
        match self.base {
            Some(_) => format!("{ANON}{}#{id}", self.name),
            None => format!("{ANON}{id}"),
        }
    }

    /// Through typedefs and qualifiers.
    pub(super) fn peel(&self, mut id: u32) -> Option<Record<'_>> {
        for _ in 0..MAX_DEPTH {
            let record = self.by_id(id)?;
            match record.kind {
                Kind::Typedef | Kind::Const | Kind::Volatile | Kind::Restrict | Kind::TypeTag => id = record.word,
                _ => return Some(record),
            }
        }
        None
    }

    fn member(&self, owner: &Record<'_>, index: usize) -> StructField {
        let (name, ty, offset) = (owner.extra(3 * index), owner.extra(3 * index + 1), owner.extra(3 * index + 2));
        let (bit, width) = if owner.flag { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
        let target = self.peel(ty);
        // Before the packed form a bit-field was an integer type of few bits.
        let (bit, width) = match target {
            Some(r) if r.kind == Kind::Int && width == 0 => {
                let (shift, bits) = ((r.extra(0) >> 16) & 0xff, r.extra(0) & 0xff);
                if bits != 0 && bits != r.word.saturating_mul(8) { (bit.saturating_add(shift), bits) } else { (bit, 0) }
            }
            _ => (bit, width),
        };
        let name = self.string(name).into_owned();
        let ty = self.ty(ty);
        if width == 0 {
            return StructField { name, ty, offset: bit / 8, bits: None };
        }
        let declared = target.map_or(4, |r| r.word).clamp(1, 8);
        let (byte, bytes, first) = storage(bit, width, declared, owner.word);
        let ty = match ty {
            Ty::Int { signed, .. } => Ty::Int { bits: (bytes * 8) as u8, signed },
            other => other,
        };
        StructField { name, ty, offset: byte, bits: Some((first as u8, width as u8)) }
    }

    /// The language's type of a BTF type.
    pub fn ty(&self, id: u32) -> Ty {
        self.ty_at(id, None, MAX_DEPTH, Space::Kernel)
    }

    /// `typedef`: the nearest typedef passed on the way, which names what has no tag of its own.
    fn ty_at(&self, id: u32, typedef: Option<u32>, depth: u32, space: Space) -> Ty {
        let Some(r) = self.by_id(id).filter(|_| depth > 0) else { return Ty::Void };
        let name = || {
            let own = if r.name_off != 0 { Some(r.name_off) } else { typedef };
            own.map(|off| self.string(off).into_owned())
        };
        match r.kind {
            Kind::Typedef => self.ty_at(r.word, typedef.or(Some(r.name_off)), depth - 1, space),
            Kind::Const | Kind::Volatile | Kind::Restrict => self.ty_at(r.word, typedef, depth - 1, space),
            // Between a pointer and its target: `__user` and the like.
            Kind::TypeTag => self.ty_at(r.word, typedef, depth - 1, space),
            Kind::Ptr => {
                let user =
                    self.by_id(r.word).is_some_and(|t| t.kind == Kind::TypeTag && self.string(t.name_off) == "user");
                let to = Box::new(self.ty_at(r.word, None, depth - 1, Space::Kernel));
                Ty::Ptr { to, space: if user { Space::User } else { space } }
            }
            Kind::Struct | Kind::Union => Ty::Struct(name().unwrap_or_else(|| self.anonymous_name(r.id))),
            Kind::Fwd => Ty::Struct(self.name_of(&r).into_owned()),
            Kind::Enum | Kind::Enum64 => match name() {
                Some(name) => Ty::Enum { name, bits: int_bits(r.word), signed: r.flag },
                None => Ty::Int { bits: int_bits(r.word), signed: r.flag },
            },
            Kind::Int => int(&r),
            Kind::Float => Ty::Float { bytes: r.word.clamp(1, 16) as u8 },
            Kind::Array => self.array(&r, depth),
            Kind::Void | Kind::Func | Kind::FuncProto | Kind::Var | Kind::DataSec | Kind::DeclTag => Ty::Void,
        }
    }

    fn array(&self, r: &Record<'_>, depth: u32) -> Ty {
        let (elem, len) = (r.extra(0), r.extra(2));
        // Arrays of C's `char` are strings; u8 and s8 (whose base types are `unsigned char`, `signed char`) are numbers.
        let is_char =
            self.peel(elem).is_some_and(|e| e.kind == Kind::Int && e.word == 1 && self.string(e.name_off) == "char");
        if is_char && len > 0 {
            return Ty::Str { cap: len };
        }
        Ty::Array { elem: Box::new(self.ty_at(elem, None, depth - 1, Space::Kernel)), len }
    }

    /// Alignment in bytes; 1 for packed structs. BTF doesn't tell it: it follows from the members.
    pub(super) fn align(&self, id: u32, nesting: u32) -> u32 {
        let Some(r) = self.peel(id).filter(|_| nesting < MAX_NESTING) else { return 1 };
        match r.kind {
            Kind::Ptr => 8,
            Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Float => r.word.clamp(1, 16),
            Kind::Array => self.align(r.extra(0), nesting + 1),
            Kind::Struct | Kind::Union => {
                let mut align = 1;
                for i in 0..r.vlen {
                    let offset = r.extra(3 * i + 2);
                    let (bit, width) = if r.flag { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
                    let own = self.align(r.extra(3 * i + 1), nesting + 1);
                    // A member that isn't aligned: packed.
                    if width == 0 && (bit / 8).is_multiple_of(own) {
                        align = align.max(own);
                    }
                }
                if r.word.is_multiple_of(align) { align } else { 1 }
            }
            _ => 1,
        }
    }

    /// An enum by its tag or a typedef's name.
    pub fn enum_def(&self, name: &str) -> Option<EnumDef> {
        let tag = name.strip_prefix("enum ").unwrap_or(name);
        let record = match self.find(tag, &[Kind::Enum, Kind::Enum64]) {
            Some(r) => r,
            None => self.peel(self.find(tag, &[Kind::Typedef])?.id)?,
        };
        self.enum_of(&record, tag)
    }

    pub(super) fn enum_of(&self, r: &Record<'_>, name: &str) -> Option<EnumDef> {
        let wide = r.kind == Kind::Enum64;
        if !wide && r.kind != Kind::Enum {
            return None;
        }
        let step = if wide { 3 } else { 2 };
        let variants = (0..r.vlen).map(|i| {
            let low = r.extra(step * i + 1);
            let value = match (wide, r.flag) {
                (true, _) => (u64::from(r.extra(step * i + 2)) << 32 | u64::from(low)) as i64,
                (false, true) => i64::from(low as i32),
                (false, false) => i64::from(low),
            };
            (self.string(r.extra(step * i)).into_owned(), value)
        });
        Some(EnumDef { name: name.to_owned(), bits: int_bits(r.word), signed: r.flag, variants: variants.collect() })
    }

    /// The enum that has an enumerator of that name, and its value.
    pub fn enumerator(&self, name: &str) -> Option<(EnumDef, i64)> {
        let offsets = self.string_offsets(name);
        if offsets.is_empty() {
            return None;
        }
        let mut found = None;
        self.walk(|r| {
            let step = match r.kind {
                Kind::Enum => 2,
                Kind::Enum64 => 3,
                _ => return std::ops::ControlFlow::Continue(()),
            };
            if (0..r.vlen).any(|i| offsets.contains(&r.extra(step * i))) {
                found = Some(r);
                return std::ops::ControlFlow::Break(());
            }
            std::ops::ControlFlow::Continue(())
        });
        let def = self.enum_of(&found?, &self.name_of(&found?))?;
        let value = def.variants.iter().find(|(n, _)| n == name)?.1;
        Some((def, value))
    }

    /// What a typedef stands for.
    pub fn typedef(&self, name: &str) -> Option<Ty> {
        self.find(name, &[Kind::Typedef]).map(|r| self.ty(r.id))
    }
}

fn int(r: &Record<'_>) -> Ty {
    /// BTF_INT_SIGNED, BTF_INT_BOOL
    const SIGNED: u32 = 1;
    const BOOL: u32 = 4;
    let encoding = (r.extra(0) >> 24) & 0xf;
    match r.word {
        1 if encoding & BOOL != 0 => Ty::Bool,
        1 | 2 | 4 | 8 => Ty::Int { bits: (r.word * 8) as u8, signed: encoding & SIGNED != 0 },
        // __int128
        n => Ty::Array { elem: Box::new(Ty::U64), len: n / 8 },
    }
}

/// Where a bit-field is read: (byte offset, bytes, first bit). The declared type's word if the field lies within one,
/// else (packed structs) the smallest unaligned word that has it.
pub(crate) fn storage(bit: u32, width: u32, declared: u32, size: u32) -> (u32, u32, u32) {
    let bytes = declared.next_power_of_two();
    let byte = bit / 8 / bytes * bytes;
    let first = bit - byte * 8;
    if first + width <= bytes * 8 && byte + bytes <= size {
        return (byte, bytes, first);
    }
    let byte = bit / 8;
    let first = bit % 8;
    (byte, (first + width).div_ceil(8).next_power_of_two().min(8), first)
}

fn int_bits(bytes: u32) -> u8 {
    (bytes.clamp(1, 8).next_power_of_two() * 8) as u8
}
