//! Machine instructions over virtual registers, in SSA form: what selection makes and regalloc2 reads.

use super::insn::{AluOp, Imm64, Insn, JumpCond, MemSize, Reg, Src, Width};
use crate::ir::{Path, SpanId};
use regalloc2::{Operand, OperandConstraint, OperandKind, OperandPos, PReg, RegClass, VReg};
use weftrace_artifact::{map::MapId, program::RelocSlot};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MBlockId(pub(super) u32);

impl MBlockId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A piece of the frame: the IR slots by their number, then one for map keys and one for odd reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameSlot(pub(super) u32);

/// Which operands fill an instruction's dst and src fields.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields {
    pub(super) dst: Option<u8>,
    pub(super) src: Option<u8>,
}

/// A second operand: an operand's number, or an immediate.
#[derive(Clone, Copy, Debug)]
pub(super) enum MSrc {
    Op(u8),
    Imm(i32),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct MCmp {
    pub(super) cond: JumpCond,
    pub(super) lhs: u8,
    pub(super) rhs: MSrc,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Defines the context in r1; no code.
    Entry,
    /// One instruction.
    Plain(Insn, Fields),
    /// A memory access through r10; `off` counts from the slot.
    Frame(Insn, Fields, FrameSlot),
    /// op0 = address of slot + offset
    Lea { slot: FrameSlot, off: i32 },
    /// op`dst` = cmp ? a : b, where `a` is there already (None) or an immediate
    Select { cmp: MCmp, dst: u8, a: Option<i32>, b: MSrc },
    /// op0 = cmp
    SetCond(MCmp),
    /// op1 is clamped to `max` (unsigned), op0 += op1. In one piece, so that the verifier sees the bound.
    ClampAdd { max: i32 },
    /// if op0 != 0: *op0 += op1 (u64)
    CountIfNotNull { atomic: bool },
    /// To successor 0 if `cmp`, else to successor 1.
    Branch(MCmp),
    Jump,
    Exit,
}

/// What the loader patches in an instruction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reloc {
    Map(MapId),
    Field { path: Path, slot: RelocSlot, compiled: i64 },
}

const MAX_OPERANDS: usize = 6;

#[derive(Clone, Copy, Debug)]
pub(super) struct MInst {
    pub(super) kind: Kind,
    operands: [Operand; MAX_OPERANDS],
    count: u8,
    pub(super) reloc: Option<Reloc>,
    pub(super) span: SpanId,
}

impl MInst {
    pub(super) fn operands(&self) -> &[Operand] {
        &self.operands[..usize::from(self.count)]
    }

    /// Whether r0 to r5 are lost, and whether r0 is then defined.
    pub(super) fn call(&self) -> Option<bool> {
        match self.kind {
            Kind::Plain(Insn::Call { .. }, _) => Some(self.operands().iter().any(|o| o.kind() == OperandKind::Def)),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct MBlock {
    pub(super) params: Vec<VReg>,
    pub(super) insts: Vec<MInst>,
    pub(super) succs: Vec<MBlockId>,
    /// Per successor.
    pub(super) args: Vec<Vec<VReg>>,
    /// Rarely run: goes to the end.
    pub(super) cold: bool,
}

/// A function in its final block order; the entry is block 0.
#[derive(Debug)]
pub(super) struct MFunction {
    pub(super) blocks: Vec<MBlock>,
    pub(super) vregs: usize,
    pub(super) key_slot_used: bool,
    pub(super) read_slot_used: bool,
}

/// A value for the second operand of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VSrc {
    Reg(VReg),
    Imm(i32),
}

/// A comparison of values.
#[derive(Clone, Copy, Debug)]
pub(super) struct VCmp {
    pub(super) cond: JumpCond,
    pub(super) lhs: VReg,
    pub(super) rhs: VSrc,
}

pub(super) fn preg(n: u8) -> PReg {
    PReg::new(usize::from(n), RegClass::Int)
}

/// Register fields that operands fill later.
const UNSET: Reg = Reg(0);

/// Makes machine instructions in the current block.
pub(super) struct Builder {
    blocks: Vec<MBlock>,
    current: MBlockId,
    vregs: u32,
    pub(super) span: SpanId,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { blocks: vec![MBlock::default()], current: MBlockId(0), vregs: 0, span: SpanId(0) }
    }

    pub(super) fn vreg(&mut self) -> VReg {
        self.vregs += 1;
        VReg::new(self.vregs as usize - 1, RegClass::Int)
    }

    pub(super) fn block(&mut self) -> MBlockId {
        self.blocks.push(MBlock::default());
        MBlockId(self.blocks.len() as u32 - 1)
    }

    pub(super) fn cold_block(&mut self) -> MBlockId {
        let block = self.block();
        self.blocks[block.index()].cold = true;
        block
    }

    pub(super) fn param(&mut self, block: MBlockId) -> VReg {
        let v = self.vreg();
        self.blocks[block.index()].params.push(v);
        v
    }

    pub(super) fn switch_to(&mut self, block: MBlockId) {
        self.current = block;
    }

    pub(super) fn current(&self) -> MBlockId {
        self.current
    }

    fn push(&mut self, kind: Kind, operands: &[Operand], reloc: Option<Reloc>) {
        let filler = Operand::reg_use(VReg::new(0, RegClass::Int));
        let mut all = [filler; MAX_OPERANDS];
        all[..operands.len()].copy_from_slice(operands);
        let inst = MInst { kind, operands: all, count: operands.len() as u8, reloc, span: self.span };
        self.blocks[self.current.index()].insts.push(inst);
    }

    /// The context, which the kernel passes in r1.
    pub(super) fn entry(&mut self) -> VReg {
        let v = self.vreg();
        self.push(Kind::Entry, &[Operand::reg_fixed_def(v, preg(1))], None);
        v
    }

    pub(super) fn number(&mut self, imm: i64) -> VReg {
        let v = self.vreg();
        let insn = if let Ok(imm) = i32::try_from(imm) {
            Insn::mov(UNSET, imm)
        } else if let Ok(imm) = u32::try_from(imm) {
            Insn::Alu { width: Width::W32, op: AluOp::Mov, dst: UNSET, src: Src::Imm(imm as i32) }
        } else {
            Insn::LoadImm64 { kind: Imm64::Number, dst: UNSET, imm }
        };
        self.push(Kind::Plain(insn, Fields { dst: Some(0), src: None }), &[Operand::reg_def(v)], None);
        v
    }

    pub(super) fn map(&mut self, map: MapId) -> VReg {
        let v = self.vreg();
        let insn = Insn::LoadImm64 { kind: Imm64::MapFd, dst: UNSET, imm: i64::from(map.0) };
        let fields = Fields { dst: Some(0), src: None };
        self.push(Kind::Plain(insn, fields), &[Operand::reg_def(v)], Some(Reloc::Map(map)));
        v
    }

    pub(super) fn lea(&mut self, slot: FrameSlot, off: i32) -> VReg {
        let v = self.vreg();
        self.push(Kind::Lea { slot, off }, &[Operand::reg_def(v)], None);
        v
    }

    /// `a op b`, two-address: the result takes a's register.
    pub(super) fn alu(&mut self, width: Width, op: AluOp, a: VReg, b: VSrc) -> VReg {
        self.alu_reloc(width, op, a, b, None)
    }

    pub(super) fn alu_reloc(&mut self, width: Width, op: AluOp, a: VReg, b: VSrc, reloc: Option<Reloc>) -> VReg {
        let v = self.vreg();
        let (src, last) = match b {
            VSrc::Reg(b) => (Src::Reg(UNSET), Some(Operand::reg_use(b))),
            VSrc::Imm(imm) => (Src::Imm(imm), None),
        };
        let insn = Insn::Alu { width, op, dst: UNSET, src };
        let fields = Fields { dst: Some(0), src: last.map(|_| 2) };
        let reuse = Operand::reg_reuse_def(v, 0);
        match last {
            Some(last) => self.push(Kind::Plain(insn, fields), &[Operand::reg_use(a), reuse, last], reloc),
            None => self.push(Kind::Plain(insn, fields), &[Operand::reg_use(a), reuse], reloc),
        }
        v
    }

    /// An instruction that changes its one register: swaps.
    pub(super) fn in_place(&mut self, insn: Insn, a: VReg) -> VReg {
        let v = self.vreg();
        let fields = Fields { dst: Some(0), src: None };
        self.push(Kind::Plain(insn, fields), &[Operand::reg_use(a), Operand::reg_reuse_def(v, 0)], None);
        v
    }

    /// An instruction with a new register from an old one: zero or sign extending moves.
    pub(super) fn convert(&mut self, insn: Insn, a: VReg) -> VReg {
        let v = self.vreg();
        let fields = Fields { dst: Some(0), src: Some(1) };
        self.push(Kind::Plain(insn, fields), &[Operand::reg_def(v), Operand::reg_use(a)], None);
        v
    }

    pub(super) fn load(&mut self, size: MemSize, signed: bool, base: MBase, off: i16, reloc: Option<Reloc>) -> VReg {
        let v = self.vreg();
        match base {
            MBase::Reg(base) => {
                let insn = Insn::Load { size, signed, dst: UNSET, src: UNSET, off };
                let fields = Fields { dst: Some(0), src: Some(1) };
                self.push(Kind::Plain(insn, fields), &[Operand::reg_def(v), Operand::reg_use(base)], reloc);
            }
            MBase::Frame(slot) => {
                let insn = Insn::Load { size, signed, dst: UNSET, src: Reg::FRAME, off };
                let fields = Fields { dst: Some(0), src: None };
                self.push(Kind::Frame(insn, fields, slot), &[Operand::reg_def(v)], reloc);
            }
        }
        v
    }

    pub(super) fn store(&mut self, size: MemSize, base: MBase, off: i16, value: VSrc) {
        let src = match value {
            VSrc::Reg(_) => Src::Reg(UNSET),
            VSrc::Imm(imm) => Src::Imm(imm),
        };
        self.write(base, value, |dst| Insn::Store { size, dst, off, src });
    }

    pub(super) fn atomic_add(&mut self, size: MemSize, base: MBase, off: i16, value: VReg) {
        self.write(base, VSrc::Reg(value), |dst| Insn::AtomicAdd { size, dst, off, src: UNSET });
    }

    fn write(&mut self, base: MBase, value: VSrc, make: impl FnOnce(Reg) -> Insn) {
        let value = match value {
            VSrc::Reg(v) => Some(Operand::reg_use(v)),
            VSrc::Imm(_) => None,
        };
        match (base, value) {
            (MBase::Reg(b), Some(v)) => {
                let fields = Fields { dst: Some(0), src: Some(1) };
                self.push(Kind::Plain(make(UNSET), fields), &[Operand::reg_use(b), v], None);
            }
            (MBase::Reg(b), None) => {
                let fields = Fields { dst: Some(0), src: None };
                self.push(Kind::Plain(make(UNSET), fields), &[Operand::reg_use(b)], None);
            }
            (MBase::Frame(slot), Some(v)) => {
                let fields = Fields { dst: None, src: Some(0) };
                self.push(Kind::Frame(make(Reg::FRAME), fields, slot), &[v], None);
            }
            (MBase::Frame(slot), None) => {
                self.push(Kind::Frame(make(Reg::FRAME), Fields::default(), slot), &[], None);
            }
        }
    }

    /// Calls a kernel helper with up to five arguments; the result, if asked for.
    pub(super) fn call(&mut self, helper: u32, args: &[VReg], result: bool) -> Option<VReg> {
        let mut operands: Vec<Operand> =
            args.iter().zip(1u8..).map(|(&v, n)| Operand::reg_fixed_use(v, preg(n))).collect();
        let v = result.then(|| self.vreg());
        operands.extend(v.map(|v| Operand::reg_fixed_def(v, preg(0))));
        self.push(Kind::Plain(Insn::Call { helper }, Fields::default()), &operands, None);
        v
    }

    /// A call whose result is needed.
    pub(super) fn call_value(&mut self, helper: u32, args: &[VReg]) -> VReg {
        self.call(helper, args, true).expect("call gives a result when asked for one")
    }

    pub(super) fn set_cond(&mut self, cmp: VCmp) -> VReg {
        let v = self.vreg();
        let mut operands = vec![Operand::reg_def_at_start(v)];
        let cmp = compare_late(&mut operands, cmp);
        self.push(Kind::SetCond(cmp), &operands, None);
        v
    }

    /// `cmp ? a : b`. Where `cmp` compares `a` itself, the comparison is made on the result's register, so that the verifier
    /// bounds it: that is how minimum and maximum stay visible to it.
    pub(super) fn select(&mut self, cmp: VCmp, a: VSrc, b: VSrc) -> VReg {
        let v = self.vreg();
        let (mut operands, dst, imm, on_a) = match a {
            VSrc::Reg(a) => (vec![Operand::reg_use(a), Operand::reg_reuse_def(v, 0)], 1, None, cmp.lhs == a),
            VSrc::Imm(imm) => (vec![Operand::reg_def_at_start(v)], 0, Some(imm), false),
        };
        let cmp = if on_a {
            let rhs = late(&mut operands, cmp.rhs);
            MCmp { cond: cmp.cond, lhs: dst, rhs }
        } else {
            compare_late(&mut operands, cmp)
        };
        let b = late(&mut operands, b);
        self.push(Kind::Select { cmp, dst, a: imm, b }, &operands, None);
        v
    }

    /// `ptr + min(index, max)`, unsigned.
    pub(super) fn clamp_add(&mut self, ptr: VReg, index: VReg, max: i32) -> VReg {
        let (sum, clamped) = (self.vreg(), self.vreg());
        let operands = [
            Operand::reg_use(ptr),
            Operand::reg_use(index),
            Operand::reg_reuse_def(sum, 0),
            Operand::reg_reuse_def(clamped, 1),
        ];
        self.push(Kind::ClampAdd { max }, &operands, None);
        sum
    }

    pub(super) fn count_if_not_null(&mut self, counter: VReg, by: VReg, atomic: bool) {
        if atomic {
            let operands = [Operand::reg_use(counter), Operand::reg_use(by)];
            self.push(Kind::CountIfNotNull { atomic }, &operands, None);
        } else {
            let temp = self.vreg();
            let operands = [
                Operand::reg_use_at_end(counter),
                Operand::reg_use_at_end(by),
                Operand::new(temp, OperandConstraint::Reg, OperandKind::Def, OperandPos::Early),
            ];
            self.push(Kind::CountIfNotNull { atomic }, &operands, None);
        }
    }

    pub(super) fn branch(&mut self, cmp: VCmp, then: (MBlockId, Vec<VReg>), otherwise: (MBlockId, Vec<VReg>)) {
        let mut operands = vec![Operand::reg_use(cmp.lhs)];
        let rhs = match cmp.rhs {
            VSrc::Reg(v) => {
                operands.push(Operand::reg_use(v));
                MSrc::Op(1)
            }
            VSrc::Imm(imm) => MSrc::Imm(imm),
        };
        self.push(Kind::Branch(MCmp { cond: cmp.cond, lhs: 0, rhs }), &operands, None);
        let block = &mut self.blocks[self.current.index()];
        block.succs = vec![then.0, otherwise.0];
        block.args = vec![then.1, otherwise.1];
    }

    pub(super) fn jump(&mut self, to: MBlockId, args: Vec<VReg>) {
        self.push(Kind::Jump, &[], None);
        let block = &mut self.blocks[self.current.index()];
        block.succs = vec![to];
        block.args = vec![args];
    }

    pub(super) fn exit(&mut self, value: VReg) {
        self.push(Kind::Exit, &[Operand::reg_fixed_use(value, preg(0))], None);
    }

    /// The blocks as made and the number of registers.
    pub(super) fn into_parts(self) -> (Vec<MBlock>, usize) {
        (self.blocks, self.vregs as usize)
    }
}

/// Where a memory access counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MBase {
    Reg(VReg),
    Frame(FrameSlot),
}

/// Late uses do not share a register with what the instruction writes first.
fn late(operands: &mut Vec<Operand>, src: VSrc) -> MSrc {
    match src {
        VSrc::Imm(imm) => MSrc::Imm(imm),
        VSrc::Reg(v) => {
            operands.push(Operand::reg_use_at_end(v));
            MSrc::Op(operands.len() as u8 - 1)
        }
    }
}

fn compare_late(operands: &mut Vec<Operand>, cmp: VCmp) -> MCmp {
    operands.push(Operand::reg_use_at_end(cmp.lhs));
    let lhs = operands.len() as u8 - 1;
    MCmp { cond: cmp.cond, lhs, rhs: late(operands, cmp.rhs) }
}
