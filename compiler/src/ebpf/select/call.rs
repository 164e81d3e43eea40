//! Helper calls, losses, the scratch entry, the end of records.

use super::{Error, ErrorKind, Selector};
use crate::{
    ebpf::{
        frame,
        insn::{JumpCond, MemSize},
        mir::{MBase, VCmp, VSrc},
    },
    ir::{Arg, Helper, Value},
};
use regalloc2::VReg;
use weftrace_artifact::{
    abi::LossSlot,
    map::{MapId, Role},
};

/// bpf_map_lookup_elem
pub(super) const MAP_LOOKUP: u32 = 1;

impl Selector<'_> {
    pub(super) fn call(
        &mut self,
        helper: Helper,
        map: Option<MapId>,
        args: &[Value],
        result: Option<Value>,
    ) -> Result<Option<VReg>, Error> {
        let row = helper.row();
        if helper == Helper::CountLoss {
            let slot = args.first().and_then(|&a| self.const_of(a)).and_then(|c| u32::try_from(c).ok());
            let Some(slot) = slot.filter(|&s| s < LossSlot::COUNT) else {
                return Err(self.error(ErrorKind::Malformed("count_loss without a constant loss slot")));
            };
            self.m.mark_cold();
            self.count_loss(slot)?;
            // Its result is 0.
            return Ok(result.filter(|&r| self.facts.needs_register(r)).map(|_| self.m.number(0)));
        }
        let Some(number) = row.bpf else {
            return Err(self.error(ErrorKind::Unavailable(row.name)));
        };
        let mut regs = Vec::with_capacity(5);
        let mut values = args.iter();
        for arg in row.args {
            if *arg == Arg::Map {
                let Some(map) = map else { return Err(self.error(ErrorKind::Malformed("call without its map"))) };
                regs.push(self.map(map)?);
                continue;
            }
            let Some(&value) = values.next() else {
                return Err(self.error(ErrorKind::Malformed("call with too few arguments")));
            };
            regs.push(match self.typed[value.index()] {
                Some(typed) if helper == Helper::SocketCookie => typed,
                _ => self.exact(value)?,
            });
        }
        let wanted = result.is_some_and(|r| self.facts.needs_register(r));
        let mut reg = self.m.call(number, &regs, wanted);
        if matches!(helper, Helper::MapUpdate | Helper::MapDelete) && !self.env.features.cpu_v4 {
            // Before 6.4 these helpers are C functions that return int, which the JIT calls directly: an error comes as 32 bits
            // (struct bpf_map_ops, "bpf: return long from bpf_map_ops funcs").
            reg = reg.map(|r| self.sign_extend(r, 32));
        }
        if helper == Helper::KtimeBoot {
            self.boot_time.extend(reg.map(|r| (self.block, r)));
        }
        Ok(reg)
    }

    pub(super) fn map(&mut self, map: MapId) -> Result<VReg, Error> {
        if self.env.maps.get(map.0 as usize).is_none() {
            return Err(self.error(ErrorKind::UnknownMap(map.0)));
        }
        Ok(self.m.map(map))
    }

    /// Looks up the element of an array by a constant index: its address, or null.
    fn array_element(&mut self, map: MapId, index: u32) -> Result<VReg, Error> {
        self.key_slot_used = true;
        let slot = frame::key_slot(self.func);
        self.m.store(MemSize::B4, MBase::Frame(slot), 0, VSrc::Imm(index as i32));
        let map = self.map(map)?;
        let key = self.m.lea(slot, 0);
        Ok(self.m.call_value(MAP_LOOKUP, &[map, key]))
    }

    /// Adds one to this program's counter for the loss.
    pub(super) fn count_loss(&mut self, slot: u32) -> Result<(), Error> {
        let losses = self.map_with(Role::Losses)?;
        let counter = self.array_element(losses, self.env.program * LossSlot::COUNT + slot)?;
        let one = self.m.number(1);
        self.m.count_if_not_null(counter, one, !self.env.features.rbpf);
        Ok(())
    }

    /// The rest of the current block runs only with the scratch entry's address at hand; without one (which cannot happen) the program
    /// returns 0.
    pub(super) fn look_up_scratch(&mut self) -> Result<(), Error> {
        let map = self.map_with(Role::Scratch)?;
        let entry = self.array_element(map, self.env.program)?;
        let (gone, rest) = (self.m.cold_block(), self.m.block());
        let null = VCmp { cond: JumpCond::Eq, lhs: entry, rhs: VSrc::Imm(0) };
        self.m.branch(null, (gone, vec![]), (rest, vec![]));
        self.m.switch_to(gone);
        let zero = self.m.number(0);
        self.m.exit(zero);
        self.m.switch_to(rest);
        self.scratch = Some(entry);
        Ok(())
    }

    /// bpf_ringbuf_submit or bpf_ringbuf_discard.
    pub(super) fn finish_record(&mut self, helper: u32, record: Value) -> Result<(), Error> {
        let record = self.reg(record)?;
        let flags = self.m.number(0);
        self.m.call(helper, &[record, flags], false);
        Ok(())
    }
}
