//! Whole runs without the kernel: handlers in machine code written by hand, timers, capture files.
#![cfg(target_arch = "x86_64")]

mod common;

use common::{Shared, action, alone, handlers, map, printf_text, probe, sink};
use std::{path::PathBuf, time::Duration};
use weftrace_artifact::{
    Artifact,
    action::ActionKind,
    map::{Home, Kind, MapId, Role},
    plan::{Unit, Way},
};
use weftrace_runtime::{Ended, Outcome, Session, SessionOptions};

/// Actions: 0 begin, 1 tick, 2 packet, 3 end, 4 exit, 5 print, 6 clear. Handlers likewise.
fn artifact() -> Artifact {
    let mut n = map("@n", Role::Script, Kind::PercpuArray, 16, 1);
    n.home = Home::User;
    Artifact {
        maps: vec![n],
        handlers: handlers(&[&[0], &[1], &[2], &[3], &[4], &[5], &[6]]),
        actions: vec![
            printf_text("begin\n"),
            printf_text("tick\n"),
            printf_text("packet\n"),
            printf_text("end\n"),
            action(ActionKind::Exit, 0),
            action(ActionKind::PrintMap { map: MapId(0), top: 0, div: 0 }, 0),
            action(ActionKind::Clear { map: MapId(0) }, 0),
        ],
        ..Artifact::default()
    }
}

fn run(artifact: Artifact, options: SessionOptions) -> (String, String, Outcome) {
    let _alone = alone();
    let (out, err) = (Shared::default(), Shared::default());
    let session = Session::new(artifact, options).expect("a session without a kernel");
    let outcome = session.start(sink(&out, &err)).expect("started").run().expect("ran");
    (out.text(), err.text(), outcome)
}

#[test]
fn begin_intervals_exit_end() {
    let ms = 1_000_000;
    let artifact = Artifact {
        probes: vec![
            probe("BEGIN", Unit::Native(0), Way::Begin),
            probe("interval:ms:40", Unit::Native(1), Way::Interval { ns: 40 * ms }),
            probe("interval:ms:100", Unit::Native(4), Way::Interval { ns: 100 * ms }),
            probe("END", Unit::Native(3), Way::End),
        ],
        ..artifact()
    };
    let (out, err, outcome) = run(artifact, SessionOptions::default());
    assert_eq!(out, "begin\ntick\ntick\nend\n\n\n");
    assert_eq!(err, "Attached 4 probes\n");
    assert_eq!((outcome.ended, outcome.exit_code, outcome.delivered), (Ended::Exit, 0, 5));
}

#[test]
fn printing_an_unset_scalar_and_clearing_it() {
    let artifact = Artifact {
        probes: vec![
            probe("BEGIN", Unit::Native(5), Way::Begin),
            probe("BEGIN", Unit::Native(6), Way::Begin),
            probe("BEGIN", Unit::Native(5), Way::Begin),
        ],
        ..artifact()
    };
    let (out, _, outcome) = run(artifact, SessionOptions::default());
    assert_eq!(out, "@n: 0\n@n: 0\n\n\n");
    assert_eq!(outcome.ended, Ended::NothingLeft);
}

/// The reader of a pipe went away: the run ends, and that is no error.
#[test]
fn a_closed_pipe_ends_the_run_quietly() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let _alone = alone();
    let ticking = Artifact {
        probes: vec![probe("interval:ms:5", Unit::Native(1), Way::Interval { ns: 5_000_000 })],
        ..artifact()
    };
    let options = SessionOptions { run_for: Some(Duration::from_secs(20)), ..SessionOptions::default() };
    let sink = weftrace_runtime::sink::JsonSink::new(Box::new(Closed), true);
    let running = Session::new(ticking, options).expect("a session").start(Box::new(sink)).expect("started");
    assert_eq!(running.run().expect("no error").ended, Ended::OutputClosed);
}

#[test]
fn limits_and_stops() {
    let ticking = || Artifact {
        probes: vec![
            probe("interval:ms:5", Unit::Native(1), Way::Interval { ns: 5_000_000 }),
            probe("END", Unit::Native(3), Way::End),
        ],
        ..artifact()
    };
    let (out, _, outcome) = run(ticking(), SessionOptions { count: Some(3), ..SessionOptions::default() });
    assert_eq!((out.as_str(), outcome.ended), ("tick\ntick\ntick\nend\n\n\n", Ended::Count));

    let options = SessionOptions { run_for: Some(Duration::from_millis(60)), ..SessionOptions::default() };
    let (out, _, outcome) = run(ticking(), options);
    assert_eq!(outcome.ended, Ended::Deadline);
    assert!((4..=13).contains(&out.matches("tick").count()), "{out}");

    let options = SessionOptions { command: vec!["sleep".into(), "0.05".into()], ..SessionOptions::default() };
    let (_, _, outcome) = run(ticking(), options);
    assert_eq!((outcome.ended, outcome.child_status), (Ended::ProcessEnded, Some(0)));

    let _alone = alone();
    let (out, err) = (Shared::default(), Shared::default());
    let running = Session::new(ticking(), SessionOptions::default())
        .expect("a session")
        .start(sink(&out, &err))
        .expect("started");
    let stop = running.stop_handle();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        stop.stop();
    });
    assert_eq!(running.run().expect("ran").ended, Ended::Stopped);
    stopper.join().expect("stopped");
}

/// A pcap file of one-byte Ethernet frames at these times (ms).
fn capture(name: &str, times_ms: &[u32]) -> PathBuf {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1] {
        bytes.extend(word.to_le_bytes());
    }
    for ms in times_ms {
        for word in [1000 + ms / 1000, ms % 1000 * 1000, 1, 1] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.push(0);
    }
    let path = std::env::temp_dir().join(format!("weftrace-{}-{name}.pcap", std::process::id()));
    std::fs::write(&path, bytes).expect("written");
    path
}

#[test]
fn intervals_run_on_the_packets_time() {
    let artifact = Artifact {
        probes: vec![
            probe("pcap:any", Unit::Native(2), Way::Pcap { interface: "any".into(), filter: None }),
            probe("interval:s:1", Unit::Native(1), Way::Interval { ns: 1_000_000_000 }),
            probe("BEGIN", Unit::Native(0), Way::Begin),
            probe("END", Unit::Native(3), Way::End),
        ],
        ..artifact()
    };
    let path = capture("times", &[0, 1500, 3200]);
    let options = SessionOptions { read: vec![path.clone()], ..SessionOptions::default() };
    let (out, _, outcome) = run(artifact.clone(), options.clone());
    assert_eq!(out, "begin\npacket\ntick\npacket\ntick\ntick\npacket\nend\n\n\n");
    assert_eq!((outcome.ended, outcome.packets, outcome.damaged), (Ended::NothingLeft, 3, false));

    // Cut in the middle of the last record: the rest is told, what came before is delivered.
    let bytes = std::fs::read(&path).expect("the file");
    std::fs::write(&path, &bytes[..bytes.len() - 8]).expect("written");
    let (out, err, outcome) = run(artifact, options);
    std::fs::remove_file(path).expect("removed");
    assert_eq!(out, "begin\npacket\ntick\npacket\nend\n\n\n");
    assert!(outcome.damaged && err.contains("WARNING: "), "{err}");
}

#[test]
fn kernel_probes_are_told_when_files_are_read() {
    let path = capture("kernel", &[0]);
    let artifact = Artifact {
        probes: vec![
            probe("pcap:any", Unit::Native(2), Way::Pcap { interface: "any".into(), filter: None }),
            probe("kprobe:f", Unit::Kernel(0), Way::Interval { ns: 1 }),
        ],
        programs: vec![common::counting_program(weftrace_artifact::program::ProgType::Tracepoint)],
        ..artifact()
    };
    let options = SessionOptions { read: vec![path.clone()], ..SessionOptions::default() };
    let (out, err, _) = run(artifact, options);
    std::fs::remove_file(path).expect("removed");
    assert_eq!(out, "packet\n\n\n");
    assert!(err.contains("kprobe:f did not attach: not run: packets are read from files"), "{err}");
}
