//! `http:` blocks beside programs that move the encrypted bytes of TLS themselves (memory BIOs): each exchange is told with the connection that it was
//! on, or counted; never with another one.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Mutex, MutexGuard},
};
use traced::{Running, Tracer, nginx::certificate, ready};

const SCRIPT: &str = r#"
http:server:PORT { printf("server %s %d %d %d\n", http.exchange.uri, http.exchange.status, http.exchange.complete, tcp.srcport); }
http:client:PORT { printf("client %s %d %d %d\n", http.exchange.uri, http.exchange.status, http.exchange.complete, tcp.srcport); }"#;

/// What is within TLS is counted for the whole machine: one of these at a time. None: something isn't there.
fn alone() -> Option<MutexGuard<'static, ()>> {
    static ONE: Mutex<()> = Mutex::new(());
    can_run().then(|| ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn can_run() -> bool {
    let probes = ready("uprobe") && ready("rawtracepoint");
    if !probes {
        println!("SKIP uprobes or raw tracepoints");
    }
    let programs = [("openssl", "version"), ("python3", "--version")];
    let missing = programs.iter().find(|(name, arg)| Command::new(name).arg(arg).output().is_err());
    if let Some((name, _)) = missing {
        println!("SKIP {name}");
    }
    probes && missing.is_none()
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/own_bytes.py")
}

/// `libraries`: where its libraries are looked for first.
fn python(args: &[&str], libraries: Option<&Path>) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new("python3");
    if let Some(path) = libraries {
        command.env("LD_LIBRARY_PATH", path);
    }
    let mut child =
        command.arg(program()).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 runs");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    (child, out)
}

fn line(from: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    assert!(from.read_line(&mut line).expect("text") > 0, "it ended early");
    line.trim_end().to_owned()
}

struct Server {
    port: String,
    runs: Running,
}

impl Server {
    fn start(how: &str, version: &str) -> Self {
        Self::start_with(how, version, None)
    }

    fn start_with(how: &str, version: &str, libraries: Option<&Path>) -> Self {
        let home = traced::folder().join(format!("own-bytes-{how}-{version}-{}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a folder");
        certificate(&home).expect("openssl runs");
        let file = |name: &str| home.join(name).to_string_lossy().into_owned();
        let (runs, mut out) = python(&[how, &file("cert"), &file("key"), version], libraries);
        let port = line(&mut out);
        std::fs::remove_dir_all(home).expect("it is there");
        Self { port, runs: Running(runs) }
    }
}

/// A client whose connections are open. (Without us it ends by itself.)
struct Client {
    runs: Child,
    out: BufReader<ChildStdout>,
}

impl Client {
    fn open(server: &Server, connections: usize, count: usize) -> Self {
        let (runs, mut out) = python(&["ask", &server.port, &connections.to_string(), &count.to_string()], None);
        assert_eq!(line(&mut out), "open");
        Self { runs, out }
    }

    /// Asks, to the end: the local port of each connection by number.
    fn ask(mut self) -> BTreeMap<String, String> {
        let mut stdin = self.runs.stdin.take().expect("piped");
        stdin.write_all(b"\n").expect("it listens");
        let told = self.out.lines().map(|line| line.expect("text"));
        let pairs = told.filter_map(|line| line.split_once(' ').map(|(n, port)| (n.to_owned(), port.to_owned())));
        let ports = pairs.collect();
        assert!(self.runs.wait().expect("it ends").success());
        ports
    }
}

/// What one side told: each exchange once, whole, and with its own connection's port.
fn told(lines: &[String], side: &str, ports: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] != side {
            continue;
        }
        let number = words[1].split_once('?').and_then(|(_, id)| id.split_once('.')).expect("an id").0;
        assert_eq!(words[2..], ["200", "1", &ports[number]], "{line} {ports:?}");
        assert!(all.insert(words[1].to_owned()), "twice: {line}");
    }
    all
}

/// Messages within TLS that were counted.
fn lost(said: &str) -> usize {
    let count = |line: &str| line.split_once("lost ")?.1.split_once(" messages within TLS")?.0.parse().ok();
    // The last line has all of them.
    said.lines().rev().find_map(count).unwrap_or(0)
}

const CONNECTIONS: usize = 12;
const COUNT: usize = 10;

#[test]
fn sessions_whose_bytes_a_program_moves_have_their_sockets() {
    let Some(_alone) = alone() else { return };
    for version in ["TLSv1_3", "TLSv1_2"] {
        let server = Server::start("serve", version);
        let tracer = Tracer::start(&SCRIPT.replace("PORT", &server.port), &[]);
        let ports = Client::open(&server, CONNECTIONS, COUNT).ask();
        let (lines, said) = tracer.end();
        for side in ["server", "client"] {
            assert_eq!(told(&lines, side, &ports).len(), CONNECTIONS * COUNT, "{version} {side}: {lines:#?} {said}");
        }
        // (What is within TLS is counted for the whole machine: others may have some.)
        assert!(!said.contains("HTTP streams"), "{said}");
    }
}

/// Handshakes were before the run: what says whose a session is comes with its first messages, which are counted.
#[test]
fn sessions_older_than_the_run_are_found_by_their_messages() {
    let Some(_alone) = alone() else { return };
    let server = Server::start("serve", "TLSv1_3");
    let client = Client::open(&server, CONNECTIONS, COUNT);
    let tracer = Tracer::start(&SCRIPT.replace("PORT", &server.port), &[]);
    let ports = client.ask();
    let (lines, said) = tracer.end();
    for side in ["server", "client"] {
        let found = told(&lines, side, &ports);
        assert!(found.len() >= CONNECTIONS * (COUNT - 2), "{side}: {} {said}", found.len());
    }
    assert!(lost(&said) > 0, "{said}");
}

/// Nothing says there which socket's bytes a session had, or threads hand them on: what isn't told is counted, and none is told wrong.
#[test]
fn sessions_that_nobody_can_tell_apart_are_counted() {
    let Some(_alone) = alone() else { return };
    for how in ["batch", "pool"] {
        let server = Server::start(how, "TLSv1_3");
        let tracer = Tracer::start(&SCRIPT.replace("PORT", &server.port), &[]);
        let ports = Client::open(&server, CONNECTIONS, COUNT).ask();
        let (lines, said) = tracer.end();
        let all = CONNECTIONS * COUNT;
        assert_eq!(told(&lines, "client", &ports).len(), all, "{how}: {lines:#?} {said}");
        // A response that was counted is not there.
        let (answered, unanswered): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| !line.contains(" 0 0 "));
        let served = told(&answered, "server", &ports).len();
        let unanswered = unanswered.iter().map(|line| line.replace(" 0 0 ", " 200 1 ")).collect::<Vec<_>>();
        let half = told(&unanswered, "server", &ports).len();
        assert!(lost(&said) >= 2 * (all - served) - half, "{how}: {served} and {half} told: {said}");
        assert!(how == "pool" || served < all, "what is it for, then? {said}");
    }
}

/// A process with a view of files of its own has the system's library all the same: it is probed once.
#[test]
fn a_library_is_probed_once_whoever_shows_it() {
    let Some(_alone) = alone() else { return };
    let mut apart = Command::new("unshare");
    apart.args(["-m", "python3", "-c", "import ssl; print(1, flush=True); input()"]);
    let Ok(other) = apart.stdout(Stdio::piped()).stdin(Stdio::piped()).spawn() else {
        println!("SKIP unshare");
        return;
    };
    let mut other = Running(other);
    let mut out = BufReader::new(other.0.stdout.take().expect("piped"));
    let mut said = String::new();
    if out.read_line(&mut said).expect("text") == 0 {
        println!("SKIP mount namespaces");
        return;
    }
    let server = Server::start("serve", "TLSv1_3");
    let tracer = Tracer::start(&SCRIPT.replace("PORT", &server.port), &[]);
    let ports = Client::open(&server, 2, COUNT).ask();
    let (lines, said) = tracer.end();
    for side in ["server", "client"] {
        assert_eq!(told(&lines, side, &ports).len(), 2 * COUNT, "{side}: {lines:#?} {said}");
    }
    // Probed twice, each message would be counted once more.
    assert!(lost(&said) < 2 * COUNT, "{said}");
}

/// A library that only a program has, as a container's.
#[test]
fn libraries_of_running_programs_are_probed() {
    let Some(_alone) = alone() else { return };
    let system = library(&Server::start("serve", "TLSv1_3")).expect("python3 has libssl");
    let home = traced::folder().join(format!("own-library-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a folder");
    std::fs::copy(&system, home.join(system.file_name().expect("a file"))).expect("a copy");
    let server = Server::start_with("serve", "TLSv1_3", Some(&home));
    assert_eq!(library(&server).as_deref().and_then(Path::parent), Some(&*home));
    let tracer = Tracer::start(&SCRIPT.replace("PORT", &server.port), &[]);
    let ports = Client::open(&server, CONNECTIONS, COUNT).ask();
    let (lines, said) = tracer.end();
    // Each from another file, in any case.
    for side in ["server", "client"] {
        assert_eq!(told(&lines, side, &ports).len(), CONNECTIONS * COUNT, "{side}: {lines:#?} {said}");
    }
    std::fs::remove_dir_all(home).expect("it is there");
}

/// The library that a server has mapped.
fn library(server: &Server) -> Option<PathBuf> {
    let mapped = std::fs::read_to_string(format!("/proc/{}/maps", server.runs.0.id())).expect("it runs");
    let paths = mapped.lines().filter_map(|line| line.split_whitespace().nth(5)).map(PathBuf::from);
    paths.into_iter().find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libssl.so")))
}
