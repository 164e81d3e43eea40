//! `weftrace test`: what it runs, what it says of it, and in which forms.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

mod traced;

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output},
};
use traced::text;

const NOBODY: u32 = 65_534;

/// A folder with scripts that anybody may read, gone at the end.
struct Scripts(PathBuf);

impl Scripts {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("weftrace-scripts-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        Self(folder)
    }

    /// A capture of the bundled library beside a script.
    fn capture(&self, name: &str) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tcp/zero_window.pcap");
        fs::copy(from, self.0.join(name)).unwrap();
    }

    fn test(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weftrace"));
        command.arg("test").args(args).current_dir(&self.0);
        command
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const COUNT: &str = "param more = 0 \"added\";\npcap:any:\"tcp\" { @n++; if (more > 5) { @m++; } }\nEND { printf(\"%d\\n\", @n + more); clear(@n); clear(@m); }\n";

#[test]
fn a_capture_is_read_compared_and_blessed() {
    let scripts =
        Scripts::new("bless", &[("count.probe", COUNT), ("count.more.args", "--more 10"), ("other.md", "no script")]);
    scripts.capture("count.pcap");
    // Nothing is expected so far.
    let output = scripts.test(&[]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("count.expect is not there: weftrace test --bless writes it"), "{said}");
    assert!(said.ends_with("0 passed, 2 failed, 0 skipped\n"), "{said}");

    assert_eq!(scripts.test(&["--bless"]).status.code(), Some(0));
    let counted: u64 = fs::read_to_string(scripts.0.join("count.expect")).unwrap().trim().parse().unwrap();
    assert!(counted > 10);
    let with_more: u64 = fs::read_to_string(scripts.0.join("count.more.expect")).unwrap().trim().parse().unwrap();
    assert_eq!(with_more, counted + 10, "a case has arguments of its own");

    // Both cases together reach every branch.
    let output = scripts.test(&["count.probe"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("probes 2/2, branches 2/2\n") && said.ends_with("2 passed, 0 failed, 0 skipped\n"), "{said}");

    fs::write(scripts.0.join("count.expect"), "1\n").unwrap();
    let output = scripts.test(&[]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("    -1\n") && said.contains(&format!("    +{counted}\n")), "a diff: {said}");
}

#[test]
fn captures_need_no_root() {
    let scripts = Scripts::new("nobody", &[("count.probe", COUNT)]);
    scripts.capture("count.pcap");
    assert_eq!(scripts.test(&["--bless"]).status.code(), Some(0));
    let mut command = scripts.command(&["-v"]);
    let output =
        if nobody_can_run() { command.uid(NOBODY).gid(NOBODY).output().unwrap() } else { command.output().unwrap() };
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    assert!(said.contains("probes 2/2, branches 1/2\n"), "coverage too: {said}");
    assert!(said.contains("line 2: then more > 5\n"), "what is missed is named: {said}");
}

/// Only root may become somebody else.
fn nobody_can_run() -> bool {
    let path = env!("CARGO_BIN_EXE_weftrace");
    Command::new(path).arg("--version").uid(NOBODY).gid(NOBODY).output().is_ok_and(|out| out.status.success())
}

#[test]
fn recordings_are_replayed() {
    let script = "BEGIN { printf(\"of a recording\\n\"); }\ninterval:ms:10 { exit(); }\n";
    let scripts = Scripts::new("recording", &[("tick.probe", script)]);
    let made = Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(["record", "-q", "-o", "tick.recording", "tick.probe"])
        .current_dir(&scripts.0)
        .output()
        .unwrap();
    if !made.status.success() {
        println!("SKIP kernel programs");
        return;
    }
    let output = scripts.test(&["--bless"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert_eq!(fs::read_to_string(scripts.0.join("tick.expect")).unwrap().trim_end(), "of a recording");
}

const ORDERS: &str = r#"
import "./streams";
join orders {
  from  o = shop.order();
  total o.start;
  db    = sum(shop.query.dur) by pid;
  blame db;
}
join:orders { printf("order: %d ms, db %d ms\n", args.total / 1ms, args.db / 1ms); }
"#;
const STREAMS: &str = r"
usdt:/no/such/shop:order { emit shop.order(pid = (uint32)arg0, start = (uint64)arg1, end = nsecs); }
usdt:/no/such/shop:query { emit shop.query(pid = (uint32)arg0, start = (uint64)arg1, end = nsecs, dur = (uint64)arg2); }
";
const SYNTHETIC: &str = r#"
import "./orders";
test:slow_query {
  emit shop.query(pid = (uint32)7, start = (uint64)1s, end = (uint64)1300ms, dur = (uint64)300ms);
  emit shop.order(pid = (uint32)7, start = (uint64)1s, end = (uint64)1500ms);
}
"#;

/// Events that never happened reach the join of the script, whose own probes are not even there.
#[test]
fn test_blocks_emit_synthetic_events() {
    let files = [("orders.probe", ORDERS), ("streams.probe", STREAMS), ("orders.test.probe", SYNTHETIC)];
    let scripts = Scripts::new("synthetic", &files);
    let output = scripts.test(&["--bless", "."]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    if said.contains("skipped  ") {
        println!("SKIP kernel programs");
        return;
    }
    let printed = fs::read_to_string(scripts.0.join("orders.test.expect")).unwrap();
    assert!(printed.starts_with("ok slow_query\norder: 500 ms, db 300 ms\n"), "{printed}");
}

#[test]
fn tests_of_functions_are_in_the_script() {
    let script = "fn twice($x: int64): int64 { return $x * 2; }\n\
                  test:doubles { if (twice(2) != 4) { errorf(\"twice(2) is %d\", twice(2)); } }\n\
                  test:wrong { if (twice(3) != 7) { errorf(\"twice(3) is %d\", twice(3)); } }\n\
                  kprobe:no_such_function { @x = twice(1); }\n";
    let scripts = Scripts::new("functions", &[("twice.probe", script)]);
    let said = text(&scripts.test(&[]).stdout);
    if said.contains("skipped  ") {
        println!("SKIP kernel programs");
        return;
    }
    assert!(said.contains("    ok doubles\n    FAILED wrong\n") && said.contains("twice(3) is 6"), "{said}");
}

/// What may run and doesn't load has failed; what may not run is skipped.
#[test]
fn test_blocks_that_do_not_load_fail() {
    let script = "config = { max_map_keys = 268435456; max_strlen = 4096 }\ntest:huge { @x[str((uint8*)0)] = 1; }\n";
    let scripts = Scripts::new("huge", &[("huge.probe", script)]);
    if traced::ready("rawtracepoint") {
        let output = scripts.test(&["--no-coverage"]);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("FAILED   ./huge") && said.contains("@x: no memory for 268435456 entries"), "{said}");
        assert!(said.ends_with("0 passed, 1 failed, 0 skipped\n"), "{said}");
    } else {
        println!("SKIP kernel programs");
    }
    if nobody_can_run() {
        let output = scripts.command(&["--no-coverage"]).uid(NOBODY).gid(NOBODY).output().unwrap();
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("skipped  ./huge") && said.ends_with("0 passed, 0 failed, 1 skipped\n"), "{said}");
    }
}

/// Alerts are part of what is expected; an exit code that says the same without one is a failure.
#[test]
fn alerts_are_held_to_what_is_expected() {
    let alert = "pcap:any { @n = count(); } alert \"busy\" when @n > 1 message \"%d packets\", @n;";
    let scripts = Scripts::new("alerts", &[("a.probe", alert), ("b.probe", "pcap:any { exit(4); }")]);
    scripts.capture("a.pcap");
    scripts.capture("b.pcap");
    let said = text(&scripts.test(&["--no-coverage", "--bless"]).stdout).clone();
    assert!(said.contains("blessed  ./a") && said.contains("FAILED   ./b") && said.contains("exit code 4"), "{said}");
    let expected = fs::read_to_string(scripts.0.join("a.expect")).expect("blessed");
    assert!(expected.ends_with(" packets\n") && expected.contains("Z  ALERT  busy  "), "{expected}");
    fs::write(scripts.0.join("a.expect"), expected.replace("ALERT", "RESOLVED")).expect("written");
    let said = text(&scripts.test(&["--no-coverage"]).stdout).clone();
    assert!(said.contains("FAILED   ./a") && said.contains("  ALERT  busy"), "{said}");
}

#[test]
fn forms_for_machines() {
    let scripts = Scripts::new("forms", &[("count.probe", COUNT), ("bare.bt", "BEGIN { exit(); }")]);
    scripts.capture("count.pcap");
    assert_eq!(scripts.test(&["--bless"]).status.code(), Some(0));
    let tap = text(&scripts.test(&["-f", "tap"]).stdout);
    assert!(tap.starts_with("TAP version 14\n1..1\nok 1 - ./count count.pcap\n"), "{tap}");
    let output = scripts.test(&["-f", "junit", "-o", "results.xml"]);
    assert!(text(&output.stdout).contains("no fixture: ./bare\n"), "{}", text(&output.stdout));
    let xml = fs::read_to_string(scripts.0.join("results.xml")).unwrap();
    assert!(xml.contains("<testcase classname=\"./count\" name=\"count.pcap\""), "{xml}");
    assert_eq!(scripts.test(&["-o", "/no/such/folder/x"]).status.code(), Some(6));
}

#[test]
fn what_is_wrong_is_said() {
    let endless = "BEGIN { $i = 0; while ($i < 100000000000) { $i++; } }\npcap:any { }\n";
    let files = [
        ("broken.probe", "BEGIN { printf(\"x\" }"),
        ("lonely.probe", "BEGIN { }"),
        ("lonely.expect", "x"),
        ("two.probe", COUNT),
        ("status.probe", "pcap:any { exit(7); }"),
        ("status.expect", ""),
        ("endless.probe", endless),
    ];
    let scripts = Scripts::new("wrong", &files);
    for capture in ["two.pcap", "two.pcapng", "status.pcap", "endless.pcap"] {
        scripts.capture(capture);
    }
    let output = scripts.test(&["--no-coverage", "--timeout", "1s"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "--> ./broken.probe:1:",
        "./lonely.expect has no fixture",
        "are fixtures of one case",
        "exit code 7",
        "it did not end within 1 s",
        "0 passed, 5 failed, 0 skipped",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    for (args, part) in [(vec!["nowhere"], "nowhere: No such file"), (vec!["two.pcap"], "two.pcap is no script")] {
        let output = scripts.test(&args);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(part), "{}", text(&output.stderr));
    }
}

/// A script that was renamed or taken away leaves its tests behind.
#[test]
fn fixtures_that_test_nothing_are_told() {
    let files = [
        ("two.probe", "BEGIN { }"),
        ("two.test.probe", "import \"./two\";"),
        ("gone.test.probe", "import \"./gone\";"),
        ("gone.each.expect", "x"),
        ("two.self.spans", "{}"),
        ("notes.md", "no fixture"),
        ("two.each.args", "--x 1"),
    ];
    let scripts = Scripts::new("orphans", &files);
    scripts.capture("any.pcap");
    let said = text(&scripts.test(&["--no-coverage"]).stdout);
    assert!(said.contains("\nfixtures without a script: ./gone.each.expect, ./gone.test.probe\n"), "{said}");
    assert!(said.contains("./two.self.spans has no fixture"), "{said}");
    let said = text(&scripts.test(&["--no-coverage", "-f", "tap"]).stdout);
    assert!(said.contains("\n# ./gone.test.probe: a fixture without a script\n"), "{said}");
    for (name, part) in [
        ("two.test.probe", "two.test.probe has the tests of a script: weftrace test two.probe\n"),
        ("gone.test.probe", "gone.test.probe has the tests of a script, which is not there\n"),
    ] {
        let output = scripts.test(&[name]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(part), "{}", text(&output.stderr));
    }
}

#[test]
fn headers_are_held_to_their_form() {
    let whole = "// title:   Counts\n// answers: how many?\n// layers:  packets\n";
    let scripts = Scripts::new("headers", &[("good.probe", &format!("{whole}BEGIN {{ exit(); }}\n"))]);
    for (name, header, part) in [
        ("titel", "// titel: x\n// answers: y\n// layers: z\n", "a header has no line `titel`"),
        ("layers", "// title: x\n// answers: y\n", "the header has no line `layers`"),
        ("twice", &format!("{whole}// layers: more\n"), "the header has two lines `layers`"),
    ] {
        fs::write(scripts.0.join("x.probe"), format!("{header}BEGIN {{ exit(); }}\n")).unwrap();
        let said = text(&scripts.test(&[]).stdout);
        assert!(said.contains(part) && said.contains("--> ./x.probe:") && said.contains("1 failed"), "{name}: {said}");
        let checked =
            Command::new(env!("CARGO_BIN_EXE_weftrace")).arg("check").arg(scripts.0.join("x.probe")).output().unwrap();
        assert_eq!(checked.status.code(), Some(1), "{name}");
        assert!(text(&checked.stderr).contains(part), "{name}: {}", text(&checked.stderr));
    }
    let good =
        Command::new(env!("CARGO_BIN_EXE_weftrace")).arg("check").arg(scripts.0.join("good.probe")).output().unwrap();
    assert_eq!(text(&good.stderr), "");
}

/// One table of flags: each sentence about `param`, as somebody types it.
#[test]
fn flags_are_typed_checked_and_told() {
    let script = "param threshold = 5 \"retransmits in the window\";\nparam slow = 100ms \"longer ones\";\nparam name = \"all\" \"whose\";\n\
                  BEGIN { printf(\"%d %d %s %d\\n\", threshold, slow / 1ms, name, getopt(\"loud\", false, \"say more\")); exit(); }\n";
    let scripts = Scripts::new("flags", &[("f.probe", script)]);
    let run = |args: &[&str]| {
        let path = scripts.0.join("f.probe");
        Command::new(env!("CARGO_BIN_EXE_weftrace")).args(["run", "-q"]).arg(path).args(args).output().unwrap()
    };
    let help = text(&run(&["--help"]).stdout);
    for line in [
        "  --threshold N        retransmits in the window [5]\n",
        "  --slow TIME          longer ones [100ms]\n",
        "  --name TEXT          whose [\"all\"]\n",
        "  --loud               say more [false]\n",
    ] {
        assert!(help.contains(line), "{line} is not in\n{help}");
    }
    for (args, part) in [
        (vec!["--threshold", "many"], "--threshold takes a number, not \"many\""),
        (vec!["--slow", "150"], "--slow takes a time, and 150 has no unit"),
        (vec!["--loud=perhaps"], "--loud takes true or false, not \"perhaps\""),
        (vec!["--treshold", "3"], "= near by name: --threshold"),
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains(part), "{args:?}: {}", text(&output.stderr));
    }
    let output = run(&["--threshold", "7", "--slow=2s", "--name", "me", "--loud"]);
    if output.status.code() != Some(3) {
        assert!(text(&output.stdout).starts_with("7 2000 me 1\n"), "{}{}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn flags_that_collide_are_refused() {
    let scripts =
        Scripts::new("collide", &[("m.probe", "param most = 7 \"in a module\";\nfn f(): int64 { return most; }\n")]);
    for (script, part) in [
        ("param a = 1; param a = 1;", "the flag --a is declared twice"),
        ("import \"./m\"; param most = 2;", "a module has a flag --most with another default"),
        ("param pid = 1;", "pid is a builtin"),
        ("param help = 1;", "--help is every script's"),
        ("macro a() { 1 } param a = 1;", "a is a macro"),
        ("param a = 1; BEGIN { print(getopt(\"a\", 2)); }", "the flag --a has another default elsewhere"),
    ] {
        fs::write(scripts.0.join("x.probe"), format!("{script}\nBEGIN {{ exit(); }}\n")).unwrap();
        let checked =
            Command::new(env!("CARGO_BIN_EXE_weftrace")).arg("check").arg(scripts.0.join("x.probe")).output().unwrap();
        let said = text(&checked.stderr);
        assert!(checked.status.code() == Some(1) && said.contains(part), "{script}: {said}");
    }
    // The same flag in both is one.
    fs::write(scripts.0.join("x.probe"), "import \"./m\"; param most = 7; BEGIN { exit(); }").unwrap();
    let checked =
        Command::new(env!("CARGO_BIN_EXE_weftrace")).arg("check").arg(scripts.0.join("x.probe")).output().unwrap();
    assert_eq!(text(&checked.stderr), "");
}

#[test]
fn the_library_can_be_searched() {
    let lib = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_weftrace")).arg("lib").args(args).output().unwrap();
    let listed = text(&lib(&["list", "tcp/*"]).stdout);
    assert!(listed.contains("tcp/retransmit") && !listed.contains("dns/latency"), "{listed}");
    let found = text(&lib(&["search", "zero", "WINDOW"]).stdout);
    assert!(found.contains("tcp/zero_window") && !found.contains("tcp/connect "), "{found}");
    let shown = text(&lib(&["show", "tcp/retransmit"]).stdout);
    assert!(
        shown.contains("  --threshold N ") && shown.contains("  layers:   kernel") && shown.contains("Sample:"),
        "{shown}"
    );
    assert!(text(&lib(&["show", "std/tls", "-f", "json"]).stdout).contains("\"name\":\"tls.handshake\""));
    let none = lib(&["show", "tcp/retransmits"]);
    assert!(none.status.code() == Some(1) && text(&none.stderr).contains("near by name: tcp/retransmit"));
}
