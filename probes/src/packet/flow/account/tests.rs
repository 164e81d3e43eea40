//! Accounts of made-up connections.

use super::*;

const MS: u64 = 1_000_000;

fn step(c: &mut Account, dir: usize, flags: u32, (seq, len, ack): (u32, u32, u32), time: u64) {
    let view = PacketView {
        tcp_flags: flags,
        tcp_seq_raw: seq,
        tcp_ack_raw: ack,
        tcp_len: len,
        len: len + 54,
        from_client: u32::from(dir == 0),
        boot_ns: time * MS,
        time_ns: time * MS,
        ..PacketView::default()
    };
    c.packet(dir, &view, [false; 2]);
}

fn opened() -> Account {
    let mut c = Account::default();
    step(&mut c, 0, SYN, (100, 0, 0), 1);
    assert_eq!(c.state(), "syn");
    step(&mut c, 0, SYN, (100, 0, 0), 1001);
    step(&mut c, 1, SYN | ACK, (500, 0, 101), 1021);
    assert_eq!(c.state(), "synack");
    step(&mut c, 0, ACK, (101, 0, 501), 1026);
    assert_eq!(c.state(), "open");
    c
}

#[test]
fn steps_of_a_handshake() {
    let mut view = ConnectionView::default();
    opened().describe(0, [0; 2], &mut view);
    assert_eq!((view.syns, view.synacks), (2, 1));
    assert_eq!((view.syn_ns, view.synack_ns, view.ack_ns), (1000 * MS, 20 * MS, 5 * MS));
    assert_eq!((view.client.packets, view.server.packets, view.both.bytes), (3, 1, 4 * 54));
}

#[test]
fn closed_when_both_fins_are_acknowledged() {
    let mut c = opened();
    step(&mut c, 0, ACK | FIN, (101, 10, 501), 1100);
    assert_eq!(c.state(), "closing");
    step(&mut c, 1, ACK | FIN, (501, 0, 112), 1200);
    assert_eq!(c.state(), "closing");
    step(&mut c, 0, ACK, (112, 0, 502), 1300);
    assert_eq!(c.state(), "closed");
    // A reset after all changes nothing.
    step(&mut c, 1, RST, (502, 0, 0), 1400);
    assert_eq!(c.state(), "closed");
}

#[test]
fn refused_or_reset() {
    let mut c = Account::default();
    step(&mut c, 0, SYN, (100, 0, 0), 1);
    step(&mut c, 1, RST | ACK, (0, 0, 101), 2);
    assert_eq!(c.state(), "refused");
    let mut c = opened();
    step(&mut c, 0, RST, (101, 0, 0), 2000);
    assert_eq!(c.state(), "reset");
}

#[test]
fn a_reset_that_nobody_heeds_is_none() {
    let mut c = Account::default();
    step(&mut c, 0, SYN, (100, 0, 0), 1);
    step(&mut c, 1, RST | ACK, (0, 0, 101), 2);
    step(&mut c, 0, SYN, (100, 0, 0), 500);
    assert_eq!((c.state(), c.due), ("syn", 0));
    step(&mut c, 1, SYN | ACK, (500, 0, 101), 510);
    step(&mut c, 0, ACK, (101, 0, 501), 515);
    step(&mut c, 0, RST, (101, 0, 501), 600);
    assert_eq!(c.state(), "reset");
    // What was on its way from the other side says nothing.
    step(&mut c, 1, ACK, (501, 100, 101), 601);
    assert_eq!(c.state(), "reset");
    step(&mut c, 0, ACK, (101, 50, 501), 700);
    assert_eq!(c.state(), "open");
}

#[test]
fn stalls_that_last_count() {
    let mut c = opened();
    c.sides[1].sent.stall_ns = 3;
    let mut view = ConnectionView::default();
    c.describe(0, [0, 7], &mut view);
    assert_eq!((view.server.stall_ns, view.client.stall_ns, view.both.stall_ns), (10, 0, 10));
}

#[test]
fn an_end_hides_the_round_trip_of_a_clock_that_ran_backwards() {
    let told = |initial_rtt: u64| {
        let mut flow = Flow::default();
        (flow.initial_rtt, flow.account) = (initial_rtt, Some(Box::new(opened())));
        let mut view = PacketView::default();
        let ended = Ended::take(&mut flow, "capture").expect("an account");
        ended.present(MS, &mut view, &mut ConnectionView::default());
        (view.layers & layer::INITIAL_RTT != 0).then_some(view.initial_rtt_ns)
    };
    assert_eq!((told(25), told(0), told(0_u64.wrapping_sub(25))), (Some(25), None, None));
}

/// A look at the table finds more idle connections than can be told at once.
#[test]
fn all_idle_connections_are_told() {
    let flows = (MAX_ENDED + 50) * SWEEPS;
    let mut all = super::super::Flows::new(flows, 16);
    all.ends = Ends::new(true);
    for i in 0..flows {
        let mut view = PacketView { net_family: 2, tcp_flags: ACK, boot_ns: MS, ..PacketView::default() };
        view.ip_src[..4].copy_from_slice(&(i as u32).to_be_bytes());
        let place = all.place(&view, true, &mut |_| {});
        all.account(place, 1, &mut view, &mut ConnectionView::default());
    }
    let mut told = 0;
    // A look of all of it, and each packet's connections are taken before the next.
    for i in 0..2 * SWEEPS as u64 {
        all.end_due(IDLE_NS + MS + i / 2 * SWEEP_NS, true);
        told += std::iter::from_fn(|| all.ends.next()).count();
    }
    assert_eq!((told, all.ends.dropped), (flows, 0));
}
