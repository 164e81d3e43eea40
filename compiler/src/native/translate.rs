//! Blocks, values and terminators. Every value is an I64.

use crate::ir::{self, Block, Dest, Function, Op, Term, Value};
use cranelift::prelude::{
    AbiParam, FunctionBuilder, FunctionBuilderContext, InstBuilder, MemFlagsData, Signature, StackSlotData,
    StackSlotKind, types,
};
use cranelift_codegen::ir as clif;
use cranelift_codegen::isa::{CallConv, TargetIsa};
use std::collections::HashMap;
use std::mem::offset_of;
use weftrace_artifact::abi::{LossSlot, RECORD_HEADER_SIZE, RecordHeader};
use weftrace_artifact::action::ActionId;
use weftrace_artifact::map::MapId;
use weftrace_artifact::native::{HandlerEnv, NativeHelper};

/// Translates one function into `out`. An error is a message: something that the IR verifier should have refused.
pub(super) fn translate(
    func: &Function,
    out: &mut clif::Function,
    context: &mut FunctionBuilderContext,
    isa: &dyn TargetIsa,
) -> Result<(), String> {
    out.signature = Signature::new(CallConv::SystemV);
    out.signature.params.extend([AbiParam::new(types::I64), AbiParam::new(types::I64)]);
    out.signature.returns.push(AbiParam::new(types::I64));
    let mut builder = FunctionBuilder::new(out, context);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    let (env, subject) = (builder.block_params(entry)[0], builder.block_params(entry)[1]);
    let slots = func.slots.iter().map(|slot| {
        let align_shift = slot.align.trailing_zeros() as u8;
        builder.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, slot.size, align_shift))
    });
    let slots = slots.collect();
    let mut translator = Translator {
        func,
        values: vec![None; func.values.len()],
        blocks: vec![],
        slots,
        env,
        signatures: HashMap::new(),
        b: builder,
    };
    translator.declare_blocks(entry, subject);
    for block in crate::ir::cfg::Cfg::new(func).reverse_postorder() {
        translator.block(*block)?;
    }
    translator.b.seal_all_blocks();
    translator.b.finalize(isa.frontend_config());
    Ok(())
}

pub(super) struct Translator<'f, 'b> {
    pub(super) func: &'f Function,
    values: Vec<Option<clif::Value>>,
    blocks: Vec<clif::Block>,
    pub(super) slots: Vec<clif::StackSlot>,
    pub(super) env: clif::Value,
    /// Helpers' signatures by number of arguments.
    pub(super) signatures: HashMap<usize, clif::SigRef>,
    pub(super) b: FunctionBuilder<'b>,
}

/// Accesses don't fault (the IR's producer and verifier have seen to it) and need not be aligned.
pub(super) fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

impl Translator<'_, '_> {
    fn declare_blocks(&mut self, entry: clif::Block, subject: clif::Value) {
        for block in self.func.blocks() {
            if block == Block(0) {
                self.blocks.push(entry);
                self.define(self.func.blocks[0].params[0], subject);
                continue;
            }
            let new = self.b.create_block();
            for &param in &self.func.blocks[block.index()].params {
                let value = self.b.append_block_param(new, types::I64);
                self.define(param, value);
            }
            self.blocks.push(new);
        }
    }

    pub(super) fn define(&mut self, value: Value, as_: clif::Value) {
        self.values[value.index()] = Some(as_);
    }

    pub(super) fn value(&self, value: Value) -> Result<clif::Value, String> {
        self.values[value.index()].ok_or_else(|| format!("{value} is not defined"))
    }

    pub(super) fn iconst(&mut self, n: i64) -> clif::Value {
        self.b.ins().iconst(types::I64, n)
    }

    fn block(&mut self, block: Block) -> Result<(), String> {
        if block != Block(0) {
            self.b.switch_to_block(self.blocks[block.index()]);
        }
        let func = self.func;
        let data = &func.blocks[block.index()];
        for &inst in &data.insts {
            let inst = &func.insts[inst.index()];
            self.b.set_srcloc(clif::SourceLoc::new(inst.span.0));
            let result = self.op(&inst.op)?;
            if let (Some(value), Some(result)) = (inst.result, result) {
                self.define(value, result);
            }
        }
        self.b.set_srcloc(clif::SourceLoc::new(data.term_span.0));
        self.term(&data.term)
    }

    fn op(&mut self, op: &Op) -> Result<Option<clif::Value>, String> {
        match op {
            Op::Iconst(_) | Op::Binary { .. } | Op::Unary { .. } | Op::Icmp { .. } | Op::Select { .. } => {
                self.arith(op).map(Some)
            }
            Op::SlotAddr { .. } | Op::PtrAdd { .. } | Op::PtrIndex { .. } => self.address(op).map(Some),
            Op::PtrInt { ptr } => self.value(*ptr).map(Some),
            Op::Load { mem, ptr, offset, path: None } => self.load(*mem, *ptr, *offset).map(Some),
            Op::LoadPtr { ptr, offset } => self.load(ir::Mem::U64, *ptr, *offset).map(Some),
            Op::Store { .. } | Op::StoreData { .. } | Op::Fill { .. } | Op::Copy { .. } | Op::AtomicAdd { .. } => {
                self.write(op).map(|()| None)
            }
            Op::Call { helper, map, args } => self.call(*helper, *map, args).map(Some),
            Op::Submit { record } => self.end_record(NativeHelper::RecordSubmit, *record).map(|()| None),
            Op::Discard { record } => self.end_record(NativeHelper::RecordDiscard, *record).map(|()| None),
            Op::FieldOff { .. } | Op::Load { path: Some(_), .. } => Err(format!("`{op}` in native code")),
        }
    }

    fn end_record(&mut self, helper: NativeHelper, record: Value) -> Result<(), String> {
        let payload = self.value(record)?;
        let size = self.iconst(i64::from(RECORD_HEADER_SIZE));
        let header = self.b.ins().isub(payload, size);
        self.call_native(helper, &[header]);
        Ok(())
    }

    fn term(&mut self, term: &Term) -> Result<(), String> {
        match term {
            Term::None => return Err("a block has no terminator".into()),
            Term::Jump(dest) => {
                let (block, args) = self.dest(dest, None)?;
                self.b.ins().jump(block, &args);
            }
            Term::Brif { cond, then, otherwise } => {
                let cond = self.value(*cond)?;
                let (then, otherwise) = (self.dest(then, None)?, self.dest(otherwise, None)?);
                self.b.ins().brif(cond, then.0, &then.1, otherwise.0, &otherwise.1);
            }
            Term::Lookup { map, key, found, missing } => {
                self.lookup(*map, *key, found, missing)?;
            }
            Term::Reserve { action, size, ok, full } => self.reserve(*action, *size, ok, full)?,
            Term::Return(value) => {
                let value = self.value(*value)?;
                self.b.ins().return_(&[value]);
            }
        }
        Ok(())
    }

    /// Most maps that count packets have no keys: their value's address is in a table.
    fn lookup(&mut self, map: MapId, key: Value, found: &Dest, missing: &Dest) -> Result<(), String> {
        let table = self.b.ins().load(types::I64, flags(), self.env, offset_of!(HandlerEnv, scalars) as i32);
        let value = self.b.ins().load(types::I64, flags(), table, map.0 as i32 * 8);
        let ask = self.b.create_block();
        let at_once = self.dest(found, Some(value))?;
        self.b.ins().brif(value, at_once.0, &at_once.1, ask, &[]);

        self.b.switch_to_block(ask);
        let (map, key) = (self.iconst(i64::from(map.0)), self.value(key)?);
        let value = self.call_native(NativeHelper::MapLookup, &[map, key]);
        let (found, missing) = (self.dest(found, Some(value))?, self.dest(missing, None)?);
        self.b.ins().brif(value, found.0, &found.1, missing.0, &missing.1);
        Ok(())
    }

    fn dest(&self, dest: &Dest, given: Option<clif::Value>) -> Result<(clif::Block, Vec<clif::BlockArg>), String> {
        let mut args: Vec<clif::BlockArg> = given.into_iter().map(clif::BlockArg::from).collect();
        for &arg in &dest.args {
            args.push(self.value(arg)?.into());
        }
        Ok((self.blocks[dest.block.index()], args))
    }

    /// The helper zeroes the record; the header is written here.
    fn reserve(&mut self, action: ActionId, size: u32, ok: &Dest, full: &Dest) -> Result<(), String> {
        let bytes = self.iconst(i64::from(size) + i64::from(RECORD_HEADER_SIZE));
        let record = self.call_native(NativeHelper::RecordReserve, &[bytes]);
        let (reserved, lost) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(lost);
        self.b.ins().brif(record, reserved, &[], lost, &[]);

        self.b.switch_to_block(reserved);
        let action = self.b.ins().iconst(types::I32, i64::from(action.0));
        self.b.ins().store(flags(), action, record, offset_of!(RecordHeader, action) as i32);
        let probe = self.b.ins().load(types::I32, flags(), self.env, offset_of!(HandlerEnv, probe) as i32);
        self.b.ins().store(flags(), probe, record, offset_of!(RecordHeader, probe) as i32);
        let now = self.now();
        self.b.ins().store(flags(), now, record, offset_of!(RecordHeader, time) as i32);
        let header = self.iconst(i64::from(RECORD_HEADER_SIZE));
        let payload = self.b.ins().iadd(record, header);
        let (block, args) = self.dest(ok, Some(payload))?;
        self.b.ins().jump(block, &args);

        self.b.switch_to_block(lost);
        let slot = self.iconst(LossSlot::Ring as i64);
        self.call_native(NativeHelper::CountLoss, &[slot]);
        let (block, args) = self.dest(full, None)?;
        self.b.ins().jump(block, &args);
        Ok(())
    }

    /// The event's time.
    pub(super) fn now(&mut self) -> clif::Value {
        self.b.ins().load(types::I64, flags(), self.env, offset_of!(HandlerEnv, now) as i32)
    }
}
