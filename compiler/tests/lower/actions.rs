//! Records: their layout and bytes.

use crate::hir::*;
use crate::run::*;
use weftrace_artifact::{abi::LossSlot, action::ActionKind, ty::Type};
use weftrace_lang::hir::{Action, Agg, Expr, ExprKind, Func, MapRef, Program, Space, StmtKind, StreamRef, Ty};

#[test]
fn arguments_are_laid_out_by_their_types() {
    let tuple = e(ExprKind::Tuple(vec![pid(), comm()]), Ty::Tuple(vec![Ty::U32, STR16]));
    let lowered = lower(&program(
        vec![],
        vec![probe(raw_tp(), vec![], vec![printf(vec![cast(int(5), Ty::U8), int(-1), tuple])])],
    ));
    let action = &lowered.actions[0];
    assert_eq!(action.args.iter().map(|f| f.offset).collect::<Vec<_>>(), [0, 8, 16]);
    assert_eq!(action.size, 40);
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    let payload = &host.records[0].payload;
    assert_eq!((payload[0], word(&payload[8..]) as i64, payload[16]), (5, -1, 7));
    assert_eq!(&payload[20..25], b"sshd\0");
}

#[test]
fn side_effects_happen_in_order_of_writing() {
    let body = vec![
        set_var(0, text("one")),
        printf(vec![
            var(0, STR16),
            e(
                ExprKind::Block(Box::new(weftrace_lang::hir::Block {
                    stmts: vec![set_var(0, text("two"))],
                    tail: Some(Box::new(int(2))),
                    span: SP,
                })),
                Ty::I64,
            ),
            var(0, STR16),
        ]),
    ];
    let lowered = lower(&program(vec![], vec![probe(raw_tp(), vec![STR16], body)]));
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    let payload = &host.records[0].payload;
    assert_eq!(&payload[..4], b"one\0");
    assert_eq!(&payload[24..28], b"two\0");
}

#[test]
fn map_actions_name_their_map() {
    let p = program(
        vec![agg("a", Some(Ty::U32), Agg::Count), map("p", Some(Ty::U32), Ty::I64)],
        vec![probe(
            raw_tp(),
            vec![],
            vec![
                action(Action::PrintMap { map: MapRef(0), top: 5, div: 2 }, vec![]),
                action(Action::Clear { map: MapRef(0) }, vec![]),
                action(Action::PrintMapValue { map: MapRef(0) }, vec![pid(), get(0, Some(pid()), Ty::U64)]),
                action(Action::PrintMapValue { map: MapRef(1) }, vec![pid(), get(1, Some(pid()), Ty::I64)]),
            ],
        )],
    );
    let lowered = lower(&p);
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    let kinds: Vec<_> = host.records.iter().map(|r| &lowered.actions[r.action.0 as usize].kind).collect();
    assert!(matches!(kinds[0], ActionKind::PrintMap { top: 5, div: 2, .. }));
    assert!(matches!(kinds[1], ActionKind::Clear { .. }));
    // User space adds up an aggregate's parts itself: the key is all it needs.
    assert_eq!(host.records[2].payload, [7, 0, 0, 0]);
    assert_eq!(host.records[3].payload.len(), 16);
}

/// User space comes to the record when the element is gone: its value goes with it.
#[test]
fn what_is_printed_and_deleted_is_read_in_the_program() {
    use weftrace_artifact::map::Kind;
    let deleted = |of: Agg, value: Option<Expr>| {
        let p = program(
            vec![agg("a", Some(Ty::U32), of)],
            vec![
                probe(raw_tp(), vec![], vec![aggregate(0, Some(pid()), value)]),
                probe(
                    raw_tp(),
                    vec![],
                    vec![
                        action(Action::PrintMapValue { map: MapRef(0) }, vec![pid(), get(0, Some(pid()), Ty::U64)]),
                        s(StmtKind::DeleteMap { map: MapRef(0), key: Some(pid()) }),
                    ],
                ),
            ],
        );
        let lowered = lower(&p);
        let mut host = lowered.host();
        lowered.run(0, &mut host);
        lowered.run(0, &mut host);
        lowered.run(1, &mut host);
        assert!(host.maps[0].is_empty());
        lowered.run(1, &mut host);
        assert_eq!(host.records.len(), 2);
        let [first, again] = [0, 1].map(|at: usize| host.records[at].payload.chunks(8).map(word).collect::<Vec<_>>());
        (lowered.maps[0].kind, first, again)
    };
    assert_eq!(deleted(Agg::Count, None), (Kind::Hash, vec![7, 2], vec![7, 0]));
    assert_eq!(deleted(Agg::Sum { signed: false }, Some(int(21))), (Kind::Hash, vec![7, 42], vec![7, 0]));
    // Total and number of an average; value of a largest, and whether there is any.
    assert_eq!(deleted(Agg::Avg { signed: false }, Some(int(5))), (Kind::Hash, vec![7, 10, 2], vec![7, 0, 0]));
    assert_eq!(deleted(Agg::Stats { signed: false }, Some(int(5))), (Kind::Hash, vec![7, 10, 2], vec![7, 0, 0]));
    let largest = deleted(Agg::Max { signed: false }, Some(int(5)));
    assert_eq!(largest, (Kind::PercpuHash, vec![7, 5, 1], vec![7, 0, 0]));
}

/// A drawing isn't read by programs: who deletes it after print() is told that nothing will be shown.
#[test]
fn a_histogram_that_is_printed_and_deleted_is_told() {
    use weftrace_compiler::place;
    let print = || action(Action::PrintMapValue { map: MapRef(0) }, vec![pid(), get(0, Some(pid()), Ty::U64)]);
    let del = |map| s(StmtKind::DeleteMap { map: MapRef(map), key: Some(pid()) });
    let found = |body| {
        let maps = ["a", "b"].map(|name| agg(name, Some(Ty::U32), Agg::Hist { bits: 0 }));
        let p = program(maps.into(), vec![probe(raw_tp(), vec![], body)]);
        place::plan(&p, &place::Options::default()).diagnostics.into_iter().map(|d| d.code).collect::<Vec<_>>()
    };
    assert_eq!(found(vec![print(), del(0)]), ["printed-and-deleted"]);
    assert_eq!(found(vec![print(), del(1)]), [""; 0]);
    assert_eq!(found(vec![print()]), [""; 0]);
}

#[test]
fn emitted_records_have_the_streams_layout() {
    let fields = vec![("dur", Ty::U64), ("who", STR16), ("port", Ty::U16)];
    let p = Program {
        streams: vec![stream("tcp.connect", fields)],
        ..program(
            vec![],
            vec![probe(
                raw_tp(),
                vec![],
                vec![s(StmtKind::Emit { stream: StreamRef(0), fields: vec![arg(0), comm(), int(80)] })],
            )],
        )
    };
    let lowered = lower(&p);
    assert!(matches!(lowered.actions[0].kind, ActionKind::Emit { .. }));
    let mut host = lowered.host();
    host.ctx[0] = 42;
    lowered.run(0, &mut host);
    let payload = &host.records[0].payload;
    assert_eq!((word(payload), &payload[8..13], payload[24]), (42, &b"sshd\0"[..], 80));
}

#[test]
fn join_reads_strings_until_null() {
    let char_ptr = Ty::Ptr { to: Box::new(Ty::U8), space: Space::User };
    let argv = e(ExprKind::Arg(0), Ty::Ptr { to: Box::new(char_ptr), space: Space::User });
    let lowered = lower(&program(
        vec![],
        vec![probe(raw_tp(), vec![], vec![action(Action::Join { separator: ",".into() }, vec![argv])])],
    ));
    let Type::Array { elem, .. } = &lowered.actions[0].args[0].ty else { panic!("an array of strings") };
    let cap = elem.size() as usize;
    let mut host = lowered.host();
    host.ctx[..8].copy_from_slice(&0x1000u64.to_le_bytes());
    let mut table = 0x2000u64.to_le_bytes().to_vec();
    table.extend(0x3000u64.to_le_bytes());
    table.extend([0; 8]);
    host.user.insert(0x1000, table);
    host.user.insert(0x2000, b"ls\0".to_vec());
    host.user.insert(0x3000, b"-l\0".to_vec());
    lowered.run(0, &mut host);
    let payload = &host.records[0].payload;
    assert_eq!((&payload[..3], &payload[cap..cap + 3], payload[2 * cap]), (&b"ls\0"[..], &b"-l\0"[..], 0));
    assert_eq!(host.losses, [0; LossSlot::COUNT as usize]);
}

#[test]
fn a_full_ring_is_counted_once() {
    let lowered = lower(&program(vec![], vec![probe(raw_tp(), vec![], vec![printf(vec![comm()])])]));
    let mut host = lowered.host();
    host.ring_capacity = 0;
    lowered.run(0, &mut host);
    assert_eq!(host.losses, [1, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn stacks_carry_their_length_if_it_is_asked_for() {
    use weftrace_lang::hir::StackMode;
    let ty = Ty::UStack { mode: StackMode::Bpftrace, limit: 2 };
    let len = |stack| call(Func::StackLen, vec![stack], Ty::I64);
    let mut script = program(
        vec![],
        vec![probe(
            raw_tp(),
            vec![],
            vec![printf(vec![len(call(Func::UStack, vec![], ty.clone())), call(Func::UStack, vec![], ty)])],
        )],
    );
    script.config.count_frames = true;
    let lowered = lower(&script);
    let mut host = lowered.host();
    host.stack_id = 5;
    host.stack = vec![0x10, 0x20, 0x30];
    lowered.run(0, &mut host);
    let words: Vec<u64> = host.records[0].payload.chunks(8).map(word).collect();
    assert_eq!(words, [2, 2 << 32 | 5, 7]);
}

#[test]
fn a_sample_ends_where_the_stack_does() {
    use weftrace_artifact::abi::StackSample as S;
    use weftrace_lang::hir::StackMode;
    let sample = call(Func::DwStack, vec![], Ty::DwStack { mode: StackMode::Raw, limit: 9 });
    let lowered = lower(&program(vec![], vec![probe(raw_tp(), vec![], vec![printf(vec![sample])])]));
    let mut host = lowered.host();
    let mut registers = vec![0u8; S::REGISTERS_SIZE as usize];
    registers[(S::STACK_POINTER - S::REGISTERS) as usize..][..8].copy_from_slice(&0x7000u64.to_le_bytes());
    host.task_registers = 0x9000;
    host.kernel.insert(0x9000, registers);
    host.user.insert(0x7000, vec![0xab; 2 * S::PIECE as usize]);
    lowered.run(0, &mut host);
    let payload = &host.records[0].payload;
    assert_eq!(payload.len(), S::SIZE as usize);
    assert_eq!((payload[0], payload[S::USED as usize + 1]), (7, ((2 * S::PIECE) >> 8) as u8));
    assert_eq!(payload[S::STACK as usize + 2 * S::PIECE as usize - 1], 0xab);
    // That the stack ends is no loss.
    assert_eq!(host.losses, [0; LossSlot::COUNT as usize]);
}

#[test]
fn stacks_and_symbols_carry_the_process() {
    use weftrace_lang::hir::StackMode;
    let ustack = call(Func::UStack, vec![], Ty::UStack { mode: StackMode::Bpftrace, limit: 127 });
    let kstack = call(Func::KStack, vec![], Ty::KStack { mode: StackMode::Bpftrace, limit: 127 });
    let usym = call(Func::Usym, vec![arg(0)], Ty::Usym);
    let lowered = lower(&program(vec![], vec![probe(raw_tp(), vec![], vec![printf(vec![ustack, usym, kstack])])]));
    let mut host = lowered.host();
    host.stack_id = -17;
    host.ctx[0] = 3;
    lowered.run(0, &mut host);
    let words: Vec<u64> = host.records[0].payload.chunks(8).map(word).collect();
    assert_eq!(words, [(-17i64) as u64, 7, 3, 7, (-17i64) as u64]);
    assert_eq!(host.losses, [0, 0, 0, 2, 0, 0, 0]);
}
