//! No program makes the checker panic: the cases of the file tests, with words dropped, doubled, swapped and replaced.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use weftrace_lang::check::{Options, analyze};
use weftrace_lang::hir_dump::dump;
use weftrace_lang::recorded::{RecordedWorld, WorldLog};
use weftrace_lang::span::SourceMap;
use weftrace_lang::syntax::parse;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check")
}

fn world() -> RecordedWorld {
    let text = std::fs::read_to_string(folder().join("world.json")).expect("the fixture is committed");
    let log: WorldLog = serde_json::from_str(&text).expect("the fixture is a WorldLog");
    RecordedWorld::whole(log)
}

fn cases() -> Vec<String> {
    let mut all = Vec::new();
    for kind in ["wrong", "right"] {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder().join(kind)).expect("committed").map(|e| e.expect("readable").path()).collect();
        paths.retain(|p| p.extension().is_some_and(|e| e == "probe"));
        paths.sort();
        for p in paths {
            let text = std::fs::read_to_string(p).expect("UTF-8");
            all.extend(text.split("==== ").filter_map(|c| c.split_once('\n')).map(|(_, c)| c.to_owned()));
        }
    }
    all
}

fn check(text: &str, world: &RecordedWorld) {
    let mut sources = SourceMap::default();
    let file = sources.add("case", text);
    let (script, _) = parse(text, file);
    let opts = Options { unsafe_ok: true, positional: vec!["5".into(), "x".into()], ..Options::default() };
    let (program, diags) = analyze(&script, &mut sources, world, &opts);
    let _ = dump(&program);
    for d in diags {
        assert!((d.span.file.0 as usize) < sources.len(), "a finding points into no text: {d:?}");
    }
}

/// Words, numbers, blanks and single signs.
fn words(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    for pair in chars.windows(2) {
        let ((_, a), (at, b)) = (pair[0], pair[1]);
        if !(word(a) && word(b)) {
            out.push(&text[start..at]);
            start = at;
        }
    }
    out.push(&text[start..]);
    out
}

/// xorshift: the same programs on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

#[test]
fn changed_programs_do_not_panic() {
    let world = world();
    let cases = cases();
    let all: Vec<Vec<&str>> = cases.iter().map(|c| words(c)).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..6000 {
        let mut program = all[round % all.len()].clone();
        for _ in 0..=random.below(3) {
            let (i, j) = (random.below(program.len()), random.below(program.len()));
            match random.below(4) {
                0 => drop(program.remove(i)),
                1 => program.insert(i, program[j]),
                2 => program.swap(i, j),
                _ => {
                    let donor = &all[random.below(all.len())];
                    program[i] = donor[random.below(donor.len())];
                }
            }
            if program.is_empty() {
                break;
            }
        }
        check(&program.concat(), &world);
    }
}

#[test]
fn extremes_do_not_panic_or_take_for_ever() {
    let world = world();
    let nested =
        |open: &str, close: &str, n: usize| format!("begin {{ $x = {}1{}; }}", open.repeat(n), close.repeat(n));
    let mut doubling = String::from("macro m0(x) { x + x }\n");
    for i in 1..30 {
        let _ = writeln!(doubling, "macro m{i}(x) {{ m{}(x) + m{}(x) }}", i - 1, i - 1);
    }
    doubling.push_str("begin { print(m29(1)); }");
    let mut chain = String::from("begin { @v0 = 1;\n");
    for i in 1..200 {
        let _ = writeln!(chain, "@v{i} = @v{};", i - 1);
    }
    chain.push('}');
    for text in [
        nested("(", ")", 5000),
        nested("-", "", 5000),
        nested("{ ", " }", 300),
        format!("begin {{ $x = 1{}; }}", " + 1".repeat(5000)),
        format!("begin {{ $x = pid{}; }}", " + pid".repeat(400)),
        "struct s { int a[16777216]; }; struct t { struct s b[16777216]; }; begin { print(sizeof(struct t)); }".into(),
        "begin { $x = 18446744073709551615 * 18446744073709551615; $y = -9223372036854775808 / -1; $z = 1 << 64; $w = (int8)200; }".into(),
        "begin { $p = (int64 *)5; $p++; $p += 9223372036854775807; print($p[-9223372036854775807]); }".into(),
        "struct s { int x : 33; uint8_t y : 0; long z : 64; }; begin { print(((struct s *)0).x); }".into(),
        "begin { @a = @b; @b = @a; print(@a); }".into(),
        doubling,
        chain,
    ] {
        check(&text, &world);
    }
}
