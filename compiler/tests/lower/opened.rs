//! An element that a program looks up once and writes where it is.

use crate::hir::*;
use crate::run::*;
use weftrace_artifact::map::MapId;
use weftrace_compiler::ir::{BlockData, InstData, Op, Space, Term, Ty as IrTy, interp::host::Host};
use weftrace_lang::{
    hir::{BinOp, Expr, ExprKind, Func, MapDef, Stmt, Ty},
    span::{FileId, Span},
};

/// Of a module, which is what lets its elements be written where they are.
pub fn library(map: MapDef) -> MapDef {
    MapDef { span: Span { file: FileId(1), ..SP }, ..map }
}

fn pair() -> Ty {
    Ty::Tuple(vec![Ty::U64, Ty::U64])
}

fn key() -> Expr {
    var(0, Ty::U64)
}

/// `$was.0`, `$was.1`
fn member(index: u32) -> Expr {
    e(ExprKind::TupleField { base: Box::new(var(1, pair())), index }, Ty::U64)
}

fn write(first: Expr, second: Expr) -> Stmt {
    set(0, Some(key()), e(ExprKind::Tuple(vec![first, second]), pair()))
}

/// `$key = arg0; $was = __open(@__m[$key]); if (arg1) { @__m[$key] = ($was.0 + 1, arg2) } @__m[$key] = ($was.0 + 10, arg2)`
fn lowered(entries: u32) -> Lowered {
    let more = |n| write(binary(BinOp::Add, member(0), int(n), Ty::U64), arg(2));
    lowered_with(entries, vec![iff(arg(1), vec![more(1)], vec![]), more(10)])
}

fn lowered_with(entries: u32, writes: Vec<Stmt>) -> Lowered {
    let open = call(Func::Open, vec![get(0, Some(key()), pair())], pair());
    let body = [vec![set_var(0, arg(0)), set_var(1, open)], writes].concat();
    let m = MapDef { max_entries: entries, ..library(map("__m", Some(Ty::U64), pair())) };
    lower(&program(vec![m], vec![probe(raw_tp(), vec![Ty::U64, pair()], body)]))
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
        5,
        "it, nobody's, and nobody's once that came; it again where each of two writes made it"
    );
    for twice in [0, 1] {
        let mut host = lowered.host();
        let once = 10 + twice;
        run(&lowered, &mut host, [7, twice, 3]);
        assert_eq!(pair_at(&host, 7), Some((once, 3)), "it began with zeroes");
        run(&lowered, &mut host, [7, twice, 4]);
        assert_eq!(pair_at(&host, 7), Some((2 * once, 4)), "it goes on from what was there");
        run(&lowered, &mut host, [9, twice, 5]);
        assert_eq!((pair_at(&host, 7), pair_at(&host, 9)), (Some((2 * once, 4)), Some((once, 5))), "each its own");
        assert_eq!(pair_at(&host, 0), Some((0, 0)), "nobody's is never written");
    }
}

/// Members change places, and one that is to stay is not written.
#[test]
fn what_is_written_is_read_before() {
    let add = write(binary(BinOp::Add, member(0), arg(1), Ty::U64), member(1));
    let lowered = lowered_with(8, vec![add, write(member(1), member(0))]);
    let f = &lowered.functions[0];
    let to_element =
        |i: &&InstData| matches!(i.op, Op::Store { ptr, .. } if f.value_type(ptr) == IrTy::Ptr(Space::Map));
    assert_eq!(f.insts.iter().filter(to_element).count(), 3, "one, then both");
    let mut host = lowered.host();
    for want in [(0, 3), (3, 3), (3, 6)] {
        run(&lowered, &mut host, [7, 3, 0]);
        assert_eq!(pair_at(&host, 7), Some(want));
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
