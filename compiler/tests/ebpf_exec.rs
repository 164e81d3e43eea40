//! eBPF code must do what the interpreter says: in user space (rbpf) and in this host's kernel, whose verifier must accept it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::many_single_char_names,
    reason = "test code"
)]

mod support;

use support::ebpf_case::{agree, array, builder, case, hash, results};
use weftrace_artifact::map::MapId;
use weftrace_compiler::ir::{BinaryOp, Cond, Helper, Mem, Size, Ty, UnaryOp};

const EDGES: [i64; 12] =
    [0, 1, -1, 2, 7, -7, 63, 64, i64::MIN, i64::MAX, 0x8000_0000, 0x1234_5678_9abc_def0_u64 as i64];

const BINARY: [BinaryOp; 13] = [
    BinaryOp::Iadd,
    BinaryOp::Isub,
    BinaryOp::Imul,
    BinaryOp::Udiv,
    BinaryOp::Sdiv,
    BinaryOp::Urem,
    BinaryOp::Srem,
    BinaryOp::Band,
    BinaryOp::Bor,
    BinaryOp::Bxor,
    BinaryOp::Shl,
    BinaryOp::Lshr,
    BinaryOp::Ashr,
];

#[test]
fn binary_operations_at_the_edges() {
    for &right in &EDGES {
        // Variable by variable, variable by constant, constant by variable.
        let mut b = builder("binary");
        let out = results(&mut b);
        let ctx = b.ctx();
        let y = b.load(Mem::U64, ctx, 88);
        let fixed = b.iconst(right);
        let mut at = 0;
        for op in BINARY {
            for (i, &left) in EDGES.iter().enumerate().take(11) {
                let x = b.load(Mem::U64, ctx, 8 * i as i32);
                let left = b.iconst(left);
                for (p, q) in [(x, y), (x, fixed), (left, y)] {
                    let r = b.binary(op, p, q);
                    b.store(Size::B8, r, out, at);
                    at += 8;
                }
            }
        }
        b.ret_zero();
        let func = b.finish();
        let mut words: Vec<u64> = EDGES.iter().map(|&e| e as u64).collect();
        words[11] = right as u64;
        let outcome = agree(&func, &case(&[array(at as u32, 1)], &words));
        assert_eq!(outcome.maps[0].len(), 1);
    }
}

#[test]
fn unary_operations() {
    let ops = [
        UnaryOp::Ineg,
        UnaryOp::Bnot,
        UnaryOp::Zext8,
        UnaryOp::Zext16,
        UnaryOp::Zext32,
        UnaryOp::Sext8,
        UnaryOp::Sext16,
        UnaryOp::Sext32,
        UnaryOp::Bswap16,
        UnaryOp::Bswap32,
        UnaryOp::Bswap64,
    ];
    let mut b = builder("unary");
    let out = results(&mut b);
    let ctx = b.ctx();
    let mut at = 0;
    for i in 0..12 {
        let x = b.load(Mem::U64, ctx, 8 * i);
        for op in ops {
            let r = b.unary(op, x);
            b.store(Size::B8, r, out, at);
            at += 8;
        }
    }
    b.ret_zero();
    let words: Vec<u64> = EDGES.iter().map(|&e| e as u64).collect();
    agree(&b.finish(), &case(&[array(at as u32, 1)], &words));
}

const CONDS: [Cond; 10] =
    [Cond::Eq, Cond::Ne, Cond::Ult, Cond::Ule, Cond::Ugt, Cond::Uge, Cond::Slt, Cond::Sle, Cond::Sgt, Cond::Sge];

#[test]
fn comparisons_selects_and_branches() {
    for (x, y) in [(1, 2), (2, 1), (5, 5), (-1, 1), (i64::MIN, i64::MAX), (-1, -1)] {
        let mut b = builder("compare");
        let out = results(&mut b);
        let ctx = b.ctx();
        let (p, q) = (b.load(Mem::U64, ctx, 0), b.load(Mem::U64, ctx, 8));
        let fixed = b.iconst(y);
        let mut at = 0;
        for cond in CONDS {
            for (l, r) in [(p, q), (p, fixed), (fixed, p)] {
                let c = b.icmp(cond, l, r);
                b.store(Size::B8, c, out, at);
                // The condition has two more uses, folded; minimum and maximum take the compared values themselves.
                let mut taken = vec![b.select(c, l, r), b.select(c, r, l)];
                let (seven, big) = (b.iconst(7), b.iconst(1 << 40));
                taken.push(b.select(c, seven, p));
                taken.push(b.select(c, big, seven));
                for (i, &v) in taken.iter().enumerate() {
                    b.store(Size::B8, v, out, at + 8 + 8 * i as i32);
                }
                let (then, otherwise) = (b.create_block(&[Ty::I64]), b.create_block(&[]));
                let join = b.create_block(&[Ty::I64]);
                b.brif_args(c, (then, &[seven]), (otherwise, &[]));
                b.switch_to(then);
                let given = b.param(then, 0);
                b.jump(join, &[given]);
                b.switch_to(otherwise);
                b.jump(join, &[q]);
                b.switch_to(join);
                let merged = b.param(join, 0);
                b.store(Size::B8, merged, out, at + 40);
                at += 48;
            }
        }
        b.ret_zero();
        agree(&b.finish(), &case(&[array(at as u32, 1)], &[x as u64, y as u64]));
    }
}

#[test]
fn forty_values_live_across_calls() {
    let mut b = builder("spills");
    let ctx = b.ctx();
    let slot = b.slot(8, 8);
    let key = b.slot_addr(slot);
    let mut values = vec![];
    for i in 0..40 {
        let x = b.load(Mem::U64, ctx, 8 * (i % 12));
        let by = b.iconst(i64::from(i) * 77);
        values.push(b.iadd(x, by));
    }
    for &v in &values[..5] {
        b.store(Size::B8, v, key, 0);
        let flags = b.iconst(0);
        b.call_map(Helper::MapUpdate, MapId(0), &[key, key, flags]);
    }
    let mut sum = b.iconst(0);
    for v in values {
        let twice = b.imul(sum, v);
        sum = b.iadd(twice, v);
    }
    b.ret(sum);
    agree(&b.finish(), &case(&[hash(8, 8, 100)], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]));
}

/// Adds up 1..=n with two values that change places at every turn.
#[test]
fn loops_move_their_values_in_parallel() {
    let mut b = builder("loops");
    let ctx = b.ctx();
    let n = b.load(Mem::U64, ctx, 0);
    let head = b.create_block(&[Ty::I64, Ty::I64, Ty::I64]);
    let body = b.create_block(&[]);
    let done = b.create_block(&[]);
    let (zero, one) = (b.iconst(0), b.iconst(1));
    b.jump(head, &[zero, n, one]);
    b.switch_to(head);
    let (i, x, y) = (b.param(head, 0), b.param(head, 1), b.param(head, 2));
    let more = b.icmp_imm(Cond::Ult, i, 20);
    b.brif(more, body, done);
    b.switch_to(body);
    let next = b.binary_imm(BinaryOp::Iadd, i, 1);
    let sum = b.iadd(x, next);
    b.jump(head, &[next, y, sum]);
    b.switch_to(done);
    let three = b.iconst(3);
    let scaled = b.imul(x, three);
    let all = b.isub(scaled, y);
    b.ret(all);
    let outcome = agree(&b.finish(), &case(&[], &[1000]));
    assert_ne!(outcome.result, 0);
}
