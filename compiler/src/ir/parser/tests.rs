use super::*;
use crate::ir::compact::compact;

const EVERYTHING: &str = include_str!("../../../tests/ir/text/everything.ir");

#[test]
fn text_reads_back_to_the_same_text() {
    let function = parse(EVERYTHING).expect("parses");
    let text = function.to_string();
    assert_eq!(format!("; test text\n{text}"), EVERYTHING);
    let again = parse(&text).expect("parses");
    assert_eq!(format!("{again:?}"), format!("{function:?}"));
    let mut compacted = function.clone();
    compact(&mut compacted);
    assert_eq!(format!("{compacted:?}"), format!("{function:?}"));
}

#[test]
fn numbers_may_be_any() {
    let function = parse("function \"f\" native {\nblock7(v9: ctx):\n v3 = iconst 0xffffffffffffffff\n return v3\n}")
        .expect("parses");
    assert_eq!(
        function.to_string(),
        "function \"f\" native {\nblock0(v0: ctx):\n    v1 = iconst -1\n    return v1\n}\n"
    );
}

#[test]
fn errors_name_the_line() {
    let cases = [
        ("", "line 1: no function"),
        ("function \"f\" native {\n}", "line 2: the function has no block"),
        ("function \"f\" native {\nblock0(v0: ctx):\n return v0", "line 3: the function's `}` is missing"),
        ("function \"f\" bpf {", "line 1: `bpf` is neither `native` nor `kernel`"),
        ("function \"f\" kernel xdp {", "line 1: `xdp` is not a program type"),
        ("function \"f\" native {\n ss1 = slot 8, align 8", "line 2: expected ss0, found ss1"),
        ("function \"f\" native {\nblock0(v0: ctx):\n v1 = frob v0", "line 3: unknown instruction `frob`"),
        ("function \"f\" native {\nblock0(v0: ctx):\n v1 = ineg v7", "line 3: v7 is not defined"),
        ("function \"f\" native {\nblock0(v0: ctx):\n v0 = iconst 1", "line 3: v0 is defined twice"),
        ("function \"f\" native {\nblock0(v0: ctx):\n v1 = iconst 1 1", "line 3: expected the line's end, found `1`"),
        ("function \"f\" native {\nblock0(v0: ctx):\n jump block3", "line 3: block3 is not defined"),
        ("function \"f\" native {\nblock0(v0: ctx):\n ineg v0", "line 3: `ineg v0` has a result"),
        ("function \"f\" native {\nblock0(v0: ctx):\n v1 = call nope()", "line 3: unknown helper `nope`"),
        ("function \"f\" native {\nblock0(v0: ctx):\n v1 = load.u9 v0", "line 3: `u9` is not a width of load"),
        ("function \"f\" native {\nblock0(v0: ctx):\n return v0 @4", "line 3: @4 is not declared"),
        ("function \"f", "line 1: unfinished string"),
        (
            "function \"f\" native {\nblock0(v0: ctx):\n v1 = iconst 99999999999999999999",
            "line 3: 99999999999999999999 is out of range",
        ),
    ];
    for (text, message) in cases {
        let error = parse(text).map(|f| f.to_string()).expect_err(text);
        assert_eq!(error.to_string(), message, "{text}");
    }
}
