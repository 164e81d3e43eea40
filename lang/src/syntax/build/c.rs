//! `struct`, `union` and `enum` definitions in C's syntax.

use super::super::grammar::{Pair, Rule};
use super::Builder;
use super::types::{tagged, words};
use crate::ast::{CField, CTypeDef, CTypeKind, Expr, Ident, TypeExpr, TypeKind, Typedef};
use crate::diag::Diagnostic;

impl Builder<'_> {
    pub(super) fn c_type(&mut self, pair: Pair<'_>) -> CTypeDef {
        let span = self.span(&pair);
        let mut def = CTypeDef {
            kind: CTypeKind::Enum,
            name: Ident { text: String::new(), span },
            fields: Vec::new(),
            variants: Vec::new(),
            attributes: Vec::new(),
            span,
        };
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::c_record_tag if inner.as_str() == "struct" => def.kind = CTypeKind::Struct,
                Rule::c_record_tag => def.kind = CTypeKind::Union,
                Rule::ident => def.name = self.ident(&inner),
                Rule::attribute => def.attributes.push(attribute(inner)),
                Rule::c_field => self.c_field(inner, &mut def.fields),
                Rule::c_variant => {
                    let mut parts = inner.into_inner();
                    let Some(name) = parts.next() else { continue };
                    let value = parts.find(|p| p.as_rule() == Rule::expr).map(|p| self.expr(p));
                    self.values.insert(name.as_str().to_owned());
                    def.variants.push((self.ident(&name), value));
                }
                _ => {}
            }
        }
        def
    }

    /// `typedef struct { int x; } point_t;`
    pub(super) fn typedef(&mut self, pair: Pair<'_>) -> Option<Typedef> {
        let span = self.span(&pair);
        let mut fields = Vec::new();
        if let Some(field) = pair.into_inner().find(|p| p.as_rule() == Rule::c_field) {
            self.c_field(field, &mut fields);
        }
        if fields.len() > 1 || fields.iter().any(|f| f.name.is_none() || f.bits.is_some()) {
            self.diags.push(
                Diagnostic::error("bad-typedef", span, "a typedef gives one type one name")
                    .write("typedef unsigned int u32_t;"),
            );
            return None;
        }
        fields.pop().map(|field| Typedef { field, span })
    }

    /// `int a, *b[4], c:3;` makes three fields.
    fn c_field(&mut self, pair: Pair<'_>, fields: &mut Vec<CField>) {
        let span = self.span(&pair);
        let mut base: Option<TypeExpr> = None;
        let before = fields.len();
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::c_base => base = self.c_base(inner),
                Rule::c_declarator => {
                    if let Some(ty) = base.clone() {
                        fields.push(self.c_declarator(inner, ty));
                    }
                }
                _ => {}
            }
        }
        if fields.len() > before {
            return;
        }
        match base {
            // `struct { … };` and `union { … };` lend their fields to the outer one.
            Some(ty) if matches!(ty.kind, TypeKind::Anonymous(_)) => {
                fields.push(CField { name: None, ty, bits: None, attributes: Vec::new(), span });
            }
            _ => {
                self.diags.push(Diagnostic::error("nameless-field", span, "this field has no name").write("int name;"));
            }
        }
    }

    fn c_base(&mut self, pair: Pair<'_>) -> Option<TypeExpr> {
        let span = self.span(&pair);
        let mut tag = None;
        for inner in pair.into_inner() {
            let kind = match inner.as_rule() {
                Rule::tag => {
                    tag = Some(inner.as_str().to_owned());
                    continue;
                }
                Rule::c_struct | Rule::c_enum => TypeKind::Anonymous(Box::new(self.c_type(inner))),
                Rule::c_ints => TypeKind::Name(words(inner.as_str())),
                _ => tagged(tag.as_deref(), inner.as_str().to_owned()),
            };
            return Some(TypeExpr { kind, span });
        }
        None
    }

    fn c_declarator(&mut self, pair: Pair<'_>, mut ty: TypeExpr) -> CField {
        let span = self.span(&pair);
        let mut name = None;
        let mut bits = None;
        let mut sizes: Vec<Option<Expr>> = Vec::new();
        let mut attributes = Vec::new();
        let mut suffixes = 0;
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::pointer => ty = self.suffix(ty, &inner, &mut suffixes),
                Rule::ident => name = Some(self.ident(&inner)),
                Rule::c_array => {
                    sizes.push(inner.into_inner().find(|p| p.as_rule() == Rule::expr).map(|p| self.expr(p)));
                }
                Rule::c_bits => bits = self.c_bits(inner),
                Rule::c_fn_pointer => {
                    // A function can't be called from a probe: its address is what there is to see.
                    name = inner.into_inner().find(|p| p.as_rule() == Rule::ident).map(|p| self.ident(&p));
                    let void = TypeExpr { kind: TypeKind::Name("void".into()), span };
                    ty = TypeExpr { kind: TypeKind::Ptr(Box::new(void)), span };
                }
                Rule::attribute => attributes.push(attribute(inner)),
                _ => {}
            }
        }
        // `int y[2][3]` is two arrays of three.
        for size in sizes.into_iter().rev().take(16) {
            ty = TypeExpr { kind: TypeKind::Array(Box::new(ty), size.map(Box::new)), span };
        }
        CField { name, ty, bits, attributes, span }
    }

    fn c_bits(&mut self, pair: Pair<'_>) -> Option<u32> {
        let number = pair.into_inner().next()?;
        let width = number.as_str().parse().ok().filter(|w| *w <= 64);
        if width.is_none() {
            let span = self.span(&number);
            self.diags.push(Diagnostic::error("bad-bit-field", span, "a bit-field has 0 to 64 bits"));
        }
        width
    }
}

/// What stands between the inner brackets of `__attribute__((…))`.
fn attribute(pair: Pair<'_>) -> String {
    pair.into_inner().next().map_or_else(String::new, |p| words(p.as_str()))
}
