//! The command line as a user meets it: wrong programs and what is said about them, exit codes, output forms.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn weftrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace")).args(args).current_dir(root()).output().expect("weftrace runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What differs between machines is named instead.
fn neutral(text: &str) -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let short = release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let text = if release.is_empty() { text.to_owned() } else { text.replace(release, "KERNEL") };
    let text = text.replace(&format!("kernel ({short})"), "kernel (KERNEL)");
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
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
        } else if fs::read_to_string(&expected).ok().as_deref() != Some(&said) {
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
    let findings: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(findings.len() >= 2, "{said}");
    assert!(findings.iter().all(|f| f["at"]["line"].is_u64() && f["message"].is_string()), "{said}");
}
