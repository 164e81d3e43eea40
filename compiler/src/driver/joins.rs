//! Joins: expressions become native handlers, the rest is data.

use super::units::Units;
use crate::lower::{Module, lower_join_expr, not_yet, place};
use weftrace_artifact::{
    action::{StreamId, StreamSpec},
    join::{IdSource, IntAt, JoinSpec, Keep, LegAgg, LegKey, LegSpec, Side, key_of},
    ty::Type,
};
use weftrace_lang::{
    diag::Diagnostic,
    hir::{self, Expr, ExprKind as E, JoinDef, LegDef},
    span::Span,
};

type R<T> = Result<T, Box<Diagnostic>>;

/// Lowers every join; those that fail are reported and stand as an empty spec, so that indexes stay.
pub(super) fn lower_joins(module: &mut Module<'_>, units: &mut Units) -> Vec<JoinSpec> {
    let program = module.program;
    let mut specs = Vec::new();
    for def in &program.joins {
        match lower_join(module, units, def) {
            Ok(spec) => specs.push(spec),
            Err(d) => units.diagnostics.push(*d),
        }
    }
    specs
}

fn lower_join<'a>(module: &mut Module<'a>, units: &mut Units, def: &'a JoinDef) -> R<JoinSpec> {
    let Some(anchor) = module.streams.get(def.anchor.index()).cloned() else {
        return Err(Box::new(not_yet(def.span, "this join's anchor")));
    };
    let time = |name: &str| match anchor.field(name) {
        Some(f) => Ok(f.offset),
        None => Err(Box::new(
            Diagnostic::error(
                "join-needs-interval",
                def.span,
                format!("{} has no `{name}` field, so it cannot anchor a join", anchor.name),
            )
            .write(format!("emit {}(start=…, end=…, …)", anchor.name)),
        )),
    };
    let (start_offset, end_offset) = (time("start")?, time("end")?);
    let mut handler = |e: &'a Expr, what: &str| -> R<u32> {
        let function = lower_join_expr(module, def, e, &format!("join_{}_{what}", def.name))?;
        units.native.push(function);
        Ok(units.native.len() as u32 - 1)
    };
    let filter = def.filter.as_ref().map(|e| handler(e, "filter")).transpose()?;
    let mut total = Vec::new();
    for (i, (begin, condition)) in def.total.iter().enumerate() {
        let begin = handler(begin, &format!("total{i}"))?;
        let condition = condition.as_ref().map(|e| handler(e, &format!("total{i}_if"))).transpose()?;
        total.push((begin, condition));
    }
    let keep = match &def.keep {
        hir::Keep::All => Keep::All,
        hir::Keep::If(e) => Keep::If(handler(e, "keep")?),
        hir::Keep::Slowest { count, per_ns } => Keep::Slowest { count: *count, per_ns: *per_ns },
    };
    let ids = def.ids.iter().map(|e| id_source(&anchor, e)).collect::<R<Vec<_>>>()?;
    let mut legs = Vec::new();
    for (i, leg) in def.legs.iter().enumerate() {
        let blamed = def.blame.contains(&(i as u32));
        legs.push(leg_spec(module, &anchor, leg, blamed)?);
    }
    Ok(JoinSpec {
        name: def.name.clone(),
        anchor: StreamId(def.anchor.0),
        start_offset,
        end_offset,
        filter,
        total,
        ids,
        legs,
        blame: def.blame.clone(),
        keep,
        max_anchors: def.max_anchors,
        max_bytes: def.max_bytes,
        timeout_ns: def.timeout_ns,
        place: place(def.span),
    })
}

fn id_source(anchor: &StreamSpec, e: &Expr) -> R<IdSource> {
    let field = |name: &str, span: Span| match anchor.field(name) {
        Some(f) => Ok(f.clone()),
        None => Err(Box::new(not_yet(span, format!("the id {name}")))),
    };
    match &e.kind {
        E::Cast(inner) => id_source(anchor, inner),
        E::Anchor { field: name } => {
            let f = field(name, e.span)?;
            match f.ty {
                Type::Str { cap } => Ok(IdSource::Field { name: name.clone(), offset: f.offset, cap }),
                _ => Err(Box::new(not_yet(e.span, "ids that are not strings"))),
            }
        }
        E::Header { headers, name } => match &headers.kind {
            E::Anchor { field: headers } => {
                Ok(IdSource::Header { name: name.to_ascii_lowercase(), offset: field(headers, e.span)?.offset })
            }
            _ => Err(Box::new(not_yet(e.span, "ids from these headers"))),
        },
        _ => Err(Box::new(not_yet(e.span, "ids that are neither a field nor a header"))),
    }
}

fn leg_spec(module: &Module<'_>, anchor: &StreamSpec, leg: &LegDef, blamed: bool) -> R<LegSpec> {
    let Some(stream) = module.streams.get(leg.stream.index()) else {
        return Err(Box::new(not_yet(leg.span, "this leg's stream")));
    };
    let value = match &leg.field {
        None => None,
        Some(name) => {
            let Some(f) = stream.field(name) else {
                return Err(Box::new(not_yet(leg.span, format!("{}.{name}", stream.name))));
            };
            let size = f.ty.size();
            if !matches!(size, 1 | 2 | 4 | 8) {
                return Err(Box::new(not_yet(leg.span, format!("{}.{name} as a leg's value", stream.name))));
            }
            let signed = matches!(f.ty, Type::Int { signed: true, .. } | Type::Enum { signed: true, .. });
            Some(IntAt { offset: f.offset, size: size as u8, signed })
        }
    };
    let interval = stream.field("start").zip(stream.field("end")).map(|(a, b)| (a.offset, b.offset));
    let keys = leg.by.iter().map(|name| leg_key(anchor, stream, leg, name)).collect::<R<Vec<_>>>()?;
    Ok(LegSpec {
        name: leg.name.clone(),
        stream: StreamId(leg.stream.0),
        agg: match leg.agg {
            hir::LegAgg::Last => LegAgg::Last,
            hir::LegAgg::First => LegAgg::First,
            hir::LegAgg::Sum => LegAgg::Sum,
            hir::LegAgg::Count => LegAgg::Count,
            hir::LegAgg::Min => LegAgg::Min,
            hir::LegAgg::Max => LegAgg::Max,
            hir::LegAgg::Avg => LegAgg::Avg,
        },
        value,
        interval,
        duration: blamed || leg.duration,
        keys,
        since_ns: leg.since_ns,
        off: leg.off,
        side: match leg.side {
            hir::Side::Any => Side::Any,
            hir::Side::Client => Side::Client,
            hir::Side::Server => Side::Server,
        },
        place: place(leg.span),
    })
}

fn leg_key(anchor: &StreamSpec, stream: &StreamSpec, leg: &LegDef, name: &str) -> R<LegKey> {
    let (ours, theirs) = (key_of(stream, name), key_of(anchor, name));
    let missing = |what: String| {
        Err(Box::new(Diagnostic::error("leg-key-missing", leg.span, format!("{what}, so a leg cannot go by it"))))
    };
    let Some((kind, _)) = ours.or(theirs) else {
        return missing(format!("`{name}` is no key of {} or {}", stream.name, anchor.name));
    };
    if let (Some((ours, _)), Some((theirs, _))) = (ours, theirs)
        && ours != theirs
    {
        return missing(format!("`{name}` is not the same kind of key in {} and {}", stream.name, anchor.name));
    }
    Ok(LegKey { kind, leg: ours.map(|(_, at)| at), anchor: theirs.map(|(_, at)| at) })
}
