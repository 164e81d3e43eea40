//! One program for many system calls: which runs it takes, and what it sees of them.

use crate::hir::*;
use crate::run::*;
use weftrace_arch::HOST;
use weftrace_artifact::map::Role;
use weftrace_lang::hir::{Expr, ExprKind, Provider, StructDef, StructField, Ty};

const REGISTERS: u64 = 0x1000;
const TASK: u64 = 0x9000;

fn member(name: &str, ty: Ty, offset: u32) -> StructField {
    StructField { name: name.into(), ty, offset, bits: None }
}

/// Registers and a task, laid out as no kernel has them.
fn world() -> TestWorld {
    let calls = &HOST.traced_calls;
    let mut world = TestWorld::default();
    let mut registers = vec![member(calls.number, Ty::I64, 8)];
    for (name, _) in calls.args {
        if registers.iter().all(|r| r.name != name) {
            registers.push(member(name, Ty::U64, registers.last().map_or(0, |r| r.offset) + 16));
        }
    }
    let inner = vec![member(calls.compat.0, Ty::U64, 8)];
    let task = vec![member("thread_info", Ty::Struct("thread_info".into()), 16)];
    for (name, size, fields) in [("thread_info", 16, inner), ("pt_regs", 256, registers), ("task_struct", 64, task)] {
        let def = StructDef { name: name.into(), union: false, size, align: 8, fields, go: None };
        world.structs.insert(name.into(), def);
    }
    world
}

fn field(name: &str, offset: u32, ty: Ty) -> Expr {
    Expr { kind: ExprKind::TraceArg { field: name.into(), offset, data_loc: false }, ty, span: SP }
}

/// Records of a run for a call of that number, whose task has these bits set: their words.
fn run_for(ret: bool, number: i64, bits: u64) -> Vec<Vec<u64>> {
    let world = world();
    let args = if ret {
        vec![field("__syscall_nr", 8, Ty::I32), field("ret", 16, Ty::I64)]
    } else {
        vec![field("__syscall_nr", 8, Ty::I32), field("first", 16, Ty::U64), field("second", 24, Ty::I32)]
    };
    let program = program(vec![], vec![probe(Provider::Syscall { number: 39, ret }, vec![], vec![printf(args)])]);
    let lowered = lower_only(&program, &world).unwrap_or_else(|e| panic!("{e}"));
    let mut host = lowered.host();
    let table = lowered.maps.iter().position(|m| matches!(m.role, Role::Syscalls { .. })).expect("a table");
    assert_eq!(host.maps[table].update(&39u32.to_le_bytes(), &5u64.to_le_bytes(), 0), 0);
    let at =
        |name: &str| world.structs["pt_regs"].fields.iter().find(|f| f.name == name).expect("a member").offset as usize;
    let mut registers = vec![0; 256];
    let mut put = |at: usize, value: u64| registers[at..at + 8].copy_from_slice(&value.to_le_bytes());
    let calls = &HOST.traced_calls;
    put(at(calls.number), number as u64);
    for (i, (name, further)) in calls.args.iter().enumerate() {
        put(at(name) + *further as usize, 0xffff_fff0 + i as u64);
    }
    let mut task = vec![0; 64];
    task[24..32].copy_from_slice(&bits.to_le_bytes());
    host.kernel.insert(REGISTERS, registers);
    host.kernel.insert(TASK, task);
    host.current_task = TASK;
    host.ctx[..8].copy_from_slice(&REGISTERS.to_le_bytes());
    host.ctx[8..16].copy_from_slice(&(if ret { -2 } else { number }).to_le_bytes());
    lowered.run(0, &mut host);
    let words = |payload: &[u8]| payload.chunks(8).map(word).collect();
    host.records.iter().map(|r| words(&r.payload)).collect()
}

#[test]
fn calls_that_were_selected_show_their_arguments() {
    let all = run_for(false, 39, 0);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0][0] as u32, all[0][1], all[0][2] as i32), (39, 0xffff_fff0, -15));
    let all = run_for(true, 39, 0);
    assert_eq!((all.len(), all[0][0] as u32, all[0][1] as i64), (1, 39, -2));
}

#[test]
fn other_calls_and_those_of_32_bit_programs_are_left_out() {
    let compat = HOST.traced_calls.compat.2 as u64;
    for ret in [false, true] {
        for number in [38, 40, -1, 1 << 20, i64::MIN, (1 << 30) + 39] {
            assert_eq!(run_for(ret, number, 0), Vec::<Vec<u64>>::new(), "{number}");
        }
        assert_eq!(run_for(ret, 39, compat), Vec::<Vec<u64>>::new());
        assert_eq!(run_for(ret, 39, !compat).len(), 1, "other bits say nothing");
    }
}
