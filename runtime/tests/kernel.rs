//! Whole runs with the kernel: programs written by hand, so that nothing of the compiler is needed.
#![allow(unsafe_code, reason = "makes system calls to be traced, and sends signals to itself")]

mod common;

use common::{Shared, alone, getppid_artifact, is_root, probe, sink};
use std::{ffi::OsString, thread, time::Duration};
use weftrace_artifact::{
    action::{ActionKind, Piece},
    map::{Kind, MapId, Role},
    plan::{Unit, Way},
    program::ProgType,
    ty::Type,
};
use weftrace_runtime::{Ended, Error, Outcome, Session, SessionOptions, losses::LossKind};

/// Not a test: the traced program. Calls getppid so often, 0: until it is ended.
#[test]
#[ignore = "run by the tests below as their child"]
fn getppid_loop() {
    let calls: u64 = std::env::var("WEFTRACE_TEST_CALLS").ok().and_then(|v| v.parse().ok()).expect("a number");
    let mut done = 0;
    while calls == 0 || done < calls {
        // SAFETY: takes nothing.
        unsafe { libc::syscall(libc::SYS_getppid) };
        done += 1;
    }
}

fn child(calls: u64) -> Vec<OsString> {
    let exe = std::env::current_exe().expect("own path");
    let calls = format!("WEFTRACE_TEST_CALLS={calls}");
    vec![
        "env".into(),
        calls.into(),
        exe.into(),
        "--exact".into(),
        "getppid_loop".into(),
        "--ignored".into(),
        "-q".into(),
    ]
}

fn counted(text: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix("@n: ")).expect("the map was printed");
    line.parse().expect("a number")
}

fn lost(outcome: &Outcome) -> u64 {
    outcome.lost.iter().filter(|l| l.kind == LossKind::RingFull).map(|l| l.count).sum()
}

#[test]
fn produced_is_delivered_plus_told_lost() {
    if !is_root() {
        println!("SKIP root");
        return;
    }
    let _alone = alone();
    let (out, err) = (Shared::default(), Shared::default());
    let options = SessionOptions { command: child(1_000_000), ..SessionOptions::default() };
    let session = Session::new(getppid_artifact(4096), options).expect("maps");
    let running = session.start(sink(&out, &err)).expect("attached");
    assert_eq!(running.attached(), 1);
    let outcome = running.run().expect("ran");
    assert_eq!(outcome.ended, Ended::ProcessEnded);
    let text = out.text();
    let produced = counted(&text);
    assert!(produced >= 1_000_000, "{produced}");
    assert_eq!(outcome.delivered + lost(&outcome), produced);
    assert_eq!(text.lines().filter(|l| *l == "7").count() as u64, outcome.delivered);
    assert!(lost(&outcome) > 0, "a ring of a page is too small for this");
    let told: u64 =
        err.text().lines().filter_map(|l| l.strip_prefix("Lost ")?.strip_suffix(" events")?.parse::<u64>().ok()).sum();
    assert_eq!(told, lost(&outcome), "{}", err.text());
    assert!(err.text().starts_with("Attached 1 probe\n"), "{}", err.text());
    println!("produced {produced}, delivered {}, lost {}", outcome.delivered, lost(&outcome));
}

#[test]
fn a_signal_in_mid_stream_drains_the_ring() {
    if !is_root() {
        println!("SKIP root");
        return;
    }
    let _alone = alone();
    let (out, err) = (Shared::default(), Shared::default());
    let options = SessionOptions { command: child(0), cost: true, ..SessionOptions::default() };
    let session = Session::new(getppid_artifact(1 << 20), options).expect("maps");
    let running = session.start(sink(&out, &err)).expect("attached");
    let killer = thread::spawn(|| {
        thread::sleep(Duration::from_millis(400));
        // SAFETY: this process handles the signal: a session runs.
        unsafe { libc::kill(libc::getpid(), libc::SIGINT) };
    });
    let outcome = running.run().expect("ran");
    killer.join().expect("signalled");
    assert_eq!(outcome.ended, Ended::Signal(libc::SIGINT));
    let produced = counted(&out.text());
    assert!(produced > 1000, "{produced}");
    assert_eq!(outcome.delivered + lost(&outcome), produced);
    assert_eq!(outcome.cost.len(), 1);
    assert!(outcome.cost[0].runs >= produced / 2 && outcome.cost[0].ns > 0, "{:?}", outcome.cost);
    println!("produced {produced}, lost {}, {} ns a run", lost(&outcome), outcome.cost[0].per_run());
}

/// `print(@m); clear(@m)` while events come: what is counted between the two is in this print or in the next.
#[test]
fn printing_and_clearing_loses_nothing() {
    if !is_root() || cfg!(not(target_arch = "x86_64")) {
        println!("SKIP root on x86-64");
        return;
    }
    let _alone = alone();
    let mut artifact = getppid_artifact(4096);
    let mut by_key = common::map("@m", Role::Script, Kind::PercpuHash, 8, 10);
    (by_key.key, by_key.presence) = (Some(Type::U32), None);
    artifact.maps[2] = artifact.maps[1].clone();
    artifact.maps[1] = artifact.maps[0].clone();
    artifact.maps[0] = by_key;
    artifact.programs = vec![common::hashing_program()];
    artifact.actions = vec![
        common::action(ActionKind::PrintMap { map: MapId(0), top: 0, div: 0 }, 0),
        common::action(ActionKind::Clear { map: MapId(0) }, 0),
    ];
    artifact.handlers = common::handlers(&[&[0, 1]]);
    artifact.probes.push(probe("interval:ms:2", Unit::Native(0), Way::Interval { ns: 2_000_000 }));
    let (out, err) = (Shared::default(), Shared::default());
    let options = SessionOptions { command: child(1_000_000), ..SessionOptions::default() };
    let running = Session::new(artifact, options).expect("maps").start(sink(&out, &err)).expect("attached");
    running.run().expect("ran");
    let text = out.text();
    let prints: Vec<u64> = text.lines().filter_map(|l| l.strip_prefix("@m[0]: ")?.parse().ok()).collect();
    let (produced, printed) = (counted(&text), prints.iter().sum::<u64>());
    assert!(produced >= 1_000_000 && prints.len() > 20, "{produced} in {}", prints.len());
    // A program that is between its look-up and its addition when the element is taken adds to what nobody reads: one event per
    // CPU and print at most, and in practice almost none.
    assert!(
        printed <= produced && produced - printed <= prints.len() as u64,
        "{printed} of {produced} in {}",
        prints.len()
    );
    println!("{printed} of {produced} in {} prints", prints.len());
}

#[test]
fn one_bad_probe_takes_no_other_down_unless_strict() {
    if !is_root() {
        println!("SKIP root");
        return;
    }
    let _alone = alone();
    let mut artifact = getppid_artifact(4096);
    let missing = Way::Tracepoint { category: "tcp".into(), event: "tcp_enter_loss".into() };
    artifact.probes.push(probe("tracepoint:tcp:tcp_enter_loss", Unit::Kernel(0), missing));
    let options = SessionOptions { command: vec!["true".into()], ..SessionOptions::default() };

    let (out, err) = (Shared::default(), Shared::default());
    let running =
        Session::new(artifact.clone(), options.clone()).expect("maps").start(sink(&out, &err)).expect("one attached");
    assert_eq!(running.failures().len(), 1);
    assert_eq!(running.failures()[0].probe, "tracepoint:tcp:tcp_enter_loss");
    drop(running);
    assert!(err.text().contains("WARNING: tracepoint:tcp:tcp_enter_loss did not attach"), "{}", err.text());

    let strict = SessionOptions { strict: true, ..options };
    let started = Session::new(artifact, strict).expect("maps").start(sink(&out, &err));
    assert!(matches!(started, Err(Error::Attach { .. })));
}

#[test]
fn kernel_begin_and_end_run_once() {
    if !is_root() {
        println!("SKIP root");
        return;
    }
    let _alone = alone();
    let mut artifact = getppid_artifact(4096);
    artifact.programs = vec![common::counting_program(ProgType::RawTracepoint)];
    artifact.probes = vec![probe("BEGIN", Unit::Kernel(0), Way::Begin), probe("END", Unit::Kernel(0), Way::End)];
    artifact.actions[0].kind = ActionKind::Printf(vec![Piece::Text("ran\n".into())]);
    let (out, err) = (Shared::default(), Shared::default());
    let running =
        Session::new(artifact, SessionOptions::default()).expect("maps").start(sink(&out, &err)).expect("ran");
    let outcome = running.run().expect("ran");
    assert_eq!(outcome.ended, Ended::NothingLeft);
    assert_eq!(out.text(), "ran\nran\n\n\n@n: 2\n");
    assert_eq!(err.text(), "Attached 2 probes\n");
}

#[cfg(feature = "live")]
#[test]
fn packets_of_loopback() {
    use weftrace_artifact::Artifact;
    if !is_root() || cfg!(not(target_arch = "x86_64")) {
        println!("SKIP root on x86-64");
        return;
    }
    let _alone = alone();
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let to = receiver.local_addr().expect("an address");
    let filter = Some((format!("udp port {}", to.port()), weftrace_artifact::Place::default()));
    let artifact = Artifact {
        handlers: common::handlers(&[&[0]]),
        actions: vec![common::printf_text("packet\n")],
        probes: vec![probe("pcap:lo", Unit::Native(0), Way::Pcap { interface: "lo".into(), filter })],
        packet_needs: weftrace_artifact::packet::needs::HEADERS,
        ..Artifact::default()
    };
    let (out, err) = (Shared::default(), Shared::default());
    let options =
        SessionOptions { count: Some(20), run_for: Some(Duration::from_secs(10)), ..SessionOptions::default() };
    let running = Session::new(artifact, options).expect("code").start(sink(&out, &err)).expect("attached");
    let sender = thread::spawn(move || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        for _ in 0..20 {
            socket.send_to(b"x", to).expect("sent");
        }
    });
    let outcome = running.run().expect("ran");
    sender.join().expect("sent");
    assert_eq!(outcome.ended, Ended::Count);
    assert_eq!(out.text(), format!("{}\n\n", "packet\n".repeat(20)));
}
