//! Headers and options that were not captured to their end: what was is there, what was not is absent; and MPTCP's options.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::{ACK, PSH, SYN, Tcp, ethernet, fragment, ipv4, ipv6, tcp_segment};
use weftrace_artifact::packet::{PacketView, analysis, field, layer, needs};
use weftrace_probes::packet::{ALL_NEEDS, LinkType, Options, Pipeline, RawPacket};

/// The first `cap_len` bytes of a frame.
fn process(pipeline: &mut Pipeline, frame: &[u8], cap_len: usize, number: u64) -> PacketView {
    let raw = RawPacket { len: frame.len() as u32, ..RawPacket::new(LinkType::ETHERNET, &frame[..cap_len], number) };
    let mut view = PacketView::default();
    pipeline.process(&raw, &mut view);
    view
}

fn cut(frame: &[u8], cap_len: usize) -> PacketView {
    process(&mut Pipeline::new(ALL_NEEDS, Options::default()), frame, cap_len, 1)
}

fn has(view: &PacketView, name: &str) -> bool {
    let row = field(name).unwrap();
    view.layers & row.layers == row.layers && view.known & row.known == row.known
}

/// Each of these is there from so many bytes of its frame on, and not before.
fn there_from(frame: &[u8], fields: &[(&str, usize)]) {
    for cap_len in 0..=frame.len() {
        let view = cut(frame, cap_len);
        for &(name, from) in fields {
            assert_eq!(has(&view, name), cap_len >= from, "{name} of {cap_len} bytes");
        }
    }
}

fn segment(options: &[u8], flags: u8) -> Tcp {
    Tcp { flags, seq: 77, ack: 9, options: options.to_vec(), payload: vec![b'x'; 30], ..Tcp::new(1, 40_000, 2, 443) }
}

/// Timestamps, and what a Linux client says in its SYN: MSS, SACK permitted, timestamps, window scale.
const TIMES: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6];
const LINUX: [u8; 20] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6, 1, 3, 3, 7];

#[test]
fn members_of_headers() {
    let tcp = |at: usize| {
        [
            ("tcp.srcport", at + 4),
            ("tcp.dstport", at + 4),
            ("tcp.seq_raw", at + 8),
            ("tcp.ack_raw", at + 12),
            ("tcp.hdr_len", at + 13),
            ("tcp.len", at + 13),
            ("tcp.flags", at + 14),
            ("tcp.flags.syn", at + 14),
            ("tcp.window_size_value", at + 16),
            ("tcp.stream", at + 16),
            ("tcp.seq", at + 16),
            ("tcp.ack", at + 16),
            ("tcp.window_size", at + 16),
            ("tcp.analysis.retransmission", at + 16),
            ("tcp.urgent_pointer", at + 20),
            ("tcp.options.timestamp.tsval", at + 28),
            ("tcp.options.timestamp.tsecr", at + 32),
            ("tcp.options.sack_perm", at + 32),
        ]
    };
    let v4 = [
        ("ip.dsfield", 16),
        ("ip.len", 18),
        ("ip.id", 20),
        ("ip.flags.df", 22),
        ("ip.frag_offset", 22),
        ("ip.ttl", 23),
        ("ip.proto", 24),
        ("ip.src", 30),
        ("ip.dst", 34),
    ];
    let v6 = [
        ("ipv6.tclass", 16),
        ("ipv6.plen", 20),
        ("ipv6.nxt", 21),
        ("ipv6.hlim", 22),
        ("ipv6.src", 38),
        ("ipv6.dst", 54),
    ];
    let segment = segment(&TIMES, ACK | PSH);
    there_from(&segment.frame(), &[&v4[..], &tcp(34)].concat());
    let six = ethernet(0x86dd, &ipv6(6, [1; 16], [2; 16], &tcp_segment(&segment)));
    there_from(&six, &[&v6[..], &tcp(54)].concat());
    let udp = packet_support::build::udp(1, 2, b"hello");
    there_from(
        &ethernet(0x0800, &ipv4(17, [1; 4], [2; 4], &udp)),
        &[("udp.srcport", 38), ("udp.dstport", 38), ("udp.length", 40)],
    );
}

/// By the IP length, however little was captured; and what is there is what the whole packet says.
#[test]
fn values_of_cut_headers() {
    let frame = segment(&TIMES, ACK | PSH).frame();
    let whole = cut(&frame, frame.len());
    assert_eq!((whole.tcp_len, whole.tcp_seq, whole.ip_len), (30, 1, 82));
    for cap_len in 47..frame.len() {
        let view = cut(&frame, cap_len);
        assert_eq!((view.tcp_len, view.tcp_hdr_len, view.tcp_seq_raw, view.ip_len), (30, 32, 77, 82), "{cap_len}");
        assert!(cap_len < 50 || (view.tcp_seq, view.tcp_window) == (1, whole.tcp_window), "{cap_len}");
    }
    // Of a piece of a datagram whose others can't be had nobody knows how long the segment is.
    let tcp = tcp_segment(&segment(&[], ACK));
    let piece = ethernet(0x0800, &fragment(6, [10, 0, 0, 1], [10, 0, 0, 2], 1, 0, true, &tcp[..40]));
    assert_eq!(["tcp.seq_raw", "tcp.flags", "tcp.len"].map(|name| has(&cut(&piece, 60), name)), [true, true, false]);
    // Nor of one whose header can't be so long.
    let mut short = segment(&[], ACK).frame();
    short[46] = 0x40;
    assert_eq!(["tcp.flags", "tcp.len"].map(|name| has(&cut(&short, short.len()), name)), [true, false]);
}

/// A header within a tunnel that was cut hides nothing of the one around it.
#[test]
fn cut_headers_in_tunnels() {
    let frame = ethernet(0x0800, &ipv4(4, [9; 4], [8; 4], &segment(&[], ACK).packet()));
    let view = cut(&frame, 34 + 18);
    assert_eq!((&view.ip_src[..4], &view.ip_dst[..4]), (&[10, 0, 0, 1][..], &[8; 4][..]), "as tshark's last ones");
    assert!(has(&view, "ip.src") && has(&view, "ip.dst") && !has(&view, "tcp.srcport"));
}

/// Both SYNs cut before the window's scale: it isn't known, which is not that there is none.
#[test]
fn options_that_were_cut() {
    let connection = |snaps: [usize; 2]| {
        let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
        let syn = Tcp { payload: vec![], ack: 0, ..segment(&LINUX, SYN) };
        let (src, dst) = (syn.dst, syn.src);
        let answer = Tcp { src, dst, seq: 8, ack: 78, flags: SYN | ACK, ..syn.clone() };
        let data = Tcp { seq: 78, window: 500, ..segment(&[], ACK) };
        process(&mut pipeline, &syn.frame(), snaps[0], 1);
        process(&mut pipeline, &answer.frame(), snaps[1], 2);
        let view = process(&mut pipeline, &data.frame(), 54, 3);
        (view.tcp_window, view.tcp_window_factor, view.sack_negotiated)
    };
    assert_eq!(connection([74, 74]), (500 << 7, 128, 1));
    assert_eq!(connection([74, 68]), (500 << 7, 128, 1), "what comes before the cut is known");
    assert_eq!(connection([68, 68]), (500, -1, 1));
    assert_eq!(connection([54, 54]), (500, -1, 0));
    let view = cut(&segment(&LINUX, SYN).frame(), 68);
    assert_eq!((view.tcp_mss, view.tcp_tsval), (1460, 5));
    assert!(has(&view, "tcp.options.sack_perm") && !has(&view, "tcp.options.wscale.shift"));
    assert!(!has(&cut(&segment(&LINUX, SYN).frame(), 58), "tcp.options.sack_perm"));
    // Options that were ended before the cut are whole.
    let ended = cut(&segment(&[2, 4, 5, 0xb4, 0, 0, 0, 0, 0, 0, 0, 0], SYN).frame(), 60);
    assert!(has(&ended, "tcp.options.sack_perm") && ended.layers & layer::SACK_PERM == 0);
}

/// RFC 8684: an ACK that brings a signal repeats nothing. Whose turn it is is tshark's: signals count from the next packet on, of either side.
#[test]
fn signals_of_mptcp_are_no_duplicate_acks() {
    const CAPABLE: [u8; 12] = [30, 12, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8];
    const DSS: [u8; 8] = [30, 8, 0x20, 1, 0, 0, 0, 5];
    const ADD: [u8; 8] = [30, 8, 0x31, 1, 10, 0, 0, 9];
    let both = [ADD, DSS].concat();
    let packets: [(usize, &[u8], bool); 16] = [
        (0, &DSS, true),
        (0, &DSS, false),
        (0, &[], true),
        (0, &DSS, true),
        (0, &ADD, true),
        (0, &ADD, false),
        (0, &both, true),
        (0, &DSS, true),
        (1, &[], false),
        (1, &[], true),
        (1, &[30, 12, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0], true),
        (0, &ADD, false),
        (1, &DSS, false),
        (1, &DSS, true),
        (0, &TIMES, true),
        (0, &TIMES, true),
    ];
    // Whatever else is asked for.
    for needs in [ALL_NEEDS, needs::HEADERS | needs::FLOW | needs::ANALYSIS] {
        let mut pipeline = Pipeline::new(needs, Options::default());
        let (client, server) = (([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 443));
        let mut send = |dir: usize, flags: u8, options: &[u8]| {
            let syn = u32::from(flags & SYN != 0);
            let numbers = [(100 - syn, 500), (500 - syn, 100)][dir];
            let (src, dst) = if dir == 0 { (client, server) } else { (server, client) };
            let ack = if flags & ACK == 0 { 0 } else { numbers.1 };
            let options = options.to_vec();
            let packet = Tcp { src, dst, seq: numbers.0, ack, flags, options, ..Tcp::new(1, 1, 2, 2) };
            let frame = packet.frame();
            process(&mut pipeline, &frame, frame.len(), 1)
        };
        send(0, SYN, &CAPABLE);
        send(1, SYN | ACK, &CAPABLE);
        send(0, ACK, &CAPABLE);
        send(1, ACK, &CAPABLE);
        for (i, (dir, options, duplicate)) in packets.into_iter().enumerate() {
            let found = send(dir, ACK, options).analysis & analysis::DUPLICATE_ACK != 0;
            assert_eq!(found, duplicate, "packet {i}");
        }
    }
}
