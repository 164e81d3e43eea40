//! HIR built by hand, as short as it gets.

use weftrace_lang::{
    hir::{
        Action, Agg, BinOp, Block, Expr, ExprKind, Format, Func, MapDef, MapRef, Piece, ProbeDef, Program, Provider,
        Spec, Stmt, StmtKind, StreamDef, Target, Ty, VarDef, VarRef,
    },
    span::Span,
};

pub const SP: Span = Span { file: weftrace_lang::span::FileId(0), start: 0, end: 0, expansion: 0 };
pub const STR16: Ty = Ty::Str { cap: 16 };

pub fn e(kind: ExprKind, ty: Ty) -> Expr {
    Expr { kind, ty, span: SP }
}

pub fn int(n: i64) -> Expr {
    e(ExprKind::Int(n), Ty::I64)
}

pub fn text(s: &str) -> Expr {
    e(ExprKind::Str(s.into()), Ty::Str { cap: s.len() as u32 + 1 })
}

pub fn call(func: Func, args: Vec<Expr>, ty: Ty) -> Expr {
    e(ExprKind::Call { func, args }, ty)
}

pub fn pid() -> Expr {
    call(Func::Pid, vec![], Ty::U32)
}

pub fn comm() -> Expr {
    call(Func::Comm, vec![], STR16)
}

pub fn arg(n: u32) -> Expr {
    e(ExprKind::Arg(n), Ty::U64)
}

pub fn binary(op: BinOp, left: Expr, right: Expr, ty: Ty) -> Expr {
    e(ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, ty)
}

pub fn cast(inner: Expr, ty: Ty) -> Expr {
    e(ExprKind::Cast(Box::new(inner)), ty)
}

pub fn str_eq(left: Expr, right: Expr, len: u32, equal: bool) -> Expr {
    e(ExprKind::StrEq { left: Box::new(left), right: Box::new(right), len, equal }, Ty::Bool)
}

pub fn var(v: u32, ty: Ty) -> Expr {
    e(ExprKind::Var(VarRef(v)), ty)
}

pub fn get(map: u32, key: Option<Expr>, ty: Ty) -> Expr {
    e(ExprKind::MapGet { map: MapRef(map), key: key.map(Box::new) }, ty)
}

pub fn packet(name: &str, ty: Ty) -> Expr {
    e(ExprKind::Packet(name.into()), ty)
}

pub fn deref(p: Expr, ty: Ty) -> Expr {
    e(ExprKind::Deref(Box::new(p)), ty)
}

pub fn s(kind: StmtKind) -> Stmt {
    Stmt { kind, span: SP }
}

pub fn set_var(v: u32, value: Expr) -> Stmt {
    s(StmtKind::SetVar { var: VarRef(v), value })
}

pub fn set(map: u32, key: Option<Expr>, value: Expr) -> Stmt {
    s(StmtKind::SetMap { map: MapRef(map), key, value })
}

pub fn aggregate(map: u32, key: Option<Expr>, arg: Option<Expr>) -> Stmt {
    s(StmtKind::Aggregate { map: MapRef(map), key, arg })
}

pub fn block(stmts: Vec<Stmt>) -> Block {
    Block { stmts, tail: None, span: SP }
}

pub fn iff(cond: Expr, then: Vec<Stmt>, otherwise: Vec<Stmt>) -> Stmt {
    s(StmtKind::If { cond, then: block(then), otherwise: Some(block(otherwise)) })
}

pub fn action(action: Action, args: Vec<Expr>) -> Stmt {
    s(StmtKind::Action { action, args })
}

/// printf whose format has one piece for each argument.
pub fn printf(args: Vec<Expr>) -> Stmt {
    let pieces =
        (0..args.len() as u32).map(|index| Piece::Arg { index, spec: Spec { conv: 'd', ..Spec::default() } }).collect();
    action(Action::Printf(Format { pieces }), args)
}

pub fn map(name: &str, key: Option<Ty>, value: Ty) -> MapDef {
    MapDef { name: name.into(), key, value, kind: None, max_entries: 4, ttl_ns: None, ring: None, span: SP }
}

pub fn agg(name: &str, key: Option<Ty>, agg: Agg) -> MapDef {
    map(name, key, Ty::Agg(agg))
}

pub fn stream(name: &str, fields: Vec<(&str, Ty)>) -> StreamDef {
    StreamDef { name: name.into(), fields: fields.into_iter().map(|(n, t)| (n.into(), t)).collect(), span: SP }
}

pub fn target(name: &str, provider: Provider) -> Target {
    Target { name: name.into(), provider, wildcard: false, span: SP }
}

pub fn raw_tp() -> Provider {
    Provider::RawTracepoint { event: "x".into() }
}

pub fn tracepoint() -> Provider {
    Provider::Tracepoint { category: "c".into(), event: "ev".into() }
}

pub fn pcap() -> Provider {
    Provider::Pcap { interface: "any".into(), filter: None }
}

/// A probe on one provider with variables of these types.
pub fn probe(provider: Provider, vars: Vec<Ty>, stmts: Vec<Stmt>) -> ProbeDef {
    let vars = vars.into_iter().enumerate().map(|(i, ty)| VarDef { name: format!("v{i}"), ty, span: SP }).collect();
    ProbeDef {
        hidden: false,
        ours: false,
        targets: vec![target("a:probe", provider)],
        predicate: None,
        body: block(stmts),
        vars,
        span: SP,
    }
}

pub fn program(maps: Vec<MapDef>, probes: Vec<ProbeDef>) -> Program {
    Program { maps, probes, ..Program::default() }
}
