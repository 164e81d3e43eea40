//! One method per instruction.

use super::FunctionBuilder;
use crate::ir::{BinaryOp, Cond, Helper, Mem, Op, Size, Slot, UnaryOp, Value};
use weftrace_artifact::{map::MapId, program::FieldPath};

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident = $op:ident;)*) => {
        /// Two-operand arithmetic on integers.
        impl FunctionBuilder {
            $($(#[$doc])* pub fn $name(&mut self, a: Value, b: Value) -> Value {
                self.binary(BinaryOp::$op, a, b)
            })*
        }
    };
}

binary! {
    iadd = Iadd;
    isub = Isub;
    imul = Imul;
    /// By zero: 0.
    udiv = Udiv;
    /// By zero: 0; MIN / -1: MIN.
    sdiv = Sdiv;
    /// By zero: `a`.
    urem = Urem;
    /// By zero: `a`; MIN % -1: 0.
    srem = Srem;
    band = Band;
    bor = Bor;
    bxor = Bxor;
    /// Count modulo 64.
    shl = Shl;
    /// Count modulo 64.
    lshr = Lshr;
    /// Count modulo 64.
    ashr = Ashr;
}

impl FunctionBuilder {
    pub fn iconst(&mut self, value: i64) -> Value {
        self.push_value(Op::Iconst(value))
    }

    pub fn binary(&mut self, op: BinaryOp, a: Value, b: Value) -> Value {
        self.push_value(Op::Binary { op, a, b })
    }

    /// `a op constant`
    pub fn binary_imm(&mut self, op: BinaryOp, a: Value, constant: i64) -> Value {
        let b = self.iconst(constant);
        self.binary(op, a, b)
    }

    pub fn unary(&mut self, op: UnaryOp, a: Value) -> Value {
        self.push_value(Op::Unary { op, a })
    }

    /// 1 or 0
    pub fn icmp(&mut self, cond: Cond, a: Value, b: Value) -> Value {
        self.push_value(Op::Icmp { cond, a, b })
    }

    /// `a cond constant`: 1 or 0
    pub fn icmp_imm(&mut self, cond: Cond, a: Value, constant: i64) -> Value {
        let b = self.iconst(constant);
        self.icmp(cond, a, b)
    }

    /// `cond != 0 ? a : b`; both are computed. `a` and `b` have the same type, not a record's address.
    pub fn select(&mut self, cond: Value, a: Value, b: Value) -> Value {
        self.push_value(Op::Select { cond, a, b })
    }

    /// The slot's first byte.
    pub fn slot_addr(&mut self, slot: Slot) -> Value {
        self.slot_addr_at(slot, 0)
    }

    pub fn slot_addr_at(&mut self, slot: Slot, offset: u32) -> Value {
        self.push_value(Op::SlotAddr { slot, offset })
    }

    /// ptr + constant, within the same object. An offset of 0 is `ptr` itself.
    pub fn ptr_add(&mut self, ptr: Value, offset: i32) -> Value {
        if offset == 0 { ptr } else { self.push_value(Op::PtrAdd { ptr, offset }) }
    }

    /// The address as a number.
    pub fn ptr_int(&mut self, ptr: Value) -> Value {
        self.push_value(Op::PtrInt { ptr })
    }

    /// ptr + index, where the code has made sure that 0 ≤ index ≤ `max` (unsigned).
    pub fn ptr_index(&mut self, ptr: Value, index: Value, max: u32) -> Value {
        self.push_value(Op::PtrIndex { ptr, index, max })
    }

    /// Address of a kernel struct's member; `offset` is what the compiling host's layout says.
    pub fn field_off(&mut self, base: Value, offset: i64, path: &FieldPath) -> Value {
        let path = self.path(path);
        self.push_value(Op::FieldOff { base, offset, path })
    }

    /// Load from `ptr + offset`, extended to 64 bits as `mem` says.
    pub fn load(&mut self, mem: Mem, ptr: Value, offset: i32) -> Value {
        self.push_value(Op::Load { mem, ptr, offset, path: None })
    }

    /// As [`Self::load`], with an offset that the loader relocates (a tracepoint's field, a BTF-typed member).
    pub fn load_field(&mut self, mem: Mem, ptr: Value, offset: i32, path: &FieldPath) -> Value {
        let path = Some(self.path(path));
        self.push_value(Op::Load { mem, ptr, offset, path })
    }

    /// Native only: an address (space Data) from the subject, or from data.
    pub fn load_ptr(&mut self, ptr: Value, offset: i32) -> Value {
        self.push_value(Op::LoadPtr { ptr, offset })
    }

    /// The low bytes of `value` to `ptr + offset`.
    pub fn store(&mut self, size: Size, value: Value, ptr: Value, offset: i32) {
        self.push(Op::Store { size, value, ptr, offset });
    }

    /// Constant bytes to `ptr + offset`.
    pub fn store_data(&mut self, bytes: &[u8], ptr: Value, offset: i32) {
        let data = self.data(bytes);
        self.push(Op::StoreData { data, ptr, offset });
    }

    /// Zeroes `len` bytes at `ptr + offset`.
    pub fn fill(&mut self, ptr: Value, offset: i32, len: u32) {
        if len > 0 {
            self.push(Op::Fill { ptr, offset, len });
        }
    }

    /// Copies `len` bytes from `src` (address, offset) to `dst`; they don't overlap.
    pub fn copy(&mut self, dst: (Value, i32), src: (Value, i32), len: u32) {
        if len > 0 {
            self.push(Op::Copy { dst: dst.0, dst_offset: dst.1, src: src.0, src_offset: src.1, len });
        }
    }

    /// `*(ptr + offset) += value`, atomically; size 4 or 8.
    pub fn atomic_add(&mut self, size: Size, value: Value, ptr: Value, offset: i32) {
        self.push(Op::AtomicAdd { size, value, ptr, offset });
    }

    /// Calls a helper that takes no map. `args` are as in its row of the table.
    pub fn call(&mut self, helper: Helper, args: &[Value]) -> Value {
        self.push_value(Op::Call { helper, map: None, args: args.to_vec() })
    }

    /// Calls a helper that takes a map; `args` leave the map out.
    pub fn call_map(&mut self, helper: Helper, map: MapId, args: &[Value]) -> Value {
        self.push_value(Op::Call { helper, map: Some(map), args: args.to_vec() })
    }

    /// Hands the record (the value that `reserve` gave) to user space.
    pub fn submit(&mut self, record: Value) {
        self.push(Op::Submit { record });
    }

    /// Gives the record back unsent.
    pub fn discard(&mut self, record: Value) {
        self.push(Op::Discard { record });
    }
}
