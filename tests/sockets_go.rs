//! `http:` blocks beside Go programs that speak TLS: what is seen in clear is what the programs' own logs say, each request once, of the
//! connection that it was on, while goroutines move between threads and stacks grow and shrink.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use traced::{Running, Tracer, build_go, folder, nginx::sorted, ready, soon};

const SCRIPT: &str = r#"
http:server:PORT {
  printf("S %d %s %s %d %d %d\n", tcp.srcport, http.exchange.method, http.exchange.uri, http.exchange.status, http.exchange.complete, pid);
}
http:client:PORT {
  printf("C %d %s %s %d %d %d\n", tcp.srcport, http.exchange.method, http.exchange.uri, http.exchange.status, http.exchange.complete, pid);
}"#;

fn program(name: &str, flags: &[&str]) -> Option<PathBuf> {
    if !ready("uprobe") || !ready("rawtracepoint") {
        println!("SKIP uprobes or raw tracepoints");
        return None;
    }
    build_go("gotls", name, flags)
}

/// A server, and its log.
struct Server {
    child: Running,
    port: u16,
    log: PathBuf,
}

fn log_of(name: &str) -> PathBuf {
    folder().join(format!("{name}-{}.log", std::process::id()))
}

fn run(path: &Path, args: &[&str]) -> Child {
    Command::new(path).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs")
}

fn line(child: &mut Child) -> String {
    let mut text = String::new();
    // Byte by byte, so that nothing is read ahead of the next call.
    BufReader::with_capacity(1, child.stdout.as_mut().expect("piped")).read_line(&mut text).expect("text");
    text.trim().to_owned()
}

impl Server {
    fn start(path: &Path, name: &str) -> Self {
        Self::start_by(path, &[], name)
    }

    /// By another program, which becomes it.
    fn start_by(program: &Path, args: &[&str], name: &str) -> Self {
        let log = log_of(name);
        let mut child = run(program, &[args, &["serve", &log.to_string_lossy()]].concat());
        let port = line(&mut child).parse().expect("a port");
        Self { child: Running(child), port, log }
    }

    fn logged(&self) -> Vec<String> {
        logged(&self.log)
    }

    fn tracer(&self, more: &[&str]) -> Tracer {
        Tracer::start(&SCRIPT.replace("PORT", &self.port.to_string()), more)
    }
}

fn logged(log: &Path) -> Vec<String> {
    sorted(fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect())
}

/// `port method path status` of one side.
fn side(lines: &[String], side: &str) -> Vec<String> {
    let mine = lines.iter().filter(|l| l.split(' ').next() == Some(side));
    sorted(mine.map(|l| l.split(' ').skip(1).take(4).collect::<Vec<_>>().join(" ")).collect())
}

/// What was lost of these programs' requests; of others on the machine there may be more that sockets don't show.
fn lost(said: &str) -> Vec<&str> {
    let others = ["io_uring", "messages within TLS", "reads of memory"];
    said.lines().filter(|l| l.contains("lost ") && !others.iter().any(|other| l.contains(other))).collect()
}

/// A client's requests, as both logs and both sides of the trace have them.
fn asked(path: &Path, name: &str, proto: &str, tracer: Tracer, server: &Server) {
    let log = log_of(&format!("{name}-client"));
    let port = server.port.to_string();
    let mut client = run(path, &["ask", &port, proto, &log.to_string_lossy(), "4", "12"]);
    let pid = client.id();
    assert!(client.wait().expect("it ends").success());
    assert!(soon(|| server.logged().len() == 48), "{:?}", server.logged());
    let (lines, said) = tracer.end();
    assert_eq!(side(&lines, "S"), server.logged(), "{name} {said}");
    assert_eq!(side(&lines, "C"), logged(&log), "{name} {said}");
    for line in &lines {
        let owner = if line.starts_with("S ") { server.child.0.id() } else { pid };
        assert!(line.ends_with(&format!(" 1 {owner}")), "{name}: complete, of {owner}: {line}");
    }
    assert!(lost(&said).is_empty(), "{name} {said}");
}

#[test]
fn http1_on_connections_that_stay() {
    for (name, flags) in [("gotls", &[][..]), ("gotls-bare", &["-ldflags=-s -w"]), ("gotls-pie", &["-buildmode=pie"])] {
        let Some(path) = program(name, flags) else { return };
        let name = format!("{name}-1");
        let server = Server::start(&path, &name);
        let tracer = server.tracer(&[]);
        asked(&path, &name, "1", tracer, &server);
    }
}

#[test]
fn http2_streams() {
    let Some(path) = program("gotls", &[]) else { return };
    let server = Server::start(&path, "gotls-2");
    let tracer = server.tracer(&[]);
    asked(&path, "gotls-2", "2", tracer, &server);
}

/// A program that does not run yet is named.
#[test]
fn a_program_by_its_path() {
    let Some(path) = program("gotls-named", &[]) else { return };
    let tracer = Tracer::start(&SCRIPT.replace(":PORT", ""), &["--", "--go", &path.to_string_lossy()]);
    let server = Server::start(&path, "gotls-named");
    let port = server.port.to_string();
    let log = log_of("gotls-named-client");
    let mut client = run(&path, &["ask", &port, "1", &log.to_string_lossy(), "2", "4"]);
    assert!(client.wait().expect("it ends").success());
    assert!(soon(|| server.logged().len() == 8), "{:?}", server.logged());
    let (mut lines, said) = tracer.end();
    let owners = [server.child.0.id(), client.id()].map(|pid| format!(" {pid}"));
    lines.retain(|l| owners.iter().any(|owner| l.ends_with(owner)));
    assert_eq!(side(&lines, "S"), server.logged(), "{said}");
    assert_eq!(side(&lines, "C"), logged(&log), "{said}");
    assert!(!said.contains("warning"), "{said}");
}

/// A program in another mount namespace is found by another path than the one that names it: its functions are probed once.
#[test]
fn a_program_by_two_paths() {
    let Some(path) = program("gotls", &[]) else { return };
    let server = Server::start_by(Path::new("unshare"), &["--mount", &path.to_string_lossy()], "gotls-apart");
    let tracer = Tracer::start(&SCRIPT.replace(":PORT", ""), &["--", "--go", &path.to_string_lossy()]);
    let (port, log) = (server.port.to_string(), log_of("gotls-apart-client"));
    let mut client = run(&path, &["ask", &port, "1", &log.to_string_lossy(), "2", "4"]);
    assert!(client.wait().expect("it ends").success());
    assert!(soon(|| server.logged().len() == 8), "{:?}", server.logged());
    let (lines, said) = tracer.end();
    let mine: Vec<String> = lines.into_iter().filter(|l| l.ends_with(&format!(" {}", server.child.0.id()))).collect();
    assert_eq!(side(&mine, "S"), server.logged(), "{said}");
    assert!(lost(&said).is_empty(), "{said}");
}

const HANDLED: &str = r#"
import "std/http_sockets"; import "std/go";
join served { from r = http.request(); handler = count(go.handler) by goroutine; }
join:served { printf("H %s%s %d\n", handler.state, handler.reason, r.pid); }"#;

/// Which goroutine handled a request is known of a stripped program too. Over HTTP/2 nothing tells it: that it had none is not said.
#[test]
fn who_handles_requests() {
    for (name, flags) in [("gotls", &[][..]), ("gotls-bare", &["-ldflags=-s -w"])] {
        let Some(path) = program(name, flags) else { return };
        for (proto, state) in [("1", "value"), ("2", "unknownno binding")] {
            let server = Server::start(&path, &format!("{name}-handled-{proto}"));
            // A handler returns after its response was sent.
            let more = ["--lateness", "kernel=1s", "--", "--go", &path.to_string_lossy()];
            let tracer = Tracer::start(HANDLED, &more);
            let (port, log) = (server.port.to_string(), log_of(&format!("{name}-handled-client")));
            let mut client = run(&path, &["ask", &port, proto, &log.to_string_lossy(), "2", "6"]);
            assert!(client.wait().expect("it ends").success());
            assert!(soon(|| server.logged().len() == 12), "{:?}", server.logged());
            let (mut lines, said) = tracer.end();
            let pid = server.child.0.id();
            lines.retain(|line| line.ends_with(&format!(" {pid}")));
            assert_eq!(lines, vec![format!("H {state} {pid}"); 12], "{name} {proto} {said}");
        }
    }
}

/// Requests before their answers, through buffers on a stack that is made smaller and larger meanwhile.
#[test]
fn pipelined_from_a_stack_that_moves() {
    let Some(path) = program("gotls", &[]) else { return };
    let server = Server::start(&path, "gotls-raw");
    let tracer = server.tracer(&[]);
    for _ in 0..4 {
        assert!(run(&path, &["raw", &server.port.to_string()]).wait().expect("it ends").success());
    }
    assert!(soon(|| server.logged().len() == 20), "{:?}", server.logged());
    let (lines, said) = tracer.end();
    assert_eq!(side(&lines, "S"), server.logged(), "{lines:#?} {said}");
    assert_eq!(side(&lines, "C"), server.logged(), "{lines:#?} {said}");
    assert!(lost(&said).is_empty(), "{said}");
}

/// A connection that is older than the run: its goroutines wait in a Read that no entry was seen of.
#[test]
fn a_connection_from_before() {
    let Some(path) = program("gotls", &[]) else { return };
    let server = Server::start(&path, "gotls-old");
    let mut client = run(&path, &["old", &server.port.to_string()]);
    assert_eq!(line(&mut client), "0");
    let tracer = server.tracer(&[]);
    for i in 1..4 {
        client.stdin.as_mut().expect("piped").write_all(b"\n").expect("it reads");
        assert_eq!(line(&mut client), i.to_string());
    }
    assert!(soon(|| server.logged().len() == 4), "{:?}", server.logged());
    let (lines, said) = tracer.end();
    drop(client.stdin.take());
    assert!(client.wait().expect("it ends").success());
    let expected: Vec<String> = server.logged().into_iter().filter(|l| !l.contains("/ok/0 ")).collect();
    assert_eq!(side(&lines, "S"), expected, "{lines:#?} {said}");
    assert_eq!(side(&lines, "C"), expected, "{lines:#?} {said}");
}
