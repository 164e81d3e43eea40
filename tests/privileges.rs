//! Capabilities instead of root: scripts run as nobody with exactly what `weftrace doctor` says, fail as predicted with each one taken away.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

mod traced;

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};
use traced::{Running, soon, text};

/// Beside the build, or, where nobody can't go there, in the system's temporary directory.
fn reachable() -> PathBuf {
    let built = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let there = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set", "-all", "test", "-x"])
        .arg(built)
        .status();
    let name = "privileges";
    if there.is_ok_and(|s| s.success()) {
        built.join(name)
    } else {
        std::env::temp_dir().join(format!("weftrace-{name}"))
    }
}

/// A directory that nobody can reach, with the binary in it (the build's own may be below a closed home). None: no test here can run.
fn place() -> Option<&'static Path> {
    static PLACE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = PLACE.get_or_init(|| {
        let root = fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t0\t");
        let setpriv = Command::new("setpriv").arg("--version").output().is_ok_and(|o| o.status.success());
        if !(root && setpriv && traced::ready("rawtracepoint")) {
            println!("SKIP root");
            return None;
        }
        let dir = reachable();
        fs::create_dir_all(&dir).expect("writable");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("ours");
        let _ = fs::remove_file(dir.join("weftrace"));
        fs::hard_link(env!("CARGO_BIN_EXE_weftrace"), dir.join("weftrace"))
            .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_weftrace"), dir.join("weftrace")).map(drop))
            .expect("copied");
        fs::set_permissions(dir.join("weftrace"), fs::Permissions::from_mode(0o755)).expect("ours");
        Some(dir)
    });
    made.as_deref()
}

/// The binary as nobody with these capabilities. `mounted`: where tracefs is mounted, by a mount that only it sees.
fn nobody(set: &[String], mounted: bool) -> Command {
    let plus: Vec<String> = set.iter().map(|c| format!("+{}", c.to_lowercase().trim_start_matches("cap_"))).collect();
    let plus = if plus.is_empty() { "-all".to_owned() } else { plus.join(",") };
    let bound = if set.is_empty() { plus.clone() } else { format!("-all,{plus}") };
    let mut command = if mounted {
        let mut command = Command::new("unshare");
        // A machine may have one already.
        let script = "{ grep -q ' /sys/kernel/tracing tracefs ' /proc/mounts || mount -t tracefs tracefs /sys/kernel/tracing; } && exec \"$@\"";
        command.args(["-m", "sh", "-c", script, "sh", "setpriv"]);
        command
    } else {
        Command::new("setpriv")
    };
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.args(["--inh-caps", &plus, "--ambient-caps", &plus, "--bounding-set", &bound]);
    command.arg(place().expect("asked before").join("weftrace"));
    command
}

/// One script, and how one sees that it worked.
struct Case {
    script: String,
    more: Vec<String>,
    mounted: bool,
    /// In its output when it has all that it wants.
    shows: &'static str,
    /// What it can do without costs time, and changes nothing of the output.
    same: bool,
}

impl Case {
    fn new(script: impl Into<String>, shows: &'static str) -> Self {
        Self { script: script.into(), more: Vec::new(), mounted: false, shows, same: false }
    }

    fn with(mut self, more: &[&str]) -> Self {
        self.more.extend(more.iter().map(|m| (*m).to_owned()));
        self
    }

    fn run(&self, set: &[String]) -> Output {
        let mut command = nobody(set, self.mounted);
        command.args(&self.more).args(["-e", &self.script]).output().expect("setpriv runs")
    }

    fn doctor(&self, set: &[String]) -> Value {
        let out = nobody(set, self.mounted).args(["doctor", "-f", "json", "-e", &self.script]).output();
        let out = out.expect("setpriv runs");
        serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{}\n{}", self.script, text(&out.stderr)))
    }
}

fn names(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn without(set: &[String], one: &str) -> Vec<String> {
    set.iter().filter(|c| *c != one).cloned().collect()
}

/// What doctor says is enough, is needed, and nothing else is.
fn as_predicted(case: &Case) {
    let everything: Vec<String> = ["BPF", "PERFMON", "NET_RAW", "SYSLOG", "SYS_PTRACE", "DAC_READ_SEARCH", "SYS_ADMIN"]
        .iter()
        .map(|c| format!("CAP_{c}"))
        .collect();
    let said = case.doctor(&everything);
    let (set, needs) = (names(&said["set"]), names(&said["needs"]));
    assert!(names(&said["missing"]).is_empty(), "{}: {said}", case.script);
    let out = case.run(&set);
    let (shown, told) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(0), "{} with {set:?}\n{shown}{told}", case.script);
    assert!(shown.contains(case.shows), "{} with {set:?}\n{shown}{told}", case.script);
    for one in &needs {
        let rest = without(&set, one);
        let predicted = case.doctor(&rest);
        assert_eq!(names(&predicted["missing"]), [one.as_str()], "{} without {one}: {predicted}", case.script);
        let out = case.run(&rest);
        let told = text(&out.stderr);
        assert_eq!(out.status.code(), Some(3), "{} without {one}\n{told}", case.script);
        assert!(told.contains(one.as_str()) && told.contains("setcap"), "{} without {one}\n{told}", case.script);
        assert!(!told.contains("Operation not permitted"), "{} without {one}\n{told}", case.script);
    }
    for one in set.iter().filter(|c| !needs.contains(c)) {
        let rest = without(&set, one);
        let predicted = case.doctor(&rest);
        assert!(names(&predicted["missing"]).is_empty(), "{} without {one}: {predicted}", case.script);
        let out = case.run(&rest);
        assert_eq!(out.status.code(), Some(0), "{} without {one}\n{}", case.script, text(&out.stderr));
        assert_eq!(
            text(&out.stdout).contains(case.shows),
            case.same,
            "{} without {one}\n{}",
            case.script,
            text(&out.stdout)
        );
    }
}

/// Name, state, what it lacks.
type Told = (String, String, Vec<String>);

/// Each row of `weftrace doctor`.
fn checks(mut command: Command) -> Vec<Told> {
    let out = command.args(["doctor", "-f", "json"]).output().expect("runs");
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let said: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let text = |row: &Value, key: &str| row[key].as_str().expect("text").to_owned();
    let rows = said["checks"].as_array().expect("rows").iter();
    rows.map(|row| (text(row, "name"), text(row, "state"), names(&row["needs"]))).collect()
}

/// What root can, nobody can with the capabilities that doctor names, row by row.
#[test]
fn what_doctor_says_is_lacking_is_all_that_lacks() {
    if place().is_none() {
        return;
    }
    let root = checks(Command::new(place().expect("asked").join("weftrace")));
    let states = ["ready", "unsupported", "not permitted", "could not tell"];
    for (name, state, _) in &root {
        assert!(states.contains(&state.as_str()), "{name}: {state}");
    }
    let mut asked: BTreeMap<Vec<String>, Vec<Told>> = BTreeMap::new();
    let mut with = |set: &[String], at: usize| {
        let mut set = set.to_vec();
        set.sort();
        asked.entry(set.clone()).or_insert_with(|| checks(nobody(&set, false)))[at].clone()
    };
    for (at, (name, _, _)) in root.iter().enumerate().filter(|(_, (_, state, _))| state == "ready") {
        let mut set: Vec<String> = Vec::new();
        // What is behind the first obstacle is seen when that is gone.
        for _ in 0..3 {
            let (_, state, lacks) = with(&set, at);
            if state == "ready" {
                break;
            }
            assert!(state == "not permitted" && !lacks.is_empty(), "{name} with {set:?}: {state}");
            assert!(lacks.iter().all(|c| !set.contains(c)), "{name} with {set:?} lacks {lacks:?}");
            set.extend(lacks);
        }
        let (_, state, _) = with(&set, at);
        assert_eq!(state, "ready", "{name} with {set:?}");
    }
}

#[test]
fn kernel_probes() {
    if place().is_none() {
        return;
    }
    for case in [
        Case::new("interval:ms:10 { printf(\"tick\\n\"); exit(); }", "tick"),
        Case::new("BEGIN { @ = 1; print(@); exit(); }", "@: 1"),
        Case::new("rawtracepoint:sched_switch { @ = count(); exit(); } END { print(@); clear(@); }", "@: "),
        Case::new("software:page-faults:1 { printf(\"fault\\n\"); exit(); }", "fault"),
        Case::new("iter:task { @[comm] = count(); }", "@["),
        Case::new("profile:hz:499 { @[kstack(3)] = count(); }", "+").with(&["--for", "700ms"]),
    ] {
        as_predicted(&case);
    }
}

#[test]
fn tracepoints_with_tracefs_and_without() {
    if place().is_none() {
        return;
    }
    let case = || Case::new("tracepoint:sched:sched_switch { printf(\"%d\\n\", args.prev_pid >= 0); exit(); }", "1");
    as_predicted(&case());
    let mounted = Case { mounted: true, ..case() };
    let said = mounted.doctor(&[]);
    if names(&said["set"]).contains(&"CAP_SYS_ADMIN".to_owned()) {
        println!("SKIP mounts");
        return;
    }
    as_predicted(&mounted);
}

#[test]
fn packets() {
    if place().is_none() {
        return;
    }
    let counted = Case::new("pcap:lo { @ = count(); } END { printf(\"done\\n\"); }", "done").with(&["--for", "200ms"]);
    as_predicted(&Case { same: true, ..counted });
    as_predicted(
        &Case::new("pcap:lo { printf(\"%s\\n\", ip.src); } END { printf(\"done\\n\"); }", "done")
            .with(&["--for", "200ms"]),
    );
}

#[test]
fn what_can_run_runs() {
    if place().is_none() {
        return;
    }
    let script = "rawtracepoint:sched_switch { @k = count(); } interval:ms:20 { @t = count(); } pcap:lo { @p = count(); } \
                  END { printf(\"end\\n\"); }";
    let case = Case::new(script, "end").with(&["--for", "2s", "--partial"]);
    let out = case.run(&[]);
    let (shown, told) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(0), "{told}");
    assert!(shown.contains("end") && shown.contains("@t: ") && !shown.contains("@k: "), "{shown}");
    for refused in ["rawtracepoint:vmlinux:sched_switch did not attach", "pcap:lo did not attach"] {
        assert!(told.contains(refused), "{told}");
    }
    let notes = names(&case.doctor(&[])["notes"]);
    assert!(notes.iter().any(|n| n.contains("2 of 4 probes run")), "{notes:?}");
}

/// A program of tests/programs, built beside the binary.
fn built(name: &str, more: &[&str]) -> Option<PathBuf> {
    let path = place()?.join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/programs/{name}.c"));
    traced::compile(Command::new("cc").args(more).arg("-o").arg(&path).arg(source), "cc").map(|()| path)
}

/// The C library that a process maps, once it has.
fn mapped_libc(pid: u32) -> Option<String> {
    let libc = || {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("our child");
        let mut files = maps.lines().filter_map(|l| l.split_whitespace().nth(5));
        files.find(|p| p.contains("libc.so")).map(str::to_owned)
    };
    soon(|| libc().is_some());
    libc()
}

#[test]
fn stacks_of_a_program_that_only_its_owner_may_read() {
    let Some(program) = built("doze", &["-O1", "-fno-omit-frame-pointer"]) else { return };
    fs::set_permissions(&program, fs::Permissions::from_mode(0o711)).expect("ours");
    let dozing = Running(Command::new(&program).spawn().expect("runs"));
    let Some(libc) = mapped_libc(dozing.0.id()) else { return println!("SKIP a shared C library") };
    let filter = format!("/pid == {}/", dozing.0.id());
    let script = format!("uprobe:{libc}:clock_nanosleep {filter} {{ @[ustack(6)] = count(); }}");
    as_predicted(&Case::new(script, "outer_doze").with(&["--for", "500ms"]));
}

#[test]
fn markers() {
    let Some(program) = built("markers", &["-O1", "-fPIE", "-pie"]) else { return };
    let program = program.display().to_string();
    let script = format!("usdt:{program}:args:memory {{ printf(\"%d %d\\n\", arg0, arg1); }}");
    as_predicted(&Case::new(script, "10 20").with(&["-c", &program]));
}

#[test]
fn files_that_only_their_owner_may_read() {
    let Some(place) = place() else { return };
    let secret = place.join("secret");
    fs::write(&secret, "only for root\n").expect("writable");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("ours");
    let script = format!("interval:ms:10 {{ cat(\"{}\"); exit(); }}", secret.display());
    let case = Case::new(script, "only for root");
    let set = ["CAP_DAC_READ_SEARCH".to_owned()];
    let out = case.run(&set);
    assert!(text(&out.stdout).contains(case.shows), "{}", text(&out.stderr));
    let out = case.run(&[]);
    assert!(text(&out.stderr).contains("Permission denied"), "{}", text(&out.stderr));
    let wants = case.doctor(&[])["wants"].to_string();
    assert!(wants.contains("CAP_DAC_READ_SEARCH") && wants.contains("cat()"), "{wants}");
}

/// Written down, so that the document says what the table does.
#[test]
fn the_document_has_the_table() {
    use weftrace_probes::kernel::caps::TABLE;
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/privileges.md")).expect("there");
    for row in TABLE {
        let needs: Vec<String> = row.needs.iter().map(|(c, why)| format!("{} {why}", c.name())).collect();
        let line = format!("| {} | {} | {} |", row.what, needs.join("; "), row.without);
        assert!(document.contains(&line), "docs/privileges.md lacks:\n{line}");
    }
}
