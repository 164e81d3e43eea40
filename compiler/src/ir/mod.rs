//! The SSA intermediate representation.
//!
//! Every value is 64 bits: an integer, or a pointer whose address space is its type. Blocks take parameters instead of phis.
//! Strings, tuples and other aggregates live in memory (slots, records, map values) and are named by address.
//! Kernel and user *addresses* are plain integers: nothing can load through them, only the `probe_read_*` helpers
//! read there.
//!
//! One meaning for the awkward cases, which both back ends must give (it is eBPF's): `udiv`/`sdiv` by zero is 0,
//! `urem`/`srem` by zero is the dividend, `sdiv(MIN, -1)` is MIN and `srem(MIN, -1)` is 0, shift counts are taken modulo 64,
//! overflow wraps.
//!
//! A map look-up and its null check are one terminator, and so are reserving a record and its failure, so that no pass
//! can part them.

pub mod builder;
pub mod cfg;
pub mod compact;
mod display;
mod entities;
#[doc(hidden)]
pub mod generate;
mod helpers;
pub mod interp;
mod names;
pub mod parser;
pub mod pointer;
pub mod verify;
mod walk;

pub use entities::{Block, Data, Inst, Path, Slot, SpanId, Value};
pub use helpers::{Arg, HELPERS, Helper, HelperRow};

use std::fmt;
use weftrace_artifact::{
    Place,
    action::ActionId,
    map::MapId,
    program::{FieldPath, ProgType},
};

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ty {
    I64,
    Ptr(Space),
}

/// Memory that loads and stores can reach directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// The program's context: tracepoint record, pt_regs; read only. Native: the subject (a view).
    Ctx,
    /// A slot of this function.
    Stack,
    /// A map's value (from `lookup`).
    Map,
    /// A reserved event record (from `reserve`).
    Record,
    /// Native only: bytes the subject points to (packet data, strings, join records); read only.
    Data,
}

/// What runs the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Kernel(ProgType),
    Native,
}

/// A function: one probe's body.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: String,
    pub target: Target,
    pub slots: Vec<SlotData>,
    pub blocks: Vec<BlockData>,
    pub insts: Vec<InstData>,
    pub values: Vec<ValueData>,
    /// Byte strings for [`Op::StoreData`].
    pub data: Vec<Vec<u8>>,
    /// Field paths for loads and `field_off` that depend on the host's layout.
    pub paths: Vec<FieldPath>,
    /// Places in the script; [`InstData::span`] indexes it. Entry 0 is the whole probe.
    pub spans: Vec<Place>,
}

/// Memory of the function, zero on entry only where the code stores zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotData {
    pub size: u32,
    /// 1, 2, 4 or 8
    pub align: u32,
}

/// A block's parameters and instructions; the first block is the entry, with one parameter: the context.
#[derive(Clone, Debug)]
pub struct BlockData {
    pub params: Vec<Value>,
    pub insts: Vec<Inst>,
    pub term: Term,
    pub term_span: SpanId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueData {
    pub ty: Ty,
    pub def: ValueDef,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueDef {
    Inst(Inst),
    Param(Block, u32),
}

#[derive(Clone, Debug)]
pub struct InstData {
    pub op: Op,
    pub result: Option<Value>,
    pub span: SpanId,
}

/// Instructions that are not terminators.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Iconst(i64),
    Binary {
        op: BinaryOp,
        a: Value,
        b: Value,
    },
    Unary {
        op: UnaryOp,
        a: Value,
    },
    /// 1 or 0
    Icmp {
        cond: Cond,
        a: Value,
        b: Value,
    },
    /// `cond != 0 ? a : b`
    Select {
        cond: Value,
        a: Value,
        b: Value,
    },
    SlotAddr {
        slot: Slot,
        offset: u32,
    },
    /// ptr + constant, within the same object
    PtrAdd {
        ptr: Value,
        offset: i32,
    },
    /// ptr + value; `max` is the largest offset the producer proved (the verifier needs the bound)
    PtrIndex {
        ptr: Value,
        index: Value,
        max: u32,
    },
    /// The address as a number, which the read helpers take: what it points to may be read from then on in ways that
    /// nothing here sees.
    PtrInt {
        ptr: Value,
    },
    /// base + offset of a kernel struct member, an integer address; the offset is relocated by `path`
    FieldOff {
        base: Value,
        offset: i64,
        path: Path,
    },
    /// Load from `ptr + offset`; `path`: the offset is relocated
    Load {
        mem: Mem,
        ptr: Value,
        offset: i32,
        path: Option<Path>,
    },
    /// Native only: load a pointer (to [`Space::Data`]) from the subject
    LoadPtr {
        ptr: Value,
        offset: i32,
    },
    Store {
        size: Size,
        value: Value,
        ptr: Value,
        offset: i32,
    },
    /// Constant bytes to `ptr + offset`
    StoreData {
        data: Data,
        ptr: Value,
        offset: i32,
    },
    /// Zero `len` bytes
    Fill {
        ptr: Value,
        offset: i32,
        len: u32,
    },
    /// Copy `len` bytes; no overlap
    Copy {
        dst: Value,
        dst_offset: i32,
        src: Value,
        src_offset: i32,
        len: u32,
    },
    /// `*(ptr + offset) += value`, atomically (size: 4 or 8)
    AtomicAdd {
        size: Size,
        value: Value,
        ptr: Value,
        offset: i32,
    },
    /// Call a helper; `map` for those that take one.
    Call {
        helper: Helper,
        map: Option<MapId>,
        args: Vec<Value>,
    },
    /// Hand the record to user space; the pointer is dead afterwards.
    Submit {
        record: Value,
    },
    Discard {
        record: Value,
    },
}

/// Width and extension of a load to 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mem {
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
}

/// Bytes of a store: 1, 2, 4, 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Size {
    B1,
    B2,
    B4,
    B8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Iadd,
    Isub,
    Imul,
    Udiv,
    Sdiv,
    Urem,
    Srem,
    Band,
    Bor,
    Bxor,
    Shl,
    Lshr,
    Ashr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    Ineg,
    Bnot,
    Zext8,
    Zext16,
    Zext32,
    Sext8,
    Sext16,
    Sext32,
    /// Byte swap of the low 16 bits, zero-extended.
    Bswap16,
    Bswap32,
    Bswap64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cond {
    Eq,
    Ne,
    Ult,
    Ule,
    Ugt,
    Uge,
    Slt,
    Sle,
    Sgt,
    Sge,
}

/// A jump's destination with the arguments for its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dest {
    pub block: Block,
    pub args: Vec<Value>,
}

/// How a block ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// Under construction; the verifier refuses it.
    None,
    Jump(Dest),
    /// `cond != 0`
    Brif {
        cond: Value,
        then: Dest,
        otherwise: Dest,
    },
    /// `found` gets the value's address (space Map) as its first parameter, before its arguments.
    Lookup {
        map: MapId,
        key: Value,
        found: Dest,
        missing: Dest,
    },
    /// `ok` gets the address of the payload (space Record): `size` bytes after the header, which has been written
    /// (action, probe index, time) and the payload zeroed. Nothing else jumps to `ok`. `full` is where nothing could be reserved; the loss has been counted.
    Reserve {
        action: ActionId,
        size: u32,
        ok: Dest,
        full: Dest,
    },
    Return(Value),
}

impl Function {
    pub fn value_type(&self, v: Value) -> Ty {
        self.values[v.index()].ty
    }

    pub fn blocks(&self) -> impl Iterator<Item = Block> + use<> {
        (0..self.blocks.len() as u32).map(Block)
    }
}

impl Mem {
    pub fn bytes(self) -> u32 {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 => 4,
            Self::U64 => 8,
        }
    }
}

impl Size {
    pub fn bytes(self) -> u32 {
        match self {
            Self::B1 => 1,
            Self::B2 => 2,
            Self::B4 => 4,
            Self::B8 => 8,
        }
    }

    pub fn of(bytes: u32) -> Option<Self> {
        Some(match bytes {
            1 => Self::B1,
            2 => Self::B2,
            4 => Self::B4,
            8 => Self::B8,
            _ => return None,
        })
    }
}

impl Term {
    /// The destinations, with how many leading parameters the terminator itself supplies.
    pub fn targets(&self) -> Vec<(&Dest, usize)> {
        match self {
            Self::None | Self::Return(_) => vec![],
            Self::Jump(t) => vec![(t, 0)],
            Self::Brif { then, otherwise, .. } => vec![(then, 0), (otherwise, 0)],
            Self::Lookup { found, missing, .. } => vec![(found, 1), (missing, 0)],
            Self::Reserve { ok, full, .. } => vec![(ok, 1), (full, 0)],
        }
    }

    pub fn targets_mut(&mut self) -> Vec<&mut Dest> {
        match self {
            Self::None | Self::Return(_) => vec![],
            Self::Jump(t) => vec![t],
            Self::Brif { then, otherwise, .. } => vec![then, otherwise],
            Self::Lookup { found, missing, .. } => vec![found, missing],
            Self::Reserve { ok, full, .. } => vec![ok, full],
        }
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I64 => "i64",
            Self::Ptr(Space::Ctx) => "ctx",
            Self::Ptr(Space::Stack) => "stack",
            Self::Ptr(Space::Map) => "map",
            Self::Ptr(Space::Record) => "record",
            Self::Ptr(Space::Data) => "data",
        })
    }
}
