//! Legs of joins: what feeds them, and by which keys they find their anchor.

use super::cx::Checker;
use super::join::{JoinInfo, LegInfo, part};
use super::join_clauses::names_duration;
use super::keys;
use super::types::{int_shape, show};
use crate::ast::{self, Ident};
use crate::builtins;
use crate::diag::Diagnostic;
use crate::hir::{JoinDef, LegAgg, LegDef, Side, StreamRef, Ty};
use std::collections::BTreeSet;

static AGGS: &[(&str, LegAgg)] = &[
    ("last", LegAgg::Last),
    ("first", LegAgg::First),
    ("sum", LegAgg::Sum),
    ("count", LegAgg::Count),
    ("min", LegAgg::Min),
    ("max", LegAgg::Max),
    ("avg", LegAgg::Avg),
];

/// A leg's function by its name.
pub(crate) fn aggregation(name: &str) -> Option<LegAgg> {
    AGGS.iter().find(|(n, _)| *n == name).map(|(_, a)| *a)
}

impl<'a> Checker<'a> {
    pub(crate) fn leg(&mut self, def: &JoinDef, leg: &'a ast::Leg, info: &JoinInfo) -> Option<LegDef> {
        let known = info.legs.iter().find(|l| l.name == leg.name.text)?;
        if let Some(first) = def.legs.iter().find(|l| l.name == leg.name.text) {
            let d =
                Diagnostic::error("duplicate-leg", leg.name.span, format!("there is a leg {} already", leg.name.text))
                    .other(first.span, "here");
            self.report(d);
        }
        if builtins::find(&leg.name.text).is_some_and(|r| r.bare)
            || part(&leg.name.text).is_some()
            || leg.name.text == info.var
            || self.items.params.iter().any(|p| p.name.text == leg.name.text)
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
        let stream = self.leg_stream(leg, known)?;
        let (field, ty) = self.leg_field(leg, known, stream, agg)?;
        let by = self.leg_keys(def, leg, stream, info)?;
        let since_ns = match &leg.since {
            Some(e) => self.clause_time(e, "how long before the anchor a leg looks", "since 10s"),
            None => None,
        };
        let side = self.leg_side(leg, stream);
        let (name, span, off) = (leg.name.text.clone(), leg.name.span, self.streams.get(stream).off);
        let duration = field.as_deref().is_some_and(names_duration);
        Some(LegDef { name, stream, field, agg, duration, by, since_ns, side, ty, off, span })
    }

    /// The stream that feeds a leg.
    fn leg_stream(&mut self, leg: &ast::Leg, known: &LegInfo) -> Option<StreamRef> {
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
        let found = self
            .streams
            .find(&known.stream)
            .filter(|s| self.streams.get(*s).fed || self.streams.get(*s).off || self.opts.reading_file);
        // What isn't attached because nobody may look says so itself.
        if found.is_none() && !self.sink.diags.iter().any(Diagnostic::is_refusal) {
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
        }
        found
    }

    fn leg_side(&mut self, leg: &ast::Leg, stream: StreamRef) -> Side {
        let side = match leg.side.as_ref().map(|s| (s.text.as_str(), s.span)) {
            None | Some(("any", _)) => return Side::Any,
            Some(("client", _)) => Side::Client,
            Some(("server", _)) => Side::Server,
            Some((other, span)) => {
                let d = Diagnostic::error("bad-argument", span, format!("no side {other}")).near("client, server, any");
                self.report(d);
                return Side::Any;
            }
        };
        let info = self.streams.get(stream);
        let by_conn = leg.by.iter().any(|key| key.text == "conn");
        if let Some(span) = info.endless.filter(|_| by_conn) {
            let text =
                format!("of {} it isn't known which end it is of: the leg is unknown where there is one", info.name);
            let d = Diagnostic::warning("leg-side", leg.side.as_ref().map_or(span, |s| s.span), text)
                .other(span, "tcp.conn is of both ends")
                .write("conn = tcp.zero_window.conn, tcp.repair.conn or tcp.handshake.conn; or no side=");
            self.report(d);
        }
        side
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
    fn leg_keys(
        &mut self,
        def: &JoinDef,
        leg: &'a ast::Leg,
        stream: StreamRef,
        info: &JoinInfo,
    ) -> Option<Vec<String>> {
        let ids = &info.ids;
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
                (None, Some(_)) if self.bound_to(&key.text, def.anchor) => keys.push(key.text.clone()),
                (Some(_), None) if self.bound_to(&key.text, stream) => keys.push(key.text.clone()),
                // Any of what names the anchor's trace.
                (None, Some(Ty::Str { .. })) if info.named => keys.push(key.text.clone()),
                (None, None) if key.text == "id" => {
                    let both = |name: &String| {
                        let own = carries(self, stream, name);
                        let anchors = carries(self, def.anchor, name);
                        matches!((anchors, own), (Some(Ty::Str { .. }), Some(Ty::Str { .. })))
                    };
                    let named: Vec<String> = ids.iter().filter(|name| both(name)).cloned().collect();
                    if named.is_empty() {
                        self.no_common_id(def, stream, key, ids);
                    }
                    keys.extend(named);
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

    /// `by id` where the leg carries none of the ids that the join's anchor goes by.
    fn no_common_id(&mut self, def: &JoinDef, stream: StreamRef, key: &Ident, ids: &[String]) {
        let who = self.streams.get(stream);
        let strings = |s: StreamRef| -> BTreeSet<String> {
            let fields = self.streams.get(s).fields.iter();
            fields.filter(|(_, o)| matches!(o.ty, Ty::Str { .. })).map(|(n, _)| n.clone()).collect()
        };
        let ids = if ids.is_empty() { "no field".to_owned() } else { ids.join(", ") };
        let text = format!("`by id` goes by the anchor's ids ({ids}), and {} carries none of them", who.name);
        let d = Diagnostic::error("join-key", key.span, text).other(who.span, "emitted here");
        let common = strings(def.anchor).intersection(&strings(stream)).find(|name| name.contains("id")).cloned();
        let d = match common {
            Some(name) => d.write(format!("by {name}; or name it in ids")),
            None => d.note("a field of the same name in both, and in ids: ids r.trace_id;"),
        };
        self.report(d);
    }

    /// Whether bindings lead from the keys of a stream to `key`, in as many steps as the join takes.
    fn bound_to(&self, key: &str, stream: StreamRef) -> bool {
        let keys_of = |fields: &'_ [(String, super::types::Open)]| {
            fields.iter().filter(|(n, o)| keys::is_key(n, &o.ty)).map(|(n, _)| n.clone()).collect::<BTreeSet<_>>()
        };
        let mut reached = keys_of(&self.streams.get(stream).fields);
        let bindings: Vec<_> =
            self.streams.streams.iter().filter(|s| keys::is_binding(&s.name)).map(|s| keys_of(&s.fields)).collect();
        for _ in 0..keys::MAX_STEPS {
            let found: Vec<_> = bindings.iter().filter(|b| !b.is_disjoint(&reached)).flatten().cloned().collect();
            reached.extend(found);
        }
        reached.contains(key)
    }

    fn key_not_carried(&mut self, def: &JoinDef, leg: &'a ast::Leg, stream: StreamRef, key: &'a Ident, anchor: bool) {
        let who = self.streams.get(if anchor { def.anchor } else { stream });
        let carried_keys: Vec<&str> =
            who.fields.iter().filter(|(n, o)| keys::is_key(n, &o.ty)).map(|(n, _)| n.as_str()).collect();
        let carried = if carried_keys.is_empty() { "no key".to_owned() } else { carried_keys.join(" and ") };
        let message = format!("{} carries {carried}, not {}", who.name, key.text);
        let others = leg.by.len() > 1;
        let d = if others {
            Diagnostic::warning("join-key", key.span, message)
        } else {
            Diagnostic::error("join-key", key.span, message)
        };
        let d = d.other(who.span, "emitted here");
        let carries = |s: StreamRef, key: &str| {
            self.streams.get(s).fields.iter().any(|(n, o)| n == key && keys::is_key(n, &o.ty))
        };
        let both = carried_keys.iter().find(|k| carries(def.anchor, k) && carries(stream, k));
        let d = match both {
            Some(k) if !others => d.write(format!("by {k}")),
            None if !others => match (keys::row_named(&key.text), carried_keys.first()) {
                (Some(row), Some(tie)) => d.write(format!(
                    "{}, in {}; or say what belongs together: emit binding({} = …, {tie} = …)",
                    row.from, who.name, row.name
                )),
                (Some(row), None) => d.write(format!("{}, in {}", row.from, who.name)),
                _ => d,
            },
            _ => d,
        };
        self.report(d);
    }
}
