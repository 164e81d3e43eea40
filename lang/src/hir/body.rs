//! Statements and expressions.

use super::{BinOp, Func, MapRef, StreamRef, Ty, UnOp, VarRef};
use crate::span::Span;

#[derive(Clone, Debug, Default)]
pub struct Block {
    pub stmts: Vec<Stmt>,
    pub tail: Option<Box<Expr>>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum StmtKind {
    /// Evaluated for its effect.
    Expr(Expr),
    SetVar {
        var: VarRef,
        value: Expr,
    },
    /// Plain value into a map; compound assignment has been expanded (`@x += 1` is `@x = @x + 1`).
    SetMap {
        map: MapRef,
        key: Option<Expr>,
        value: Expr,
    },
    /// `@m[k] = count()` and the like: `arg` is what is counted or summed.
    Aggregate {
        map: MapRef,
        key: Option<Expr>,
        arg: Option<Expr>,
    },
    /// `@x++` and `@x--` as statements: one atomic add
    AddMap {
        map: MapRef,
        key: Option<Expr>,
        delta: i64,
    },
    DeleteMap {
        map: MapRef,
        key: Option<Expr>,
    },
    If {
        cond: Expr,
        then: Block,
        otherwise: Option<Block>,
    },
    While {
        cond: Expr,
        body: Block,
    },
    ForRange {
        var: VarRef,
        from: Expr,
        to: Expr,
        body: Block,
    },
    ForMap {
        var: VarRef,
        map: MapRef,
        body: Block,
    },
    Unroll {
        count: u32,
        body: Block,
    },
    /// A function's body where it is called; [`StmtKind::Leave`] goes to its end.
    Scope {
        body: Block,
    },
    Leave,
    Break,
    Continue,
    Return,
    /// printf and every other asynchronous action.
    Action {
        action: Action,
        args: Vec<Expr>,
    },
    Emit {
        stream: StreamRef,
        fields: Vec<Expr>,
    },
}

/// Asynchronous actions: a record is sent, user space acts.
#[derive(Clone, Debug)]
pub enum Action {
    Printf(Format),
    Log {
        level: LogLevel,
        format: Format,
    },
    /// `print(e)`
    PrintValue,
    /// `print(args)` in a block of a join: no argument.
    PrintJoin,
    /// `print(@m[k])`: args are [key, value]
    PrintMapValue {
        map: MapRef,
    },
    PrintMap {
        map: MapRef,
        top: u32,
        div: u32,
    },
    Clear {
        map: MapRef,
    },
    Zero {
        map: MapRef,
    },
    Time {
        fmt: String,
    },
    /// One argument: the code.
    Exit,
    Join {
        separator: String,
    },
    /// `capture("comment", …)`: the packet at hand is kept; without a format without a comment.
    Capture(Option<Format>),
    Cat(Format),
    System(Format),
    /// One argument: the address of watchpoints to detach.
    Unwatch,
    /// A group of an alert: args are whether it meets the condition, the keys, and what the message says.
    Alert {
        alert: u32,
        keys: u32,
        message: Option<Format>,
    },
    /// All groups of an alert that meet its condition have been told.
    AlertLooked {
        alert: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warning,
    Debug,
}

/// A checked format string; mirrors `weftrace_artifact::action::Piece`.
#[derive(Clone, Debug, PartialEq)]
pub struct Format {
    pub pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Text(String),
    Arg { index: u32, spec: Spec },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    pub minus: bool,
    pub zero: bool,
    pub plus: bool,
    pub space: bool,
    pub alternate: bool,
    pub width: Option<u32>,
    pub precision: Option<u32>,
    /// d u o x X c p s r, `R` for rx, `H` for rh, `g` for gr
    pub conv: char,
    /// hh = 1, h = 2, l/ll/j/z/t = 8; None: C's int, 4
    pub length: Option<u8>,
}

#[derive(Clone, Debug)]
pub struct Expr {
    pub kind: ExprKind,
    pub ty: Ty,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum ExprKind {
    Int(i64),
    Str(String),
    Var(VarRef),
    /// Value of a map (missing: 0 or ""); reading an aggregate reads all CPUs.
    MapGet {
        map: MapRef,
        key: Option<Box<Expr>>,
    },
    HasKey {
        map: MapRef,
        key: Box<Expr>,
    },
    MapLen(MapRef),
    /// `rate(@m[k], window)`: what a count or sum grew by in the last so many ns.
    Rate {
        map: MapRef,
        key: Option<Box<Expr>>,
        window_ns: u64,
    },
    /// Operands have been converted to a common type; the result's type is `ty`.
    Unary {
        op: UnOp,
        expr: Box<Expr>,
    },
    Binary {
        op: BinOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// Short-circuit.
    Logical {
        and: bool,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// Strings or byte sequences: equal (or not) over at most `len` bytes.
    StrEq {
        left: Box<Expr>,
        right: Box<Expr>,
        len: u32,
        equal: bool,
    },
    Cond {
        cond: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// `a ?? b`
    Coalesce {
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// Integer conversion (truncate or extend by the *source's* signedness), pointer ↔ integer, reinterpretation.
    Cast(Box<Expr>),
    /// Member of a struct lvalue at a byte offset. `base` has type Struct (by address) – reads through pointers are
    /// `Field(Deref(p))`.
    Field {
        base: Box<Expr>,
        name: String,
        offset: u32,
        bits: Option<(u8, u8)>,
    },
    /// `*p`; of a struct type: the place, not a copy.
    Deref(Box<Expr>),
    /// Element of an array place.
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    /// p + n, scaled by the size of the pointee
    PtrAdd {
        ptr: Box<Expr>,
        count: Box<Expr>,
    },
    TupleField {
        base: Box<Expr>,
        index: u32,
    },
    AddrOf(Box<Expr>),
    Tuple(Vec<Expr>),
    /// In the order of evaluation; the type has the order in memory.
    Record(Vec<(String, Expr)>),
    /// A builtin value or function: row index into `builtins::TABLE`, evaluated arguments.
    Call {
        func: Func,
        args: Vec<Expr>,
    },
    /// `args.f` of a tracepoint: offset in the record.
    TraceArg {
        field: String,
        offset: u32,
        data_loc: bool,
    },
    /// `argN` or `args.name` of kprobe and uprobe (by the calling convention), raw tracepoint argument N.
    Arg(u32),
    Retval,
    /// `reg("ip")`: offset in pt_regs
    Reg {
        offset: u32,
    },
    /// `ip.src`: row of weftrace_artifact's packet field table, by name
    Packet(String),
    /// `http.header["name"]`, name in lower case
    Header {
        headers: Box<Expr>,
        name: String,
    },
    /// Inside joins: field of the anchor's record.
    Anchor {
        field: String,
    },
    /// Inside joins: a leg's value.
    LegValue {
        leg: u32,
    },
    /// Inside joins: what else is known of a leg's outcome.
    LegPart {
        leg: u32,
        part: LegPart,
    },
    /// Inside `join:NAME:orphan:LEG`: field of the leg's record.
    LegField {
        leg: u32,
        field: String,
    },
    /// total, id, verdict, app, begin, end, status, text of the join result
    JoinPart(JoinPart),
    /// Statement-expressions: `{ …; e }`, `if` as an expression, `$x++` (value before or after).
    Block(Box<Block>),
    /// `$x++`, `--$x` …
    IncVar {
        var: VarRef,
        delta: i64,
        prefix: bool,
    },
    /// Constant bytes of an array of uint8 (`pton("10.0.0.1")`: network order).
    Bytes(Vec<u8>),
    /// `ip.src == 10.0.0.0/8`: whether an address (type Inet) lies in a network (or not, if `!equal`). `family` is AF_INET = 2
    /// or AF_INET6 = 10; `net` in network order, IPv4 in the first four bytes; a whole address has prefix 32 or 128.
    NetMatch {
        addr: Box<Expr>,
        family: u16,
        net: [u8; 16],
        prefix: u8,
        equal: bool,
    },
    /// `@x++` used as a value
    IncMap {
        map: MapRef,
        key: Option<Box<Expr>>,
        delta: i64,
        prefix: bool,
    },
}

/// What a leg's outcome has besides its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LegPart {
    /// `value`, `none`, `unknown` or `ambiguous`
    State,
    /// How its records were matched: `exact`, `range`, `overlap`, `guess`
    Via,
    /// Why it isn't known: `lost 3`, `not attached`
    Reason,
    /// Records that belong to the anchor.
    Count,
    /// Events lost in its window.
    Lost,
    /// ns that the verdict charged to it.
    Charged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinPart {
    Id,
    Total,
    Verdict,
    App,
    Unknown,
    Begin,
    End,
    Status,
    Text,
}
