//! Tests of the rules that need no script: promotion, layout, globs, numbers.

use super::address::parse_net;
use super::glob::matches;
use super::layout::{Input, lay_out};
use super::params::parse_number;
use super::types::{Flex, Open, join, literal_type};
use crate::hir::{Agg, Space, Ty};

fn int(bits: u8, signed: bool) -> Open {
    Open::firm(Ty::Int { bits, signed })
}

fn literal(n: i128) -> Open {
    Open { ty: literal_type(n), flex: Flex::Yes }
}

fn joined(a: &Open, b: &Open) -> Option<Ty> {
    join(a, b).map(|o| o.ty)
}

#[test]
fn literals_take_the_smallest_signed_type() {
    let bits = |n| literal_type(n);
    assert_eq!(bits(127), Ty::Int { bits: 8, signed: true });
    assert_eq!(bits(128), Ty::Int { bits: 16, signed: true });
    assert_eq!(bits(-129), Ty::Int { bits: 16, signed: true });
    assert_eq!(bits(1 << 31), Ty::I64);
    assert_eq!(bits(i128::from(u64::MAX)), Ty::U64);
}

#[test]
fn integers_that_share_a_name_grow() {
    assert_eq!(joined(&int(8, true), &int(32, true)), Some(Ty::I32));
    // A signed and an unsigned of one width need the next wider signed one; at 64 bits there is none.
    assert_eq!(joined(&int(16, true), &int(16, false)), Some(Ty::I32));
    assert_eq!(joined(&int(64, true), &int(64, false)), Some(Ty::I64));
    assert_eq!(joined(&int(64, true), &int(32, false)), Some(Ty::I64));
    // Literals adapt.
    assert_eq!(joined(&literal(1), &int(64, false)), Some(Ty::U64));
    assert_eq!(joined(&int(16, false), &literal(70_000)), Some(Ty::U32));
}

#[test]
fn joining_is_symmetric_and_settles() {
    let all = [
        int(8, true),
        int(8, false),
        int(16, false),
        int(32, true),
        int(64, false),
        int(64, true),
        literal(5),
        literal(300),
    ];
    for a in &all {
        for b in &all {
            assert_eq!(joined(a, b), joined(b, a), "{a:?} {b:?}");
            let once = join(a, b).expect("integers go together");
            let twice = join(&once, b).expect("integers go together");
            assert_eq!(once.ty, twice.ty, "{a:?} {b:?}: joining again must change nothing");
        }
    }
}

#[test]
fn members_join_one_by_one_and_kinds_do_not_mix() {
    let tuple = |a, b| Open::firm(Ty::Tuple(vec![a, b]));
    let x = tuple(Ty::U16, Ty::Str { cap: 2 });
    let y = tuple(Ty::U32, Ty::Str { cap: 9 });
    assert_eq!(joined(&x, &y), Some(Ty::Tuple(vec![Ty::U32, Ty::Str { cap: 9 }])));
    assert_eq!(joined(&x, &int(8, true)), None);
    assert_eq!(joined(&Open::firm(Ty::Str { cap: 2 }), &int(8, true)), None);
    let count = Open::firm(Ty::Agg(Agg::Count));
    assert_eq!(joined(&count, &Open::firm(Ty::Agg(Agg::Sum { signed: true }))), None);
    assert_eq!(joined(&count, &int(64, false)), None);
    let ptr = |to| Open::firm(Ty::Ptr { to: Box::new(to), space: Space::Kernel });
    // Pointers to integers mix: the first use says how they are read.
    assert_eq!(joined(&ptr(Ty::U8), &ptr(Ty::U16)), Some(ptr(Ty::U8).ty));
    assert_eq!(joined(&ptr(Ty::U8), &ptr(Ty::Bool)), None);
    assert_eq!(joined(&ptr(Ty::Void), &ptr(Ty::U16)), Some(ptr(Ty::U16).ty));
}

fn member(name: &str, bits: u8, field: Option<u32>) -> Input {
    let size = u32::from(bits) / 8;
    Input { name: name.into(), ty: Ty::Int { bits, signed: false }, size, align: size, own_align: false, bits: field }
}

#[test]
fn structs_are_laid_out_as_c_does() {
    let s = lay_out("s", false, vec![member("a", 8, None), member("b", 32, None), member("c", 16, None)], &[]);
    let offsets: Vec<u32> = s.fields.iter().map(|f| f.offset).collect();
    assert_eq!((offsets, s.size, s.align), (vec![0, 4, 8], 12, 4));
    let packed = lay_out("s", false, vec![member("a", 8, None), member("b", 32, None)], &["packed".into()]);
    assert_eq!((packed.fields[1].offset, packed.size), (1, 5));
    let aligned = lay_out("s", false, vec![member("a", 8, None)], &["aligned(16)".into()]);
    assert_eq!((aligned.size, aligned.align), (16, 16));
    let union = lay_out("u", true, vec![member("a", 8, None), member("b", 64, None)], &[]);
    assert_eq!((union.fields[1].offset, union.size), (0, 8));
}

#[test]
fn bit_fields_share_their_unit() {
    let s = lay_out(
        "s",
        false,
        vec![member("a", 32, Some(3)), member("b", 32, Some(5)), member("c", 32, Some(30)), member("d", 8, None)],
        &[],
    );
    let at: Vec<_> = s.fields.iter().map(|f| (f.offset, f.bits)).collect();
    assert_eq!(at, vec![(0, Some((0, 3))), (0, Some((3, 5))), (4, Some((0, 30))), (8, None)]);
    assert_eq!(s.size, 12);
}

#[test]
fn globs() {
    for (glob, text, yes) in [
        ("tcp_*", "tcp_probe", true),
        ("*_probe", "tcp_probe", true),
        ("*a*b*", "xxaxxbxx", true),
        ("*a*b*", "xxbxxaxx", false),
        ("t?p", "tcp", true),
        ("t?p", "tp", false),
        ("v[46]", "v4", true),
        ("v[!46]", "v4", false),
        ("v[0-9]", "v7", true),
        ("[x", "[x", false),
        ("", "", true),
        ("**", "", true),
    ] {
        assert_eq!(matches(glob, text), yes, "{glob} {text}");
    }
}

#[test]
fn numbers_of_the_command_line() {
    for (text, n) in [
        ("42", Some(42)),
        ("-5", Some(-5)),
        ("0x1f", Some(31)),
        ("010", Some(8)),
        ("500ms", Some(500_000_000)),
        ("1m", Some(60_000_000_000)),
        ("64MiB", Some(64 << 20)),
        ("1e6", Some(1_000_000)),
        ("1e60", None),
        ("99999999999d", None),
        ("5x", None),
        ("", None),
        ("ms", None),
    ] {
        assert_eq!(parse_number(text), n, "{text}");
    }
}

#[test]
fn networks() {
    let (family, net, prefix) = parse_net("10.1.0.0/16").expect("a network");
    assert_eq!((family, &net[..4], prefix), (2, &[10, 1, 0, 0][..], 16));
    assert_eq!(parse_net("fe80::1").map(|n| (n.0, n.2)), Some((10, 128)));
    assert_eq!(parse_net("10.0.0.0/33"), None);
    assert_eq!(parse_net("10.0.0"), None);
}
