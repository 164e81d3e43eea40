//! What names mean inside joins: the anchor, legs, parts of the result.

use super::cx::{ArgsCx, Checker};
use super::ident::Part;
use super::join::{JoinInfo, part};
use super::types::int_shape;
use super::value::Val;
use crate::ast::Ident;
use crate::diag::Diagnostic;
use crate::hir::{ExprKind, JoinEvent, JoinRef, Ty};
use crate::span::Span;

impl<'a> Checker<'a> {
    /// A bare word in a join's expressions.
    pub(crate) fn join_name(&mut self, name: &str, span: Span) -> Option<Val> {
        let ArgsCx::Join(join, event) = &self.probe.args else { return None };
        let (info, event) = (self.joins.get(join.index())?.clone(), *event);
        if let Some(i) = info.legs.iter().position(|l| l.name == name) {
            return Some(self.leg_value(&info, i as u32, event, span));
        }
        if name == info.var {
            let d = Diagnostic::error("record-as-value", span, format!("{name} is a whole record"))
                .write(format!("{name}.FIELD"));
            self.report(d);
            return Some(Val::error(span));
        }
        let (part, ty) = part(name)?;
        Some(Val::new(ExprKind::JoinPart(part), ty, span))
    }

    fn leg_value(&mut self, info: &JoinInfo, leg: u32, event: JoinEvent, span: Span) -> Val {
        let known = &info.legs[leg as usize];
        let ty = match (&known.field, self.streams.find(&known.stream)) {
            (Some(field), Some(s)) => {
                let open = self.streams.get(s).fields.iter().find(|(n, _)| n == field || *n == field.replace('.', "_"));
                let signed = open.and_then(|(_, o)| int_shape(&o.ty)).is_some_and(|s| s.1);
                Ty::Int { bits: 64, signed }
            }
            _ => Ty::U64,
        };
        match (event, &known.field) {
            (JoinEvent::Orphan(i), Some(field)) if i == leg => {
                let field = field.clone();
                Val::new(ExprKind::LegField { leg, field }, ty, span)
            }
            _ => Val::new(ExprKind::LegValue { leg }, ty, span),
        }
    }

    /// `r.status`, `loss.owner`, `args.x` in a join's expressions.
    pub(crate) fn join_path(&mut self, path: &[Part<'a>], span: Span) -> Option<Val> {
        let ArgsCx::Join(join, event) = &self.probe.args else { return None };
        let (info, event) = (self.joins.get(join.index())?.clone(), *event);
        if path.len() < 2 {
            return None;
        }
        if path[0].text == info.var {
            return Some(self.record_field(&info.anchor, &path[1..], span, |field| ExprKind::Anchor { field }));
        }
        let leg = info.legs.iter().position(|l| l.name == path[0].text)?;
        let known = &info.legs[leg];
        let stream = known.stream.clone();
        match event {
            JoinEvent::Orphan(i) if i as usize == leg => Some(
                self.record_field(&stream, &path[1..], span, |field| ExprKind::LegField { leg: leg as u32, field }),
            ),
            _ => {
                let d =
                    Diagnostic::error("leg-field", span, format!("here {} is a number, not a record", path[0].text))
                        .note(format!(
                            "fields of single records are known in join:{}:orphan:{} only",
                            info.name, path[0].text
                        ));
                self.report(d);
                Some(Val::error(span))
            }
        }
    }

    /// `args.x` in a join's block.
    pub(crate) fn join_args_field(&mut self, join: JoinRef, event: JoinEvent, name: &'a Ident, span: Span) -> Val {
        if let Some(v) = self.join_name(&name.text, span) {
            return v;
        }
        let Some(info) = self.joins.get(join.index()).cloned() else { return Val::error(span) };
        let path = [Part { text: &name.text, span, ident: Some(name) }];
        match event {
            JoinEvent::Orphan(leg) => {
                let stream = info.legs.get(leg as usize).map_or(String::new(), |l| l.stream.clone());
                self.record_field(&stream, &path, span, |field| ExprKind::LegField { leg, field })
            }
            _ => self.record_field(&info.anchor, &path, span, |field| ExprKind::Anchor { field }),
        }
    }
}
