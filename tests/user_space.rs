//! Probes in programs: static markers with every kind of argument, functions, addresses, symbols; on a program built here.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::path::{Path, PathBuf};
use traced::{bpftrace, build, can_trace, checked};

/// The program, position-independent or not; None: there is no C compiler.
fn program(pie: bool) -> Option<PathBuf> {
    let (name, how) =
        if pie { ("markers-pie", ["-O1", "-fPIE", "-pie"]) } else { ("markers", ["-O1", "-fno-pie", "-no-pie"]) };
    build(name, "markers.c", &how)
}

/// What a program prints while the traced one runs: (all lines but empty ones, how many probes were attached).
fn traced(program: &str, path: &Path) -> (Vec<String>, String) {
    traced::traced_by_bpftrace(program, path, &[])
}

fn all() -> Vec<PathBuf> {
    if !can_trace() {
        return Vec::new();
    }
    [false, true].into_iter().filter_map(program).collect()
}

#[test]
fn arguments_of_markers() {
    for path in all() {
        let (lines, said) = traced(
            r#"usdt:BIN:args:constants { print((arg0, arg1, arg2, arg3, arg4)); }
            usdt:BIN:registers { printf("%llx %llx %llx %llx %llx %d\n", arg0, arg1, arg2, arg3, arg4, arg5); }
            usdt:BIN:args:memory { printf("%d %d %d %x\n", arg0, arg1, arg2, arg3); }"#,
            &path,
        );
        let constants = format!("(-16, 240, -3600, 4294967295, {})", 0x1234_5678_9abc_def0_u64);
        let registers = "1122334455667788 55667788 7788 88 77 -5";
        assert_eq!(lines, [constants.as_str(), registers, "10 20 30 55555555"], "{path:?} {said}");
        assert!(said.contains("Attached 3 probes"), "{said}");
    }
}

#[test]
fn places_names_and_counters() {
    for path in all() {
        let shown = path.to_string_lossy();
        // Arguments in different registers need a program each; it is one probe all the same.
        let (lines, said) = traced("usdt:BIN:twice { printf(\"%s %d\\n\", probe, arg0); }", &path);
        assert_eq!(lines, [format!("usdt:{shown}:places:twice 1"), format!("usdt:{shown}:places:twice 2")], "{said}");
        assert!(said.contains("Attached 1 probe\n"), "{said}");
        let (lines, said) = traced("usdt:BIN:* { @[probe] = count(); }", &path);
        assert!(said.contains("Attached 5 probes"), "{said}");
        assert!(lines.contains(&format!("@[usdt:{shown}:places:twice]: 2")), "{lines:?}");
        // The marker is reached only because it is probed.
        let (lines, said) = traced("usdt:BIN:counted:* { print(arg0); }", &path);
        assert_eq!(lines, ["7"], "{said}");
    }
}

#[test]
fn what_markers_do_not_have() {
    let Some(path) = program(false) else { return };
    let check = |program: &str| checked(program, &path);
    let said = check("usdt:BIN:args:registers { print(arg6); }");
    assert!(said.contains("8f@%xmm0"), "{said}");
    let said = check("usdt:BIN:args:memory { print(arg9); }");
    assert!(said.contains("has no arg9"), "{said}");
    let said = check("usdt:BIN:args:memori { }");
    assert!(said.contains("args:memory"), "{said}");
    let listed = bpftrace(&["-l", &format!("usdt:{}:args:*", path.display())]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names: Vec<&str> = listed.lines().filter_map(|l| l.rsplit(':').next()).collect();
    assert_eq!(names, ["constants", "memory", "registers"]);
}

#[test]
fn functions_and_symbols() {
    for path in all() {
        let (lines, said) = traced("uprobe:BIN:lea* { @[func] = count(); }", &path);
        assert_eq!(lines, ["@[leaf]: 1", "@[leaves]: 1"], "{said}");
        // So many that they share a program, which looks their names up.
        let (lines, said) = traced("uprobe:BIN:* { @[probe, func] = count(); }", &path);
        for name in ["leaf", "leaves", "main"] {
            let line = format!("@[uprobe:{}:{name}, {name}]: 1", path.display());
            assert!(lines.contains(&line), "{lines:?} {said}");
        }
        let (lines, _) = traced(
            r#"uprobe:BIN:leaf { printf("%x %d\n", *uaddr("global"), arg0); }
            uretprobe:BIN:leaf { printf("%x %d\n", *uaddr("global"), retval); }
            uretprobe:BIN:leaves { @ = retval; }"#,
            &path,
        );
        assert_eq!(lines, ["55555555 20", "55555555 21", "@: 42"]);
    }
}

/// A loop whose body always leaves, in the kernel: it sees one element, or none.
#[test]
fn any_one_element() {
    let Some(path) = program(false).filter(|_| can_trace()) else { return };
    let run = |body: &str| {
        let script = format!(
            "begin {{ @m[7] = 5; @e[1] = 1; delete(@e, 1); }} uprobe:BIN:leaf {{ {body} }} end {{ clear(@m); }}"
        );
        traced(&script, &path)
    };
    for (body, wanted) in [
        ("for ($kv : @m) { print($kv); break; } print(1);", &["(7, 5)", "1"][..]),
        ("for ($kv : @m) { print($kv); return; } print(1);", &["(7, 5)"]),
        ("for ($kv : @e) { print($kv); return; } print(1);", &["1"]),
        ("$s = 0; for ($kv : @m) { $s = $kv.0 + $kv.1; break; } print($s);", &["12"]),
        ("$s = 0; for ($kv : @m) { if ($kv.1 > 3) { $s = 2; break; } else { return; } } print($s);", &["2"]),
        ("$n = 0; for ($i : 0..3) { for ($kv : @m) { $n += $kv.1; break; } } print($n);", &["15"]),
        ("for ($a : @m) { for ($b : @m) { print(($a, $b)); break; } }", &["((7, 5), (7, 5))"]),
        ("for ($a : @m) { for ($b : @m) { print(($a.0, $b.1)); break; } break; }", &["(7, 5)"]),
    ] {
        let (lines, said) = run(body);
        assert_eq!(lines, wanted, "{body}\n{said}");
    }
}

/// Bit-fields of a program, by its debug information: a member and the whole struct say the same.
#[test]
fn bit_fields_have_their_sign() {
    let Some(path) = build("signs", "signs.c", &["-O1", "-g"]).filter(|_| can_trace()) else { return };
    let (lines, said) = traced(
        "uprobe:BIN:take { print((args.b.small, args.b.one, args.b.plain, args.b.kind)); print(*args.b); @k[args.b.small] = 1; }",
        &path,
    );
    let whole = "{ .small = -3, .one = -1, .plain = 29, .kind = BELOW }";
    assert_eq!(lines, ["(-3, -1, 29, BELOW)", whole, "@k[-3]: 1"], "{said}");
}

/// All that one link attaches is one probe, as bpftrace counts them.
#[test]
fn one_link_is_one_probe() {
    let Some(path) = program(false).filter(|_| can_trace()) else { return };
    let (lines, said) = traced("config = { max_probes = 2 } uprobe:BIN:lea* { @ = count(); } end { }", &path);
    assert_eq!(lines, ["@: 2"], "{said}");
    let said = checked("config = { max_probes = 2 } uprobe:BIN:lea* { } uprobe:BIN:main { } end { }", &path);
    assert!(said.contains("this script attaches 3 probes, more than max_probes (2)"), "{said}");
}

#[test]
fn what_would_break_the_program_is_refused() {
    let Some(path) = program(false) else { return };
    let path = path.to_string_lossy();
    let said = |target: &str| {
        let out = bpftrace(&["-e", &format!("{target} {{ }}"), "--dry-run"]);
        assert_eq!(out.status.code(), Some(1), "{target}");
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    assert!(said(&format!("uprobe:{path}:leaf+100000")).contains("Offset outside the function bounds ('leaf' size is"));
    assert!(said(&format!("uprobe:{path}:0x1")).contains(&format!("ERROR: Could not resolve address: {path}:0x1")));
    assert!(said(&format!("uprobe:{path}:leef")).contains("No matches for uprobe"));
    assert!(said("uprobe:/no/such/program:main").contains("does not exist or is not executable"));
    assert!(said(&format!("uretprobe:{path}:leaf+1")).contains("function offset"));
}

/// A probe there would break the program, silently.
#[test]
fn the_middle_of_an_instruction_is_refused() {
    let Some(path) = program(true) else { return };
    let nm = std::process::Command::new("objdump").args(["-d", "--disassemble=leaves"]).arg(&path).output();
    let Ok(out) = nm else { return println!("SKIP objdump") };
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let address = |l: &str| u64::from_str_radix(l.trim().split_once(":\t")?.0, 16).ok();
    let begins: Vec<u64> = text.lines().filter_map(address).collect();
    let (start, end) = (begins[0], *begins.last().expect("some"));
    let mut refused = 0;
    for at in start..=end {
        let said = checked(&format!("uprobe:BIN:leaves+{} {{ }} uprobe:BIN:{at:#x} {{ }}", at - start), &path);
        if begins.contains(&at) {
            assert_eq!(said, "", "{at:#x}");
        } else {
            assert_eq!(said.matches("in the middle of an instruction").count(), 2, "{at:#x}: {said}");
            refused += 1;
        }
    }
    assert!(refused > 4, "{text}");
}

/// An upgrade while the process runs: its own file is meant, not what took the name.
#[test]
fn a_replaced_program_is_the_one_that_runs() {
    let Some(built) = build("doze-built", "doze.c", &["-O1"]).filter(|_| can_trace()) else { return };
    let other = build("doze-other", "doze.c", &["-O0", "-pg"]).expect("a compiler");
    let path = traced::folder().join("doze-upgraded");
    std::fs::copy(&built, &path).expect("copied");
    let mut running = std::process::Command::new(&path).spawn().expect("it runs");
    let pid = running.id().to_string();
    let run = |name: &str| {
        let script = format!(
            "uprobe:{name}:inner_doze {{ printf(\"%s\\n\", usym(reg(\"ip\"))); exit(); }} interval:s:5 {{ exit(); }}"
        );
        let out = traced::weftrace(&["run", "-q", "-e", &script, "-p", &pid]);
        (traced::lines(&out.stdout), traced::text(&out.stderr))
    };
    let name = path.display().to_string();
    std::fs::remove_file(&path).expect("removed");
    let deleted = run(&name);
    std::fs::copy(&other, &path).expect("copied");
    let replaced = run(&name);
    let _ = running.kill();
    let _ = running.wait();
    assert_eq!(deleted.0, ["inner_doze"], "{}", deleted.1);
    assert_eq!(replaced.0, ["inner_doze"], "{}", replaced.1);
}
