//! The command line as a user meets it: wrong programs and what is said about them, exit codes, output forms.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

mod traced;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use traced::text;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn weftrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace")).args(args).current_dir(root()).output().expect("weftrace runs")
}

/// What differs between machines is named instead.
fn neutral(text: &str) -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let short = release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let text = if release.is_empty() { text.to_owned() } else { text.replace(release, "KERNEL") };
    let text = text.replace(&format!("kernel ({short})"), "kernel (KERNEL)");
    // Numbers of findings are held by tests/help.rs.
    let lines = text.lines().map(str::trim_end).filter(|line| !line.starts_with("more about th"));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// What is expected here: on a kernel with kprobes nothing is said of their absence.
fn expected_here(text: &str) -> String {
    let kprobes = traced::ready("kprobe");
    let here = |finding: &&str| !kprobes || !finding.starts_with("warning: this kernel has no kprobes\n");
    let (exit, findings) = text.split_once('\n').unwrap_or((text, ""));
    format!("{exit}\n{}", findings.split("\n\n").filter(here).collect::<Vec<_>>().join("\n\n"))
}

/// Every program below tests/wrong is refused or warned about, in these words. WEFTRACE_BLESS=1 writes them anew.
#[test]
fn wrong_programs_are_explained() {
    if weftrace(&["list", "tracepoint:tcp:tcp_probe"]).stdout.is_empty() {
        println!("SKIP tracefs");
        return;
    }
    let bless = std::env::var_os("WEFTRACE_BLESS").is_some();
    let mut wrong = Vec::new();
    let mut programs: Vec<PathBuf> = fs::read_dir(root().join("tests/wrong"))
        .expect("tests/wrong")
        .map(|e| e.expect("readable").path())
        .filter(|p| p.extension().is_some_and(|e| e == "probe"))
        .collect();
    programs.sort();
    assert!(programs.len() >= 37, "30 wrong programs, and the article's own");
    for program in programs {
        let name = Path::new("tests/wrong").join(program.file_name().expect("a file"));
        let output = weftrace(&["check", name.to_str().expect("UTF-8")]);
        let said = format!("exit {}\n{}", output.status.code().unwrap_or(-1), neutral(&text(&output.stderr)));
        assert!(!said.contains("panicked"), "{}:\n{said}", name.display());
        let expected = program.with_extension("expect");
        if bless {
            fs::write(&expected, &said).expect("writable");
        } else if fs::read_to_string(&expected).map(|text| expected_here(&text)).ok().as_deref() != Some(&said) {
            wrong.push(format!("{}: is now\n{said}", name.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_such_file() {
    let output = weftrace(&["run", "nowhere/at_all.probe"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("nowhere/at_all.probe") && said.contains("weftrace list scripts"), "{said}");
}

#[test]
fn no_such_capture() {
    let output = weftrace(&["--read", "nowhere.pcap", "-e", "pcap:any { @ = count(); }"]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("nowhere.pcap"));
}

#[test]
fn unknown_option() {
    let output = weftrace(&["run", "--colour", "x"]);
    assert_eq!(output.status.code(), Some(2));
}

/// weftrace's own options may follow the script's name, where the script has no such flag and takes no such argument.
#[test]
fn options_after_the_script() {
    let path = temporary("after.pcap", &capture(3));
    let capture = path.to_str().unwrap();
    let output = weftrace(&["run", "tcp/handshake", "--slow", "1s", "-q", "--read", capture, "-f", "json"]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let output = weftrace(&["tcp/summary", "--format=json", &format!("--read={capture}")]);
    assert!(text(&output.stdout).starts_with('{') && text(&output.stdout).contains("\"packets\": 3"), "{output:?}");
    // After -- all is the script's, and what is not its own is wrong.
    let output = weftrace(&["run", "tcp/handshake", "--", "-q"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    // One that reads its arguments gets them.
    let script = temporary("words.bt", b"BEGIN { printf(\"<%s>\\n\", str($1)); exit(); }");
    let output = weftrace(&["run", script.to_str().unwrap(), "-q"]);
    assert!(text(&output.stdout).contains("<-q>"), "{output:?}");
    fs::remove_file(path).unwrap();
    fs::remove_file(script).unwrap();
}

/// A minimal pcap: header and `packets` records of 60 zero bytes.
fn capture(packets: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1] {
        bytes.extend(word.to_le_bytes());
    }
    for i in 0..packets {
        for word in [1_700_000_000 + i, 0, 60, 60] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend([0; 60]);
    }
    bytes
}

fn temporary(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("weftrace-cli-{}-{name}", std::process::id()));
    fs::write(&path, bytes).expect("writable");
    path
}

#[test]
fn a_damaged_capture_is_read_up_to_the_damage() {
    let mut bytes = capture(5);
    bytes.extend([0; 8]);
    bytes.extend(0xb000_0000u32.to_le_bytes());
    bytes.extend(0xb000_0000u32.to_le_bytes());
    bytes.extend([0; 100]);
    let path = temporary("damaged.pcap", &bytes);
    let output = weftrace(&["--read", path.to_str().expect("UTF-8"), "-e", "pcap:any { @n = count(); }"]);
    let _ = fs::remove_file(&path);
    assert!(text(&output.stdout).contains("@n: 5"), "{}", text(&output.stdout));
    assert_eq!(output.status.code(), Some(5));
    let said = text(&output.stderr);
    assert!(said.contains("record 6") && said.contains("byte"), "{said}");
}

#[test]
fn kernel_blocks_are_named_as_not_running_with_read() {
    let path = temporary("plain.pcap", &capture(3));
    let program = "tracepoint:tcp:tcp_retransmit_skb { @k = count(); } pcap:any { @n = count(); }";
    let output = weftrace(&["--read", path.to_str().expect("UTF-8"), "-e", program]);
    let _ = fs::remove_file(&path);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("@n: 3"));
    let said = text(&output.stderr);
    assert!(said.contains("tracepoint:tcp:tcp_retransmit_skb") && said.contains("not running"), "{said}");
}

#[test]
fn json_findings_are_one_object_a_line() {
    let output = weftrace(&["check", "-f", "json", "tests/wrong/two-errors.probe"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr) + &text(&output.stdout);
    let findings: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(findings.len() >= 2, "{said}");
    assert!(findings.iter().all(|f| f["at"]["line"].is_u64() && f["message"].is_string()), "{said}");
}

/// Runs a copy of the binary as nobody, without capabilities; None where that cannot be done.
fn as_nobody(args: &[&str]) -> Option<Output> {
    let copy =
        std::env::temp_dir().join(format!("weftrace-nobody-{}-{:?}", std::process::id(), std::thread::current().id()));
    fs::copy(env!("CARGO_BIN_EXE_weftrace"), &copy).ok()?;
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let run = || Command::new("setpriv").args(nobody).arg(&copy).args(args).current_dir("/").output();
    let mut output = run();
    // Another test's fork may hold the copy open for writing until it has called exec.
    while output.as_ref().is_ok_and(|o| text(&o.stderr).contains("Text file busy")) {
        std::thread::yield_now();
        output = run();
    }
    let _ = fs::remove_file(&copy);
    let output = output.ok()?;
    // setpriv's own refusal: not root.
    (!text(&output.stderr).starts_with("setpriv:")).then_some(output)
}

#[test]
fn without_privileges_the_probe_and_the_capability_are_named() {
    let scripts = [
        ("pcap:any { @ = count(); }", "pcap:any", "cap_net_raw"),
        (
            "tracepoint:tcp:tcp_retransmit_skb { @ = count(); }",
            "tracepoint:tcp:tcp_retransmit_skb",
            "cap_dac_read_search",
        ),
        // With the module that it is of.
        ("rawtracepoint:tcp_retransmit_skb { @ = count(); }", "rawtracepoint:vmlinux:tcp_retransmit_skb", "cap_bpf"),
    ];
    for (script, named, capability) in scripts {
        let Some(output) = as_nobody(&["-e", script]) else {
            println!("SKIP root");
            return;
        };
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{script}: {said}");
        assert!(said.contains(named) && said.contains("sudo setcap") && said.contains(capability), "{script}: {said}");
    }
}

#[test]
fn captures_need_no_privileges() {
    let path = temporary("nobody.pcap", &capture(4));
    // Whether the tracepoint exists, which nobody may not see, does not matter.
    let script = "tracepoint:tcp:tcp_retransmit_skb { @k = sum(args.sport); } pcap:any { @n = count(); }";
    let output = as_nobody(&["--read", path.to_str().expect("UTF-8"), "-e", script]);
    let _ = fs::remove_file(&path);
    let Some(output) = output else {
        println!("SKIP root");
        return;
    };
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("@n: 4"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("not running"), "{}", text(&output.stderr));
}

#[test]
fn options_after_a_script_mean_what_they_mean_before_it() {
    let output = weftrace(&["run", "tcp/retransmit", "--read", "x.pcap"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stderr).contains("x.pcap: No such file"), "{}", text(&output.stderr));
    let output = weftrace(&["run", "tcp/flows", "--write-size", "1MB"]);
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("--write <FILE>"), "{output:?}");
    let output = weftrace(&["-e", "pcap:any { @ = count(); }", "word", "--read", "x.pcap"]);
    assert!(text(&output.stderr).contains("write: weftrace --read"), "{output:?}");
    let help = weftrace(&["run", "tcp/retransmit", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("--threshold"), "{}", text(&help.stdout));
}

#[test]
fn options_that_would_do_nothing_are_refused() {
    for (args, says) in [
        (["--netns", "blue", "-e", "interval:s:1 { }"], "error: --netns: the script captures no packets"),
        (["--snaplen", "96", "-e", "interval:s:1 { }"], "error: --snaplen: the script captures no packets"),
        (["--packet-buffer", "8M", "-e", "interval:s:1 { }"], "error: --packet-buffer: the script"),
        (["--tls-keys", "x", "-e", "pcap:any { @[ip.src] = count(); }"], "error: --tls-keys: the script reads nothing"),
    ] {
        let output = weftrace(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(says), "{args:?}: {}", text(&output.stderr));
    }
}

/// It would wait for ever.
#[test]
fn a_script_that_watches_nothing_for_want_of_its_flag_says_so() {
    let program =
        "param go = \"\" \"the Go program\"; uprobe:$go:runtime.gcStart { @ = count(); } interval:1s { print(@); }";
    for flags in [&[][..], &["--go="]] {
        let output = weftrace(&[&["run", "-e", program, "--"], flags].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("nothing to watch: --go is empty") && said.contains("the Go program"), "{said}");
    }
    // It is as good as any other as long as nothing runs.
    assert_eq!(weftrace(&["check", "go/gc_pause"]).status.code(), Some(0));
}

#[test]
fn a_dry_run_runs_nothing() {
    let path = temporary("dry.pcap", &capture(3));
    let script = "BEGIN { printf(\"begun\\n\"); } pcap:any { @n = count(); } END { printf(\"ended\\n\"); }";
    let output = weftrace(&["--dry-run", "--read", path.to_str().expect("UTF-8"), "-e", script]);
    let _ = fs::remove_file(&path);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
    assert!(text(&output.stderr).contains("pcap:any"), "{}", text(&output.stderr));
}

#[test]
fn what_is_no_capture_is_told_from_a_compressed_one() {
    let path = temporary("x.pcap.xz", &[0xfd, b'7', b'z', b'X', b'Z', 0]);
    let output = weftrace(&["--read", path.to_str().expect("UTF-8"), "-e", "pcap:any { @ = count(); }"]);
    let _ = fs::remove_file(&path);
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stderr).contains("xzcat"), "{}", text(&output.stderr));
}

/// What a module counts is printed by whoever asks, and at the end: its probe is kept though no join reads what it emits.
#[test]
fn a_modules_map_is_read_where_only_a_print_names_it() {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("a-modules-map");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("counts.probe"), "interval:ms:10 { @n = count(); emit a.tick(start = nsecs); }")
        .expect("a file");
    let script = folder.join("main.probe");
    std::fs::write(&script, "import \"./counts.probe\"; interval:ms:300 { print(@n); exit(); }").expect("a file");
    let plan = weftrace(&["dump", "--stage", "plan", &script.to_string_lossy()]);
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(plan.contains("interval:ms:10") && !plan.contains("nothing reads what it emits"), "{plan}");
}

/// A command behind options, or behind another command, is no script that isn't there.
#[test]
fn the_command_comes_first() {
    for (args, write) in [
        (&["--read", "F", "run", "tcp/summary"][..], "weftrace run --read F tcp/summary"),
        (&["-q", "check", "a b.probe", "--x"], "weftrace check -q 'a b.probe' --x"),
        (&["run", "run", "tcp/summary"], "weftrace run tcp/summary"),
        (&["run", "check", "tcp/summary"], "weftrace check tcp/summary"),
    ] {
        let output = weftrace(args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&format!("= write: {write}\n")), "{said}");
    }
    assert!(text(&weftrace(&["nowhere"]).stderr).contains("nowhere: No such file"));
}
