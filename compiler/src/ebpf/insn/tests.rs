use super::*;
use proptest::prelude::*;

fn reg() -> impl Strategy<Value = Reg> {
    (0u8..=10).prop_map(Reg)
}

fn src() -> impl Strategy<Value = Src> {
    prop_oneof![reg().prop_map(Src::Reg), any::<i32>().prop_map(Src::Imm)]
}

fn width() -> impl Strategy<Value = Width> {
    prop_oneof![Just(Width::W32), Just(Width::W64)]
}

fn size() -> impl Strategy<Value = MemSize> {
    prop::sample::select(vec![MemSize::B1, MemSize::B2, MemSize::B4, MemSize::B8])
}

fn alu_op() -> impl Strategy<Value = AluOp> {
    let mut ops: Vec<AluOp> = ALU.iter().map(|(op, _)| *op).collect();
    ops.extend([AluOp::Sdiv, AluOp::Smod]);
    prop::sample::select(ops)
}

fn cond() -> impl Strategy<Value = JumpCond> {
    prop::sample::select(CONDS.iter().map(|(c, _)| *c).collect::<Vec<_>>())
}

fn insn() -> impl Strategy<Value = Insn> {
    let bits = || prop::sample::select(vec![16u8, 32, 64]);
    let order = || prop::sample::select(vec![Swap::ToLe, Swap::ToBe, Swap::Always]);
    let imm64 = || prop::sample::select(vec![Imm64::Number, Imm64::MapFd, Imm64::MapValue, Imm64::Func]);
    prop_oneof![
        (width(), alu_op(), reg(), src()).prop_map(|(width, op, dst, src)| Insn::Alu { width, op, dst, src }),
        (width(), prop::sample::select(vec![8u8, 16, 32]), reg(), reg())
            .prop_map(|(width, bits, dst, src)| Insn::MovSx { width, bits, dst, src }),
        (order(), bits(), reg()).prop_map(|(order, bits, dst)| Insn::Swap { order, bits, dst }),
        (imm64(), reg(), any::<i64>()).prop_map(|(kind, dst, imm)| Insn::LoadImm64 { kind, dst, imm }),
        (size(), any::<bool>(), reg(), reg(), any::<i16>()).prop_map(|(size, signed, dst, src, off)| Insn::Load {
            size,
            signed,
            dst,
            src,
            off
        }),
        (size(), reg(), any::<i16>(), src()).prop_map(|(size, dst, off, src)| Insn::Store { size, dst, off, src }),
        (size(), reg(), any::<i16>(), reg()).prop_map(|(size, dst, off, src)| Insn::AtomicAdd { size, dst, off, src }),
        (size(), reg(), any::<i16>(), reg()).prop_map(|(size, dst, off, src)| Insn::AtomicExchange {
            size,
            dst,
            off,
            src
        }),
        any::<i16>().prop_map(|off| Insn::Jump { off }),
        any::<i32>().prop_map(|off| Insn::JumpLong { off }),
        (width(), cond(), reg(), src(), any::<i16>()).prop_map(|(width, cond, dst, src, off)| Insn::Branch {
            width,
            cond,
            dst,
            src,
            off
        }),
        any::<u32>().prop_map(|helper| Insn::Call { helper }),
        Just(Insn::Exit),
    ]
}

proptest! {
    #[test]
    fn decoding_gives_back_what_was_encoded(insn in insn()) {
        let mut words = Vec::new();
        insn.encode(&mut words);
        prop_assert_eq!(words.len(), insn.units());
        prop_assert_eq!(decode(&words), Some(insn));
    }

    #[test]
    fn any_word_decodes_or_is_refused(a in any::<u64>(), b in any::<u64>()) {
        if let Some(insn) = decode(&[a, b]) {
            let _ = insn.to_string();
        }
    }
}

#[test]
fn encodings_are_the_kernels() {
    // From the verifier log of programs that clang made.
    let cases = [
        (Insn::mov(Reg(0), 0), 0x0000_0000_0000_00b7, "r0 = 0"),
        (Insn::mov(Reg(6), Reg(1)), 0x0000_0000_0000_16bf, "r6 = r1"),
        (Insn::alu(AluOp::Add, Reg(2), -8), 0xffff_fff8_0000_0207, "r2 += -8"),
        (
            Insn::Store { size: MemSize::B8, dst: Reg(10), off: -8, src: Src::Reg(Reg(0)) },
            0x0000_0000_fff8_0a7b,
            "*(u64 *)(r10 -8) = r0",
        ),
        (
            Insn::Load { size: MemSize::B4, signed: false, dst: Reg(1), src: Reg(6), off: 8 },
            0x0000_0000_0008_6161,
            "r1 = *(u32 *)(r6 +8)",
        ),
        (
            Insn::Branch { width: Width::W64, cond: JumpCond::Ne, dst: Reg(0), src: Src::Imm(0), off: 3 },
            0x0000_0000_0003_0055,
            "if r0 != 0x0 goto pc+3",
        ),
        (
            Insn::AtomicAdd { size: MemSize::B8, dst: Reg(0), off: 0, src: Reg(1) },
            0x0000_0000_0000_10db,
            "lock *(u64 *)(r0 +0) += r1",
        ),
        (
            Insn::AtomicExchange { size: MemSize::B8, dst: Reg(6), off: 8, src: Reg(1) },
            0x0000_00e1_0008_16db,
            "r1 = xchg_64(r6 +8, r1)",
        ),
        (Insn::Call { helper: 1 }, 0x0000_0001_0000_0085, "call map_lookup_elem#1"),
        (Insn::Exit, 0x0000_0000_0000_0095, "exit"),
        (Insn::Swap { order: Swap::ToBe, bits: 16, dst: Reg(3) }, 0x0000_0010_0000_03dc, "r3 = be16 r3"),
    ];
    for (insn, word, text) in cases {
        let mut words = Vec::new();
        insn.encode(&mut words);
        assert_eq!(words, [word], "{insn}");
        assert_eq!(insn.to_string(), text);
    }
}

#[test]
fn inverse_and_swapped_conditions_are_involutions() {
    for (cond, _) in CONDS {
        assert_eq!(cond.swapped().swapped(), cond);
        if let Some(inverse) = cond.inverse() {
            assert_eq!(inverse.inverse(), Some(cond));
        }
    }
}
