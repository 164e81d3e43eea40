//! Names and debug information that a program doesn't have in itself: compressed, in files of their own, in files that several share.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use traced::{bpftrace, build, can_trace, checked, folder, text, traced, weftrace};

/// Runs a tool; false, and said: it isn't installed.
fn tool(name: &str, args: &[&str]) -> bool {
    let Ok(out) = Command::new(name).args(args).current_dir(folder()).output() else {
        println!("SKIP {name}");
        return false;
    };
    assert!(out.status.success(), "{name} {args:?}: {}", text(&out.stderr));
    true
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// types.c whole, and stripped of everything under another name.
fn stripped(name: &str, flags: &[&str]) -> Option<(PathBuf, PathBuf)> {
    let whole = build(&format!("{name}-whole"), "types.c", flags)?;
    let bare = folder().join(name);
    tool("strip", &["-o", shown(&bare), shown(&whole)]).then_some((whole, bare))
}

/// As Fedora's packages are made.
#[test]
fn symbols_that_are_compressed_in_the_program() {
    if !can_trace() {
        return;
    }
    let Some((whole, bare)) = stripped("mini", &["-g", "-O0"]) else { return };
    assert!(checked("uprobe:BIN:leaf { }", &bare).contains("leaf"), "it has no symbols yet");
    if !tool("objcopy", &["--only-keep-debug", shown(&whole), "mini.debug"])
        || !tool("strip", &["--strip-debug", "mini.debug"])
        || !tool("xz", &["-f", "mini.debug"])
        || !tool("objcopy", &["--add-section", ".gnu_debugdata=mini.debug.xz", shown(&bare)])
    {
        return;
    }
    let (lines, said) = traced("uprobe:BIN:leaf { print(ustack(3)); exit(); }", &bare);
    let names: Vec<&str> = lines.iter().filter_map(|l| l.trim().split_once('+').map(|(name, _)| name)).collect();
    assert_eq!(names[..1], ["leaf"], "{lines:?} {said}");
    assert!(names.contains(&"outer") && names.contains(&"main"), "{lines:?} {said}");
    // Damaged: no names, and no harm.
    fs::write(folder().join("bad.xz"), b"\xfd7zXZ\0\0\x04damaged").expect("written");
    let damaged = folder().join("mini-damaged");
    fs::copy(&whole, &damaged).expect("copied");
    if tool("strip", &[shown(&damaged)])
        && tool("objcopy", &["--add-section", ".gnu_debugdata=bad.xz", shown(&damaged)])
    {
        assert!(checked("uprobe:BIN:leaf { }", &damaged).contains("leaf"));
    }
}

/// `.gnu_debuglink`: told by its checksum where there is no build id, and another build's is not taken, for names neither.
#[test]
fn files_beside_the_program() {
    let Some((whole, bare)) = stripped("linked", &["-g", "-O1", "-Wl,--build-id=none"]) else { return };
    if !tool("objcopy", &["--only-keep-debug", shown(&whole), "linked.debug"])
        || !tool("objcopy", &["--add-gnu-debuglink=linked.debug", shown(&bare)])
    {
        return;
    }
    let parameters = || {
        let out = bpftrace(&["-lv", &format!("uprobe:{}:many", bare.display())]);
        text(&out.stdout)
    };
    assert!(parameters().contains("\n    int a\n"), "{}", parameters());
    assert!(checked("uprobe:BIN:leaf { }", &bare).is_empty());
    // In the folder for such files.
    let hidden = folder().join(".debug");
    fs::create_dir_all(&hidden).expect("made");
    fs::rename(folder().join("linked.debug"), hidden.join("linked.debug")).expect("moved");
    assert!(parameters().contains("\n    int a\n"), "{}", parameters());
    // Another build of it: where its functions are is not where this one's are.
    let other = build("linked-other", "types.c", &["-g", "-O0", "-Wl,--build-id=none"]).expect("a compiler");
    assert!(tool("objcopy", &["--only-keep-debug", shown(&other), ".debug/linked.debug"]));
    assert!(!parameters().contains("int a"), "{}", parameters());
    assert!(checked("uprobe:BIN:leaf { }", &bare).contains("leaf"), "names of another build");
}

/// `.gnu_debugaltlink`: types that several programs share were moved to a file of their own (dwz -m).
#[test]
fn files_that_programs_share() {
    if !can_trace() {
        return;
    }
    let flags = ["-g", "-gdwarf-4", "-O1", "-Wl,--build-id"];
    let Some(one) = build("shared-one", "types.c", &flags) else { return };
    let Some(two) = build("shared-two", "types.c", &[&flags[..], &["-DTWO"]].concat()) else { return };
    let common = folder().join("shared.common");
    if !tool("dwz", &["-m", shown(&common), "-r", shown(&one), shown(&two)]) {
        return;
    }
    assert!(common.exists(), "the two share types");
    let script = "uprobe:BIN:walk { print((args.n.value, args.n.name, args.n.next.name)); print(ustack(1)); }";
    let (lines, said) = traced(script, &one);
    assert_eq!(lines[0], "(1, first, second)", "{lines:?} {said}");
    assert!(lines[1].contains("walk+") && lines[1].contains("types.c:"), "{lines:?}");
    // Without the file the rest is still there.
    fs::remove_file(&common).expect("removed");
    let (lines, said) = traced("uprobe:BIN:walk { print(ustack(1)); }", &one);
    assert!(lines[0].contains("walk+"), "{lines:?} {said}");
}

/// The type of `victim`'s parameter, as assembler.
const ENDLESS: [(&str, &str); 3] = [
    ("array", ".uleb128 4\n .long .Ltype-.Linfo"),
    (
        "struct",
        ".uleb128 5\n .string \"S\"\n .byte 16\n .rept 6\n .uleb128 6\n .string \"m\"\n .long .Ltype-.Linfo\n .byte 0\n .endr\n .byte 0",
    ),
    (
        "function",
        ".uleb128 7\n .long .Lfn-.Linfo\n.Lfn:\n .uleb128 8\n .rept 3\n .uleb128 3\n .string \"p\"\n .long .Ltype-.Linfo\n .endr\n .byte 0",
    ),
];

/// Types that are within themselves: an array, a struct of six, a pointer to a function that takes three. They are told as what they are, soon.
#[test]
fn types_without_an_end() {
    for (name, ty) in ENDLESS {
        let source = include_str!("programs/endless.s").replace("@TYPE@", ty);
        let made = traced::built(&format!("endless-{name}"), |path| {
            let file = path.with_extension("s");
            fs::write(&file, source).expect("written");
            traced::compile(Command::new("cc").args(["-no-pie", "-o"]).arg(path).arg(&file), "cc")
        });
        let Some(program) = made else { return };
        let begun = Instant::now();
        let probe = format!("uprobe:{}:victim", program.display());
        let listed = weftrace(&["list", "-v", &probe]);
        assert!(listed.status.success(), "{name}: {}", text(&listed.stderr));
        let said = text(&listed.stdout) + &text(&listed.stderr);
        let told = if name == "struct" { "a type in it is within itself" } else { "<unknown type> x" };
        assert!(said.contains(told), "{name}: {said}");
        let checked = weftrace(&["check", "-e", &format!("{probe} {{ print(args.x); }}")]);
        assert!(checked.status.code().is_some_and(|code| code < 2), "{name}: {:?}", checked.status);
        assert!(begun.elapsed() < Duration::from_secs(20), "{name}: {:?}", begun.elapsed());
    }
}
