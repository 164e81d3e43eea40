//! Types, and C definitions.

use super::Printer;
use crate::ast::{CField, CTypeDef, CTypeKind, TypeExpr, TypeKind};

impl Printer {
    pub(super) fn ty(&mut self, ty: &TypeExpr) {
        match &ty.kind {
            TypeKind::Name(name) => self.text(name),
            TypeKind::Struct(name) => self.text(&format!("struct {name}")),
            TypeKind::Union(name) => self.text(&format!("union {name}")),
            TypeKind::Enum(name) => self.text(&format!("enum {name}")),
            TypeKind::Ptr(inner) => {
                self.ty(inner);
                let joined = matches!(inner.kind, TypeKind::Ptr(_) | TypeKind::Array(..));
                self.text(if joined { "*" } else { " *" });
            }
            TypeKind::Array(inner, size) => {
                self.ty(inner);
                self.text("[");
                if let Some(size) = size {
                    self.expr(size, 0);
                }
                self.text("]");
            }
            TypeKind::Tuple(items) => {
                self.text("(");
                self.list(items, Self::ty);
                self.text(if items.len() == 1 { ",)" } else { ")" });
            }
            TypeKind::Record(fields) => {
                self.text("(");
                self.list(fields, |p, (name, ty)| {
                    p.text(&format!("{}: ", name.text));
                    p.ty(ty);
                });
                self.text(")");
            }
            TypeKind::Typeof(expr) => {
                self.text("typeof(");
                self.typed_expr(expr);
                self.text(")");
            }
            TypeKind::Anonymous(def) => self.c_type(def),
        }
    }

    pub(super) fn c_type(&mut self, def: &CTypeDef) {
        self.text(match def.kind {
            CTypeKind::Struct => "struct ",
            CTypeKind::Union => "union ",
            CTypeKind::Enum => "enum ",
        });
        if !def.name.text.is_empty() {
            self.text(&format!("{} ", def.name.text));
        }
        self.braces(def.fields.is_empty() && def.variants.is_empty(), |p| {
            for field in &def.fields {
                p.c_field(field);
                p.newline();
            }
            for (name, value) in &def.variants {
                p.text(&name.text);
                if let Some(value) = value {
                    p.text(" = ");
                    p.expr(value, 0);
                }
                p.text(",");
                p.newline();
            }
        });
        for attribute in &def.attributes {
            self.text(&format!(" __attribute__(({attribute}))"));
        }
    }

    /// `int *name[2][3]:bits;`
    pub(super) fn c_field(&mut self, field: &CField) {
        let mut sizes = Vec::new();
        let mut base = &field.ty;
        while let TypeKind::Array(inner, size) = &base.kind {
            sizes.push(size);
            base = inner;
        }
        let mut stars = 0;
        let mut stem = base;
        while let TypeKind::Ptr(inner) = &stem.kind {
            stars += 1;
            stem = inner;
        }
        self.ty(stem);
        if field.name.is_some() || field.bits.is_some() {
            self.text(" ");
        }
        self.text(&"*".repeat(stars));
        if let Some(name) = &field.name {
            self.text(&name.text);
        }
        for size in sizes {
            self.text("[");
            if let Some(size) = size {
                self.expr(size, 0);
            }
            self.text("]");
        }
        if let Some(bits) = field.bits {
            self.text(&format!(":{bits}"));
        }
        for attribute in &field.attributes {
            self.text(&format!(" __attribute__(({attribute}))"));
        }
        self.text(";");
    }
}
