//! Stacks of processes that have ended, of replaced files, in the vdso, in other mount namespaces, without frame pointers.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use traced::{build, can_trace, folder, traced_command, weftrace};

const FRAMES: [&str; 4] = ["-g", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"];
const NO_FRAMES: [&str; 4] = ["-g", "-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"];

fn library(name: &str, flags: &[&str]) -> Option<PathBuf> {
    build(name, "callback.c", &[&["-shared", "-fPIC", "-O1", "-fno-omit-frame-pointer"], flags].concat())
}

/// Functions of a stack's lines, innermost first.
fn names(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|l| l.trim().rsplit_once('+').map(|(name, _)| name)).collect()
}

/// A run of weftrace in the background.
struct Tracer(Child);

impl Tracer {
    /// Starts it and waits until it has attached.
    fn start(script: &str, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_weftrace"))
            .args(["-q", "-e", &format!("BEGIN {{ printf(\"ready\\n\"); }} {script}")])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut first = [0; 6];
        let stdout = child.stdout.as_mut().expect("piped");
        std::io::Read::read_exact(stdout, &mut first).expect("it begins");
        // BEGIN runs before the others attach.
        sleep(Duration::from_millis(500));
        Self(child)
    }

    fn end(self) -> (Vec<String>, String) {
        let interrupt = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        assert!(interrupt.is_ok_and(|s| s.success()));
        let out = self.0.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let lines = text.lines().filter(|l| !l.trim().is_empty()).map(str::to_owned).collect();
        (lines, String::from_utf8_lossy(&out.stderr).into_owned())
    }
}

#[test]
fn a_process_of_a_few_milliseconds_has_names_at_the_end() {
    let Some(path) = build("stacks-short", "stacks.c", &FRAMES).filter(|_| can_trace()) else { return };
    let Some(lib) = library("stacks-short.so", &[]) else { return };
    let script = format!(
        "tracepoint:syscalls:sys_enter_exit_group /comm == \"stacks-short\"/ {{ @exit[ustack] = count(); }}
         uprobe:{}:leaf {{ @leaf[ustack(perf)] = count(); }}",
        path.display()
    );
    let tracer = Tracer::start(&script, &[]);
    let begun = Instant::now();
    let status = Command::new(&path).arg(&lib).arg("5").status().expect("it runs");
    assert!(status.success());
    println!("it lived {:?}", begun.elapsed());
    // Its map prints when it has long been gone.
    sleep(Duration::from_millis(100));
    let (lines, said) = tracer.end();
    let all = lines.join("\n");
    // Its own functions, a library that it loaded later, the C library.
    let own = format!(" ({})", path.display());
    let wanted =
        ["leaf+0", "compare+", "handler+", "__restore_rt+0", "loaded+", "main+", "__libc_start_", "xit+", &own];
    for name in wanted.iter().chain([&"call_back+"]) {
        assert!(all.contains(name), "{name}: {all} {said}");
    }
    assert!(!all.contains("unknown"), "{all}");
}

#[test]
fn a_file_that_took_the_name_is_not_taken() {
    let Some(path) = build("stacks-moved", "stacks.c", &FRAMES).filter(|_| can_trace()) else { return };
    let old = library("stacks-old.so", &[]).expect("a compiler");
    let new = library("stacks-new.so", &["-DOTHER"]).expect("a compiler");
    let lib = folder().join("stacks-replaced.so");
    fs::copy(&old, &lib).expect("copied");
    let script = "tracepoint:syscalls:sys_enter_read /comm == \"stacks-moved\"/ { print(ustack(perf)); }
        uprobe:BIN:leaf /arg0 == 4/ { @[ustack] = count(); }"
        .replace("BIN", &path.to_string_lossy());
    let tracer = Tracer::start(&script, &[]);
    let mut child = Command::new(&path).arg(&lib).arg("wait").stdin(Stdio::piped()).spawn().expect("it runs");
    sleep(Duration::from_millis(200));
    // Another file, where the address is in another function.
    fs::copy(&new, lib.with_extension("tmp"))
        .and_then(|_| fs::rename(lib.with_extension("tmp"), &lib))
        .expect("replaced");
    sleep(Duration::from_millis(100));
    child.stdin.take().expect("piped").write_all(b"x").expect("it reads");
    sleep(Duration::from_millis(200));
    let (lines, said) = tracer.end();
    let _ = child.wait();
    let all = lines.join("\n");
    assert!(!all.contains("in_the_way"), "{all} {said}");
    // It has ended: only the file that is gone could say more.
    assert!(all.contains("call_back+") || all.contains("stacks-replaced.so"), "{all}");
}

#[test]
fn without_frame_pointers() {
    let Some(path) = build("stacks-nofp", "stacks.c", &NO_FRAMES).filter(|_| can_trace()) else { return };
    let lib = build("stacks-nofp.so", "callback.c", &["-shared", "-fPIC", "-O2", "-fomit-frame-pointer"]);
    let command = format!("{} {} 300", path.display(), lib.expect("a compiler").display());
    let (lines, said) = traced_command(
        "uprobe:BIN:leaf /arg0 == 1/ { print(dw_ustack); } uprobe:BIN:leaf /arg0 == 2/ { print(dw_ustack); }
         uprobe:BIN:leaf /arg0 == 4/ { print(dw_ustack); }",
        &path,
        &command,
    );
    let all = names(&lines).join(" ");
    // Through qsort, through a signal's frame, through a library loaded later; each to the first function of all.
    for wanted in [
        "leaf compare ",
        " sorting main ",
        "leaf handler __restore_rt ",
        " signalled main ",
        "leaf call_back loaded main ",
    ] {
        assert!(all.contains(wanted), "{wanted}: {all} {said}");
    }
    assert_eq!(all.matches("_start").count() - all.matches("__libc_start").count(), 3, "{all}");
    assert!(!lines.join("\n").contains("<cut"), "{lines:?}");
    // From anywhere: within the vdso, in the middle of prologues.
    let (lines, said) = traced_command("profile:hz:997 { print(dw_ustack(perf)); print(1); }", &path, &command);
    let text = lines.join("\n");
    let samples: Vec<&str> = text.split("\n1").filter(|s| s.contains(" timed+")).collect();
    assert!(samples.len() > 10 && text.contains("([vdso])"), "{text} {said}");
    let whole = samples.iter().filter(|s| s.contains("_start+")).count();
    assert_eq!(whole, samples.len(), "{text}");
}

#[test]
fn in_another_mount_namespace() {
    let Some(path) = build("stacks-inside", "stacks.c", &FRAMES).filter(|_| can_trace()) else { return };
    let (old, new) = (library("stacks-outer.so", &[]), library("stacks-inner.so", &["-DOTHER"]));
    let (old, new) = (old.expect("a compiler"), new.expect("a compiler"));
    let shared = folder().join("stacks-shared.so");
    fs::copy(&old, &shared).expect("copied");
    // Within, the same path is the other library.
    let inside = format!(
        "mount --bind {} {} && exec {} {} wait",
        new.display(),
        shared.display(),
        path.display(),
        shared.display()
    );
    let child = Command::new("unshare").args(["-m", "sh", "-c", &inside]).stdin(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return println!("SKIP mount namespaces: no unshare") };
    sleep(Duration::from_millis(500));
    if child.try_wait().is_ok_and(|s| s.is_some()) {
        return println!("SKIP mount namespaces");
    }
    let pid = child.id().to_string();
    let listed = |more: &[&str]| {
        let out = weftrace(&[&["list"], more, &[&format!("uprobe:{}:*", shared.display())]].concat());
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert!(!listed(&[]).contains("in_the_way"));
    assert!(listed(&["-p", &pid]).contains("in_the_way"), "{}", listed(&["-p", &pid]));
    // Called again by what is written to it; the stack has the names of the library that is there.
    let script = format!("uprobe:{}:leaf {{ print(ustack); }}", path.display());
    let tracer = Tracer::start(&script, &["-p", &pid]);
    child.stdin.as_mut().expect("piped").write_all(b"x").expect("it reads");
    sleep(Duration::from_millis(200));
    let (lines, said) = tracer.end();
    drop(child.stdin.take());
    let _ = child.wait();
    assert_eq!(names(&lines)[..2], ["leaf", "main"], "{lines:?} {said}");
}
