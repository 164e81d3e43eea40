//! C types: names, the script's own structs and enums, the kernel's by BTF.

use super::ctype_names::named;
use super::cx::Checker;
use super::layout::Member;
use super::types::{is_char, plain_size};
use crate::ast::{Expr, ExprKind, TypeExpr, TypeKind, TypeOp, TypeOperand};
use crate::diag::Diagnostic;
use crate::hir::{EnumDef, Space, StructDef, StructField, Ty};
use crate::span::Span;
use crate::world::Answer;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Structs and enums by name; filled as they are asked for.
#[derive(Debug, Default)]
pub(crate) struct TypeTable {
    pub(crate) structs: BTreeMap<String, Option<Rc<StructDef>>>,
    pub(crate) enums: BTreeMap<String, EnumDef>,
    /// Enumerators: (enum, value); None: the kernel has none of this name.
    pub(crate) enumerators: BTreeMap<String, Option<(Ty, i64)>>,
    typedefs: BTreeMap<String, Option<Ty>>,
    /// Why the host could not say, if it couldn't.
    pub(crate) withheld: Option<String>,
}

impl TypeTable {
    /// The script's own name of a type.
    pub(crate) fn name_type(&mut self, name: &str, ty: Ty) {
        self.typedefs.insert(name.to_owned(), Some(ty));
    }
}

impl<'a> Checker<'a> {
    /// Layout of a struct or union: the script's own, else the kernel's.
    pub(crate) fn struct_def(&mut self, name: &str) -> Option<Rc<StructDef>> {
        if let Some(known) = self.types.structs.get(name) {
            return known.clone();
        }
        if name.contains('@') {
            let found = self.user_struct(name).map(Rc::new);
            self.types.structs.insert(name.to_owned(), found.clone());
            return found;
        }
        let found = match self.world.kernel_struct(name) {
            Answer::Found(def) => Some(Rc::new(def)),
            Answer::NotThere => None,
            Answer::NotPermitted(why) | Answer::CouldNotTell(why) => {
                self.types.withheld = Some(why);
                None
            }
        };
        self.types.structs.insert(name.to_owned(), found.clone());
        found
    }

    /// A member by name, also inside anonymous members.
    pub(crate) fn member(&mut self, owner: &str, name: &str) -> Option<Member> {
        let def = self.struct_def(owner)?;
        let mut inner = Vec::new();
        for field in &def.fields {
            if field.name == name {
                return Some(Member { offset: field.offset, ty: field.ty.clone(), bits: field.bits });
            }
            if let ("", Ty::Struct(anonymous)) = (field.name.as_str(), &field.ty) {
                inner.push((field.offset, anonymous.clone()));
            }
        }
        inner.into_iter().find_map(|(offset, anonymous)| {
            if anonymous == owner {
                return None;
            }
            let m = self.member(&anonymous, name)?;
            Some(Member { offset: offset + m.offset, ..m })
        })
    }

    /// Names that `near` may have meant, of a struct's members.
    pub(crate) fn member_names(&mut self, owner: &str) -> Vec<String> {
        let Some(def) = self.struct_def(owner) else { return Vec::new() };
        let mut names = Vec::new();
        for field in &def.fields {
            match (&field.ty, field.name.is_empty()) {
                (Ty::Struct(inner), true) if inner != owner => names.extend(self.member_names(inner)),
                (_, true) => {}
                _ => names.push(field.name.clone()),
            }
        }
        names
    }

    /// A type as written; reports what it doesn't know.
    pub(crate) fn resolve_type(&mut self, t: &'a TypeExpr) -> Ty {
        match &t.kind {
            TypeKind::Name(name) => self.named_type(name, t.span),
            TypeKind::Struct(name) | TypeKind::Union(name) => {
                let name = self.struct_here(name);
                if self.known_struct(&name, t.span) { Ty::Struct(name) } else { Ty::Error }
            }
            TypeKind::Enum(name) => self.enum_type(name, t.span),
            TypeKind::Ptr(to) => {
                // A pointer to a struct that nobody knows is still a pointer.
                let to = match &to.kind {
                    TypeKind::Struct(name) | TypeKind::Union(name) => Ty::Struct(self.struct_here(name)),
                    _ => self.resolve_type(to),
                };
                if to == Ty::Error { Ty::Error } else { Ty::Ptr { to: Box::new(to), space: Space::Unknown } }
            }
            TypeKind::Array(elem, len) => self.array_type(elem, len.as_deref(), t.span),
            TypeKind::Tuple(items) => Ty::Tuple(items.iter().map(|i| self.resolve_type(i)).collect()),
            TypeKind::Record(items) => {
                Ty::Record(items.iter().map(|(n, i)| (n.text.clone(), self.resolve_type(i))).collect())
            }
            TypeKind::Typeof(e) => self.type_of(e),
            TypeKind::Anonymous(def) => self.inner_type(def, t.span),
        }
    }

    fn array_type(&mut self, elem: &'a TypeExpr, len: Option<&'a Expr>, span: Span) -> Ty {
        let count = match len {
            None => 0,
            Some(len) => match self.const_int(len) {
                Some(n) if (0..=1 << 24).contains(&n) => n as u32,
                Some(_) => {
                    self.error("bad-type", span, "the length of an array is a number from 0 to 16777216");
                    return Ty::Error;
                }
                None => return Ty::Error,
            },
        };
        match &elem.kind {
            TypeKind::Name(n) if n == "string" => Ty::Str { cap: count },
            TypeKind::Name(n) if n == "buffer" => Ty::Buf { cap: count },
            TypeKind::Name(n) if n == "inet" => Ty::Inet,
            _ => match self.resolve_type(elem) {
                Ty::Error => Ty::Error,
                elem => Ty::Array { elem: Box::new(elem), len: count },
            },
        }
    }

    fn named_type(&mut self, name: &str, span: Span) -> Ty {
        match name {
            "string" => return Ty::Str { cap: self.config.max_strlen },
            "buffer" => return Ty::Buf { cap: self.config.max_strlen },
            _ => {}
        }
        if let Some(ty) = named(name) {
            return ty;
        }
        if let Some(ty) = self.macro_type(name) {
            return ty;
        }
        if self.types.enums.contains_key(name) {
            return self.enum_type(name, span);
        }
        if self.types.structs.get(name).is_some_and(Option::is_some) {
            return Ty::Struct(name.to_owned());
        }
        if let Some(ty) = self.typedef_here(name) {
            return ty;
        }
        let here = self.struct_here(name);
        if here != name {
            return Ty::Struct(here);
        }
        if let Some(def) = self.enum_here(name) {
            return self.enum_of(def);
        }
        if let Some(ty) = self.typedef(name) {
            return ty;
        }
        if self.struct_def(name).is_some() {
            return Ty::Struct(name.to_owned());
        }
        let near = crate::suggest::nearest(name, super::ctype_names::all(), 3);
        let mut d = Diagnostic::error("unknown-type", span, format!("no type {name}"));
        if !near.is_empty() {
            d = d.near(near.join(", "));
        }
        self.report(self.add_withheld(d));
        Ty::Error
    }

    fn typedef(&mut self, name: &str) -> Option<Ty> {
        if let Some(known) = self.types.typedefs.get(name) {
            return known.clone();
        }
        let found = self.world.kernel_typedef(name).found();
        self.types.typedefs.insert(name.to_owned(), found.clone());
        found
    }

    pub(crate) fn known_struct(&mut self, name: &str, span: Span) -> bool {
        if self.struct_def(name).is_some() {
            return true;
        }
        let d = Diagnostic::error("unknown-type", span, format!("no struct {name}"))
            .note("define it at the top of the script, or check its name in the kernel's BTF");
        self.report(self.add_withheld(d));
        false
    }

    /// Says so where a "not there" may be a "not told".
    pub(crate) fn add_withheld(&self, d: Diagnostic) -> Diagnostic {
        match &self.types.withheld {
            Some(why) => d.note(format!("the kernel's types could not be read: {why}")),
            None => d,
        }
    }

    pub(crate) fn enum_type(&mut self, name: &str, span: Span) -> Ty {
        if let Some(def) = self.enum_here(name) {
            return self.enum_of(def);
        }
        if !self.types.enums.contains_key(name) {
            if let Some(def) = self.world.kernel_enum(name).found() {
                self.types.enums.insert(name.to_owned(), def);
            } else {
                self.error("unknown-type", span, format!("no enum {name}"));
                return Ty::Error;
            }
        }
        let def = &self.types.enums[name];
        Ty::Enum { name: name.to_owned(), bits: def.bits, signed: def.signed }
    }

    fn enum_of(&mut self, def: EnumDef) -> Ty {
        let ty = Ty::Enum { name: def.name.clone(), bits: def.bits, signed: def.signed };
        self.types.enums.entry(def.name.clone()).or_insert(def);
        ty
    }

    /// `typeof(e)`, and what `sizeof` is about: nothing of it runs.
    pub(crate) fn type_of(&mut self, e: &'a Expr) -> Ty {
        if let ExprKind::TypeOp { op: TypeOp::Typeof, operand, .. } = &e.kind {
            return self.operand_type(operand);
        }
        // A map stands for its key, as in bpftrace's standard library.
        if let ExprKind::Map { name, key: None } = &e.kind {
            return self.map_key_or_value(name);
        }
        if let ExprKind::Ident(name) = &e.kind {
            if let Some((inner, frame)) = self.bound_expr(name) {
                return self.in_frame(frame, |c| c.type_of(inner));
            }
            if self.is_type_name(name) {
                return self.named_type(name, e.span);
            }
        }
        self.unevaluated += 1;
        let ty = self.place(e).e.ty;
        self.unevaluated -= 1;
        ty
    }

    pub(crate) fn operand_type(&mut self, operand: &'a TypeOperand) -> Ty {
        match operand {
            TypeOperand::Type(t) => self.resolve_type(t),
            TypeOperand::Expr(e) => self.type_of(e),
        }
    }

    fn is_type_name(&mut self, name: &str) -> bool {
        // A name that may as well be a variable's is a type only if it looks like one.
        let looks = |c: &mut Self| name.ends_with("_t") && c.typedef(name).is_some();
        named(name).is_some()
            || self.types.typedefs.get(name).is_some_and(Option::is_some)
            || looks(self)
            || self.types.structs.get(name).is_some_and(Option::is_some)
            || self.types.enums.contains_key(name)
    }

    /// Bytes of a type.
    pub(crate) fn size_of(&mut self, ty: &Ty) -> Option<u32> {
        match ty {
            Ty::Struct(name) => Some(self.struct_def(name)?.size),
            Ty::Array { elem, len } => self.size_of(elem)?.checked_mul(*len),
            Ty::Tuple(items) => self.packed_size(items.iter()),
            Ty::Record(items) => self.packed_size(items.iter().map(|(_, t)| t)),
            other => plain_size(other),
        }
    }

    fn packed_size<'t>(&mut self, items: impl Iterator<Item = &'t Ty>) -> Option<u32> {
        let (mut at, mut most) = (0u32, 1u32);
        for ty in items {
            let (size, align) = (self.size_of(ty)?, self.align_of(ty));
            most = most.max(align);
            at = at.checked_next_multiple_of(align)?.checked_add(size)?;
        }
        at.checked_next_multiple_of(most)
    }

    pub(crate) fn align_of(&mut self, ty: &Ty) -> u32 {
        match ty {
            Ty::Struct(name) => self.struct_def(name).map_or(1, |s| s.align.max(1)),
            Ty::Array { elem, .. } => self.align_of(elem),
            Ty::Tuple(items) => items.iter().map(|t| self.align_of(t)).max().unwrap_or(1),
            Ty::Record(items) => items.iter().map(|(_, t)| self.align_of(t)).max().unwrap_or(1),
            Ty::Str { .. } | Ty::Mac => 1,
            Ty::Float { bytes } => u32::from(*bytes),
            Ty::Inet | Ty::Flow | Ty::Buf { .. } | Ty::Headers => 4,
            other => plain_size(other).unwrap_or(1).clamp(1, 8).next_power_of_two(),
        }
    }

    /// Makes sure that what is inside a struct that is copied or printed whole is known too.
    pub(crate) fn need_layout(&mut self, ty: &Ty) {
        match ty {
            Ty::Struct(name) => {
                let Some(def) = self.struct_def(name) else { return };
                let fields: Vec<StructField> = def.fields.clone();
                for f in fields {
                    if matches!(&f.ty, Ty::Struct(n) if self.types.structs.contains_key(n)) {
                        continue;
                    }
                    self.need_layout(&f.ty);
                }
            }
            Ty::Enum { name, .. } => self.need_enum(name),
            Ty::Array { elem, .. } => self.need_layout(elem),
            Ty::Tuple(items) => items.iter().for_each(|t| self.need_layout(t)),
            Ty::Record(items) => items.iter().for_each(|(_, t)| self.need_layout(t)),
            _ => {}
        }
    }
}

/// An array of characters is a string wherever its value is asked for.
pub(crate) fn decayed(ty: &Ty) -> Option<Ty> {
    match ty {
        Ty::Array { elem, len } if is_char(elem) && *len > 0 => Some(Ty::Str { cap: *len }),
        _ => None,
    }
}
