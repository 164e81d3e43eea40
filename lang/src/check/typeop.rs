//! `sizeof`, `offsetof` and their like: answers about types.

use super::cx::Checker;
use super::types::{Flex, show};
use super::value::Val;
use crate::ast::{self, TypeOp, TypeOperand};
use crate::hir::{ExprKind, Ty};
use crate::span::Span;

impl<'a> Checker<'a> {
    pub(crate) fn type_op(&mut self, op: TypeOp, operand: &'a TypeOperand, path: &'a [ast::Ident], span: Span) -> Val {
        match op {
            // bpftrace's enumerators are 64-bit numbers wherever they stand.
            TypeOp::Sizeof if bare_name(operand).is_some_and(|name| self.enumerator(name).is_some()) => {
                typed_literal(8, Ty::U64, span)
            }
            TypeOp::Sizeof => {
                let ty = self.operand_type(operand);
                match (&ty, self.size_of(&ty)) {
                    (Ty::Error, _) => Val::error(span),
                    (_, Some(n)) => typed_literal(i64::from(n), Ty::U64, span),
                    _ => {
                        self.error("bad-type", span, format!("{} has no size known here", show(&ty)));
                        Val::error(span)
                    }
                }
            }
            TypeOp::Offsetof => self.offset_of(operand, path, span),
            TypeOp::Typeof => {
                self.error(
                    "type-as-value",
                    span,
                    "a type is not a value: typeof() goes into casts, sizeof() or declarations",
                );
                Val::error(span)
            }
            TypeOp::Typeinfo => self.type_info(operand, span),
        }
    }

    fn offset_of(&mut self, operand: &'a TypeOperand, path: &'a [ast::Ident], span: Span) -> Val {
        let mut ty = self.operand_type(operand);
        let mut offset = 0u32;
        for field in path {
            let Ty::Struct(name) = &ty else {
                if ty != Ty::Error {
                    self.error("unknown-field", field.span, format!("{} has no members", show(&ty)));
                }
                return Val::error(span);
            };
            let name = name.clone();
            if let Some(m) = self.member(&name, &field.text) {
                offset += m.offset;
                ty = m.ty;
            } else {
                self.unknown_member(&name, field);
                return Val::error(span);
            }
        }
        typed_literal(i64::from(offset), Ty::U64, span)
    }
}

/// The operand if it is one word.
fn bare_name(operand: &TypeOperand) -> Option<&str> {
    match operand {
        TypeOperand::Type(t) => match &t.kind {
            ast::TypeKind::Name(name) => Some(name),
            _ => None,
        },
        TypeOperand::Expr(e) => match &e.kind {
            ast::ExprKind::Ident(name) => Some(name),
            _ => None,
        },
    }
}

/// A constant of a given type.
pub(crate) fn typed_literal(n: i64, ty: Ty, span: Span) -> Val {
    let mut v = Val::new(ExprKind::Int(n), ty, span);
    v.lit = true;
    v.flex = Flex::Yes;
    v
}
