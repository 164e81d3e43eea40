#![allow(clippy::print_stdout, reason = "tests say what they skip")]
use super::{ElfError, Wanted, functions, layout, table};
use std::path::Path;

fn own() -> std::path::PathBuf {
    std::env::current_exe().expect("own path")
}

/// Release builds of the tests have no symbols of their own.
fn stripped() -> bool {
    let none = table(&own(), Path::new("")).expect("reads").1.len() < 100;
    if none {
        println!("SKIP own symbols (stripped)");
    }
    none
}

#[inline(never)]
fn weftrace_elf_test_marker(x: u64) -> u64 {
    std::hint::black_box(x) + 1
}

#[test]
fn own_functions_have_file_offsets() {
    assert_eq!(weftrace_elf_test_marker(1), 2);
    if stripped() {
        return;
    }
    let found = functions(&own(), Path::new(""), &Wanted::new("*weftrace_elf_test_marker*")).expect("reads");
    assert_eq!(found.len(), 1);
    let f = &found[0];
    assert!(f.size > 0 && f.file_offset > 0);
    let layout = layout(&own()).expect("reads");
    assert_eq!(layout.to_address(f.file_offset), Some(f.address));
    // The bytes in the file are those in memory.
    let file = std::fs::read(own()).expect("reads");
    let code = &file[f.file_offset as usize..][..4];
    assert!(code.iter().any(|b| *b != 0));
}

#[test]
fn rust_names_match_demangled() {
    if stripped() {
        return;
    }
    let found = functions(
        &own(),
        Path::new(""),
        &Wanted::new("weftrace_probes::symbols::elf::tests::own_functions_have_file_offsets"),
    )
    .expect("reads");
    assert!(!found.is_empty());
}

#[test]
fn tables_are_sorted_and_unique() {
    if stripped() {
        return;
    }
    let (_, table) = table(&own(), Path::new("")).expect("reads");
    assert!(table.len() > 100 && table.windows(2).all(|w| w[0].0 < w[1].0));
}

#[test]
fn other_files_are_errors() {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(matches!(layout(&text), Err(ElfError::NotElf { .. })));
    assert!(matches!(layout(Path::new("/no/such")), Err(ElfError::Io { .. })));
    assert!(matches!(layout(Path::new("/proc")), Err(ElfError::NotElf { .. })));
}

#[test]
fn cut_files_are_errors_not_panics() {
    let whole = std::fs::read("/bin/true").expect("reads");
    let dir = std::env::temp_dir().join(format!("weftrace-elf-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("dir");
    let path = dir.join("cut");
    for keep in [5, 16, 64, 200, whole.len() / 2, whole.len() - 40] {
        std::fs::write(&path, &whole[..keep]).expect("write");
        let _ = functions(&path, Path::new(""), &Wanted::new("*"));
    }
    // Headers overwritten byte by byte.
    for at in 0..64 {
        let mut bent = whole.clone();
        bent[at] ^= 0xff;
        std::fs::write(&path, &bent).expect("write");
        let _ = functions(&path, Path::new(""), &Wanted::new("*"));
    }
    std::fs::remove_dir_all(&dir).expect("cleanup");
}
