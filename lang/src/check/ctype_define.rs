//! The script's own structs, unions and enums.

use super::cx::Checker;
use super::layout;
use super::types::{int_shape, show};
use crate::ast::{CTypeDef, CTypeKind, TypeKind, Typedef};
use crate::diag::Diagnostic;
use crate::hir::{EnumDef, Ty};
use crate::span::Span;
use std::rc::Rc;

impl<'a> Checker<'a> {
    /// Lays out the script's own struct or union.
    pub(crate) fn define_struct(&mut self, name: &str, def: &'a CTypeDef) {
        let mut members = Vec::new();
        for field in &def.fields {
            let ty = self.resolve_type(&field.ty);
            if ty == Ty::Error {
                continue;
            }
            let Some(size) = self.size_of(&ty) else {
                self.error("bad-type", field.span, format!("{} has no size", show(&ty)));
                continue;
            };
            if field.bits.is_some() && int_shape(&ty).is_none() {
                self.error("bad-type", field.span, format!("a bit-field is an integer, not {}", show(&ty)));
                continue;
            }
            let name = field.name.as_ref().map_or(String::new(), |n| n.text.clone());
            self.check_alignment(&field.attributes, field.span);
            let natural = if layout::packed(&field.attributes) { 1 } else { self.align_of(&ty) };
            let own = layout::aligned(&field.attributes);
            let align = own.map_or(natural, |own| own.max(natural));
            members.push(layout::Input { name, align, own_align: own.is_some(), size, ty, bits: field.bits });
        }
        self.check_alignment(&def.attributes, def.name.span);
        let laid = layout::lay_out(name, def.kind == CTypeKind::Union, members, &def.attributes);
        self.types.structs.insert(name.to_owned(), Some(Rc::new(laid)));
    }

    fn check_alignment(&mut self, attributes: &[String], span: Span) {
        let Some(inner) = layout::unaligned(attributes) else { return };
        let text = format!("aligned({inner}): an alignment is written as a power of two");
        self.report(Diagnostic::error("bad-type", span, text).write("__attribute__((aligned(8)))"));
    }

    /// `typedef TYPE NAME;`
    pub(crate) fn define_alias(&mut self, alias: &'a Typedef) {
        let Some(name) = &alias.field.name else { return };
        let ty = match &alias.field.ty.kind {
            // A struct without a name gets the typedef's.
            TypeKind::Anonymous(def) if def.name.text.is_empty() && def.kind != CTypeKind::Enum => {
                self.define_struct(&name.text, def);
                Ty::Struct(name.text.clone())
            }
            _ => self.resolve_type(&alias.field.ty),
        };
        if ty != Ty::Error {
            self.types.name_type(&name.text, ty);
        }
    }

    /// A definition within another: by its own name, if it has one. Its type.
    pub(crate) fn inner_type(&mut self, def: &'a CTypeDef, span: Span) -> Ty {
        if def.kind == CTypeKind::Enum {
            self.define_enum(def);
            return match (def.name.text.as_str(), self.types.enums.get("")) {
                ("", Some(def)) => Ty::Int { bits: def.bits, signed: def.signed },
                (name, _) => self.enum_type(name, span),
            };
        }
        let name = match def.name.text.as_str() {
            "" => format!("anonymous {}:{}:{}", span.file.0, span.start, span.end),
            name => name.to_owned(),
        };
        self.define_struct(&name, def);
        Ty::Struct(name)
    }

    /// Defines the script's own enum and its constants.
    pub(crate) fn define_enum(&mut self, def: &'a CTypeDef) {
        let mut next = 0i128;
        let mut variants = Vec::new();
        let (mut least, mut most) = (0, 0);
        for (name, value) in &def.variants {
            if let Some(value) = value {
                next = self.const_int(value).unwrap_or(next);
            }
            variants.push((name.text.clone(), next as i64));
            (least, most) = (next.min(least), next.max(most));
            next += 1;
        }
        let signed = variants.iter().any(|(_, v)| *v < 0);
        let bits = enum_bits(least, most, layout::packed(&def.attributes));
        let ty = Ty::Enum { name: def.name.text.clone(), bits, signed };
        for (name, value) in &variants {
            self.types.enumerators.insert(name.clone(), Some((ty.clone(), *value)));
        }
        self.types.enums.insert(def.name.text.clone(), EnumDef { name: def.name.text.clone(), bits, signed, variants });
    }

    /// An enumerator: the script's own, else the kernel's.
    pub(crate) fn enumerator(&mut self, name: &str) -> Option<(Ty, i64)> {
        if let Some(known) = self.types.enumerators.get(name) {
            return known.clone();
        }
        let found = self.world.kernel_enumerator(name).found().map(|(def, value)| {
            let ty = Ty::Enum { name: def.name.clone(), bits: def.bits, signed: def.signed };
            self.types.enums.entry(def.name.clone()).or_insert(def);
            (ty, value)
        });
        self.types.enumerators.insert(name.to_owned(), found.clone());
        found
    }
}

/// The width of an enum whose constants lie between two numbers, as C has it: 32 bits if all fit, signed where one is negative, else 64.
/// A packed one is as small as can be.
fn enum_bits(least: i128, most: i128, packed: bool) -> u8 {
    let fits = |bits: &u8| {
        let end = 1i128 << bits;
        if least < 0 { least >= -end / 2 && most < end / 2 } else { most < end }
    };
    let widths = if packed { &[8, 16, 32][..] } else { &[32] };
    widths.iter().copied().find(fits).unwrap_or(64)
}
