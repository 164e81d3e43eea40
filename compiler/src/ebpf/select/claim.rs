//! Scratch memory of programs that may be entered again on their CPU before they ended.
//!
//! The kernel runs most programs with preemption off, or skips one that is already running on the CPU. Not those of uprobes: a thread may be
//! taken off the CPU within the program, and the next one hit the same probe there. One for several functions by type information is several programs to the
//! kernel, and one of them may run within another. Such a program has several entries. It takes
//! the first that no one has, by an exchange of the entry's claim word, and gives it back where it ends. Which run ends first doesn't
//! matter.

use super::{Error, MapId, Selector};
use crate::ebpf::{
    frame,
    insn::{JumpCond, MemSize},
    mir::{MBase, VCmp, VSrc},
};
use regalloc2::VReg;
use weftrace_artifact::abi::LossSlot;

const FREE: i32 = 0;
const TAKEN: i64 = 1;

impl Selector<'_> {
    /// Where the program starts: it has no entry yet.
    pub(super) fn claim_nothing(&mut self) {
        if self.claims() {
            let slot = frame::claim_slot(self.func);
            self.m.store(MemSize::B8, MBase::Frame(slot), 0, VSrc::Imm(0));
        }
    }

    fn claims(&self) -> bool {
        self.link.is_none() && self.placement.claim.is_some()
    }

    /// Goes on with a free entry; without one the loss is counted and the program ends.
    pub(super) fn claim(&mut self, map: MapId, word: u32) -> Result<(), Error> {
        let got = self.m.block();
        let entry = self.m.param(got);
        for number in 0..self.env.scratch.entries {
            let found = self.scratch_element(map, number)?;
            let (there, none, next) = (self.m.block(), self.m.cold_block(), self.m.cold_block());
            let null = VCmp { cond: JumpCond::Eq, lhs: found, rhs: VSrc::Imm(0) };
            self.m.branch(null, (none, vec![]), (there, vec![]));
            self.m.switch_to(none);
            self.m.jump(next, vec![]);
            self.m.switch_to(there);
            let taken = self.m.number(TAKEN);
            let place = self.add_imm(found, i64::from(word));
            let before = self.m.exchange(MemSize::B8, place, 0, taken);
            let (mine, busy) = (self.m.block(), self.m.cold_block());
            let free = VCmp { cond: JumpCond::Eq, lhs: before, rhs: VSrc::Imm(FREE) };
            self.m.branch(free, (mine, vec![]), (busy, vec![]));
            self.m.switch_to(mine);
            self.m.jump(got, vec![found]);
            self.m.switch_to(busy);
            self.m.jump(next, vec![]);
            self.m.switch_to(next);
        }
        self.count_loss(LossSlot::Nested as u32)?;
        let zero = self.m.number(0);
        self.m.exit(zero);
        self.m.switch_to(got);
        self.m.store(MemSize::B8, MBase::Frame(frame::claim_slot(self.func)), 0, VSrc::Reg(entry));
        self.scratch = Some(entry);
        Ok(())
    }

    /// Ends the unit; the program gives its entry back if it has one by now.
    pub(super) fn leave(&mut self, result: VReg) {
        if let Some(word) = self.placement.claim.filter(|_| self.claims()) {
            let slot = frame::claim_slot(self.func);
            let entry = self.m.load(MemSize::B8, false, MBase::Frame(slot), 0, None);
            let (held, without, done) = (self.m.block(), self.m.block(), self.m.block());
            let none = VCmp { cond: JumpCond::Eq, lhs: entry, rhs: VSrc::Imm(0) };
            self.m.branch(none, (without, vec![]), (held, vec![]));
            self.m.switch_to(without);
            self.m.jump(done, vec![]);
            self.m.switch_to(held);
            let place = self.add_imm(entry, i64::from(word));
            self.m.store(MemSize::B8, MBase::Reg(place), 0, VSrc::Imm(FREE));
            self.m.jump(done, vec![]);
            self.m.switch_to(done);
        }
        self.m.exit(result);
    }
}
