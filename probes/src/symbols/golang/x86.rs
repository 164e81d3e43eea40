//! x86-64 instructions.

use super::code::{Decode, Instruction, Kind};
use iced_x86::{Code, Decoder, DecoderOptions, Mnemonic, OpKind, Register};

pub(super) struct Function<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) address: u64,
}

/// r12 and r13: they hold nothing at a call of ABIInternal (Go's abi-internal.md).
const SCRATCH: u32 = 1 << 12 | 1 << 13;

impl Decode for Function<'_> {
    fn at(&self, address: u64) -> Option<Instruction> {
        let from = usize::try_from(address.checked_sub(self.address)?).ok()?;
        let bytes = self.bytes.get(from..).filter(|rest| !rest.is_empty())?;
        let decoded = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
        let next = address.checked_add(decoded.len().max(1) as u64)?;
        Some(Instruction { address, next, kind: kind(&decoded) })
    }

    fn range(&self) -> (u64, u64) {
        (self.address, self.address.saturating_add(self.bytes.len() as u64))
    }

    fn scratch(&self) -> u32 {
        SCRATCH
    }
}

fn kind(i: &iced_x86::Instruction) -> Kind {
    let near = matches!(i.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64);
    match i.mnemonic() {
        _ if i.code() == Code::INVALID => Kind::Unknown,
        Mnemonic::Ret | Mnemonic::Retf | Mnemonic::Iretq | Mnemonic::Sysretq => Kind::Return,
        Mnemonic::Jmp if near => Kind::Jump(i.near_branch_target()),
        Mnemonic::Jmp => Kind::JumpAnywhere,
        Mnemonic::Call => Kind::Call,
        Mnemonic::Int3 | Mnemonic::Ud2 | Mnemonic::Hlt => Kind::Trap,
        // Of all others only conditional jumps (and xbegin) say where to.
        _ if near => Kind::Branch(i.near_branch_target()),
        Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Nop => Kind::Plain { writes: 0 },
        Mnemonic::Mov | Mnemonic::Lea | Mnemonic::Sub | Mnemonic::Add if i.op0_kind() == OpKind::Register => {
            match i.op0_register() {
                Register::RSP | Register::ESP => Kind::Other,
                register => general(register).map_or(Kind::Other, |n| Kind::Plain { writes: 1 << n }),
            }
        }
        _ => Kind::Other,
    }
}

/// The number of a general register of 32 or 64 bits.
fn general(register: Register) -> Option<u32> {
    let number = |first: Register| (register as u32).checked_sub(first as u32).filter(|n| *n < 16);
    number(Register::EAX).or_else(|| number(Register::RAX))
}
