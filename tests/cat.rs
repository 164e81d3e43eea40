//! `cat()` of what isn't a file: the run goes on.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A pipe that nobody writes to, one that somebody holds open, a folder, a device without an end; then a file.
#[test]
fn what_is_no_file_is_told_or_ends() {
    let folder = std::env::temp_dir().join(format!("weftrace-cat-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("made");
    let path = |name: &str| folder.join(name).display().to_string();
    for pipe in ["pipe", "held"] {
        assert!(Command::new("mkfifo").arg(path(pipe)).status().expect("coreutils").success());
    }
    fs::write(path("file"), "as it is\n").expect("written");
    let held = fs::OpenOptions::new().read(true).write(true).open(path("held")).expect("a pipe");
    let shown = [&path("pipe"), &path("held"), &path(""), "/dev/zero", "/dev/null", &path("file")];
    let cats = shown.map(|path| format!("cat(\"{path}\");")).concat();
    let mut child = Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(["run", "-q", "-e", &format!("interval:ms:50 {{ {cats} exit(); }}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("weftrace runs");
    let due = Instant::now() + Duration::from_secs(30);
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > due {
            let _ = child.kill();
            panic!("it hangs");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().expect("it has ended");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let both = format!("{out}{err}");
    for pipe in ["pipe", "held"] {
        assert!(both.contains(&format!("'{}' (is a pipe", path(pipe))), "{both}");
    }
    assert!(both.contains("s a directory"), "{both}");
    assert_eq!(out.bytes().filter(|b| *b == 0).count(), 10_240, "as much of /dev/zero as max_cat_bytes says");
    assert!(out.contains("as it is\n"), "{out}");
    drop(held);
    fs::remove_dir_all(folder).expect("there");
}
