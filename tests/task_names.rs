//! `comm`, which is read where the kernel keeps it: as a key it is what the kernel's own helper gives, byte for byte.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::path::Path;
use traced::{build, folder, ready, traced_command};

/// Of every length: shorter than a word, as long as one, as long as names can be.
const NAMES: [&str; 6] = ["n", "seven77", "eighteig", "nine-nine", "fourteen-of-14", "fifteen-letters"];

#[test]
fn names_are_whole_and_nothing_follows_them() {
    if !ready("tp_btf") {
        println!("SKIP tp_btf");
        return;
    }
    let Some(program) = build("calls", "calls.c", &["-O1"]) else { return };
    let folder = folder().join("task-names");
    std::fs::create_dir_all(&folder).expect("a folder");
    for name in NAMES {
        let path = folder.join(name);
        let _ = std::fs::remove_file(&path);
        std::os::unix::fs::symlink(&program, &path).expect("a link");
        let command = format!("{} 1", path.display());
        // The second is read by the kernel's helper for text. One key each: names that differ behind their end would be two.
        let script = format!(
            "tracepoint:raw_syscalls:sys_enter /pid == cpid && args.id == 110/ {{
                 @[comm, comm == \"{name}\"] = count();
                 @other[str(curtask.comm)] = count();
             }}"
        );
        let (lines, said) = traced_command(&script, Path::new(&path), &command);
        assert!(said.trim().is_empty(), "{said}");
        let calls: Vec<&String> = lines.iter().filter(|l| l.starts_with("@[")).collect();
        let [line] = calls[..] else { panic!("{name}: {lines:?}") };
        let count = line.strip_prefix(&format!("@[{name}, true]: ")).unwrap_or_else(|| panic!("{name}: {line}"));
        assert!(count.parse::<u32>().is_ok_and(|n| n > 0), "{line}");
        assert!(lines.contains(&format!("@other[{name}]: {count}")), "{lines:?}");
    }
}
