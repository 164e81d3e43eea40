//! Types as written.

use super::super::grammar::{Pair, Rule};
use super::Builder;
use crate::ast::{Expr, ExprKind, TypeExpr, TypeKind};
use crate::diag::Diagnostic;

/// How many `*` and `[]` one type may have.
const MAX_SUFFIXES: usize = 16;

impl Builder<'_> {
    /// The type inside a cast's brackets.
    pub(super) fn type_in(&mut self, pair: Pair<'_>) -> TypeExpr {
        let span = self.span(&pair);
        match pair.into_inner().next() {
            Some(inner) => self.type_expr(inner),
            None => TypeExpr { kind: TypeKind::Name(String::new()), span },
        }
    }

    /// Any of the grammar's type rules.
    pub(super) fn type_expr(&mut self, pair: Pair<'_>) -> TypeExpr {
        let span = self.span(&pair);
        match pair.as_rule() {
            Rule::annotation | Rule::type_operand => self.type_in(pair),
            Rule::typeof_type => self.typeof_type(pair),
            Rule::tuple_type => {
                let inner = pair.into_inner().filter(|p| p.as_rule() == Rule::annotation);
                let kind = TypeKind::Tuple(inner.map(|p| self.type_expr(p)).collect());
                TypeExpr { kind, span }
            }
            Rule::record_type => {
                let mut fields = Vec::new();
                for field in pair.into_inner().filter(|p| p.as_rule() == Rule::record_type_field) {
                    let mut inner = field.into_inner();
                    let Some(name) = inner.next() else { continue };
                    let Some(ty) = inner.find(|p| p.as_rule() == Rule::annotation) else { continue };
                    fields.push((self.ident(&name), self.type_expr(ty)));
                }
                TypeExpr { kind: TypeKind::Record(fields), span }
            }
            _ => self.named_type(pair),
        }
    }

    fn typeof_type(&mut self, pair: Pair<'_>) -> TypeExpr {
        let span = self.span(&pair);
        let mut ty = TypeExpr { kind: TypeKind::Name(String::new()), span };
        let mut suffixes = 0;
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::kw_typeof => {}
                Rule::expr => {
                    let expr = self.expr(inner);
                    ty.kind = TypeKind::Typeof(Box::new(expr));
                }
                Rule::type_operand | Rule::typeof_type => ty = self.type_expr(inner),
                _ => ty = self.suffix(ty, &inner, &mut suffixes),
            }
        }
        ty
    }

    fn named_type(&mut self, pair: Pair<'_>) -> TypeExpr {
        let (start, end) = self.range(&pair);
        let mut ty = TypeExpr { kind: TypeKind::Name(String::new()), span: self.src.span(start, end) };
        let mut tag = None;
        let mut suffixes = 0;
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::qualifier => {}
                Rule::tag => tag = Some(inner.as_str().to_owned()),
                Rule::ident | Rule::known_name => {
                    let name = inner.as_str().to_owned();
                    ty.kind = tagged(tag.as_deref(), name);
                    ty.span = self.src.span(start, self.range(&inner).1);
                }
                Rule::c_ints => {
                    ty.kind = TypeKind::Name(words(inner.as_str()));
                    ty.span = self.src.span(start, self.range(&inner).1);
                }
                _ => ty = self.suffix(ty, &inner, &mut suffixes),
            }
        }
        ty
    }

    /// `*` or `[n]` after a type.
    pub(super) fn suffix(&mut self, ty: TypeExpr, pair: &Pair<'_>, count: &mut usize) -> TypeExpr {
        let (_, end) = self.range(pair);
        let span = self.src.span(ty.span.start as usize, end);
        *count += 1;
        if *count > MAX_SUFFIXES {
            if *count == MAX_SUFFIXES + 1 {
                let text = format!("more than {MAX_SUFFIXES} `*` and `[]` in one type");
                self.diags.push(Diagnostic::error("too-deep", span, text));
            }
            return ty;
        }
        match pair.as_rule() {
            Rule::pointer => TypeExpr { kind: TypeKind::Ptr(Box::new(ty)), span },
            Rule::array | Rule::plain_array => {
                let size = pair.clone().into_inner().next().map(|size| self.array_size(&size));
                TypeExpr { kind: TypeKind::Array(Box::new(ty), size.map(Box::new)), span }
            }
            _ => ty,
        }
    }

    fn array_size(&mut self, size: &Pair<'_>) -> Expr {
        let span = self.span(size);
        let kind = match size.as_rule() {
            Rule::number => self.number(size),
            _ => ExprKind::Ident(size.as_str().to_owned()),
        };
        Expr { kind, span }
    }
}

pub(super) fn tagged(tag: Option<&str>, name: String) -> TypeKind {
    match tag {
        Some("struct") => TypeKind::Struct(name),
        Some("union") => TypeKind::Union(name),
        Some("enum") => TypeKind::Enum(name),
        _ => TypeKind::Name(name),
    }
}

/// `unsigned   long` with one space between the words.
pub(super) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
