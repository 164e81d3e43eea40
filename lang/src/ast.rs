//! The syntax tree: what was written, with spans, and nothing resolved.
//!
//! Equality ignores no field, so the round trip (print, parse again) is compared after
//! [`Script::without_spans`].

mod alert;
mod join;
mod operator;

pub use alert::{Alert, AlertClause, AlertClauseKind, AlertSink, AlertStmt, AlertTell, AlertTold, GroupKey};
pub use join::{Join, JoinClause, JoinClauseKind, Leg};
pub use operator::{BinOp, UnOp};

use crate::span::Span;

/// A name with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    pub text: String,
    pub span: Span,
}

/// A whole source text. Items keep the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// `#!…`, without the line end.
    pub shebang: Option<String>,
    pub items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// `#include <linux/sched.h>`
    Include(Include),
    /// `#define NAME tokens`, `#define NAME(a, b) tokens`
    Define(Define),
    /// `struct`, `union` or `enum` definition in C syntax
    CType(CTypeDef),
    Typedef(Typedef),
    Config(Config),
    Import(Import),
    /// `param threshold = 5 "help"`
    Param(Param),
    MapDecl(MapDecl),
    Macro(Macro),
    Fn(FnDef),
    Probe(Probe),
    Join(Join),
    Alert(Alert),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Include {
    pub path: String,
    pub system: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Define {
    pub name: Ident,
    /// Names of its parameters; None: it takes none.
    pub params: Option<Vec<String>>,
    /// The replacement as written.
    pub value: String,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CTypeDef {
    pub kind: CTypeKind,
    pub name: Ident,
    /// struct and union
    pub fields: Vec<CField>,
    /// enum: `A`, `B = 5`
    pub variants: Vec<(Ident, Option<Expr>)>,
    /// `__attribute__((packed))` and the like, as written between the outer parentheses
    pub attributes: Vec<String>,
    pub span: Span,
}

/// `typedef unsigned int u32;`: the name and its type as a struct's field has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Typedef {
    pub field: CField,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CTypeKind {
    Struct,
    Union,
    Enum,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CField {
    /// None for an anonymous struct or union member.
    pub name: Option<Ident>,
    pub ty: TypeExpr,
    /// Bit-field width.
    pub bits: Option<u32>,
    /// `__attribute__((packed))` and the like behind it, as in [`CTypeDef`].
    pub attributes: Vec<String>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub entries: Vec<(Ident, ConfigValue)>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConfigValue {
    pub text: String,
    pub quoted: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    pub path: String,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    pub name: Ident,
    pub default: Expr,
    pub help: Option<String>,
    pub span: Span,
}

/// `let @m = lruhash(100, ttl=30s);`
#[derive(Clone, Debug, PartialEq)]
pub struct MapDecl {
    /// Without the `@`; empty for the anonymous map.
    pub name: Ident,
    pub kind: Ident,
    pub args: Vec<Arg>,
    pub span: Span,
}

/// A call's argument; `name=value` where the callee takes named ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    pub name: Option<Ident>,
    pub value: Expr,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Macro {
    pub name: Ident,
    pub params: Vec<MacroParam>,
    pub body: Block,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MacroParam {
    /// `name`: any expression
    Expr(Ident),
    /// `$name`: a scratch variable, by reference
    Var(Ident),
    /// `@name`: a map, by reference
    Map(Ident),
}

#[derive(Clone, Debug, PartialEq)]
pub struct FnDef {
    pub name: Ident,
    pub params: Vec<(Ident, TypeExpr)>,
    pub ret: TypeExpr,
    pub body: Block,
    pub span: Span,
}

/// `a, b /predicate/ { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    pub points: Vec<AttachPoint>,
    pub predicate: Option<Expr>,
    pub body: Block,
    /// `a { } else b { }`: attached where none of `points` can be.
    pub otherwise: Option<Box<Probe>>,
    pub span: Span,
}

impl Probe {
    /// Itself, and what stands behind each `else`.
    pub fn alternatives(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |probe| probe.otherwise.as_deref())
    }
}

/// `provider:seg:seg`, split at colons; what a segment means is the provider's matter.
#[derive(Clone, Debug, PartialEq)]
pub struct AttachPoint {
    /// `name=…` prefix (reserved by bpftrace).
    pub label: Option<Ident>,
    pub provider: Ident,
    pub segments: Vec<Segment>,
    pub span: Span,
}

/// One colon-separated part, escapes resolved. `$1` stays as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    pub text: String,
    pub quoted: bool,
    pub span: Span,
}

/// `{ stmts; tail }`; `tail` is the value where the block is an expression.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    pub stmts: Vec<Stmt>,
    pub tail: Option<Box<Expr>>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StmtKind {
    Expr(Expr),
    /// `place = e`, `place += e` (op = Add); place is a variable, map access, field, index or `*p`
    Assign {
        place: Expr,
        op: Option<BinOp>,
        value: Expr,
    },
    /// `let $x`, `let $x: t = e`
    Let {
        var: Ident,
        ty: Option<TypeExpr>,
        value: Option<Expr>,
    },
    /// `_ = e`
    Discard(Expr),
    While {
        cond: Expr,
        body: Block,
    },
    For {
        var: Ident,
        iter: ForIter,
        body: Block,
    },
    Unroll {
        count: Expr,
        body: Block,
    },
    Break,
    Continue,
    Return(Option<Expr>),
    /// `emit tcp.connect(dur=…, conn=…)`; the stream's dotted name joined by `.`
    Emit {
        stream: Ident,
        fields: Vec<(Ident, Expr)>,
    },
    /// Made of an [`Alert`].
    Alert(Box<AlertStmt>),
    /// `alert "name" group by path = r.path message "…"`: a block tells a group of an alert that is declared elsewhere.
    Tell(Box<AlertTell>),
    /// `import "…";` inside a block (bpftrace's standard library has it in macro bodies).
    Import(Import),
}

#[derive(Clone, Debug, PartialEq)]
pub enum ForIter {
    /// `@m`
    Map(Expr),
    /// `a..b`
    Range(Expr, Expr),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// Any integer spelling (decimal, hex, octal, 1e6, 1_000, suffixes U/L).
    Int {
        value: u64,
        unsigned: bool,
    },
    /// `500ms` in ns
    Duration(u64),
    /// `64MiB` in bytes
    Size(u64),
    /// `10.0.0.0/8`, `10.1.2.3`, `2001:db8::/32` only in quotes
    Net(String),
    Bool(bool),
    /// Escapes resolved.
    Str(String),
    /// A bare word: builtin, enum constant, #define, macro parameter, leg, param.
    Ident(String),
    /// `$1`
    Positional(u32),
    /// `$#`
    PositionalCount,
    /// `$x`, without the `$`
    Var(String),
    /// `@m` or `@m[k1, k2]`; name without the `@`, empty for the anonymous map
    Map {
        name: String,
        key: Option<Vec<Expr>>,
    },
    Unary {
        op: UnOp,
        expr: Box<Expr>,
    },
    /// `++e`, `e--`
    IncDec {
        increment: bool,
        prefix: bool,
        expr: Box<Expr>,
    },
    Binary {
        op: BinOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `c ? a : b`; `a ?: b` has no middle
    Ternary {
        cond: Box<Expr>,
        then: Option<Box<Expr>>,
        otherwise: Box<Expr>,
    },
    /// `e.f`, `e->f`
    Field {
        base: Box<Expr>,
        name: Ident,
        arrow: bool,
    },
    /// `e.0`
    TupleField {
        base: Box<Expr>,
        index: u32,
    },
    /// `e[i]` (not on a map)
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    /// `f(args)`; the name may be dotted (`http.request`)
    Call {
        name: Ident,
        args: Vec<Arg>,
    },
    Cast {
        ty: TypeExpr,
        expr: Box<Expr>,
    },
    /// `sizeof(x)`, `typeof`, `typeinfo`, `offsetof(t, a.b)`, `container_of(p, t, m)`
    TypeOp {
        op: TypeOp,
        operand: TypeOperand,
        path: Vec<Ident>,
    },
    Tuple(Vec<Expr>),
    Record(Vec<(Ident, Expr)>),
    If(Box<IfExpr>),
    Block(Box<Block>),
    Comptime(Box<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct IfExpr {
    pub cond: Expr,
    pub then: Block,
    /// `else if` is a block whose tail (or only statement) is an `If`.
    pub otherwise: Option<Block>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeOp {
    Sizeof,
    Typeof,
    Typeinfo,
    Offsetof,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TypeOperand {
    Type(TypeExpr),
    Expr(Box<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct TypeExpr {
    pub kind: TypeKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TypeKind {
    /// `uint32`, `pid_t`, `unsigned long` (one space between words)
    Name(String),
    Struct(String),
    Union(String),
    Enum(String),
    Ptr(Box<TypeExpr>),
    /// `int8[8]`, `uint8[]`; also `string[N]`, `buffer[N]`, `inet[N]`
    Array(Box<TypeExpr>, Option<Box<Expr>>),
    Tuple(Vec<TypeExpr>),
    /// `(name: t, …)`
    Record(Vec<(Ident, TypeExpr)>),
    /// `typeof(e)`
    Typeof(Box<Expr>),
    /// an anonymous struct/union inside a C definition
    Anonymous(Box<CTypeDef>),
}
