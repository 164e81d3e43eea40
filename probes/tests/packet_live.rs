//! Live capture: on loopback, on all devices, inside another network namespace.
#![cfg(feature = "live")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};
use weftrace_artifact::packet::{PacketView, analysis, layer};
use weftrace_probes::packet::source::{FilterError, Latency, LiveOptions, LiveSource, NetNs, SourceError};
use weftrace_probes::packet::{ALL_NEEDS, LinkType, Options, Pipeline};

fn open(options: &LiveOptions) -> Option<LiveSource> {
    match LiveSource::open(options) {
        Ok(source) => Some(source),
        Err(SourceError::NotPermitted { .. } | SourceError::NetNsNotPermitted { .. }) => {
            println!("SKIP CAP_NET_RAW");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// One request and its response over loopback, to a port of our own.
fn talk(listener: &TcpListener) {
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /live HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = [0; 512];
    assert!(stream.read(&mut request).unwrap() > 0);
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
    drop(stream);
    assert!(client.join().unwrap().ends_with("hi"));
}

#[derive(Default)]
struct Seen {
    packets: u64,
    syns: u64,
    retransmissions: u64,
    exchanges: u64,
    interfaces: Vec<u32>,
    netns: u32,
    links: Vec<LinkType>,
}

/// Takes packets until none came for a while.
fn drain(source: &mut LiveSource) -> Seen {
    let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
    let mut view = PacketView::default();
    let mut seen = Seen::default();
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_millis(300) {
        let Some(packet) = source.next_packet().unwrap() else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        last = Instant::now();
        pipeline.process(&packet, &mut view);
        assert_ne!(view.layers & layer::TCP, 0);
        assert_eq!(view.layers & layer::BOOT_TIME, 0, "nobody converted the time");
        seen.packets += 1;
        seen.syns += u64::from(view.tcp_flags & 2 != 0);
        seen.retransmissions += u64::from(view.analysis & analysis::RETRANSMISSION != 0);
        seen.interfaces.push(view.interface);
        seen.netns = view.netns;
        seen.links.push(packet.link);
        loop {
            seen.exchanges += u64::from(view.layers & layer::HTTP_EXCHANGE != 0);
            if pipeline.next_part(&mut view).is_none() {
                break;
            }
        }
    }
    seen.interfaces.dedup();
    seen.links.dedup();
    seen
}

#[test]
fn loopback_and_all_devices_count_each_packet_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let filter = format!("tcp port {}", listener.local_addr().unwrap().port());
    let options = |device: &str, latency| LiveOptions { filter: filter.clone(), latency, ..LiveOptions::new(device) };
    let Some(mut lo) = open(&options("lo", Latency::Immediate)) else { return };
    let Some(mut any) = open(&options("any", Latency::Block(10))) else { return };
    assert!(lo.as_raw_fd() >= 0);
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    talk(&listener);
    let first = lo.next_packet().unwrap().expect("immediate: it is there");
    let now = start + 10_000_000_000;
    assert!((start..now).contains(&first.time_ns) && first.live, "{} is no time in ns", first.time_ns);
    // The first packet (a SYN) was taken from lo.
    let (on_lo, on_any) = (drain(&mut lo), drain(&mut any));
    assert_eq!((on_lo.syns, on_any.syns), (1, 2), "a SYN and a SYN+ACK, each once");
    assert_eq!(on_lo.packets + 1, on_any.packets);
    assert_eq!((on_any.retransmissions, on_any.exchanges), (0, 1));
    assert_eq!(on_any.links, [LinkType::LINUX_SLL2]);
    assert_eq!((on_lo.interfaces.clone(), on_any.interfaces), (vec![1], vec![1]), "the index of lo");
    let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata("/proc/self/ns/net").unwrap()) as u32;
    assert_eq!((on_lo.netns, lo.netns()), (inode, inode));
    let counters = lo.counters();
    assert!(counters.received >= on_lo.packets && counters.dropped_kernel == 0, "{counters:?}");
}

#[test]
fn a_small_ring_drops_and_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = LiveOptions {
        buffer_bytes: 64 << 10,
        filter: format!("tcp port {}", listener.local_addr().unwrap().port()),
        ..LiveOptions::new("lo")
    };
    let Some(mut source) = open(&options) else { return };
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        for _ in 0..2_000 {
            stream.write_all(&[0; 8_000]).unwrap();
        }
    });
    let (mut stream, _) = listener.accept().unwrap();
    std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    client.join().unwrap();
    let mut taken = 0;
    while source.next_packet().unwrap().is_some() {
        taken += 1;
    }
    let counters = source.counters();
    assert!(counters.dropped_kernel > 0, "{counters:?}");
    assert!(counters.received >= taken, "{counters:?}, {taken} taken");
}

#[test]
fn errors_say_what_to_do() {
    let Err(error) = LiveSource::open(&LiveOptions::new("nosuch0")) else { panic!("opened") };
    let SourceError::NoSuchDevice { name, there } = &error else { panic!("{error}") };
    assert_eq!(name, "nosuch0");
    assert!(there.contains(&"lo".to_owned()), "{there:?}");
    assert!(error.to_string().starts_with("no network device nosuch0 here; there are: "), "{error}");
    let options = LiveOptions { netns: Some(NetNs::named("weftrace-nosuch")), ..LiveOptions::new("lo") };
    assert!(matches!(LiveSource::open(&options), Err(SourceError::NoSuchNetNs { .. })));
    let Some(mut source) = open(&LiveOptions::new("lo")) else { return };
    let bad = |error| match error {
        Err(SourceError::Filter(FilterError::BadFilter { message, hint, .. })) => (message, hint),
        other => panic!("{other:?}"),
    };
    assert!(bad(source.set_filter("tcp prt 80")).0.contains("syntax error"));
    let (_, hint) = bad(source.set_filter("tcp-syn or tcp-ack"));
    assert_eq!(hint, Some("tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0"));
    // Without the capability: as another user.
    let who = Command::new("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups", "true"]).status();
    if who.is_ok_and(|status| status.success()) && std::env::var_os("WEFTRACE_UNPRIVILEGED").is_none() {
        let exe = std::env::current_exe().unwrap();
        let copy = std::env::temp_dir().join(format!("weftrace-live-{}", std::process::id()));
        std::fs::copy(exe, &copy).unwrap();
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy)
            .args(["--exact", "unprivileged", "--nocapture"])
            .env("WEFTRACE_UNPRIVILEGED", "1")
            .output()
            .unwrap();
        let _ = std::fs::remove_file(&copy);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains("capturing on lo needs CAP_NET_RAW"),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Only says what opening gives; run without privileges by the test above.
#[test]
fn unprivileged() {
    if std::env::var_os("WEFTRACE_UNPRIVILEGED").is_some() {
        println!(
            "{}",
            LiveSource::open(&LiveOptions::new("lo")).err().map(|error| error.to_string()).unwrap_or_default()
        );
    }
}

struct Namespace(String);

impl Namespace {
    fn new() -> Option<Self> {
        let name = format!("wft-packet-{}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).status().is_ok_and(|status| status.success());
        if !made {
            println!("SKIP ip netns add");
            return None;
        }
        let namespace = Self(name);
        namespace.run(&["ip", "link", "set", "lo", "up"]);
        namespace.run(&["ip", "link", "add", "wftveth0", "type", "veth", "peer", "name", "wftveth1"]);
        Some(namespace)
    }

    fn run(&self, command: &[&str]) {
        Command::new("ip").args(["netns", "exec", &self.0]).args(command).status().unwrap();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

#[test]
fn inside_another_namespace() {
    let Some(namespace) = Namespace::new() else { return };
    let netns = Some(NetNs::named(&namespace.0));
    let options = LiveOptions { netns: netns.clone(), filter: "tcp".into(), ..LiveOptions::new("lo") };
    let Some(mut source) = open(&options) else { return };
    // What the namespace has, not what the caller has.
    let error = LiveSource::open(&LiveOptions { netns, ..LiveOptions::new("nosuch0") }).err().unwrap();
    assert!(error.to_string().contains("wftveth0"), "{error}");
    let here = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata("/proc/self/ns/net").unwrap()) as u32;
    assert_ne!(source.netns(), here);
    // A refused connection inside: a SYN and a RST.
    namespace.run(&["python3", "-c", "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"]);
    let seen = drain(&mut source);
    assert_eq!((seen.packets, seen.syns, seen.netns), (2, 1, source.netns()));
}
