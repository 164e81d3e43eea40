//! Instruction selection: IR → [`super::mir`].
//!
//! Constants, slot addresses and pointers plus constants get no register where they are defined: they are folded into what uses
//! them, or made again there, which costs an instruction and saves a register across calls. Comparisons are
//! folded into the branches and selects that use them.
//!
//! A pointer to a record (space `Record`) is held as the address of its header, [`RECORD_HEADER_SIZE`] before the payload that
//! the IR means, so that it can be submitted as it is; the difference disappears in the offsets of loads and stores.

mod address;
mod alu;
mod call;
mod claim;
mod comm;
mod facts;
mod forget;
mod mem;
mod record;
mod term;

pub(super) use facts::known_alignment;

use super::{
    Env, Error, ErrorKind,
    cfg::Cfg,
    env::RoleName,
    frame::{self, Home, Placement},
    insn::{AluOp, MemSize, Width},
    mir::{Builder, MBase, MBlock, MBlockId, MFunction, VSrc},
    outline::{self, LINK_CTX, LINK_SCRATCH, Unit},
};
use crate::ir::{Block, Function, Inst, Op, Space, SpanId, Ty, Value, ValueDef, cfg::Positions};
use facts::Facts;
use regalloc2::VReg;
use weftrace_artifact::{
    abi::RECORD_HEADER_SIZE,
    map::{MapId, Role},
    program::ProgType,
};

/// Bytes between a record's start and its payload.
const HEADER: i64 = RECORD_HEADER_SIZE as i64;

pub(super) struct Selector<'a> {
    unit: &'a Unit,
    func: &'a Function,
    env: &'a Env<'a>,
    cfg: &'a Cfg,
    placement: &'a Placement,
    prog_type: ProgType,
    facts: Facts,
    m: Builder,
    /// Registers of the values that have one.
    regs: Vec<Option<VReg>>,
    /// Kernel pointers as the verifier types them, for helpers that insist (`tp_btf` arguments).
    typed: Vec<Option<VReg>>,
    /// First machine block of each IR block.
    starts: Vec<MBlockId>,
    ctx: VReg,
    /// The link area's address, in callbacks.
    link: Option<VReg>,
    /// The scratch entry's address, where slots live in it, and the block that looks it up.
    scratch: Option<VReg>,
    scratch_block: Option<Block>,
    span: SpanId,
    /// The IR block being selected.
    block: Block,
    /// Results of calls for the boot time, and the IR blocks they are in.
    boot_time: Vec<(Block, VReg)>,
    key_slot_used: bool,
    read_slot_used: bool,
    /// What decides a branch is hidden from the verifier, but in what loops there are.
    forgets: bool,
    /// The header of the loop that each block is in.
    loops: Vec<Option<Block>>,
    positions: Positions,
}

/// Selects instructions for the whole function.
pub(super) fn select(
    unit: &Unit,
    env: &Env<'_>,
    placement: &Placement,
    prog_type: ProgType,
    forgets: bool,
) -> Result<MFunction, Error> {
    let func = &unit.func;
    let cfg = &Cfg::new(func);
    if func.blocks.is_empty() || !cfg.preds[0].is_empty() {
        return Err(Error::new(ErrorKind::Malformed("jump to the entry block"), func.spans.first().copied()));
    }
    let mut m = Builder::new();
    let arguments = Arguments::of(unit, &mut m);
    let mut starts = vec![MBlockId(0)];
    starts.extend(func.blocks.iter().skip(1).map(|_| m.block()));
    let facts = Facts::new(func);
    let mut s = Selector {
        unit,
        func,
        env,
        cfg,
        placement,
        prog_type,
        facts,
        m,
        regs: vec![None; func.values.len()],
        typed: vec![None; func.values.len()],
        starts,
        ctx: arguments.ctx,
        link: arguments.link,
        scratch: None,
        scratch_block: None,
        span: SpanId(0),
        block: Block(0),
        boot_time: vec![],
        key_slot_used: false,
        read_slot_used: false,
        forgets,
        loops: outline::in_loops(func),
        positions: Positions::new(func),
    };
    s.define_params(&arguments);
    s.run()?;
    let Selector { m, key_slot_used, read_slot_used, .. } = s;
    let (blocks, vregs) = m.into_parts();
    Ok(MFunction { blocks: in_order(blocks), vregs, key_slot_used, read_slot_used })
}

/// What the unit's caller gives it.
struct Arguments {
    ctx: VReg,
    link: Option<VReg>,
    element: Option<[VReg; 2]>,
}

impl Arguments {
    fn of(unit: &Unit, m: &mut Builder) -> Self {
        let context = |m: &mut Builder, link: VReg| load_link(m, link, LINK_CTX);
        match unit.kind {
            outline::Kind::Program => {
                let [ctx] = m.entry();
                Self { ctx, link: None, element: None }
            }
            outline::Kind::Round => {
                let [_, link] = m.entry();
                Self { ctx: context(m, link), link: Some(link), element: None }
            }
            outline::Kind::Element => {
                let [_, key, value, link] = m.entry();
                // A call that hands nothing over gives no link area: nothing then asks for the context.
                let counts = unit.func.blocks.len() == 1;
                let ctx = if counts { link } else { context(m, link) };
                Self { ctx, link: Some(link), element: Some([key, value]) }
            }
        }
    }
}

/// A pointer from the link area.
fn load_link(m: &mut Builder, link: VReg, word: u32) -> VReg {
    m.load(MemSize::B8, false, MBase::Reg(link), word as i16 * 8, None)
}

impl Selector<'_> {
    fn run(&mut self) -> Result<(), Error> {
        if let Some(link) = self.link
            && self.placement.scratch_size > 0
            && !self.scratch_users().is_empty()
        {
            self.scratch = Some(load_link(&mut self.m, link, LINK_SCRATCH));
        } else if self.link.is_none() && self.placement.scratch_size > 0 {
            let users = self.scratch_users();
            self.scratch_block = Some(self.cfg.place_before(self.func, users));
        }
        for &block in &self.cfg.order {
            self.block = block;
            self.m.switch_to(self.starts[block.index()]);
            let data = &self.func.blocks[block.index()];
            if block == Block(0) {
                self.claim_nothing();
            }
            if self.scratch_block == Some(block) {
                self.look_up_scratch()?;
            }
            for &inst in &data.insts {
                self.at(self.func.insts[inst.index()].span);
                self.inst(inst)?;
            }
            self.at(data.term_span);
            self.term(&data.term)?;
        }
        Ok(())
    }

    fn define_params(&mut self, arguments: &Arguments) {
        for &block in &self.cfg.order {
            for (i, &param) in self.func.blocks[block.index()].params.iter().enumerate() {
                let reg = if block == Block(0) {
                    // The program's entry has only the context.
                    let imported = self.unit.imports.iter().find(|(v, _)| *v == param);
                    match (i, arguments.element, imported, self.link) {
                        (0, ..) => self.ctx,
                        (_, _, Some(&(_, word)), Some(link)) => load_link(&mut self.m, link, word),
                        (1 | 2, Some(element), ..) => element[i - 1],
                        _ => continue,
                    }
                } else {
                    self.m.param(self.starts[block.index()])
                };
                self.regs[param.index()] = Some(reg);
            }
        }
    }

    fn at(&mut self, span: SpanId) {
        self.span = span;
        self.m.span = span;
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::at(kind, self.func, self.span)
    }

    fn map_with(&self, role: Role) -> Result<MapId, Error> {
        self.env.map_with(role).ok_or_else(|| self.error(ErrorKind::NoMap(RoleName(role))))
    }

    fn inst(&mut self, inst: Inst) -> Result<(), Error> {
        let func = self.func;
        let data = &func.insts[inst.index()];
        let unit = self.unit;
        if let Some(call) = unit.calls.get(&inst) {
            return self.call_unit(call, &data.op, data.result);
        }
        if let Some(result) = data.result
            && !self.facts.needs_register(result)
            && !matches!(data.op, Op::Call { .. })
        {
            return Ok(());
        }
        let reg = match &data.op {
            // Made where they are used.
            Op::Iconst(_) | Op::SlotAddr { .. } | Op::PtrAdd { .. } => return Ok(()),
            Op::Binary { op, a, b } => Some(self.binary(*op, *a, *b)?),
            Op::Unary { op, a } => Some(self.unary(*op, *a)?),
            Op::Icmp { cond, a, b } => Some(self.icmp(*cond, *a, *b)?),
            Op::Select { cond, a, b } => Some(self.select(*cond, *a, *b)?),
            Op::PtrIndex { ptr, index, max } => Some(self.ptr_index(*ptr, *index, *max)?),
            Op::PtrInt { ptr } => Some(self.exact(*ptr)?),
            Op::FieldOff { base, offset, path } => Some(self.field_off(*base, *offset, *path)?),
            Op::Load { mem, ptr, offset, path } => Some(self.load(*mem, *ptr, *offset, *path, data.result)?),
            Op::LoadPtr { .. } => return Err(self.error(ErrorKind::Unavailable("load.ptr"))),
            Op::Call { helper, map, args } => self.call(*helper, *map, args, data.result)?,
            effect => {
                self.effect(effect)?;
                None
            }
        };
        if let Some(result) = data.result {
            self.regs[result.index()] = reg;
        }
        Ok(())
    }

    fn effect(&mut self, op: &Op) -> Result<(), Error> {
        match op {
            Op::Store { size, value, ptr, offset } => self.store(*size, *value, *ptr, *offset),
            Op::StoreData { data, ptr, offset } => self.store_data(*data, *ptr, *offset),
            Op::Fill { ptr, offset, len } => self.fill(*ptr, *offset, *len),
            Op::Copy { dst, dst_offset, src, src_offset, len } => {
                self.copy((*dst, *dst_offset), (*src, *src_offset), *len)
            }
            Op::AtomicAdd { size, value, ptr, offset } => self.atomic_add(*size, *value, *ptr, *offset),
            Op::Submit { record } => self.finish_record(132, *record),
            Op::Discard { record } => self.finish_record(133, *record),
            _ => Err(self.error(ErrorKind::Malformed("operation without a result"))),
        }
    }

    fn def(&self, value: Value) -> Option<&Op> {
        match self.func.values.get(value.index())?.def {
            ValueDef::Inst(inst) => self.func.insts.get(inst.index()).map(|i| &i.op),
            ValueDef::Param(..) => None,
        }
    }

    fn const_of(&self, value: Value) -> Option<i64> {
        match self.def(value) {
            Some(Op::Iconst(c)) => Some(*c),
            _ => None,
        }
    }

    fn imm_of(&self, value: Value) -> Option<i32> {
        self.const_of(value).and_then(|c| i32::try_from(c).ok())
    }

    fn is_record(&self, value: Value) -> bool {
        self.func.value_type(value) == Ty::Ptr(Space::Record)
    }

    /// The value in a register, as values are held (records: their header).
    fn reg(&mut self, value: Value) -> Result<VReg, Error> {
        match self.def(value) {
            Some(&Op::Iconst(c)) => Ok(self.m.number(c)),
            Some(Op::SlotAddr { .. } | Op::PtrAdd { .. }) => {
                let address = self.address(value, 0)?;
                Ok(self.address_reg(address, 0))
            }
            _ => self.regs[value.index()]
                .ok_or_else(|| self.error(ErrorKind::Malformed("value used before its definition"))),
        }
    }

    /// The value as helpers, memory and arithmetic must see it.
    fn exact(&mut self, value: Value) -> Result<VReg, Error> {
        if self.is_record(value) {
            let address = self.address(value, 0)?;
            return Ok(self.address_reg(address, HEADER));
        }
        self.reg(value)
    }

    /// As [`Self::exact`], small constants as immediates.
    fn operand(&mut self, value: Value) -> Result<VSrc, Error> {
        match self.imm_of(value) {
            Some(imm) => Ok(VSrc::Imm(imm)),
            None => self.exact(value).map(VSrc::Reg),
        }
    }

    fn add_imm(&mut self, reg: VReg, imm: i64) -> VReg {
        if imm == 0 {
            return reg;
        }
        let by = match i32::try_from(imm) {
            Ok(imm) => VSrc::Imm(imm),
            Err(_) => VSrc::Reg(self.m.number(imm)),
        };
        self.m.alu(Width::W64, AluOp::Add, reg, by)
    }

    /// IR blocks that touch a slot in the scratch map.
    fn scratch_users(&self) -> Vec<Block> {
        let in_scratch = |v: Value| {
            frame::root(self.func, v).is_some_and(|(slot, _)| matches!(self.placement.home(slot), Home::Scratch(_)))
        };
        let mut users = Vec::new();
        for &block in &self.cfg.order {
            let data = &self.func.blocks[block.index()];
            let mut found = false;
            for inst in &data.insts {
                let op = &self.func.insts[inst.index()].op;
                found |= self.unit.calls.get(inst).is_some_and(|c| c.shares);
                // Made where it is used, as are pointers plus constants.
                if !matches!(op, Op::PtrAdd { .. }) {
                    op.for_each_use(|v| found |= in_scratch(v));
                }
            }
            data.term.for_each_use(|v| found |= in_scratch(v));
            if found {
                users.push(block);
            }
        }
        users
    }
}

/// Reachable blocks in reverse postorder, renumbered: regalloc2 wants definitions before the blocks that they dominate.
fn in_order(blocks: Vec<MBlock>) -> Vec<MBlock> {
    let order = reverse_postorder(&blocks);
    let mut new_id = vec![MBlockId(0); blocks.len()];
    for (at, block) in order.iter().enumerate() {
        new_id[block.index()] = MBlockId(at as u32);
    }
    let mut blocks: Vec<Option<MBlock>> = blocks.into_iter().map(Some).collect();
    let mut laid = Vec::with_capacity(order.len());
    for block in order {
        let Some(mut data) = blocks[block.index()].take() else { continue };
        for succ in &mut data.succs {
            *succ = new_id[succ.index()];
        }
        laid.push(data);
    }
    laid
}

fn reverse_postorder(blocks: &[MBlock]) -> Vec<MBlockId> {
    let mut seen = vec![false; blocks.len()];
    let mut order = Vec::new();
    seen[0] = true;
    let mut stack = vec![(MBlockId(0), blocks[0].succs.clone())];
    while let Some((block, rest)) = stack.last_mut() {
        if let Some(next) = rest.pop() {
            if !std::mem::replace(&mut seen[next.index()], true) {
                stack.push((next, blocks[next.index()].succs.clone()));
            }
        } else {
            order.push(*block);
            stack.pop();
        }
    }
    order.reverse();
    order
}
