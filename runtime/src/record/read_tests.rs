use super::*;
use crate::record::{
    RecordOptions,
    run::{Field, Stream},
    write::Recorder,
};
use crate::{
    maps::{Read, What},
    names::Named,
};
use std::fs;
use weftrace_artifact::Artifact;
use weftrace_probes::packet::LinkType;

fn events() -> Vec<Event> {
    vec![
        Event::Source {
            id: 2,
            kind: "packets".into(),
            name: "pcap:any".into(),
            streams: vec![0, 7],
            interfaces: vec!["any".into()],
            filter: "tcp".into(),
        },
        Event::Clock { boot: 1, wall: 2, width: 3, offset: -18_000, zone: "-05".into() },
        Event::Record { stream: 0, derived: true, time: 9, payload: vec![1, 2, 3] },
        Event::Uncertain { source: 2, ns: 90_000 },
        Event::Mark { source: 2, time: 10 },
        Event::Advance,
        Event::Lost { source: "p".into(), kind: "ring_full".into(), from: 1, to: 2, count: 3, streams: vec![0] },
        Event::Stalled { source: 2, change: 1, from: 4, to: 5 },
        Event::Unfed { stream: 0, reason: "not attached".into() },
        Event::Doubted { stream: 0, from: 9, reason: "not yet".into() },
        Event::TimersStart(1),
        Event::Tick(2),
        Event::PassTime { source: 2, time: 3 },
        Event::Signal { number: -1, time: 4 },
        Event::Said { level: 0, text: "words\0".into() },
        Event::Cgroup { id: 5, path: "/a".into() },
        Event::Result { join: "j".into(), ids: "i".into(), begin: 1, end: 2, conn: vec![0; 4] },
        Event::Action { action: 1, probe: 2, time: 3, payload: vec![4] },
        Event::Read(Read { map: 1, what: What::Value(None) }),
        Event::Read(Read { map: 1, what: What::Value(Some(vec![5])) }),
        Event::Read(Read { map: 1, what: What::Elements { all: vec![(vec![1], vec![])], more: true } }),
        Event::Read(Read { map: 1, what: What::Result(-1) }),
        Event::Name(Named { asked: vec![b'1'], answer: vec![b'2'] }),
        Event::SourceEnd(2),
        Event::Stop,
        Event::End(99),
    ]
}

fn run() -> Run {
    Run {
        version: "1".into(),
        little_endian: cfg!(target_endian = "little"),
        start: 5,
        sources: vec![("a".into(), "text".into())],
        arguments: vec![("named".into(), "slow".into(), "1s".into())],
        streams: vec![Stream {
            name: "s".into(),
            size: 8,
            fields: vec![Field { name: "f".into(), offset: 0, size: 8, ty: "u64".into() }],
        }],
        ..Run::default()
    }
}

/// A recording of some events and packets, and where it lies.
fn recording(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("weftrace-{name}-{}.pcapng", std::process::id()));
    let options = RecordOptions { path: path.clone(), redact: true, ..RecordOptions::default() };
    let mut recorder = Recorder::new(&options, &Artifact::default(), run()).expect("writable");
    for (i, event) in events().iter().enumerate() {
        recorder.event(event);
        let raw = RawPacket {
            data: b"\x45\0\0\x14some packet of which little is known, but long enough to be cut after its headers, so that it is masked",
            len: 200,
            link: LinkType::RAW,
            device: "eth0",
            interface: 3,
            netns: 4,
            number: i as u64 + 1,
            time_ns: 1 << 40,
            boot_ns: Some(77),
            live: true,
        };
        recorder.packet(&raw, 2, (i % 2 == 0).then_some((8, &b"curl"[..])));
        recorder.wake(true);
    }
    recorder.finish();
    assert!(recorder.take_error().is_none());
    path
}

#[test]
fn what_is_written_is_read() {
    let path = recording("read");
    let mut recording = Recording::open(&path, None).expect("a recording");
    assert_eq!(recording.run, run());
    let (mut seen, mut packets) = (Vec::new(), 0);
    loop {
        match recording.next().expect("whole") {
            Next::Event(event) => seen.push(event),
            Next::Packet(raw, kept) => {
                let owner = (packets % 2 == 0).then(|| (8, b"curl".to_vec()));
                packets += 1;
                assert_eq!((raw.device, raw.link, raw.len, raw.time_ns), ("eth0", LinkType::RAW, 200, 1 << 40));
                assert_eq!(kept, Kept { source: 2, interface: 3, netns: 4, number: packets, boot: 77, owner });
                assert!(raw.data.ends_with(b"xxx") && raw.data.starts_with(b"\x45\0\0\x14some"));
            }
            Next::Foreign => panic!("all are its own"),
            Next::End => break,
        }
    }
    assert_eq!((seen, packets), (events(), events().len() as u64));
    fs::remove_file(path).expect("it is there");
}

/// Bytes changed and files cut: an error or less, never a panic.
#[test]
fn damaged_recordings_end_with_an_error() {
    let path = recording("damaged");
    let whole = fs::read(&path).expect("it is there");
    let mut seed = 1u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    for round in 0..1500 {
        let mut bytes = whole.clone();
        for _ in 0..=round % 4 {
            let at = random(bytes.len());
            bytes[at] = [0, 1, 0x7f, 0xff, bytes[at].wrapping_add(1)][random(5)];
        }
        if round % 3 == 0 {
            bytes.truncate(random(bytes.len()));
        }
        fs::write(&path, &bytes).expect("writable");
        let Ok(mut recording) = Recording::open(&path, None) else { continue };
        // Each step takes bytes of the file, so this ends.
        while let Ok(next) = recording.next() {
            if matches!(next, Next::End) {
                break;
            }
        }
    }
    fs::remove_file(path).expect("it is there");
}

#[test]
fn claims_of_much_are_not_believed() {
    // A Source with four thousand million streams.
    let mut bytes = vec![2];
    bytes.extend([0; 12]);
    bytes.extend([0xff; 4]);
    assert_eq!(Event::take(&mut Reader(&bytes)), None);
    assert_eq!(Event::take(&mut Reader(&[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])), None);
    assert_eq!(Event::take(&mut Reader(&[200])), None);
}
