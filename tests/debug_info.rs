//! Debug information of programs: parameters by name, types, source lines, wherever the information is; and stacks with it and
//! without frame pointers. On programs built here.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{path::Path, process::Command};
use traced::{bpftrace, build, can_trace, folder, traced_by_bpftrace as traced};

const ARGUMENTS: &str = r#"
    uprobe:BIN:many { printf("%d %d %d %c %s\n", args.a, args.f, args.g, args.h, str(args.i)); }
    uprobe:BIN:by_value { print((args.p, args.q, args.r, args.t)); }
    uprobe:BIN:returned { print(args); }
    uprobe:BIN:walk {
        print((args.n.value, args.n.name, args.n.list[2], args.n.next.name, args.n.bits.low, args.n.bits.high, args.n.bits.letters));
        print((args.colour, args.p.y, ((point *)args.p)->x, ((struct node *)arg0).next->value));
        print(*args.n.next);
    }
    uprobe:BIN:bytes {
        $b = args.b;
        if ($b.four[0] == 0xde) { print(($b.four[0], $b.four, $b.more, $b.rows, $b.rows[1][2])); }
        print((macaddr($b.mac), $b.text, $b.letters));
    }
    uretprobe:BIN:negative { print(retval); }
    uretprobe:BIN:walk { print(retval.name); }"#;

const ARGUMENTS_SHOWN: [&str; 10] = [
    "1 6 7 h nine",
    "({ .x = 3, .y = 4 }, { .a = 5, .b = 6 }, { .a = 7, .b = 8, .c = 9 }, 10)",
    "{ .x = 42 }",
    "(1, first, 3, second, 5, 17, A)",
    "(GREEN, 4, 3, 2)",
    "{ .value = 2, .name = second, .list = [4,5,6], .next = 0x0, .bits = { .low = 0, .high = 0, .number = 0, .letters =  } }",
    "first",
    "-10",
    "(222, [222,173,190,239], [200,201], [[1,2,3],[253,254,255]], 255)",
    "(DE:AD:00:01:02:03, abc, de)",
];

#[test]
fn arguments_and_types_in_every_form_of_debug_information() {
    if !can_trace() {
        return;
    }
    let forms: &[(&str, &[&str])] = &[
        ("types-O0", &["-g", "-O0"]),
        ("types-O2", &["-g", "-O2"]),
        ("types-dwarf4-z", &["-gdwarf-4", "-g", "-gz", "-O1"]),
        ("types-split", &["-g", "-gsplit-dwarf", "-O1"]),
        ("types-split4", &["-gdwarf-4", "-g", "-gsplit-dwarf", "-O1"]),
        ("types-units", &["-g", "-fdebug-types-section", "-O1"]),
    ];
    for (name, flags) in forms {
        let Some(path) = build(name, "types.c", flags) else { return };
        let (lines, said) = traced(ARGUMENTS, &path, &[]);
        assert_eq!(lines, ARGUMENTS_SHOWN, "{name}: {said}");
    }
}

#[test]
fn separate_debug_information() {
    let Some(path) = build("types-whole", "types.c", &["-g", "-O1", "-Wl,--build-id"]) else { return };
    let kept = folder().join("kept");
    let _ = std::fs::create_dir_all(&kept);
    let bare = folder().join("types-bare");
    let run = |tool: &str, args: &[&Path]| Command::new(tool).args(args).status().is_ok_and(|s| s.success());
    let debug = kept.join("types-bare.debug");
    if !run("objcopy", &[Path::new("--only-keep-debug"), &path, &debug])
        || !run("objcopy", &[Path::new("--strip-debug"), &path, &bare])
    {
        println!("SKIP separate debug information: no objcopy");
        return;
    }
    let listed = |more: &[&str]| {
        let pattern = format!("uprobe:{}:many", bare.display());
        let out = bpftrace(&[&["-lv", &pattern], more].concat());
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert!(!listed(&[]).contains("int a"));
    let found = listed(&["--debuginfo", "kept"]);
    assert!(found.contains("\n    int a\n") && found.contains("\n    const char* i\n"), "{found}");
    // Another build's is not taken.
    let other = build("types-other", "types.c", &["-g", "-O0", "-Wl,--build-id"]).expect("it was built before");
    assert!(run("objcopy", &[Path::new("--only-keep-debug"), &other, &debug]));
    assert!(!listed(&["--debuginfo", "kept"]).contains("int a"));
}

#[test]
fn what_cannot_be_read_is_said() {
    let Some(path) = build("types-O0-said", "types.c", &["-g", "-O0"]) else { return };
    let check = |program: &str| {
        let program = program.replace("BIN", &path.to_string_lossy());
        let out = Command::new(env!("CARGO_BIN_EXE_weftrace")).args(["check", "-e", &program]).output();
        String::from_utf8_lossy(&out.expect("the binary runs").stderr).into_owned()
    };
    assert!(check("uprobe:BIN:by_value { print(args.s); }").contains("floating-point register"));
    assert!(check("uprobe:BIN:by_value { print(args); }").contains("args leaves out s"));
    assert!(check("uprobe:BIN:many { print(args.z); }").contains("has no field z"));
    assert!(check("uprobe:BIN:many+4 { print(args.a); }").contains("first instruction"));
    assert!(check("uprobe:BIN:walk { print(args.n.valu); }").contains("near by name: value"));
    let said = check("uprobe:BIN@types.c:1 { }");
    assert!(said.contains("no code at types.c:1") && said.contains("near by name: types.c:"), "{said}");
    assert!(check("uprobe:BIN@type.c:1 { }").contains("no source file type.c"));
    // The script's own definition wins.
    assert!(
        check("struct node { int mine; } uprobe:BIN:walk { print(args.n.mine + ((struct node *)arg0).mine); }")
            .is_empty()
    );
}

#[test]
fn source_lines() {
    if !can_trace() {
        return;
    }
    let source = include_str!("programs/types.c");
    let line = |text: &str| source.lines().position(|l| l.contains(text)).expect("a line of it") + 1;
    for flags in [["-g", "-O0"], ["-g", "-O2"]] {
        let Some(path) = build(&format!("types-lines{}", flags[1]), "types.c", &flags) else { return };
        let script = format!("uprobe:BIN@types.c:{} {{ @[func] = count(); }}", line("return leaf(n)"));
        let (lines, said) = traced(&script, &path, &[]);
        // In the function that it was inlined into.
        assert_eq!(lines, ["@[outer]: 1"], "{said}");
        let script = format!("uprobe:BIN@types.c:{} {{ print(args.n); }}", line("int negative("));
        let (lines, said) = traced(&script, &path, &[]);
        assert_eq!(lines, ["10"], "{said}");
    }
}

#[test]
fn classes() {
    if !can_trace() {
        return;
    }
    let Some(path) = build("shapes", "shapes.cpp", &["-g", "-O0"]) else { return };
    let (lines, said) = traced(
        r"uprobe:BIN:_Z5visit* {
            print((args.square.base, args.square.side, args.square.colour, str(args.square.name)));
            print((args.box.value, args.box.next.value, ((struct Square *)arg0).side));
        }
        uprobe:BIN:*area* { print((args.this->side, args.factor)); print(ustack(1)); }",
        &path,
        &[],
    );
    assert_eq!(lines[..3], ["(77, 5, Green, square)", "(10, 9, 5)", "(5, 2)"], "{said}");
    assert!(lines[3].contains("shapes::Square::area(int) const+0@"), "{lines:?}");
}

#[test]
fn stacks_of_every_kind() {
    if !can_trace() {
        return;
    }
    let flags = ["-g", "-O0", "-Wl,--build-id"];
    let Some(path) = build("types-stacks", "types.c", &flags) else { return };
    let (lines, said) = traced(
        "uprobe:BIN:leaf { print(ustack(2)); print(ustack(perf, 2)); print(ustack(raw, 2)); print(ustack(build_id, 2));
            print((len(ustack(2)), len(ustack(1)))); @[ustack(1)] = count(); }",
        &path,
        &[],
    );
    let starts = |i: usize, text: &str| assert!(lines[i].trim_start().starts_with(text), "{i}: {lines:#?} {said}");
    starts(0, "leaf+0@");
    starts(1, "[inlined] inner@");
    starts(2, "outer+");
    assert!(lines[1].contains("types.c:") && lines[2].contains("types.c:"), "{lines:?}");
    assert!(lines[3].ends_with(&format!(" leaf+0 ({})", path.display())), "{lines:?}");
    assert!(lines[4].ends_with(" inner (inlined)"), "{lines:?}");
    assert!(lines[6].chars().all(|c| c.is_ascii_hexdigit()), "{lines:?}");
    assert!(lines[8].split_once(" 0x").is_some_and(|(id, _)| id.len() == 40), "{lines:?}");
    starts(10, "(2, 1)");
    // The program has gone when its map prints.
    starts(12, "leaf+0");
    let (plain, said) = traced("config = { show_debug_info=0 } uprobe:BIN:leaf { print(ustack(2)); }", &path, &[]);
    assert!(plain.len() == 2 && plain.iter().all(|l| !l.contains(['@', '['])), "{plain:?} {said}");
}

#[test]
fn stacks_without_frame_pointers() {
    if !can_trace() {
        return;
    }
    let flags = ["-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"];
    let Some(path) = build("types-nofp", "types.c", &flags) else { return };
    let (lines, said) = traced("uprobe:BIN:leaf { print(dw_ustack); @ = dw_ustack(raw, 2); }", &path, &[]);
    let names: Vec<&str> = lines.iter().filter_map(|l| Some(l.trim().split_once('+')?.0)).collect();
    assert!(names.starts_with(&["leaf", "outer", "main"]), "{lines:#?} {said}");
    assert_eq!(names.last(), Some(&"_start"), "{lines:#?}");
    let probe = format!("uprobe:{}:leaf {{ print(dw_ustack); }}", path.display());
    let out = bpftrace(&["-e", &probe]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("dw_ustack requires a target process"));
}
