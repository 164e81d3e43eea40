//! What the tree of a text is, piece by piece. (Whole programs: lang/tests/syntax.)

use super::{literal, parse, parse_expr, print, print_expr, string_bytes};
use crate::ast::{BinOp, Expr, ExprKind, Item, JoinClauseKind, Probe, StmtKind, TypeKind, UnOp};
use crate::span::FileId;

fn expr(text: &str) -> Expr {
    let (expr, diags) = parse_expr(text, FileId::default());
    assert!(diags.is_empty(), "{text}: {diags:?}");
    expr.expect("an expression without findings")
}

fn kind(text: &str) -> ExprKind {
    expr(text).without_spans().kind
}

fn same(a: &str, b: &str) {
    assert_eq!(kind(a), kind(b), "{a} is {}, {b} is {}", print_expr(&expr(a)), print_expr(&expr(b)));
}

fn only_probe(text: &str) -> Probe {
    let (script, diags) = parse(text, FileId::default());
    assert!(diags.is_empty(), "{text}: {diags:?}");
    match script.items.into_iter().next_back() {
        Some(Item::Probe(probe)) => probe,
        other => panic!("{text}: {other:?}"),
    }
}

fn segments(text: &str) -> Vec<String> {
    let probe = only_probe(&format!("{text} {{ }}"));
    let point = &probe.points[0];
    let mut all = vec![point.provider.text.clone()];
    all.extend(point.segments.iter().map(|s| if s.quoted { format!("<{}>", s.text) } else { s.text.clone() }));
    all
}

#[test]
fn operators_group_by_precedence() {
    same("a + b * c", "a + (b * c)");
    same("a - b - c", "(a - b) - c");
    same("a << b + c", "a << (b + c)");
    same("a < b << c", "a < (b << c)");
    same("a == b < c", "a == (b < c)");
    same("a & b == c", "a & (b == c)");
    same("a ^ b & c", "a ^ (b & c)");
    same("a | b ^ c", "a | (b ^ c)");
    same("a && b | c", "a && (b | c)");
    same("a || b && c", "a || (b && c)");
    same("a ?? b || c", "a ?? (b || c)");
    same("a ?? b ? c : d", "(a ?? b) ? c : d");
    same("a ? b : c ? d : e", "a ? b : (c ? d : e)");
    same("a ? b ? c : d : e", "a ? (b ? c : d) : e");
    same("-a.b", "-(a.b)");
    same("*p->f[1]", "*(p->f[1])");
    same("!a == b", "(!a) == b");
    same("(int8)a + b", "((int8)a) + b");
    same("(int8)a.b", "(int8)(a.b)");
    same("comptime a + b", "(comptime a) + b");
}

#[test]
fn brackets_are_casts_only_around_types() {
    assert!(matches!(kind("(pid_t)1"), ExprKind::Cast { .. }));
    assert!(matches!(kind("(size_t)-1"), ExprKind::Cast { .. }));
    assert!(matches!(kind("(Foo *)x"), ExprKind::Cast { .. }));
    assert!(matches!(kind("(struct foo)x"), ExprKind::Cast { .. }));
    assert!(matches!(kind("(pid) - 1"), ExprKind::Binary { op: BinOp::Sub, .. }));
    assert!(matches!(kind("(arg1) * 2"), ExprKind::Binary { op: BinOp::Mul, .. }));
    assert!(matches!(kind("(x) + 1"), ExprKind::Binary { op: BinOp::Add, .. }));
    assert!(matches!(kind("(a.b) - 1"), ExprKind::Binary { op: BinOp::Sub, .. }));
    assert!(matches!(kind("(x)"), ExprKind::Ident(_)));
    assert!(matches!(kind("(x)->y"), ExprKind::Field { arrow: true, .. }));
    assert!(matches!(kind("(x).y"), ExprKind::Field { .. }));
    assert!(matches!(kind("(x)[1]"), ExprKind::Index { .. }));
    assert!(matches!(kind("(x) != 1"), ExprKind::Binary { op: BinOp::Ne, .. }));
    assert!(matches!(kind("(x) && y"), ExprKind::Binary { op: BinOp::LogAnd, .. }));
    assert!(matches!(kind("(x)->y - 1"), ExprKind::Binary { op: BinOp::Sub, .. }));
    assert!(matches!(kind("(x)!y"), ExprKind::Cast { .. }));
    assert!(matches!(kind("(x[1])"), ExprKind::Index { .. }));
    assert!(matches!(kind("(int8[4])x"), ExprKind::Cast { .. }));
}

#[test]
fn known_values_in_brackets_are_no_types() {
    let value = |text: &str| match only_probe(text).body.stmts.remove(0).kind {
        StmtKind::Assign { value, .. } => value.without_spans().kind,
        other => panic!("{other:?}"),
    };
    let minus = kind("N - 1 * 2");
    assert_eq!(value("#define N 5\nBEGIN { $x = (N) - 1 * 2; }"), minus);
    assert_eq!(value("enum e { N };\nBEGIN { $x = (N) - 1 * 2; }"), minus);
    assert_eq!(value("param N = 5;\nBEGIN { $x = (N) - 1 * 2; }"), minus);
    assert!(matches!(value("macro m(N) { N } BEGIN { $x = (N) - 1 * 2; }"), ExprKind::Binary { op: BinOp::Mul, .. }));
}

#[test]
fn literals() {
    let int = |value| ExprKind::Int { value, unsigned: false };
    assert_eq!(kind("1_000"), int(1000));
    assert_eq!(kind("1e6"), int(1_000_000));
    assert_eq!(kind("0x1F"), int(31));
    assert_eq!(kind("0777"), int(511));
    assert_eq!(kind("18446744073709551615"), int(u64::MAX));
    assert_eq!(kind("123ULL"), ExprKind::Int { value: 123, unsigned: true });
    assert_eq!(kind("1m"), ExprKind::Duration(60_000_000_000));
    assert_eq!(kind("500ms"), ExprKind::Duration(500_000_000));
    assert_eq!(kind("64MiB"), ExprKind::Size(64 << 20));
    assert_eq!(kind("10.0.0.0/8"), ExprKind::Net("10.0.0.0/8".into()));
    assert_eq!(kind("10.1.2.3"), ExprKind::Net("10.1.2.3".into()));
    assert_eq!(kind("$12"), ExprKind::Positional(12));
    assert_eq!(kind("$#"), ExprKind::PositionalCount);
    assert_eq!(kind("true"), ExprKind::Bool(true));
    for (value, units, text) in
        [(90_000_000_000, literal::DURATIONS, "90s"), (1536, literal::SIZES, "1536B"), (0, literal::SIZES, "0B")]
    {
        assert_eq!(literal::with_unit(value, units), text);
    }
}

#[test]
fn strings_hold_any_bytes() {
    let bytes = |text: &str| match kind(text) {
        ExprKind::Str(s) => string_bytes(&s),
        other => panic!("{other:?}"),
    };
    assert_eq!(bytes(r#""a\n\t\r\"\\""#), b"a\n\t\r\"\\");
    assert_eq!(bytes(r#""\x41\101\0\xff\7""#), b"AA\0\xff\x07");
    assert_eq!(bytes(r#""\xc3\xa9""#), "é".as_bytes());
    assert_eq!(bytes("\"é\""), "é".as_bytes());
    same(r#""\xff\xfe""#, &print_expr(&expr(r#""\xff\xfe""#)));
}

#[test]
fn attach_points_split_at_colons_outside_quotes() {
    assert_eq!(segments("uprobe:/bin/bash:readline"), ["uprobe", "/bin/bash", "readline"]);
    assert_eq!(segments("uprobe:/bin/x:\"foo::bar(int, char)\""), ["uprobe", "/bin/x", "<foo::bar(int, char)>"]);
    assert_eq!(segments("uprobe:./a.out@file.c:12:3"), ["uprobe", "./a.out@file.c", "12", "3"]);
    assert_eq!(segments("uprobe:a.zip!/lib:f"), ["uprobe", "a.zip!/lib", "f"]);
    assert_eq!(segments("iter:task:/sys/fs/bpf/x"), ["iter", "task", "/sys/fs/bpf/x"]);
    assert_eq!(segments("kprobe:fn+0x10"), ["kprobe", "fn+0x10"]);
    assert_eq!(segments("usdt::name"), ["usdt", "", "name"]);
    assert_eq!(segments("uprobe:lib:"), ["uprobe", "lib", ""]);
    assert_eq!(segments("uprobe:\"a\\\"b\":f"), ["uprobe", "<a\"b>", "f"]);
    assert_eq!(segments("uprobe:$1:\"$2\""), ["uprobe", "$1", "<$2>"]);
    assert_eq!(segments("uprobe:\"zz\"$2\"zz\":f"), ["uprobe", "zz$2zz", "f"]);
    assert_eq!(segments("BEGIN"), ["BEGIN"]);
    assert_eq!(segments("pcap:any:\"tcp port 80\""), ["pcap", "any", "<tcp port 80>"]);
}

#[test]
fn a_slash_begins_the_predicate_where_it_is_no_path() {
    assert!(only_probe("BEGIN/1/{ }").predicate.is_some());
    assert!(only_probe("kprobe:f /1/ { }").predicate.is_some());
    assert!(only_probe("uprobe:/bin/sh:f /pid == 1/ { }").predicate.is_some());
    let path = only_probe("iter:task:/a/b { }");
    assert!(path.predicate.is_none() && path.points[0].segments[1].text == "/a/b");
    let divided = only_probe("kprobe:f /pid / 2 == 1 / { }");
    assert_eq!(divided.predicate.map(|p| print_expr(&p)).as_deref(), Some("pid / 2 == 1"));
    let labelled = only_probe("mine=kprobe:f { }");
    assert_eq!(labelled.points[0].label.as_ref().map(|l| l.text.as_str()), Some("mine"));
    assert_eq!(only_probe("kprobe:a, kprobe:b,\nkprobe:c, { }").points.len(), 3);
}

#[test]
fn spans_cover_what_was_written() {
    let text = "BEGIN { $x /* a */ = (1 + 2) * f( 3 ) // b\n ; if (1) { 2 } }";
    let probe = only_probe(text);
    let at = |span: crate::span::Span| &text[span.start as usize..span.end as usize];
    assert_eq!(at(probe.span), text);
    assert_eq!(at(probe.body.stmts[0].span), "$x /* a */ = (1 + 2) * f( 3 )");
    let StmtKind::Assign { place, value, .. } = &probe.body.stmts[0].kind else { panic!("no assignment") };
    assert_eq!(at(place.span), "$x");
    assert_eq!(at(value.span), "(1 + 2) * f( 3 )");
    let ExprKind::Binary { left, right, .. } = &value.kind else { panic!("no product") };
    assert_eq!((at(left.span), at(right.span)), ("1 + 2", "f( 3 )"));
    assert_eq!(at(probe.body.stmts[1].span), "if (1) { 2 }");
}

#[test]
fn a_blocks_value_is_its_last_expression_without_semicolon() {
    let ExprKind::Block(block) = kind("{ $a = 1; $a }") else { panic!("no block") };
    assert!(block.tail.is_some() && block.stmts.len() == 1);
    let ExprKind::Block(block) = kind("{ $a = 1; f($a); }") else { panic!("no block") };
    assert!(block.tail.is_none() && block.stmts.len() == 2);
    // A probe has no value: its last expression is a statement.
    assert!(only_probe("BEGIN { f() }").body.tail.is_none());
    let ExprKind::If(chain) = kind("if (a) { 1 } else if (b) { 2 } else { 3 }") else { panic!("no if") };
    let otherwise = chain.otherwise.expect("an else");
    assert!(matches!(otherwise.tail.map(|t| t.kind), Some(ExprKind::If(_))));
}

#[test]
fn statements_of_weftrace() {
    let probe = only_probe("kprobe:f { emit tcp.connect(dur=1, conn=x); _ = f(); emit(1); }");
    let StmtKind::Emit { stream, fields } = &probe.body.stmts[0].kind else { panic!("no emit") };
    assert_eq!((stream.text.as_str(), fields.len()), ("tcp.connect", 2));
    assert!(matches!(probe.body.stmts[1].kind, StmtKind::Discard(_)));
    assert!(matches!(&probe.body.stmts[2].kind, StmtKind::Expr(Expr { kind: ExprKind::Call { .. }, .. })));
    let ExprKind::Index { base, .. } = kind("http.header[\"x-request-id\"]") else { panic!("no index") };
    assert!(matches!(base.kind, ExprKind::Field { .. }));
    let ExprKind::Call { name, .. } = kind("http.request(port=80)") else { panic!("no call") };
    assert_eq!(name.text, "http.request");
    assert!(
        only_probe("kprobe:a { } else kprobe:b { } else kprobe:c { }").otherwise.is_some_and(|o| o.otherwise.is_some())
    );
}

#[test]
fn joins() {
    let text = "join j { from r = a.b(x=1); total r.s if r.f, r.t; l = sum(a.c) by bytes else conn since 10s side=client; keep slowest 5 per 1m; }";
    let (script, diags) = parse(text, FileId::default());
    assert!(diags.is_empty(), "{diags:?}");
    let Some(Item::Join(join)) = script.items.first() else { panic!("no join") };
    assert_eq!(join.clauses.len(), 4);
    let JoinClauseKind::Total(parts) = &join.clauses[1].kind else { panic!("no total") };
    assert!(parts[0].1.is_some() && parts[1].1.is_none());
    let JoinClauseKind::Leg(leg) = &join.clauses[2].kind else { panic!("no leg") };
    assert_eq!((leg.agg.text.as_str(), leg.source.text.as_str(), leg.by.len()), ("sum", "a.c", 2));
    assert!(leg.since.is_some() && leg.side.as_ref().is_some_and(|s| s.text == "client"));
}

#[test]
fn c_arrays_and_pointers_nest_as_in_c() {
    let (script, diags) = parse("struct s { int *y[2][3]; };", FileId::default());
    assert!(diags.is_empty(), "{diags:?}");
    let Some(Item::CType(def)) = script.items.first() else { panic!("no struct") };
    let TypeKind::Array(inner, Some(outer)) = &def.fields[0].ty.kind else { panic!("no array") };
    assert!(matches!(outer.kind, ExprKind::Int { value: 2, .. }));
    let TypeKind::Array(element, _) = &inner.kind else { panic!("no inner array") };
    assert!(matches!(element.kind, TypeKind::Ptr(_)));
}

#[test]
fn conditionals_keep_offsets() {
    let text = "#if 0\nBEGIN { one }\n#else\nBEGIN { two }\n#endif\nEND { $x = ; }\n";
    let (script, diags) = parse(text, FileId::default());
    assert_eq!(script.items.len(), 2);
    assert_eq!(&text[diags[0].span.start as usize..diags[0].span.end as usize], ";");
    assert!(print(&script).contains("two") && !print(&script).contains("one"));
}

#[test]
fn a_broken_probe_hides_nothing() {
    let text =
        "kprobe:a { $x = ; $ok = 1; if (1) { $y = ; } $z = 1 }\nkprobe:b /pid = 1/ { $w = ; }\nkprobe:c { f(); }";
    let (script, diags) = parse(text, FileId::default());
    let codes: Vec<&str> = diags.iter().map(|d| d.code).collect();
    assert_eq!(codes, ["expected-expression", "expected-expression", "assign-in-condition", "expected-expression"]);
    assert_eq!(script.items.len(), 3);
    let Some(Item::Probe(first)) = script.items.first() else { panic!("no probe") };
    assert_eq!(first.body.stmts.len(), 3, "the good statements stay");
}

#[test]
fn unary_minus_is_kept_apart() {
    for text in ["- -x", "-(--$x)", "&(&x)", "+(+x)", "-(-1)", "!(!x)", "*(*p)", "a - -b", "a + ++$b", "a-- - --$b"] {
        let text = text.replace("a--", "$a--");
        assert_eq!(kind(&text), kind(&print_expr(&expr(&text))), "{text}");
    }
    assert!(matches!(kind("-1"), ExprKind::Unary { op: UnOp::Neg, .. }));
}

#[test]
fn clauses_of_alerts_have_the_empty_lines_that_were_written() {
    let text = "alert \"a\" group by port every 1m;\n\nalert \"b\"\n  when @n > 1\n  // By it.\n  group by $p\n\n  every 1m;\n";
    let wanted = "alert \"a\"\n  group by port\n  every 1m;\n\nalert \"b\"\n  when @n > 1\n  // By it.\n  group by $p\n\n  every 1m;\n";
    let done = super::format(text, FileId::default()).unwrap_or_else(|found| panic!("{found:?}"));
    assert_eq!(done, wanted);
    assert_eq!(super::format(&done, FileId::default()).unwrap_or_default(), wanted);
}

#[test]
fn characters_are_numbers_in_definitions_of_c_only() {
    let values = |text: &str| {
        let (script, diags) = parse(text, FileId::default());
        assert!(diags.is_empty(), "{text}: {diags:?}");
        let Some(Item::CType(def)) = script.items.into_iter().next() else { panic!("{text}") };
        let value = |e: Expr| if let ExprKind::Int { value, .. } = e.kind { value } else { panic!("{text}") };
        def.variants.into_iter().filter_map(|(_, v)| v).map(value).collect::<Vec<_>>()
    };
    let text = r#"enum e { A = 'a', B = '\n', C = '\'', D = '"', E = '\\', F = '\0', G = '\x41', H = '{' };"#;
    assert_eq!(values(text), [97, 10, 39, 34, 92, 0, 65, 123]);
    for (wrong, code) in [
        ("begin { print('a'); }", "wrong-quote"),
        ("begin { printf('a'); } enum e { A = 'a' };", "wrong-quote"),
        ("enum e { A = 'ab' };", "wrong-quote"),
        ("enum e { A = 'é' };", "bad-number"),
        ("enum e { A = '\\q' };", "bad-number"),
    ] {
        let (_, diags) = parse(wrong, FileId::default());
        assert_eq!(diags.iter().map(|d| d.code).collect::<Vec<_>>(), [code], "{wrong}");
    }
}
