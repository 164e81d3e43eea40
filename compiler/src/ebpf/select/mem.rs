//! Loads, stores, block operations.

use super::{
    Error, ErrorKind, Selector,
    address::Address,
    facts::{known_alignment, known_max},
};
use crate::{
    ebpf::{
        frame,
        insn::{AluOp, Insn, MemSize, Reg, Swap, Width},
        mir::{MBase, Reloc, VSrc},
    },
    ir::{Data, Mem, Path, Size, Space, Ty, Value},
};
use regalloc2::VReg;
use weftrace_artifact::program::RelocSlot;

/// bpf_probe_read_kernel
const PROBE_READ_KERNEL: u32 = 113;

/// Fills and copies of more accesses than this are one helper call.
const MAX_FILL_STORES: usize = 32;
const MAX_COPY_MOVES: usize = 24;

fn width_of(mem: Mem) -> (MemSize, bool) {
    match mem {
        Mem::U8 => (MemSize::B1, false),
        Mem::U16 => (MemSize::B2, false),
        Mem::U32 => (MemSize::B4, false),
        Mem::U64 => (MemSize::B8, false),
        Mem::I8 => (MemSize::B1, true),
        Mem::I16 => (MemSize::B2, true),
        Mem::I32 => (MemSize::B4, true),
    }
}

pub(super) fn size_of(size: Size) -> MemSize {
    match size {
        Size::B1 => MemSize::B1,
        Size::B2 => MemSize::B2,
        Size::B4 => MemSize::B4,
        Size::B8 => MemSize::B8,
    }
}

/// Offsets and sizes that cover `len` bytes, each as wide as all addresses allow.
pub(super) fn pieces(addresses: &[&Address], len: u32) -> Vec<(i64, MemSize)> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < len {
        let fits = |a: &&Address| a.widest(i64::from(at), len - at);
        let size = addresses.iter().map(fits).min_by_key(|s| s.bytes()).unwrap_or(MemSize::B1);
        out.push((i64::from(at), size));
        at += size.bytes();
    }
    out
}

impl Selector<'_> {
    pub(super) fn load(
        &mut self,
        mem: Mem,
        ptr: Value,
        offset: i32,
        path: Option<Path>,
        result: Option<Value>,
    ) -> Result<VReg, Error> {
        let (size, signed) = width_of(mem);
        let address = self.address(ptr, i64::from(offset))?;
        let aligned = address.widest(0, size.bytes()) == size;
        let raw = match path {
            _ if !aligned && address.space == Space::Ctx => self.read_context(ptr, offset, path, size)?,
            Some(path) => self.load_relocated(ptr, offset, path, size)?,
            None if aligned => self.load_at(&address, 0, size),
            None => self.load_pieces(&address, size),
        };
        if address.space == Space::Ctx && self.prog_type.is_typed() && size == MemSize::B8 {
            return Ok(self.as_number(raw, result));
        }
        Ok(if signed { self.sign_extend(raw, size.bytes() as u8 * 8) } else { raw })
    }

    /// `tp_btf` arguments are typed kernel pointers to the verifier, and it refuses most arithmetic on them. `le64` does nothing on
    /// a little-endian host, and turns whatever it is into a number.
    fn as_number(&mut self, raw: VReg, result: Option<Value>) -> VReg {
        let Some(value) = result else { return raw };
        if self.facts.used_as_typed(value) {
            self.typed[value.index()] = Some(raw);
        }
        if !self.facts.used_as_number(value) {
            return raw;
        }
        self.plain_number(raw, MemSize::B8)
    }

    /// What was read in memory of a known type may be a typed pointer again.
    pub(super) fn plain_number(&mut self, raw: VReg, size: MemSize) -> VReg {
        match size {
            MemSize::B8 => self.m.in_place(Insn::Swap { order: Swap::ToLe, bits: 64, dst: Reg::R0 }, raw),
            _ => raw,
        }
    }

    /// The offset field holds exactly the struct member's offset, which the loader may replace.
    fn load_relocated(&mut self, ptr: Value, offset: i32, path: Path, size: MemSize) -> Result<VReg, Error> {
        let base = self.pointer(ptr, 0)?;
        let compiled = i64::from(offset);
        if let Ok(off) = i16::try_from(offset) {
            let reloc = Reloc::Field { path, slot: RelocSlot::Off, compiled };
            return Ok(self.m.load(size, false, MBase::Reg(base), off, Some(reloc)));
        }
        let reloc = Reloc::Field { path, slot: RelocSlot::Imm, compiled };
        let at = self.m.alu_reloc(Width::W64, AluOp::Add, base, VSrc::Imm(offset), Some(reloc));
        Ok(self.m.load(size, false, MBase::Reg(at), 0, None))
    }

    /// The kernel lets programs load context fields only at multiples of their size; packed fields are read as memory.
    fn read_context(&mut self, ptr: Value, offset: i32, path: Option<Path>, size: MemSize) -> Result<VReg, Error> {
        self.read_slot_used = true;
        let slot = frame::read_slot(self.func);
        self.m.store(MemSize::B8, MBase::Frame(slot), 0, VSrc::Imm(0));
        let from = match path {
            Some(path) => {
                let base = self.pointer(ptr, 0)?;
                let reloc = Reloc::Field { path, slot: RelocSlot::Imm, compiled: i64::from(offset) };
                self.m.alu_reloc(Width::W64, AluOp::Add, base, VSrc::Imm(offset), Some(reloc))
            }
            None => self.pointer(ptr, i64::from(offset))?,
        };
        let to = self.m.lea(slot, 0);
        let len = self.m.number(i64::from(size.bytes()));
        self.m.call(PROBE_READ_KERNEL, &[to, len, from], false);
        Ok(self.m.load(size, false, MBase::Frame(slot), 0, None))
    }

    fn load_pieces(&mut self, address: &Address, size: MemSize) -> VReg {
        let mut whole: Option<VReg> = None;
        for (at, piece) in pieces(&[address], size.bytes()) {
            let mut part = self.load_at(address, at, piece);
            if at > 0 {
                part = self.m.alu(Width::W64, AluOp::Lsh, part, VSrc::Imm(at as i32 * 8));
            }
            whole = Some(match whole {
                Some(whole) => self.m.alu(Width::W64, AluOp::Or, whole, VSrc::Reg(part)),
                None => part,
            });
        }
        whole.unwrap_or_else(|| self.m.number(0))
    }

    pub(super) fn store(&mut self, size: Size, value: Value, ptr: Value, offset: i32) -> Result<(), Error> {
        let size = size_of(size);
        let constant = self.const_of(value);
        // Narrow stores take the low bits: every constant is an immediate.
        let value = match constant {
            Some(c) if size != MemSize::B8 => VSrc::Imm(c as i32),
            _ => self.operand(value)?,
        };
        let address = self.address(ptr, i64::from(offset))?;
        for (at, piece) in pieces(&[&address], size.bytes()) {
            let part = match (value, constant) {
                (_, Some(c)) if piece != MemSize::B8 => VSrc::Imm((c >> (at * 8)) as i32),
                (VSrc::Reg(v), _) if at > 0 => {
                    VSrc::Reg(self.m.alu(Width::W64, AluOp::Rsh, v, VSrc::Imm(at as i32 * 8)))
                }
                _ => value,
            };
            self.store_at(&address, at, piece, part);
        }
        Ok(())
    }

    pub(super) fn store_data(&mut self, data: Data, ptr: Value, offset: i32) -> Result<(), Error> {
        let func = self.func;
        let Some(bytes) = func.data.get(data.index()) else {
            return Err(self.error(ErrorKind::Malformed("no such data")));
        };
        let address = self.address(ptr, i64::from(offset))?;
        let mut at = 0;
        while at < bytes.len() {
            let mut size = address.widest(at as i64, (bytes.len() - at) as u32);
            let mut imm = little_endian(&bytes[at..at + size.bytes() as usize]);
            if size == MemSize::B8 && i32::try_from(imm).is_err() {
                // Two immediate stores are shorter than a 64-bit constant and a store.
                size = MemSize::B4;
                imm = little_endian(&bytes[at..at + 4]);
            }
            self.store_at(&address, at as i64, size, VSrc::Imm(imm as i32));
            at += size.bytes() as usize;
        }
        Ok(())
    }

    pub(super) fn fill(&mut self, ptr: Value, offset: i32, len: u32) -> Result<(), Error> {
        let address = self.address(ptr, i64::from(offset))?;
        self.fill_at(&address, len);
        Ok(())
    }

    /// Zeroes `len` bytes. Long runs by a read of kernel address 0: it fails, and bpf_probe_read_kernel then zeroes the
    /// destination (bpf_probe_read_kernel_common in kernel/trace/bpf_trace.c), in one call instead of hundreds of stores.
    pub(super) fn fill_at(&mut self, address: &Address, len: u32) {
        let pieces = pieces(&[address], len);
        if pieces.len() > MAX_FILL_STORES {
            let to = self.address_reg(*address, address.bias());
            let len = self.m.number(i64::from(len));
            let null = self.m.number(0);
            self.m.call(PROBE_READ_KERNEL, &[to, len, null], false);
            return;
        }
        for (at, size) in pieces {
            self.store_at(address, at, size, VSrc::Imm(0));
        }
    }

    pub(super) fn copy(&mut self, dst: (Value, i32), src: (Value, i32), len: u32) -> Result<(), Error> {
        let to = self.address(dst.0, i64::from(dst.1))?;
        let from = self.address(src.0, i64::from(src.1))?;
        let pieces = pieces(&[&to, &from], len);
        if pieces.len() > MAX_COPY_MOVES {
            let to = self.address_reg(to, to.bias());
            let len = self.m.number(i64::from(len));
            let from = self.address_reg(from, from.bias());
            self.m.call(PROBE_READ_KERNEL, &[to, len, from], false);
            return Ok(());
        }
        for (at, size) in pieces {
            let value = self.load_at(&from, at, size);
            self.store_at(&to, at, size, VSrc::Reg(value));
        }
        Ok(())
    }

    pub(super) fn atomic_add(&mut self, size: Size, value: Value, ptr: Value, offset: i32) -> Result<(), Error> {
        let size = size_of(size);
        let address = self.address(ptr, i64::from(offset))?;
        // No one else sees a slot, and the verifier refuses atomics at variable offsets of the stack.
        let private = self.func.value_type(ptr) == Ty::Ptr(Space::Stack);
        if !private && !self.env.features.rbpf {
            let by = self.exact(value)?;
            self.atomic_add_at(&address, size, by);
        } else {
            let old = self.load_at(&address, 0, size);
            let by = self.operand(value)?;
            let new = self.m.alu(Width::W64, AluOp::Add, old, by);
            self.store_at(&address, 0, size, VSrc::Reg(new));
        }
        Ok(())
    }

    /// Pointer plus variable offset: the verifier must see the bound, so it is enforced right before the addition,
    /// unless the index's own definition shows it.
    pub(super) fn ptr_index(&mut self, ptr: Value, index: Value, max: u32) -> Result<VReg, Error> {
        let max = max.min(i32::MAX as u32);
        if let Some(c) = self.const_of(index) {
            let offset = u64::try_from(c).map_or(u64::from(max), |c| c.min(u64::from(max)));
            let address = self.address(ptr, offset as i64)?;
            return Ok(self.address_reg(address, 0));
        }
        let base = self.reg(ptr)?;
        let bounded = !self.forgets && known_max(self.func, index).is_some_and(|m| m <= u64::from(max));
        let (value, index) = (index, self.exact(index)?);
        let mut index = self.unknown(value, index);
        if bounded {
            return Ok(self.m.alu(Width::W64, AluOp::Add, base, VSrc::Reg(index)));
        }
        // What divides the index is forgotten with the rest; the stack insists on it, and additions to what is shared do anywhere.
        let align = known_alignment(self.func, value);
        if align > 1 && (self.forgets || frame::root(self.func, ptr).is_some()) {
            index = self.m.alu(Width::W64, AluOp::And, index, VSrc::Imm(-(align as i32)));
        }
        Ok(self.m.clamp_add(base, index, max as i32))
    }

    pub(super) fn field_off(&mut self, base: Value, offset: i64, path: Path) -> Result<VReg, Error> {
        let Ok(imm) = i32::try_from(offset) else {
            return Err(self.error(ErrorKind::Malformed("field offset over 2 GB")));
        };
        let base = self.exact(base)?;
        let reloc = Reloc::Field { path, slot: RelocSlot::Imm, compiled: offset };
        Ok(self.m.alu_reloc(Width::W64, AluOp::Add, base, VSrc::Imm(imm), Some(reloc)))
    }
}

fn little_endian(bytes: &[u8]) -> i64 {
    match bytes.len() {
        8 => bytes.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b)) as i64,
        // Narrow stores: only these bits are written.
        _ => i64::from(bytes.iter().rev().fold(0u32, |n, &b| n << 8 | u32::from(b)) as i32),
    }
}
