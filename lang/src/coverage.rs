//! Coverage: a script whose probes, branches and loops count how often they ran, in a map of its own.
//!
//! The tree is changed, not the code that comes of it: whatever runs a script runs this one too. Counted are blocks of statements.
//! Conditions within an expression (`a ? b : c`, `&&`), values of `if` and macros are not: a count in the middle of an expression would
//! change what it may be used for.

use crate::ast::{Arg, AttachPoint, Block, Expr, ExprKind, Ident, IfExpr, Item, Probe, Script, Stmt, StmtKind};
use crate::span::Span;

/// The map's name; those that begin so are not shown at the end.
pub const MAP: &str = "__coverage";

/// What a point stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A probe's block ran: its event came, and its predicate held.
    Probe,
    Function,
    /// The condition held.
    Then,
    /// It did not, also where nothing is written for that.
    Else,
    Loop,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Function => "function",
            Self::Then => "then",
            Self::Else => "else",
            Self::Loop => "loop",
        }
    }
}

/// A place that counts; its number is its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    pub kind: Kind,
    /// Of a probe its attach points, of a branch its condition.
    pub span: Span,
}

/// Puts a count into every block of the script, and prints them at the end: elements of [`MAP`] by the points' numbers.
pub fn instrument(script: &mut Script) -> Vec<Point> {
    let mut points = Points::default();
    for item in &mut script.items {
        match item {
            Item::Probe(probe) => points.probe(probe),
            Item::Fn(f) => {
                points.enter(Kind::Function, f.name.span, &mut f.body);
            }
            _ => {}
        }
    }
    if !points.0.is_empty() {
        script.items.push(Item::Probe(printing()));
    }
    points.0
}

#[derive(Default)]
struct Points(Vec<Point>);

impl Points {
    fn probe(&mut self, probe: &mut Probe) {
        let mut next = Some(probe);
        while let Some(probe) = next {
            let first = probe.points.first().map_or(probe.span, |p| p.span);
            let span = probe.points.last().map_or(first, |last| first.to(last.span));
            self.enter(Kind::Probe, span, &mut probe.body);
            next = probe.otherwise.as_deref_mut();
        }
    }

    /// Counts at a block's begin, then in what it holds.
    fn enter(&mut self, kind: Kind, span: Span, block: &mut Block) {
        let count = self.count(kind, span);
        self.block(block);
        block.stmts.insert(0, count);
    }

    fn count(&mut self, kind: Kind, span: Span) -> Stmt {
        let number = self.0.len() as u64;
        self.0.push(Point { kind, span });
        let key = Expr { kind: ExprKind::Int { value: number, unsigned: false }, span };
        let place = Expr { kind: ExprKind::Map { name: MAP.to_owned(), key: Some(vec![key]) }, span };
        let value = call("count", Vec::new(), span);
        Stmt { kind: StmtKind::Assign { place, op: None, value }, span }
    }

    fn block(&mut self, block: &mut Block) {
        for stmt in &mut block.stmts {
            match &mut stmt.kind {
                StmtKind::Expr(e) => self.done(e),
                StmtKind::While { cond, body } => self.enter(Kind::Loop, cond.span, body),
                StmtKind::For { var, body, .. } => self.enter(Kind::Loop, var.span, body),
                StmtKind::Unroll { count, body } => self.enter(Kind::Loop, count.span, body),
                _ => {}
            }
        }
        if let Some(tail) = &mut block.tail {
            self.done(tail);
        }
    }

    /// An expression that stands as a statement, or last in its block.
    fn done(&mut self, e: &mut Expr) {
        match &mut e.kind {
            ExprKind::If(parts) => self.branches(parts),
            ExprKind::Block(block) => self.block(block),
            _ => {}
        }
    }

    fn branches(&mut self, parts: &mut IfExpr) {
        let span = parts.cond.span;
        // Its value is used: what has one has both branches.
        let valued =
            parts.then.tail.as_deref().is_some_and(|e| !matches!(e.kind, ExprKind::If(_) | ExprKind::Block(_)));
        self.enter(Kind::Then, span, &mut parts.then);
        match &mut parts.otherwise {
            Some(block) if chained(block) => self.block(block),
            Some(block) => self.enter(Kind::Else, span, block),
            None if !valued => {
                let stmts = vec![self.count(Kind::Else, span)];
                parts.otherwise = Some(Block { stmts, tail: None, span });
            }
            None => {}
        }
    }
}

/// `else if`: it has branches of its own.
fn chained(block: &Block) -> bool {
    let is_if = |e: &Expr| matches!(e.kind, ExprKind::If(_));
    match (block.stmts.as_slice(), &block.tail) {
        ([], Some(tail)) => is_if(tail),
        ([Stmt { kind: StmtKind::Expr(e), .. }], None) => is_if(e),
        _ => false,
    }
}

/// `END { print(@__coverage); }`
fn printing() -> Probe {
    let span = Span::default();
    let map = Expr { kind: ExprKind::Map { name: MAP.to_owned(), key: None }, span };
    let print = call("print", vec![Arg { name: None, value: map }], span);
    let provider = Ident { text: "END".to_owned(), span };
    Probe {
        points: vec![AttachPoint { label: None, provider, segments: Vec::new(), span }],
        predicate: None,
        body: Block { stmts: vec![Stmt { kind: StmtKind::Expr(print), span }], tail: None, span },
        otherwise: None,
        span,
    }
}

fn call(name: &str, args: Vec<Arg>, span: Span) -> Expr {
    Expr { kind: ExprKind::Call { name: Ident { text: name.to_owned(), span }, args }, span }
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
