//! Small changes to a function that keep its numbers.

use crate::ebpf::select::known_alignment;
use crate::ir::{
    BinaryOp, Block, BlockData, Function, Inst, InstData, Mem, Op, Size, Slot, SpanId, Term, Ty, Value, ValueData,
    ValueDef,
};

pub(super) fn empty() -> BlockData {
    BlockData { params: vec![], insts: vec![], term: Term::None, term_span: SpanId(0) }
}

pub(super) fn placeholder() -> Function {
    Function {
        name: String::new(),
        target: crate::ir::Target::Native,
        slots: vec![],
        blocks: vec![],
        insts: vec![],
        values: vec![],
        data: vec![],
        paths: vec![],
        spans: vec![],
    }
}

pub(in crate::ebpf) fn push_block(func: &mut Function) -> Block {
    func.blocks.push(empty());
    Block(func.blocks.len() as u32 - 1)
}

/// One more parameter of the entry.
pub(super) fn param(func: &mut Function, ty: Ty) -> Value {
    let number = func.blocks[0].params.len() as u32;
    func.values.push(ValueData { ty, def: ValueDef::Param(Block(0), number) });
    let value = Value(func.values.len() as u32 - 1);
    func.blocks[0].params.push(value);
    value
}

pub(in crate::ebpf) fn new_inst(func: &mut Function, op: Op, result: Option<Value>, span: SpanId) -> Inst {
    func.insts.push(InstData { op, result, span });
    Inst(func.insts.len() as u32 - 1)
}

pub(super) fn push(func: &mut Function, block: Block, op: Op, result: Option<Value>, span: SpanId) -> Inst {
    let inst = new_inst(func, op, result, span);
    func.blocks[block.index()].insts.push(inst);
    inst
}

pub(super) fn new_value(func: &mut Function, block: Block, op: Op, span: SpanId) -> Value {
    let ty = op.result_type(func).unwrap_or(Ty::I64);
    let inst = Inst(func.insts.len() as u32);
    func.values.push(ValueData { ty, def: ValueDef::Inst(inst) });
    let value = Value(func.values.len() as u32 - 1);
    push(func, block, op, Some(value), span);
    value
}

/// An instruction with a result, in no block yet.
pub(in crate::ebpf) fn detached(func: &mut Function, op: Op, span: SpanId) -> (Inst, Value) {
    let ty = op.result_type(func).unwrap_or(Ty::I64);
    let inst = Inst(func.insts.len() as u32);
    func.values.push(ValueData { ty, def: ValueDef::Inst(inst) });
    let value = Value(func.values.len() as u32 - 1);
    (new_inst(func, op, Some(value), span), value)
}

/// Loads a home, as a new value or as one that was defined elsewhere. What surely divides that one is said again: the stack insists on
/// alignment, and memory tells nothing.
pub(super) fn load(func: &mut Function, block: Block, home: Slot, value: Option<Value>, span: SpanId) -> Value {
    let align = value.map_or(1, |value| known_alignment(func, value));
    let ptr = new_value(func, block, Op::SlotAddr { slot: home, offset: 0 }, span);
    let mut op = Op::Load { mem: Mem::U64, ptr, offset: 0, path: None };
    if align > 1 {
        let a = new_value(func, block, op, span);
        let b = new_value(func, block, Op::Iconst(-i64::from(align)), span);
        op = Op::Binary { op: BinaryOp::Band, a, b };
    }
    match value {
        None => new_value(func, block, op, span),
        Some(value) => {
            let inst = push(func, block, op, Some(value), span);
            func.values[value.index()].def = ValueDef::Inst(inst);
            value
        }
    }
}

pub(super) fn store(func: &mut Function, block: Block, home: Slot, value: Value, span: SpanId) {
    let ptr = new_value(func, block, Op::SlotAddr { slot: home, offset: 0 }, span);
    push(func, block, Op::Store { size: Size::B8, value, ptr, offset: 0 }, None, span);
}

pub(super) fn finish(func: &mut Function, block: Block, result: i64, span: SpanId) {
    let value = new_value(func, block, Op::Iconst(result), span);
    func.blocks[block.index()].term = Term::Return(value);
    func.blocks[block.index()].term_span = span;
}
