//! Joins.

use super::{Expr, StreamRef, Ty};
use crate::span::Span;

/// A checked join; expressions see the anchor by [`ExprKind::Anchor`].
#[derive(Clone, Debug)]
pub struct JoinDef {
    pub name: String,
    pub anchor: StreamRef,
    /// `from …(port=8080)` as one condition on the anchor.
    pub filter: Option<Expr>,
    pub total: Vec<(Expr, Option<Expr>)>,
    /// Field or Header expressions on the anchor.
    pub ids: Vec<Expr>,
    pub legs: Vec<LegDef>,
    pub blame: Vec<u32>,
    pub keep: Keep,
    pub max_anchors: u32,
    pub max_bytes: u64,
    pub timeout_ns: u64,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct LegDef {
    pub name: String,
    pub stream: StreamRef,
    /// None for `count(stream)`.
    pub field: Option<String>,
    pub agg: LegAgg,
    /// The field's name stands for a length of time, in ns.
    pub duration: bool,
    /// Key field names present in both streams, in order of preference.
    pub by: Vec<String>,
    pub since_ns: Option<u64>,
    pub side: Side,
    pub ty: Ty,
    /// What feeds it is switched off by an empty flag: it is left out of the results.
    pub off: bool,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegAgg {
    Last,
    First,
    Sum,
    Count,
    Min,
    Max,
    Avg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Any,
    Client,
    Server,
}

#[derive(Clone, Debug)]
pub enum Keep {
    All,
    If(Expr),
    Slowest { count: u32, per_ns: u64 },
}
