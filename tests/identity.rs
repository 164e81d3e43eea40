//! docs/language.md's examples of flows and connections run, and packets' Community IDs are tshark's.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

use std::{
    path::Path,
    process::{Command, Output},
};

fn weftrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace")).args(args).current_dir(root()).output().expect("weftrace runs")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(capture: &str, script: &str) -> String {
    let output = weftrace(&["run", "-q", "--read", capture, "-e", script]);
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn examples_of_the_manual_run() {
    let manual = std::fs::read_to_string(root().join("docs/language.md")).unwrap();
    let section =
        manual.split("## Flows, connections, owners").nth(1).unwrap().split("## What goes wrong").next().unwrap();
    let out = std::env::temp_dir().join(format!("weftrace-manual-{}.pcapng", std::process::id()));
    let examples: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert!(examples.len() >= 5, "{examples:?}");
    for example in examples {
        let mut args = vec!["run", "-q", "--read", "scripts/tcp/handshake.pcap", "-e", example];
        if example.contains("capture(") {
            args.extend(["--write", out.to_str().unwrap()]);
        }
        let output = weftrace(&args);
        assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let _ = std::fs::remove_file(out);
}

#[test]
fn flows_are_values() {
    let capture = "scripts/tcp/flows.pcap";
    let both = read(capture, "pcap:any { @[conversation] = count(); }");
    assert_eq!(both.lines().filter(|l| l.contains(" ↔ ")).count(), 6, "{both}");
    let one = read(capture, "pcap:any { $f = flow; if ($f == flow && $f.proto == 6) { @[$f] = count(); } }");
    assert_eq!(one.lines().filter(|l| l.contains(" → ")).count(), 12, "{one}");
    let json = weftrace(&["run", "-q", "-f", "json", "--read", capture, "-e", "pcap:any { print(flow); exit(); }"]);
    let json = String::from_utf8_lossy(&json.stdout).into_owned();
    assert!(json.contains(r#"{"src": "2001:470:1f11:81f:c999:d94:aa7c:2e3e", "srcport": 49185, "dst": "#), "{json}");
    let seeded = "config = { community_id_seed = 1 } pcap:any { @[community_id] = count(); }";
    assert_ne!(read(capture, "pcap:any { @[community_id] = count(); }"), read(capture, seeded));
}

#[test]
fn community_ids_are_tsharks() {
    for capture in ["scripts/tcp/connect_latency.pcap", "scripts/tcp/flows.pcap", "scripts/tcp/sack.pcap"] {
        let mut tshark = Command::new("tshark");
        tshark.args(["-n", "-r", capture, "--enable-protocol", "communityid", "-T", "fields", "-e", "communityid"]);
        let Ok(theirs) = tshark.current_dir(root()).output() else {
            println!("SKIP tshark");
            return;
        };
        let ours = read(capture, r#"pcap:any { printf("%s\n", community_id); }"#);
        let theirs = String::from_utf8_lossy(&theirs.stdout).into_owned();
        let (ours, theirs): (Vec<_>, Vec<_>) = (ours.trim().lines().collect(), theirs.trim().lines().collect());
        assert!(theirs.len() > 30, "{capture}");
        assert_eq!(ours, theirs, "{capture}");
    }
}

/// Packets and bytes of each connection, told once, against tshark's streams. In the folder of captures too, if it is there.
#[test]
fn connections_are_tsharks_streams() {
    let folder = std::env::var_os("WEFTRACE_CAPTURES").map_or_else(|| root().join("../shared/captures"), Into::into);
    let there = std::fs::read_dir(folder);
    if there.is_err() {
        println!("SKIP captures");
    }
    let mut captures: Vec<_> = there.into_iter().flatten().flatten().map(|e| e.path()).collect();
    captures.extend(["flows", "handshake", "retransmit", "sack"].map(|n| root().join(format!("scripts/tcp/{n}.pcap"))));
    captures.sort();
    let script = r#"pcap:any /tcp.flow.end/ { printf("%d %ld %ld\n", tcp.stream, tcp.flow.packets, tcp.flow.bytes); }"#;
    let mut streams = 0;
    for capture in captures {
        let name = capture.to_string_lossy().into_owned();
        // A header that contradicts itself is of no connection here.
        if !name.contains("pcap") || name.contains("zeek-cisco") || name.ends_with(".py") {
            continue;
        }
        let mut tshark = Command::new("tshark");
        tshark.args([
            "-n",
            "-r",
            &name,
            "-Y",
            "tcp && !icmp && !icmpv6",
            "-T",
            "fields",
            "-e",
            "tcp.stream",
            "-e",
            "frame.len",
        ]);
        let Ok(theirs) = tshark.output() else {
            println!("SKIP tshark");
            return;
        };
        let mut totals = std::collections::BTreeMap::new();
        for line in String::from_utf8_lossy(&theirs.stdout).lines() {
            let (stream, len) = line.split_once('\t').unwrap();
            let (packets, bytes): &mut (u64, u64) = totals.entry(stream.parse::<u64>().unwrap()).or_default();
            (*packets, *bytes) = (*packets + 1, *bytes + len.parse::<u64>().unwrap());
        }
        let ours = read(&name, script);
        let number = |word: Option<&str>| word.unwrap().parse::<u64>().unwrap();
        let mut told = std::collections::BTreeMap::new();
        for line in ours.lines().filter(|l| !l.is_empty()) {
            let mut words = line.split(' ');
            let (stream, packets, bytes) = (number(words.next()), number(words.next()), number(words.next()));
            assert!(told.insert(stream, (packets, bytes)).is_none(), "{name}: stream {stream} is told twice");
        }
        assert_eq!(told, totals, "{name}");
        streams += told.len();
    }
    println!("{streams} connections");
    assert!(streams >= 10);
}

/// Packets that nobody owns, and that only a block passes which doesn't ask whose they are: nothing is missing, and what the other block asks is found.
#[test]
fn owners_are_asked_for_where_a_block_asks() {
    let script = "pcap:lo:\"udp port 19432\" { @owned[pkt.owner.pid != 0] = count(); if (++@told == 5) { exit(); } } pcap:lo:\"tcp\" { @refused = count(); }";
    let child = format!("{} --ignored --exact sends", std::env::current_exe().unwrap().display());
    let run = "ip link set lo up && exec \"$@\"";
    let mut inside = Command::new("unshare");
    inside.args(["-n", "sh", "-c", run, "sh", env!("CARGO_BIN_EXE_weftrace"), "run", "-f", "json", "-e", script]);
    let output = inside.args(["-c", &child]).env("WEFTRACE_ROLE", "1").output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        println!("SKIP namespaces and captures");
        return;
    };
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains(r#"{"@owned": {"true": 5}}"#) && out.contains(r#"{"@refused": 10}"#), "{out}");
    assert!(!out.contains("owners"), "{out}");
}

#[test]
#[ignore = "run by another"]
fn sends() {
    if std::env::var_os("WEFTRACE_ROLE").is_none() {
        return;
    }
    let [from, to] = [0, 19_432].map(|port| std::net::UdpSocket::bind(("127.0.0.1", port)).unwrap());
    for _ in 0..5 {
        assert!(std::net::TcpStream::connect(("127.0.0.1", 19_433)).is_err());
        from.send_to(b"x", ("127.0.0.1", 19_432)).unwrap();
        to.recv(&mut [0]).unwrap();
    }
    // Its sockets are looked up while they are there; the script ends the run.
    loop {
        std::thread::park();
    }
}
