//! What the verifier need not know.
//!
//! The verifier takes two ways through a program as one where they meet, unless a number that it knows differs and a later branch,
//! index or length depends on it: then it walks the rest once more for each. With many branches that multiplies until it gives up.
//! In a program with many (see [`super::super::paths`]) what decides a branch is first added to a 0 of which the verifier knows nothing:
//! the difference of two pointers. Then all ways are alike, and are walked once.
//!
//! Where a bound must be seen (an index, the length of a read), it is enforced anew right before its use.

use super::{Error, Selector};
use crate::{
    ebpf::{
        frame::{self, Home},
        insn::{AluOp, JumpCond, Width},
        mir::{VCmp, VSrc},
    },
    ir::{Function, Op, Space, Term, Ty, Value, ValueDef},
};
use regalloc2::VReg;
use std::collections::BTreeSet;
use weftrace_artifact::map::MapSpec;

impl Selector<'_> {
    /// The number in `reg` without what the verifier knows of it, where that matters.
    pub(super) fn unknown(&mut self, value: Value, reg: VReg) -> VReg {
        // What a loop counts must be known, or it has no end.
        let here = self.loops[self.block.index()];
        let counted = || {
            let defined = self.positions.of_value(self.func, value).and_then(|(block, _)| self.loops[block.index()]);
            here.is_some() && defined == here
        };
        if !self.forgets || self.is_fresh(value) || counted() {
            return reg;
        }
        self.forget(reg)
    }

    /// The number in `reg` without what the verifier knows of it.
    pub(super) fn forget(&mut self, reg: VReg) -> VReg {
        let zero = self.m.unknown_zero();
        self.m.alu(Width::W64, AluOp::Add, reg, VSrc::Reg(zero))
    }

    /// Whether the number comes from where the verifier knows nothing, and nothing else uses it.
    fn is_fresh(&self, value: Value) -> bool {
        if self.facts.uses(value) != 1 || self.func.value_type(value) != Ty::I64 {
            return false;
        }
        match self.def(value) {
            Some(Op::Load { ptr, .. }) => match frame::root(self.func, *ptr) {
                Some((slot, _)) => matches!(self.placement.home(slot), Home::Scratch(_)),
                None => self.func.value_type(*ptr) != Ty::Ptr(Space::Stack),
            },
            Some(Op::Call { .. }) => !self.unit.calls.keys().any(|i| self.func.insts[i.index()].result == Some(value)),
            _ => false,
        }
    }

    /// A length for a helper that reads or writes `buffer`: at most what there is room for, visibly.
    pub(super) fn length(&mut self, value: Value, buffer: Value) -> Result<VReg, Error> {
        let reg = self.exact(value)?;
        if !self.forgets || self.const_of(value).is_some() {
            return Ok(reg);
        }
        let Some(room) = room(self.func, self.env.maps, buffer).and_then(|n| i32::try_from(n).ok()) else {
            return Ok(reg);
        };
        let reg = self.forget(reg);
        let cmp = VCmp { cond: JumpCond::Le, lhs: reg, rhs: VSrc::Imm(room) };
        Ok(self.m.select(cmp, VSrc::Reg(reg), VSrc::Imm(room)))
    }
}

/// Bytes from a pointer to the end of what it points into; of one that comes from several places, the least.
fn room(func: &Function, maps: &[MapSpec], ptr: Value) -> Option<i64> {
    Some(least_room(func, maps, ptr, &mut BTreeSet::new())).filter(|room| (0..NOWHERE).contains(room))
}

/// What comes from nowhere but where it was seen already has no less room than that; what isn't known has none.
const NOWHERE: i64 = i64::MAX;
const UNKNOWN: i64 = -1;

fn least_room(func: &Function, maps: &[MapSpec], ptr: Value, seen: &mut BTreeSet<Value>) -> i64 {
    if let Some((slot, at)) = frame::root(func, ptr) {
        return (i64::from(func.slots[slot.index()].size) - at).max(0);
    }
    let (mut base, mut at) = (ptr, 0);
    while let ValueDef::Inst(inst) = func.values[base.index()].def {
        let (next, by) = match func.insts[inst.index()].op {
            Op::PtrAdd { ptr, offset } => (ptr, i64::from(offset)),
            Op::PtrIndex { ptr, max, .. } => (ptr, i64::from(max)),
            _ => return UNKNOWN,
        };
        base = next;
        at += by;
    }
    let ValueDef::Param(block, index) = func.values[base.index()].def else { return UNKNOWN };
    if !seen.insert(base) {
        // Farther on than it was: there is less and less room.
        return if at == 0 { NOWHERE } else { UNKNOWN };
    }
    let edges = func.blocks.iter().flat_map(|data| data.term.targets().into_iter().map(move |edge| (&data.term, edge)));
    let rooms = edges.filter(|(_, (dest, _))| dest.block == block).map(|(term, (dest, own))| {
        let given = (index as usize).checked_sub(own);
        match (term, given.map(|arg| dest.args.get(arg))) {
            (_, Some(arg)) => arg.map_or(UNKNOWN, |arg| least_room(func, maps, *arg, seen)),
            (Term::Reserve { size, .. }, None) => i64::from(*size),
            (Term::Lookup { map, .. }, None) => maps.get(map.0 as usize).map_or(UNKNOWN, |m| i64::from(m.value_size)),
            _ => UNKNOWN,
        }
    });
    match rooms.min() {
        Some(UNKNOWN) | None => UNKNOWN,
        Some(NOWHERE) => NOWHERE,
        Some(size) => (size - at).max(0),
    }
}
