//! Addresses, loads, stores, and inline fills and copies.

use super::translate::{Translator, flags};
use crate::ir::{Mem, Op, Size, Value};
use cranelift::prelude::{InstBuilder, IntCC, types};
use cranelift_codegen::ir as clif;

/// Fills and copies up to this many bytes are straight-line code; longer ones loop over words.
const UNROLLED: u32 = 256;

/// An address: base + offset.
type Address = (clif::Value, i32);

impl Translator<'_, '_> {
    pub(super) fn address(&mut self, op: &Op) -> Result<clif::Value, String> {
        Ok(match *op {
            Op::SlotAddr { slot, offset } => {
                let slot = self.slots[slot.index()];
                self.b.ins().stack_addr(types::I64, slot, offset as i32)
            }
            Op::PtrAdd { ptr, offset } => {
                let (ptr, offset) = (self.value(ptr)?, self.iconst(i64::from(offset)));
                self.b.ins().iadd(ptr, offset)
            }
            Op::PtrIndex { ptr, index, .. } => {
                let (ptr, index) = (self.value(ptr)?, self.value(index)?);
                self.b.ins().iadd(ptr, index)
            }
            _ => return Err(format!("`{op}` is not an address")),
        })
    }

    pub(super) fn load(&mut self, mem: Mem, ptr: Value, offset: i32) -> Result<clif::Value, String> {
        let ptr = self.value(ptr)?;
        let ins = self.b.ins();
        Ok(match mem {
            Mem::U8 => ins.uload8(types::I64, flags(), ptr, offset),
            Mem::U16 => ins.uload16(types::I64, flags(), ptr, offset),
            Mem::U32 => ins.uload32(flags(), ptr, offset),
            Mem::U64 => ins.load(types::I64, flags(), ptr, offset),
            Mem::I8 => ins.sload8(types::I64, flags(), ptr, offset),
            Mem::I16 => ins.sload16(types::I64, flags(), ptr, offset),
            Mem::I32 => ins.sload32(flags(), ptr, offset),
        })
    }

    pub(super) fn write(&mut self, op: &Op) -> Result<(), String> {
        match *op {
            Op::Store { size, value, ptr, offset } => {
                let (value, ptr) = (self.value(value)?, self.value(ptr)?);
                self.store(size, value, (ptr, offset));
            }
            Op::StoreData { data, ptr, offset } => {
                let (func, ptr) = (self.func, self.value(ptr)?);
                self.store_bytes(&func.data[data.index()], (ptr, offset));
            }
            Op::Fill { ptr, offset, len } => {
                let ptr = self.value(ptr)?;
                let zero = self.iconst(0);
                self.in_words(len, (ptr, offset), None, |t, size, to, _| t.store(size, zero, to));
            }
            Op::Copy { dst, dst_offset, src, src_offset, len } => {
                let (dst, src) = ((self.value(dst)?, dst_offset), (self.value(src)?, src_offset));
                self.in_words(len, dst, Some(src), |t, size, to, from| {
                    let word = t.b.ins().load(clif_type(size), flags(), from.0, from.1);
                    t.b.ins().store(flags(), word, to.0, to.1);
                });
            }
            Op::AtomicAdd { size, value, ptr, offset } => {
                let (value, ptr) = (self.value(value)?, self.value(ptr)?);
                let mem = if size == Size::B4 { types::I32 } else { types::I64 };
                let old = self.b.ins().load(mem, flags(), ptr, offset);
                let value = if size == Size::B4 { self.b.ins().ireduce(mem, value) } else { value };
                let new = self.b.ins().iadd(old, value);
                self.b.ins().store(flags(), new, ptr, offset);
            }
            _ => return Err(format!("`{op}` is not a write")),
        }
        Ok(())
    }

    fn store(&mut self, size: Size, value: clif::Value, (ptr, offset): Address) {
        let ins = self.b.ins();
        match size {
            Size::B1 => ins.istore8(flags(), value, ptr, offset),
            Size::B2 => ins.istore16(flags(), value, ptr, offset),
            Size::B4 => ins.istore32(flags(), value, ptr, offset),
            Size::B8 => ins.store(flags(), value, ptr, offset),
        };
    }

    fn store_bytes(&mut self, mut bytes: &[u8], (ptr, mut offset): Address) {
        while !bytes.is_empty() {
            let size = widest(bytes.len() as u32);
            let (word, rest) = bytes.split_at(size.bytes() as usize);
            let word = self.iconst(crate::ir::interp::eval::little_endian(word) as i64);
            self.store(size, word, (ptr, offset));
            offset = offset.wrapping_add(size.bytes() as i32);
            bytes = rest;
        }
    }

    /// Covers `len` bytes by `each(size, to, from)`: a loop over the whole words if there are many, then what is left.
    fn in_words(
        &mut self,
        len: u32,
        to: Address,
        from: Option<Address>,
        each: impl Fn(&mut Self, Size, Address, Address),
    ) {
        let from = from.unwrap_or(to);
        let mut done = 0;
        if len > UNROLLED {
            done = len & !7;
            self.word_loop(done, to, from, &each);
        }
        while done < len {
            let size = widest(len - done);
            let at = |(ptr, offset): Address| (ptr, offset.wrapping_add(done as i32));
            each(self, size, at(to), at(from));
            done += size.bytes();
        }
    }

    /// For each offset 0, 8, … below `len`.
    fn word_loop(&mut self, len: u32, to: Address, from: Address, each: &impl Fn(&mut Self, Size, Address, Address)) {
        let (body, after) = (self.b.create_block(), self.b.create_block());
        let index = self.b.append_block_param(body, types::I64);
        let zero = self.iconst(0);
        self.b.ins().jump(body, &[zero.into()]);

        self.b.switch_to_block(body);
        let to = (self.b.ins().iadd(to.0, index), to.1);
        let from = (self.b.ins().iadd(from.0, index), from.1);
        each(self, Size::B8, to, from);
        let step = self.iconst(8);
        let next = self.b.ins().iadd(index, step);
        let end = self.iconst(i64::from(len));
        let more = self.b.ins().icmp(IntCC::UnsignedLessThan, next, end);
        self.b.ins().brif(more, body, &[next.into()], after, &[]);

        self.b.switch_to_block(after);
    }
}

/// The widest access of at most `len` bytes.
fn widest(len: u32) -> Size {
    match len {
        8.. => Size::B8,
        4.. => Size::B4,
        2.. => Size::B2,
        _ => Size::B1,
    }
}

fn clif_type(size: Size) -> clif::Type {
    match size {
        Size::B1 => types::I8,
        Size::B2 => types::I16,
        Size::B4 => types::I32,
        Size::B8 => types::I64,
    }
}
