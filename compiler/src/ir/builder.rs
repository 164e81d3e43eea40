//! Builds a [`Function`] block by block.
//!
//! ```
//! use weftrace_compiler::ir::{Cond, Target, builder::FunctionBuilder};
//! use weftrace_artifact::Place;
//!
//! let mut b = FunctionBuilder::new("double", Target::Native, Place::default());
//! let five = b.iconst(5);
//! let ten = b.iadd(five, five);
//! b.ret(ten);
//! let function = b.finish();
//! assert_eq!(function.blocks.len(), 1);
//! ```
//!
//! Instructions go to the current block and carry the current span. The user of the builder keeps to SSA (a value is used
//! where its definition dominates); [`super::verify`] checks it. Values that change over a loop or differ at a merge are
//! block parameters, or live in a slot. [`FunctionBuilder::finish`] drops blocks that nothing reaches, so that a block may be
//! created before it is known to be needed.

mod inst;
mod term;

use super::{
    Block, BlockData, Data, Function, Inst, InstData, Op, Path, Slot, SlotData, Space, SpanId, Target, Term, Ty, Value,
    ValueData, ValueDef, compact,
};
use std::collections::HashMap;
use weftrace_artifact::{Place, program::FieldPath};

/// A function under construction.
pub struct FunctionBuilder {
    func: Function,
    current: Block,
    span: SpanId,
    data: HashMap<Vec<u8>, Data>,
    paths: HashMap<FieldPath, Path>,
    spans: HashMap<Place, SpanId>,
}

impl FunctionBuilder {
    /// A function with an entry block, which is current, and its one parameter, the context ([`Self::ctx`]).
    /// `place` is the whole probe, the span of instructions until [`Self::set_place`].
    pub fn new(name: impl Into<String>, target: Target, place: Place) -> Self {
        let func = Function {
            name: name.into(),
            target,
            slots: vec![],
            blocks: vec![],
            insts: vec![],
            values: vec![],
            data: vec![],
            paths: vec![],
            spans: vec![place],
        };
        let mut builder = Self {
            func,
            current: Block(0),
            span: SpanId(0),
            data: HashMap::new(),
            paths: HashMap::new(),
            spans: HashMap::from([(place, SpanId(0))]),
        };
        builder.create_block(&[Ty::Ptr(Space::Ctx)]);
        builder
    }

    /// The entry's parameter: tracepoint record or pt_regs; native: the subject.
    pub fn ctx(&self) -> Value {
        self.func.blocks[0].params[0]
    }

    /// The function so far.
    pub fn func(&self) -> &Function {
        &self.func
    }

    /// To complete terminators of earlier blocks (SSA construction).
    pub(crate) fn func_mut(&mut self) -> &mut Function {
        &mut self.func
    }

    /// A new block with parameters of these types. Does not switch to it.
    pub fn create_block(&mut self, params: &[Ty]) -> Block {
        let block = Block(self.func.blocks.len() as u32);
        self.func.blocks.push(BlockData { params: vec![], insts: vec![], term: Term::None, term_span: SpanId(0) });
        for &ty in params {
            self.append_param(block, ty);
        }
        block
    }

    /// One more parameter for `block`; jumps to it must pass one more argument.
    pub fn append_param(&mut self, block: Block, ty: Ty) -> Value {
        let index = self.func.blocks[block.index()].params.len() as u32;
        let value = self.value(ty, ValueDef::Param(block, index));
        self.func.blocks[block.index()].params.push(value);
        value
    }

    /// Parameter number `index` of `block`.
    pub fn param(&self, block: Block, index: usize) -> Value {
        self.func.blocks[block.index()].params[index]
    }

    /// Following instructions go to the end of `block`.
    pub fn switch_to(&mut self, block: Block) {
        self.current = block;
    }

    /// The block that instructions go to.
    pub fn current(&self) -> Block {
        self.current
    }

    /// Whether the current block has its terminator: nothing may be added then.
    pub fn is_terminated(&self) -> bool {
        self.func.blocks[self.current.index()].term != Term::None
    }

    /// The place of the following instructions and terminators.
    pub fn set_place(&mut self, place: Place) {
        self.span = self.span_of(place);
    }

    /// Back to a span that [`Self::span`] gave.
    pub fn set_span(&mut self, span: SpanId) {
        self.span = span;
    }

    /// The current span.
    pub fn span(&self) -> SpanId {
        self.span
    }

    fn span_of(&mut self, place: Place) -> SpanId {
        let spans = &mut self.func.spans;
        *self.spans.entry(place).or_insert_with(|| {
            spans.push(place);
            SpanId(spans.len() as u32 - 1)
        })
    }

    /// Memory of `size` bytes, aligned to `align` (1, 2, 4 or 8). Not zeroed: bytes must be written before they are read,
    /// also by helpers (map keys with padding). The size is at least 1.
    pub fn slot(&mut self, size: u32, align: u32) -> Slot {
        debug_assert!(matches!(align, 1 | 2 | 4 | 8), "slot alignment {align}");
        self.func.slots.push(SlotData { size: size.max(1), align });
        Slot(self.func.slots.len() as u32 - 1)
    }

    /// A byte string; equal strings share one entry.
    pub fn data(&mut self, bytes: &[u8]) -> Data {
        let all = &mut self.func.data;
        *self.data.entry(bytes.to_vec()).or_insert_with(|| {
            all.push(bytes.to_vec());
            Data(all.len() as u32 - 1)
        })
    }

    /// A field path; equal paths share one entry.
    pub fn path(&mut self, path: &FieldPath) -> Path {
        let all = &mut self.func.paths;
        *self.paths.entry(path.clone()).or_insert_with(|| {
            all.push(path.clone());
            Path(all.len() as u32 - 1)
        })
    }

    /// The type of a value made by this builder.
    pub fn ty(&self, value: Value) -> Ty {
        self.func.value_type(value)
    }

    /// Appends `op` to the current block; its result if it has one.
    pub fn push(&mut self, op: Op) -> Option<Value> {
        debug_assert!(!self.is_terminated(), "{} has its terminator already", self.current);
        let inst = Inst(self.func.insts.len() as u32);
        let ty = op.result_type(&self.func);
        let result = ty.map(|ty| self.value(ty, ValueDef::Inst(inst)));
        self.func.insts.push(InstData { op, result, span: self.span });
        self.func.blocks[self.current.index()].insts.push(inst);
        result
    }

    fn push_value(&mut self, op: Op) -> Value {
        self.push(op).expect("only called for operations with a result")
    }

    /// Ends the current block.
    pub fn terminate(&mut self, term: Term) {
        debug_assert!(!self.is_terminated(), "{} has its terminator already", self.current);
        let block = &mut self.func.blocks[self.current.index()];
        block.term = term;
        block.term_span = self.span;
    }

    fn value(&mut self, ty: Ty, def: ValueDef) -> Value {
        self.func.values.push(ValueData { ty, def });
        Value(self.func.values.len() as u32 - 1)
    }

    /// The function, without the blocks that nothing reaches.
    pub fn finish(self) -> Function {
        let mut func = self.func;
        compact::compact(&mut func);
        func
    }
}
