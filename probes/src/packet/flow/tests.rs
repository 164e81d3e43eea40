//! Conversations that come and go while packets are captured live.

use super::*;

const S: u64 = 1_000_000_000;

fn packet(port: u16, from_client: bool, flags: u32, seconds: u64) -> PacketView {
    let mut view = PacketView {
        net_family: 2,
        layers: layer::TCP,
        tcp_flags: flags,
        tcp_seq_raw: 100 + u32::from(port),
        time_ns: seconds * S,
        boot_ns: seconds * S,
        ..PacketView::default()
    };
    (view.tcp_src_port, view.tcp_dst_port) = if from_client { (port, 80) } else { (80, port) };
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let (src, dst) = if from_client { (client, server) } else { (server, client) };
    view.ip_src[..4].copy_from_slice(&src);
    view.ip_dst[..4].copy_from_slice(&dst);
    view
}

/// Opened, and closed by a FIN of each side, all in one second. Its number.
fn whole(flows: &mut Flows, port: u16, live: bool, seconds: u64) -> u32 {
    for (from_client, flags) in [(true, SYN), (false, SYN | ACK), (true, FIN | ACK), (false, FIN | ACK), (true, ACK)] {
        flows.place(&packet(port, from_client, flags, seconds), live, &mut |_| {});
    }
    let place = flows.place(&packet(port, true, ACK, seconds), live, &mut |_| {});
    flows.table.get_mut(place.flow).stream
}

/// A minute after they were closed they make room, and are no loss; in a file all of them stay.
#[test]
fn live_ones_that_are_over_make_room() {
    for (live, most) in [(true, 60), (false, 1000)] {
        let mut flows = Flows::new(1 << 20, 0);
        let numbers: Vec<u32> = (0..1000).map(|n| whole(&mut flows, 1000 + n, live, u64::from(n))).collect();
        assert_eq!((flows.table.len(), flows.table.evicted), (most, 0), "live: {live}");
        assert!(numbers.iter().enumerate().all(|(n, number)| n as u32 == *number));
        assert!(flows.table.closed.len() <= 61);
    }
}

/// One that is open stays, however quiet it is; so does one that goes on after a reset, and one that was opened again.
#[test]
fn those_that_go_on_stay() {
    let mut flows = Flows::new(1 << 20, 0);
    flows.place(&packet(1, true, SYN, 0), true, &mut |_| {});
    flows.place(&packet(1, true, FIN | ACK, 0), true, &mut |_| {});
    flows.place(&packet(2, true, SYN, 0), true, &mut |_| {});
    flows.place(&packet(2, false, RST, 0), true, &mut |_| {});
    whole(&mut flows, 3, true, 0);
    for second in 1..500 {
        flows.place(&packet(2, true, ACK, second), true, &mut |_| {});
        let again = PacketView { tcp_seq_raw: 7000 + second as u32, ..packet(3, true, SYN, second) };
        let place = flows.place(&again, true, &mut |_| {});
        // What packets are relative to is known of those that were analysed.
        if second > 1 {
            assert!(place.reopened);
            flows.reopen(place, &again);
        }
        flows.table.get_mut(place.flow).relate(place.dir, &again);
        flows.place(&packet(3, false, RST, second), true, &mut |_| {});
        whole(&mut flows, 1000 + second as u16, true, second);
    }
    for port in [1, 2, 3] {
        assert!(!flows.place(&packet(port, true, ACK, 500), true, &mut |_| {}).first, "{port}");
    }
    assert!(flows.table.len() <= 3 + 61 && flows.table.closed.len() <= 200, "{}", flows.table.closed.len());
}
