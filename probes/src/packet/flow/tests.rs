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

const MS: u64 = 1_000_000;

/// A conversation whose packets are analysed.
struct Wire {
    flows: Flows,
    views: Vec<PacketView>,
}

impl Wire {
    fn new() -> Self {
        Self { flows: Flows::new(16, 1_000), views: Vec::new() }
    }

    /// One packet, so many us after the begin. Says which place it has.
    fn send(&mut self, us: u64, from_client: bool, flags: u32, (seq, ack, len): (u32, u32, u32)) -> Place {
        let time = S + us * 1_000;
        let mut view = PacketView { time_ns: time, boot_ns: time, ..packet(1000, from_client, flags, 0) };
        (view.tcp_seq_raw, view.tcp_ack_raw, view.tcp_len, view.tcp_window_raw) = (seq, ack, len, 60_000);
        view.known |= known::TCP;
        self.take(view)
    }

    fn take(&mut self, mut view: PacketView) -> Place {
        let place = self.flows.place(&view, true, &mut |_| {});
        if place.reopened {
            self.flows.reopen(place, &view);
        }
        self.flows.follow(place, needs::ANALYSIS | needs::SEGMENTS, &mut view);
        self.views.push(view);
        place
    }

    /// Handshakes that ended: whether well, in us, after how many SYNs.
    fn handshakes(&self) -> Vec<(u32, u64, u32)> {
        let ended = self.views.iter().filter(|view| view.layers & layer::HANDSHAKE_END != 0);
        ended.map(|view| (view.handshake_completed, view.handshake_ns / 1_000, view.handshake_syns)).collect()
    }

    /// Losses that were told, in us: since when, for how long.
    fn losses(&self) -> Vec<(u64, u64)> {
        let lost = self.views.iter().filter(|view| view.repair_start != 0);
        lost.map(|view| ((view.repair_start - S) / 1_000, view.repair_ns / 1_000)).collect()
    }
}

/// A server that still has the port's last connection answers a SYN with that one's numbers; the client resets it, and asks again. The connection has the
/// server's new numbers from then on, wherever the old ones were.
#[test]
fn a_port_whose_last_connection_the_server_still_had() {
    for old in [5_000_000_u32, 9_000, 4_000_000_000] {
        let mut wire = Wire::new();
        wire.send(0, true, SYN, (100, 0, 0));
        let place = wire.send(100, false, ACK, (old, 70_000, 0));
        wire.send(200, true, RST, (70_000, 0, 0));
        let (index, stream) = (place.flow, wire.flows.table.get_mut(place.flow).stream);
        assert!(wire.flows.table.get_mut(index).is_closed(stream));
        wire.send(1_000_000, true, SYN, (100, 0, 0));
        assert!(!wire.flows.table.get_mut(index).is_closed(stream), "it is open again");
        wire.send(1_000_100, false, SYN | ACK, (8_999, 101, 0));
        wire.send(1_000_200, true, ACK, (101, 9_000, 0));
        assert_eq!(wire.handshakes(), [(0, 200, 1), (1, 1_000_200, 2)], "{old}");
        // Acknowledged at once; the second response is lost, and sent again.
        wire.send(1_000_300, true, ACK, (101, 9_000, 50));
        wire.send(1_010_000, false, ACK, (9_000, 151, 200));
        wire.send(1_010_100, true, ACK, (151, 9_200, 0));
        assert_eq!(wire.losses(), [], "{old}");
        wire.send(1_020_000, false, ACK, (9_200, 151, 200));
        wire.send(1_320_000, false, ACK, (9_200, 151, 200));
        wire.send(1_320_100, true, ACK, (151, 9_400, 0));
        assert_eq!(wire.losses(), [(1_020_000, 300_000)], "{old}");
    }
}

/// A reset that its receiver passes over is of no sequence: what comes after it was not there before, and leaves the window its room.
#[test]
fn a_reset_that_nobody_heeds_makes_no_losses_and_no_stall() {
    let mut wire = Wire::new();
    wire.send(0, true, SYN, (100, 0, 0));
    wire.send(100, false, SYN | ACK, (8_999, 101, 0));
    wire.send(200, true, ACK, (101, 9_000, 0));
    wire.send(300, false, RST, (900_000, 101, 0));
    wire.send(400, false, ACK, (9_000, 101, 200));
    wire.send(300_000, true, ACK, (101, 9_200, 0));
    assert_eq!(wire.losses(), []);
    // The client's window is closed and opened at once.
    for (us, window) in [(400_000, 0), (401_000, 60_000)] {
        let time = S + us * 1_000;
        let mut view = PacketView { time_ns: time, boot_ns: time, ..packet(1000, true, ACK, 0) };
        (view.tcp_seq_raw, view.tcp_ack_raw, view.tcp_window_raw) = (101, 9_200, window);
        view.known |= known::TCP;
        wire.take(view);
    }
    let stalls: Vec<_> = wire.views.iter().filter(|view| view.layers & layer::ZERO_WINDOW_END != 0).collect();
    assert_eq!(stalls.iter().map(|view| view.zero_window_ns).collect::<Vec<_>>(), [MS]);
}
