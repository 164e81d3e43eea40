//! Another script makes streams of the recorded packets that the recorded run didn't have: neither its watermarks nor its losses know them.

use super::{
    by_hand::{ByHand, said},
    *,
};

/// Sources of a run whose one block was on packets.
const SOURCES: [(u32, &str, &str); 3] = [(0, "blocks", "blocks"), (1, "kernel", "kernel"), (2, "packets", "pcap:any")];
const PACKETS: u32 = 2;
const RAW: u16 = 101;
/// User 0: nobody knows what is in such packets.
const UNKNOWN: u16 = 147;

/// A run that counted packets, and emitted nothing.
fn counted() -> ByHand {
    let mut made = ByHand::new(&[("-e", "pcap:any { @ = count(); }")]);
    let mut events = Vec::new();
    for (id, kind, name) in SOURCES {
        events.extend([&[2][..], &id.to_le_bytes(), &said(kind), &said(name), &[0; 12]].concat());
    }
    events.extend([&[10][..], &[0; 8]].concat());
    made.events(&events);
    made.interface(RAW);
    made.interface(UNKNOWN);
    made
}

/// A tick of the run at `ms`: packets may be late by three blocks' times.
fn tick(made: &mut ByHand, ms: u64) {
    let mark = |(source, late): (u32, u64)| {
        let time = (ms - late) * 1_000_000;
        [&[5][..], &source.to_le_bytes(), &time.to_le_bytes()].concat()
    };
    let marks = [(0, 0), (1, 0), (PACKETS, 60)].map(mark).concat();
    made.events(&[&marks[..], &[6]].concat());
}

fn lost(made: &mut ByHand, (source, kind): (&str, &str), ms: [u64; 2], count: u64) {
    let numbers = [ms[0] * 1_000_000, ms[1] * 1_000_000, count].map(u64::to_le_bytes).concat();
    made.events(&[&[7][..], &said(source), &said(kind), &numbers, &[0; 4]].concat());
}

fn end(made: &mut ByHand, ms: u64) {
    let source_end = [&[17][..], &PACKETS.to_le_bytes()].concat();
    let end = [&[18][..], &(ms * 1_000_000).to_le_bytes()].concat();
    made.events(&[&[16][..], &source_end, &end].concat());
}

/// What a script says of a recording, line by line, but for empty ones; and what it warns of.
fn replayed(name: &str, made: ByHand, script: &str) -> (Vec<String>, String) {
    let folder = folder(name);
    let file = folder.join("x.pcapng");
    fs::write(&file, made.finish()).unwrap();
    let output = weftrace(&["replay", file.to_str().unwrap(), "-e", script]).output().unwrap();
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    fs::remove_dir_all(folder).unwrap();
    (text(&output.stdout).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect(), told)
}

fn ip(protocol: u8, from: u8, to: u8, inside: &[u8]) -> Vec<u8> {
    let len = (20 + inside.len()) as u16;
    let mut packet = [&[0x45, 0][..], &len.to_be_bytes(), &[0, 0, 0, 0, 64, protocol, 0, 0]].concat();
    packet.extend([10, 0, 0, from, 10, 0, 0, to]);
    packet.extend(inside);
    packet
}

fn datagram(from: u16, to: u16) -> Vec<u8> {
    ip(17, 1, 2, &[from, to, 8, 0].map(u16::to_be_bytes).concat())
}

/// What was lost is missing from the other script's streams, too: what may have been of that time is unknown, all else none.
#[test]
fn losses_reach_the_streams_of_another_script() {
    let script = r#"
        pcap:any /udp.dstport == 7/ { emit ask.one(pid = 1, nr = udp.srcport, start = nsecs - 50ms, end = nsecs); }
        pcap:any /udp.dstport == 9/ { emit quiet.one(pid = 1, nr = 1); }
        join asked { from a = ask.one(); total a.start; quiet = count(quiet.one) by pid; timeout 30s; }
        join:asked { printf("leg %d %s\n", a.nr, quiet.reason); }"#;
    let mut made = counted();
    for nr in 1..=9 {
        let ms = nr * 1000;
        made.packet(PACKETS, 0, ms, &datagram(nr as u16, 7));
        match nr {
            // The kernel dropped packets; others that a probe of no packets missed are none of these.
            3 => lost(&mut made, ("pcap:any", "packets"), [ms - 560, ms + 500], 2),
            5 => lost(&mut made, ("kprobe:f", "missed"), [ms - 560, ms + 500], 2),
            // What the recorded run's analysis could not follow another one of the same packets finds by itself, or needn't follow.
            6 => lost(&mut made, ("pcap:any", "fragments"), [ms - 560, ms + 500], 2),
            8 => made.packet(PACKETS, 1, ms + 1, b"?"),
            _ => {}
        }
        tick(&mut made, ms + 500);
    }
    end(&mut made, 10_000);
    let (said, told) = replayed("others-losses", made, script);
    let want = |nr: u16| match nr {
        3 => "leg 3 lost 2".to_owned(),
        8 => "leg 8 lost 1".to_owned(),
        nr => format!("leg {nr} "),
    };
    let summary = "asked: 9 kept of 9: app 9. Lost: 3.".to_owned();
    assert_eq!(said, (1..=9).map(want).chain([summary]).collect::<Vec<_>>(), "{told}");
    for wanted in ["lost 2 packets (the kernel's buffer was full): pcap:any", "lost 1 packets (of a link type"] {
        assert!(told.contains(wanted), "no {wanted} in {told}");
    }
}

/// A segment of a connection, with what was sent before it.
fn segment(from_client: bool, flags: u8, [seq, ack]: [u32; 2], data: &[u8]) -> Vec<u8> {
    let (from, to, ports) = if from_client { (1, 2, [40_000u16, 80]) } else { (2, 1, [80, 40_000]) };
    let mut head = [&ports.map(u16::to_be_bytes).concat()[..], &[seq, ack].map(u32::to_be_bytes).concat()].concat();
    head.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    ip(6, from, to, &[&head[..], data].concat())
}

/// A response whose acknowledgement takes longer than packets may be late: the run that was recorded followed no HTTP, and waited for none.
#[test]
fn requests_of_another_script_wait_for_their_acknowledgement() {
    let [syn, psh, ack]: [u8; 3] = [2, 8, 16];
    let script = r#"
        pcap:any:"tcp" /http.exchange/ {
          emit web.request(conn = tcp.conn, start = http.exchange.start, end = http.exchange.end, path = http.exchange.uri);
        }
        join web { from r = web.request(); total r.start; timeout 30s; }
        join:web { printf("%s %d ms\n", r.path, total / 1ms); }
        join:web:late { printf("late\n"); }"#;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n").into_bytes();
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let mut made = counted();
    let mut at = [1u32, 1];
    for (ms, client, flags, at) in
        [(1000, true, syn, [0, 0]), (1001, false, syn | ack, [0, 1]), (1002, true, ack, [1, 1])]
    {
        made.packet(PACKETS, 0, ms, &segment(client, flags, at, b""));
    }
    // The first is acknowledged after 2 ms, the second after 150.
    for (ms, path, after) in [(1010, "/soon", 2), (1100, "/late", 150)] {
        let asked = request(path);
        made.packet(PACKETS, 0, ms, &segment(true, psh | ack, at, &asked));
        at[0] += asked.len() as u32;
        made.packet(PACKETS, 0, ms + 10, &segment(false, psh | ack, [at[1], at[0]], response));
        at[1] += response.len() as u32;
        if after > 60 {
            tick(&mut made, ms + 90);
        }
        made.packet(PACKETS, 0, ms + 10 + after, &segment(true, ack, at, b""));
        tick(&mut made, ms + 10 + after + 5);
    }
    tick(&mut made, 1400);
    end(&mut made, 2000);
    let (said, told) = replayed("others-requests", made, script);
    assert_eq!(said, ["/soon 10 ms", "/late 10 ms", "web: 2 kept of 2: app 2. Lost: 0."], "{told}");
}

/// A request to a server that died is told a minute after its client's last FIN, with the loss that it waited for: in a replay as in the run, by the ticks
/// that are in the recording.
#[test]
fn a_request_that_is_given_up_is_told_while_the_run_goes_on() {
    let [fin, syn, psh, ack]: [u8; 4] = [1, 2, 8, 16];
    let script = r#"
        import "std/http"; import "std/tcp";
        join dead { from r = http.request(); total r.start; loss = sum(tcp.loss.dur) by conn; blame loss; timeout 5m; }
        join:dead { printf("%s %d %d s, loss %d s\n", r.path, r.status, total / 1s, loss / 1s); }
        join:dead:late { printf("late\n"); }"#;
    let request = b"GET /dead HTTP/1.1\r\nHost: shop\r\n\r\n";
    let mut made = counted();
    for (ms, client, flags, at) in
        [(1000, true, syn, [0, 0]), (1001, false, syn | ack, [0, 1]), (1002, true, ack, [1, 1])]
    {
        made.packet(PACKETS, 0, ms, &segment(client, flags, at, b""));
    }
    for ms in [1010, 1310, 2010] {
        made.packet(PACKETS, 0, ms, &segment(true, psh | ack, [1, 1], request));
    }
    for ms in [5000, 9000] {
        made.packet(PACKETS, 0, ms, &segment(true, fin | ack, [1 + request.len() as u32, 1], b""));
    }
    for ms in (9_100_u64..150_000).step_by(100) {
        let passed = [&[12][..], &PACKETS.to_le_bytes(), &(ms * 1_000_000).to_le_bytes()].concat();
        made.events(&passed);
        tick(&mut made, ms);
    }
    end(&mut made, 200_000);
    let (said, told) = replayed("others-dead", made, script);
    assert_eq!(said.len(), 2, "{said:?} {told}");
    let want = |after: u64| format!("/dead 0 {after} s, loss {after} s");
    assert!((67..86).any(|after| said[0] == want(after)), "{said:?} {told}");
    assert!(said[1].starts_with("dead: 1 kept of 1: loss 1"), "{said:?} {told}");
}
