//! For tests that build a program and trace it.
#![allow(clippy::print_stdout, dead_code, reason = "tests say what they skip; each uses a part")]

pub mod nginx;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Output, Stdio},
    sync::{LazyLock, Mutex},
    time::{Duration, Instant},
};

/// Built already: tests run side by side, and none may find a program half written or replaced.
static BUILT: LazyLock<Mutex<HashMap<String, Option<PathBuf>>>> = LazyLock::new(Mutex::default);

/// What `weftrace doctor` says.
static DOCTOR: LazyLock<String> = LazyLock::new(|| text(&weftrace(&["doctor"]).stdout));

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The lines that are not empty.
pub fn lines(bytes: &[u8]) -> Vec<String> {
    text(bytes).lines().filter(|l| !l.trim().is_empty()).map(str::to_owned).collect()
}

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// The program of this name, made by the first who asks.
pub fn built(name: &str, make: impl FnOnce(&Path) -> Option<()>) -> Option<PathBuf> {
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let made = || {
        let path = folder().join(name);
        make(&path).map(|()| path)
    };
    built.entry(name.to_owned()).or_insert_with(made).clone()
}

/// Runs a compiler; None: it isn't installed.
pub fn compile(command: &mut Command, needs: &str) -> Option<()> {
    let Ok(out) = command.output() else {
        println!("SKIP {needs}");
        return None;
    };
    assert!(out.status.success(), "{}", text(&out.stderr));
    Some(())
}

/// A program of tests/programs, built with these flags; None: there is no compiler for it.
pub fn build(name: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let compiler = match source.rsplit('.').next() {
        Some("cpp") => "c++",
        Some("rs") => "rustc",
        _ => "cc",
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(source);
    // Where it is built, so that what is split off is beside it.
    built(name, |path| {
        let mut command = Command::new(compiler);
        compile(command.current_dir(folder()).args(flags).arg("-o").arg(path).arg(source), compiler)
    })
}

/// A Go program of tests/programs, built in one of the ways; None: there is no Go.
pub fn build_go(source: &str, name: &str, flags: &[&str]) -> Option<PathBuf> {
    let mut go = Command::new("go");
    go.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(source))
        .env("GOCACHE", folder().join("go-cache"))
        .env("GOPATH", folder().join("go-path"))
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=mod");
    built(name, |path| compile(go.args(["build", "-o"]).arg(path).args(flags).arg("."), "go"))
}

pub fn weftrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace")).args(args).output().expect("the binary runs")
}

/// The binary by its other name.
pub fn bpftrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace")).arg0("bpftrace").args(args).output().expect("the binary runs")
}

/// Whether a row of `weftrace doctor` says ready. There must be such a row: else all that asks for it would be skipped for ever.
pub fn ready(row: &str) -> bool {
    let rest = DOCTOR.lines().find_map(|l| l.trim_start().strip_prefix(row)?.strip_prefix(' '));
    rest.unwrap_or_else(|| panic!("doctor has no row {row}:\n{}", *DOCTOR)).trim_start().starts_with("ready")
}

/// Whether uprobes work here; says what is skipped if not.
pub fn can_trace() -> bool {
    let ready = ready("uprobe");
    if !ready {
        println!("SKIP uprobes");
    }
    ready
}

/// Whether blocks at sockets work here; says what is skipped if not.
pub fn can_watch_sockets() -> bool {
    let ready = ready("rawtracepoint");
    if !ready {
        println!("SKIP raw tracepoints");
    }
    ready
}

/// What a script prints while a command runs, without empty lines; and what it says. `BIN` stands for the program.
pub fn traced_command(script: &str, path: &Path, command: &str) -> (Vec<String>, String) {
    let script = script.replace("BIN", &path.to_string_lossy());
    let out = weftrace(&["run", "-q", "-e", &script, "-c", command]);
    (lines(&out.stdout), text(&out.stderr))
}

/// The same while the program itself runs.
pub fn traced(script: &str, path: &Path) -> (Vec<String>, String) {
    traced_command(script, path, &path.to_string_lossy())
}

/// The same by the binary's other name, with more options.
pub fn traced_by_bpftrace(script: &str, path: &Path, more: &[&str]) -> (Vec<String>, String) {
    let path = path.to_string_lossy();
    let script = script.replace("BIN", &path);
    let out = bpftrace(&[&["-e", &script, "-c", &path], more].concat());
    (lines(&out.stdout), text(&out.stderr))
}

/// What the checker says.
pub fn checked(script: &str, path: &Path) -> String {
    text(&weftrace(&["check", "-e", &script.replace("BIN", &path.to_string_lossy())]).stderr)
}

/// A run in the background, which has attached.
pub struct Tracer {
    /// None: it has ended.
    child: Option<Child>,
    /// What it said until everything was attached.
    pub started: String,
    said: BufReader<ChildStderr>,
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Tracer {
    pub fn start(script: &str, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_weftrace"))
            .args(["-e", script])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut said = BufReader::new(child.stderr.take().expect("piped"));
        let mut started = String::new();
        // The last that is said before the loop, with everything attached.
        while !started.contains("Ctrl-C ends") {
            assert!(said.read_line(&mut started).expect("text") > 0, "{script} ended early: {started}");
        }
        Self { child: Some(child), started, said }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// The same of one that ends by itself.
    pub fn ended(mut self) -> (Vec<String>, String) {
        let child = self.child.take().expect("ended once");
        self.said(child)
    }

    /// What it printed, and what it said at its end.
    pub fn end(mut self) -> (Vec<String>, String) {
        let child = self.child.take().expect("ended once");
        let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(interrupt.is_ok_and(|s| s.success()));
        self.said(child)
    }

    fn said(mut self, child: Child) -> (Vec<String>, String) {
        let out = child.wait_with_output().expect("it ends");
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("text");
        (lines(&out.stdout), said)
    }
}

/// What `printf` printed, of a run with `-f json`, sorted.
pub fn printed(lines: &[String]) -> Vec<String> {
    nginx::sorted(lines.iter().filter(|line| line.contains("\"printf\"")).cloned().collect())
}

/// Ends with its test: asked to, so that what it started ends with it (nginx's workers outlive a master that is killed).
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        for _ in 0..200 {
            if self.0.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether something comes true within a few seconds.
pub fn soon(is: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        if is() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Runs `ip`; whether it did what it was asked to.
pub fn ip(line: &str) -> bool {
    Command::new("ip").args(line.split(' ')).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}
