//! Inside joins: the anchor's record, the legs, and the parts of the result, read from a `JoinView`.

use super::{
    cx::{Cx, R, Subject},
    mem::Mem,
};
use crate::{
    ir::{Cond, Mem as Width, Value},
    place::walk,
};
use std::{collections::BTreeSet, mem::offset_of};
use weftrace_artifact::{
    join::{JoinView, LegView},
    packet::StrRef,
};
use weftrace_lang::{
    hir::{Expr, ExprKind, JoinDef, JoinPart, LegAgg, LegPart},
    span::Span,
};

const STR_LEN: i32 = offset_of!(StrRef, len) as i32;

/// Legs whose values an expression needs.
fn legs_read(e: &Expr, legs: &mut BTreeSet<u32>) {
    match &e.kind {
        ExprKind::LegValue { leg } => {
            legs.insert(*leg);
        }
        ExprKind::Coalesce { right, .. } => legs_read(right, legs),
        _ => walk::children(e).into_iter().for_each(|e| legs_read(e, legs)),
    }
}

impl<'a> Cx<'a, '_> {
    fn join(&self, span: Span) -> R<&'a JoinDef> {
        match self.subject {
            Subject::Join(def) => Ok(def),
            _ => self.elsewhere(span, "a join's value"),
        }
    }

    /// Where a field of the anchor's record lies.
    pub(crate) fn anchor_field(&mut self, field: &str, span: Span) -> R<Mem> {
        let stream = self.join(span)?.anchor.0;
        let view = self.b.ctx();
        let record = self.b.load_ptr(view, offset_of!(JoinView, anchor) as i32);
        self.stream_field(record, stream, field, span)
    }

    /// Where a field of the orphan's or late record lies.
    pub(crate) fn leg_field(&mut self, leg: u32, field: &str, span: Span) -> R<Mem> {
        let Some(stream) = self.join(span)?.legs.get(leg as usize).map(|l| l.stream.0) else {
            return self.not_yet(span, "this leg");
        };
        let view = self.b.ctx();
        let record = self.b.load_ptr(view, offset_of!(JoinView, leg_record) as i32);
        self.stream_field(record, stream, field, span)
    }

    fn stream_field(&mut self, record: Value, stream: u32, field: &str, span: Span) -> R<Mem> {
        match self.m.streams.get(stream as usize).and_then(|s| s.field(field)) {
            Some(f) => Ok(Mem::new(record, f.offset as i32)),
            None => self.not_yet(span, format!("the field {field}")),
        }
    }

    fn leg(&mut self, leg: u32, span: Span) -> R<Mem> {
        self.join(span)?;
        let view = self.b.ctx();
        let legs = self.b.load_ptr(view, offset_of!(JoinView, legs) as i32);
        Ok(Mem::new(legs, (leg as usize * size_of::<LegView>()) as i32))
    }

    pub(crate) fn leg_value(&mut self, leg: u32, span: Span) -> R<Value> {
        let m = self.leg(leg, span)?;
        Ok(self.load(8, false, m.at(offset_of!(LegView, value) as u32)))
    }

    /// Whether the leg's value is known: it has one (state 0), or it adds up and there was nothing (1).
    fn leg_known(&mut self, leg: u32) -> Option<Value> {
        let Subject::Join(def) = self.subject else { return None };
        let known = &def.legs.get(leg as usize)?;
        let most = i64::from(matches!(known.agg, LegAgg::Sum | LegAgg::Count));
        let m = self.leg(leg, known.span).ok()?;
        let state = self.load(4, false, m.at(offset_of!(LegView, state) as u32));
        Some(self.b.icmp_imm(Cond::Ule, state, most))
    }

    /// Whether all legs whose values some operands read are known; None: they read none. What `??` is in front of is its matter.
    pub(crate) fn legs_known(&mut self, operands: &[&Expr]) -> Option<Value> {
        let mut legs = BTreeSet::new();
        for e in operands {
            legs_read(e, &mut legs);
        }
        let mut all = None;
        for leg in legs {
            let known = self.leg_known(leg)?;
            all = Some(match all {
                Some(others) => self.b.band(others, known),
                None => known,
            });
        }
        all
    }

    /// How many records a leg has, and the like.
    pub(crate) fn leg_number(&mut self, leg: u32, part: LegPart, span: Span) -> R<Value> {
        let m = self.leg(leg, span)?;
        let (bytes, offset) = match part {
            LegPart::Count => (4, offset_of!(LegView, count)),
            LegPart::Lost => (8, offset_of!(LegView, lost)),
            LegPart::Charged => (8, offset_of!(LegView, charged_ns)),
            LegPart::State | LegPart::Via | LegPart::Reason => return self.not_yet(span, "this text as a number"),
        };
        Ok(self.load(bytes, false, m.at(offset as u32)))
    }

    /// Address and length of a leg's state and the like.
    fn leg_text(&mut self, leg: u32, part: LegPart, span: Span) -> R<(Value, Value)> {
        let m = self.leg(leg, span)?;
        let offset = match part {
            LegPart::State => offset_of!(LegView, state_name),
            LegPart::Via => offset_of!(LegView, via),
            LegPart::Reason => offset_of!(LegView, reason),
            LegPart::Count | LegPart::Lost | LegPart::Charged => return self.not_yet(span, "this number as text"),
        } as i32;
        let ptr = self.b.load_ptr(m.ptr, m.offset + offset);
        let len = self.b.load(Width::U64, m.ptr, m.offset + offset + STR_LEN);
        Ok((ptr, len))
    }

    /// total, app and the like.
    pub(crate) fn join_number(&mut self, part: JoinPart, span: Span) -> R<Value> {
        self.join(span)?;
        let offset = match part {
            JoinPart::Total => offset_of!(JoinView, total_ns),
            JoinPart::App => offset_of!(JoinView, app_ns),
            JoinPart::Unknown => offset_of!(JoinView, unknown_ns),
            JoinPart::Begin => offset_of!(JoinView, begin_ns),
            JoinPart::End => offset_of!(JoinView, end_ns),
            JoinPart::Id | JoinPart::Verdict | JoinPart::Status | JoinPart::Text => {
                return self.not_yet(span, "this text as a number");
            }
        };
        let view = self.b.ctx();
        Ok(self.b.load(Width::U64, view, offset as i32))
    }

    /// Address and length of a text of the result or of one of its legs.
    pub(crate) fn result_text(&mut self, e: &Expr) -> R<(Value, Value)> {
        match e.kind {
            ExprKind::JoinPart(part) => self.join_text(part, e.span),
            ExprKind::LegPart { leg, part } => self.leg_text(leg, part, e.span),
            _ => self.not_yet(e.span, "this text"),
        }
    }

    /// Address and length of a text of the result.
    fn join_text(&mut self, part: JoinPart, span: Span) -> R<(Value, Value)> {
        self.join(span)?;
        let offset = match part {
            JoinPart::Id => offset_of!(JoinView, id),
            JoinPart::Verdict => offset_of!(JoinView, verdict),
            JoinPart::Status => offset_of!(JoinView, status),
            JoinPart::Text => offset_of!(JoinView, text),
            _ => return self.not_yet(span, "this number as text"),
        } as i32;
        let view = self.b.ctx();
        let ptr = self.b.load_ptr(view, offset);
        let len = self.b.load(Width::U64, view, offset + STR_LEN);
        Ok((ptr, len))
    }
}
