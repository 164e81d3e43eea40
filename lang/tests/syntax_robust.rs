//! Any bytes parse quickly and without a panic.

mod common;

use common::probes;
use proptest::prelude::*;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use weftrace_lang::span::FileId;
use weftrace_lang::syntax::{fuzz_one, parse, parse_expr};

/// No text of a few kilobytes may take longer, in a debug build on a busy machine. What goes wrong here takes for ever.
const SLOW: Duration = Duration::from_secs(5);

fn corpus() -> &'static [Vec<u8>] {
    static CORPUS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CORPUS
        .get_or_init(|| ["corpus", "wrong"].iter().flat_map(|d| probes(d)).map(|(_, text)| text.into_bytes()).collect())
}

fn quick(bytes: &[u8]) {
    let start = Instant::now();
    fuzz_one(bytes);
    let took = start.elapsed();
    assert!(took < SLOW, "{took:?} for {}", String::from_utf8_lossy(bytes));
}

/// What random bytes don't hit soon enough.
const PIECES: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "\"",
    "\\",
    "/",
    "//",
    "/*",
    "*/",
    "?",
    ":",
    ";",
    ",",
    ".",
    "..",
    "->",
    "=",
    "==",
    "$",
    "@",
    "$x",
    "@m",
    "if",
    "else",
    "else if",
    "if (",
    "(int8)",
    "(x)",
    "typeof(",
    "sizeof(",
    "(a=1",
    "{ 1 }",
    "1",
    "0x",
    "1e",
    "10.0.0.0/8",
    "5ms",
    "#if 1\n",
    "\n#else\n",
    "\n#endif\n",
    "#define X 1\n",
    "struct s { int x",
    "enum { A",
    "BEGIN {",
    "kprobe:f /",
    "/ {",
    "join j {",
    "from r = a.b;",
    "emit a.b(",
    "param p = ",
    "let ",
    "macro m(",
    "fn f(",
    "for ($i : ",
    "while (",
    "unroll (",
    "??",
    "&&",
    "-",
    "--",
    "!",
    "*",
    "&",
    "\n",
    "\u{e9}",
    "\u{10ff80}",
    "\0",
    "\r",
];

#[derive(Clone, Debug)]
enum Change {
    Delete(usize, usize),
    Insert(usize, usize),
    Byte(usize, u8),
    Repeat(usize, usize, usize),
    Splice(usize, usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), 1..20usize).prop_map(|(at, n)| Change::Delete(at, n)),
        (any::<usize>(), any::<usize>()).prop_map(|(at, p)| Change::Insert(at, p)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, b)| Change::Byte(at, b)),
        (any::<usize>(), 1..30usize, 1..40usize).prop_map(|(at, n, times)| Change::Repeat(at, n, times)),
        (any::<usize>(), any::<usize>(), any::<usize>()).prop_map(|(at, file, from)| Change::Splice(at, file, from)),
    ]
}

fn apply(text: &mut Vec<u8>, change: &Change, corpus: &[Vec<u8>]) {
    let place = |at: usize, len: usize| at % (len + 1);
    match *change {
        Change::Delete(at, n) => {
            let at = place(at, text.len());
            text.drain(at..(at + n).min(text.len()));
        }
        Change::Insert(at, piece) => {
            let at = place(at, text.len());
            text.splice(at..at, PIECES[piece % PIECES.len()].bytes());
        }
        Change::Byte(at, byte) => {
            if !text.is_empty() {
                let at = at % text.len();
                text[at] = byte;
            }
        }
        Change::Repeat(at, n, times) => {
            let at = place(at, text.len());
            let piece = text[at..(at + n).min(text.len())].repeat(times);
            text.splice(at..at, piece);
        }
        Change::Splice(at, file, from) => {
            let at = place(at, text.len());
            let other = &corpus[file % corpus.len()];
            let from = place(from, other.len());
            text.splice(at..at, other[from..(from + 80).min(other.len())].iter().copied());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_programs_never_panic(file in any::<usize>(), changes in prop::collection::vec(change(), 1..6)) {
        let corpus = corpus();
        let mut text = corpus[file % corpus.len()].clone();
        for change in &changes {
            apply(&mut text, change, corpus);
        }
        quick(&text);
    }

    #[test]
    fn random_pieces_never_panic(pieces in prop::collection::vec(any::<usize>(), 0..60), spaced in any::<bool>()) {
        let words: Vec<&str> = pieces.iter().map(|p| PIECES[p % PIECES.len()]).collect();
        quick(words.join(if spaced { " " } else { "" }).as_bytes());
    }
}

/// Many in a soak (`WEFTRACE_CASES=1000000`), few in every run.
fn cases() -> u32 {
    std::env::var("WEFTRACE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400)
}

#[test]
fn any_nesting_is_parsed_or_refused_quickly() {
    let shapes: &[(&str, &str, &str)] = &[
        ("(", "1", ")"),
        ("((int8)", "1", ")"),
        ("(a=", "1", ")"),
        ("(1, ", "2", ")"),
        ("[", "1", "]"),
        ("@m[", "1", "]"),
        ("f(", "1", ")"),
        ("{ ", "1", " }"),
        ("{ $x = ", "1", "; }"),
        ("if (1) { ", "1", " }"),
        ("if (", "1", ") { 1 }"),
        ("if ", "1", " { 1 }"),
        ("1 ? ", "1", " : 2"),
        ("1 ? 2 : ", "1", ""),
        ("typeof(", "1", ")"),
        ("(typeof(", "$x", "))1"),
        ("sizeof(", "1", ")"),
        ("f(typeof(", "1", "))"),
        ("!", "1", ""),
        ("- ", "1", ""),
        ("*", "p", ""),
        ("comptime ", "1", ""),
        ("(int8)", "1", ""),
        ("1 + ", "1", ""),
        ("1 + (", "1", ")"),
        ("a ?? ", "1", ""),
        ("if (1) { 1 } else ", "{ 2 }", ""),
        ("_ = { ", "1", "; }"),
        ("x.", "y", ""),
        ("x", "y", "[1]"),
        ("x", "y", ".z"),
        ("x", "y", "(1)"),
        ("(x) (", "1", ")"),
    ];
    for (open, inner, close) in shapes {
        for depth in [10, 79, 200] {
            let (opened, closed) = (open.repeat(depth), close.repeat(depth));
            let broken = [
                format!("{opened}{inner}{closed} ("),
                format!("{opened}{inner}"),
                format!("{opened}{closed}"),
                format!("{opened}{inner} 1{closed}"),
                format!("{opened}{inner};{closed}"),
                format!("{opened}{inner}]){closed}"),
            ];
            for expr in std::iter::once(format!("{opened}{inner}{closed}")).chain(broken) {
                let start = Instant::now();
                let _ = parse(&format!("BEGIN {{ $v = {expr}; }} END {{ {expr} }}"), FileId::default());
                let _ = parse(&format!("macro m(a) {{ $v = {expr}; }} join j {{ keep {expr}; }}"), FileId::default());
                let _ = parse_expr(&expr, FileId::default());
                assert!(start.elapsed() < SLOW, "{:.60}… {depth} deep: {:?}", expr, start.elapsed());
            }
        }
    }
}

#[test]
fn deep_types_and_definitions_are_bounded() {
    let deep = [
        format!("BEGIN {{ let $x: {}int8{}; }}", "(".repeat(3000), ")".repeat(3000)),
        format!("BEGIN {{ $x = (int8{})1; }}", "*".repeat(3000)),
        format!("struct a {}int x;{} BEGIN {{ }}", "{ struct ".repeat(300), "};".repeat(300)),
        format!("struct a {{ int x{}; }} BEGIN {{ }}", "[1]".repeat(3000)),
        format!("{}#endif\n", "#if 1\n".repeat(3000)),
        format!("{} {{ }}", "kprobe:f {} else ".repeat(3000)),
        format!(
            "#define A0 1\n{}\n#if A30\n#endif\n",
            (1..31).map(|n| format!("#define A{n} A{0}+A{0}", n - 1)).collect::<Vec<_>>().join("\n")
        ),
        "a".repeat(100_000),
        "{".repeat(100_000),
        "\"".repeat(100_000),
        "/*".repeat(50_000),
        ";".repeat(100_000),
        "kprobe:f {} ".repeat(5_000),
        format!("BEGIN {{ {} }}", "$x = ; ".repeat(5_000)),
        format!("BEGIN {{ {} }}", "if (1) { $x = ; } ".repeat(2_000)),
    ];
    for text in deep {
        let start = Instant::now();
        fuzz_one(text.as_bytes());
        let took = start.elapsed();
        assert!(took < SLOW, "{took:?} for {text:.60}…");
    }
}
