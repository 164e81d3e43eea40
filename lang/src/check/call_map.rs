//! Checks of map functions.

use super::call::Call;
use super::cx::{ArgsCx, Checker};
use super::types::{int_shape, show};
use super::value::{Val, coerce};
use crate::ast;
use crate::builtins;
use crate::diag::Diagnostic;
use crate::hir::{Agg, Block, Expr, ExprKind, Func, MapRef, SeriesHow, Stmt, StmtKind, Ty};
use crate::span::Span;

/// The kernel's per-CPU values have at most 32 KiB, an interval takes 24 bytes.
const SERIES_MOST: i128 = 1364;

/// Whether a name is an aggregation: only valid as `@m = name(…)`.
pub(crate) fn is_aggregation(name: &str) -> bool {
    matches!(name, "count" | "sum" | "avg" | "min" | "max" | "stats" | "hist" | "lhist" | "tseries")
}

/// An aggregation used as a value.
pub(crate) fn misplaced<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let d = Diagnostic::error("misplaced-aggregation", call.span, format!("{}() only fills a map", call.name))
        .write(call.row.signature.replace("@m", "@name"));
    c.report(d);
    Val::error(call.span)
}

impl<'a> Checker<'a> {
    /// `@m[key] = count()` and its like.
    pub(crate) fn aggregation(
        &mut self,
        map: MapRef,
        key: Result<Option<Expr>, ()>,
        name: &str,
        args: &'a [ast::Arg],
        span: Span,
    ) -> Option<StmtKind> {
        self.map_info(map).written = true;
        let row = builtins::find(name)?;
        let (least, most) = row.args;
        if !(least..=most).contains(&args.len()) {
            let wants = super::call::how_many(least, most);
            let d = Diagnostic::error("argument-count", span, format!("{name}() takes {wants}, {} given", args.len()))
                .write(row.signature);
            self.report(d);
            return None;
        }
        let arg = args.first().map(|a| self.number(&a.value, &format!("what {name}() takes")));
        if arg.as_ref().is_some_and(Val::is_error) {
            // Untyped so far, maybe: whatever it turns out to be, this map is none that holds plain numbers.
            let ghost = matches!(self.probe.args, ArgsCx::Ghost);
            self.map_info(map).poisoned |= !ghost;
            return None;
        }
        let signed = arg.as_ref().and_then(|a| int_shape(&a.e.ty)).is_some_and(|s| s.1);
        let agg = match name {
            "count" => Agg::Count,
            "sum" => Agg::Sum { signed },
            "avg" => Agg::Avg { signed },
            "min" => Agg::Min { signed },
            "max" => Agg::Max { signed },
            "stats" => Agg::Stats { signed },
            "hist" => self.hist_agg(args)?,
            "tseries" => self.series_agg(args, signed, span)?,
            _ => self.lhist_agg(args, span)?,
        };
        let wide = Ty::Int { bits: 64, signed };
        let arg = arg.map(|a| coerce(a.e, &wide));
        let (key, sound) = match key {
            Ok(key) => (key, true),
            Err(()) => (None, false),
        };
        let stmt = self.aggregate(map, key, agg, arg, span);
        sound.then_some(stmt)
    }

    fn hist_agg(&mut self, args: &'a [ast::Arg]) -> Option<Agg> {
        let Some(bits) = args.get(1) else { return Some(Agg::Hist { bits: 0 }) };
        match self.const_int(&bits.value)? {
            n if (0..=5).contains(&n) => Some(Agg::Hist { bits: n as u8 }),
            n => {
                self.error(
                    "bad-argument",
                    bits.value.span,
                    format!("hist() cuts each power of two into 2^0 to 2^5 parts, not 2^{n}"),
                );
                None
            }
        }
    }

    fn lhist_agg(&mut self, args: &'a [ast::Arg], span: Span) -> Option<Agg> {
        let numbers: Vec<Option<i128>> = args[1..].iter().map(|a| self.const_int(&a.value)).collect();
        let [Some(min), Some(max), Some(step)] = numbers[..] else { return None };
        let problem = if step <= 0 {
            Some(format!("the step is {step}, it must be greater than 0"))
        } else if max <= min {
            Some(format!("min ({min}) must be less than max ({max})"))
        } else if (max - min) / step > 1000 {
            Some(format!("{} buckets are more than 1000: take a larger step", (max - min) / step))
        } else if i64::try_from(min).is_err() || i64::try_from(max).is_err() {
            Some("the bounds are 64-bit numbers".to_owned())
        } else {
            None
        };
        if let Some(problem) = problem {
            let d = Diagnostic::error("bad-argument", span, format!("lhist(n, min, max, step): {problem}")).write(
                if max < min && step > 0 {
                    format!("lhist(…, {max}, {min}, {step})")
                } else {
                    "lhist(n, 0, 100, 10)".to_owned()
                },
            );
            self.report(d);
            return None;
        }
        Some(Agg::Lhist { min: min as i64, max: max as i64, step: step as i64 })
    }

    /// `tseries(n, interval, count[, how])`
    fn series_agg(&mut self, args: &'a [ast::Arg], signed: bool, span: Span) -> Option<Agg> {
        if !self.unstable("unstable_tseries", "tseries", span) {
            return None;
        }
        let (interval, count) = (self.const_int(&args[1].value)?, self.const_int(&args[2].value)?);
        let how = match args.get(3) {
            None => Some(SeriesHow::Last),
            Some(a) => match self.literal_text(&a.value, "what is kept of an interval's values")?.as_str() {
                "avg" => Some(SeriesHow::Avg),
                "max" => Some(SeriesHow::Max),
                "min" => Some(SeriesHow::Min),
                "sum" => Some(SeriesHow::Sum),
                _ => None,
            },
        };
        let wrong = |at: usize, text: String, write: &str| {
            Diagnostic::error("bad-argument", args[at].value.span, text).write(format!("tseries(n, {write})"))
        };
        let d = match how {
            None => wrong(3, "of an interval avg, max, min or sum can be kept".into(), "1s, 60, \"max\""),
            Some(_) if interval < 1 => wrong(1, format!("an interval has at least 1 ns, this is {interval}"), "1s, 60"),
            Some(_) if i64::try_from(interval).is_err() => wrong(1, "this interval is too long".into(), "1s, 60"),
            Some(_) if !(1..=SERIES_MOST).contains(&count) => {
                wrong(2, format!("the number of intervals is from 1 to {SERIES_MOST}, this is {count}"), "1s, 60")
            }
            Some(how) => return Some(Agg::Series { interval: interval as u64, count: count as u32, how, signed }),
        };
        self.report(d);
        None
    }

    /// The map and key of `f(@m, key)`.
    fn map_and_key(&mut self, call: &Call<'a>) -> Option<(MapRef, Expr)> {
        let what = format!("{}()", call.name);
        let map = self.map_arg(call.arg(0)?, &what)?;
        self.needs_keys(map, &what, call.span).ok()?;
        let key = self.expr(call.arg(1)?);
        let key = self.fit_key(map, key, call.span).ok()?;
        Some((map, key))
    }
}

fn yes(span: Span) -> Expr {
    Expr { kind: ExprKind::Int(1), ty: Ty::Bool, span }
}

pub(crate) fn delete<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let span = call.span;
    let Some(first) = call.arg(0) else { return Val::error(span) };
    let (written, frame) = c.peeled(first);
    let target = match (&written.kind, call.args.len()) {
        (_, 2) => c.map_and_key(call).map(|(m, k)| (m, Some(k))),
        (ast::ExprKind::Map { name, key: Some(key) }, _) => c.in_frame(frame, |c| {
            let map = c.map_ref(name, written.span)?;
            let key = c.map_key(map, Some(key), written.span).ok()?;
            Some((map, key))
        }),
        _ => c.map_arg(first, "delete()").and_then(|map| {
            c.use_scalar(map, span).ok()?;
            Some((map, None))
        }),
    };
    let Some((map, key)) = target else { return Val::error(span) };
    c.map_info(map).resets = true;
    let remove = StmtKind::DeleteMap { map, key: key.clone() };
    if call.dropped {
        return Val::effect(remove, span);
    }
    let mut stmts = Vec::new();
    let tail = match key {
        None => yes(span),
        Some(key) => {
            let was = c.temp(&Ty::Bool, span);
            let has = Expr { kind: ExprKind::HasKey { map, key: Box::new(key) }, ty: Ty::Bool, span };
            stmts.push(Stmt { kind: StmtKind::SetVar { var: was, value: has }, span });
            c.var_expr(was, span)
        }
    };
    stmts.push(Stmt { kind: remove, span });
    let block = Block { stmts, tail: Some(Box::new(tail)), span };
    Val::new(ExprKind::Block(Box::new(block)), Ty::Bool, span)
}

pub(crate) fn has_key<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    match c.map_and_key(call) {
        Some((map, key)) => Val::new(ExprKind::HasKey { map, key: Box::new(key) }, Ty::Bool, call.span),
        None => Val::error(call.span),
    }
}

/// `find(@m, key, $var)`: `if has_key(@m, key) { $var = @m[key]; true } else { false }`
pub(crate) fn find<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let span = call.span;
    let Some(out) = call.arg(2) else { return Val::error(span) };
    let (written, frame) = c.peeled(out);
    let ast::ExprKind::Var(name) = &written.kind else {
        c.error("not-a-place", out.span, "find() wants a $variable to put the value into");
        return Val::error(span);
    };
    let var = c.in_frame(frame, |c| c.assigned_var(name, written.span));
    let Some((map, key)) = c.map_and_key(call) else { return Val::error(span) };
    let value = c.read_map(map, Some(key.clone()), span);
    let value = c.agg_as_number(value);
    let set = c.store_var(var, value, span);
    let found = c.temp(&Ty::Bool, span);
    let has = Expr { kind: ExprKind::HasKey { map, key: Box::new(key) }, ty: Ty::Bool, span };
    let cond = c.var_expr(found, span);
    let then = Block { stmts: vec![Stmt { kind: set, span }], tail: None, span };
    let stmts = vec![
        Stmt { kind: StmtKind::SetVar { var: found, value: has }, span },
        Stmt { kind: StmtKind::If { cond: cond.clone(), then, otherwise: None }, span },
    ];
    let block = Block { stmts, tail: Some(Box::new(cond)), span };
    Val::new(ExprKind::Block(Box::new(block)), Ty::Bool, span)
}

pub(crate) fn len<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(e) = call.arg(0) else { return Val::error(call.span) };
    let (written, frame) = c.peeled(e);
    if !matches!(written.kind, ast::ExprKind::Map { .. }) {
        if c.go().is_some() {
            let v = c.quietly(|c| c.in_frame(frame, |c| c.place(written)));
            if let Some(v) = c.go_len(&v, call.span) {
                return v;
            }
        }
        let ty = c.in_frame(frame, |c| c.type_of(written));
        match ty {
            Ty::KStack { .. } | Ty::UStack { .. } => {
                c.config.count_frames = true;
                let v = c.in_frame(frame, |c| c.expr(written));
                let kind = ExprKind::Call { func: Func::StackLen, args: vec![v.e] };
                return Val::new(kind, Ty::I64, call.span);
            }
            Ty::DwStack { .. } => {
                let d =
                    Diagnostic::error("bad-argument", e.span, "the length of dw_ustack is not known before it prints")
                        .write("len(ustack)");
                c.report(d);
            }
            Ty::Error => {}
            Ty::Array { len, .. } => return super::typeop::typed_literal(i64::from(len), Ty::I64, call.span),
            other => c.error("bad-argument", e.span, format!("len() takes a map, this is {}", show(&other))),
        }
        return Val::error(call.span);
    }
    let Some(map) = c.map_arg(e, "len()") else { return Val::error(call.span) };
    if c.needs_keys(map, "len()", call.span).is_err() {
        return Val::error(call.span);
    }
    Val::new(ExprKind::MapLen(map), Ty::I64, call.span)
}

pub(crate) fn is_scalar<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let Some(map) = call.arg(0).and_then(|e| c.map_arg(e, "is_scalar()")) else { return Val::error(call.span) };
    match c.map_is_scalar(map) {
        Some(scalar) => Val::boolean(scalar, call.span),
        None => Val::error(call.span),
    }
}
