//! Go programs: arguments and results by name, goroutines, entries and returns counted exactly while stacks grow and move, calls that
//! a panic or runtime.Goexit ends. Judged by what the programs count themselves.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{collections::BTreeMap, path::Path};
use traced::{build_go as build, can_trace, checked, text, traced_command, weftrace};
use weftrace_lang::world::{Answer, GoRecovery, World};
use weftrace_probes::world::HostWorld;

/// What a script prints while the program runs, and what it says.
fn traced(script: &str, path: &Path, arguments: &str) -> (Vec<String>, String) {
    traced_command(script, path, format!("{} {arguments}", path.display()).trim())
}

const VALUES: &str = r#"
    uprobe:BIN:"main.(*T).Method" {
        printf("%s %d %s in=%d next=%s", args.t.Name, args.a, args.s, args.t.B, args.t.Next.Name);
        printf(" tags=%d %s,%s map=%d", len(args.t.Tags), args.t.Tags[0], args.t.Tags[1], len(args.t.M));
        printf(" via %s %d goid=%d\n", args.t.Method, args.t.Base.Hops, goid);
    }
    uretprobe:BIN:main.(*T).Method { printf("= %d %s\n", retval.0, retval.1); }
    uprobe:BIN:main.T.ByValue { printf("%s %d %d\n", args.t.Name, args.t.A, args.k); }
    uretprobe:BIN:main.T.ByValue { printf("= %s\n", retval); }
    uprobe:BIN:main.many {
        printf("%d %d %s %d,%d xs=%d", args.a, args.b, args.s, args.in.A, args.in.B, len(args.xs));
        printf("[%d %d] %s %d %d raw=%d\n", args.xs[0], args.xs[2], args.e, args.ok, args.last, arg3);
    }
    uretprobe:BIN:main.many { print(retval); }
    uprobe:BIN:main.unnamed { printf("%d %s %d\n", args.a, args.unused, args.b); }
    uprobe:BIN:main.arrays { printf("%d %d %d\n", args.x[1], args.y[0], args.b); }
    uprobe:BIN:main.kinds {
        printf("%d %d %d %s %s", len(args.m), len(args.none), len(args.c), args.a, args.p);
        printf(" %d %d\n", args.mixed.A, args.mixed.B);
    }
    uretprobe:BIN:main.blank { printf("%d %s\n", retval.0, retval.text); }
    uprobe:BIN:main.bytes { printf("%r %d %s %r\n", args.b, len(args.b), str(args.b), buf(args.b, 1)); }
    uprobe:BIN:main.Map* { printf("Map %d\n", len(args.xs)); }"#;

const SHOWN: [&str; 16] = [
    "tee 2 str in=8 next=next tags=2 x,yy map=2 via GET 3 goid=1",
    "= 3 <nil>",
    "tee 4 str in=8 next=next tags=2 x,yy map=2 via GET 3 goid=1",
    "= 7 *errors.errorString",
    "tee 7 1",
    "= tee1",
    "-3 40000 héllo 1,2 xs=3[10 30] *errors.errorString 1 99 raw=6",
    "{ .r1 = 40000, .r2 = héllo, .err = *errors.errorString }",
    "1 b 2",
    "2 3 4",
    "2 0 1 int /p -1 9",
    "5 named",
    r"a\x00b 3 a a",
    " 0  ",
    "Map 2",
    "Map 1",
];

#[test]
fn arguments_and_results_by_name() {
    let forms: &[(&str, &[&str])] = &[("go-values", &[]), ("go-values-plain", &["-ldflags=-compressdwarf=false"])];
    for (name, flags) in forms {
        let Some(path) = build("govalues", name, flags).filter(|_| can_trace()) else { return };
        let (lines, said) = traced(VALUES, &path, "");
        assert_eq!(lines, SHOWN, "{name}: {said}");
        assert!(!said.contains("lost"), "{said}");
    }
}

#[test]
fn position_independent_and_stripped_programs() {
    let Some(pie) = build("govalues", "go-values-pie", &["-buildmode=pie"]).filter(|_| can_trace()) else { return };
    // But for the names of types in interfaces, whose pages nobody may have touched.
    let script = r#"uprobe:BIN:main.many { printf("%d %s %s %d\n", args.b, args.s, str(args.s, (uint64)len(args.s) - 2), args.xs[1]); }
        uprobe:BIN:main.rec { @calls = count(); @id[goid > 1] = count(); }
        uretprobe:BIN:main.rec { @returns = count(); @sum = max(retval); }"#;
    let (lines, said) = traced(script, &pie, "");
    assert_eq!(lines[0], "40000 héllo hé 20", "{said}");
    let counts = ["@calls: 10001", "@id[true]: 10001", "@returns: 10001", "@sum: 50005000"];
    assert_eq!(lines[1..], counts, "{said}");
    // A probe behind the check is not at the function's first instruction.
    let script = r#"uprobe:BIN:main.many { @ = reg("ip") - (uint64)uaddr("main.many"); }
        uprobe:BIN:main.rec { @rec = reg("ip") - (uint64)uaddr("main.rec"); }"#;
    let (lines, said) = traced(script, &pie, "");
    assert!(
        lines.contains(&"@: 0".to_owned()) && lines.iter().any(|l| l.starts_with("@rec: ") && !l.ends_with(": 0")),
        "{lines:?} {said}"
    );
    let Some(bare) = build("govalues", "go-values-bare", &["-ldflags=-s -w"]) else { return };
    // The words of narrow arguments: above their bits there may be anything.
    let script = r#"uprobe:BIN:main.many { printf("%d %d\n", (int8)arg0, (uint16)arg1); }
        uprobe:BIN:main.rec { @calls = count(); @id[goid > 1] = count(); }
        uretprobe:BIN:main.rec { @returns = count(); @sum = max(retval); }"#;
    let (lines, said) = traced(script, &bare, "");
    assert_eq!(lines[0], "-3 40000", "{said}");
    assert_eq!(lines[1..], counts, "{said}");
}

/// `name number name number …`
fn counts(line: &str) -> BTreeMap<String, u64> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.chunks(2).filter_map(|pair| Some((pair[0].to_owned(), pair.get(1)?.parse().ok()?))).collect()
}

#[test]
fn nothing_is_read_behind_a_string() {
    let Some(path) = build("goedge", "go-edge", &[]).filter(|_| can_trace()) else { return };
    let (lines, said) = traced(r#"uprobe:BIN:main.edge { printf("<%s>\n", args.text); }"#, &path, "");
    assert!(lines.iter().any(|line| line == "<at edge>") && !said.contains("lost"), "{lines:?} {said}");
}

#[test]
fn entries_are_returns_and_unwound_calls_under_load() {
    if !can_trace() {
        return;
    }
    for (name, flags) in [("go-server", &[][..]), ("go-server-pie", &["-buildmode=pie"][..])] {
        let Some(path) = build("goserver", name, flags) else { return };
        let script = r#"
            uprobe:BIN:"main.(*server).handle" {
                @entered = count();
                @texts = sum(len(args.r.Path));
                @right = sum(args.r.User.Name == "ada" && args.r.User.Level == 7 && args.r.Tags[1] == "bc" && len(args.r.Body) == 4);
                @paths[args.r.Path] = count();
                @start[goid] = nsecs;
            }
            uretprobe:BIN:"main.(*server).handle" /@start[goid]/ {
                @returned = count();
                @sevens = sum(retval.text == "seven");
                delete(@start, goid);
            }
            uprobe:BIN:"main.(*server).stack" { @deep = count(); }
            uretprobe:BIN:"main.(*server).stack" { @deepReturned = count(); }
            END { clear(@start); }"#;
        let (lines, said) = traced(script, &path, "8 250");
        let own = counts(lines.iter().find(|l| l.starts_with("entered ")).expect("the server ended in peace"));
        let ours = |name: &str| {
            let line = lines.iter().find_map(|l| l.strip_prefix(&format!("@{name}: ")));
            line.and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or_else(|| panic!("{name}: {lines:?} {said}"))
        };
        for name in ["entered", "returned", "deep", "deepReturned", "texts"] {
            assert_eq!(ours(name), own[name], "{name}: {said}");
        }
        // Every string is what the server made: eight clients' paths, none of anything else.
        assert_eq!(ours("right"), own["entered"], "{said}");
        let paths: Vec<&String> = lines.iter().filter(|l| l.starts_with("@paths[")).collect();
        assert_eq!(paths.len(), 8, "{paths:?}");
        assert!(paths.iter().all(|l| l.starts_with("@paths[/path-")), "{paths:?}");
        assert!(ours("sevens") > 0 && own["unwound"] > 100, "{own:?}");
        // What a panic or Goexit ended is told, to the last one; those that were still at it when the program ended too.
        let told = said
            .lines()
            .find(|l| l.contains("main.(*server).handle never returned"))
            .unwrap_or_else(|| panic!("{said}"));
        let number = |after: &str| {
            let rest = told.split(after).nth(1)?;
            rest.split_whitespace().next()?.parse::<u64>().ok()
        };
        let unwound = number("WARNING: ").unwrap_or(0);
        assert_eq!(unwound + number("them; ").unwrap_or(0), own["unwound"], "{told}");
        assert!(!said.contains("stack never returned") && !said.contains("lost"), "{said}");
    }
}

#[test]
fn names_lists_and_what_is_wrong() {
    let Some(path) = build("govalues", "go-values", &[]) else { return };
    let shown = path.to_string_lossy().into_owned();
    let listed = |pattern: &str| text(&weftrace(&["list", "-v", &format!("{}:{shown}:{pattern}", "uprobe")]).stdout);
    let all = listed("main.*");
    assert!(all.contains("main.(*T).Method\n    t *main.T\n    a int\n    s string\n"), "{all}");
    assert!(all.contains("main.Map[go.shape.int"), "{all}");
    let results = text(&weftrace(&["list", "-v", &format!("uretprobe:{shown}:main.many")]).stdout);
    assert!(results.contains("    retval.r1 int\n    retval.r2 string\n    retval.err error\n"), "{results}");
    let said = |script: &str| checked(script, &path);
    let near = said("uprobe:BIN:main.(*T).Methd { }");
    assert!(near.contains("main.(*T).Method"), "{near}");
    let near = said("uprobe:BIN:main.many { print(args.lst); }");
    assert!(near.contains("last"), "{near}");
    let float = said("uprobe:BIN:main.many { print(args.f); }");
    assert!(float.contains("floating-point register"), "{float}");
    let elsewhere = said("BEGIN { print(goid); }");
    assert!(elsewhere.contains("no goid") && elsewhere.contains("Go program"), "{elsewhere}");
    let thread = said("uprobe:BIN:main.many { @s[tid] = nsecs; } uretprobe:BIN:main.many { print(nsecs - @s[tid]); }");
    assert!(thread.contains("goroutine may return on another thread") && thread.contains("goid"), "{thread}");
    let plan =
        text(&weftrace(&["dump", "--stage", "plan", "-e", &format!("uretprobe:{shown}:main.many {{ }}")]).stdout);
    assert!(plan.contains("uprobes at") || plan.contains("  uprobe  "), "{plan}");
}

/// The table of offsets agrees with what the compiler says of its own runtime.
#[test]
fn where_the_runtime_keeps_what_probes_ask_for() {
    let Some(path) = build("govalues", "go-values", &[]) else { return };
    let (path, world) = (path.to_string_lossy().into_owned(), HostWorld::new());
    let member = |owner: &str, name: &str| {
        let def = world.user_struct(&path, owner).found().expect("debug information");
        def.fields.iter().find(|f| f.name == name).map(|f| f.offset)
    };
    let main = world.user_function(&path, "main.main").found().expect("main.main");
    let Answer::Found(go) = world.go_function(&path, main.file_offset) else { panic!("main.main is Go's") };
    assert_eq!(go.runtime.goid, member("runtime.g", "goid"), "{}", go.runtime.version);
    match go.runtime.recovery {
        Some(GoRecovery::InG(offset)) => assert_eq!(Some(offset), member("runtime.g", "sigcode0")),
        Some(GoRecovery::InPanic { panic, sp }) => {
            assert_eq!((Some(panic), Some(sp)), (member("runtime.g", "_panic"), member("runtime._panic", "sp")));
        }
        None => println!("SKIP the offsets of {}", go.runtime.version),
    }
}
