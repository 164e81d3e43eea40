//! The command line under bpftrace's name: usage, script flags, headers, layout, stages.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Output},
};

fn bpftrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace")).arg0("bpftrace").args(args).output().expect("the binary runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A directory of this test's own.
fn directory(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("weftrace-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("made");
    dir
}

#[test]
fn usage_stands_on_a_line_of_its_own() {
    let asked = bpftrace(&["-h"]);
    assert!(asked.status.success() && said(&asked).lines().any(|l| l == "USAGE:"), "{}", said(&asked));
    let wrong = bpftrace(&["-idonotexist"]);
    assert!(!wrong.status.success() && said(&wrong).lines().any(|l| l == "USAGE:"), "{}", said(&wrong));
}

#[test]
fn flags_of_scripts_are_told_and_checked() {
    let script = "BEGIN { print((getopt(\"aa\", 10, \"how many\"), getopt(\"cc\"))); exit() }";
    let help = bpftrace(&["-e", script, "--", "--help"]);
    assert_eq!(said(&help), "HINT: expected program options:\n--cc\n--aa: how many\n");
    let unknown = bpftrace(&["-e", script, "--", "--bb", "--dd=1"]);
    assert_eq!(
        said(&unknown),
        "ERROR: unexpected program command line options: --bb, --dd\nHINT: expected program options: --aa, --cc\n"
    );
    let wrong = bpftrace(&["-e", script, "--", "--aa=False"]);
    assert_eq!(said(&wrong), "ERROR: program command line option --aa invalid integer (value: False)\n");
    let none = bpftrace(&["-e", "BEGIN { exit() }", "--", "--help"]);
    assert_eq!(said(&none), "HINT: no custom program options defined.\n");
}

#[test]
fn headers_beside_the_script_and_of_directories() {
    let dir = directory("headers");
    fs::create_dir_all(dir.join("sub")).expect("made");
    fs::write(
        dir.join("own.h"),
        "#ifndef OWN_H\n#define OWN_H\n#include \"sub/more.h\"\n#define LIMIT 42\n#define MIN(a, b) ((a) < (b) ? (a) : (b))\n\
         typedef struct { unsigned char a; unsigned int b; } pair_t;\nextern int f(struct more *m);\n\
         static inline int g(int a) { return a + 1; }\n#endif\n",
    )
    .expect("written");
    fs::write(
        dir.join("sub/more.h"),
        "struct more { char c; long l __attribute__((aligned(16))); int (*fn)(int, void *); int arr[2][3]; };\n\
         enum level { LOW = 3, HIGH };\n",
    )
    .expect("written");
    let script = dir.join("script.bt");
    fs::write(
        &script,
        "#include \"own.h\"\n#include <linux/sched.h>\n\
         BEGIN { printf(\"%d %d %d %d %d %d\", LIMIT, MIN(9, 7), sizeof(pair_t), offsetof(struct more, l), sizeof(struct more), HIGH); exit() }\n",
    )
    .expect("written");
    let checked = Command::new(env!("CARGO_BIN_EXE_weftrace")).args(["dump", "--stage", "hir"]).arg(&script).output();
    let checked = said(&checked.expect("the binary runs"));
    assert!(checked.contains("42:") && checked.contains("16:") && !checked.contains("error"), "{checked}");
    let missing = bpftrace(&["-e", "#include <lol/no.h>\nBEGIN { }"]);
    assert!(
        said(&missing).contains("definitions.h:2:10: fatal error: 'lol/no.h' file not found"),
        "{}",
        said(&missing)
    );
    let by_directory = bpftrace(&[
        "-I",
        &dir.display().to_string(),
        "-d",
        "types",
        "--dry-run",
        "-e",
        "#include <own.h>\nBEGIN { print(LIMIT) }",
    ]);
    assert!(said(&by_directory).contains("42"), "{}", said(&by_directory));
    let _ = fs::remove_dir_all(&dir);
}

#[test]
fn layout_keeps_comments_spellings_and_empty_lines() {
    let dir = directory("fmt");
    let script = dir.join("script.bt");
    let before = "// A tool.\nBEGIN\n{\n\tprintf(\"hi\\x41 %d\\n\", 0x1f);  // trailing\n\t// own line\n\n\t$x=1+2*3;\n\n\n\tif ($x>3){ @a[$x]=count(); } else { $y = 1e6; /* in */ }\n\t// last\n}\n";
    let after = "// A tool.\nBEGIN {\n  printf(\"hi\\x41 %d\\n\", 0x1f); // trailing\n  // own line\n\n  $x = 1 + 2 * 3;\n\n  if ($x > 3) {\n    @a[$x] = count();\n  } else {\n    $y = 1e6; /* in */\n  }\n  // last\n}\n";
    fs::write(&script, before).expect("written");
    let path = script.display().to_string();
    assert_eq!(said(&bpftrace(&["--fmt", &path])), after);
    let written = Command::new(env!("CARGO_BIN_EXE_weftrace")).args(["fmt", "-w", &path]).status().expect("runs");
    assert!(written.success());
    assert_eq!(fs::read_to_string(&script).expect("readable"), after);
    let again = Command::new(env!("CARGO_BIN_EXE_weftrace")).args(["fmt", "--check", &path]).status().expect("runs");
    assert!(again.success());
    let _ = fs::remove_dir_all(&dir);
}

#[test]
fn stages_and_what_needs_llvm() {
    let types = bpftrace(&["-d", "types", "-e", "BEGIN { @a = 1; exit() }", "--dry-run"]);
    assert!(said(&types).starts_with("types\n-----\n"), "{}", said(&types));
    let codegen = bpftrace(&["-d", "codegen", "-e", "BEGIN { exit() }"]);
    assert!(!codegen.status.success() && said(&codegen).contains("there is no LLVM here"), "{}", said(&codegen));
}

#[test]
fn settings_are_checked() {
    let wrong = bpftrace(&["-e", "config = { bad_config=raw } begin {}"]);
    assert!(
        said(&wrong).starts_with("stdin:1:12-26: ERROR: bad_config: not a known configuration option\n"),
        "{}",
        said(&wrong)
    );
    let value = bpftrace(&["-e", "config = { stack_mode=foo } begin {}"]);
    assert!(
        said(&value)
            .contains("stack_mode: Invalid value for stack_mode: valid values are bpftrace, raw, perf, and build_id.")
    );
    let old = bpftrace(&["--dry-run", "-e", "config = { strlen=20 } begin { }"]);
    assert!(said(&old).contains("strlen has been renamed, please use max_strlen"), "{}", said(&old));
}

#[test]
fn times_in_the_first_block() {
    let script = r#"BEGIN { $e = elapsed; print((uint8)($e > 0 && $e < 10000000000));
        print(strftime("%H", 1) == strftime("%M", 1)); print(strftime("%H", 1) != strftime("%H", 2)); exit(); }"#;
    let output = bpftrace(&["-q", "-e", script]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1\ntrue\ntrue", "{}", said(&output));
}
