//! Legs of joins: what feeds them, and by which keys they find their anchor.

use super::cx::Checker;
use super::join::{JoinInfo, LegInfo, part};
use super::types::{int_shape, show};
use crate::ast::{self, Ident};
use crate::builtins;
use crate::diag::Diagnostic;
use crate::hir::{JoinDef, LegAgg, LegDef, Side, StreamRef, Ty};

static AGGS: &[(&str, LegAgg)] = &[
    ("last", LegAgg::Last),
    ("first", LegAgg::First),
    ("sum", LegAgg::Sum),
    ("count", LegAgg::Count),
    ("min", LegAgg::Min),
    ("max", LegAgg::Max),
];

/// A leg's function by its name.
pub(crate) fn aggregation(name: &str) -> Option<LegAgg> {
    AGGS.iter().find(|(n, _)| *n == name).map(|(_, a)| *a)
}

impl<'a> Checker<'a> {
    pub(crate) fn leg(&mut self, def: &JoinDef, leg: &'a ast::Leg, info: &JoinInfo) -> Option<LegDef> {
        let known = info.legs.iter().find(|l| l.name == leg.name.text)?;
        if def.legs.iter().any(|l| l.name == leg.name.text) {
            self.error("duplicate-leg", leg.name.span, format!("there is a leg {} already", leg.name.text));
        }
        if builtins::find(&leg.name.text).is_some_and(|r| r.bare)
            || part(&leg.name.text).is_some()
            || leg.name.text == info.var
        {
            let d = Diagnostic::error(
                "reserved-name",
                leg.name.span,
                format!("a leg cannot be named {}: in the join's body the name means something else", leg.name.text),
            )
            .write(format!("another name, e.g. {0}_leg = {1}({2}) …;", leg.name.text, leg.agg.text, leg.source.text));
            self.report(d);
        }
        let Some(agg) = known.agg else {
            let names: Vec<&str> = AGGS.iter().map(|a| a.0).collect();
            let near = crate::suggest::nearest(&leg.agg.text, names.iter().copied(), 2);
            let d = Diagnostic::error("unknown-function", leg.agg.span, format!("no leg function {}", leg.agg.text))
                .near(if near.is_empty() { names.join(", ") } else { near.join(", ") });
            self.report(d);
            return None;
        };
        if known.stream.is_empty() {
            let d = self.unknown_stream(
                "leg-unfed",
                &leg.source.text,
                leg.source.span,
                format!("nothing can feed the leg {}: no probe emits {}", leg.name.text, leg.source.text),
            );
            self.report(d);
            return None;
        }
        let Some(stream) =
            self.streams.find(&known.stream).filter(|s| self.streams.get(*s).fed || self.opts.reading_file)
        else {
            let d = Diagnostic::error(
                "leg-unfed",
                leg.source.span,
                format!("nothing can feed the leg {}: no attached probe emits {}", leg.name.text, known.stream),
            )
            .other(
                self.items.streams.get(&known.stream).map_or(leg.source.span, |i| i.span),
                "emitted here, by a probe that is not attached",
            );
            self.report(d);
            return None;
        };
        let (field, ty) = self.leg_field(leg, known, stream, agg)?;
        let by = self.leg_keys(def, leg, stream)?;
        let since_ns = match &leg.since {
            Some(e) => self.const_int(e).and_then(|n| u64::try_from(n).ok()),
            None => None,
        };
        let side = self.leg_side(leg);
        Some(LegDef { name: leg.name.text.clone(), stream, field, agg, by, since_ns, side, ty, span: leg.name.span })
    }

    fn leg_side(&mut self, leg: &ast::Leg) -> Side {
        match leg.side.as_ref().map(|s| (s.text.as_str(), s.span)) {
            None | Some(("any", _)) => Side::Any,
            Some(("client", _)) => Side::Client,
            Some(("server", _)) => Side::Server,
            Some((other, span)) => {
                let d = Diagnostic::error("bad-argument", span, format!("no side {other}")).near("client, server, any");
                self.report(d);
                Side::Any
            }
        }
    }

    fn leg_field(
        &mut self,
        leg: &'a ast::Leg,
        known: &LegInfo,
        stream: StreamRef,
        agg: LegAgg,
    ) -> Option<(Option<String>, Ty)> {
        let Some(wanted) = &known.field else {
            if agg == LegAgg::Count {
                return Some((None, Ty::U64));
            }
            let names: Vec<String> = self.streams.get(stream).fields.iter().map(|(n, _)| n.clone()).collect();
            let d = Diagnostic::error(
                "leg-field",
                leg.source.span,
                format!("{} of what? {} is a whole record", leg.agg.text, known.stream),
            )
            .write(format!("{}({}.FIELD), with one of: {}", leg.agg.text, known.stream, names.join(", ")));
            self.report(d);
            return None;
        };
        let underscored = wanted.replace('.', "_");
        let fields = &self.streams.get(stream).fields;
        let Some((name, open)) = fields.iter().find(|(n, _)| n == wanted || *n == underscored).cloned() else {
            let names: Vec<String> = fields.iter().map(|(n, _)| n.clone()).collect();
            let ident = Ident { text: wanted.clone(), span: leg.source.span };
            self.unknown_name(&format!("the stream {}", known.stream), &ident, &names);
            return None;
        };
        if open.ty != Ty::Error && int_shape(&open.ty).is_none() && agg != LegAgg::Count {
            self.error(
                "leg-field",
                leg.source.span,
                format!("a leg is a number, {} is {}", leg.source.text, show(&open.ty)),
            );
            return None;
        }
        if agg == LegAgg::Count {
            return Some((None, Ty::U64));
        }
        let signed = int_shape(&open.ty).is_some_and(|s| s.1);
        Some((Some(name), Ty::Int { bits: 64, signed }))
    }

    /// Keys that both streams carry.
    fn leg_keys(&mut self, def: &JoinDef, leg: &'a ast::Leg, stream: StreamRef) -> Option<Vec<String>> {
        let carries = |c: &Self, s: StreamRef, key: &str| {
            c.streams.get(s).fields.iter().find(|(n, _)| n == key).map(|(_, o)| o.ty.clone())
        };
        let mut keys = Vec::new();
        for key in &leg.by {
            let (anchor, own) = (carries(self, def.anchor, &key.text), carries(self, stream, &key.text));
            match (anchor, own) {
                (Some(x), Some(y))
                    if x == y
                        || (int_shape(&x).is_some() && int_shape(&y).is_some())
                        || matches!((&x, &y), (Ty::Str { .. }, Ty::Str { .. }) | (Ty::Error, _) | (_, Ty::Error)) =>
                {
                    keys.push(key.text.clone());
                }
                (Some(x), Some(y)) => {
                    let d = Diagnostic::error(
                        "join-key",
                        key.span,
                        format!("{} is {} in the anchor, {} in the leg", key.text, show(&x), show(&y)),
                    );
                    self.report(d);
                }
                (anchor, _) => self.key_not_carried(def, leg, stream, key, anchor.is_none()),
            }
        }
        if leg.by.is_empty() {
            let d = Diagnostic::error(
                "join-key",
                leg.name.span,
                format!("the leg {} needs a key to find its anchor by", leg.name.text),
            )
            .write("by conn");
            self.report(d);
        }
        (!keys.is_empty()).then_some(keys)
    }

    fn key_not_carried(&mut self, def: &JoinDef, leg: &'a ast::Leg, stream: StreamRef, key: &'a Ident, anchor: bool) {
        let who = self.streams.get(if anchor { def.anchor } else { stream });
        let keys: Vec<&str> = who
            .fields
            .iter()
            .filter(|(n, o)| {
                matches!(o.ty, Ty::Conn) || ["pid", "tid", "bytes", "goroutine", "conn"].contains(&n.as_str())
            })
            .map(|(n, _)| n.as_str())
            .collect();
        let carried = if keys.is_empty() { "no key".to_owned() } else { keys.join(" and ") };
        let message = format!("{} carries {carried}, not {}", who.name, key.text);
        let others = leg.by.len() > 1;
        let d = if others {
            Diagnostic::warning("join-key", key.span, message)
        } else {
            Diagnostic::error("join-key", key.span, message)
        };
        let d = d.other(who.span, "emitted here");
        let both = keys.iter().find(|k| self.streams.get(def.anchor).fields.iter().chain(&[]).any(|(n, _)| n == **k));
        let d = match both {
            Some(k) if !others => d.write(format!("by {k}")),
            _ => d,
        };
        self.report(d);
    }
}
