//! An element that a program looks up once and writes where it is.

use crate::hir::*;
use crate::run::*;
use weftrace_artifact::map::MapId;
use weftrace_compiler::ir::{BlockData, Term, interp::host::Host};
use weftrace_lang::{
    hir::{BinOp, ExprKind, Func, MapDef, Ty},
    span::{FileId, Span},
};

/// Of a module, which is what lets its elements be written where they are.
fn library(entries: u32) -> MapDef {
    let span = Span { file: FileId(1), ..SP };
    MapDef { max_entries: entries, span, ..map("__m", Some(Ty::U64), pair()) }
}

fn pair() -> Ty {
    Ty::Tuple(vec![Ty::U64, Ty::U64])
}

/// `$key = arg0; $was = __open(@__m[$key]); if (arg1) { @__m[$key] = ($was.0 + 1, arg2) } @__m[$key] = ($was.0 + 10, arg2)`
fn lowered(entries: u32) -> Lowered {
    let key = || var(0, Ty::U64);
    let member = ExprKind::TupleField { base: Box::new(var(1, pair())), index: 0 };
    let more = |n| binary(BinOp::Add, e(member.clone(), Ty::U64), int(n), Ty::U64);
    let write = |n| set(0, Some(key()), e(ExprKind::Tuple(vec![more(n), arg(2)]), pair()));
    let open = call(Func::Open, vec![get(0, Some(key()), pair())], pair());
    let body = vec![set_var(0, arg(0)), set_var(1, open), iff(arg(1), vec![write(1)], vec![]), write(10)];
    lower(&program(vec![library(entries)], vec![probe(raw_tp(), vec![Ty::U64, pair()], body)]))
}

fn run(lowered: &Lowered, host: &mut Host, words: [u64; 3]) {
    for (i, word) in words.iter().enumerate() {
        host.ctx[i * 8..i * 8 + 8].copy_from_slice(&word.to_ne_bytes());
    }
    lowered.run(0, host);
}

fn pair_at(host: &Host, key: u64) -> Option<(u64, u64)> {
    value(host, 0, &key.to_ne_bytes()).map(|value| (word(value), word(&value[8..])))
}

#[test]
fn what_is_there_is_written_and_what_is_not_comes() {
    let lowered = lowered(8);
    let looks = |data: &&BlockData| matches!(data.term, Term::Lookup { map: MapId(0), .. });
    assert_eq!(
        lowered.functions[0].blocks.iter().filter(looks).count(),
        3,
        "it, nobody's, and nobody's once that came"
    );
    for twice in [0, 1] {
        let mut host = lowered.host();
        run(&lowered, &mut host, [7, twice, 3]);
        assert_eq!(pair_at(&host, 7), Some((10, 3)), "it began with zeroes");
        run(&lowered, &mut host, [7, twice, 4]);
        assert_eq!(pair_at(&host, 7), Some((20, 4)), "it goes on from what was there");
        run(&lowered, &mut host, [9, twice, 5]);
        assert_eq!((pair_at(&host, 7), pair_at(&host, 9)), (Some((20, 4)), Some((10, 5))), "each its own");
        assert_eq!(pair_at(&host, 0), Some((0, 0)), "nobody's is never written");
    }
}

#[test]
fn without_room_nothing_of_another_key_changes() {
    let lowered = lowered(2);
    let mut host = lowered.host();
    run(&lowered, &mut host, [7, 0, 3]);
    run(&lowered, &mut host, [8, 1, 4]);
    assert_eq!((pair_at(&host, 7), pair_at(&host, 8), pair_at(&host, 0)), (Some((10, 3)), None, Some((0, 0))));
}
