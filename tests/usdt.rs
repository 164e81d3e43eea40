//! Static markers that <sys/sdt.h> makes, in programs and libraries, optimised and not: every argument, semaphores, processes that run
//! already and that start later.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};
use traced::{Tracer, bpftrace, build, can_trace, folder, lines, text, weftrace};

const EVERYTHING: &str = r#"
    usdt:BIN:prov:sizes { print((arg0, arg1, arg2, arg3, arg4, arg5, arg6, arg7)); }
    usdt:BIN:prov:globals { print((arg0, arg1, arg2, arg3, arg4, arg5, arg6, arg7)); }
    usdt:BIN:prov:indexed { print((arg0, arg1, arg2, arg3)); }
    usdt:BIN:prov:locals { print((arg0, arg1, arg2, arg3)); }
    usdt:BIN:prov:many { print((arg0, arg1)); }
    usdt:BIN:prov:twelve { print((arg0, arg9, arg11)); }
    usdt:BIN:prov:kinds { print((arg0, arg1, arg2)); }
    usdt:BIN:prov:asked { print(("asked", arg0)); }"#;

const NUMBERS: &str = "(-8, 200, -1600, 60000, -320000, 4000000000, -64000000000, 18364758544493064720)";

fn shown() -> Vec<&'static str> {
    vec![
        NUMBERS,
        NUMBERS,
        "(2, 20, -2, 1)",
        "(42, -42, -3, -300)",
        "(0, 0)",
        "(100, 200)",
        "(1, 10, 12)",
        "(-1, -2, 18446744073709551615)",
        "(asked, 0)",
    ]
}

/// The program; None, and said: there is no compiler, or no header.
fn provider(name: &str, flags: &[&str]) -> Option<PathBuf> {
    if !Path::new("/usr/include/x86_64-linux-gnu/sys/sdt.h").exists() && !Path::new("/usr/include/sys/sdt.h").exists() {
        println!("SKIP <sys/sdt.h>");
        return None;
    }
    build(name, "provider.c", flags).filter(|_| can_trace())
}

/// A program whose markers are in a library.
fn with_library() -> Option<(PathBuf, PathBuf)> {
    let library = provider("libweftprov.so", &["-O2", "-shared", "-fPIC", "-DLIBRARY"])?;
    let linked = library.to_string_lossy();
    // Behind the source, where the linker wants it.
    let flags = ["-Wl,--no-as-needed", "-L.", &format!("-Wl,-rpath,{}", folder().display()), &linked];
    Some((build("uses-provider", "uses_provider.c", &flags)?, library.clone()))
}

#[test]
fn every_argument() {
    for (name, flags) in [
        ("prov-O0", &["-O0", "-pie", "-fPIE"]),
        ("prov-O1", &["-O1", "-no-pie", "-fno-pie"]),
        ("prov-O2", &["-O2", "-pie", "-fPIE"]),
        ("prov-O3", &["-O3", "-no-pie", "-fno-pie"]),
    ] {
        let Some(path) = provider(name, flags) else { return };
        let tracer = Tracer::start(&EVERYTHING.replace("BIN", &path.to_string_lossy()), &[]);
        Rounds::start(&path).round();
        let (lines, said) = tracer.end();
        assert_eq!(lines, shown(), "{name}: {said}");
    }
}

/// Waits for lines.
struct Rounds(Child, BufReader<ChildStdout>);

impl Rounds {
    fn start(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).env("LD_LIBRARY_PATH", folder());
        let mut child = command.spawn().expect("it runs");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        Self(child, out)
    }

    /// What the semaphore was in this round.
    fn round(&mut self) -> u32 {
        self.0.stdin.as_mut().expect("piped").write_all(b"\n").expect("it reads");
        let mut line = String::new();
        self.1.read_line(&mut line).expect("it writes");
        line.trim().parse().expect("a number")
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn semaphores_are_raised_while_somebody_looks() {
    let Some(path) = provider("prov-asked", &["-O2"]) else { return };
    let script = format!("usdt:{}:prov:asked {{ @[pid] = count(); }}", path.display());
    let mut before = Rounds::start(&path);
    assert_eq!(before.round(), 0);
    let tracer = Tracer::start(&script, &[]);
    let mut later = Rounds::start(&path);
    // Two at once share the kernel's probe, which raises it.
    let second = Tracer::start(&script, &[]);
    assert_eq!((before.round(), later.round(), later.round()), (1, 1, 1));
    let (lines, said) = second.end();
    let of = |process: &Rounds, n: u32| format!("@[{}]: {n}", process.0.id());
    assert!(lines.contains(&of(&before, 1)) && lines.contains(&of(&later, 2)), "{lines:?} {said}");
    assert_eq!((before.round(), later.round()), (1, 1));
    let (lines, said) = tracer.end();
    assert!(lines.contains(&of(&before, 2)) && lines.contains(&of(&later, 3)), "{lines:?} {said}");
    assert_eq!((before.round(), later.round()), (0, 0));
    // Of one process alone.
    let tracer = Tracer::start(&script, &["-p", &before.0.id().to_string()]);
    assert_eq!((before.round(), later.round()), (1, 0));
    let (lines, said) = tracer.end();
    assert_eq!(lines, [of(&before, 1)], "{said}");
}

#[test]
fn markers_in_libraries() {
    let Some((program, library)) = with_library() else { return };
    let mut running = Rounds::start(&program);
    running.round();
    let pid = running.0.id().to_string();
    let full = format!("usdt:{}:prov:many", library.display());
    // By the library's path, by whatever the process has mapped, by wildcards.
    for target in [full.clone(), "usdt:*:prov:many".into(), "usdt::many".into(), "usdt:*libweftprov*:*:ma*".into()] {
        let tracer = Tracer::start(&format!("{target} {{ @[probe] = count(); }}"), &["-p", &pid]);
        running.round();
        let (lines, said) = tracer.end();
        assert_eq!(lines, [format!("@[{full}]: 2")], "{target}: {said}");
    }
    let listed = lines(&weftrace(&["list", "-p", &pid, "usdt:*:prov:*"]).stdout);
    assert!(listed.len() == 8 && listed.contains(&full), "{listed:?}");
    // In all processes, those that start later too.
    let tracer = Tracer::start(&format!("usdt:{}:* {{ @[pid, probe] = count(); }}", library.display()), &[]);
    let mut later = Rounds::start(&program);
    later.round();
    let (lines, said) = tracer.end();
    assert!(lines.contains(&format!("@[{}, {full}]: 2", later.0.id())), "{lines:?} {said}");
    let asked = lines.iter().filter(|l| l.contains(":asked")).count();
    assert_eq!((lines.len(), asked), (8, 1), "{lines:?}");
}

#[test]
fn what_cannot_be_had_is_said() {
    let Some(path) = provider("prov-said", &["-O2"]) else { return };
    let said = |script: &str| {
        let script = script.replace("BIN", &path.to_string_lossy());
        text(&bpftrace(&["-e", &script, "--dry-run"]).stderr)
    };
    assert!(said("usdt:BIN:prov:kinds { print(arg3); }").contains("8f@"));
    assert!(said("usdt:BIN:prov:twelve { print(arg12); }").contains("arg12"));
    assert!(said("usdt:BIN:prov:twelve { print(func); }").contains("func builtin can not be used with 'usdt'"));
    assert!(said("usdt:BIN:prov:twelv { }").contains("prov:twelve"));
}
