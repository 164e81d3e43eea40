//! The state of one function being lowered, and the shapes that every family uses.

use super::{
    dissect::Plain,
    layout::{self, width},
    mem::Mem,
    module::{Module, not_yet, place},
    ssa::{Ssa, Variable},
};
use crate::attach::Word;
use crate::ir::{
    BinaryOp, Block, Cond, Function, Helper, Slot, Space, Target, Term, Ty as IrTy, UnaryOp, Value,
    builder::FunctionBuilder,
};
use weftrace_artifact::{abi::LossSlot, action::ActionId, map::MapId, ty::Type};
use weftrace_lang::{
    diag::Diagnostic,
    hir::{self, JoinDef, ProbeDef, Ty, VarRef},
    span::Span,
    world::UsdtSite,
};

/// Boxed, since findings are rare and results are everywhere.
pub(crate) type R<T> = Result<T, Box<Diagnostic>>;

/// What the context parameter is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    /// Nothing to read: timers, BEGIN, END.
    None,
    /// A kernel program's context.
    Program,
    /// A `PacketView`.
    Packet,
    /// A `JoinView`.
    Join(&'a JoinDef),
}

/// Where a scratch variable lives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum VarHome {
    Ssa(Variable),
    Slot(Slot),
    /// In a map: an element that is open (opened.rs).
    Element,
}

pub(crate) struct Cx<'a, 'm> {
    pub(crate) m: &'m mut Module<'a>,
    pub(crate) b: FunctionBuilder,
    ssa: Ssa,
    pub(crate) kernel: bool,
    pub(crate) subject: Subject<'a>,
    pub(crate) probe: Option<&'a ProbeDef>,
    /// The attach point that `args`, `probe` and `func` are about.
    pub(crate) target: Option<&'m hir::Target>,
    /// Of a static marker: the place that this function is for.
    pub(crate) site: Option<&'m UsdtSite>,
    /// The function serves many targets: names are looked up.
    pub(crate) many: bool,
    /// Where numbered arguments are, if not where the script's provider has them.
    pub(crate) words: Option<&'m [Option<Word>]>,
    /// Of a program for many system calls: the one that runs it.
    pub(crate) syscall: Option<super::syscalls::Syscall>,
    /// Frames of our own that a kernel stack begins with.
    pub(crate) frames: u8,
    /// Of a program on a packet socket: the packet.
    pub(crate) plain: Option<Plain>,
    pub(crate) vars: Vec<VarHome>,
    /// (where `continue` goes, where `break` goes), innermost last.
    pub(crate) loops: Vec<(Block, Block)>,
    /// Where `return` goes in a function's body, innermost last.
    pub(crate) scopes: Vec<Block>,
    /// In user space: the rounds of all loops so far, once there is one.
    pub(super) rounds: Option<Variable>,
    /// An element of a map that is looked up once, in the block that is lowered.
    pub(super) opened: Option<super::opened::Opened>,
    /// Where every run ends.
    exit: Block,
    /// Negative once a read failed.
    failed: Variable,
    reads: bool,
    /// Temporary slots: (slot, size); those from `temps_used` on are free.
    temps: Vec<(Slot, u32)>,
    temps_used: usize,
}

impl<'a, 'm> Cx<'a, 'm> {
    pub(crate) fn new(m: &'m mut Module<'a>, name: &str, target: Target, subject: Subject<'a>, span: Span) -> Self {
        let mut b = FunctionBuilder::new(name, target, place(span));
        let zero = b.iconst(0);
        let mut ssa = Ssa::new(zero);
        let failed = ssa.variable(IrTy::I64);
        let exit = b.create_block(&[]);
        Self {
            m,
            b,
            ssa,
            kernel: matches!(target, Target::Kernel(_)),
            subject,
            probe: None,
            target: None,
            site: None,
            many: false,
            words: None,
            syscall: None,
            frames: 0,
            plain: None,
            vars: vec![],
            loops: vec![],
            scopes: vec![],
            rounds: None,
            opened: None,
            exit,
            failed,
            reads: false,
            temps: vec![],
            temps_used: 0,
        }
    }

    /// Ends the function: everything that has not returned goes to the exit, which counts failed reads once per run.
    pub(crate) fn finish(mut self) -> Function {
        let exit = self.exit;
        self.jump(exit);
        self.start(exit);
        if self.reads {
            let failed = self.read_var(self.failed);
            let bad = self.b.icmp_imm(Cond::Slt, failed, 0);
            let (count, done) = (self.block(), self.block());
            self.brif(bad, count, done);
            self.start(count);
            self.count_loss(LossSlot::Read);
            self.jump(done);
            self.start(done);
        }
        self.b.ret_zero();
        let mut func = self.b.finish();
        super::ssa::simplify_params(&mut func);
        crate::ir::compact::compact(&mut func);
        func
    }

    /// Ends a function that gives a value.
    pub(crate) fn finish_with(mut self, value: Value) -> Function {
        self.b.ret(value);
        let mut func = self.b.finish();
        super::ssa::simplify_params(&mut func);
        crate::ir::compact::compact(&mut func);
        func
    }

    // Spans.

    /// Runs `f` with instructions placed at `span`.
    pub(crate) fn at<T>(&mut self, span: Span, f: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.b.span();
        self.b.set_place(place(span));
        let result = f(self);
        self.b.set_span(before);
        result
    }

    #[allow(clippy::unused_self, reason = "reads as the other ways to fail do")]
    pub(crate) fn not_yet<T>(&self, span: Span, what: impl std::fmt::Display) -> R<T> {
        Err(Box::new(not_yet(span, what)))
    }

    /// For what only kernel programs (or only native handlers) can do.
    pub(crate) fn elsewhere<T>(&self, span: Span, what: &str) -> R<T> {
        let side = if self.kernel { "in a kernel probe" } else { "in a handler that runs in user space" };
        Err(Box::new(Diagnostic::error("not-available-here", span, format!("{what} is not available {side}"))))
    }

    // Control flow.

    pub(crate) fn block(&mut self) -> Block {
        self.b.create_block(&[])
    }

    pub(crate) fn block_with(&mut self, params: &[IrTy]) -> Block {
        self.b.create_block(params)
    }

    fn end(&mut self, term: Term) {
        let from = self.b.current();
        self.b.terminate(term);
        self.ssa.edges(from, &self.b);
    }

    pub(crate) fn jump(&mut self, to: Block) {
        self.jump_with(to, &[]);
    }

    pub(crate) fn jump_with(&mut self, to: Block, args: &[Value]) {
        self.end(Term::Jump(crate::ir::Dest { block: to, args: args.to_vec() }));
    }

    pub(crate) fn brif(&mut self, cond: Value, then: Block, otherwise: Block) {
        self.brif_with(cond, (then, &[]), (otherwise, &[]));
    }

    pub(crate) fn brif_with(&mut self, cond: Value, then: (Block, &[Value]), otherwise: (Block, &[Value])) {
        let dest = |(block, args): (Block, &[Value])| crate::ir::Dest { block, args: args.to_vec() };
        self.end(Term::Brif { cond, then: dest(then), otherwise: dest(otherwise) });
    }

    /// Looks up a key; goes on in a new block with the value's address.
    pub(crate) fn lookup_or(&mut self, map: MapId, key: Value, missing: Block) -> Value {
        let found = self.block_with(&[IrTy::Ptr(Space::Map)]);
        let dest = |block| crate::ir::Dest { block, args: vec![] };
        self.end(Term::Lookup { map, key, found: dest(found), missing: dest(missing) });
        self.start(found);
        self.b.param(found, 0)
    }

    /// Reserves a record; goes on in a new block with the payload.
    pub(crate) fn reserve_or(&mut self, action: ActionId, full: Block) -> Mem {
        let size = self.m.actions[action.0 as usize].size;
        let ok = self.block_with(&[IrTy::Ptr(Space::Record)]);
        let dest = |block| crate::ir::Dest { block, args: vec![] };
        self.end(Term::Reserve { action, size, ok: dest(ok), full: dest(full) });
        self.start(ok);
        Mem { ptr: self.b.param(ok, 0), offset: 0, align: 8 }
    }

    /// Goes on in `block`, into which all jumps have been written.
    pub(crate) fn start(&mut self, block: Block) {
        self.ssa.seal(block, &mut self.b);
        self.b.switch_to(block);
    }

    /// Goes on in a loop's header: jumps to it are still to come, until [`Self::seal`].
    pub(crate) fn start_loop(&mut self, header: Block) {
        self.b.switch_to(header);
    }

    pub(crate) fn seal(&mut self, block: Block) {
        self.ssa.seal(block, &mut self.b);
    }

    /// The run ends here; what follows is not reached.
    pub(crate) fn leave(&mut self) {
        let exit = self.exit;
        self.jump(exit);
        self.unreachable();
    }

    /// Goes on in a block that nothing reaches.
    pub(crate) fn unreachable(&mut self) {
        let dead = self.block();
        self.start(dead);
    }

    // Variables.

    pub(crate) fn new_var(&mut self) -> Variable {
        self.ssa.variable(IrTy::I64)
    }

    /// A variable for addresses; it is assigned before it is read.
    pub(crate) fn new_pointer(&mut self, space: Space) -> Variable {
        self.ssa.variable(IrTy::Ptr(space))
    }

    pub(crate) fn set_var(&mut self, variable: Variable, value: Value) {
        let block = self.b.current();
        self.ssa.define(variable, block, value);
    }

    pub(crate) fn read_var(&mut self, variable: Variable) -> Value {
        let block = self.b.current();
        self.ssa.read(variable, block, &mut self.b)
    }

    pub(crate) fn var_home(&self, var: VarRef) -> Option<VarHome> {
        self.vars.get(var.index()).copied()
    }

    pub(crate) fn var_ty(&self, var: VarRef) -> Ty {
        self.probe.and_then(|p| p.vars.get(var.index())).map_or(Ty::Error, |v| v.ty.clone())
    }

    // Memory.

    /// Temporary memory until the end of the statement.
    pub(crate) fn temp(&mut self, size: u32) -> Mem {
        let size = size.max(1).next_multiple_of(8);
        let fits = |t: &(Slot, u32)| t.1 >= size && t.1 <= size.saturating_mul(2);
        let at = if let Some(i) = self.temps[self.temps_used..].iter().position(fits) {
            self.temps_used + i
        } else {
            let slot = self.b.slot(size, 8);
            self.temps.push((slot, size));
            self.temps.len() - 1
        };
        self.temps.swap(self.temps_used, at);
        let slot = self.temps[self.temps_used].0;
        self.temps_used += 1;
        Mem { ptr: self.b.slot_addr(slot), offset: 0, align: 8 }
    }

    /// Runs `f`; the temporary memory it took is free afterwards.
    pub(crate) fn with_temps<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        let used = self.temps_used;
        let result = f(self);
        self.temps_used = used;
        result
    }

    /// Notes the result of a read helper: negative if it failed.
    pub(crate) fn note_read(&mut self, result: Value) {
        let so_far = self.read_var(self.failed);
        let both = self.b.binary(BinaryOp::Bor, so_far, result);
        self.reads = true;
        self.set_var(self.failed, both);
    }

    pub(crate) fn count_loss(&mut self, slot: LossSlot) {
        let slot = self.b.iconst(i64::from(slot as u32));
        self.b.call(Helper::CountLoss, &[slot]);
    }

    /// Counts a loss if `result` is negative.
    pub(crate) fn loss_if_negative(&mut self, result: Value, slot: LossSlot) {
        let bad = self.b.icmp_imm(Cond::Slt, result, 0);
        let (count, done) = (self.block(), self.block());
        self.brif(bad, count, done);
        self.start(count);
        self.count_loss(slot);
        self.jump(done);
        self.start(done);
    }

    // Small values.

    pub(crate) fn iconst(&mut self, value: i64) -> Value {
        self.b.iconst(value)
    }

    /// The value as its type holds it: cut to the width, extended by the signedness.
    pub(crate) fn normalise(&mut self, value: Value, ty: &Ty) -> Value {
        let op = match (ty, width(ty)) {
            (Ty::Bool, _) => return self.b.icmp_imm(Cond::Ne, value, 0),
            (_, (1, false)) => UnaryOp::Zext8,
            (_, (2, false)) => UnaryOp::Zext16,
            (_, (4, false)) => UnaryOp::Zext32,
            (_, (1, true)) => UnaryOp::Sext8,
            (_, (2, true)) => UnaryOp::Sext16,
            (_, (4, true)) => UnaryOp::Sext32,
            _ => return value,
        };
        self.b.unary(op, value)
    }

    /// One of two values, computed by `then` and `otherwise` where `cond` sends the run.
    pub(crate) fn merge(
        &mut self,
        branch: impl FnOnce(&mut Self, Block, Block) -> R<()>,
        then: impl FnOnce(&mut Self) -> R<Value>,
        otherwise: impl FnOnce(&mut Self) -> R<Value>,
    ) -> R<Value> {
        let (a, b, done) = (self.block(), self.block(), self.block_with(&[IrTy::I64]));
        branch(self, a, b)?;
        self.start(a);
        let value = then(self)?;
        self.jump_with(done, &[value]);
        self.start(b);
        let value = otherwise(self)?;
        self.jump_with(done, &[value]);
        self.start(done);
        Ok(self.b.param(done, 0))
    }

    /// Runs one of two pieces of code.
    pub(crate) fn either(
        &mut self,
        branch: impl FnOnce(&mut Self, Block, Block) -> R<()>,
        then: impl FnOnce(&mut Self) -> R<()>,
        otherwise: impl FnOnce(&mut Self) -> R<()>,
    ) -> R<()> {
        let (a, b, done) = (self.block(), self.block(), self.block());
        branch(self, a, b)?;
        self.start(a);
        then(self)?;
        self.jump(done);
        self.start(b);
        otherwise(self)?;
        self.jump(done);
        self.start(done);
        Ok(())
    }

    /// `value` if it is at most `max`, else `max` (unsigned); by a branch, so that the verifier learns the bound.
    pub(crate) fn at_most(&mut self, value: Value, max: u32) -> Value {
        let limit = self.b.iconst(i64::from(max));
        self.smaller(value, limit)
    }

    /// The smaller of two unsigned numbers.
    pub(crate) fn smaller(&mut self, a: Value, b: Value) -> Value {
        let over = self.b.icmp(Cond::Ugt, a, b);
        let done = self.block_with(&[IrTy::I64]);
        self.brif_with(over, (done, &[b]), (done, &[a]));
        self.start(done);
        self.b.param(done, 0)
    }

    /// The layout of a type, or the finding that there is none.
    pub(crate) fn layout(&self, ty: &Ty, span: Span) -> R<Type> {
        match layout::layout(self.m.program, ty) {
            Some(t) => Ok(t),
            None => self.not_yet(span, format!("values of type {ty:?}")),
        }
    }

    pub(crate) fn size_of(&self, ty: &Ty, span: Span) -> R<u32> {
        Ok(self.layout(ty, span)?.size())
    }
}
