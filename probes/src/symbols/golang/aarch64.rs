//! aarch64 instructions: four bytes each (Arm ARM, C4.1).

use super::code::{Decode, Instruction, Kind};

pub(super) struct Function<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) address: u64,
}

/// x16, x17 and x27: scratch at a call of ABIInternal (Go's abi-internal.md).
const SCRATCH: u32 = 1 << 16 | 1 << 17 | 1 << 27;

impl Decode for Function<'_> {
    fn at(&self, address: u64) -> Option<Instruction> {
        let from = usize::try_from(address.checked_sub(self.address)?).ok()?;
        let word = self.bytes.get(from..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))?;
        Some(Instruction { address, next: address.checked_add(4)?, kind: kind(word, address) })
    }

    fn range(&self) -> (u64, u64) {
        (self.address, self.address.saturating_add(self.bytes.len() as u64))
    }

    fn scratch(&self) -> u32 {
        SCRATCH
    }
}

/// A signed distance of `bits` bits at `at`, in instructions.
fn target(word: u32, at: u32, bits: u32, address: u64) -> u64 {
    let distance = i64::from((word >> at) << (32 - bits)) << 32 >> (64 - bits);
    address.wrapping_add_signed(distance * 4)
}

fn kind(word: u32, address: u64) -> Kind {
    let register = |at: u32| (word >> at) & 31;
    match word {
        // ret
        _ if word & 0xffff_fc1f == 0xd65f_0000 => Kind::Return,
        // b, bl
        _ if word >> 26 == 0b00_0101 => Kind::Jump(target(word, 0, 26, address)),
        _ if word >> 26 == 0b10_0101 => Kind::Call,
        // br, blr
        _ if word & 0xffff_fc1f == 0xd61f_0000 => Kind::JumpAnywhere,
        _ if word & 0xffff_fc1f == 0xd63f_0000 => Kind::Call,
        // b.cond; cbz, cbnz; tbz, tbnz
        _ if word >> 24 == 0x54 => Kind::Branch(target(word, 5, 19, address)),
        _ if word >> 25 & 0x3f == 0b01_1010 => Kind::Branch(target(word, 5, 19, address)),
        _ if word >> 25 & 0x3f == 0b01_1011 => Kind::Branch(target(word, 5, 14, address)),
        // udf, brk
        _ if word >> 16 == 0 => Kind::Trap,
        _ if word & 0xffe0_001f == 0xd420_0000 => Kind::Trap,
        // cmp, subs to xzr: of registers (shifted, extended)
        _ if word & 0xff00_001f == 0xeb00_001f => Kind::Plain { writes: 0 },
        // ldr Xt, [Xn, #imm]
        _ if word & 0xffc0_0000 == 0xf940_0000 => Kind::Plain { writes: 1 << register(0) },
        // sub, add, subs with a number or a register; movz, movn, movk; mov as orr. Of the stack pointer: sets up the frame.
        _ if matches!(word >> 24, 0xd1 | 0x91 | 0xcb | 0x8b | 0xf1 | 0xeb | 0xd2 | 0x92 | 0xf2 | 0xaa) => {
            if register(0) == 31 && matches!(word >> 24, 0xd1 | 0x91) {
                Kind::Other
            } else {
                Kind::Plain { writes: 1 << register(0) & 0x7fff_ffff }
            }
        }
        _ => Kind::Other,
    }
}
