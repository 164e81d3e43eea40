//! What could keep a run from ending, or end it without its last words: readers that don't read, a terminal that is closed, files that may not grow.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

mod traced;

use std::{
    fs,
    io::Read,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Output, Stdio},
    time::Instant,
};
use traced::{folder, soon, text};

/// Prints more at its end than any pipe takes.
const TALKS: &str = r#"interval:s:1000 { } END { $i = 0; while ($i < 20000) { printf("%d: a line that somebody should read\n", $i); $i++; } }"#;

fn weftrace(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weftrace"));
    command.args(args).stdin(Stdio::null());
    command
}

fn kill(signal: &str, child: &Child) {
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
}

/// Reads what it says until everything was attached.
fn wait_for_start(child: &mut Child) {
    let (mut said, mut byte) = (Vec::new(), [0]);
    let stderr = child.stderr.as_mut().unwrap();
    while !text(&said).contains("Ctrl-C ends.\n") {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "{}", text(&said));
        said.push(byte[0]);
    }
}

fn said(child: &mut Child) -> String {
    let mut said = String::new();
    child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    said
}

/// Ended by a first SIGINT it waits for its reader; by the next it drops what it could not write, and says so.
#[test]
fn a_reader_that_does_not_read() {
    for format in ["text", "json"] {
        let mut run = weftrace(&["run", "-f", format, "-e", TALKS]);
        let mut child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for_start(&mut child);
        // The first is taken when the loop goes round, the next while END waits for its reader.
        let child = std::cell::RefCell::new(child);
        let ended = || {
            kill("-INT", &child.borrow());
            child.borrow_mut().try_wait().unwrap().is_some()
        };
        assert!(soon(ended), "it goes on");
        let mut child = child.into_inner();
        let status = child.wait().unwrap();
        let said = said(&mut child);
        assert_eq!(status.code(), Some(6), "{said}");
        assert!(
            said.contains("error: writing output: nobody reads it: ") && said.contains(" bytes were dropped"),
            "{said}"
        );
        // What was written before lies in the pipe.
        let mut written = String::new();
        child.stdout.as_mut().unwrap().read_to_string(&mut written).unwrap();
        assert!(written.contains("1: a line that somebody should read"), "{written}");
    }
}

/// One request to end is enough, though it takes longer; and though nobody reads what it says either.
#[test]
fn a_reader_of_everything_that_does_not_read() {
    let (reader, writer) = std::io::pipe().unwrap();
    let path = folder().join("stuck.sh");
    let ready = folder().join("stuck.ready");
    let _ = fs::remove_file(&ready);
    fs::write(&path, format!("touch {}; exec sleep 1000", ready.display())).unwrap();
    let command = format!("sh {}", path.display());
    let mut child = weftrace(&["run", "-q", "-c", &command, "-e", TALKS])
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    // The command begins when all is attached.
    assert!(soon(|| ready.exists()));
    let begin = Instant::now();
    kill("-TERM", &child);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(6), "after {:?}", begin.elapsed());
    drop(reader);
}

/// A reader that is only slow gets everything.
#[test]
fn a_slow_reader() {
    let mut run = weftrace(&["run", "-e", TALKS]);
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_start(&mut child);
    kill("-INT", &child);
    let (mut all, mut some) = (Vec::new(), [0; 512]);
    let mut stdout = child.stdout.take().unwrap();
    loop {
        match stdout.read(&mut some).unwrap() {
            0 => break,
            n => all.extend(&some[..n]),
        }
        std::thread::yield_now();
    }
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", said(&mut child));
    assert_eq!(text(&all).lines().filter(|line| line.contains("a line")).count(), 20_000);
}

const SHORT: &str = r#"interval:s:1000 { } END { printf("end\n"); }"#;

/// Starts it, sends it a signal, and waits for the end.
fn ended_by(signal: &str, before: &[&str], script: &str) -> Output {
    let weftrace = [env!("CARGO_BIN_EXE_weftrace"), "run", "-e", script];
    let all = [&["env", "--default-signal=HUP,QUIT"], before, &weftrace].concat();
    let mut run = Command::new(all[0]);
    let mut child =
        run.args(&all[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_start(&mut child);
    kill(signal, &child);
    if before.is_empty() {
        return child.wait_with_output().unwrap();
    }
    // It goes on: only what comes next ends it.
    kill("-INT", &child);
    child.wait_with_output().unwrap()
}

/// A terminal that is closed, and Ctrl-\: as SIGTERM.
#[test]
fn signals_that_end_a_run() {
    for signal in ["-TERM", "-HUP", "-QUIT"] {
        // (Whoever runs the tests may ignore some.)
        let output = ended_by(signal, &[], SHORT);
        assert_eq!((output.status.code(), &*text(&output.stdout)), (Some(0), "end\n\n\n"), "{signal}");
    }
    // Unless it was ignored from the start, as by nohup: then it is SIGINT that ends this one.
    let output = ended_by("-HUP", &["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"], SHORT);
    assert_eq!(text(&output.stdout), "end\n\n\n", "{}", text(&output.stderr));
}

/// A file that may not grow beyond a limit is as a disk that is full.
#[test]
fn a_file_that_may_not_grow() {
    let file = folder().join("may_not_grow");
    let output = Command::new("prlimit")
        .args(["--fsize=100000", env!("CARGO_BIN_EXE_weftrace"), "run", "-o"])
        .arg(&file)
        .args(["-c", "true", "-e", TALKS])
        .output();
    let Ok(output) = output else { return println!("SKIP prlimit") };
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), output.status.signal()), (Some(6), None), "{said}");
    assert!(said.contains("error: writing output: File too large"), "{said}");
    assert_eq!(fs::metadata(&file).unwrap().len(), 100_000);
    fs::remove_file(file).unwrap();
}
