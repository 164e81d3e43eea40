//! Statements and control flow.

use super::{
    cx::{Cx, R, VarHome},
    layout::{in_register, width},
    maps::map_id,
    mem::Mem,
    ssa::Variable,
};
use crate::{
    ir::{BinaryOp, Cond, Helper},
    place::walk::{self, Node, known},
};
use weftrace_artifact::action::Warning;
use weftrace_artifact::ty::Type;
use weftrace_lang::{
    hir::{Block, Expr, ExprKind as E, MapRef, Stmt, StmtKind as S, Ty, VarRef},
    span::Span,
    world::{Answer, Feature},
};

/// Rounds of a kernel loop whose end is not known beforehand, with bpf_loop (which makes 8,388,608) and without.
const MAX_KERNEL_ROUNDS: i64 = 8_000_000;
const FEW_KERNEL_ROUNDS: i64 = 1024;
/// In user space loops ask after so many rounds (a power of two) whether the run is to end: while a block runs, nothing else does.
const ROUNDS_BETWEEN: i64 = 1 << 16;
/// Loops of so few rounds needn't: they cost more to count than to run.
const UNCOUNTED_ROUNDS: i64 = 64;

/// What keeps a loop from going on for ever.
#[derive(Clone, Copy)]
enum Guard {
    /// In the kernel, whose verifier walks through every round: this counter of its rounds.
    Rounds(Variable),
    /// In user space: a signal. The counter is that of all loops of the function.
    Signal(Variable),
}

/// Whether a body has loops whose rounds come within each of its own.
fn has_loop(body: &Block) -> bool {
    let mut found = false;
    walk::block(body, &mut |node| {
        found |= matches!(node, Node::Stmt(Stmt { kind: S::While { .. } | S::ForRange { .. } | S::ForMap { .. }, .. }));
    });
    found
}

impl Cx<'_, '_> {
    /// The statements of a block; its value, if it has one, is evaluated for its effect.
    pub(crate) fn block_stmts(&mut self, block: &Block) -> R<()> {
        // What is opened within is open nowhere else.
        let opened = self.opened;
        for s in &block.stmts {
            self.stmt(s)?;
        }
        if let Some(tail) = &block.tail {
            self.effect(tail)?;
        }
        self.opened = opened;
        Ok(())
    }

    pub(crate) fn stmt(&mut self, s: &Stmt) -> R<()> {
        self.at(s.span, |cx| cx.with_temps(|cx| cx.stmt_inner(s)))
    }

    fn stmt_inner(&mut self, s: &Stmt) -> R<()> {
        match &s.kind {
            S::Expr(e) => self.effect(e),
            S::SetVar { var, value } => self.assign(*var, value),
            S::SetMap { map, key, value } => self.map_set(*map, key.as_ref(), value, s.span),
            S::Aggregate { map, key, arg } => self.aggregate(*map, key.as_ref(), arg.as_ref(), s.span),
            S::AddMap { map, key, delta } => self.map_add(*map, key.as_ref(), *delta, s.span),
            S::DeleteMap { map, key } => self.map_delete(*map, key.as_ref(), s.span),
            // The other side is not lowered: what only it reads need not be there.
            S::If { cond, then, otherwise } if known(cond).is_some() => match (known(cond), otherwise) {
                (Some(true), _) => self.block_stmts(then),
                (_, Some(otherwise)) => self.block_stmts(otherwise),
                _ => Ok(()),
            },
            S::If { cond, then, otherwise } => self.either(
                |cx, a, b| cx.with_temps(|cx| cx.branch(cond, a, b)),
                |cx| cx.block_stmts(then),
                |cx| otherwise.as_ref().map_or(Ok(()), |b| cx.block_stmts(b)),
            ),
            S::While { cond, body } => self.while_loop(cond, body),
            S::ForRange { var, from, to, body } => self.range_loop(*var, from, to, body),
            S::ForMap { var, map, body } => self.map_loop(*var, *map, body, s.span),
            S::Unroll { count, body } => self.unroll(*count, body),
            S::Break | S::Continue => self.jump_out(matches!(s.kind, S::Break), s),
            S::Scope { body } => self.scope(body),
            S::Leave => self.leave_scope(s.span),
            S::Return => {
                self.leave();
                Ok(())
            }
            S::Action { action, args } => self.action(action, args, s.span),
            S::Emit { stream, fields } => self.emit(*stream, fields, s.span),
        }
    }

    /// An expression whose value nobody wants.
    fn effect(&mut self, e: &Expr) -> R<()> {
        match &e.kind {
            E::Block(b) => self.block_stmts(b),
            E::Cond { cond, then, otherwise } => {
                self.either(|cx, a, b| cx.branch(cond, a, b), |cx| cx.effect(then), |cx| cx.effect(otherwise))
            }
            _ if e.ty == Ty::Void => Ok(()),
            _ if in_register(&e.ty) => self.scalar(e).map(|_| ()),
            _ if has_effect(e) => self.memory_of(e).map(|_| ()),
            _ => Ok(()),
        }
    }

    pub(crate) fn assign(&mut self, var: VarRef, value: &Expr) -> R<()> {
        self.close(var);
        let ty = self.var_ty(var);
        match self.var_home(var) {
            Some(VarHome::Ssa(variable)) => {
                let v = self.scalar_as(value, &ty)?;
                self.set_var(variable, v);
                Ok(())
            }
            Some(VarHome::Slot(slot)) => {
                let own = walk::any(value, |n| matches!(n, Node::Expr(Expr { kind: E::Var(v), .. }) if *v == var));
                if own && !in_register(&ty) {
                    // The old value is needed until the new one is complete.
                    let size = self.size_of(&ty, value.span)?;
                    let fresh = self.temp(size);
                    self.into(value, fresh, &ty, false)?;
                    let home = Mem::new(self.b.slot_addr(slot), 0);
                    self.copy(home, fresh, size);
                    Ok(())
                } else {
                    let home = Mem::new(self.b.slot_addr(slot), 0);
                    self.into(value, home, &ty, false)
                }
            }
            Some(VarHome::Element) => self.open(var, value),
            None => self.not_yet(value.span, "this variable"),
        }
    }

    fn while_loop(&mut self, cond: &Expr, body: &Block) -> R<()> {
        let guard = self.loop_guard();
        let (header, inside, done) = (self.block(), self.block(), self.block());
        self.jump(header);
        self.start_loop(header);
        self.with_temps(|cx| cx.branch(cond, inside, done))?;
        self.start(inside);
        self.check_guard(guard, done, cond.span);
        self.loops.push((header, done));
        let result = self.block_stmts(body);
        self.loops.pop();
        result?;
        self.jump(header);
        self.seal(header);
        self.start(done);
        Ok(())
    }

    fn max_rounds(&self) -> i64 {
        match self.m.world.feature(Feature::BpfLoop) {
            Answer::NotThere => FEW_KERNEL_ROUNDS,
            _ => MAX_KERNEL_ROUNDS,
        }
    }

    fn loop_guard(&mut self) -> Guard {
        if self.kernel {
            let guard = self.new_var();
            let zero = self.iconst(0);
            self.set_var(guard, zero);
            return Guard::Rounds(guard);
        }
        // A variable that was never assigned is 0.
        let rounds = self.rounds.unwrap_or_else(|| self.new_var());
        self.rounds = Some(rounds);
        Guard::Signal(rounds)
    }

    /// In a loop's body: leaves a loop that goes on for too long.
    fn check_guard(&mut self, guard: Guard, done: crate::ir::Block, span: Span) {
        match guard {
            Guard::Rounds(guard) => self.check_rounds(guard, done, span),
            Guard::Signal(rounds) => self.check_signal(rounds, done, span),
        }
    }

    /// Leaves a loop in user space, with a warning, once the run is to end.
    fn check_signal(&mut self, counter: Variable, done: crate::ir::Block, span: Span) {
        let rounds = self.read_var(counter);
        let rounds = self.b.binary_imm(BinaryOp::Iadd, rounds, 1);
        self.set_var(counter, rounds);
        let between = self.b.binary_imm(BinaryOp::Band, rounds, ROUNDS_BETWEEN - 1);
        let (ask, cut, tell, go_on) = (self.block(), self.block(), self.block(), self.block());
        self.brif(between, go_on, ask);
        self.start(ask);
        let leave = self.b.call(Helper::Interrupted, &[]);
        self.brif(leave, cut, go_on);
        self.start(cut);
        // The loops around this one, and those that follow, ask in their next round: else as many rounds again would pass for each of theirs.
        let last = self.iconst(-1);
        self.set_var(counter, last);
        let first = self.b.icmp_imm(Cond::Eq, leave, 1);
        self.brif(first, tell, done);
        self.start(tell);
        self.warn(Warning::Other("a loop was left, since weftrace is to end".into()), span);
        self.jump(done);
        self.start(go_on);
    }

    /// Leaves a kernel loop, with a warning, that goes on for longer than the verifier could follow.
    fn check_rounds(&mut self, guard: Variable, done: crate::ir::Block, span: Span) {
        let rounds = self.read_var(guard);
        let limit = self.max_rounds();
        let over = self.b.icmp_imm(Cond::Uge, rounds, limit);
        let (cut, go_on) = (self.block(), self.block());
        self.brif(over, cut, go_on);
        self.start(cut);
        let text = format!("a loop was left after {limit} rounds: kernel probes run no more");
        self.warn(Warning::Other(text), span);
        self.jump(done);
        self.start(go_on);
        let rounds = self.b.binary_imm(BinaryOp::Iadd, rounds, 1);
        self.set_var(guard, rounds);
    }

    /// `for ($i : from..to)`: a counter of its own, so that the body cannot make it endless.
    fn range_loop(&mut self, var: VarRef, from: &Expr, to: &Expr, body: &Block) -> R<()> {
        let first = self.scalar(from)?;
        let end = self.scalar(to)?;
        let short = match (&from.kind, &to.kind) {
            (E::Int(a), E::Int(b)) => {
                let most = if self.kernel { self.max_rounds() } else { UNCOUNTED_ROUNDS };
                // (A bound that is unsigned may be beyond all signed ones.)
                let ends = width(&from.ty).1 || (*a >= 0 && *b >= 0);
                // Short ones within each other are long.
                ends && b.saturating_sub(*a) <= most && (self.kernel || !has_loop(body))
            }
            _ => false,
        };
        let guard = if short { None } else { Some(self.loop_guard()) };
        let counter = self.new_var();
        self.set_var(counter, first);
        let (header, inside, next, done) = (self.block(), self.block(), self.block(), self.block());
        self.jump(header);
        self.start_loop(header);
        let i = self.read_var(counter);
        let less = if width(&from.ty).1 { Cond::Slt } else { Cond::Ult };
        let go_on = self.b.icmp(less, i, end);
        self.brif(go_on, inside, done);
        self.start(inside);
        if let Some(guard) = guard {
            self.check_guard(guard, done, from.span);
        }
        match self.var_home(var) {
            Some(VarHome::Ssa(variable)) => self.set_var(variable, i),
            _ => return self.not_yet(from.span, "a loop variable of this kind"),
        }
        self.loops.push((next, done));
        let result = self.block_stmts(body);
        self.loops.pop();
        result?;
        self.jump(next);
        self.start(next);
        let i = self.b.binary_imm(BinaryOp::Iadd, i, 1);
        self.set_var(counter, i);
        self.jump(header);
        self.seal(header);
        self.start(done);
        Ok(())
    }

    /// `for ($kv : @m)`: over the elements that were there when the loop began.
    fn map_loop(&mut self, var: VarRef, map: MapRef, body: &Block, span: Span) -> R<()> {
        let (Some(VarHome::Slot(slot)), Ty::Tuple(parts)) = (self.var_home(var), self.var_ty(var)) else {
            return self.not_yet(span, "a loop variable of this kind");
        };
        let (Type::Tuple { fields, .. }, [key_ty, value_ty]) =
            (self.layout(&Ty::Tuple(parts.clone()), span)?, &parts[..])
        else {
            return self.not_yet(span, "a loop variable of this kind");
        };
        let spec = &self.m.maps[map.index()];
        let (key_size, value_size) = (spec.key_size, spec.value_size);
        let def = &self.m.program.maps[map.index()];
        let (map_key, map_value) = (def.key.clone().unwrap_or(Ty::Error), def.value.clone());
        let (key, value) = (self.temp(key_size), self.temp(value_size));
        let counter = self.new_var();
        let zero = self.iconst(0);
        self.set_var(counter, zero);
        let (header, inside, next, done) = (self.block(), self.block(), self.block(), self.block());
        self.jump(header);
        self.start_loop(header);
        let i = self.read_var(counter);
        let found = self.b.call_map(Helper::MapAt, map_id(map), &[i, key.ptr, value.ptr]);
        self.brif(found, inside, done);
        self.start(inside);
        self.skip_ended(map, value, next);
        let pair = Mem::new(self.b.slot_addr(slot), 0);
        self.fill_gaps(
            pair,
            &Type::Tuple { fields: fields.clone(), size: self.size_of(&Ty::Tuple(parts.clone()), span)? },
        );
        self.convert_memory(key, &map_key, pair.at(fields[0].offset), key_ty, false, span)?;
        let value_at = pair.at(fields[1].offset);
        if let Ty::Agg(agg) = &map_value {
            // User space walks windows as they are now.
            let window = if self.kernel { self.windowed(map, key.ptr) } else { None };
            let v = if let Some((v, there)) = window {
                let some = self.block();
                self.brif(there, some, next);
                self.start(some);
                v
            } else {
                let whole =
                    if self.kernel && self.in_parts(map) { self.over_cpus(map, key.ptr, agg, span)?.0 } else { value };
                self.aggregate_value(agg, whole, span)?
            };
            self.store(width(value_ty).0, v, value_at);
        } else {
            self.convert_memory(value, &map_value, value_at, value_ty, false, span)?;
        }
        self.loops.push((next, done));
        let result = self.block_stmts(body);
        self.loops.pop();
        result?;
        self.jump(next);
        self.start(next);
        let i = self.b.binary_imm(BinaryOp::Iadd, i, 1);
        self.set_var(counter, i);
        self.jump(header);
        self.seal(header);
        self.start(done);
        Ok(())
    }

    /// As if the body stood there that often: `break` and `continue` are about the loop around it.
    fn unroll(&mut self, count: u32, body: &Block) -> R<()> {
        (0..count).try_for_each(|_| self.block_stmts(body))
    }

    /// A function's body: its loops are its own.
    fn scope(&mut self, body: &Block) -> R<()> {
        let done = self.block();
        let outer = std::mem::take(&mut self.loops);
        self.scopes.push(done);
        let result = self.block_stmts(body);
        self.scopes.pop();
        self.loops = outer;
        result?;
        self.jump(done);
        self.start(done);
        Ok(())
    }

    fn leave_scope(&mut self, span: Span) -> R<()> {
        let Some(end) = self.scopes.last().copied() else {
            return self.not_yet(span, "leaving a function outside of one");
        };
        self.jump(end);
        self.unreachable();
        Ok(())
    }

    fn jump_out(&mut self, is_break: bool, s: &Stmt) -> R<()> {
        let Some((go_on, done)) = self.loops.last().copied() else {
            return self.not_yet(s.span, "break and continue outside of a loop");
        };
        self.jump(if is_break { done } else { go_on });
        self.unreachable();
        Ok(())
    }
}

/// Whether evaluating an expression changes something: a variable, a map, the event ring.
pub(crate) fn has_effect(e: &Expr) -> bool {
    walk::any(e, |n| match n {
        Node::Stmt(_) => true,
        Node::Expr(e) => matches!(e.kind, E::IncVar { .. } | E::IncMap { .. }),
    })
}
