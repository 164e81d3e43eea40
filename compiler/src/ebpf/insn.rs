//! The instruction set (Documentation/bpf/standardization/instruction-set.rst): a model, its encoding, its text.
//!
//! `decode(encode(i)) == i` for every instruction the model can hold.

mod decode;
#[cfg(test)]
mod tests;
mod text;

pub use decode::decode;
pub use text::helper_name;

/// A machine register, r0 to r10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(pub u8);

impl Reg {
    /// Return values.
    pub const R0: Self = Self(0);
    /// The frame pointer; read only.
    pub const FRAME: Self = Self(10);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    W32,
    W64,
}

/// Bytes of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemSize {
    B1,
    B2,
    B4,
    B8,
}

impl MemSize {
    pub fn bytes(self) -> u32 {
        match self {
            Self::B1 => 1,
            Self::B2 => 2,
            Self::B4 => 4,
            Self::B8 => 8,
        }
    }

    /// The access of so many bytes.
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

/// Second operand: a register, or an immediate (sign-extended to 64 bits by 64-bit instructions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Src {
    Reg(Reg),
    Imm(i32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AluOp {
    Add,
    Sub,
    Mul,
    Div,
    Or,
    And,
    Lsh,
    Rsh,
    Neg,
    Mod,
    Xor,
    Mov,
    Arsh,
    /// Signed: cpu v4 (kernel 6.6).
    Sdiv,
    Smod,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Swap {
    /// `le16` …: truncates and, on big-endian hosts, swaps.
    ToLe,
    /// `be16` …: truncates and, on little-endian hosts, swaps.
    ToBe,
    /// `bswap16` …: cpu v4.
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JumpCond {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    Sgt,
    Sge,
    Slt,
    Sle,
    /// `dst & src`
    Set,
}

impl JumpCond {
    /// The condition that holds when this one does not; None for `Set`.
    pub fn inverse(self) -> Option<Self> {
        Some(match self {
            Self::Eq => Self::Ne,
            Self::Ne => Self::Eq,
            Self::Gt => Self::Le,
            Self::Le => Self::Gt,
            Self::Ge => Self::Lt,
            Self::Lt => Self::Ge,
            Self::Sgt => Self::Sle,
            Self::Sle => Self::Sgt,
            Self::Sge => Self::Slt,
            Self::Slt => Self::Sge,
            Self::Set => return None,
        })
    }

    /// The condition with its operands exchanged.
    pub fn swapped(self) -> Self {
        match self {
            Self::Eq | Self::Ne | Self::Set => self,
            Self::Gt => Self::Lt,
            Self::Lt => Self::Gt,
            Self::Ge => Self::Le,
            Self::Le => Self::Ge,
            Self::Sgt => Self::Slt,
            Self::Slt => Self::Sgt,
            Self::Sge => Self::Sle,
            Self::Sle => Self::Sge,
        }
    }
}

/// What the 64-bit immediate of a `ld_imm64` is (the instruction's src field).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Imm64 {
    Number,
    /// BPF_PSEUDO_MAP_FD
    MapFd,
    /// BPF_PSEUDO_MAP_VALUE: address of an array's first value plus an offset
    MapValue,
    /// BPF_PSEUDO_FUNC: a function of the program, as the distance to it
    Func,
}

/// An instruction. Jump offsets count 8-byte units from the following instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Insn {
    Alu {
        width: Width,
        op: AluOp,
        dst: Reg,
        src: Src,
    },
    /// Move with sign extension from 8, 16 or 32 bits: cpu v4.
    MovSx {
        width: Width,
        bits: u8,
        dst: Reg,
        src: Reg,
    },
    Swap {
        order: Swap,
        bits: u8,
        dst: Reg,
    },
    /// Takes two units.
    LoadImm64 {
        kind: Imm64,
        dst: Reg,
        imm: i64,
    },
    /// `signed` extends the sign: cpu v4.
    Load {
        size: MemSize,
        signed: bool,
        dst: Reg,
        src: Reg,
        off: i16,
    },
    Store {
        size: MemSize,
        dst: Reg,
        off: i16,
        src: Src,
    },
    /// `lock *(dst + off) += src`; B4 or B8
    AtomicAdd {
        size: MemSize,
        dst: Reg,
        off: i16,
        src: Reg,
    },
    /// What was there comes into `src`: kernel 5.12.
    AtomicExchange {
        size: MemSize,
        dst: Reg,
        off: i16,
        src: Reg,
    },
    Jump {
        off: i16,
    },
    /// `gotol`: cpu v4.
    JumpLong {
        off: i32,
    },
    Branch {
        width: Width,
        cond: JumpCond,
        dst: Reg,
        src: Src,
        off: i16,
    },
    /// Call of a kernel function by the id of its type in vmlinux.
    Kfunc {
        id: i32,
    },
    /// Call of a helper by number.
    Call {
        helper: u32,
    },
    Exit,
}

/// BPF_NEG's code is not in sequence with its neighbours in our order; one table for both directions.
const ALU: [(AluOp, u8); 13] = [
    (AluOp::Add, 0x00),
    (AluOp::Sub, 0x10),
    (AluOp::Mul, 0x20),
    (AluOp::Div, 0x30),
    (AluOp::Or, 0x40),
    (AluOp::And, 0x50),
    (AluOp::Lsh, 0x60),
    (AluOp::Rsh, 0x70),
    (AluOp::Neg, 0x80),
    (AluOp::Mod, 0x90),
    (AluOp::Xor, 0xa0),
    (AluOp::Mov, 0xb0),
    (AluOp::Arsh, 0xc0),
];

const CONDS: [(JumpCond, u8); 11] = [
    (JumpCond::Eq, 0x10),
    (JumpCond::Gt, 0x20),
    (JumpCond::Ge, 0x30),
    (JumpCond::Set, 0x40),
    (JumpCond::Ne, 0x50),
    (JumpCond::Sgt, 0x60),
    (JumpCond::Sge, 0x70),
    (JumpCond::Lt, 0xa0),
    (JumpCond::Le, 0xb0),
    (JumpCond::Slt, 0xc0),
    (JumpCond::Sle, 0xd0),
];

const SIZES: [(MemSize, u8); 4] = [(MemSize::B4, 0x00), (MemSize::B2, 0x08), (MemSize::B1, 0x10), (MemSize::B8, 0x18)];

fn code_of<T: PartialEq + Copy>(table: &[(T, u8)], wanted: T) -> u8 {
    table.iter().find(|(t, _)| *t == wanted).map_or(0, |(_, code)| *code)
}

/// Packs `struct bpf_insn`: opcode, dst | src << 4, off, imm.
fn pack(opcode: u8, dst: Reg, src: u8, off: i16, imm: i32) -> u64 {
    u64::from(opcode)
        | u64::from(dst.0 & 15) << 8
        | u64::from(src & 15) << 12
        | u64::from(off as u16) << 16
        | u64::from(imm as u32) << 32
}

const REG_SOURCE: u8 = 0x08;
/// BPF_XCHG
const EXCHANGE: i32 = 0xe1;

/// (source bit, src field, imm field)
fn source(src: Src) -> (u8, u8, i32) {
    match src {
        Src::Reg(r) => (REG_SOURCE, r.0, 0),
        Src::Imm(i) => (0, 0, i),
    }
}

impl Insn {
    /// 64-bit `dst = src`.
    pub fn mov(dst: Reg, src: impl Into<Src>) -> Self {
        Self::Alu { width: Width::W64, op: AluOp::Mov, dst, src: src.into() }
    }

    /// 64-bit `dst op= src`.
    pub fn alu(op: AluOp, dst: Reg, src: impl Into<Src>) -> Self {
        Self::Alu { width: Width::W64, op, dst, src: src.into() }
    }

    /// Units of 8 bytes.
    pub fn units(self) -> usize {
        if matches!(self, Self::LoadImm64 { .. }) { 2 } else { 1 }
    }

    /// Appends the encoding.
    pub fn encode(self, out: &mut Vec<u64>) {
        match self {
            Self::LoadImm64 { kind, dst, imm } => {
                let pseudo = match kind {
                    Imm64::Number => 0,
                    Imm64::MapFd => 1,
                    Imm64::MapValue => 2,
                    Imm64::Func => 4,
                };
                out.push(pack(0x18, dst, pseudo, 0, imm as i32));
                out.push(pack(0, Reg(0), 0, 0, (imm >> 32) as i32));
            }
            other => out.push(other.encode_one()),
        }
    }

    fn encode_one(self) -> u64 {
        match self {
            Self::Alu { width, op, dst, src } => encode_alu(width, op, dst, src),
            Self::MovSx { width, bits, dst, src } => pack(0xb8 | alu_class(width), dst, src.0, i16::from(bits), 0),
            Self::Swap { order, bits, dst } => {
                let opcode = match order {
                    Swap::ToLe => 0xd4,
                    Swap::ToBe => 0xdc,
                    Swap::Always => 0xd7,
                };
                pack(opcode, dst, 0, 0, i32::from(bits))
            }
            Self::LoadImm64 { dst, imm, .. } => pack(0x18, dst, 0, 0, imm as i32),
            Self::Load { size, signed, dst, src, off } => {
                pack(if signed { 0x81 } else { 0x61 } | code_of(&SIZES, size), dst, src.0, off, 0)
            }
            Self::Store { size, dst, off, src } => {
                let (_, reg, imm) = source(src);
                let class = if matches!(src, Src::Reg(_)) { 0x63 } else { 0x62 };
                pack(class | code_of(&SIZES, size), dst, reg, off, imm)
            }
            Self::AtomicAdd { size, dst, off, src } => pack(0xc3 | code_of(&SIZES, size), dst, src.0, off, 0),
            Self::AtomicExchange { size, dst, off, src } => {
                pack(0xc3 | code_of(&SIZES, size), dst, src.0, off, EXCHANGE)
            }
            Self::Jump { off } => pack(0x05, Reg(0), 0, off, 0),
            Self::JumpLong { off } => pack(0x06, Reg(0), 0, 0, off),
            Self::Branch { width, cond, dst, src, off } => {
                let (bit, reg, imm) = source(src);
                let class = if width == Width::W64 { 0x05 } else { 0x06 };
                pack(class | bit | code_of(&CONDS, cond), dst, reg, off, imm)
            }
            // BPF_PSEUDO_KFUNC_CALL
            Self::Kfunc { id } => pack(0x85, Reg(0), 2, 0, id),
            Self::Call { helper } => pack(0x85, Reg(0), 0, 0, helper as i32),
            Self::Exit => pack(0x95, Reg(0), 0, 0, 0),
        }
    }
}

fn alu_class(width: Width) -> u8 {
    if width == Width::W64 { 0x07 } else { 0x04 }
}

fn encode_alu(width: Width, op: AluOp, dst: Reg, src: Src) -> u64 {
    let (bit, reg, imm) = source(src);
    let (code, off) = match op {
        AluOp::Sdiv => (0x30, 1),
        AluOp::Smod => (0x90, 1),
        _ => (code_of(&ALU, op), 0),
    };
    pack(code | bit | alu_class(width), dst, reg, off, imm)
}

impl From<Reg> for Src {
    fn from(r: Reg) -> Self {
        Self::Reg(r)
    }
}

impl From<i32> for Src {
    fn from(i: i32) -> Self {
        Self::Imm(i)
    }
}
