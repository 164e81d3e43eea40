//! eBPF code must do what the interpreter says: in user space (rbpf) and in this host's kernel, whose verifier must accept it.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

mod support;

use support::case::Case;
use support::kernel_exec::Kernel;
use support::rbpf_exec::Rbpf;
use support::{Executor, Interpreter};
use weftrace_artifact::Place;
use weftrace_artifact::action::ActionId;
use weftrace_artifact::map::{Kind, MapId};
use weftrace_artifact::program::ProgType;
use weftrace_compiler::ir::builder::FunctionBuilder;
use weftrace_compiler::ir::interp::host::{Host, Map, MapShape};
use weftrace_compiler::ir::verify::verify;
use weftrace_compiler::ir::{BinaryOp, Block, Cond, Function, Helper, Mem, Size, Space, Target, Ty, UnaryOp, Value};

const RESULTS: MapId = MapId(0);

fn builder(name: &str) -> FunctionBuilder {
    FunctionBuilder::new(name, Target::Kernel(ProgType::RawTracepoint), Place::default())
}

fn array(value_size: u32, max_entries: u32) -> MapShape {
    MapShape { kind: Kind::Array, key_size: 4, value_size, max_entries }
}

fn hash(key_size: u32, value_size: u32, max_entries: u32) -> MapShape {
    MapShape { kind: Kind::Hash, key_size, value_size, max_entries }
}

fn case(shapes: &[MapShape], words: &[u64]) -> Case {
    let ctx = words.iter().chain(&[0; 12]).take(12).flat_map(|w| w.to_le_bytes()).collect();
    let maps = shapes.iter().map(|&s| Map::new(s)).collect();
    Case::from_host(Host { ctx, maps, ring_capacity: 1000, now: 77, ..Host::default() })
}

/// Runs the function everywhere; the interpreter's outcome.
fn agree(func: &Function, case: &Case) -> support::Outcome {
    verify(func).unwrap_or_else(|e| panic!("{e}\n{func}"));
    let expected = Interpreter.run(func, case).unwrap_or_else(|e| panic!("interp: {e}\n{func}"));
    let others: [&dyn Executor; 2] = [&Rbpf, &Kernel];
    for executor in others {
        if !executor.supports(func, case) {
            assert!(executor.name() == "kernel" && !support::kernel_exec::available(), "{} must run this", executor.name());
            continue;
        }
        match executor.run(func, case) {
            Ok(outcome) => assert!(outcome == expected, "{}: {outcome}, interp: {expected}\n{func}", executor.name()),
            Err(e) => panic!("{}: {e}\n{func}", executor.name()),
        }
    }
    expected
}

/// The value of the only element of the results map; other blocks follow from the returned one.
fn results(b: &mut FunctionBuilder) -> Value {
    let slot = b.slot(4, 4);
    let key = b.slot_addr(slot);
    let zero = b.iconst(0);
    b.store(Size::B4, zero, key, 0);
    let missing = b.create_block(&[]);
    let found = b.create_block(&[Ty::Ptr(Space::Map)]);
    b.lookup(RESULTS, key, found, missing);
    b.switch_to(missing);
    b.ret_zero();
    b.switch_to(found);
    b.param(found, 0)
}

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

const CONDS: [Cond; 10] = [
    Cond::Eq,
    Cond::Ne,
    Cond::Ult,
    Cond::Ule,
    Cond::Ugt,
    Cond::Uge,
    Cond::Slt,
    Cond::Sle,
    Cond::Sgt,
    Cond::Sge,
];

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

#[test]
fn counting_in_a_hash_map() {
    let mut b = builder("count");
    let ctx = b.ctx();
    let slot = b.slot(16, 8);
    let key = b.slot_addr(slot);
    b.fill(key, 0, 16);
    for i in 0..6 {
        let x = b.load(Mem::U32, ctx, 8 * i);
        b.store(Size::B4, x, key, 4);
        let (found, missing) = (b.create_block(&[Ty::Ptr(Space::Map)]), b.create_block(&[]));
        let join = b.create_block(&[]);
        b.lookup(MapId(0), key, found, missing);
        b.switch_to(found);
        let value = b.param(found, 0);
        let one = b.iconst(1);
        b.atomic_add(Size::B8, one, value, 8);
        let old = b.load(Mem::I32, value, 0);
        let less = b.binary_imm(BinaryOp::Isub, old, 5);
        b.store(Size::B4, less, value, 0);
        b.jump(join, &[]);
        b.switch_to(missing);
        let flags = b.iconst(1);
        let result = b.call_map(Helper::MapUpdate, MapId(0), &[key, key, flags]);
        let (full, ok) = (b.create_block(&[]), b.create_block(&[]));
        let failed = b.icmp_imm(Cond::Slt, result, 0);
        b.brif(failed, full, ok);
        b.switch_to(full);
        let slot = b.iconst(1);
        b.call(Helper::CountLoss, &[slot]);
        b.jump(join, &[]);
        b.switch_to(ok);
        b.jump(join, &[]);
        b.switch_to(join);
    }
    b.ret_zero();
    // Three keys, room for two: the third is lost twice.
    let outcome = agree(&b.finish(), &case(&[hash(16, 16, 2)], &[5, 5, 9, 9, 11, 11]));
    assert_eq!(outcome.losses, [0, 2, 0, 0]);
    assert_eq!(outcome.maps[0].len(), 2);
}

/// Reserves a record, fills it by `write`, submits it; the block after.
fn record(b: &mut FunctionBuilder, action: u32, size: u32, write: impl FnOnce(&mut FunctionBuilder, Value)) -> Block {
    let ok = b.create_block(&[Ty::Ptr(Space::Record)]);
    let done = b.create_block(&[]);
    b.reserve(ActionId(action), size, ok, done);
    b.switch_to(ok);
    let record = b.param(ok, 0);
    write(b, record);
    b.jump(done, &[]);
    b.switch_to(done);
    done
}

#[test]
fn records_are_whole_and_zeroed() {
    let mut b = builder("records");
    let ctx = b.ctx();
    let x = b.load(Mem::U64, ctx, 0);
    // Fully written, with gaps and padding, unwritten, written by parts, discarded, long.
    record(&mut b, 1, 16, |b, r| {
        b.store(Size::B8, x, r, 0);
        b.store(Size::B8, x, r, 8);
        b.submit(r);
    });
    record(&mut b, 2, 21, |b, r| {
        b.store(Size::B2, x, r, 3);
        b.store_data(b"hello", r, 11);
        b.submit(r);
    });
    record(&mut b, 3, 40, |b, r| b.submit(r));
    record(&mut b, 4, 24, |b, r| {
        let second = b.ptr_add(r, 8);
        b.store(Size::B4, x, second, 0);
        b.copy((r, 16), (r, 8), 8);
        b.submit(r);
    });
    record(&mut b, 5, 8, |b, r| b.discard(r));
    record(&mut b, 6, 1000, |b, r| {
        let index = b.binary_imm(BinaryOp::Band, x, 0xff);
        let at = b.ptr_index(r, index, 255);
        b.store(Size::B1, x, at, 512);
        b.submit(r);
    });
    b.ret_zero();
    let outcome = agree(&b.finish(), &case(&[], &[0x1122_3344_5566_7788]));
    assert_eq!(outcome.records.len(), 5);
}

#[test]
fn a_full_ring_is_counted() {
    let mut b = builder("full");
    for action in 0..4 {
        record(&mut b, action, 8, |b, r| b.submit(r));
    }
    b.ret_zero();
    let func = b.finish();
    let mut case = case(&[], &[]);
    case.apply("ring=1").unwrap();
    verify(&func).unwrap();
    let expected = Interpreter.run(&func, &case).unwrap();
    assert_eq!(expected.losses, [3, 0, 0, 0]);
    assert_eq!(Rbpf.run(&func, &case).unwrap(), expected);
}

/// A record may outlive the block that reserved it.
#[test]
fn a_record_over_blocks() {
    let mut b = builder("over");
    let ctx = b.ctx();
    let x = b.load(Mem::U64, ctx, 0);
    let (ok, full) = (b.create_block(&[Ty::Ptr(Space::Record)]), b.create_block(&[]));
    b.reserve(ActionId(9), 12, ok, full);
    b.switch_to(full);
    b.ret_zero();
    b.switch_to(ok);
    let r = b.param(ok, 0);
    let (even, odd, join) = (b.create_block(&[]), b.create_block(&[]), b.create_block(&[]));
    let low = b.binary_imm(BinaryOp::Band, x, 1);
    b.brif(low, odd, even);
    b.switch_to(odd);
    b.store(Size::B4, x, r, 8);
    b.jump(join, &[]);
    b.switch_to(even);
    let slot = b.iconst(2);
    b.call(Helper::CountLoss, &[slot]);
    b.jump(join, &[]);
    b.switch_to(join);
    let read = b.load(Mem::U32, r, 8);
    b.submit(r);
    b.ret(read);
    let func = b.finish();
    assert_eq!(agree(&func, &case(&[], &[0xabcd])).result, 0xabcd);
    assert_eq!(agree(&func, &case(&[], &[0xabcc])).losses, [0, 0, 1, 0]);
}

#[test]
fn large_slots_live_in_scratch() {
    let mut b = builder("scratch");
    let ctx = b.ctx();
    let x = b.load(Mem::U64, ctx, 0);
    // Nothing of this runs for odd numbers: the look-up of the scratch entry is in the branch.
    let (go, stop) = (b.create_block(&[]), b.create_block(&[]));
    let low = b.binary_imm(BinaryOp::Band, x, 1);
    b.brif(low, stop, go);
    b.switch_to(stop);
    b.ret_zero();
    b.switch_to(go);
    let (one, two, small) = (b.slot(1024, 8), b.slot(1000, 1), b.slot(40, 8));
    let (one, two, small) = (b.slot_addr(one), b.slot_addr(two), b.slot_addr(small));
    b.fill(one, 0, 1024);
    b.fill(two, 0, 1000);
    b.fill(small, 0, 40);
    b.store_data(b"a longer text, of odd length!", one, 100);
    b.store_data(b"GET /index.html HTTP/1.1\r\n\0", small, 3);
    b.copy((two, 1), (one, 90), 600);
    b.copy((small, 8), (two, 11), 16);
    let index = b.binary_imm(BinaryOp::Urem, x, 900);
    let at = b.ptr_index(two, index, 899);
    b.store(Size::B1, x, at, 0);
    record(&mut b, 1, 1000, |b, r| {
        b.copy((r, 0), (two, 0), 1000);
        b.submit(r);
    });
    record(&mut b, 2, 40, |b, r| {
        b.copy((r, 0), (small, 0), 40);
        b.submit(r);
    });
    let read = b.load(Mem::U16, one, 102);
    b.ret(read);
    let func = b.finish();
    assert_eq!(agree(&func, &case(&[], &[0x1_0000_0002])).records.len(), 2);
    assert_eq!(agree(&func, &case(&[], &[3])).records.len(), 0);
}

#[test]
fn odd_addresses_on_the_stack() {
    let mut b = builder("odd");
    let ctx = b.ctx();
    let x = b.load(Mem::U64, ctx, 0);
    let slot = b.slot(32, 1);
    let p = b.slot_addr(slot);
    b.fill(p, 0, 32);
    b.store(Size::B8, x, p, 1);
    b.store(Size::B4, x, p, 10);
    let fixed = b.iconst(0x0102_0304_0506_0708);
    b.store(Size::B8, fixed, p, 19);
    let index = b.binary_imm(BinaryOp::Band, x, 7);
    let somewhere = b.ptr_index(p, index, 7);
    b.store(Size::B2, x, somewhere, 3);
    let mut all = b.iconst(0);
    for (mem, at) in [(Mem::U64, 1), (Mem::I32, 9), (Mem::I16, 13), (Mem::I8, 1), (Mem::U64, 18), (Mem::U32, 3)] {
        let v = b.load(mem, p, at);
        let shifted = b.binary_imm(BinaryOp::Imul, all, 31);
        all = b.iadd(shifted, v);
    }
    let v = b.load(Mem::U16, somewhere, 2);
    let all = b.bxor(all, v);
    b.ret(all);
    let func = b.finish();
    for x in [0, 0x8877_6655_4433_2215, u64::MAX] {
        agree(&func, &case(&[], &[x]));
    }
}

#[test]
fn indices_stay_in_bounds() {
    let mut b = builder("index");
    let out = results(&mut b);
    let ctx = b.ctx();
    let i = b.load(Mem::U64, ctx, 0);
    let j = b.load(Mem::U8, ctx, 8);
    let eight = b.binary_imm(BinaryOp::Shl, i, 3);
    let at = b.ptr_index(out, eight, 8 * 15);
    b.store(Size::B8, i, at, 0);
    // A minimum that the verifier must see through.
    let most = b.iconst(15);
    let less = b.icmp(Cond::Ult, j, most);
    let bounded = b.select(less, j, most);
    let scaled = b.binary_imm(BinaryOp::Shl, bounded, 3);
    let at = b.ptr_index(out, scaled, 120);
    b.store(Size::B8, j, at, 0);
    let third = b.iconst(3);
    let at = b.ptr_index(out, third, 100);
    b.store(Size::B1, j, at, 0);
    b.ret_zero();
    let func = b.finish();
    for (i, j) in [(0, 0), (15, 200), (7, 14)] {
        agree(&func, &case(&[array(128, 1)], &[i, j]));
    }
}

/// A slot's address and a map value's chosen at run time, and passed on by a jump.
#[test]
fn pointers_from_selects_and_jumps() {
    let mut b = builder("pointers");
    let ctx = b.ctx();
    let x = b.load(Mem::U64, ctx, 0);
    let slot = b.slot(32, 8);
    let (p, q) = (b.slot_addr(slot), b.slot_addr_at(slot, 16));
    b.fill(p, 0, 32);
    let low = b.binary_imm(BinaryOp::Band, x, 1);
    let chosen = b.select(low, p, q);
    b.store(Size::B8, x, chosen, 8);
    let (then, join) = (b.create_block(&[]), b.create_block(&[Ty::Ptr(Space::Stack)]));
    let two = b.binary_imm(BinaryOp::Band, x, 2);
    b.brif_args(two, (then, &[]), (join, &[p]));
    b.switch_to(then);
    b.jump(join, &[q]);
    b.switch_to(join);
    let at = b.param(join, 0);
    let one = b.load(Mem::U64, at, 8);
    let other = b.load(Mem::U32, p, 8);
    let sum = b.iadd(one, other);
    b.ret(sum);
    let func = b.finish();
    for x in 4..8 {
        agree(&func, &case(&[], &[x]));
    }
}

mod random {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::Config;
    use support::gen_ir::{made, source};
    use weftrace_compiler::ir::generate::{EVERYTHING, Options};
    use weftrace_compiler::opt;

    fn config() -> Config {
        let cases = std::env::var("WEFTRACE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
        Config { cases, failure_persistence: None, ..Config::default() }
    }

    fn check(bytes: &[u8], options: Options, executor: &dyn Executor) -> Result<(), TestCaseError> {
        let (func, case) = made(bytes, Target::Kernel(ProgType::RawTracepoint), options);
        verify(&func).unwrap_or_else(|e| panic!("{e}\n{func}"));
        let right = Interpreter.run(&func, &case).unwrap_or_else(|e| panic!("interp: {e}\n{func}"));
        let mut optimised = func.clone();
        opt::run(&mut optimised);
        for (name, func) in [("as it is", &func), ("optimised", &optimised)] {
            if executor.supports(func, &case) {
                let outcome = executor.run(func, &case);
                let same = outcome.as_ref() == Ok(&right);
                let outcome = outcome.map_or_else(|e| e, |o| o.to_string());
                prop_assert!(same, "{} ({name}) says {outcome}, right is {right}\n{func}", executor.name());
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn functions_agree_in_user_space(bytes in source()) {
            check(&bytes, EVERYTHING, &Rbpf)?;
        }

        /// Without helpers whose answers are the kernel's own.
        #[test]
        fn functions_agree_in_the_kernel(bytes in source()) {
            check(&bytes, Options { host_helpers: false, ..EVERYTHING }, &Kernel)?;
        }
    }
}
