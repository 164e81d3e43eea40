//! Stacks of processes that have ended, of replaced files, in the vdso, in other mount namespaces, without frame pointers.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    fs,
    io::{Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Instant,
};
use traced::{Tracer, build, can_trace, folder, text, traced_command, weftrace};

const FRAMES: [&str; 4] = ["-g", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls"];
const NO_FRAMES: [&str; 4] = ["-g", "-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"];

fn library(name: &str, flags: &[&str]) -> Option<PathBuf> {
    build(name, "callback.c", &[&["-shared", "-fPIC", "-O1", "-fno-omit-frame-pointer"], flags].concat())
}

/// Functions of a stack's lines, innermost first.
fn names(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|l| l.trim().rsplit_once('+').map(|(name, _)| name)).collect()
}

/// A program of ours that waits: it writes a byte when it does, and one for each that it has read and acted on.
struct Waiting(Child);

impl Waiting {
    /// None: it ended instead.
    fn start(command: &mut Command) -> Option<Self> {
        let mut waiting = Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs"));
        waiting.waits().then_some(waiting)
    }

    fn waits(&mut self) -> bool {
        self.0.stdout.as_mut().expect("piped").read_exact(&mut [0]).is_ok()
    }

    fn call(&mut self) {
        self.0.stdin.as_mut().expect("piped").write_all(b"x").expect("it reads");
        assert!(self.waits(), "it ended");
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
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
    // Its map prints when it is gone.
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
    let mut program = Waiting::start(Command::new(&path).arg(&lib).arg("wait")).expect("it waits");
    // Another file, where the address is in another function.
    fs::copy(&new, lib.with_extension("tmp"))
        .and_then(|_| fs::rename(lib.with_extension("tmp"), &lib))
        .expect("replaced");
    program.call();
    drop(program);
    let (lines, said) = tracer.end();
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
    let Some(mut program) = Waiting::start(Command::new("unshare").args(["-m", "sh", "-c", &inside])) else {
        return println!("SKIP mount namespaces");
    };
    let pid = program.0.id().to_string();
    let listed = |more: &[&str]| {
        text(&weftrace(&[&["list"], more, &[&format!("uprobe:{}:*", shared.display())]].concat()).stdout)
    };
    assert!(!listed(&[]).contains("in_the_way"));
    assert!(listed(&["-p", &pid]).contains("in_the_way"), "{}", listed(&["-p", &pid]));
    // Called again by what is written to it; the stack has the names of the library that is there.
    let script = format!("uprobe:{}:leaf {{ print(ustack); }}", path.display());
    let tracer = Tracer::start(&script, &["-p", &pid]);
    program.call();
    let (lines, said) = tracer.end();
    assert_eq!(names(&lines)[..2], ["leaf", "main"], "{lines:?} {said}");
}

/// Keys of maps: unwound in user space, which updates the map.
#[test]
fn without_frame_pointers_as_keys() {
    let Some(path) = build("stacks-keys", "stacks.c", &NO_FRAMES).filter(|_| can_trace()) else { return };
    let lib = build("stacks-keys.so", "callback.c", &["-shared", "-fPIC", "-O2", "-fomit-frame-pointer"]);
    let command = format!("{} {} 5", path.display(), lib.expect("a compiler").display());
    let (lines, said) = traced_command(
        r#"config = { show_debug_info = 0 }
        uprobe:BIN:leaf /arg0 < 5/ { @n[dw_ustack] = count(); @calls++; }
        uprobe:BIN:leaf /arg0 == 1/ {
            $stack = dw_ustack(2);
            @pairs[$stack, comm] = sum(3); @high[dw_ustack(1)] = max(arg0); @low[dw_ustack(1)] = min(arg0);
            @steps[dw_ustack(1)]++; @last[dw_ustack(1), "x"] = arg0; @times[dw_ustack(raw, 1)] = hist(arg0);
            @all[dw_ustack(1)] = stats(arg0);
        }
        END {
            for ($kv : @pairs) { printf("pair %s%s %d %d\n", $kv.0.0, $kv.0.1, (int64)$kv.1, len(@pairs)); }
            clear(@pairs);
        }"#,
        &path,
        &command,
    );
    let all = lines.join("\n");
    // Every call is in one of the stacks; each stack is whole.
    let calls: u64 = all.split("@calls: ").nth(1).and_then(|n| n.lines().next()?.parse().ok()).expect("counted");
    let counted: Vec<&str> = all.split("@n[").skip(1).collect();
    let number = |s: &&str| s.split("]: ").nth(1).and_then(|n| n.lines().next()?.parse::<u64>().ok()).expect("a count");
    assert_eq!(counted.iter().map(number).sum::<u64>(), calls, "{all} {said}");
    assert!(counted.len() > 2 && counted.len() < 20, "{all}");
    assert!(
        counted.iter().all(|s| s.split("]: ").next().is_some_and(|s| s.contains("leaf+0") && s.contains("_start+")))
    );
    for wanted in ["leaf+0\n        compare+", "leaf+0\n        handler+", "leaf+0\n        call_back+"] {
        assert!(all.contains(wanted), "{wanted}: {all}");
    }
    assert!(
        all.contains("pair \n        leaf+0\n") && all.contains("stacks-keys ") && !all.contains("@pairs["),
        "{all}"
    );
    for (map, value) in [("high", "]: 1"), ("low", "]: 1"), ("last", ", x]: 1"), ("all", "]: { .count")] {
        let found = all.split(&format!("@{map}[")).nth(1).expect(map);
        assert!(found.trim_start().starts_with("leaf+0") && found.contains(value), "{map}: {found}");
    }
    assert!(all.contains("@steps[") && all.contains("@times["), "{all}");
    let check = |script: &str| {
        let script = script.replace("BIN", &path.to_string_lossy());
        text(&weftrace(&["check", "-e", &script]).stderr)
    };
    for refused in
        ["print(@[dw_ustack])", "delete(@[dw_ustack])", "if (@[dw_ustack] > 1) { exit() }", "@[dw_ustack] += 2"]
    {
        let update = if refused.contains("print") { "@[dw_ustack] = count();" } else { "@[dw_ustack]++;" };
        let said = check(&format!("uprobe:BIN:leaf {{ {update} {refused}; }}"));
        assert_eq!(said.matches("error").count(), 1, "{refused}: {said}");
        assert!(said.contains("is not known in the probe"), "{refused}: {said}");
    }
    let said = check("uprobe:BIN:leaf { @[dw_ustack] = count(); } uprobe:BIN:main { print(len(@)); }");
    assert!(said.contains("kept in user space") && said.matches("error").count() == 1, "{said}");
}
