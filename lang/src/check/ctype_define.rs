//! The script's own structs, unions and enums.

use super::cx::Checker;
use super::layout;
use super::types::{int_shape, show};
use crate::ast::{CTypeDef, CTypeKind};
use crate::hir::{EnumDef, Ty};
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
            members.push(layout::Input { name, align: self.align_of(&ty), size, ty, bits: field.bits });
        }
        let laid = layout::lay_out(name, def.kind == CTypeKind::Union, members, &def.attributes);
        self.types.structs.insert(name.to_owned(), Some(Rc::new(laid)));
    }

    /// Defines the script's own enum and its constants.
    pub(crate) fn define_enum(&mut self, def: &'a CTypeDef) {
        let mut next = 0i128;
        let mut variants = Vec::new();
        for (name, value) in &def.variants {
            if let Some(value) = value {
                next = self.const_int(value).unwrap_or(next);
            }
            variants.push((name.text.clone(), next as i64));
            next += 1;
        }
        let signed = variants.iter().any(|(_, v)| *v < 0);
        let wide = variants.iter().any(|(_, v)| *v > i64::from(u32::MAX) || *v < i64::from(i32::MIN));
        let bits = if wide { 64 } else { 32 };
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
