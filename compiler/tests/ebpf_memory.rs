//! Slots, map values, records: eBPF code must do what the interpreter says, in user space (rbpf) and in this host's kernel.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::many_single_char_names,
    reason = "test code"
)]

mod support;

use support::ebpf_case::{agree, array, builder, case, hash, results};
use support::rbpf_exec::Rbpf;
use support::{Executor, Interpreter};
use weftrace_artifact::action::ActionId;
use weftrace_artifact::map::MapId;
use weftrace_compiler::ebpf::{self, Features};
use weftrace_compiler::ir::builder::FunctionBuilder;
use weftrace_compiler::ir::verify::verify;
use weftrace_compiler::ir::{BinaryOp, Block, Cond, Helper, Mem, Size, Space, Ty, Value};

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
    assert_eq!(outcome.losses, [0, 2, 0, 0, 0, 0, 0]);
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
    record(&mut b, 3, 40, FunctionBuilder::submit);
    record(&mut b, 4, 24, |b, r| {
        let second = b.ptr_add(r, 8);
        b.store(Size::B4, x, second, 0);
        b.copy((r, 16), (r, 8), 8);
        b.submit(r);
    });
    record(&mut b, 5, 8, FunctionBuilder::discard);
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
        record(&mut b, action, 8, FunctionBuilder::submit);
    }
    b.ret_zero();
    let func = b.finish();
    let mut case = case(&[], &[]);
    case.apply("ring=1").unwrap();
    verify(&func).unwrap();
    let expected = Interpreter.run(&func, &case).unwrap();
    assert_eq!(expected.losses, [3, 0, 0, 0, 0, 0, 0]);
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
    assert_eq!(agree(&func, &case(&[], &[0xabcc])).losses, [0, 0, 1, 0, 0, 0, 0]);
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

/// A slot's address chosen at run time, and passed on by a jump.
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

/// Thirty keys of 24 bytes, one after the other, in the 512 bytes of the frame: no scratch map.
#[test]
fn slots_that_are_not_in_use_together_share_memory() {
    let mut b = builder("share");
    let ctx = b.ctx();
    let kept = b.slot(8, 8);
    let kept = b.slot_addr(kept);
    let first = b.load(Mem::U64, ctx, 0);
    b.store(Size::B8, first, kept, 0);
    for i in 0..30 {
        let (key, value) = (b.slot(24, 8), b.slot(8, 8));
        let (key, value) = (b.slot_addr(key), b.slot_addr(value));
        let x = b.load(Mem::U64, ctx, 8 * (i % 12));
        b.fill(key, 0, 24);
        b.store(Size::B8, x, key, i % 3 * 8);
        b.store(Size::B8, x, value, 0);
        let flags = b.iconst(0);
        b.call_map(Helper::MapUpdate, MapId(0), &[key, value, flags]);
    }
    let last = b.load(Mem::U64, kept, 0);
    b.ret(last);
    let func = b.finish();
    let case = case(&[hash(24, 8, 100)], &[9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 99, 98]);
    assert_eq!(agree(&func, &case).result, 9);
    let maps = support::ebpf_env::specs(&case);
    let image = ebpf::compile(&func, &support::ebpf_env::env(&maps, &[], Features::default())).unwrap();
    assert_eq!(image.scratch_size, 0);
    assert!(image.frame_size <= 512);
}
