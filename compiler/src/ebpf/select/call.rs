//! Helper calls, losses, the scratch entry, the end of records.

use super::{Error, ErrorKind, Selector, facts::member_of};
use crate::{
    ebpf::{
        RBPF_MAP_AT, RBPF_MAP_CPU, RBPF_MAP_LEN, frame,
        insn::{AluOp, JumpCond, MemSize, Width},
        mir::{MBase, Reloc, VCmp, VSrc},
        outline::{self, LINK_CTX, LINK_SCRATCH},
    },
    ir::{Arg, Helper, Op, Value},
};
use regalloc2::VReg;
use weftrace_artifact::{
    abi::LossSlot,
    map::{MapId, Role},
    program::RelocSlot,
};

/// bpf_map_lookup_elem
pub(super) const MAP_LOOKUP: u32 = 1;
/// bpf_get_smp_processor_id
const SMP_PROCESSOR_ID: u32 = 8;
/// bpf_for_each_map_elem
const FOR_EACH_ELEMENT: u32 = 164;
/// bpf_map_lookup_percpu_elem (kernel 5.19)
const MAP_LOOKUP_PERCPU: u32 = 195;
/// bpf_d_path (kernel 5.10)
const D_PATH: u32 = 147;
/// include/uapi/asm-generic/errno-base.h
const EFAULT: i32 = 14;
/// bpf_probe_read_kernel
const PROBE_READ_KERNEL: u32 = 113;
/// bpf_loop
const LOOP: u32 = 181;

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
        if row.kfunc.is_some() {
            return self.kfunc(args, result);
        }
        let number = match helper {
            Helper::ProbeIndex => return Ok(Some(self.probe_index())),
            Helper::ReadTyped => return self.read_typed(args).map(Some),
            Helper::MapLen if self.env.features.rbpf => Some(RBPF_MAP_LEN),
            Helper::MapAt if self.env.features.rbpf => Some(RBPF_MAP_AT),
            Helper::MapCpu if self.env.features.rbpf => Some(RBPF_MAP_CPU),
            Helper::MapCpu => return self.map_cpu(map, args).map(Some),
            Helper::DPath => return self.d_path(args).map(Some),
            Helper::TaskComm => return self.task_comm(args).map(Some),
            _ => row.bpf,
        };
        let Some(number) = number else {
            return Err(self.error(ErrorKind::Unavailable(row.name)));
        };
        if let (Helper::Comm, [dst, len]) = (helper, args) {
            self.pad_comm(*dst, *len)?;
        }
        let mut regs = Vec::with_capacity(5);
        let mut values = args.iter();
        let lengths: Vec<(Value, Value)> =
            helper.buffers().into_iter().filter_map(|(at, _, len)| Some((*args.get(len?)?, *args.get(at)?))).collect();
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
                _ => match lengths.iter().find(|(len, _)| *arg == Arg::Int && *len == value) {
                    Some(&(_, buffer)) => self.length(value, buffer)?,
                    None => self.exact(value)?,
                },
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

    /// bpf_get_current_comm of some kernels (6.1) ends at the NUL; keys are compared as a whole.
    pub(super) fn pad_comm(&mut self, dst: Value, len: Value) -> Result<(), Error> {
        let len = self.const_of(len).and_then(|len| u32::try_from(len).ok());
        self.fill(dst, 0, len.ok_or_else(|| self.error(ErrorKind::Malformed("comm without a constant length")))?)
    }

    /// The pointer must reach the helper as the verifier types it: only constants are added, after it is known not to be null (what
    /// iterators walk over is null at the end).
    fn d_path(&mut self, args: &[Value]) -> Result<VReg, Error> {
        let &[address, dst, len] = args else {
            return Err(self.error(ErrorKind::Malformed("d_path without its arguments")));
        };
        let (root, steps) = member_of(self.func, address);
        let Some(mut at) = self.typed[root.index()] else {
            return Err(self.error(ErrorKind::Malformed("d_path of what is no argument of the program")));
        };
        let (dst, len) = (self.exact(dst)?, self.exact(len)?);
        let (there, none, done) = (self.m.block(), self.m.block(), self.m.block());
        let result = self.m.param(done);
        let null = VCmp { cond: JumpCond::Eq, lhs: at, rhs: VSrc::Imm(0) };
        self.m.branch(null, (none, vec![]), (there, vec![]));
        self.m.switch_to(none);
        let error = self.m.number(-i64::from(EFAULT));
        self.m.jump(done, vec![error]);
        self.m.switch_to(there);
        for (offset, path) in steps.into_iter().rev() {
            let Ok(imm) = i32::try_from(offset) else {
                return Err(self.error(ErrorKind::Malformed("field offset over 2 GB")));
            };
            let reloc = Reloc::Field { path, slot: RelocSlot::Imm, compiled: offset };
            at = self.m.alu_reloc(Width::W64, AluOp::Add, at, VSrc::Imm(imm), Some(reloc));
        }
        let written = self.m.call_value(D_PATH, &[at, dst, len]);
        self.m.jump(done, vec![written]);
        self.m.switch_to(done);
        Ok(result)
    }

    /// A load: the verifier knows what the pointer points to, and the kernel makes 0 of what can't be read.
    fn read_typed(&mut self, args: &[Value]) -> Result<VReg, Error> {
        let malformed = |s: &Self| s.error(ErrorKind::Malformed("a typed read of what is no argument of the program"));
        let &[address, offset, bytes] = args else { return Err(malformed(self)) };
        let (root, steps) = member_of(self.func, address);
        let typed = match self.typed[root.index()] {
            Some(typed) => typed,
            None => match self.def(root) {
                Some(Op::Call { helper, .. }) if helper.gives_type() => self.reg(root)?,
                _ => return Err(malformed(self)),
            },
        };
        let size = match self.const_of(bytes) {
            Some(1) => MemSize::B1,
            Some(2) => MemSize::B2,
            Some(4) => MemSize::B4,
            Some(8) => MemSize::B8,
            _ => return Err(malformed(self)),
        };
        let offset = self.const_of(offset).and_then(|o| i16::try_from(o).ok()).ok_or_else(|| malformed(self))?;
        if let [(first, path)] = steps[..]
            && let Ok(at) = i16::try_from(first + i64::from(offset))
        {
            let reloc = Reloc::Field { path, slot: RelocSlot::Off, compiled: first };
            let read = self.m.load(size, false, MBase::Reg(typed), at, Some(reloc));
            return Ok(self.plain_number(read, size));
        }
        let mut at = typed;
        for (by, path) in steps.into_iter().rev() {
            let imm = i32::try_from(by).map_err(|_| malformed(self))?;
            let reloc = Reloc::Field { path, slot: RelocSlot::Imm, compiled: by };
            at = self.m.alu_reloc(Width::W64, AluOp::Add, at, VSrc::Imm(imm), Some(reloc));
        }
        let read = self.m.load(size, false, MBase::Reg(at), offset, None);
        Ok(self.plain_number(read, size))
    }

    /// Looks up one CPU's value and copies it; 1, or 0 if there is none.
    fn map_cpu(&mut self, map: Option<MapId>, args: &[Value]) -> Result<VReg, Error> {
        let (Some(id), &[cpu, key, dst]) = (map, args) else {
            return Err(self.error(ErrorKind::Malformed("map_cpu without its arguments")));
        };
        let size = self.env.maps.get(id.0 as usize).map_or(0, |m| m.value_size);
        let (map, key, cpu) = (self.map(id)?, self.exact(key)?, self.exact(cpu)?);
        let value = self.m.call_value(MAP_LOOKUP_PERCPU, &[map, key, cpu]);
        let (there, done) = (self.m.block(), self.m.block());
        let found = self.m.param(done);
        let none = self.m.block();
        let null = VCmp { cond: JumpCond::Eq, lhs: value, rhs: VSrc::Imm(0) };
        self.m.branch(null, (none, vec![]), (there, vec![]));
        self.m.switch_to(none);
        let zero = self.m.number(0);
        self.m.jump(done, vec![zero]);
        self.m.switch_to(there);
        let to = self.exact(dst)?;
        let len = self.m.number(i64::from(size));
        self.m.call(PROBE_READ_KERNEL, &[to, len, value], false);
        let one = self.m.number(1);
        self.m.jump(done, vec![one]);
        self.m.switch_to(done);
        Ok(found)
    }

    /// Runs a loop that became a unit; of one that counts a map's elements the number.
    pub(super) fn call_unit(&mut self, call: &outline::Call, op: &Op, result: Option<Value>) -> Result<(), Error> {
        let Op::Call { args, .. } = op else { return Err(self.error(ErrorKind::Malformed("loop without its call"))) };
        let area = if call.shares { Some(self.link_area()?) } else { None };
        for (&value, &word) in args.iter().zip(&call.links) {
            let reg = self.reg(value)?;
            self.store_link(word, reg);
        }
        let callee = self.m.func(call.unit);
        let area = match area {
            Some(Some(link)) => link,
            Some(None) => self.m.lea(frame::link_slot(self.func), 0),
            None => self.m.number(0),
        };
        let flags = self.m.number(0);
        let (helper, first) = match call.over {
            Some(map) => (FOR_EACH_ELEMENT, self.map(map)?),
            None => (LOOP, self.m.number(outline::MAX_ROUNDS)),
        };
        let wanted = result.filter(|&r| self.facts.needs_register(r));
        let reg = self.m.call(helper, &[first, callee, area, flags], wanted.is_some());
        if let Some(result) = wanted {
            self.regs[result.index()] = reg;
        }
        Ok(())
    }

    /// The link area of callbacks; the program itself (None) fills in what all of them need.
    fn link_area(&mut self) -> Result<Option<VReg>, Error> {
        if self.link.is_none() {
            let scratch = self.scratch.ok_or_else(|| self.error(ErrorKind::Malformed("scratch before its look-up")))?;
            self.store_link(LINK_CTX, self.ctx);
            self.store_link(LINK_SCRATCH, scratch);
        }
        Ok(self.link)
    }

    fn store_link(&mut self, word: u32, pointer: VReg) {
        let base = self.link.map_or(MBase::Frame(frame::link_slot(self.func)), MBase::Reg);
        self.m.store(MemSize::B8, base, word as i16 * 8, VSrc::Reg(pointer));
    }

    /// A kernel function that programs may call: the last argument is its id.
    fn kfunc(&mut self, args: &[Value], result: Option<Value>) -> Result<Option<VReg>, Error> {
        let id = args.last().and_then(|&a| self.const_of(a)).and_then(|id| i32::try_from(id).ok());
        let (Some(id), [args @ .., _]) = (id, args) else {
            return Err(self.error(ErrorKind::Malformed("a kernel function without a constant id")));
        };
        let mut regs = Vec::with_capacity(5);
        for &value in args {
            regs.push(self.exact(value)?);
        }
        let wanted = result.is_some_and(|r| self.facts.needs_register(r));
        Ok(self.m.kfunc(id, &regs, wanted))
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

    /// One of this program's elements on this CPU.
    pub(super) fn scratch_element(&mut self, map: MapId, number: u32) -> Result<VReg, Error> {
        let index = self.env.scratch.first + number;
        if self.env.wide_scratch() { self.cpu_element(map, index) } else { self.array_element(map, index) }
    }

    /// An element on this CPU, in an array that has all programs' elements CPU by CPU.
    fn cpu_element(&mut self, map: MapId, number: u32) -> Result<VReg, Error> {
        let programs = self.env.maps.get(map.0 as usize).map_or(1, |m| m.max_entries);
        let cpu = self.m.call_value(SMP_PROCESSOR_ID, &[]);
        let first = self.m.alu(Width::W64, AluOp::Mul, cpu, VSrc::Imm(programs as i32));
        let index = self.add_imm(first, i64::from(number));
        self.key_slot_used = true;
        let slot = frame::key_slot(self.func);
        self.m.store(MemSize::B4, MBase::Frame(slot), 0, VSrc::Reg(index));
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
        if let Some(word) = self.placement.claim {
            return self.claim(map, word);
        }
        let entry = self.scratch_element(map, 0)?;
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
