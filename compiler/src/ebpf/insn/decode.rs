//! Machine words → instructions.

use super::{ALU, AluOp, CONDS, EXCHANGE, Imm64, Insn, MemSize, REG_SOURCE, Reg, SIZES, Src, Swap, Width};

/// The instruction at the start of `words`; None when it is none that the model holds, or is cut short.
/// [`Insn::units`] tells how many words it took.
pub fn decode(words: &[u64]) -> Option<Insn> {
    let word = *words.first()?;
    let f = Fields {
        opcode: word as u8,
        dst: Reg((word >> 8) as u8 & 15),
        src: Reg((word >> 12) as u8 & 15),
        off: (word >> 16) as i16,
        imm: (word >> 32) as i32,
    };
    match f.opcode & 0x07 {
        0x00 => load_imm64(&f, *words.get(1)?),
        0x01 => load(&f),
        0x02 | 0x03 => store(&f),
        0x04 | 0x07 => alu(&f),
        _ => jump(&f),
    }
}

struct Fields {
    opcode: u8,
    dst: Reg,
    src: Reg,
    off: i16,
    imm: i32,
}

impl Fields {
    fn source(&self) -> Src {
        if self.opcode & REG_SOURCE != 0 { Src::Reg(self.src) } else { Src::Imm(self.imm) }
    }

    fn size(&self) -> Option<MemSize> {
        find(&SIZES, self.opcode & 0x18)
    }
}

fn find<T: Copy>(table: &[(T, u8)], code: u8) -> Option<T> {
    table.iter().find(|(_, c)| *c == code).map(|(t, _)| *t)
}

fn load_imm64(f: &Fields, second: u64) -> Option<Insn> {
    let kind = match (f.opcode, f.src.0) {
        (0x18, 0) => Imm64::Number,
        (0x18, 1) => Imm64::MapFd,
        (0x18, 2) => Imm64::MapValue,
        (0x18, 4) => Imm64::Func,
        _ => return None,
    };
    (second as u32 == 0).then(|| Insn::LoadImm64 {
        kind,
        dst: f.dst,
        imm: i64::from(f.imm as u32) | ((second >> 32) as i64) << 32,
    })
}

fn load(f: &Fields) -> Option<Insn> {
    let signed = match f.opcode & 0xe0 {
        0x60 => false,
        0x80 => true,
        _ => return None,
    };
    Some(Insn::Load { size: f.size()?, signed, dst: f.dst, src: f.src, off: f.off })
}

fn store(f: &Fields) -> Option<Insn> {
    let size = f.size()?;
    match (f.opcode & 0x07, f.opcode & 0xe0) {
        (0x02, 0x60) => Some(Insn::Store { size, dst: f.dst, off: f.off, src: Src::Imm(f.imm) }),
        (0x03, 0x60) => Some(Insn::Store { size, dst: f.dst, off: f.off, src: Src::Reg(f.src) }),
        (0x03, 0xc0) if f.imm == EXCHANGE => Some(Insn::AtomicExchange { size, dst: f.dst, off: f.off, src: f.src }),
        (0x03, 0xc0) if f.imm == 0 => Some(Insn::AtomicAdd { size, dst: f.dst, off: f.off, src: f.src }),
        _ => None,
    }
}

fn alu(f: &Fields) -> Option<Insn> {
    let width = if f.opcode & 0x07 == 0x07 { Width::W64 } else { Width::W32 };
    let code = f.opcode & 0xf0;
    if code == 0xd0 {
        let order = match f.opcode {
            0xd4 => Swap::ToLe,
            0xdc => Swap::ToBe,
            0xd7 => Swap::Always,
            _ => return None,
        };
        return matches!(f.imm, 16 | 32 | 64).then_some(Insn::Swap { order, bits: f.imm as u8, dst: f.dst });
    }
    let op = match (find(&ALU, code)?, f.off) {
        (op, 0) => op,
        (AluOp::Div, 1) => AluOp::Sdiv,
        (AluOp::Mod, 1) => AluOp::Smod,
        (AluOp::Mov, bits @ (8 | 16 | 32)) if f.opcode & REG_SOURCE != 0 => {
            return Some(Insn::MovSx { width, bits: bits as u8, dst: f.dst, src: f.src });
        }
        _ => return None,
    };
    Some(Insn::Alu { width, op, dst: f.dst, src: f.source() })
}

fn jump(f: &Fields) -> Option<Insn> {
    match f.opcode {
        0x05 => return Some(Insn::Jump { off: f.off }),
        0x06 => return Some(Insn::JumpLong { off: f.imm }),
        0x85 if f.src.0 == 0 => return Some(Insn::Call { helper: f.imm as u32 }),
        0x85 if f.src.0 == 2 => return Some(Insn::Kfunc { id: f.imm }),
        0x95 => return Some(Insn::Exit),
        _ => {}
    }
    let width = if f.opcode & 0x07 == 0x05 { Width::W64 } else { Width::W32 };
    Some(Insn::Branch { width, cond: find(&CONDS, f.opcode & 0xf0)?, dst: f.dst, src: f.source(), off: f.off })
}
