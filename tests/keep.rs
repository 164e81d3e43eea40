//! `capture()` and `--write`: what tshark and tcpdump read back.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn weftrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace")).args(args).current_dir(root()).output().expect("weftrace runs")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("weftrace-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Fields of each packet by tshark; None: there is no tshark.
fn tshark(file: &Path, fields: &[&str], filter: &str) -> Option<String> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r", file.to_str()?, "-Y", filter, "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let Ok(output) = command.output() else {
        println!("SKIP tshark");
        return None;
    };
    Some(text(&output.stdout))
}

#[test]
fn kept_packets_are_the_captured_ones_with_comments() {
    let folder = folder("keep");
    let out = folder.join("out.pcapng");
    let read = "scripts/tcp/retransmit.pcap";
    let script = r#"pcap:any /tcp.analysis.retransmission/ { capture("%s, frame %d", flow, frame.number); }"#;
    let output = weftrace(&["run", "-q", "--read", read, "--write", out.to_str().unwrap(), "-e", script]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let same = ["frame.time_epoch", "frame.len", "frame.cap_len", "tcp.seq_raw", "tcp.ack_raw", "tcp.checksum"];
    let Some(kept) = tshark(&out, &same, "frame") else { return };
    let Some(original) = tshark(&root().join(read), &same, "tcp.analysis.retransmission") else { return };
    assert_eq!(kept, original);
    assert!(kept.lines().count() > 10);
    let comments = tshark(&out, &["frame.comment"], "frame").unwrap();
    let numbers = tshark(&root().join(read), &["frame.number"], "tcp.analysis.retransmission").unwrap();
    for (comment, number) in comments.lines().zip(numbers.lines()) {
        assert!(comment.ends_with(&format!(", frame {number}")) && comment.contains(" → "), "{comment}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn files_roll_and_all_packets_are_in_them() {
    let folder = folder("roll");
    let out = folder.join("out.pcapng");
    let args = ["run", "-q", "--read", "scripts/tcp/retransmit.pcap", "--write", out.to_str().unwrap()];
    let script = ["-e", "pcap:any { capture(); @ = count(); }"];
    let output = weftrace(&[&args[..], &["--write-size", "8kB"], &script].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().flatten().map(|e| e.path()).collect();
    files.sort();
    assert!(files.len() > 2, "{files:?}");
    assert!(files[0].file_name().unwrap().to_string_lossy().starts_with("out_00001_20"), "{files:?}");
    let total: Option<usize> = files.iter().map(|f| Some(tshark(f, &["frame.len"], "frame")?.lines().count())).sum();
    if let Some(total) = total {
        assert!(text(&output.stdout).contains(&format!("@: {total}\n")), "{total} {}", text(&output.stdout));
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_wrong_is_said_before_anything_runs() {
    let folder = folder("wrong");
    let copy = folder.join("in.pcap");
    fs::copy(root().join("scripts/tcp/sack.pcap"), &copy).unwrap();
    let (copy, keeps) = (copy.to_str().unwrap(), "pcap:any { capture(); }");
    for (args, says) in [
        (vec!["-e", keeps], "write: weftrace run --write FILE.pcapng"),
        (vec!["--write", copy, "-e", keeps], "is not overwritten"),
        (vec!["--write", "/nowhere/x", "-e", keeps], "No such file or directory"),
        (vec!["--write", "x", "-e", "pcap:any { @ = count(); }"], "capture() in a packet block"),
        (vec!["--write", "x", "--write-files", "3", "-e", keeps], "--write-size 100MB"),
        (vec!["--write", "x", "-e", "BEGIN { capture(); }"], "pcap"),
    ] {
        let output = weftrace(&[&["run", "--read", copy], &args[..]].concat());
        assert!(!output.status.success(), "{args:?}");
        assert!(text(&output.stderr).contains(says), "{args:?}: {}", text(&output.stderr));
    }
    assert_eq!(fs::read(copy).unwrap(), fs::read(root().join("scripts/tcp/sack.pcap")).unwrap());
    fs::remove_dir_all(folder).unwrap();
}

/// A dry run attaches and ends: it leaves files as they are.
#[test]
fn a_dry_run_keeps_nothing() {
    let folder = folder("dry");
    let there = folder.join("there.pcapng");
    fs::write(&there, b"precious").unwrap();
    let script = ["-e", "pcap:any { capture(); }"];
    let args = ["run", "--dry-run", "--read", "scripts/tcp/sack.pcap", "--write", there.to_str().unwrap()];
    let output = weftrace(&[&args[..], &script].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read(&there).unwrap(), b"precious");
    fs::remove_dir_all(folder).unwrap();
}

/// A file that can't grow: of what was gathered nothing goes missing untold, with rolling files too.
#[test]
fn packets_are_in_the_file_or_lost() {
    let folder = folder("limit");
    let packets = 40_000;
    let capture = folder.join("in.pcap");
    let mut bytes = fs::read(root().join("scripts/tcp/sack.pcap")).unwrap()[..24].to_vec();
    for i in 0..packets as u32 {
        for word in [i, 0, 60, 60] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend([0; 60]);
    }
    fs::write(&capture, bytes).unwrap();
    let script = "pcap:any { capture(); }";
    for more in ["", "--write-size 300kB"] {
        let out = folder.join(format!("out{}.pcapng", more.len()));
        // 200 kB; the signal that comes with the error is ignored.
        let command = format!(
            "trap '' XFSZ; ulimit -f 200; exec {} run --read {} --write {} {more} -e '{script}'",
            env!("CARGO_BIN_EXE_weftrace"),
            capture.display(),
            out.display()
        );
        let output = Command::new("bash").args(["-c", &command]).output().unwrap();
        let err = text(&output.stderr);
        let lost = err.lines().find_map(|l| l.strip_prefix("WARNING: lost ")?.split_once(" packets to be kept"));
        let lost: usize = lost.unwrap_or_else(|| panic!("{more}: {err}")).0.parse().unwrap();
        let files = fs::read_dir(&folder).unwrap().flatten().map(|e| e.path());
        let kept: Option<usize> = files
            .filter(|f| f.extension().is_some_and(|e| e == "pcapng"))
            .map(|f| Some(tshark(&f, &["frame.len"], "frame")?.lines().count()))
            .sum();
        let Some(kept) = kept else { return };
        assert_eq!(kept + lost, packets, "{more}: {err}");
        for file in fs::read_dir(&folder).unwrap().flatten().map(|e| e.path()) {
            if file != capture {
                fs::remove_file(file).unwrap();
            }
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

/// A full disk: told and counted, and the script goes on.
#[test]
fn a_file_that_cannot_be_written_is_told() {
    let script = "pcap:any { capture(); @packets = count(); }";
    let output = weftrace(&["run", "--read", "scripts/tcp/sack.pcap", "--write", "/dev/full", "-e", script]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(out.contains("@packets: 42"), "{out}");
    assert!(err.contains("--write /dev/full: No space left on device"), "{err}");
    assert!(err.contains("lost 42 packets to be kept"), "{err}");
    assert_eq!(output.status.code(), Some(6), "{err}");
}
