//! Scripts of the years when kernel headers were included: they check on a machine that has none. Types come from BTF,
//! constants from a small table.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

use std::{fs, path::Path, process::Command};

#[test]
fn scripts_with_kernel_headers_need_none() {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        println!("SKIP the kernel's types");
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/era");
    let mut scripts: Vec<_> = fs::read_dir(folder).expect("tests/era").flatten().map(|e| e.path()).collect();
    scripts.sort();
    assert!(scripts.len() >= 25);
    for script in scripts {
        let out =
            Command::new(env!("CARGO_BIN_EXE_weftrace")).arg("check").arg(&script).output().expect("weftrace runs");
        let said = String::from_utf8_lossy(&out.stderr);
        // What this host doesn't have or doesn't let us see is no fault of the script's.
        let absent =
            ["no tracepoint", "no kernel function", "not permitted", "could not", "has no kprobes", "can't be"];
        if !out.status.success() && absent.iter().any(|text| said.contains(text)) {
            println!("SKIP {}", script.display());
            continue;
        }
        assert!(out.status.success(), "{}:\n{said}", script.display());
    }
}
