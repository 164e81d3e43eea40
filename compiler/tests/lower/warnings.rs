//! What goes wrong at run time is told, seldom, and counted exactly.

use crate::hir::*;
use crate::run::*;
use weftrace_artifact::{
    action::{ActionKind, Warning},
    map::Role,
};
use weftrace_compiler::ir::interp::host::Host;
use weftrace_lang::hir::{BinOp, Expr, ExprKind, Program, Ty};

/// The first argument, signed.
fn sarg() -> Expr {
    e(ExprKind::Arg(0), Ty::I64)
}

/// What was told: about what, and the helper's result.
fn told(lowered: &Lowered, host: &Host) -> Vec<(Warning, i64)> {
    let about = |r: &weftrace_compiler::ir::interp::host::Record| match &lowered.actions[r.action.0 as usize].kind {
        ActionKind::Warn { about, .. } => Some((about.clone(), word(&r.payload) as i64)),
        _ => None,
    };
    host.records.iter().filter_map(about).collect()
}

fn counters(lowered: &Lowered, host: &Host) -> Vec<u64> {
    let at = lowered.maps.iter().position(|m| m.role == Role::Warnings).expect("counters of places that warn");
    (0..lowered.maps[at].max_entries).map(|i| value(host, at, &i.to_ne_bytes()).map_or(0, word)).collect()
}

fn full_map() -> Program {
    let body = vec![set(0, Some(sarg()), int(1))];
    let mut p = program(vec![map("m", Some(Ty::I64), Ty::I64)], vec![probe(raw_tp(), vec![], body)]);
    p.maps[0].max_entries = 1;
    p
}

#[test]
fn a_full_map_is_told_at_powers_of_two_and_counted_exactly() {
    let lowered = lower(&full_map());
    let mut host = lowered.host();
    for key in 0..6i64 {
        host.ctx[..8].copy_from_slice(&key.to_le_bytes());
        lowered.run(0, &mut host);
    }
    // The first key fits; of five failures the first, second and fourth are told.
    let update = (Warning::Helper("map_update_elem".into()), i64::from(-7));
    assert_eq!(told(&lowered, &host), vec![update; 3]);
    assert_eq!(counters(&lowered, &host), [5]);
}

#[test]
fn missing_elements_are_told_only_when_asked() {
    let body = vec![printf(vec![get(0, Some(int(9)), Ty::I64)])];
    let mut p = program(vec![map("m", Some(Ty::I64), Ty::I64)], vec![probe(raw_tp(), vec![], body)]);
    for (asked, want) in [(false, 0), (true, 1)] {
        p.config.helper_warnings = asked;
        let lowered = lower(&p);
        let mut host = lowered.host();
        lowered.run(0, &mut host);
        let told = told(&lowered, &host);
        assert_eq!(told.len(), want);
        assert!(told.iter().all(|(about, result)| *about == Warning::Helper("map_lookup_elem".into()) && *result == 0));
    }
}

#[test]
fn each_place_has_its_own_counter() {
    let divide = || binary(BinOp::Div, int(7), sarg(), Ty::I64);
    let body = vec![printf(vec![divide()]), printf(vec![divide(), divide()])];
    let lowered = lower(&program(vec![], vec![probe(raw_tp(), vec![], body)]));
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    lowered.run(0, &mut host);
    lowered.run(0, &mut host);
    assert_eq!(counters(&lowered, &host), [3, 3, 3]);
    assert_eq!(told(&lowered, &host), vec![(Warning::DivisionByZero, 0); 6]);
}
