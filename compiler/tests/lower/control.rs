//! Control flow and arithmetic.

use crate::hir::*;
use crate::run::*;
use weftrace_artifact::action::ActionKind;
use weftrace_compiler::{ir::interp, opt};
use weftrace_lang::hir::{Action, BinOp, Expr, ExprKind, Provider, StmtKind, Ty, UnOp, VarRef};

fn inc(v: u32, delta: i64) -> weftrace_lang::hir::Stmt {
    s(StmtKind::Expr(e(ExprKind::IncVar { var: VarRef(v), delta, prefix: true }, Ty::I64)))
}

/// What the probe prints with argument 0 set to `n`.
fn printed(vars: Vec<Ty>, stmts: Vec<weftrace_lang::hir::Stmt>, n: i64) -> Vec<u64> {
    let lowered = lower(&program(vec![], vec![probe(raw_tp(), vars, stmts)]));
    let mut host = lowered.host();
    host.ctx[..8].copy_from_slice(&n.to_le_bytes());
    lowered.run(0, &mut host);
    host.records
        .iter()
        .filter(|r| matches!(lowered.actions[r.action.0 as usize].kind, ActionKind::Printf(_)))
        .map(|r| {
            let mut bytes = r.payload.clone();
            bytes.resize(8, 0);
            word(&bytes)
        })
        .collect()
}

fn sarg() -> Expr {
    e(ExprKind::Arg(0), Ty::I64)
}

#[test]
fn loops_carry_variables() {
    let i = || var(0, Ty::I64);
    let sum = || var(1, Ty::I64);
    let body = vec![
        set_var(0, int(0)),
        set_var(1, int(0)),
        s(StmtKind::While {
            cond: binary(BinOp::Lt, i(), sarg(), Ty::Bool),
            body: block(vec![
                inc(0, 1),
                iff(binary(BinOp::Eq, i(), int(3), Ty::Bool), vec![s(StmtKind::Continue)], vec![]),
                iff(binary(BinOp::Gt, i(), int(5), Ty::Bool), vec![s(StmtKind::Break)], vec![]),
                set_var(1, binary(BinOp::Add, sum(), i(), Ty::I64)),
            ]),
        }),
        printf(vec![sum()]),
    ];
    assert_eq!(printed(vec![Ty::I64, Ty::I64], body.clone(), 4), [1 + 2 + 4]);
    assert_eq!(printed(vec![Ty::I64, Ty::I64], body.clone(), 100), [1 + 2 + 4 + 5]);
    assert_eq!(printed(vec![Ty::I64, Ty::I64], body, 0), [0]);
}

#[test]
fn ranges_and_unrolling() {
    let body = vec![
        set_var(1, int(0)),
        s(StmtKind::ForRange {
            var: VarRef(0),
            from: int(2),
            to: sarg(),
            body: block(vec![
                set_var(1, binary(BinOp::Add, var(1, Ty::I64), var(0, Ty::I64), Ty::I64)),
                set_var(0, int(0)),
            ]),
        }),
        s(StmtKind::Unroll { count: 3, body: block(vec![inc(1, 100)]) }),
        printf(vec![var(1, Ty::I64)]),
    ];
    assert_eq!(printed(vec![Ty::I64, Ty::I64], body.clone(), 5), [2 + 3 + 4 + 300]);
    assert_eq!(printed(vec![Ty::I64, Ty::I64], body, 1), [300]);
}

#[test]
fn logic_short_circuits() {
    let touch = |v: u32| e(ExprKind::IncVar { var: VarRef(v), delta: 1, prefix: true }, Ty::I64);
    let logical =
        |and, left, right| e(ExprKind::Logical { and, left: Box::new(left), right: Box::new(right) }, Ty::Bool);
    let not = |x: Expr| e(ExprKind::Unary { op: UnOp::Not, expr: Box::new(x) }, Ty::Bool);
    let body = |cond: Expr| {
        vec![
            set_var(0, int(0)),
            iff(cond, vec![printf(vec![int(1)])], vec![printf(vec![int(2)])]),
            printf(vec![var(0, Ty::I64)]),
        ]
    };
    let run = |cond, n| printed(vec![Ty::I64], body(cond), n);
    assert_eq!(run(logical(true, sarg(), touch(0)), 0), [2, 0]);
    assert_eq!(run(logical(true, sarg(), touch(0)), 1), [1, 1]);
    assert_eq!(run(logical(false, sarg(), touch(0)), 1), [1, 0]);
    assert_eq!(run(not(logical(false, sarg(), touch(0))), 0), [2, 1]);
}

#[test]
fn integers_keep_their_width() {
    let i8t = Ty::Int { bits: 8, signed: true };
    assert_eq!(printed(vec![], vec![printf(vec![cast(sarg(), i8t.clone())])], 0xff), [0xff], "one byte of payload");
    assert_eq!(printed(vec![], vec![printf(vec![cast(cast(sarg(), i8t), Ty::I64)])], 0x80), [(-128i64) as u64]);
    assert_eq!(printed(vec![], vec![printf(vec![cast(cast(sarg(), Ty::U8), Ty::I64)])], -1), [255]);
    let shifted = |ty: Ty| {
        let left = if ty == Ty::I64 { sarg() } else { arg(0) };
        printed(vec![], vec![printf(vec![binary(BinOp::Shr, left, int(1), ty)])], -8)
    };
    assert_eq!(shifted(Ty::I64), [(-4i64) as u64]);
    assert_eq!(shifted(Ty::U64), [(u64::MAX - 7) >> 1]);
    let less = |l: Expr| printed(vec![], vec![printf(vec![cast(binary(BinOp::Lt, l, int(1), Ty::Bool), Ty::I64)])], -8);
    assert_eq!(less(sarg()), [1]);
}

#[test]
fn division_by_zero_warns_and_gives_one() {
    let p = program(
        vec![],
        vec![probe(
            raw_tp(),
            vec![],
            vec![printf(vec![
                binary(BinOp::Div, int(-7), sarg(), Ty::I64),
                binary(BinOp::Mod, int(-7), sarg(), Ty::I64),
            ])],
        )],
    );
    let lowered = lower(&p);
    for (n, want, warnings) in [(2, (-3i64, -1i64), 0), (0, (1, 1), 2)] {
        let mut host = lowered.host();
        host.ctx[..8].copy_from_slice(&i64::to_le_bytes(n));
        lowered.run(0, &mut host);
        let (warned, printed): (Vec<_>, Vec<_>) = host
            .records
            .iter()
            .partition(|r| matches!(lowered.actions[r.action.0 as usize].kind, ActionKind::Warn { .. }));
        assert_eq!(warned.len(), warnings);
        let got = (word(&printed[0].payload) as i64, word(&printed[0].payload[8..]) as i64);
        assert_eq!(got, want, "-7 by {n}");
    }
}

#[test]
fn exit_ends_the_probe() {
    let body = vec![action(Action::Exit, vec![int(3)]), printf(vec![int(1)])];
    let lowered = lower(&program(vec![], vec![probe(raw_tp(), vec![], body)]));
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    assert_eq!(host.records.len(), 1);
    assert_eq!(lowered.actions[host.records[0].action.0 as usize].kind, ActionKind::Exit);
    assert_eq!(word(&host.records[0].payload), 3);
}

#[test]
fn predicates_filter() {
    let mut pr = probe(raw_tp(), vec![], vec![printf(vec![int(1)])]);
    pr.predicate = Some(binary(BinOp::Eq, sarg(), int(9), Ty::Bool));
    let lowered = lower(&program(vec![], vec![pr]));
    for (n, records) in [(9u8, 1), (8, 0)] {
        let mut host = lowered.host();
        host.ctx[0] = n;
        lowered.run(0, &mut host);
        assert_eq!(host.records.len(), records);
    }
}

#[test]
fn conditional_values_in_memory() {
    let pick = |n: i64| {
        let cond = binary(BinOp::Eq, sarg(), int(n), Ty::Bool);
        e(
            ExprKind::Cond { cond: Box::new(cond), then: Box::new(text("yes")), otherwise: Box::new(text("no")) },
            Ty::Str { cap: 8 },
        )
    };
    assert_eq!(printed(vec![], vec![printf(vec![pick(1)])], 1)[0].to_le_bytes(), *b"yes\0\0\0\0\0");
    assert_eq!(printed(vec![], vec![printf(vec![pick(1)])], 2)[0].to_le_bytes(), *b"no\0\0\0\0\0\0");
}

#[test]
fn kernel_loops_end() {
    let body = vec![
        set_var(0, int(0)),
        s(StmtKind::While { cond: binary(BinOp::Lt, var(0, Ty::I64), sarg(), Ty::Bool), body: block(vec![inc(0, 1)]) }),
        printf(vec![var(0, Ty::I64)]),
    ];
    let program = program(vec![], vec![probe(raw_tp(), vec![Ty::I64], body)]);
    for (no_bpf_loop, n, rounds, warnings) in [(true, 1000i64, 1000, 0), (true, 5000, 1024, 1), (false, 5000, 5000, 0)]
    {
        let lowered = lower_in(&program, &TestWorld { no_bpf_loop, ..TestWorld::default() }).unwrap();
        let mut host = lowered.host();
        host.ctx[..8].copy_from_slice(&n.to_le_bytes());
        lowered.run(0, &mut host);
        assert_eq!(host.records.len(), 1 + warnings);
        assert_eq!(word(&host.records[warnings].payload), rounds);
    }
}

/// Before and after the optimiser: after how many rounds of three loops, of which the first two are one within the other, and what was told.
fn rounds_in_user_space(interrupted: u64, limit: i64) -> [(Vec<u64>, usize); 2] {
    let count = |v: u32| e(ExprKind::IncVar { var: VarRef(v), delta: 1, prefix: true }, Ty::I64);
    let below = |v: u32, n: i64| binary(BinOp::Lt, count(v), int(n), Ty::Bool);
    let inner = s(StmtKind::While { cond: below(1, limit), body: block(vec![]) });
    let range = StmtKind::ForRange { var: VarRef(3), from: int(0), to: int(limit), body: block(vec![inc(2, 1)]) };
    let mut body: Vec<_> = (0..3).map(|v| set_var(v, int(0))).collect();
    body.extend([s(StmtKind::While { cond: below(0, 4), body: block(vec![inner]) }), s(range)]);
    body.push(printf((0..3).map(|v| var(v, Ty::I64)).collect()));
    let lowered = lower(&program(vec![], vec![probe(Provider::Begin, vec![Ty::I64; 4], body)]));
    let mut better = lowered.functions[0].clone();
    opt::run(&mut better);
    [&lowered.functions[0], &better].map(|f| {
        assert!(f.to_string().contains("call interrupted"), "{f}");
        let mut host = lowered.host();
        host.interrupted = interrupted;
        interp::run(f, &mut host, 20_000_000).unwrap_or_else(|e| panic!("{e:?}\n{f}"));
        let (told, printed): (Vec<_>, Vec<_>) = host
            .records
            .iter()
            .partition(|r| matches!(lowered.actions[r.action.0 as usize].kind, ActionKind::Warn { .. }));
        (printed[0].payload.chunks(8).map(word).collect(), told.len())
    })
}

#[test]
fn loops_in_user_space_end_with_the_run() {
    let limit = 100_000;
    // Nothing is the matter: 3 rounds of the outer loop, and the last look of each.
    for got in rounds_in_user_space(0, limit) {
        assert_eq!(got, (vec![4, limit as u64 + 2, limit as u64], 0));
    }
    // One round of the outer loop, the rest within: then no loop goes on.
    for (answer, told) in [(1, 3), (2, 0)] {
        for got in rounds_in_user_space(answer, limit) {
            assert_eq!(got, (vec![2, 65_535, 0], told));
        }
    }
    // Too few rounds to ask.
    for got in rounds_in_user_space(1, 1000) {
        assert_eq!(got, (vec![4, 1002, 1000], 0));
    }
}
