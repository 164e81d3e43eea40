//! What names mean inside joins: the anchor, legs, parts of the result.

use super::cx::{ArgsCx, Checker};
use super::ident::Part;
use super::join::{JoinInfo, LegInfo, part};
use super::types::int_shape;
use super::value::Val;
use crate::ast::{self, Ident};
use crate::diag::Diagnostic;
use crate::hir::{Expr, ExprKind, JoinEvent, JoinPart, JoinRef, LegAgg, LegPart, Ty};
use crate::span::Span;

/// Longest reason of a leg's state.
const REASON_CAP: u32 = 64;

/// What follows a leg's name: `loss.state`.
static LEG_PARTS: &[(&str, LegPart, Option<u32>)] = &[
    ("state", LegPart::State, Some(16)),
    ("via", LegPart::Via, Some(16)),
    ("reason", LegPart::Reason, Some(REASON_CAP)),
    ("count", LegPart::Count, None),
    ("lost", LegPart::Lost, None),
    ("charged", LegPart::Charged, None),
];

/// What of a join there is where an expression of it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum JoinStage {
    /// In `from`, `total` and `ids`: the anchor alone.
    Anchor,
    /// In `keep`: all but the text.
    Keep,
    /// In a block.
    #[default]
    Block,
}

/// How a block uses legs' values.
#[derive(Clone, Debug, Default)]
pub(crate) struct LegUses {
    /// Inside what says itself what an unknown value means.
    told: u32,
    /// Legs whose values are used as they are, and where.
    bare: Vec<(u32, Span)>,
    /// Legs that are asked whether they are known.
    asked: Vec<u32>,
}

impl<'a> Checker<'a> {
    /// Runs `f`; with `told`, an unknown leg in it is no 0.
    pub(crate) fn leg_told<T>(&mut self, told: bool, f: impl FnOnce(&mut Self) -> T) -> T {
        self.leg_uses.told += u32::from(told);
        let result = f(self);
        self.leg_uses.told -= u32::from(told);
        result
    }

    /// A leg's value is 0 also where it isn't known: a block that doesn't ask can't tell.
    pub(crate) fn rule_leg_unknown(&mut self) {
        let uses = std::mem::take(&mut self.leg_uses);
        let ArgsCx::Join(join, JoinEvent::Result) = &self.probe.args else { return };
        let Some(info) = self.joins.get(join.index()).cloned() else { return };
        let mut said = Vec::new();
        for (leg, span) in uses.bare {
            let Some(known) = info.legs.get(leg as usize) else { continue };
            if uses.asked.contains(&leg) || said.contains(&leg) {
                continue;
            }
            said.push(leg);
            let name = &known.name;
            let d = Diagnostic::warning("leg-unknown", span, format!("{name} is 0 here also where it is not known"))
                .write(format!("{name} ?? 0, to say so; or ask: if ({name}.state == \"value\") {{ … }}"));
            self.report_once(self.probe.span, d);
        }
    }

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
        if !self.result_is_there(&info, event, name, span) {
            return Some(Val::error(span));
        }
        Some(self.result_part(&info, part, ty, span))
    }

    fn result_part(&mut self, info: &JoinInfo, part: JoinPart, ty: Ty, span: Span) -> Val {
        if part == JoinPart::Text && self.join_stage == JoinStage::Keep {
            let d = Diagnostic::error("wrong-place", span, "the text is made of records that are kept")
                .note(format!("a block has it: join:{} {{ print(args) }}", info.name));
            self.report(d);
            return Val::error(span);
        }
        Val::new(ExprKind::JoinPart(part), ty, span)
    }

    /// Whether there is a joined record to ask: reports it where there is none.
    fn result_is_there(&mut self, info: &JoinInfo, event: JoinEvent, name: &str, span: Span) -> bool {
        let d = match (self.join_stage, event) {
            (JoinStage::Anchor, _) => {
                Diagnostic::error("wrong-place", span, format!("{name} is not known before the join is made"))
                    .note(format!("here only the anchor is: {}.FIELD", info.var))
                    .note(format!("what a record must have to be told goes into keep: keep {name} …;"))
            }
            (_, JoinEvent::Result) => return true,
            (_, JoinEvent::Orphan(leg)) => {
                let leg = info.legs.get(leg as usize).map_or("", |l| l.name.as_str());
                Diagnostic::error("wrong-place", span, format!("an orphan has no {name}: it belongs to no anchor"))
                    .write(format!("{leg}.FIELD: the leg's record"))
            }
            (_, JoinEvent::Late) => {
                Diagnostic::error("wrong-place", span, format!("what came late was not joined: it has no {name}"))
                    .write(format!("{}.FIELD: the anchor's record", info.var))
            }
        };
        self.report(d);
        false
    }

    /// Whether `print` of this is the whole result, in the output's own form: `args` of a `join:NAME` block.
    pub(crate) fn is_whole_result(&self, written: &ast::Expr, checked: &Expr) -> bool {
        matches!(written.kind, ast::ExprKind::Ident(_))
            && matches!(checked.kind, ExprKind::JoinPart(JoinPart::Text))
            && matches!(self.probe.args, ArgsCx::Join(_, JoinEvent::Result))
    }

    fn leg_value(&mut self, info: &JoinInfo, leg: u32, event: JoinEvent, span: Span) -> Val {
        let known = &info.legs[leg as usize];
        let ty = self.leg_type(known);
        match (event, &known.field) {
            (JoinEvent::Orphan(i), Some(field)) if i == leg => {
                let path: Vec<Part<'_>> = field.split('.').map(|text| Part { text, span, ident: None }).collect();
                let found = self.streams.find(&known.stream).and_then(|s| self.stream_field(s, &path));
                let Some((field, ty, _)) = found else { return Val::error(span) };
                Val::new(ExprKind::LegField { leg, field }, ty, span)
            }
            (JoinEvent::Orphan(i), None) if i == leg => {
                let d = Diagnostic::error("record-as-value", span, format!("{} is a whole record here", known.name))
                    .write(format!("{}.FIELD", known.name));
                self.report(d);
                Val::error(span)
            }
            _ if !self.result_is_there(info, event, &known.name, span) => Val::error(span),
            _ => {
                if self.leg_uses.told == 0 && self.join_stage == JoinStage::Block {
                    self.leg_uses.bare.push((leg, span));
                }
                Val::new(ExprKind::LegValue { leg }, ty, span)
            }
        }
    }

    /// The type of a leg's value.
    fn leg_type(&self, known: &LegInfo) -> Ty {
        let (Some(field), Some(stream)) = (&known.field, self.streams.find(&known.stream)) else { return Ty::U64 };
        if known.agg == Some(LegAgg::Count) {
            return Ty::U64;
        }
        let open = self.streams.get(stream).fields.iter().find(|(n, _)| n == field || *n == field.replace('.', "_"));
        let signed = open.and_then(|(_, o)| int_shape(&o.ty)).is_some_and(|s| s.1);
        Ty::Int { bits: 64, signed }
    }

    /// `r.status`, `loss.owner`, `loss.state` in a join's expressions.
    pub(crate) fn join_path(&mut self, path: &[Part<'a>], span: Span) -> Option<Val> {
        let ArgsCx::Join(join, event) = &self.probe.args else { return None };
        let (info, event) = (self.joins.get(join.index())?.clone(), *event);
        if path.len() < 2 {
            return None;
        }
        if path[0].text == info.var {
            return Some(self.anchor_path(&info, event, path, span));
        }
        let leg = info.legs.iter().position(|l| l.name == path[0].text)?;
        let stream = info.legs[leg].stream.clone();
        let leg = leg as u32;
        if event == JoinEvent::Orphan(leg) {
            return Some(self.record_field(&stream, &path[1..], span, |field| ExprKind::LegField { leg, field }));
        }
        if !self.result_is_there(&info, event, path[0].text, span) {
            return Some(Val::error(span));
        }
        Some(self.leg_part(&info, leg, path, span))
    }

    fn anchor_path(&mut self, info: &JoinInfo, event: JoinEvent, path: &[Part<'a>], span: Span) -> Val {
        if let JoinEvent::Orphan(leg) = event {
            let leg = info.legs.get(leg as usize).map_or("", |l| l.name.as_str());
            let d = Diagnostic::error(
                "wrong-place",
                span,
                format!("an orphan has no {}: it belongs to no anchor", info.var),
            )
            .write(format!("{leg}.FIELD: the leg's record"));
            self.report(d);
            return Val::error(span);
        }
        self.record_field(&info.anchor, &path[1..], span, |field| ExprKind::Anchor { field })
    }

    /// `loss.state`, `loss.via` …
    fn leg_part(&mut self, info: &JoinInfo, leg: u32, path: &[Part<'a>], span: Span) -> Val {
        let name = path[1].text;
        if name == "value" && path.len() == 2 {
            return self.leg_value(info, leg, JoinEvent::Result, span);
        }
        if let Some((_, part, text)) = LEG_PARTS.iter().find(|(n, ..)| *n == name) {
            let ty = text.map_or(Ty::U64, |cap| Ty::Str { cap });
            if matches!(part, LegPart::State | LegPart::Reason) {
                self.leg_uses.asked.push(leg);
            }
            let v = Val::new(ExprKind::LegPart { leg, part: *part }, ty, span);
            return self.rest_of(v, &path[2..], span);
        }
        let leg = path[0].text;
        let names: Vec<&str> = LEG_PARTS.iter().map(|p| p.0).collect();
        let near = crate::suggest::nearest(name, names.iter().copied(), 2);
        let d =
            Diagnostic::error("leg-field", span, format!("here {leg} is what its records add up to: it has no {name}"))
                .near(if near.is_empty() { format!("value, {}", names.join(", ")) } else { near.join(", ") })
                .note(format!("fields of single records are known in join:{}:orphan:{leg} only", info.name));
        self.report(d);
        Val::error(span)
    }

    /// `args.x` in a join's block.
    pub(crate) fn join_args_field(&mut self, join: JoinRef, event: JoinEvent, name: &'a Ident, span: Span) -> Val {
        let Some(info) = self.joins.get(join.index()).cloned() else { return Val::error(span) };
        let path = [Part { text: &name.text, span, ident: Some(name) }];
        match event {
            JoinEvent::Orphan(leg) => {
                let stream = info.legs.get(leg as usize).map_or(String::new(), |l| l.stream.clone());
                self.record_field(&stream, &path, span, |field| ExprKind::LegField { leg, field })
            }
            JoinEvent::Late => self.record_field(&info.anchor, &path, span, |field| ExprKind::Anchor { field }),
            JoinEvent::Result => match self.join_name(&name.text, span) {
                Some(v) => v,
                None => self.record_field(&info.anchor, &path, span, |field| ExprKind::Anchor { field }),
            },
        }
    }

    /// `args` in a join's block: the text of the joined record; of an orphan or what came late the record itself.
    pub(crate) fn join_args(&mut self, join: JoinRef, event: JoinEvent, span: Span) -> Val {
        let Some(info) = self.joins.get(join.index()).cloned() else { return Val::error(span) };
        let (stream, leg) = match event {
            JoinEvent::Result if self.join_stage == JoinStage::Anchor => {
                self.result_is_there(&info, event, "args", span);
                return Val::error(span);
            }
            JoinEvent::Result => {
                let ty = Ty::Str { cap: super::JOIN_TEXT_CAP };
                return self.result_part(&info, JoinPart::Text, ty, span);
            }
            JoinEvent::Late => (info.anchor, None),
            JoinEvent::Orphan(leg) => {
                (info.legs.get(leg as usize).map_or(String::new(), |l| l.stream.clone()), Some(leg))
            }
        };
        let Some(stream) = self.streams.find(&stream) else { return Val::error(span) };
        // Headers are looked up by name, one at a time.
        let fields: Vec<(String, Ty)> =
            self.streams.get(stream).fields.iter().map(|(n, o)| (n.clone(), o.ty.clone())).collect();
        let fields: Vec<(String, Val)> = fields
            .into_iter()
            .filter(|(_, ty)| !matches!(ty, Ty::Headers | Ty::Error))
            .map(|(field, ty)| {
                let kind = match leg {
                    Some(leg) => ExprKind::LegField { leg, field: field.clone() },
                    None => ExprKind::Anchor { field: field.clone() },
                };
                (field, Val::new(kind, ty, span))
            })
            .collect();
        let ty = Ty::Record(fields.iter().map(|(n, v)| (n.clone(), v.e.ty.clone())).collect());
        Val::new(ExprKind::Record(fields.into_iter().map(|(n, v)| (n, v.e)).collect()), ty, span)
    }
}
