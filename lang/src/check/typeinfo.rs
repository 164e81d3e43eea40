//! `typeinfo(e)` and `config`: records that are known at compile time.

use super::cx::Checker;
use super::settings::{SETTINGS, Takes};
use super::types::int_shape;
use super::value::Val;
use crate::ast::TypeOperand;
use crate::hir::{Agg, Expr, ExprKind, StackMode, Ty};
use crate::span::Span;

/// A record of literals, whose members are literals where they are named.
fn record(fields: Vec<(&str, Val)>, span: Span) -> Val {
    let ty = Ty::Record(fields.iter().map(|(n, v)| ((*n).to_owned(), v.e.ty.clone())).collect());
    let items: Vec<(String, Expr)> = fields.into_iter().map(|(n, v)| (n.to_owned(), v.e)).collect();
    Val { lit: true, ..Val::new(ExprKind::Record(items), ty, span) }
}

/// A member of such a record.
pub(crate) fn member(base: &Val, index: usize, span: Span) -> Option<Val> {
    let ExprKind::Record(items) = &base.e.kind else { return None };
    let (_, item) = items.get(index).filter(|_| base.lit)?;
    match &item.kind {
        ExprKind::Str(text) => Some(Val::string(text.clone(), span)),
        ExprKind::Int(n) if item.ty == Ty::Bool => Some(Val::boolean(*n != 0, span)),
        ExprKind::Int(n) => Some(Val::literal(i128::from(*n), span)),
        _ => None,
    }
}

impl<'a> Checker<'a> {
    /// `typeinfo(e)`
    pub(crate) fn type_info(&mut self, operand: &'a TypeOperand, span: Span) -> Val {
        let ty = self.operand_type(operand);
        if ty == Ty::Error || !self.unstable("unstable_typeinfo", "typeinfo", span) {
            return Val::error(span);
        }
        let fields = vec![
            ("btf_id", Val::literal(0, span)),
            ("base_type", Val::string(base_type(&ty), span)),
            ("full_type", Val::string(full_type(&ty), span)),
        ];
        record(fields, span)
    }

    /// `config`: every setting as it holds for this run.
    pub(crate) fn config_record(&self, span: Span) -> Val {
        let fields = SETTINGS.iter().map(|setting| {
            let text = self.setting(setting.name);
            let value = match setting.takes {
                Takes::Number { .. } => Val::literal(super::params::parse_number(text).unwrap_or(0), span),
                Takes::Flag => Val::boolean(text == "true", span),
                Takes::Text | Takes::Words(_) | Takes::License | Takes::Unstable => Val::string(text, span),
            };
            (setting.name, value)
        });
        let fields = fields.collect();
        record(fields, span)
    }
}

/// The kind of a type, in bpftrace's words.
fn base_type(ty: &Ty) -> &'static str {
    match ty {
        t if int_shape(t).is_some() => "int",
        Ty::Str { .. } => "string",
        Ty::Buf { .. } => "buffer",
        Ty::Ptr { .. } => "pointer",
        Ty::Struct(_) => "c_type",
        Ty::Array { .. } => "array",
        Ty::Tuple(_) => "tuple",
        Ty::Record(_) => "record",
        Ty::Ksym => "ksym_t",
        Ty::Usym => "usym_t",
        Ty::KStack { .. } => "kstack",
        Ty::UStack { .. } => "ustack",
        Ty::Inet => "inet",
        Ty::Mac => "mac_address",
        Ty::Flow => "flow",
        Ty::Time { .. } => "timestamp",
        Ty::Username => "username_t",
        Ty::CgroupPath { .. } => "cgroup_path_t",
        Ty::Agg(agg) => match agg {
            Agg::Count => "count_t",
            Agg::Sum { .. } => "sum_t",
            Agg::Min { .. } => "min_t",
            Agg::Max { .. } => "max_t",
            Agg::Avg { .. } => "avg_t",
            Agg::Stats { .. } => "stats_t",
            Agg::Hist { .. } => "hist_t",
            Agg::Lhist { .. } => "lhist_t",
            Agg::Series { .. } => "tseries_t",
        },
        _ => "none",
    }
}

/// A type in full, in bpftrace's notation.
fn full_type(ty: &Ty) -> String {
    let mode = |mode: &StackMode| match mode {
        StackMode::Bpftrace => "bpftrace",
        StackMode::Perf => "perf",
        _ => "raw",
    };
    match ty {
        Ty::Bool => "bool".into(),
        Ty::Int { bits, signed } => format!("{}int{bits}", if *signed { "" } else { "u" }),
        Ty::Enum { name, .. } => format!("enum {name}"),
        Ty::Str { cap } => format!("string[{cap}]"),
        Ty::Buf { cap } => format!("buffer[{}]", cap.saturating_add(4)),
        Ty::Ptr { to, .. } => format!("{} *", full_type(to)),
        Ty::Struct(name) => format!("struct {name}"),
        Ty::Array { elem, len } => format!("{}[{len}]", full_type(elem)),
        Ty::Tuple(items) => format!("({})", items.iter().map(full_type).collect::<Vec<_>>().join(",")),
        Ty::Record(items) => {
            let items: Vec<String> = items.iter().map(|(n, t)| format!(".{n} = {}", full_type(t))).collect();
            format!("record {{ {} }}", items.join(", "))
        }
        Ty::KStack { mode: m, limit, .. } => format!("kstack_{}_{limit}", mode(m)),
        Ty::UStack { mode: m, limit, .. } => format!("ustack_{}_{limit}", mode(m)),
        Ty::Agg(Agg::Sum { signed: false }) => "usum_t".into(),
        Ty::Agg(Agg::Min { signed: false }) => "umin_t".into(),
        Ty::Agg(Agg::Max { signed: false }) => "umax_t".into(),
        Ty::Agg(Agg::Avg { signed: false }) => "uavg_t".into(),
        Ty::Agg(Agg::Stats { signed: false }) => "ustats_t".into(),
        Ty::Void => "void".into(),
        other => base_type(other).into(),
    }
}
