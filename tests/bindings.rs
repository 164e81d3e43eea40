//! What `std/tcp` says of connections and their processes, against a server on loopback: tied while the connection lives, not after it.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

const PORT: u16 = 18_431;
const HANDED_PORT: u16 = 18_432;
const BACK_PORT: u16 = 18_433;
const TWICE_PORT: u16 = 18_434;
const RESET_PORT: u16 = 18_435;
const CONNECTIONS: usize = 3;
/// ms from one call of the server's to the next.
const EVERY: u64 = 20;

/// The anchor lasts from 200 ms before the server's end is closed to 500 ms after it; meanwhile its process goes on with its calls.
const SCRIPT: &str = r#"
import "std/tcp";
tracepoint:syscalls:sys_enter_getppid /comm == "beats"/ { emit beat.one(pid = pid); }
tracepoint:sock:inet_sock_set_state /args.newstate == 1 && args.sport == 18431/ { @opened[(uint64)args.skaddr] = nsecs; }
tracepoint:sock:inet_sock_set_state /args.newstate == 7 && args.oldstate != 10 && args.sport == 18431/ {
  // Without that nobody could say what the connection had before the run.
  emit closed.one(conn = conn((struct sock *)args.skaddr), start = nsecs - 200000000, end = nsecs + 500000000, opened = @opened[(uint64)args.skaddr]);
}
join closed {
  from c = closed.one();
  total c.start;
  accepted = count(tcp.accept_queue) by conn since 10s;
  beats = count(beat.one) by pid;
  timeout 30s;
}
"#;

/// A connection from when it was opened to when it was closed, and the calls of whoever serves it.
const HANDED: &str = r#"
import "std/tcp";
tracepoint:syscalls:sys_enter_getppid /comm == "beats"/ { emit beat.one(pid = pid); }
tracepoint:sock:inet_sock_set_state /args.newstate == 1 && args.sport == 18432/ { @opened[(uint64)args.skaddr] = nsecs; }
tracepoint:sock:inet_sock_set_state /args.newstate == 7 && args.oldstate != 10 && args.sport == 18432/ {
  $opened = @opened[(uint64)args.skaddr];
  emit closed.one(conn = conn((struct sock *)args.skaddr), start = $opened, end = nsecs, opened = $opened);
}
join handed { from c = closed.one(); beats = count(beat.one) by pid; timeout 30s; }
"#;

/// Runs a script in a network namespace of its own with tracefs, beside a role below; None: it can't be done here.
fn run(script: &str, role: &str) -> Option<String> {
    run_with(&["-e", script], role)
}

/// The same of a script that stands somewhere, with its flags.
fn run_with(script: &[&str], role: &str) -> Option<String> {
    let tracefs = "/sys/kernel/tracing";
    let setup = format!("ip link set lo up && {{ [ -e {tracefs}/events ] || mount -t tracefs t {tracefs}; }}");
    let can = Command::new("unshare").args(["-n", "-m", "sh", "-c", &setup]).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        println!("SKIP namespaces and tracefs");
        return None;
    }
    let me = std::env::current_exe().unwrap();
    let child = format!("sh -c 'exec {} --ignored --exact {role} > /dev/null'", me.display());
    let setup = format!("{setup} && exec \"$@\"");
    let output = Command::new("unshare")
        .args(["-n", "-m", "sh", "-c", &setup, "sh", env!("CARGO_BIN_EXE_weftrace"), "run", "-f", "json"])
        .args(["-c", &child])
        .args(script)
        .env("WEFTRACE_ROLE", "1")
        .output()
        .expect("unshare runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_connection_is_its_processs_until_it_is_closed() {
    let Some(out) = run(SCRIPT, "serves") else { return };
    let all = legs(&out);
    assert_eq!(all.len(), CONNECTIONS, "{out}");
    for legs in all {
        // A socket that is being closed has given its port back, and is the same connection still.
        assert_eq!(legs["accepted"]["value"], 1, "{legs}");
        let beats = legs["beats"]["value"].as_u64();
        assert!(beats.is_some_and(|n| (1..=200 / EVERY + 2).contains(&n)), "{legs}");
    }
}

/// The legs of each result.
fn legs(out: &str) -> Vec<serde_json::Value> {
    let lines = out.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter(|line| line["type"] == "join_result").map(|mut line| line["data"]["legs"].take()).collect()
}

/// Who accepts hands the connection to a child (inetd's way; a server that forks does the same), and goes on with its own work.
#[test]
fn a_connection_is_whoevers_that_serves_it() {
    let Some(out) = run(HANDED, "hands_over") else { return };
    let all = legs(&out);
    assert_eq!(all.len(), CONNECTIONS, "{out}");
    for legs in all {
        assert_eq!(legs["beats"]["value"], BEATS, "{legs}");
    }
}

/// Who accepted it serves it again when its child has, and may have kept it waiting since that one began to.
#[test]
fn a_connection_comes_back() {
    let script = HANDED.replace(&HANDED_PORT.to_string(), &BACK_PORT.to_string());
    let Some(out) = run(&script, "takes_back") else { return };
    let all = legs(&out);
    assert_eq!(all.len(), 1, "{out}");
    assert_eq!(all[0]["beats"]["value"], 6 * BEATS, "{out}");
}

/// The request that a server answers twice is the connection's that comes of it.
#[test]
fn a_repeated_syn_ack_is_its_connections() {
    if Command::new("nft").arg("--version").output().is_err() {
        return println!("SKIP nft");
    }
    let script = HANDED.replace(&HANDED_PORT.to_string(), &TWICE_PORT.to_string());
    let script =
        script.replace("beats = count(beat.one) by pid", "synack = count(tcp.retransmit_synack) by conn since 10s");
    let Some(out) = run(&script, "is_answered_twice") else { return };
    let all = legs(&out);
    assert_eq!(all.len(), 1, "{out}");
    let again = all[0]["synack"]["value"].as_u64();
    assert!(again.is_some_and(|n| (1..=2).contains(&n)), "{out}");
    assert_eq!(all[0]["synack"]["via"], "exact", "{out}");
}

/// A program that closes a connection with data that it didn't read resets it: of that server's port, which its socket has given back by then.
#[test]
fn a_reset_has_its_servers_port() {
    let Some(out) = run_with(&["tcp/resets", "--port", &RESET_PORT.to_string()], "resets") else { return };
    let sent =
        out.lines().any(|line| line.contains("\"@sent\"") && line.contains(&format!("\"127.0.0.1,{RESET_PORT}\": 1")));
    assert!(sent, "{out}");
}

/// Joins whose anchors know their process ask nobody who has the connection.
#[test]
fn bindings_are_looked_at_where_they_lead_somewhere() {
    let asks = |anchor: &str, leg: &str, more: &str| {
        let script = format!(
            "import \"std/tcp\"; rawtracepoint:sched_wakeup {{ emit one.thing({leg}); emit request.seen({anchor}, end = nsecs); }}
             {more} join j {{ from r = request.seen(); n = count(one.thing) by {}; }}",
            leg.split(' ').next().unwrap()
        );
        let mut dump = Command::new(env!("CARGO_BIN_EXE_weftrace"));
        let out = dump.args(["dump", "--stage", "plan", "-e", &script]).output().unwrap();
        let plan = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success() && plan.contains("request.seen"),
            "{script}\n{plan}{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let emits = |stream: &str| {
            plan.lines().any(|l| l.split("emits ").skip(1).any(|all| all.split(", ").any(|s| s == stream)))
        };
        (emits("binding.owner"), emits("binding.left"), emits("binding.closed"))
    };
    let conn = "conn = conn((struct sock *)0), start = nsecs";
    let served = "interval:s:1 { emit binding.serves(conn = conn((struct sock *)0), goroutine = (uint64)1, pid = pid, start = nsecs, end = nsecs); }";
    assert_eq!(asks(conn, "pid = pid", ""), (true, true, true));
    assert_eq!(asks(&format!("{conn}, pid = pid"), "pid = pid", ""), (false, false, false));
    // Whether the process has goroutines at all.
    assert_eq!(asks(conn, "goroutine = (uint64)1, pid = pid", served), (true, true, true));
    assert_eq!(asks(&format!("{conn}, pid = pid"), "goroutine = (uint64)1, pid = pid", served), (false, false, true));
}

/// Of the child for each connection. Its parent has others.
const BEATS: usize = 5;

fn beat(times: usize) {
    let beats = move || (0..times).for_each(|_| _ = std::os::unix::process::parent_id());
    thread::Builder::new().name("beats".into()).spawn(beats).unwrap().join().unwrap();
}

/// Whether a test was started as what a tracer watches.
fn is_role() -> bool {
    std::env::var_os("WEFTRACE_ROLE").is_some()
}

/// A client's end of a new connection, and the server's.
fn connected(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// A child that has it as its standard input.
fn hand(server: TcpStream) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--ignored", "--exact", "is_handed"])
        .stdin(OwnedFd::from(server))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "run by another"]
fn hands_over() {
    if !is_role() {
        return;
    }
    let listener = TcpListener::bind(("127.0.0.1", HANDED_PORT)).unwrap();
    for _ in 0..CONNECTIONS {
        let (mut client, server) = connected(&listener);
        let mut child = hand(server);
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        // The child has it.
        beat(3 * BEATS);
        client.write_all(b"x").unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        assert!(child.wait().unwrap().success());
    }
}

/// The first SYN-ACK is lost; its sender and the client both try again after a second.
#[test]
#[ignore = "run by another"]
fn is_answered_twice() {
    if !is_role() {
        return;
    }
    let rules = "table ip t { chain c { type filter hook output priority 0;
      tcp flags & (syn | ack) == (syn | ack) limit rate 1/hour burst 1 packets drop\n}\n}";
    assert!(Command::new("nft").arg(rules).status().unwrap().success());
    let (mut client, mut server) = connected(&TcpListener::bind(("127.0.0.1", TWICE_PORT)).unwrap());
    server.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

#[test]
#[ignore = "run by another"]
fn resets() {
    if !is_role() {
        return;
    }
    let (mut client, server) = connected(&TcpListener::bind(("127.0.0.1", RESET_PORT)).unwrap());
    client.write_all(b"unread").unwrap();
    // It is there: what is there is looked at, and left.
    assert_eq!(server.peek(&mut [0; 6]).unwrap(), 6);
    drop(server);
    assert!(client.read(&mut [0]).is_err(), "it was reset");
}

#[test]
#[ignore = "run by another"]
fn takes_back() {
    if !is_role() {
        return;
    }
    let (mut client, mut server) = connected(&TcpListener::bind(("127.0.0.1", BACK_PORT)).unwrap());
    let mut child = hand(server.try_clone().unwrap());
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    beat(3 * BEATS);
    client.write_all(b"xx").unwrap();
    assert!(child.wait().unwrap().success());
    server.read_exact(&mut [0]).unwrap();
    beat(2 * BEATS);
}

/// Serves the connection that is its standard input.
#[test]
#[ignore = "run by another"]
fn is_handed() {
    if !is_role() {
        return;
    }
    let mut server = TcpStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    server.read_exact(&mut [0]).unwrap();
    server.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
    beat(BEATS);
}

/// A server whose connections come and go while another of its threads works.
#[test]
#[ignore = "run by another"]
fn serves() {
    if !is_role() {
        return;
    }
    let beats = || {
        for _ in 0..2500 / EVERY {
            let _ = std::os::unix::process::parent_id();
            thread::sleep(Duration::from_millis(EVERY));
        }
    };
    let beats = thread::Builder::new().name("beats".into()).spawn(beats).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
    for _ in 0..CONNECTIONS {
        let (mut client, mut server) = connected(&listener);
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        thread::sleep(Duration::from_millis(300));
        drop(client);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        drop(server);
        thread::sleep(Duration::from_millis(100));
    }
    beats.join().unwrap();
}
