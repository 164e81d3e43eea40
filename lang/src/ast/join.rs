//! `join` items.

use super::{Expr, Ident};
use crate::span::Span;

/// `join NAME { clauses }`
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    pub name: Ident,
    pub clauses: Vec<JoinClause>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct JoinClause {
    pub kind: JoinClauseKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum JoinClauseKind {
    /// `from r = http.request(port=8080);`
    From {
        var: Ident,
        stream: Ident,
        filters: Vec<(Ident, Expr)>,
    },
    /// `total r.conn.opened if r.first_on_conn, r.start;`
    Total(Vec<(Expr, Option<Expr>)>),
    /// `ids e, e;`
    Ids(Vec<Expr>),
    /// `loss = sum(tcp.retransmit.stall) by bytes else conn since 10s;`
    Leg(Leg),
    Blame(Vec<Ident>),
    /// `keep cond;`
    Keep(Expr),
    /// `keep slowest 20 per 1m;`
    KeepSlowest {
        count: Expr,
        per: Expr,
    },
    /// `limit 20000, 64MiB;`
    Limit(Vec<Expr>),
    Timeout(Expr),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Leg {
    pub name: Ident,
    /// `sum`, `last`, `count`, `max` …
    pub agg: Ident,
    /// Dotted `stream.field`; `count(stream)` has no field.
    pub source: Ident,
    /// `by bytes else conn`: in order of preference
    pub by: Vec<Ident>,
    pub since: Option<Expr>,
    /// `side=client|server|any`
    pub side: Option<Ident>,
}
