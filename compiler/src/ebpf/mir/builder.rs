//! Makes machine instructions.

use super::{
    Fields, FrameSlot, Kind, MAX_OPERANDS, MBase, MBlock, MBlockId, MCmp, MInst, MSrc, Reloc, VCmp, VSrc, preg,
};
use crate::{
    ebpf::insn::{AluOp, Imm64, Insn, MemSize, Reg, Src, Width},
    ir::SpanId,
};
use regalloc2::{Operand, OperandConstraint, OperandKind, OperandPos, RegClass, VReg};
use weftrace_artifact::map::MapId;

/// Register fields that operands fill later.
const UNSET: Reg = Reg(0);

/// Makes machine instructions in the current block.
pub(in crate::ebpf) struct Builder {
    blocks: Vec<MBlock>,
    current: MBlockId,
    vregs: u32,
    pub(in crate::ebpf) span: SpanId,
}

impl Builder {
    pub(in crate::ebpf) fn new() -> Self {
        Self { blocks: vec![MBlock::default()], current: MBlockId(0), vregs: 0, span: SpanId(0) }
    }

    pub(in crate::ebpf) fn vreg(&mut self) -> VReg {
        self.vregs += 1;
        VReg::new(self.vregs as usize - 1, RegClass::Int)
    }

    pub(in crate::ebpf) fn block(&mut self) -> MBlockId {
        self.blocks.push(MBlock::default());
        MBlockId(self.blocks.len() as u32 - 1)
    }

    pub(in crate::ebpf) fn cold_block(&mut self) -> MBlockId {
        let block = self.block();
        self.blocks[block.index()].cold = true;
        block
    }

    /// The current block is rarely run.
    pub(in crate::ebpf) fn mark_cold(&mut self) {
        self.blocks[self.current.index()].cold = self.current != MBlockId(0);
    }

    pub(in crate::ebpf) fn param(&mut self, block: MBlockId) -> VReg {
        let v = self.vreg();
        self.blocks[block.index()].params.push(v);
        v
    }

    pub(in crate::ebpf) fn switch_to(&mut self, block: MBlockId) {
        self.current = block;
    }

    pub(in crate::ebpf) fn current(&self) -> MBlockId {
        self.current
    }

    fn push(&mut self, kind: Kind, operands: &[Operand], reloc: Option<Reloc>) {
        let filler = Operand::reg_use(VReg::new(0, RegClass::Int));
        let mut all = [filler; MAX_OPERANDS];
        all[..operands.len()].copy_from_slice(operands);
        let inst = MInst { kind, operands: all, count: operands.len() as u8, reloc, span: self.span };
        self.blocks[self.current.index()].insts.push(inst);
    }

    /// The first `N` arguments, from r1 on.
    pub(in crate::ebpf) fn entry<const N: usize>(&mut self) -> [VReg; N] {
        let regs = std::array::from_fn(|_| self.vreg());
        let defs: Vec<Operand> = regs.iter().zip(1u8..).map(|(&v, n)| Operand::reg_fixed_def(v, preg(n))).collect();
        self.push(Kind::Entry, &defs, None);
        regs
    }

    /// 0, which the verifier takes for any number: the difference of two pointers is unknown to it.
    pub(in crate::ebpf) fn unknown_zero(&mut self) -> VReg {
        let v = self.vreg();
        let fields = Fields { dst: Some(0), src: None };
        self.push(Kind::Plain(Insn::mov(UNSET, Reg::FRAME), fields), &[Operand::reg_def(v)], None);
        self.in_place(Insn::alu(AluOp::Sub, UNSET, Reg::FRAME), v)
    }

    /// The address of another function of the program.
    pub(in crate::ebpf) fn func(&mut self, unit: usize) -> VReg {
        let v = self.vreg();
        let insn = Insn::LoadImm64 { kind: Imm64::Func, dst: UNSET, imm: 0 };
        let fields = Fields { dst: Some(0), src: None };
        self.push(Kind::Plain(insn, fields), &[Operand::reg_def(v)], Some(Reloc::Func(unit)));
        v
    }

    pub(in crate::ebpf) fn number(&mut self, imm: i64) -> VReg {
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

    pub(in crate::ebpf) fn map(&mut self, map: MapId) -> VReg {
        let v = self.vreg();
        let insn = Insn::LoadImm64 { kind: Imm64::MapFd, dst: UNSET, imm: i64::from(map.0) };
        let fields = Fields { dst: Some(0), src: None };
        self.push(Kind::Plain(insn, fields), &[Operand::reg_def(v)], Some(Reloc::Map(map)));
        v
    }

    pub(in crate::ebpf) fn lea(&mut self, slot: FrameSlot, off: i32) -> VReg {
        let v = self.vreg();
        self.push(Kind::Lea { slot, off }, &[Operand::reg_def(v)], None);
        v
    }

    /// `a op b`, two-address: the result takes a's register.
    pub(in crate::ebpf) fn alu(&mut self, width: Width, op: AluOp, a: VReg, b: VSrc) -> VReg {
        self.alu_reloc(width, op, a, b, None)
    }

    pub(in crate::ebpf) fn alu_reloc(
        &mut self,
        width: Width,
        op: AluOp,
        a: VReg,
        b: VSrc,
        reloc: Option<Reloc>,
    ) -> VReg {
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
    pub(in crate::ebpf) fn in_place(&mut self, insn: Insn, a: VReg) -> VReg {
        let v = self.vreg();
        let fields = Fields { dst: Some(0), src: None };
        self.push(Kind::Plain(insn, fields), &[Operand::reg_use(a), Operand::reg_reuse_def(v, 0)], None);
        v
    }

    /// An instruction with a new register from an old one: zero or sign extending moves.
    pub(in crate::ebpf) fn convert(&mut self, insn: Insn, a: VReg) -> VReg {
        let v = self.vreg();
        let fields = Fields { dst: Some(0), src: Some(1) };
        self.push(Kind::Plain(insn, fields), &[Operand::reg_def(v), Operand::reg_use(a)], None);
        v
    }

    pub(in crate::ebpf) fn load(
        &mut self,
        size: MemSize,
        signed: bool,
        base: MBase,
        off: i16,
        reloc: Option<Reloc>,
    ) -> VReg {
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

    pub(in crate::ebpf) fn store(&mut self, size: MemSize, base: MBase, off: i16, value: VSrc) {
        let src = match value {
            VSrc::Reg(_) => Src::Reg(UNSET),
            VSrc::Imm(imm) => Src::Imm(imm),
        };
        self.write(base, value, |dst| Insn::Store { size, dst, off, src });
    }

    pub(in crate::ebpf) fn atomic_add(&mut self, size: MemSize, base: MBase, off: i16, value: VReg) {
        self.write(base, VSrc::Reg(value), |dst| Insn::AtomicAdd { size, dst, off, src: UNSET });
    }

    /// Stores the value; what was there.
    pub(in crate::ebpf) fn exchange(&mut self, size: MemSize, base: VReg, off: i16, value: VReg) -> VReg {
        let v = self.vreg();
        let insn = Insn::AtomicExchange { size, dst: UNSET, off, src: UNSET };
        let operands = [Operand::reg_use_at_end(base), Operand::reg_use(value), Operand::reg_reuse_def(v, 1)];
        self.push(Kind::Plain(insn, Fields { dst: Some(0), src: Some(1) }), &operands, None);
        v
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
    pub(in crate::ebpf) fn call(&mut self, helper: u32, args: &[VReg], result: bool) -> Option<VReg> {
        self.any_call(Insn::Call { helper }, args, result)
    }

    /// Calls a kernel function by the id of its type.
    pub(in crate::ebpf) fn kfunc(&mut self, id: i32, args: &[VReg], result: bool) -> Option<VReg> {
        self.any_call(Insn::Kfunc { id }, args, result)
    }

    fn any_call(&mut self, insn: Insn, args: &[VReg], result: bool) -> Option<VReg> {
        let mut operands: Vec<Operand> =
            args.iter().zip(1u8..).map(|(&v, n)| Operand::reg_fixed_use(v, preg(n))).collect();
        let v = result.then(|| self.vreg());
        operands.extend(v.map(|v| Operand::reg_fixed_def(v, preg(0))));
        self.push(Kind::Plain(insn, Fields::default()), &operands, None);
        v
    }

    /// A call whose result is needed.
    pub(in crate::ebpf) fn call_value(&mut self, helper: u32, args: &[VReg]) -> VReg {
        self.call(helper, args, true).expect("call gives a result when asked for one")
    }

    pub(in crate::ebpf) fn set_cond(&mut self, cmp: VCmp) -> VReg {
        let v = self.vreg();
        let mut operands = vec![Operand::reg_def_at_start(v)];
        let cmp = compare_late(&mut operands, cmp);
        self.push(Kind::SetCond(cmp), &operands, None);
        v
    }

    /// `cmp ? a : b`. Where `cmp` compares `a` itself, the comparison is made on the result's register, so that the verifier
    /// bounds it: that is how minimum and maximum stay visible to it.
    pub(in crate::ebpf) fn select(&mut self, cmp: VCmp, a: VSrc, b: VSrc) -> VReg {
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
    pub(in crate::ebpf) fn clamp_add(&mut self, ptr: VReg, index: VReg, max: i32) -> VReg {
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

    pub(in crate::ebpf) fn count_if_not_null(&mut self, counter: VReg, by: VReg, atomic: bool) {
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

    pub(in crate::ebpf) fn branch(&mut self, cmp: VCmp, then: (MBlockId, Vec<VReg>), otherwise: (MBlockId, Vec<VReg>)) {
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

    pub(in crate::ebpf) fn jump(&mut self, to: MBlockId, args: Vec<VReg>) {
        self.push(Kind::Jump, &[], None);
        let block = &mut self.blocks[self.current.index()];
        block.succs = vec![to];
        block.args = vec![args];
    }

    pub(in crate::ebpf) fn exit(&mut self, value: VReg) {
        self.push(Kind::Exit, &[Operand::reg_fixed_use(value, preg(0))], None);
    }

    /// The blocks as made and the number of registers.
    pub(in crate::ebpf) fn into_parts(self) -> (Vec<MBlock>, usize) {
        (self.blocks, self.vregs as usize)
    }
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
