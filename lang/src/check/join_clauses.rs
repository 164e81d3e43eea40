//! Clauses of joins: total, ids, blame, keep, limit, timeout.

use super::binary::is_comparison;
use super::cx::Checker;
use super::value::coerce;
use super::windows::SHORTEST;
use crate::ast::{self, Ident, JoinClauseKind};
use crate::diag::Diagnostic;
use crate::hir::{ExprKind, JoinDef, Keep, LegAgg, Ty};
use crate::span::Span;

/// Field names that stand for a length of time in ns.
pub(super) fn names_duration(field: &str) -> bool {
    matches!(field.rsplit('.').next().unwrap_or(field), "dur" | "duration" | "stall" | "wait" | "pause" | "latency")
}

/// What else may be one.
fn names_time(field: &str) -> bool {
    let last = field.rsplit('.').next().unwrap_or(field);
    last.rsplit('_').next().is_some_and(|word| matches!(word, "ns" | "time" | "took" | "elapsed" | "delay" | "lag"))
        || last.split('_').any(names_duration)
}

impl<'a> Checker<'a> {
    pub(super) fn clause(&mut self, def: &mut JoinDef, kind: &'a JoinClauseKind, span: Span) {
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
            JoinClauseKind::Blame(names) => names.iter().for_each(|name| self.blamed(def, name)),
            JoinClauseKind::Keep(e) => {
                self.bare_times(e);
                let cond = self.condition(e);
                def.keep = Keep::If(cond);
            }
            JoinClauseKind::KeepSlowest { count, per } => {
                let write = "keep slowest 20 per 1m;";
                let count = self.clause_number(count, ("how many records are kept", 1, 1 << 20), write);
                let per = self.clause_time(per, "the time that slowest is of", write);
                if let (Some(count), Some(per)) = (count, per) {
                    def.keep = Keep::Slowest { count: count as u32, per_ns: per };
                }
            }
            JoinClauseKind::Limit(parts) => self.limit(def, parts, span),
            JoinClauseKind::Timeout(e) => {
                if let Some(ns) = self.clause_time(e, "how long a record waits for what belongs to it", "timeout 30s;")
                {
                    def.timeout_ns = ns;
                }
            }
        }
    }

    /// A clause's number, which must lie in a range.
    fn clause_number(&mut self, e: &'a ast::Expr, (what, least, most): (&str, i128, i128), write: &str) -> Option<u64> {
        let n = self.const_int(e)?;
        if (least..=most).contains(&n) {
            return u64::try_from(n).ok();
        }
        let bound = if n < least { format!("at least {least}") } else { format!("at most {most}") };
        let d = Diagnostic::error("bad-limit", e.span, format!("{what} is {bound}, not {n}")).write(write);
        self.report(d);
        None
    }

    /// A clause's length of time, ns. `timeout 30` is 30 ns to the language, and half a minute to who wrote it.
    pub(super) fn clause_time(&mut self, e: &'a ast::Expr, what: &str, write: &str) -> Option<u64> {
        let n = self.const_int(e)?;
        if (SHORTEST..=i128::from(i64::MAX)).contains(&n) {
            return u64::try_from(n).ok();
        }
        let mut d = Diagnostic::error("bad-limit", e.span, format!("{what} is at least 1ms, this is {n} ns"));
        if n > SHORTEST {
            d = Diagnostic::error("bad-limit", e.span, format!("{what} is at most {} ns, not {n}", i64::MAX));
        } else if n > 0 && matches!(e.kind, ast::ExprKind::Int { .. }) {
            d = d.note(format!("a number without a unit is ns: {n}s, {n}ms, {n}m"));
        }
        self.report(d.write(write));
        None
    }

    /// `keep total > 500` is 500 ns to the language, and kept is everything.
    fn bare_times(&mut self, e: &'a ast::Expr) {
        let ast::ExprKind::Binary { op, left, right } = &e.kind else { return };
        if !is_comparison(*op) {
            self.bare_times(left);
            return self.bare_times(right);
        }
        let is_time = |e: &ast::Expr| match &e.kind {
            ast::ExprKind::Ident(name) => name == "total",
            ast::ExprKind::Field { name, .. } => names_duration(&name.text),
            _ => false,
        };
        for (time, number) in [(left, right), (right, left)] {
            if is_time(time)
                && let ast::ExprKind::Int { value: n, .. } = number.kind
                && (1..SHORTEST).contains(&i128::from(n))
            {
                let d = Diagnostic::warning("bad-limit", number.span, format!("a time is in ns, and this is {n} ns"));
                self.report(d.write(format!("{n}ms")));
            }
        }
    }

    fn blamed(&mut self, def: &mut JoinDef, name: &Ident) {
        let Some(i) = def.legs.iter().position(|l| l.name == name.text) else { return self.unknown_leg(def, name) };
        if def.blame.contains(&(i as u32)) {
            self.error("duplicate-leg", name.span, format!("{} is blamed already", name.text));
            return;
        }
        if def.legs[i].agg == LegAgg::Count {
            let d =
                Diagnostic::error("bad-blame", name.span, format!("{} counts: only a time can be blamed", name.text));
            let d = match self.duration_of(def.legs[i].stream) {
                Some(field) => d.write(format!("sum({}.{field})", self.streams.get(def.legs[i].stream).name)),
                None => d,
            };
            self.report(d);
            return;
        }
        self.blamed_time(&def.legs[i].clone(), name);
        def.blame.push(i as u32);
    }

    /// What is blamed is a time: a stream that has one and a leg that takes another of its fields is a slip.
    fn blamed_time(&mut self, leg: &crate::hir::LegDef, name: &Ident) {
        let Some(field) = leg.field.as_deref() else { return };
        let stream = self.streams.get(leg.stream);
        let plain = stream.fields.iter().find(|(n, _)| n == field).is_some_and(|(_, o)| o.ty == Ty::Bool);
        let better = self.duration_of(leg.stream);
        if names_duration(field) || (better.is_none() && !plain && names_time(field)) {
            return;
        }
        if better.is_none() && !plain {
            let text = format!("{} is {}.{field}, which is blamed as ns", name.text, stream.name);
            let d = Diagnostic::warning("bad-blame", name.span, text)
                .note("a count, a code or bytes would be told as a share of the total")
                .write(format!("{field}_ns for its name, if it is a time"));
            return self.report(d.other(leg.span, "the leg"));
        }
        let message = format!("{} is {}.{field}, which is no time: only a time can be blamed", name.text, stream.name);
        let mut d = Diagnostic::error("bad-blame", name.span, message);
        if let Some(better) = better {
            d = d.write(format!("{} = sum({}.{better}) …;", name.text, stream.name));
        }
        self.report(d.other(leg.span, "the leg"));
    }

    /// The field of a stream that is a length of time.
    fn duration_of(&self, stream: crate::hir::StreamRef) -> Option<String> {
        let fields = &self.streams.get(stream).fields;
        fields.iter().find(|(n, o)| names_duration(n) && o.ty != Ty::Bool).map(|(n, _)| n.clone())
    }

    fn limit(&mut self, def: &mut JoinDef, parts: &'a [ast::Expr], span: Span) {
        const WRITE: &str = "limit 20000, 64MiB;";
        if parts.is_empty() || parts.len() > 2 {
            let d = Diagnostic::error("bad-limit", span, "limit takes a number of anchors, and bytes").write(WRITE);
            self.report(d);
        }
        if let Some(first) = parts.first().filter(|e| matches!(e.kind, ast::ExprKind::Size(_))) {
            let text = "limit takes a number of anchors first, and bytes after it";
            let d = Diagnostic::error("bad-limit", first.span, text).write(WRITE);
            return self.report(d);
        }
        let what = ("how many records may wait", 1, 1 << 26);
        if let Some(n) = parts.first().and_then(|e| self.clause_number(e, what, WRITE)) {
            def.max_anchors = n as u32;
        }
        let what = ("how many bytes they may take", 1 << 16, i128::from(i64::MAX));
        if let Some(n) = parts.get(1).and_then(|e| self.clause_number(e, what, WRITE)) {
            def.max_bytes = n;
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
        } else if matches!(name.text.as_str(), "app" | "unknown") {
            d = d.note(format!("{} is what no blamed leg covers: it is always told", name.text));
        } else if !known.is_empty() {
            d = d.note(format!("legs: {}", known.iter().map(|l| l.name.as_str()).collect::<Vec<_>>().join(", ")));
        }
        self.report(d);
    }

    /// A blamed layer that lies before the total's begin would always be 0.
    pub(super) fn check_blame(&mut self, def: &JoinDef, j: &'a ast::Join) {
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
                );
                let carries = |name: &str| self.streams.get(def.anchor).fields.iter().any(|(n, _)| n == name);
                d = if (carries("opened") || carries("conn_opened")) && carries("first_on_conn") {
                    d.write(format!("total {var}.conn.opened if {var}.first_on_conn, {var}.start;"))
                } else {
                    d.note(format!("total begins where that begins: total {var}.FIELD;"))
                };
                if let Some(total) = place {
                    d = d.other(total, "the total begins here");
                }
                self.report(d);
            }
        }
    }
}
