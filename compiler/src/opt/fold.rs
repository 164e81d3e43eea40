//! Constant folding, algebra, and addresses: each instruction alone, with what its operands are.

mod address;
mod arith;

use super::rewrite::Replacements;
use crate::ir::{BinaryOp, Cond, Function, Inst, Mem, Op, Term, UnaryOp, Value, ValueDef, cfg::Cfg, pointer};

/// What an instruction simplifies to.
enum Simpler {
    /// The result is this value.
    Is(Value),
    /// The result is computed by this operation instead.
    Op(Op),
}

pub(super) fn run(func: &mut Function) -> bool {
    let mut replacements = Replacements::new(func);
    let mut changed = false;
    let cfg = Cfg::new(func);
    for &block in cfg.reverse_postorder() {
        // New constants are put in front of the instruction that needs them.
        let mut insts = Vec::with_capacity(func.blocks[block.index()].insts.len());
        for inst in func.blocks[block.index()].insts.clone() {
            func.insts[inst.index()].op.for_each_use_mut(|v| *v = replacements.resolve(*v));
            while let Some(simpler) = simplify(func, inst, &mut insts) {
                changed = true;
                match simpler {
                    Simpler::Op(op) => func.insts[inst.index()].op = op,
                    Simpler::Is(value) => {
                        let result = func.insts[inst.index()].result.expect("only values are simplified to values");
                        replacements.replace(result, value);
                        break;
                    }
                }
            }
            insts.push(inst);
        }
        func.blocks[block.index()].insts = insts;
        let mut term = std::mem::replace(&mut func.blocks[block.index()].term, Term::None);
        term.for_each_use_mut(|v| *v = replacements.resolve(*v));
        changed |= simplify_term(func, &mut term);
        func.blocks[block.index()].term = term;
    }
    replacements.apply(func);
    changed
}

fn simplify(func: &mut Function, inst: Inst, before: &mut Vec<Inst>) -> Option<Simpler> {
    let span = func.insts[inst.index()].span;
    let mut context = Context { func, before, span };
    match context.func.insts[inst.index()].op.clone() {
        Op::Binary { op, a, b } => context.binary(op, a, b),
        Op::Unary { op, a } => context.unary(op, a),
        Op::Icmp { cond, a, b } => context.icmp(cond, a, b),
        Op::Select { cond, a, b } => context.select(cond, a, b),
        op => context.address(&op),
    }
}

/// `brif` on a comparison with 0 is `brif` on what is compared.
fn simplify_term(func: &Function, term: &mut Term) -> bool {
    let mut changed = false;
    while let Term::Brif { cond, then, otherwise } = term {
        let Some(Op::Icmp { cond: how, a, b }) = def(func, *cond) else { break };
        if pointer::constant(func, *b) != Some(0) {
            break;
        }
        match how {
            Cond::Ne | Cond::Ugt => {}
            Cond::Eq | Cond::Ule => std::mem::swap(then, otherwise),
            _ => break,
        }
        *cond = *a;
        changed = true;
    }
    changed
}

/// The operation that defines `value`.
fn def(func: &Function, value: Value) -> Option<&Op> {
    match func.values[value.index()].def {
        ValueDef::Inst(inst) => Some(&func.insts[inst.index()].op),
        ValueDef::Param(..) => None,
    }
}

/// Operations deep that [`bits`] looks.
const BITS_DEPTH: u32 = 6;

/// The value is below 2^bits (1 to 64).
fn bits(func: &Function, value: Value) -> u32 {
    bits_to(func, value, BITS_DEPTH)
}

fn bits_to(func: &Function, value: Value, depth: u32) -> u32 {
    if depth == 0 {
        return 64;
    }
    let of = |v: Value| bits_to(func, v, depth - 1);
    let Some(op) = def(func, value) else { return 64 };
    match *op {
        Op::Iconst(n) => (64 - (n as u64).leading_zeros()).max(1),
        Op::Icmp { .. } => 1,
        Op::Load { mem: Mem::U8, .. } => 8,
        Op::Load { mem: Mem::U16, .. } => 16,
        Op::Load { mem: Mem::U32, .. } => 32,
        Op::Unary { op: UnaryOp::Zext8, a } => of(a).min(8),
        Op::Unary { op: UnaryOp::Zext16, a } => of(a).min(16),
        Op::Unary { op: UnaryOp::Zext32, a } => of(a).min(32),
        Op::Unary { op: UnaryOp::Bswap16, .. } => 16,
        Op::Unary { op: UnaryOp::Bswap32, .. } => 32,
        Op::Select { a, b, .. } => of(a).max(of(b)),
        Op::Binary { op, a, b } => match op {
            BinaryOp::Band => of(a).min(of(b)),
            BinaryOp::Bor | BinaryOp::Bxor => of(a).max(of(b)),
            // By zero: 0 and the dividend.
            BinaryOp::Udiv | BinaryOp::Urem => of(a),
            BinaryOp::Iadd => (of(a).max(of(b)) + 1).min(64),
            BinaryOp::Imul => (of(a) + of(b)).min(64),
            BinaryOp::Lshr => match pointer::constant(func, b) {
                Some(n) => of(a).saturating_sub(n as u32 & 63).max(1),
                None => of(a),
            },
            BinaryOp::Shl => match pointer::constant(func, b) {
                Some(n) => (of(a) + (n as u32 & 63)).min(64),
                None => 64,
            },
            _ => 64,
        },
        _ => 64,
    }
}

/// What simplification of one instruction works with.
struct Context<'a> {
    func: &'a mut Function,
    /// The block's instructions so far.
    before: &'a mut Vec<Inst>,
    span: crate::ir::SpanId,
}

impl Context<'_> {
    fn constant(&self, value: Value) -> Option<i64> {
        pointer::constant(self.func, value)
    }

    /// A new constant in front of the instruction.
    fn iconst(&mut self, n: i64) -> Value {
        let inst = Inst(self.func.insts.len() as u32);
        let result = Value(self.func.values.len() as u32);
        self.func.values.push(crate::ir::ValueData { ty: crate::ir::Ty::I64, def: ValueDef::Inst(inst) });
        self.func.insts.push(crate::ir::InstData { op: Op::Iconst(n), result: Some(result), span: self.span });
        self.before.push(inst);
        result
    }
}
