//! Exchanges of HTTP that no join keeps: a block that does nothing but tell joins of exchanges need not run for those.
//!
//! That must change nothing of what is told, so it is only so where all that the block emits is read as the anchor of joins whose `keep`
//! asks for a time or a status, and as what binds that anchor's own keys.

use crate::place::{prune::goes_by_bindings, walk::known};
use weftrace_artifact::join::{Bound, is_binding};
use weftrace_lang::hir::{
    BinOp, Expr, ExprKind as E, JoinDef, JoinEvent, JoinPart, Keep, LegDef, ProbeDef, Program, Provider, StmtKind,
    StreamRef, Ty,
};

/// The joins that a block makes anchors for, and what any of them keeps at most.
pub(super) fn of(program: &Program, probe: &ProbeDef) -> Option<(Vec<u32>, Bound)> {
    if !runs_for_exchanges(probe) || probe.body.tail.is_some() {
        return None;
    }
    let mut emitted: Vec<(StreamRef, &[Expr])> = Vec::new();
    for stmt in &probe.body.stmts {
        let StmtKind::Emit { stream, fields } = &stmt.kind else { return None };
        emitted.push((*stream, fields));
    }
    let (mut joins, mut bound) = (Vec::new(), Bound::NEVER);
    for (i, join) in (0u32..).zip(&program.joins) {
        if join.legs.iter().any(|leg| emitted.iter().any(|(stream, _)| *stream == leg.stream)) {
            return None;
        }
        let Some((_, fields)) = emitted.iter().find(|(stream, _)| *stream == join.anchor) else {
            // Another join may go by the bindings.
            return None;
        };
        let mut bindings = emitted.iter().filter(|(stream, _)| is_binding(&program.streams[stream.index()].name));
        if !bindings.all(|(binding, values)| {
            says_of_its_anchor_alone(program, (*binding, values), (join.anchor, fields))
                && !join.legs.iter().any(|leg| looks_back_by_bindings(program, join, leg))
        }) {
            return None;
        }
        bound = bound.or(kept(program, join, fields)?);
        joins.push(i);
    }
    let read = |stream: &StreamRef| {
        program.joins.iter().any(|join| join.anchor == *stream) || is_binding(&program.streams[stream.index()].name)
    };
    let asked = |on: &JoinEvent| *on != JoinEvent::Result;
    let targets = || program.probes.iter().flat_map(|probe| &probe.targets);
    let all = !joins.is_empty()
        && emitted.iter().all(|(stream, _)| read(stream))
        && !targets().any(|target| matches!(&target.provider, Provider::Join { on, .. } if asked(on)));
    all.then_some((joins, bound))
}

/// `http:server { … }`, `pcap:… /http.exchange/ { … }`
fn runs_for_exchanges(probe: &ProbeDef) -> bool {
    let exchange = |e: &Expr| matches!(&e.kind, E::Packet(field) if field == "http.exchange");
    probe.targets.iter().all(|target| match target.provider {
        Provider::Exchange { .. } => probe.predicate.is_none(),
        Provider::Pcap { .. } => probe.predicate.as_ref().is_some_and(exchange),
        _ => false,
    })
}

/// Whether a binding holds for just as long as the exchange and of nothing but what its anchor carries: without the one there is
/// nothing for the other to say.
fn says_of_its_anchor_alone(
    program: &Program,
    (binding, values): (StreamRef, &[Expr]),
    (anchor, carried): (StreamRef, &[Expr]),
) -> bool {
    let value = |stream: StreamRef, values, name: &str| value(program, stream, values, name);
    let time = |name, packet| value(binding, values, name).is_some_and(|e| is_packet(e, packet));
    let fields = &program.streams[binding.index()].fields;
    time("start", "http.exchange.start")
        && time("end", "http.exchange.end")
        && fields.iter().all(|(name, _)| {
            value(binding, values, name).zip(value(anchor, carried, name)).is_some_and(|(a, b)| same(a, b))
        })
}

/// A leg that goes by bindings, of before its anchor began too: those of exchanges before it lead to records that it wants.
fn looks_back_by_bindings(program: &Program, join: &JoinDef, leg: &LegDef) -> bool {
    leg.since_ns.is_some() && goes_by_bindings(program, join, leg)
}

/// The value that an `emit` gives a field of its stream.
fn value<'a>(program: &Program, stream: StreamRef, values: &'a [Expr], name: &str) -> Option<&'a Expr> {
    let at = program.streams[stream.index()].fields.iter().position(|(field, _)| field == name);
    at.and_then(|at| values.get(at))
}

fn is_packet(e: &Expr, name: &str) -> bool {
    matches!(&e.kind, E::Packet(field) if field == name)
}

/// The same value, as far as can be told of fields and of builtins without arguments.
fn same(a: &Expr, b: &Expr) -> bool {
    match (&a.kind, &b.kind) {
        (E::Cast(a), _) => same(a, b),
        (_, E::Cast(b)) => same(a, b),
        (E::Packet(a), E::Packet(b)) => a == b,
        (E::Call { func: a, args }, E::Call { func: b, args: others }) => {
            a == b && args.is_empty() && others.is_empty()
        }
        _ => false,
    }
}

/// What a join keeps at most of the exchanges that are not the first of their connection: of those the total is the exchange's own time.
fn kept(program: &Program, join: &JoinDef, fields: &[Expr]) -> Option<Bound> {
    let stream = &program.streams[join.anchor.index()];
    let is = |name, packet| value(program, join.anchor, fields, name).is_some_and(|e| is_packet(e, packet));
    let first = |e: &Expr| matches!(&e.kind, E::Anchor { field } if field == "first_on_conn");
    let start = |e: &Expr| matches!(&e.kind, E::Anchor { field } if field == "start");
    let total = match join.total.split_last() {
        None => true,
        Some(((begin, None), before)) => {
            start(begin) && before.iter().all(|(_, condition)| condition.as_ref().is_some_and(first))
        }
        Some(_) => false,
    };
    let own = is("start", "http.exchange.start")
        && is("end", "http.exchange.end")
        && is("dur", "http.exchange.dur")
        && is("status", "http.exchange.status")
        && is("first_on_conn", "http.exchange.first_on_conn");
    // How many carry an id at the same time is told of those that are kept.
    let by_id = join.legs.iter().any(|leg| {
        let streams = [&program.streams[leg.stream.index()], stream];
        leg.by.iter().any(|by| {
            streams.iter().any(|s| s.fields.iter().any(|(name, ty)| name == by && matches!(ty, Ty::Str { .. })))
        })
    });
    let Keep::If(condition) = &join.keep else { return None };
    if !total || !own || by_id || join.filter.is_some() {
        return None;
    }
    bound(condition)
}

/// What must be true of an exchange at least, for the condition to be; None: it can't be said by time and status alone.
fn bound(e: &Expr) -> Option<Bound> {
    match (known(e), &e.kind) {
        (Some(false), _) => Some(Bound::NEVER),
        (_, E::Logical { and: true, left, right }) => bound(left).or_else(|| bound(right)),
        (_, E::Logical { and: false, left, right }) => Some(bound(left)?.or(bound(right)?)),
        (_, E::Binary { op, left, right }) => match op {
            BinOp::Gt => at_least(left, number(right)?.checked_add(1)?),
            BinOp::Ge => at_least(left, number(right)?),
            BinOp::Lt => at_least(right, number(left)?.checked_add(1)?),
            BinOp::Le => at_least(right, number(left)?),
            _ => None,
        },
        _ => None,
    }
}

fn at_least(e: &Expr, least: u64) -> Option<Bound> {
    // Of nothing less than 1 it says nothing.
    let below = least.checked_sub(1)?;
    match &e.kind {
        E::Cast(inner) if matches!(e.ty, Ty::Int { signed: false, .. }) => at_least(inner, least),
        E::JoinPart(JoinPart::Total) => Some(Bound { longer_than_ns: below, ..Bound::NEVER }),
        E::Anchor { field } if field == "dur" => Some(Bound { longer_than_ns: below, ..Bound::NEVER }),
        E::Anchor { field } if field == "status" => Some(Bound { status_from: least, ..Bound::NEVER }),
        _ => None,
    }
}

fn number(e: &Expr) -> Option<u64> {
    match &e.kind {
        E::Int(n) => u64::try_from(*n).ok(),
        E::Cast(inner) => number(inner),
        _ => None,
    }
}
