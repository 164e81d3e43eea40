//! Alerts become blocks of their own: at an interval, or at the events that they name. What is wrong with their clauses is told by
//! `alert_rules`; here, what can't be understood is left out.

use super::walk;
use crate::ast::{
    Alert, AlertClauseKind, AlertStmt, AlertTold, Arg, AttachPoint, Block, Expr, ExprKind, ForIter, GroupKey, Ident,
    IfExpr, Item, Probe, Script, Segment, Stmt, StmtKind, UnOp,
};
use crate::span::Span;

/// How often maps are looked at, in ms, unless the alert asks for shorter times.
const LOOK: u64 = 1000;
/// And how often at most.
const FASTEST: u64 = 100;
/// The variable that walks over a map: no script can write its name.
const ELEMENT: &str = " element";

/// An alert's clauses, each the first of its kind.
pub(super) struct Clauses<'a> {
    pub(super) on: Option<&'a [AttachPoint]>,
    pub(super) when: Option<&'a Expr>,
    pub(super) hold: Option<&'a Expr>,
    pub(super) every: Option<&'a Expr>,
    pub(super) group: &'a [GroupKey],
    pub(super) message: &'a [Expr],
}

impl<'a> Clauses<'a> {
    pub(super) fn of(alert: &'a Alert) -> Self {
        let mut found = Self { on: None, when: None, hold: None, every: None, group: &[], message: &[] };
        for clause in alert.clauses.iter().rev() {
            match &clause.kind {
                AlertClauseKind::On(points) => found.on = Some(points),
                AlertClauseKind::When(e) => found.when = Some(e),
                AlertClauseKind::For(e) => found.hold = Some(e),
                AlertClauseKind::Every(e) => found.every = Some(e),
                AlertClauseKind::Group(keys) => found.group = keys,
                AlertClauseKind::Message(list) => found.message = list,
                AlertClauseKind::To(_) | AlertClauseKind::Labels(_) => {}
            }
        }
        found
    }

    /// Blocks tell it.
    pub(super) fn is_told(&self) -> bool {
        self.when.is_none() && self.on.is_none()
    }

    /// The variables that it is grouped by; None: it is grouped by something else too.
    pub(super) fn variables(&self) -> Option<Vec<&'a str>> {
        let name = |key: &'a GroupKey| match &key.value.kind {
            ExprKind::Var(name) => Some(name.as_str()),
            _ => None,
        };
        self.group.iter().map(name).collect()
    }

    /// A variable of condition or message that it isn't grouped by.
    pub(super) fn loose(&self, variables: &[&str]) -> Option<&'a Expr> {
        let mut loose = None;
        for e in self.when.into_iter().chain(self.message) {
            walk::expr(e, &mut |e| match &e.kind {
                ExprKind::Var(name) if !variables.contains(&name.as_str()) => loose = loose.or(Some(e)),
                _ => {}
            });
        }
        loose
    }

    /// Maps that condition and message ask by all variables of the group, in order: their keys are the groups.
    pub(super) fn maps(&self, variables: &[&str]) -> Vec<&'a str> {
        let mut maps: Vec<&'a str> = Vec::new();
        for e in self.when.into_iter().chain(self.message) {
            walk::expr(e, &mut |e| {
                let ExprKind::Map { name, key: Some(key) } = &e.kind else { return };
                let is = |(e, v): (&Expr, &&str)| matches!(&e.kind, ExprKind::Var(name) if name == v);
                if key.len() == variables.len() && key.iter().zip(variables).all(is) && !maps.contains(&name.as_str()) {
                    maps.push(name);
                }
            });
        }
        maps
    }
}

/// An alert as it is declared: for lists and documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredAlert {
    pub name: String,
    /// Names of the keys that it is grouped by.
    pub keys: Vec<String>,
}

/// Those of a script itself, in its order.
pub fn declared_alerts(script: &Script) -> Vec<DeclaredAlert> {
    let declared = |item: &Item| {
        let Item::Alert(alert) = item else { return None };
        let keys = Clauses::of(alert).group.iter().filter_map(key_name).map(str::to_owned).collect();
        Some(DeclaredAlert { name: alert.name.text.clone(), keys })
    };
    script.items.iter().filter_map(declared).collect()
}

/// The name that a key of groups goes by, if it has one.
pub(super) fn key_name(key: &GroupKey) -> Option<&str> {
    match (&key.name, &key.value.kind) {
        (Some(name), _) => Some(&name.text),
        (None, ExprKind::Var(name) | ExprKind::Ident(name)) => Some(name),
        (None, ExprKind::Field { name, .. }) => Some(&name.text),
        _ => None,
    }
}

/// Adds blocks for the alerts of each of some texts, numbered in their order.
pub(super) fn write_out<'s>(scripts: impl Iterator<Item = &'s mut Vec<Item>>) {
    let mut number = 0;
    for items in scripts {
        let mut blocks = Vec::new();
        for item in items.iter() {
            if let Item::Alert(alert) = item {
                blocks.extend(blocks_of(number, alert).into_iter().map(Item::Probe));
                number += 1;
            }
        }
        items.extend(blocks);
    }
}

/// At events there are two: what they say, and that time passes. What other blocks tell needs the second alone.
fn blocks_of(number: u32, alert: &Alert) -> Vec<Probe> {
    let clauses = Clauses::of(alert);
    let maker = Maker { number, clauses, span: alert.span };
    let block = |points: Vec<AttachPoint>, stmts: Vec<Stmt>| {
        let body = Block { stmts, tail: None, span: alert.span };
        Probe { points, predicate: None, body, otherwise: None, span: alert.span }
    };
    let by_time = |stmts| block(vec![maker.interval()], stmts);
    match (maker.clauses.on, maker.clauses.when) {
        (Some(points), Some(when)) => {
            vec![block(points.to_vec(), maker.at_events(when)), by_time(vec![maker.looked()])]
        }
        (None, Some(when)) => maker.by_time(when).map(by_time).into_iter().collect(),
        (None, None) => vec![by_time(vec![maker.looked()])],
        (Some(_), None) => Vec::new(),
    }
}

struct Maker<'a> {
    number: u32,
    clauses: Clauses<'a>,
    span: Span,
}

impl Maker<'_> {
    fn stmt(&self, kind: StmtKind) -> Stmt {
        Stmt { kind, span: self.span }
    }

    /// Every second, or as often as the shortest time that the alert names.
    fn interval(&self) -> AttachPoint {
        let ms = |e: Option<&Expr>| match e.map(|e| &e.kind) {
            Some(ExprKind::Duration(ns)) => ns / 1_000_000,
            _ => LOOK,
        };
        let every = ms(self.clauses.hold).min(ms(self.clauses.every)).clamp(FASTEST, LOOK);
        let segment = Segment { text: format!("{every}ms"), quoted: false, span: self.span };
        let provider = Ident { text: "interval".into(), span: self.span };
        AttachPoint { label: None, provider, segments: vec![segment], span: self.span }
    }

    /// With `for` also the events that don't meet the condition count.
    fn at_events(&self, when: &Expr) -> Vec<Stmt> {
        if self.clauses.hold.is_some() {
            return vec![self.told(Some(when.clone()))];
        }
        vec![self.only_if(when.clone(), vec![self.told(None)])]
    }

    /// Each group that meets the condition is told, then that those were all.
    fn by_time(&self, when: &Expr) -> Option<Vec<Stmt>> {
        let variables = self.clauses.variables()?;
        if self.clauses.loose(&variables).is_some() {
            return None;
        }
        let mut stmts = if variables.is_empty() {
            vec![self.only_if(when.clone(), vec![self.told(None)])]
        } else {
            let maps = self.clauses.maps(&variables);
            if maps.is_empty() {
                return None;
            }
            (0..maps.len()).map(|at| self.walk(&maps[..=at], when)).collect()
        };
        stmts.push(self.looked());
        Some(stmts)
    }

    fn looked(&self) -> Stmt {
        let looked = AlertStmt { alert: self.number, told: None };
        self.stmt(StmtKind::Alert(Box::new(looked)))
    }

    /// Over the last of some maps: keys that one before it has are passed over.
    fn walk(&self, maps: &[&str], when: &Expr) -> Stmt {
        let Some((map, before)) = maps.split_last() else { return self.stmt(StmtKind::Continue) };
        let expr = |kind| Expr { kind, span: self.span };
        // What is wrong with a map is told where the condition is.
        let whole = |name: &str| Expr { kind: ExprKind::Map { name: name.to_owned(), key: None }, span: when.span };
        let keys = self.clauses.group;
        let element = expr(ExprKind::TupleField { base: Box::new(expr(ExprKind::Var(ELEMENT.into()))), index: 0 });
        let mut stmts = Vec::new();
        for (at, key) in (0u32..).zip(keys) {
            let ExprKind::Var(name) = &key.value.kind else { continue };
            let value = if keys.len() == 1 {
                element.clone()
            } else {
                expr(ExprKind::TupleField { base: Box::new(element.clone()), index: at })
            };
            let var = Ident { text: name.clone(), span: key.value.span };
            stmts.push(self.stmt(StmtKind::Let { var, ty: None, value: Some(value) }));
        }
        let mut tell = vec![self.only_if(when.clone(), vec![self.told(None)])];
        for other in before.iter().rev() {
            let name = Ident { text: "has_key".into(), span: self.span };
            let args = [whole(other), element.clone()].map(|value| Arg { name: None, value });
            let has = expr(ExprKind::Call { name, args: args.into() });
            let not = expr(ExprKind::Unary { op: UnOp::Not, expr: Box::new(has) });
            tell = vec![self.only_if(not, tell)];
        }
        stmts.extend(tell);
        let body = Block { stmts, tail: None, span: self.span };
        let var = Ident { text: ELEMENT.into(), span: self.span };
        self.stmt(StmtKind::For { var, iter: ForIter::Map(whole(map)), body })
    }

    fn only_if(&self, cond: Expr, stmts: Vec<Stmt>) -> Stmt {
        let then = Block { stmts, tail: None, span: self.span };
        let kind = ExprKind::If(Box::new(IfExpr { cond, then, otherwise: None }));
        self.stmt(StmtKind::Expr(Expr { kind, span: self.span }))
    }

    fn told(&self, when: Option<Expr>) -> Stmt {
        let keys = self.clauses.group.iter().map(|key| key.value.clone()).collect();
        let message = self.clauses.message.iter().map(|e| Arg { name: None, value: e.clone() }).collect();
        let told = Some(AlertTold { when, keys, message });
        self.stmt(StmtKind::Alert(Box::new(AlertStmt { alert: self.number, told })))
    }
}
