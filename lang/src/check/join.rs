//! Joins: from clauses to a [`JoinDef`], and what can be wrong with them.

use super::cx::{ArgsCx, Checker, ProbeCx};
use super::providers;
use super::value::coerce;
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
}

#[derive(Clone, Debug)]
pub(crate) struct LegInfo {
    pub(crate) name: String,
    /// Empty if nothing emits such a stream.
    pub(crate) stream: String,
    pub(crate) field: Option<String>,
    pub(crate) agg: Option<LegAgg>,
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
            if let Some(other) = self.joins.iter().find(|k| k.name == j.name.text) {
                let name = other.name.clone();
                self.error("duplicate-join", j.name.span, format!("there is a join {name} already"));
            }
            let mut info =
                JoinInfo { name: j.name.text.clone(), var: String::new(), anchor: String::new(), legs: Vec::new() };
            for clause in &j.clauses {
                match &clause.kind {
                    JoinClauseKind::From { var, stream, .. } => {
                        info.var.clone_from(&var.text);
                        info.anchor.clone_from(&stream.text);
                    }
                    JoinClauseKind::Leg(leg) => {
                        let (stream, field) = self.leg_source(&leg.source.text);
                        let agg = super::join_legs::aggregation(&leg.agg.text);
                        info.legs.push(LegInfo { name: leg.name.text.clone(), stream, field, agg });
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
        let mut anchored = false;
        for clause in &j.clauses {
            if let JoinClauseKind::From { var, stream, filters } = &clause.kind {
                anchored = self.anchor_clause(&mut def, var, stream, filters, anchored)?;
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
        for clause in &j.clauses {
            self.clause(&mut def, &clause.kind, clause.span);
        }
        self.check_blame(&def, j);
        complete.then_some(def)
    }

    fn anchor_clause(
        &mut self,
        def: &mut JoinDef,
        var: &Ident,
        stream: &Ident,
        filters: &'a [(Ident, ast::Expr)],
        again: bool,
    ) -> Option<bool> {
        if again {
            self.error("duplicate-clause", stream.span, "a join has one `from`");
        }
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
        for (field, e) in filters {
            let value = self.expr(e);
            let path = [super::ident::Part { text: &field.text, span: field.span, ident: Some(field) }];
            let have = self.record_field(&stream.text, &path, field.span, |field| ExprKind::Anchor { field });
            let same = self.binary(BinOp::Eq, have, value, field.span);
            if same.is_error() {
                continue;
            }
            def.filter = Some(match def.filter.take() {
                None => same.e,
                Some(before) => Expr {
                    kind: ExprKind::Logical { and: true, left: Box::new(before), right: Box::new(same.e) },
                    ty: Ty::Bool,
                    span: field.span,
                },
            });
        }
        Some(true)
    }

    fn clause(&mut self, def: &mut JoinDef, kind: &'a JoinClauseKind, span: Span) {
        match kind {
            JoinClauseKind::From { .. } | JoinClauseKind::Leg(_) => {}
            JoinClauseKind::Total(parts) => {
                for (at, cond) in parts {
                    let v = self.number(at, "where a total begins");
                    let cond = cond.as_ref().map(|c| self.condition(c));
                    let begin = coerce(v.e, &Ty::U64);
                    def.total.push((begin, cond));
                }
            }
            JoinClauseKind::Ids(ids) => {
                for e in ids {
                    let v = self.expr(e);
                    let fine = matches!(v.e.kind, ExprKind::Anchor { .. } | ExprKind::Header { .. })
                        && matches!(v.e.ty, Ty::Str { .. });
                    if fine {
                        def.ids.push(v.e);
                    } else if !v.is_error() {
                        self.error("bad-id", e.span, "an id is a string field of the anchor, or one of its headers");
                    }
                }
            }
            JoinClauseKind::Blame(names) => {
                for name in names {
                    match def.legs.iter().position(|l| l.name == name.text) {
                        Some(i) if def.legs[i].agg == LegAgg::Count => {
                            self.error(
                                "bad-blame",
                                name.span,
                                format!("{} counts: only a time can be blamed", name.text),
                            );
                        }
                        Some(i) => def.blame.push(i as u32),
                        None => self.unknown_leg(def, name),
                    }
                }
            }
            JoinClauseKind::Keep(e) => {
                let cond = self.condition(e);
                def.keep = Keep::If(cond);
            }
            JoinClauseKind::KeepSlowest { count, per } => {
                if let (Some(n), Some(per)) = (self.const_int(count), self.const_int(per)) {
                    def.keep = Keep::Slowest { count: n.clamp(0, 1 << 20) as u32, per_ns: per.max(0) as u64 };
                }
            }
            JoinClauseKind::Limit(parts) => self.limit(def, parts, span),
            JoinClauseKind::Timeout(e) => {
                if let Some(n) = self.const_int(e).and_then(|n| u64::try_from(n).ok()) {
                    def.timeout_ns = n;
                }
            }
        }
    }

    fn limit(&mut self, def: &mut JoinDef, parts: &'a [ast::Expr], span: Span) {
        if parts.is_empty() || parts.len() > 2 {
            let d = Diagnostic::error("bad-limit", span, "limit takes a number of anchors, and bytes")
                .write("limit 20000, 64MiB;");
            self.report(d);
        }
        if let Some(n) = parts.first().and_then(|e| self.const_int(e)) {
            def.max_anchors = n.clamp(1, 1 << 26) as u32;
        }
        if let Some(n) = parts.get(1).and_then(|e| self.const_int(e)) {
            def.max_bytes = n.max(1 << 16) as u64;
        }
    }

    fn unknown_leg(&mut self, def: &JoinDef, name: &Ident) {
        let known = self.joins.iter().find(|j| j.name == def.name).map_or(Vec::new(), |j| j.legs.clone());
        if known.iter().any(|l| l.name == name.text) {
            // It is one, with an error of its own.
            return;
        }
        let near = crate::suggest::nearest(&name.text, known.iter().map(|l| l.name.as_str()), 3);
        let mut d =
            Diagnostic::error("unknown-leg", name.span, format!("the join {} has no leg {}", def.name, name.text));
        if !near.is_empty() {
            d = d.near(near.join(", "));
        }
        self.report(d);
    }

    /// A blamed layer that lies before the total's begin would always be 0.
    fn check_blame(&mut self, def: &JoinDef, j: &'a ast::Join) {
        let from_start =
            def.total.iter().all(|(e, _)| matches!(&e.kind, ExprKind::Anchor { field } if field == "start"));
        if !from_start {
            return;
        }
        let Some(info) = self.joins.iter().find(|i| i.name == def.name) else { return };
        let (var, place) =
            (info.var.clone(), j.clauses.iter().find(|c| matches!(c.kind, JoinClauseKind::Total(_))).map(|c| c.span));
        for leg in def.blame.iter().filter_map(|i| def.legs.get(*i as usize)) {
            if leg.since_ns.is_some() {
                let mut d = Diagnostic::error(
                    "blame-outside-total",
                    leg.span,
                    format!("{} happens before {var}.start: it would always be 0", leg.name),
                )
                .write(format!("total {var}.opened if {var}.first_on_conn, {var}.start;"));
                if let Some(total) = place {
                    d = d.other(total, "the total begins here");
                }
                self.report(d);
            }
        }
    }
}
