//! Terminators: branches, look-ups, reservations. Edges that need moves get a block of their own.

use super::{Error, ErrorKind, Selector, address::Address, call::MAP_LOOKUP, record::uncovered};
use crate::{
    ebpf::{
        ProbeId,
        insn::{JumpCond, MemSize},
        mir::{MBase, MBlockId, VCmp, VSrc},
    },
    ir::{Block, Dest, Helper, Space, Term},
};
use regalloc2::VReg;
use weftrace_artifact::{
    abi::{LossSlot, RECORD_HEADER_SIZE},
    action::ActionId,
    map::Role,
};

const RINGBUF_RESERVE: u32 = 131;
const GET_ATTACH_COOKIE: u32 = 174;

/// Offsets in [`weftrace_artifact::abi::RecordHeader`].
const ACTION: i16 = 0;
const PROBE: i16 = 4;
const TIME: i16 = 8;

impl Selector<'_> {
    pub(super) fn term(&mut self, term: &Term) -> Result<(), Error> {
        match term {
            Term::None => Err(self.error(ErrorKind::Malformed("block without a terminator"))),
            Term::Jump(dest) => self.jump_to(dest, None),
            Term::Brif { cond, then, otherwise } => {
                let cmp = self.condition(*cond)?;
                let home = self.m.current();
                let then = self.edge(then, None)?;
                let otherwise = self.edge(otherwise, None)?;
                self.m.switch_to(home);
                self.m.branch(cmp, then, otherwise);
                Ok(())
            }
            Term::Lookup { map, key, found, missing } => {
                let map = self.map(*map)?;
                let key = self.exact(*key)?;
                let value = self.m.call_value(MAP_LOOKUP, &[map, key]);
                let home = self.m.current();
                let found = self.edge(found, Some(value))?;
                let missing = self.edge(missing, None)?;
                self.m.switch_to(home);
                self.m.branch(VCmp { cond: JumpCond::Eq, lhs: value, rhs: VSrc::Imm(0) }, missing, found);
                Ok(())
            }
            Term::Reserve { action, size, ok, full } => self.reserve(*action, *size, ok, full),
            Term::Return(value) => {
                let value = self.exact(*value)?;
                self.leave(value);
                Ok(())
            }
        }
    }

    fn jump_to(&mut self, dest: &Dest, leading: Option<VReg>) -> Result<(), Error> {
        let mut args: Vec<VReg> = leading.into_iter().collect();
        for &arg in &dest.args {
            args.push(self.reg(arg)?);
        }
        self.m.jump(self.starts[dest.block.index()], args);
        Ok(())
    }

    /// A branch's way to `dest`: straight, or through a block that holds the moves. A branch itself can have none, because
    /// they would run on both ways.
    fn edge(&mut self, dest: &Dest, leading: Option<VReg>) -> Result<(MBlockId, Vec<VReg>), Error> {
        if dest.args.is_empty() && self.cfg.preds[dest.block.index()].len() == 1 {
            return Ok((self.starts[dest.block.index()], leading.into_iter().collect()));
        }
        let between = self.m.block();
        self.m.switch_to(between);
        self.jump_to(dest, leading)?;
        Ok((between, vec![]))
    }

    fn reserve(&mut self, action: ActionId, size: u32, ok: &Dest, full: &Dest) -> Result<(), Error> {
        let asked = self.env.asks_time(action);
        let mut known = self.known_boot_time().filter(|_| asked);
        // The next record shares it; one alone asks when it has its place: while the ring is full nobody needs to know.
        let asking = |term: &Term| matches!(term, Term::Reserve { action, .. } if self.env.asks_time(*action));
        let records = self.func.blocks.iter().filter(|b| asking(&b.term)).count();
        if asked && known.is_none() && records > 1 {
            known = Some(self.boot_time(self.block)?);
        }
        let ring = self.map_with(Role::Events)?;
        let ring = self.map(ring)?;
        let bytes = self.m.number(i64::from((RECORD_HEADER_SIZE + size).next_multiple_of(8)));
        let flags = self.m.number(0);
        let record = self.m.call_value(RINGBUF_RESERVE, &[ring, bytes, flags]);
        let (got, none) = (self.m.block(), self.m.cold_block());
        let null = VCmp { cond: JumpCond::Eq, lhs: record, rhs: VSrc::Imm(0) };
        self.m.branch(null, (none, vec![]), (got, vec![]));

        self.m.switch_to(got);
        if asked && known.is_none() {
            known = Some(self.boot_time(ok.block)?);
        }
        self.write_header(record, action, known);
        self.zero_payload(record, size, ok);
        self.jump_to(ok, Some(record))?;

        self.m.switch_to(none);
        if !self.env.is_counted(action) {
            self.count_loss(LossSlot::Ring as u32)?;
        }
        self.jump_to(full, None)
    }

    /// The event's time, where an earlier call's result reaches.
    fn known_boot_time(&self) -> Option<VReg> {
        let here = self.block;
        self.boot_time.iter().find(|(block, _)| self.cfg.common(*block, here) == *block).map(|(_, time)| *time)
    }

    /// Asks for the event's time, on the way to a block.
    fn boot_time(&mut self, to: Block) -> Result<VReg, Error> {
        let Some(number) = Helper::KtimeBoot.row().bpf else {
            return Err(self.error(ErrorKind::Unavailable("ktime_boot")));
        };
        let time = self.m.call_value(number, &[]);
        self.boot_time.push((to, time));
        Ok(time)
    }

    /// Which probe fired.
    pub(super) fn probe_index(&mut self) -> VReg {
        match self.env.probe {
            ProbeId::Constant(probe) => self.m.number(i64::from(probe)),
            ProbeId::Cookie => self.m.call_value(GET_ATTACH_COOKIE, &[self.ctx]),
        }
    }

    fn write_header(&mut self, record: VReg, action: ActionId, time: Option<VReg>) {
        let base = MBase::Reg(record);
        match self.env.probe {
            ProbeId::Constant(probe) => {
                self.m.store(MemSize::B4, base, ACTION, VSrc::Imm(action.0 as i32));
                self.m.store(MemSize::B4, base, PROBE, VSrc::Imm(probe as i32));
            }
            ProbeId::Cookie => {
                let probe = self.m.call_value(GET_ATTACH_COOKIE, &[self.ctx]);
                self.m.store(MemSize::B4, base, ACTION, VSrc::Imm(action.0 as i32));
                self.m.store(MemSize::B4, base, PROBE, VSrc::Reg(probe));
            }
        }
        self.m.store(MemSize::B8, base, TIME, time.map_or(VSrc::Imm(0), VSrc::Reg));
    }

    /// The ring hands out memory with old contents: what the program does not surely write must be zeroed, with the padding
    /// after the payload.
    fn zero_payload(&mut self, record: VReg, size: u32, ok: &Dest) {
        let padded = (RECORD_HEADER_SIZE + size).next_multiple_of(8) - RECORD_HEADER_SIZE;
        for (start, len) in uncovered(self.func, self.cfg, ok.block, size, padded) {
            let address =
                Address { base: MBase::Reg(record), offset: i64::from(start), align: 8, space: Space::Record };
            self.fill_at(&address, len);
        }
    }
}
