//! Trees without places, so that two texts of one meaning compare equal.

use crate::ast::{
    Alert, AlertClause, AlertClauseKind, Arg, AttachPoint, Block, CField, CTypeDef, Expr, ExprKind, ForIter, GroupKey,
    Ident, IfExpr, Item, JoinClause, JoinClauseKind, Leg, MacroParam, Probe, Script, Stmt, StmtKind, TypeExpr,
    TypeKind, TypeOperand,
};
use crate::span::Span;

impl Script {
    /// The same script with every span empty.
    pub fn without_spans(&self) -> Self {
        let mut script = self.clone();
        each(&mut script.items, item);
        script
    }
}

impl Expr {
    /// The same expression with every span empty.
    pub fn without_spans(&self) -> Self {
        let mut copy = self.clone();
        expr(&mut copy);
        copy
    }
}

fn each<T>(list: &mut [T], strip: fn(&mut T)) {
    for one in list {
        strip(one);
    }
}

fn ident(i: &mut Ident) {
    i.span = Span::default();
}

fn item(item: &mut Item) {
    match item {
        Item::Include(i) => i.span = Span::default(),
        Item::Import(i) => i.span = Span::default(),
        Item::Define(d) => {
            ident(&mut d.name);
            d.span = Span::default();
        }
        Item::CType(c) => c_type(c),
        Item::Typedef(t) => {
            c_field(&mut t.field);
            t.span = Span::default();
        }
        Item::Config(c) => {
            c.span = Span::default();
            for (name, value) in &mut c.entries {
                ident(name);
                value.span = Span::default();
            }
        }
        Item::Param(p) => {
            ident(&mut p.name);
            expr(&mut p.default);
            p.span = Span::default();
        }
        Item::MapDecl(m) => {
            ident(&mut m.name);
            ident(&mut m.kind);
            each(&mut m.args, arg);
            m.span = Span::default();
        }
        Item::Macro(m) => {
            ident(&mut m.name);
            for param in &mut m.params {
                let (MacroParam::Expr(i) | MacroParam::Var(i) | MacroParam::Map(i)) = param;
                ident(i);
            }
            block(&mut m.body);
            m.span = Span::default();
        }
        Item::Fn(f) => {
            ident(&mut f.name);
            each(&mut f.params, |(name, t)| {
                ident(name);
                ty(t);
            });
            ty(&mut f.ret);
            block(&mut f.body);
            f.span = Span::default();
        }
        Item::Probe(p) => probe(p),
        Item::Join(j) => {
            ident(&mut j.name);
            each(&mut j.clauses, clause);
            j.span = Span::default();
        }
        Item::Alert(a) => alert(a),
    }
}

fn alert(a: &mut Alert) {
    ident(&mut a.name);
    each(&mut a.clauses, alert_clause);
    a.span = Span::default();
}

fn alert_clause(clause: &mut AlertClause) {
    clause.span = Span::default();
    match &mut clause.kind {
        AlertClauseKind::On(points) => each(points, attach_point),
        AlertClauseKind::When(e) | AlertClauseKind::For(e) | AlertClauseKind::Every(e) => expr(e),
        AlertClauseKind::Message(list) => each(list, expr),
        AlertClauseKind::Labels(list) => fields(list),
        AlertClauseKind::To(sinks) => each(sinks, |sink| {
            ident(&mut sink.kind);
            each(&mut sink.args, arg);
            sink.span = Span::default();
        }),
        AlertClauseKind::Group(keys) => each(keys, group_key),
    }
}

fn group_key(key: &mut GroupKey) {
    key.name.iter_mut().for_each(ident);
    expr(&mut key.value);
}

fn c_type(c: &mut CTypeDef) {
    c.span = Span::default();
    ident(&mut c.name);
    each(&mut c.fields, c_field);
    each(&mut c.variants, |(name, value)| {
        ident(name);
        value.iter_mut().for_each(expr);
    });
}

fn c_field(field: &mut CField) {
    field.name.iter_mut().for_each(ident);
    ty(&mut field.ty);
    field.span = Span::default();
}

fn probe(p: &mut Probe) {
    each(&mut p.points, attach_point);
    p.predicate.iter_mut().for_each(expr);
    block(&mut p.body);
    p.span = Span::default();
    if let Some(otherwise) = &mut p.otherwise {
        probe(otherwise);
    }
}

fn attach_point(a: &mut AttachPoint) {
    a.label.iter_mut().for_each(ident);
    ident(&mut a.provider);
    for segment in &mut a.segments {
        segment.span = Span::default();
    }
    a.span = Span::default();
}

fn block(b: &mut Block) {
    b.span = Span::default();
    each(&mut b.stmts, stmt);
    if let Some(tail) = &mut b.tail {
        expr(tail);
    }
}

fn fields(list: &mut [(Ident, Expr)]) {
    each(list, |(name, value)| {
        ident(name);
        expr(value);
    });
}

fn stmt(s: &mut Stmt) {
    s.span = Span::default();
    match &mut s.kind {
        StmtKind::Expr(e) | StmtKind::Discard(e) => expr(e),
        StmtKind::Assign { place, op: _, value } => {
            expr(place);
            expr(value);
        }
        StmtKind::Let { var, ty: t, value } => {
            ident(var);
            t.iter_mut().for_each(ty);
            value.iter_mut().for_each(expr);
        }
        StmtKind::While { cond, body } => {
            expr(cond);
            block(body);
        }
        StmtKind::Unroll { count, body } => {
            expr(count);
            block(body);
        }
        StmtKind::For { var, iter, body } => {
            ident(var);
            match iter {
                ForIter::Map(e) => expr(e),
                ForIter::Range(a, b) => {
                    expr(a);
                    expr(b);
                }
            }
            block(body);
        }
        StmtKind::Break | StmtKind::Continue => {}
        StmtKind::Return(value) => value.iter_mut().for_each(expr),
        StmtKind::Emit { stream, fields: list } => {
            ident(stream);
            fields(list);
        }
        StmtKind::Alert(_) => {}
        StmtKind::Tell(told) => {
            ident(&mut told.name);
            each(&mut told.group, group_key);
            each(&mut told.message, arg);
        }
        StmtKind::Import(i) => i.span = Span::default(),
    }
}

fn arg(a: &mut Arg) {
    a.name.iter_mut().for_each(ident);
    expr(&mut a.value);
}

fn expr(e: &mut Expr) {
    e.span = Span::default();
    match &mut e.kind {
        ExprKind::Int { .. }
        | ExprKind::Duration(_)
        | ExprKind::Size(_)
        | ExprKind::Net(_)
        | ExprKind::Bool(_)
        | ExprKind::Str(_)
        | ExprKind::Ident(_)
        | ExprKind::Positional(_)
        | ExprKind::PositionalCount
        | ExprKind::Var(_) => {}
        ExprKind::Map { name: _, key } => key.iter_mut().for_each(|k| each(k, expr)),
        ExprKind::Unary { op: _, expr: inner } | ExprKind::IncDec { expr: inner, .. } | ExprKind::Comptime(inner) => {
            expr(inner);
        }
        ExprKind::TupleField { base, index: _ } => expr(base),
        ExprKind::Binary { op: _, left, right } => {
            expr(left);
            expr(right);
        }
        ExprKind::Ternary { cond, then, otherwise } => {
            expr(cond);
            if let Some(then) = then {
                expr(then);
            }
            expr(otherwise);
        }
        ExprKind::Field { base, name, arrow: _ } => {
            expr(base);
            ident(name);
        }
        ExprKind::Index { base, index } => {
            expr(base);
            expr(index);
        }
        ExprKind::Call { name, args } => {
            ident(name);
            each(args, arg);
        }
        ExprKind::Cast { ty: t, expr: inner } => {
            ty(t);
            expr(inner);
        }
        ExprKind::TypeOp { op: _, operand, path } => {
            match operand {
                TypeOperand::Type(t) => ty(t),
                TypeOperand::Expr(inner) => expr(inner),
            }
            each(path, ident);
        }
        ExprKind::Tuple(list) => each(list, expr),
        ExprKind::Record(list) => fields(list),
        ExprKind::If(inner) => if_expr(inner),
        ExprKind::Block(inner) => block(inner),
    }
}

fn if_expr(i: &mut IfExpr) {
    expr(&mut i.cond);
    block(&mut i.then);
    i.otherwise.iter_mut().for_each(block);
}

fn ty(t: &mut TypeExpr) {
    t.span = Span::default();
    match &mut t.kind {
        TypeKind::Name(_) | TypeKind::Struct(_) | TypeKind::Union(_) | TypeKind::Enum(_) => {}
        TypeKind::Ptr(inner) => ty(inner),
        TypeKind::Array(inner, size) => {
            ty(inner);
            if let Some(size) = size {
                expr(size);
            }
        }
        TypeKind::Tuple(list) => each(list, ty),
        TypeKind::Record(list) => each(list, |(name, t)| {
            ident(name);
            ty(t);
        }),
        TypeKind::Typeof(inner) => expr(inner),
        TypeKind::Anonymous(def) => c_type(def),
    }
}

fn clause(c: &mut JoinClause) {
    c.span = Span::default();
    match &mut c.kind {
        JoinClauseKind::From { var, stream, filters } => {
            ident(var);
            ident(stream);
            fields(filters);
        }
        JoinClauseKind::Total(list) => each(list, |(e, cond)| {
            expr(e);
            cond.iter_mut().for_each(expr);
        }),
        JoinClauseKind::Ids(list) | JoinClauseKind::Limit(list) => each(list, expr),
        JoinClauseKind::Leg(l) => leg(l),
        JoinClauseKind::Blame(list) => each(list, ident),
        JoinClauseKind::Keep(e) | JoinClauseKind::Timeout(e) => expr(e),
        JoinClauseKind::KeepSlowest { count, per } => {
            expr(count);
            expr(per);
        }
    }
}

fn leg(l: &mut Leg) {
    ident(&mut l.name);
    ident(&mut l.agg);
    ident(&mut l.source);
    each(&mut l.by, ident);
    l.since.iter_mut().for_each(expr);
    l.side.iter_mut().for_each(ident);
}
