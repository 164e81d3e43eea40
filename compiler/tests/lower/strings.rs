//! Strings: reading, comparing, searching.

use crate::hir::*;
use crate::run::*;
use weftrace_lang::hir::{Expr, ExprKind, Func, Space, StmtKind, Ty};

fn user_string(n: u32) -> Expr {
    let p = e(ExprKind::Arg(n), Ty::Ptr { to: Box::new(Ty::Int { bits: 8, signed: true }), space: Space::User });
    call(Func::Str, vec![p], Ty::Str { cap: 80 })
}

/// What a number expression of the strings at arguments 0 and 1 gives.
fn eval(expr: Expr, a: &str, b: &str) -> u64 {
    let lowered = lower(&program(vec![], vec![probe(raw_tp(), vec![], vec![printf(vec![expr])])]));
    let mut host = lowered.host();
    for (i, s) in [a, b].into_iter().enumerate() {
        let at = 0x1000 * (i as u64 + 1);
        host.ctx[i * 8..i * 8 + 8].copy_from_slice(&at.to_le_bytes());
        let mut bytes = s.as_bytes().to_vec();
        bytes.resize(200, 0);
        host.user.insert(at, bytes);
    }
    lowered.run(0, &mut host);
    let mut payload = host.records[0].payload.clone();
    payload.resize(8, 0);
    word(&payload)
}

#[test]
fn strings_compare_up_to_their_nul() {
    for (a, lit, equal) in [
        ("abc", "abc", true),
        ("abc", "abd", false),
        ("abcd", "abc", false),
        ("ab", "abc", false),
        ("", "", true),
        ("x", "", false),
    ] {
        let len = lit.len() as u32 + 1;
        assert_eq!(eval(str_eq(user_string(0), text(lit), len, true), a, ""), u64::from(equal), "{a} == {lit}");
        assert_eq!(eval(str_eq(text(lit), user_string(0), len, false), a, ""), u64::from(!equal), "{a} != {lit}");
        assert_eq!(
            eval(str_eq(user_string(0), user_string(1), 80, true), a, lit),
            u64::from(equal),
            "{a} == {lit}, both read"
        );
    }
    let long = "x".repeat(60);
    assert_eq!(eval(str_eq(user_string(0), text(&long), 61, true), &long, ""), 1);
    assert_eq!(eval(str_eq(user_string(0), text(&long), 61, true), &"x".repeat(61), ""), 0);
}

#[test]
fn short_memory_against_long() {
    // comm (16 bytes) with a string of 80.
    let eq = || str_eq(comm(), user_string(0), 80, true);
    assert_eq!(eval(eq(), "sshd", ""), 1);
    assert_eq!(eval(eq(), "sshd2", ""), 0);
}

#[test]
fn strncmp_looks_at_n_bytes() {
    let cmp = |b: Expr, n| call(Func::Strncmp, vec![user_string(0), b, int(n)], Ty::U64);
    assert_eq!(eval(cmp(text("abx"), 2), "abc", ""), 0);
    assert_eq!(eval(cmp(text("abx"), 3), "abc", ""), 1);
    assert_eq!(eval(cmp(user_string(1), 2), "abc", "abd"), 0);
    assert_eq!(eval(cmp(user_string(1), 80), "abc", "abc"), 0);
    assert_eq!(eval(cmp(text("abc"), 80), "abcd", ""), 1);
}

#[test]
fn searching_and_measuring() {
    let contains = |needle: &str| call(Func::Strcontains, vec![user_string(0), text(needle)], Ty::Bool);
    assert_eq!(eval(contains("ell"), "hello", ""), 1);
    assert_eq!(eval(contains("elx"), "hello", ""), 0);
    assert_eq!(eval(contains("hello"), "hello", ""), 1);
    assert_eq!(eval(contains(""), "hello", ""), 1);
    assert_eq!(eval(contains("lo!"), "hello", ""), 0);
    let short = |n| {
        call(
            Func::Str,
            vec![e(ExprKind::Arg(n), Ty::Ptr { to: Box::new(Ty::U8), space: Space::User })],
            Ty::Str { cap: 12 },
        )
    };
    for (hay, needle, found) in [
        ("hello", "ell", 1),
        ("hello", "hello", 1),
        ("hello", "elx", 0),
        ("hello", "lo!", 0),
        ("", "a", 0),
        ("a", "", 1),
        ("hellohell!", "hell!", 1),
    ] {
        assert_eq!(
            eval(call(Func::Strcontains, vec![short(0), short(1)], Ty::Bool), hay, needle),
            found,
            "{needle} in {hay}"
        );
    }
    let len = || call(Func::Strlen, vec![user_string(0)], Ty::U64);
    assert_eq!(eval(len(), "hello", ""), 5);
    assert_eq!(eval(len(), "", ""), 0);
    assert_eq!(eval(len(), &"y".repeat(100), ""), 80, "cut to the capacity");
}

#[test]
fn lengths_cut_strings() {
    let p = e(ExprKind::Arg(0), Ty::Ptr { to: Box::new(Ty::U8), space: Space::User });
    let str3 = call(Func::Str, vec![p.clone(), int(3)], Ty::Str { cap: 8 });
    assert_eq!(eval(str3, "abcdef", "").to_le_bytes(), *b"ab\0\0\0\0\0\0");
    let by_arg = call(Func::Str, vec![p, arg(2)], Ty::Str { cap: 8 });
    assert_eq!(eval(by_arg, "abcdef", ""), 0, "argument 2 is 0: nothing");
}

#[test]
fn variables_hold_copies() {
    let p = program(
        vec![],
        vec![probe(
            raw_tp(),
            vec![Ty::Str { cap: 24 }],
            vec![
                set_var(0, comm()),
                iff(
                    str_eq(var(0, Ty::Str { cap: 24 }), text("sshd"), 5, true),
                    vec![set_var(0, text("other"))],
                    vec![],
                ),
                printf(vec![var(0, Ty::Str { cap: 24 })]),
            ],
        )],
    );
    let lowered = lower(&p);
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    assert_eq!(host.records[0].payload, b"other\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn buffers_carry_their_length() {
    let p = e(ExprKind::Arg(0), Ty::Ptr { to: Box::new(Ty::U8), space: Space::User });
    let buf = |n: Expr| call(Func::Buf, vec![p.clone(), n], Ty::Buf { cap: 6 });
    assert_eq!(eval(buf(int(4)), "abcdef", "").to_le_bytes(), *b"\x04\0\0\0abcd");
    assert_eq!(eval(buf(int(99)), "abcdef", "").to_le_bytes(), *b"\x06\0\0\0abcd");
    assert_eq!(eval(buf(arg(2)), "abcdef", "").to_le_bytes(), [0; 8]);
}

#[test]
fn failed_reads_are_empty_and_counted() {
    let lowered =
        lower(&program(vec![], vec![probe(raw_tp(), vec![], vec![printf(vec![user_string(0)]), s(StmtKind::Return)])]));
    let mut host = lowered.host();
    lowered.run(0, &mut host);
    assert_eq!(host.records[0].payload, [0; 80]);
    assert_eq!(host.losses, [0, 0, 1, 0, 0, 0, 0]);
}
