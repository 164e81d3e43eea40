//! What ends, or lasts, where no packet of its connection comes any more.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::{ACK, FIN, PSH, RST, SYN, Tcp};
use packet_support::conn::{CLIENT, GET, OK, SERVER};
use packet_support::strings::text;
use weftrace_artifact::packet::{PacketBytes, PacketView, layer, marks, needs};
use weftrace_probes::packet::{ALL_NEEDS, LinkType, Options, Pipeline, RawPacket, bytes_key};

const MS: u64 = 1_000_000;
const CLIENT_SEQ: u32 = 101;
const SERVER_SEQ: u32 = 501;

/// What is told of a connection, in ms: a loss or a closed window since when and until when, an exchange with its status and end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Loss(u64, u64),
    Closed { of_client: bool, from: u64, to: u64 },
    Exchange { uri: String, status: Option<u32>, end: u64 },
}

use Told::{Closed, Exchange, Loss};

fn told(view: &PacketView) -> Vec<Told> {
    let mut told = Vec::new();
    if view.repair_start != 0 {
        told.push(Loss(view.repair_start / MS, (view.repair_start + view.repair_ns) / MS));
        assert!(bytes_key(view, PacketBytes::Repair).is_some(), "which bytes they are is known");
    }
    if view.layers & layer::ZERO_WINDOW_END != 0 {
        let of_client = (view.from_client != 0) != (view.marks & marks::PEER_STALLED != 0);
        let (from, to) = (view.zero_window_start / MS, (view.zero_window_start + view.zero_window_ns) / MS);
        told.push(Closed { of_client, from, to });
    }
    if view.layers & layer::HTTP_EXCHANGE != 0 {
        let status = (view.layers & layer::EXCHANGE_STATUS != 0).then_some(view.http.status);
        told.push(Exchange { uri: text(view.http.uri), status, end: view.http.end / MS });
    }
    told
}

fn unanswered(end: u64) -> Told {
    Exchange { uri: "/a".into(), status: Some(0), end }
}

/// A connection, live or in a file.
struct Wire {
    pipeline: Pipeline,
    live: bool,
    window: u16,
    /// What packets told, and what was told without one.
    told: Vec<Told>,
    last: Vec<Told>,
    families: Vec<u32>,
}

impl Wire {
    fn new(live: bool) -> Self {
        let pipeline = Pipeline::new(ALL_NEEDS, Options::default());
        Self { pipeline, live, window: 60_000, told: vec![], last: vec![], families: vec![] }
    }

    /// Its handshake is over at 3 ms.
    fn open(live: bool) -> Self {
        let mut wire = Self::new(live);
        wire.packet(1, 0, SYN, (CLIENT_SEQ - 1, 0), b"");
        wire.packet(2, 1, SYN | ACK, (SERVER_SEQ - 1, CLIENT_SEQ), b"");
        wire.packet(3, 0, ACK, (CLIENT_SEQ, SERVER_SEQ), b"");
        wire
    }

    fn packet(&mut self, ms: u64, from: usize, flags: u8, (seq, ack): (u32, u32), payload: &[u8]) {
        let (a, b) = if from == 0 { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let tcp = Tcp { seq, ack, flags, window: self.window, ..Tcp::new(a.0, a.1, b.0, b.1) };
        let frame = Tcp { payload: payload.to_vec(), ..tcp }.frame();
        let raw = RawPacket::new(LinkType::ETHERNET, &frame, 1);
        let boot = Some(ms * MS);
        // Frames go by another clock.
        let raw = RawPacket { live: self.live, boot_ns: boot, time_ns: 1_000_000 * MS + ms * MS, ..raw };
        let mut view = PacketView::default();
        self.pipeline.process(&raw, &mut view);
        loop {
            self.told.extend(told(&view));
            view.repair_start = 0;
            view.layers &= !layer::ZERO_WINDOW_END;
            if self.pipeline.next_part(&mut view).is_none() {
                break;
            }
        }
        self.given_up();
    }

    fn given_up(&mut self) {
        let mut view = PacketView::default();
        while let Some((family, _)) = self.pipeline.next_given_up(&mut view) {
            self.families.push(family);
            self.last.extend(told(&view));
            // They are of their own connection, whoever has its ports.
            assert_eq!((view.tcp_isn, view.tcp_peer_isn, view.conn_opened), (CLIENT_SEQ - 1, SERVER_SEQ - 1, MS));
        }
    }

    /// So many ms pass after `from`, in ticks.
    fn silence(&mut self, from: u64, ms: u64) {
        for tick in (0..ms).step_by(100) {
            self.pipeline.pass_time((from + tick) * MS);
            self.given_up();
        }
    }

    fn finish(&mut self) {
        let mut view = PacketView::default();
        while let Some((family, wanted)) = self.pipeline.finish(&mut view) {
            assert_eq!(wanted, u64::MAX);
            self.families.push(family);
            self.last.extend(told(&view));
            assert_eq!((view.layers & layer::FRAME, view.tcp_src_port), (0, CLIENT.1));
        }
    }
}

/// The path is black-holed, or the reader stops: what lasts is told before the exchange that it held up.
#[test]
fn stalls_last_to_the_end() {
    let mut wire = Wire::open(false);
    for ms in [10, 210, 610, 1410] {
        wire.packet(ms, 0, ACK | PSH, (CLIENT_SEQ, SERVER_SEQ), GET);
    }
    // Something else is the last packet.
    wire.packet(7_000, 1, ACK, (SERVER_SEQ, CLIENT_SEQ), b"");
    wire.finish();
    assert_eq!(wire.last, [Loss(10, 7_000), unanswered(7_000)]);
    assert_eq!(wire.families, [needs::STALLS, needs::HTTP]);
    assert_eq!(wire.told, []);

    let mut wire = Wire::open(false);
    let asked = CLIENT_SEQ + GET.len() as u32;
    wire.packet(10, 0, ACK | PSH, (CLIENT_SEQ, SERVER_SEQ), GET);
    wire.packet(20, 1, ACK | PSH, (SERVER_SEQ, asked), &OK[..10]);
    wire.window = 0;
    wire.packet(30, 0, ACK, (asked, SERVER_SEQ + 10), b"");
    wire.window = 60_000;
    wire.packet(5_000, 1, ACK | PSH, (SERVER_SEQ + 10, asked), &OK[10..11]);
    wire.finish();
    let open = Exchange { uri: "/a".into(), status: Some(0), end: 5_000 };
    assert_eq!(wire.last, [Closed { of_client: true, from: 30, to: 5_000 }, open]);
}

/// What a reset has told is told once; and of a side that nobody ever heard nobody knows what it got.
#[test]
fn what_was_told_does_not_last() {
    let mut wire = Wire::open(false);
    wire.packet(10, 0, ACK | PSH, (CLIENT_SEQ, SERVER_SEQ), GET);
    wire.packet(310, 0, ACK | PSH, (CLIENT_SEQ, SERVER_SEQ), GET);
    for ms in [900, 910] {
        wire.packet(ms, 1, RST, (SERVER_SEQ, 0), b"");
    }
    wire.finish();
    assert_eq!((wire.told, wire.last), (vec![Loss(10, 310), unanswered(900)], vec![]));

    let mut wire = Wire::new(false);
    for ms in [10, 310] {
        wire.packet(ms, 0, ACK | PSH, (CLIENT_SEQ, SERVER_SEQ), GET);
    }
    wire.packet(2_000, 0, ACK, (CLIENT_SEQ + GET.len() as u32, SERVER_SEQ), b"");
    wire.finish();
    assert!(!wire.last.iter().any(|told| matches!(told, Loss(..))), "{:?}", wire.last);
}

/// The client comes back with its ports: what the former connection's exchange waited for is told, and that is the former connection's.
#[test]
fn what_lasts_is_told_before_another_connection_takes_the_ports() {
    let mut wire = Wire::open(false);
    for ms in [10, 210, 610] {
        wire.packet(ms, 0, ACK | PSH, (CLIENT_SEQ, SERVER_SEQ), GET);
    }
    wire.packet(9_000, 0, SYN, (77_000, 0), b"");
    assert_eq!((&wire.told[..], &wire.last[..]), (&[][..], &[Loss(10, 9_000), unanswered(9_000)][..]));
    wire.last.clear();
    wire.finish();
    assert_eq!(wire.last, []);

    let mut wire = Wire::open(false);
    wire.window = 0;
    wire.packet(10, 0, ACK, (CLIENT_SEQ, SERVER_SEQ), b"");
    wire.window = 60_000;
    wire.packet(4_000, 0, SYN, (77_000, 0), b"");
    assert_eq!(wire.last, [Closed { of_client: true, from: 10, to: 4_000 }]);
}

/// Live: the server died. The client's FIN is lost too, and a minute after its last copy nothing more comes.
#[test]
fn a_request_to_a_server_that_died_is_given_up() {
    let dead = |copies: &[u64]| {
        let mut wire = Wire::open(true);
        let asked = CLIENT_SEQ + GET.len() as u32;
        for ms in [10, 310, 910] {
            wire.packet(ms, 0, ACK | PSH, (CLIENT_SEQ, SERVER_SEQ), GET);
        }
        for &ms in copies {
            wire.packet(ms, 0, ACK | FIN, (asked, SERVER_SEQ), b"");
        }
        wire
    };
    let mut wire = dead(&[5_000, 9_000]);
    wire.silence(9_000, 59_000);
    assert_eq!(wire.last, []);
    wire.silence(68_000, 20_000);
    let [Loss(10, lost), Exchange { status: Some(0), end, .. }] = wire.last[..] else { panic!("{:?}", wire.last) };
    assert!(lost == end && (69_000..86_000).contains(&end), "{lost} {end}");
    // It is told once.
    wire.finish();
    assert_eq!(wire.last.len(), 2);

    // Without a FIN it takes five minutes.
    let mut wire = dead(&[]);
    wire.silence(1_000, 299_000);
    assert_eq!(wire.last, []);
    wire.silence(300_000, 40_000);
    assert_eq!(wire.last.len(), 2, "{:?}", wire.last);

    // In a file nothing is given up before its end.
    let mut wire = Wire::open(false);
    wire.packet(10, 0, ACK | PSH, (CLIENT_SEQ, SERVER_SEQ), GET);
    wire.packet(700_000, 0, ACK | PSH, (CLIENT_SEQ, SERVER_SEQ), GET);
    assert_eq!((wire.told, wire.last), (vec![], vec![]));
}

/// Live: both sides have sent their FIN, and the client lacks what came before the server's. Its place goes to another connection when that was told.
#[test]
fn a_connection_gives_its_place_away_when_its_last_was_told() {
    let mut wire = Wire::open(true);
    let asked = CLIENT_SEQ + GET.len() as u32;
    wire.packet(10, 0, ACK | PSH, (CLIENT_SEQ, SERVER_SEQ), GET);
    wire.packet(11, 0, ACK | FIN, (asked, SERVER_SEQ), b"");
    wire.packet(12, 1, ACK | FIN, (SERVER_SEQ + 100, asked + 1), b"");
    // Of another port; the next look comes later.
    let syn = Tcp { flags: SYN, ..Tcp::new(1, 50_000, 2, 8_080) }.frame();
    let raw = RawPacket { live: true, boot_ns: Some(60_500 * MS), ..RawPacket::new(LinkType::ETHERNET, &syn, 1) };
    wire.pipeline.process(&raw, &mut PacketView::default());
    assert_eq!((wire.pipeline.flows(), wire.pipeline.counters().http_dropped), (2, 0));
    wire.silence(60_500, 20_000);
    assert!(matches!(wire.last[..], [Exchange { .. }]), "{:?}", wire.last);
}

/// Live: what both sides have got may be thought about for as long as it takes; and one that is only half closed may be answered.
#[test]
fn requests_that_were_heard_wait_for_their_answers() {
    let asked = CLIENT_SEQ + GET.len() as u32;
    for (fin, silence) in [(false, 3_000_000), (true, 290_000)] {
        let mut wire = Wire::open(true);
        wire.packet(10, 0, ACK | PSH, (CLIENT_SEQ, SERVER_SEQ), GET);
        let mut have = asked;
        if fin {
            wire.packet(11, 0, ACK | FIN, (asked, SERVER_SEQ), b"");
            have += 1;
        }
        wire.packet(12, 1, ACK, (SERVER_SEQ, have), b"");
        wire.silence(12, silence);
        assert_eq!(wire.last, [], "{fin}");
        wire.packet(12 + silence, 1, ACK | PSH, (SERVER_SEQ, have), OK);
        wire.packet(13 + silence, 0, ACK, (have, SERVER_SEQ + OK.len() as u32), b"");
        assert_eq!(wire.told, [Exchange { uri: "/a".into(), status: Some(200), end: 12 + silence }], "{fin}");
    }
}

/// Live: what was given up may go on after all, where only the packets that would have said so were not captured.
#[test]
fn a_connection_that_goes_on_after_it_was_given_up_is_read() {
    let mut wire = Wire::open(true);
    let (asked, answered) = (CLIENT_SEQ + GET.len() as u32, SERVER_SEQ + OK.len() as u32);
    wire.packet(10, 0, ACK | PSH, (CLIENT_SEQ, SERVER_SEQ), GET);
    wire.packet(20, 1, ACK | PSH, (SERVER_SEQ, asked), OK);
    wire.silence(20, 320_000);
    assert_eq!(wire.last.len(), 1, "{:?}", wire.last);
    wire.packet(400_000, 0, ACK | PSH, (asked, answered), GET);
    wire.packet(400_007, 1, ACK | PSH, (answered, asked + GET.len() as u32), OK);
    wire.packet(400_010, 0, ACK, (asked + GET.len() as u32, answered + OK.len() as u32), b"");
    assert_eq!(wire.told, [Exchange { uri: "/a".into(), status: Some(200), end: 400_007 }]);
}

/// Live: an answer that nobody acknowledges holds nothing back for ever.
#[test]
fn an_answer_that_nobody_acknowledges_is_told() {
    let mut wire = Wire::open(true);
    wire.packet(10, 0, ACK | PSH, (CLIENT_SEQ, SERVER_SEQ), GET);
    wire.packet(20, 1, ACK | PSH, (SERVER_SEQ, CLIENT_SEQ + GET.len() as u32), OK);
    assert_eq!(wire.pipeline.oldest_unsettled(), Some(20 * MS));
    wire.silence(20, 320_000);
    assert_eq!(wire.last, [Exchange { uri: "/a".into(), status: Some(200), end: 20 }]);
    assert_eq!(wire.pipeline.oldest_unsettled(), None);
}

/// A connection older than the capture whose server has the higher port: who asks is its client.
#[test]
fn who_asks_is_the_client() {
    let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
    let mut ask = |from: usize| -> Vec<(u16, u32)> {
        let mut views = Vec::new();
        let mut at = [1_000_u32, 9_000];
        for (i, (dir, bytes)) in [(from, GET), (1 - from, OK), (from, &b""[..]), (from, GET)].into_iter().enumerate() {
            let (a, b) = if dir == 0 { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
            // Each call's connection has a host of its own.
            let tcp = Tcp {
                seq: at[dir],
                ack: at[1 - dir],
                ..Tcp::new(a.0 + 10 * from as u8, a.1, b.0 + 10 * from as u8, b.1)
            };
            let frame = Tcp { payload: bytes.to_vec(), flags: ACK | PSH, ..tcp }.frame();
            at[dir] += bytes.len() as u32;
            let mut view = PacketView::default();
            pipeline.process(&RawPacket::new(LinkType::ETHERNET, &frame, i as u64), &mut view);
            views.push((view.tcp_src_port, view.from_client));
        }
        views
    };
    for from in [0, 1] {
        let port = [CLIENT.1, SERVER.1];
        let want = [from, 1 - from, from, from].map(|dir| (port[dir], u32::from(dir == from)));
        assert_eq!(ask(from), want);
    }
}
