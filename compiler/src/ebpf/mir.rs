//! Machine instructions over virtual registers, in SSA form: what selection makes and regalloc2 reads.

mod builder;

pub(super) use builder::Builder;

use super::insn::{Insn, JumpCond};
use crate::ir::{Path, SpanId};
use regalloc2::{Operand, OperandKind, PReg, RegClass, VReg};
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
    Lea {
        slot: FrameSlot,
        off: i32,
    },
    /// op`dst` = cmp ? a : b, where `a` is there already (None) or an immediate
    Select {
        cmp: MCmp,
        dst: u8,
        a: Option<i32>,
        b: MSrc,
    },
    /// op0 = cmp
    SetCond(MCmp),
    /// op1 is clamped to `max` (unsigned), op0 += op1. In one piece, so that the verifier sees the bound.
    ClampAdd {
        max: i32,
    },
    /// if op0 != 0: *op0 += op1 (u64)
    CountIfNotNull {
        atomic: bool,
    },
    /// To successor 0 if `cmp`, else to successor 1.
    Branch(MCmp),
    Jump,
    Exit,
}

/// What the loader patches in an instruction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reloc {
    Map(MapId),
    /// The number of a unit: distance to its first instruction.
    Func(usize),
    Field {
        path: Path,
        slot: RelocSlot,
        compiled: i64,
    },
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
            Kind::Plain(Insn::Call { .. } | Insn::Kfunc { .. }, _) => {
                Some(self.operands().iter().any(|o| o.kind() == OperandKind::Def))
            }
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
    /// Rarely run: goes to the end of the code.
    pub(super) cold: bool,
}

/// A function in reverse postorder; the entry is block 0.
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

/// Where a memory access counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MBase {
    Reg(VReg),
    Frame(FrameSlot),
}
