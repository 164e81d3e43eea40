//! Maps of plain values.

use crate::hir::*;
use crate::run::*;
use weftrace_artifact::map::{Home, Kind};
use weftrace_compiler::place::{self, Side};
use weftrace_lang::hir::{Action, BinOp, Expr, ExprKind, MapRef, Provider, StmtKind, Ty};

#[test]
fn scalar_maps_remember_that_they_were_set() {
    let p = program(
        vec![map("x", None, Ty::I64), map("y", None, Ty::I64)],
        vec![probe(raw_tp(), vec![], vec![set(0, None, binary(BinOp::Add, get(0, None, Ty::I64), int(5), Ty::I64))])],
    );
    let lowered = lower(&p);
    assert_eq!(
        (lowered.maps[0].kind, lowered.maps[0].presence, lowered.maps[0].value_size),
        (Kind::Array, Some(8), 16)
    );
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    lowered.run(0, &mut host);
    let x = value(&host, 0, &[0; 4]).expect("element");
    assert_eq!((word(x), word(&x[8..])), (10, 1));
    let y = value(&host, 1, &[0; 4]).expect("element");
    assert_eq!((word(y), word(&y[8..])), (0, 0));
}

#[test]
fn keys_of_several_parts_have_no_stray_bytes() {
    let key = e(ExprKind::Tuple(vec![pid(), arg(0), comm()]), Ty::Tuple(vec![Ty::U32, Ty::U64, STR16]));
    let p = program(
        vec![map("m", Some(Ty::Tuple(vec![Ty::U32, Ty::U64, STR16])), Ty::I64)],
        vec![probe(
            raw_tp(),
            vec![],
            vec![
                set(0, Some(key.clone()), int(-1)),
                iff(
                    e(ExprKind::HasKey { map: MapRef(0), key: Box::new(key.clone()) }, Ty::Bool),
                    vec![s(StmtKind::AddMap { map: MapRef(0), key: Some(key), delta: 3 })],
                    vec![],
                ),
            ],
        )],
    );
    let lowered = lower(&p);
    let mut host = lowered.host();
    host.ctx[0] = 9;
    lowered.run(0, &mut host);
    let mut want = vec![7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    want.extend(b"sshd\0\0\0\0\0\0\0\0\0\0\0\0");
    let entries: Vec<_> = host.maps[0].entries().collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].0, want);
    assert_eq!(word(entries[0].1), 2);
}

/// As `++` does: another processor may add to the same element meanwhile.
#[test]
fn what_is_added_to_an_element_is_added_at_once() {
    let narrow = Ty::Int { bits: 16, signed: false };
    let maps = vec![map("x", None, Ty::I64), map("m", Some(Ty::U32), Ty::I64), map("n", Some(Ty::U32), narrow.clone())];
    let adds = |n, key: Option<Expr>, op, ty: &Ty| {
        set(n, key.clone(), binary(op, get(n, key, ty.clone()), int(5), ty.clone()))
    };
    let lowered = |body| lower(&program(maps.clone(), vec![probe(raw_tp(), vec![], body)]));
    // There are no such operations of two bytes. (Both have those that count losses.)
    let at_once = |l: Lowered| l.functions[0].to_string().matches("atomic_add").count();
    let [wide, narrow] =
        [(1, &Ty::I64), (2, &narrow)].map(|(n, ty)| at_once(lowered(vec![adds(n, Some(pid()), BinOp::Add, ty)])));
    assert!(wide > narrow, "{wide} > {narrow}");
    // What is cut on the way wraps there.
    let cut = |e: Expr| crate::hir::e(ExprKind::Cast(Box::new(e)), Ty::U32);
    let sum = binary(BinOp::Add, get(0, None, Ty::I64), int(5), Ty::I64);
    let of_cut = binary(BinOp::Add, cut(get(0, None, Ty::I64)), int(5), Ty::I64);
    let [whole, of_sum, of_old] = [sum.clone(), cut(sum), of_cut].map(|e| at_once(lowered(vec![set(0, None, e)])));
    assert!(whole > of_sum && whole > of_old, "{whole} > {of_sum}, {of_old}");
    let lowered = lowered(vec![adds(0, None, BinOp::Add, &Ty::I64), adds(1, Some(pid()), BinOp::Sub, &Ty::I64)]);
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    lowered.run(0, &mut host);
    assert_eq!(word(value(&host, 0, &[0; 4]).expect("element")), 10);
    let (_, element) = host.maps[1].entries().next().expect("an element");
    assert_eq!(word(element) as i64, -10);
}

/// A CPU's own value is added to at once, too, where another run may come between: of a uprobe, whose thread may be taken off the CPU, or of one function
/// of several that have a program each.
#[test]
fn what_may_be_run_within_itself_adds_at_once() {
    let count = |provider: &Provider, targets| {
        let mut counting = probe(provider.clone(), vec![], vec![aggregate(0, None, None)]);
        counting.targets = vec![counting.targets[0].clone(); targets];
        let lowered = lower(&program(vec![agg("n", None, weftrace_lang::hir::Agg::Count)], vec![counting]));
        assert_eq!(lowered.maps[0].kind, Kind::PercpuArray);
        lowered.functions[0].to_string().matches("atomic_add").count()
    };
    let (path, symbol) = ("/bin/sh".into(), "main".into());
    let uprobe = Provider::Uprobe { path, symbol, offset: 16, ret: false, pid: None, go: None };
    let profile = Provider::Profile { rate: weftrace_lang::hir::Rate::Hz(99) };
    assert_eq!([count(&profile, 1), count(&profile, 2), count(&raw_tp(), 1)], [0, 0, 0]);
    assert_eq!([count(&raw_tp(), 2), count(&uprobe, 1)], [1, 1]);
}

#[test]
fn increments_give_old_or_new_value() {
    let inc = |prefix| e(ExprKind::IncMap { map: MapRef(0), key: Some(Box::new(pid())), delta: 1, prefix }, Ty::I64);
    let p = program(
        vec![map("m", Some(Ty::U32), Ty::I64)],
        vec![probe(raw_tp(), vec![], vec![printf(vec![inc(false), inc(true)])])],
    );
    let lowered = lower(&p);
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    lowered.run(0, &mut host);
    let seen: Vec<_> = host.records.iter().map(|r| (word(&r.payload), word(&r.payload[8..]))).collect();
    assert_eq!(seen, [(0, 2), (2, 4)]);
}

#[test]
fn deleting_unsets() {
    let del = |map, key| s(StmtKind::DeleteMap { map: MapRef(map), key });
    let p = program(
        vec![map("x", None, STR16), map("m", Some(Ty::U32), STR16)],
        vec![
            probe(raw_tp(), vec![], vec![set(0, None, comm()), set(1, Some(pid()), comm())]),
            probe(raw_tp(), vec![], vec![del(0, None), del(1, Some(pid())), del(1, None)]),
        ],
    );
    let lowered = lower(&p);
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    assert_eq!(&value(&host, 0, &[0; 4]).expect("x")[..5], b"sshd\0");
    assert_eq!(value(&host, 1, &7u64.to_le_bytes()).expect("m"), b"sshd\0\0\0\0\0\0\0\0\0\0\0\0");
    lowered.run(1, &mut host);
    assert_eq!(value(&host, 0, &[0; 4]).expect("x"), [0; 24]);
    assert!(host.maps[1].is_empty());
    assert_eq!(host.records.len(), 1, "delete(@m) of a keyed map is clear(@m)");
}

/// A program sees its own CPU's part of a count, user space a copy: both ask for all of it to go.
#[test]
fn deleting_a_count_deletes_all_its_parts() {
    use weftrace_artifact::action::ActionKind;
    use weftrace_lang::hir::Agg;
    let del = || s(StmtKind::DeleteMap { map: MapRef(0), key: None });
    let more = || binary(BinOp::Gt, get(0, None, Ty::U64), int(1), Ty::I64);
    let maps = || vec![agg("n", None, Agg::Count)];
    let interval = Provider::Interval { ns: 1_000_000_000 };
    let count = || aggregate(0, None, None);
    for (at, provider, body) in [
        ("a kernel program", raw_tp(), vec![del()]),
        ("a timer", interval.clone(), vec![action(Action::PrintMap { map: MapRef(0), top: 0, div: 0 }, vec![]), del()]),
        ("a timer that reads it", interval, vec![iff(more(), vec![del()], vec![])]),
    ] {
        let p = program(maps(), vec![probe(raw_tp(), vec![], vec![count()]), probe(provider, vec![], body)]);
        let plan = place::plan(&p, &place::Options::default());
        assert_eq!(plan.maps[0].home, Home::Kernel, "{at}");
        let lowered = lower(&p);
        assert_eq!(lowered.maps[0].kind, Kind::PercpuArray, "{at}");
        let mut host = lowered.host();
        lowered.run(0, &mut host);
        lowered.run(0, &mut host);
        lowered.run(1, &mut host);
        let last = host.records.last().map(|r| &lowered.actions[r.action.0 as usize].kind);
        assert!(matches!(last, Some(ActionKind::Clear { .. })), "{at}: {last:?}");
    }
    // What is printed by the same block goes after that.
    let print = action(Action::PrintMap { map: MapRef(0), top: 0, div: 0 }, vec![]);
    for provider in [raw_tp(), pcap()] {
        let body = vec![count(), iff(more(), vec![print.clone(), del()], vec![])];
        let lowered = lower(&program(maps(), vec![probe(provider, vec![], body)]));
        let mut host = lowered.host();
        lowered.run(0, &mut host);
        lowered.run(0, &mut host);
        let kinds: Vec<_> = host.records.iter().map(|r| &lowered.actions[r.action.0 as usize].kind).collect();
        assert!(matches!(kinds[..], [ActionKind::PrintMap { .. }, ActionKind::Clear { .. }]), "{kinds:?}");
    }
    // In one piece, where the program sees it: it is gone at once.
    let p = program(maps(), vec![probe(raw_tp(), vec![], vec![count(), iff(more(), vec![del()], vec![])])]);
    let lowered = lower(&p);
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    assert_eq!(word(value(&host, 0, &[0; 4]).expect("n")), 1);
    lowered.run(0, &mut host);
    assert_eq!(value(&host, 0, &[0; 4]).expect("n"), [0; 16]);
    assert!(host.records.is_empty());
}

/// The kernel's arrays have no elements to delete: bpf(2) says EINVAL.
#[test]
fn a_timer_in_user_space_unsets_what_the_kernel_has() {
    let del = s(StmtKind::DeleteMap { map: MapRef(0), key: None });
    let p = program(
        vec![map("x", None, STR16), agg("n", None, weftrace_lang::hir::Agg::Count)],
        vec![
            probe(raw_tp(), vec![], vec![set(0, None, comm()), aggregate(1, None, None)]),
            probe(
                Provider::Interval { ns: 1_000_000_000 },
                vec![],
                vec![iff(binary(BinOp::Gt, get(1, None, Ty::U64), int(0), Ty::I64), vec![del], vec![])],
            ),
        ],
    );
    assert_eq!(place::plan(&p, &place::Options::default()).units[1].side, Side::Native);
    let lowered = lower(&p);
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    assert_eq!(&value(&host, 0, &[0; 4]).expect("x")[..5], b"sshd\0");
    let calls = lowered.functions[1].to_string();
    assert!(calls.contains("map_update") && !calls.contains("map_delete"), "{calls}");
    lowered.run(1, &mut host);
    assert_eq!(value(&host, 0, &[0; 4]).expect("x"), [0; 24]);
}

#[test]
fn missing_elements_are_zero_and_coalesce() {
    let or = |left: weftrace_lang::hir::Expr, right| {
        let ty = left.ty.clone();
        e(ExprKind::Coalesce { left: Box::new(left), right: Box::new(right) }, ty)
    };
    let p = program(
        vec![map("x", None, Ty::I64), map("m", Some(Ty::U32), Ty::I64)],
        vec![probe(
            raw_tp(),
            vec![],
            vec![
                printf(vec![
                    get(0, None, Ty::I64),
                    get(1, Some(pid()), Ty::I64),
                    or(get(0, None, Ty::I64), int(4)),
                    or(get(1, Some(pid()), Ty::I64), int(5)),
                ]),
                set(0, None, int(0)),
                set(1, Some(pid()), int(0)),
                printf(vec![or(get(0, None, Ty::I64), int(4)), or(get(1, Some(pid()), Ty::I64), int(5))]),
            ],
        )],
    );
    let lowered = lower(&p);
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    let words = |r: usize| host.records[r].payload.chunks(8).map(word).collect::<Vec<_>>();
    assert_eq!(words(0), [0, 0, 4, 5]);
    assert_eq!(words(1), [0, 0]);
}

#[test]
fn homes_follow_uses() {
    let count = |p| probe(p, vec![], vec![aggregate(0, None, None)]);
    let a = || agg("a", None, weftrace_lang::hir::Agg::Count);
    let home = |probes| place::plan(&program(vec![a()], probes), &place::Options::default()).maps[0].home;
    assert_eq!(home(vec![count(raw_tp())]), Home::Kernel);
    assert_eq!(home(vec![count(pcap())]), Home::User);
    assert_eq!(home(vec![count(raw_tp()), count(pcap())]), Home::Both);
}

#[test]
fn timers_go_where_their_maps_are() {
    let interval = || Provider::Interval { ns: 1_000_000_000 };
    let maps = || vec![map("x", None, Ty::I64), agg("a", None, weftrace_lang::hir::Agg::Count)];
    let plan = |kernel, timer| {
        let p = program(maps(), vec![probe(raw_tp(), vec![], kernel), probe(interval(), vec![], timer)]);
        place::plan(&p, &place::Options::default())
    };
    let write = || set(0, None, int(1));
    let print = || printf(vec![get(1, None, Ty::U64)]);
    assert!(matches!(plan(vec![write()], vec![write()]).units[1].side, Side::Kernel(_)), "shares a plain map");
    assert_eq!(plan(vec![], vec![write()]).units[1].side, Side::Native, "nobody else uses it");
    let whole = plan(vec![aggregate(1, None, None)], vec![print()]);
    assert_eq!(whole.units[1].side, Side::Native, "{}", whole.units[1].reason);
    assert_eq!(whole.maps[1].home, Home::Kernel);
}

/// What blocks on both sides count is in two parts, of which a kernel program sees one.
#[test]
fn counts_of_both_sides_are_read_where_both_parts_are() {
    use weftrace_lang::hir::Agg;
    let count = || aggregate(0, Some(pid()), None);
    let has = || e(ExprKind::HasKey { map: MapRef(0), key: Box::new(int(7)) }, Ty::Bool);
    let del = || s(StmtKind::DeleteMap { map: MapRef(0), key: Some(int(7)) });
    let plan = |counting: Vec<Provider>, reader, body: Vec<_>| {
        let mut probes: Vec<_> = counting.into_iter().map(|p| probe(p, vec![], vec![count()])).collect();
        probes.push(probe(reader, vec![], body));
        place::plan(&program(vec![agg("n", Some(Ty::U64), Agg::Count)], probes), &place::Options::default())
    };
    let timer = || Provider::Interval { ns: 1_000_000_000 };
    let both = || vec![raw_tp(), pcap()];
    let last = |plan: &place::Placement| plan.units.last().map(|u| u.side);
    let found = |plan: &place::Placement| plan.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>();
    for body in [vec![iff(has(), vec![del()], vec![])], vec![del()]] {
        let p = plan(both(), timer(), body.clone());
        assert_eq!((last(&p), found(&p)), (Some(Side::Native), vec![]));
        assert_eq!(p.maps[0].home, Home::Both);
        // Of the kernel's alone it stays there.
        let p = plan(vec![raw_tp()], timer(), body.clone());
        assert!(matches!(last(&p), Some(Side::Kernel(_))) && found(&p).is_empty(), "{p:?}");
        for counting in [both(), vec![pcap()]] {
            assert_eq!(found(&plan(counting, raw_tp(), body.clone())), ["map-read-across"]);
        }
        assert_eq!(found(&plan(vec![raw_tp()], raw_tp(), body.clone())), [""; 0]);
        // A program can't be loaded without a map of its own.
        let alone = plan(vec![pcap()], raw_tp(), vec![iff(has(), vec![], vec![])]);
        assert_eq!((alone.maps[0].home, found(&alone)), (Home::Both, vec!["map-read-across"]));
        // What user space deletes goes on both sides.
        assert_eq!(found(&plan(vec![raw_tp()], pcap(), body)), [""; 0]);
    }
}

#[test]
fn plain_maps_across_the_boundary_are_reported() {
    let write = || set(0, None, int(1));
    let read = || printf(vec![get(0, None, Ty::I64)]);
    let findings = |kernel, native| {
        let p = program(
            vec![map("x", None, Ty::I64)],
            vec![probe(raw_tp(), vec![], vec![kernel]), probe(pcap(), vec![], vec![native])],
        );
        place::plan(&p, &place::Options::default()).diagnostics.into_iter().map(|d| d.code).collect::<Vec<_>>()
    };
    assert_eq!(findings(write(), read()), ["map-read-across"]);
    assert_eq!(findings(write(), write()), ["map-written-on-both-sides"]);
}

#[test]
fn loops_over_maps_see_every_element() {
    use weftrace_lang::hir::{Agg, VarRef};
    let pair = |value: Ty| Ty::Tuple(vec![Ty::U32, value]);
    let part =
        |i, value: &Ty, ty| e(ExprKind::TupleField { base: Box::new(var(0, pair(value.clone()))), index: i }, ty);
    let walk = |map: u32, value: Ty| {
        s(StmtKind::ForMap {
            var: VarRef(0),
            map: MapRef(map),
            body: block(vec![printf(vec![part(0, &value, Ty::U32), part(1, &value, value.clone())])]),
        })
    };
    for (def, fill, value) in [
        (
            map("m", Some(Ty::U32), Ty::I64),
            set as fn(u32, Option<weftrace_lang::hir::Expr>, weftrace_lang::hir::Expr) -> _,
            Ty::I64,
        ),
        (agg("m", Some(Ty::U32), Agg::Sum { signed: true }), |m, k, v| aggregate(m, k, Some(v)), Ty::I64),
    ] {
        let key = |n| Some(cast(int(n), Ty::U32));
        let body = vec![fill(0, key(2), int(-20)), fill(0, key(1), int(10)), walk(0, value)];
        let lowered = lower(&program(vec![def], vec![probe(Provider::Begin, vec![pair(Ty::I64)], body)]));
        let mut host = lowered.host();
        lowered.run(0, &mut host);
        let seen: Vec<_> = host.records.iter().map(|r| (r.payload[0], word(&r.payload[8..]) as i64)).collect();
        assert_eq!(seen, [(1, 10), (2, -20)]);
    }
}

/// `for ($kv : @m) { …; break; }`: no edge leads back, and the kernel has no other way to an element than a callback.
#[test]
fn loops_over_maps_that_always_leave_see_one_element() {
    use weftrace_lang::hir::VarRef;
    let pair = || Ty::Tuple(vec![Ty::U32, Ty::I64]);
    let part = |i, ty| e(ExprKind::TupleField { base: Box::new(var(0, pair())), index: i }, ty);
    for leave in [StmtKind::Break, StmtKind::Return] {
        let found = || printf(vec![part(0, Ty::U32), part(1, Ty::I64)]);
        let walk = |map: u32, stmts| s(StmtKind::ForMap { var: VarRef(0), map: MapRef(map), body: block(stmts) });
        let body = vec![
            set(0, Some(cast(int(7), Ty::U32)), int(-20)),
            // Nothing is in this one: what follows the loop runs.
            walk(1, vec![printf(vec![int(1)]), s(leave.clone())]),
            walk(0, vec![found(), s(leave.clone())]),
            printf(vec![int(2)]),
        ];
        let maps = vec![map("m", Some(Ty::U32), Ty::I64), map("e", Some(Ty::U32), Ty::I64)];
        let lowered = lower(&program(maps, vec![probe(raw_tp(), vec![pair()], body)]));
        let mut host = lowered.host();
        lowered.run(0, &mut host);
        let seen: Vec<_> = host.records.iter().map(|r| r.payload.clone()).collect();
        assert_eq!((seen[0][0], word(&seen[0][8..]) as i64), (7, -20));
        let after = seen.get(1).map(|payload| word(payload));
        assert_eq!(after, matches!(leave, StmtKind::Break).then_some(2), "{leave:?}");
    }
}
