//! Joins: from clauses to a [`JoinDef`], and what can be wrong with them.

use super::cx::{ArgsCx, Checker, ProbeCx};
use super::join_names::JoinStage;
use super::providers;
use crate::ast::{self, Ident, JoinClauseKind};
use crate::builtins;
use crate::diag::Diagnostic;
use crate::hir::{BinOp, Expr, ExprKind, JoinDef, JoinEvent, JoinPart, JoinRef, Keep, LegAgg, Space, Ty};
use crate::span::Span;

/// Defaults of `limit` and `timeout`.
const ANCHORS: u32 = 20_000;
const BYTES: u64 = 64 << 20;
const TIMEOUT_NS: u64 = 30_000_000_000;

/// What is known of a join before any type is: its names.
#[derive(Clone, Debug)]
pub(crate) struct JoinInfo {
    pub(crate) name: String,
    pub(crate) var: String,
    pub(crate) anchor: String,
    pub(crate) legs: Vec<LegInfo>,
    /// The anchor's fields that `ids` names.
    pub(crate) ids: Vec<String>,
    /// It has `ids`, of headers too.
    pub(crate) named: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct LegInfo {
    pub(crate) name: String,
    /// Empty if nothing emits such a stream.
    pub(crate) stream: String,
    pub(crate) field: Option<String>,
    pub(crate) agg: Option<LegAgg>,
}

/// `r.traceparent`: the field; None of a header.
fn id_field(e: &ast::Expr) -> Option<String> {
    match &e.kind {
        ast::ExprKind::Field { base, name, .. } if matches!(base.kind, ast::ExprKind::Ident(_)) => {
            Some(name.text.clone())
        }
        _ => None,
    }
}

/// Words that mean a part of the result.
static PARTS: &[(&str, JoinPart, bool)] = &[
    ("id", JoinPart::Id, true),
    ("verdict", JoinPart::Verdict, true),
    ("status", JoinPart::Status, true),
    ("text", JoinPart::Text, true),
    ("total", JoinPart::Total, false),
    ("app", JoinPart::App, false),
    ("unknown", JoinPart::Unknown, false),
    ("begin", JoinPart::Begin, false),
    ("end", JoinPart::End, false),
];

pub(crate) fn part(name: &str) -> Option<(JoinPart, Ty)> {
    let (_, part, text) = PARTS.iter().find(|(n, _, _)| *n == name)?;
    let cap = if *part == JoinPart::Text { super::JOIN_TEXT_CAP } else { 128 };
    Some((*part, if *text { Ty::Str { cap } } else { Ty::U64 }))
}

/// The probe that stands for a join's own expressions.
fn join_cx(join: JoinRef, span: Span) -> ProbeCx {
    let row = providers::find("join").unwrap_or(&providers::PROVIDERS[0]);
    ProbeCx {
        row,
        targets: Vec::new(),
        args: ArgsCx::Join(join, JoinEvent::Result),
        space: Space::Unknown,
        instance: u32::MAX - join.0,
        span,
    }
}

impl<'a> Checker<'a> {
    /// The names in all joins.
    pub(crate) fn collect_joins(&mut self) {
        let items = self.items;
        for j in &items.joins {
            if let Some(first) = items.joins.iter().take(self.joins.len()).find(|k| k.name.text == j.name.text) {
                let d = Diagnostic::error(
                    "duplicate-join",
                    j.name.span,
                    format!("there is a join {} already", j.name.text),
                )
                .other(first.name.span, "here");
                self.report(d);
            }
            let mut info = JoinInfo {
                name: j.name.text.clone(),
                var: String::new(),
                anchor: String::new(),
                legs: Vec::new(),
                ids: Vec::new(),
                named: false,
            };
            for clause in &j.clauses {
                match &clause.kind {
                    JoinClauseKind::From { var, stream, .. } if info.var.is_empty() => {
                        info.var.clone_from(&var.text);
                        info.anchor.clone_from(&stream.text);
                    }
                    JoinClauseKind::Leg(leg) => {
                        let (stream, field) = self.leg_source(&leg.source.text);
                        let agg = super::join_legs::aggregation(&leg.agg.text);
                        info.legs.push(LegInfo { name: leg.name.text.clone(), stream, field, agg });
                    }
                    JoinClauseKind::Ids(ids) => {
                        info.named = true;
                        info.ids.extend(ids.iter().filter_map(id_field));
                    }
                    _ => {}
                }
            }
            self.joins.push(info);
        }
    }

    /// `tcp.retransmit.stall` → the stream `tcp.retransmit`, the field `stall`.
    fn leg_source(&self, source: &str) -> (String, Option<String>) {
        let mut stream = source;
        loop {
            if self.items.streams.contains_key(stream) {
                let field = source[stream.len()..].trim_start_matches('.');
                return (stream.to_owned(), (!field.is_empty()).then(|| field.to_owned()));
            }
            match stream.rsplit_once('.') {
                Some((shorter, _)) => stream = shorter,
                None => return (String::new(), None),
            }
        }
    }

    /// Checks a join; its definition if it is one.
    pub(crate) fn check_join(&mut self, index: usize, j: &'a ast::Join) -> Option<JoinDef> {
        let cx = join_cx(JoinRef(index as u32), j.span);
        self.enter(cx);
        let mut def = JoinDef {
            name: j.name.text.clone(),
            anchor: crate::hir::StreamRef(0),
            filter: None,
            total: Vec::new(),
            ids: Vec::new(),
            legs: Vec::new(),
            blame: Vec::new(),
            keep: Keep::All,
            max_anchors: ANCHORS,
            max_bytes: BYTES,
            timeout_ns: TIMEOUT_NS,
            span: j.span,
        };
        let again = self.clauses_twice(j);
        let mut anchored = false;
        for clause in &j.clauses {
            if let JoinClauseKind::From { var, stream, filters } = &clause.kind
                && !anchored
            {
                self.anchor_clause(&mut def, var, stream, filters)?;
                anchored = true;
            }
        }
        if !anchored {
            let d =
                Diagnostic::error("join-without-from", j.name.span, format!("the join {} has no anchor", j.name.text))
                    .write("from r = http.request();");
            self.report(d);
            return None;
        }
        for clause in &j.clauses {
            if let JoinClauseKind::Leg(leg) = &clause.kind {
                let leg = self.leg(&def, leg, &self.joins[index].clone());
                def.legs.extend(leg);
            }
        }
        let complete = def.legs.len() == self.joins[index].legs.len();
        for clause in j.clauses.iter().filter(|c| !again.contains(&c.span)) {
            self.join_stage = match clause.kind {
                JoinClauseKind::Keep(_) => JoinStage::Keep,
                _ => JoinStage::Anchor,
            };
            self.clause(&mut def, &clause.kind, clause.span);
        }
        self.join_stage = JoinStage::Block;
        self.check_blame(&def, j);
        complete.then_some(def)
    }

    fn anchor_clause(
        &mut self,
        def: &mut JoinDef,
        var: &Ident,
        stream: &Ident,
        filters: &'a [(Ident, ast::Expr)],
    ) -> Option<()> {
        if builtins::find(&var.text).is_some_and(|r| r.bare) || part(&var.text).is_some() {
            self.error("reserved-name", var.span, format!("{} is a builtin: give the anchor another name", var.text));
        }
        let Some(anchor) = self.streams.find(&stream.text) else {
            if self.items.streams.contains_key(&stream.text) {
                let d = Diagnostic::error("leg-unfed", stream.span, format!("no attached probe emits {}", stream.text));
                self.report(d);
            } else {
                let d = self.unknown_stream(
                    "unknown-stream",
                    &stream.text,
                    stream.span,
                    format!("nothing emits a stream {}", stream.text),
                );
                self.report(d);
            }
            return None;
        };
        def.anchor = anchor;
        for wanted in ["start", "end"] {
            if !self.streams.get(anchor).fields.iter().any(|(n, _)| n == wanted) {
                let d = Diagnostic::error(
                    "join-key",
                    stream.span,
                    format!("an anchor has a start and an end: {} carries no {wanted}", stream.text),
                )
                .other(self.streams.get(anchor).span, "emitted here");
                self.report(d);
            }
        }
        self.join_stage = JoinStage::Anchor;
        for (field, e) in filters {
            let value = self.expr(e);
            let path = [super::ident::Part { text: &field.text, span: field.span, ident: Some(field) }];
            let have = self.record_field(&stream.text, &path, field.span, |field| ExprKind::Anchor { field });
            let same = self.binary(BinOp::Eq, have, value, field.span);
            if same.is_error() {
                continue;
            }
            self.rule_never_true(&same.e);
            def.filter = Some(match def.filter.take() {
                None => same.e,
                Some(before) => Expr {
                    kind: ExprKind::Logical { and: true, left: Box::new(before), right: Box::new(same.e) },
                    ty: Ty::Bool,
                    span: field.span,
                },
            });
        }
        self.join_stage = JoinStage::Block;
        Some(())
    }

    /// Clauses that a join has once: those that are there again.
    fn clauses_twice(&mut self, j: &ast::Join) -> Vec<Span> {
        let mut again = Vec::new();
        let mut seen: Vec<(&str, Span)> = Vec::new();
        for clause in &j.clauses {
            let name = match clause.kind {
                JoinClauseKind::From { .. } => "from",
                JoinClauseKind::Total(_) => "total",
                JoinClauseKind::Ids(_) => "ids",
                JoinClauseKind::Blame(_) => "blame",
                JoinClauseKind::Keep(_) | JoinClauseKind::KeepSlowest { .. } => "keep",
                JoinClauseKind::Limit(_) => "limit",
                JoinClauseKind::Timeout(_) => "timeout",
                JoinClauseKind::Leg(_) => continue,
            };
            let Some((_, first)) = seen.iter().find(|(n, _)| *n == name) else {
                seen.push((name, clause.span));
                continue;
            };
            let mut d = Diagnostic::error("duplicate-clause", clause.span, format!("a join has one `{name}`"))
                .other(*first, "the first");
            match name {
                "keep" => d = d.write("keep A && B; (or A || B)"),
                "blame" | "ids" => d = d.write(format!("{name} A, B;")),
                "total" => d = d.write("total A if CONDITION, B;"),
                _ => {}
            }
            self.report(d);
            again.push(clause.span);
        }
        again
    }
}
