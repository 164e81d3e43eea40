use super::*;
use std::collections::HashMap;

fn view(src: u8, sport: u16, dst: u8, dport: u16) -> PacketView {
    let mut view = PacketView {
        net_family: 2,
        layers: layer::TCP,
        tcp_src_port: sport,
        tcp_dst_port: dport,
        ..PacketView::default()
    };
    view.ip_src[..4].copy_from_slice(&[10, 0, 0, src]);
    view.ip_dst[..4].copy_from_slice(&[10, 0, 0, dst]);
    view
}

#[test]
fn both_directions_are_one_key() {
    let (there, back) = (FlowKey::of(&view(1, 40_000, 2, 80), false), FlowKey::of(&view(2, 80, 1, 40_000), false));
    assert_eq!(there.0, back.0);
    assert_eq!((there.1, back.1), (0, 1));
    let key = |view| conn_key(&view, PacketEnd::Neither);
    assert_eq!(key(view(1, 40_000, 2, 80)), key(view(2, 80, 1, 40_000)));
    // The same address on both sides: by port.
    let (a, b) = (FlowKey::of(&view(1, 5, 1, 9), false), FlowKey::of(&view(1, 9, 1, 5), false));
    assert_eq!((a.0 == b.0, a.1, b.1), (true, 0, 1));
}

#[test]
fn live_flows_differ_by_interface_and_namespace() {
    let one = PacketView { interface: 3, netns: 7, ..view(1, 1, 2, 2) };
    let other = PacketView { interface: 4, ..one };
    assert_ne!(FlowKey::of(&one, true).0, FlowKey::of(&other, true).0);
    assert_ne!(FlowKey::of(&one, true).0, FlowKey::of(&PacketView { netns: 8, ..one }, true).0);
    assert_eq!(FlowKey::of(&one, false).0, FlowKey::of(&other, false).0);
}

#[test]
fn the_join_key_orders_ends_and_keeps_their_numbers() {
    let mut back = view(2, 80, 1, 40_000);
    (back.tcp_isn, back.tcp_peer_isn, back.netns) = (22, 11, 5);
    let key = conn_key(&back, PacketEnd::Neither).unwrap();
    assert_eq!((key.a_addr[3], key.a_port, key.a_isn), (1, 40_000, 11));
    assert_eq!((key.b_addr[3], key.b_port, key.b_isn, key.netns), (2, 80, 22, 5));
    assert_eq!(conn_key(&PacketView::default(), PacketEnd::ZeroWindow), None);
}

#[test]
fn bytes_are_those_of_the_side_that_sends_them() {
    let mut back = view(2, 80, 1, 40_000);
    (back.tcp_isn, back.tcp_base, back.tcp_peer_base) = (22, 22, 500);
    (back.tcp_place, back.tcp_len) = ((1 << 32) + 7, 100);
    let key = bytes_key(&back, PacketBytes::Segment).unwrap();
    let range = |from, to| ByteRange { from, to };
    assert_eq!((key.ranges[0][0], key.ranges[1][0]), (ByteRange::default(), range((1 << 32) + 7, (1 << 32) + 107)));
    back.tcp_len = 0;
    assert_eq!(bytes_key(&back, PacketBytes::Segment), None);
    // An exchange that the receiver of the packet asked for; the receiver's SYN was not seen.
    (back.tcp_dir, back.http.request_dir) = (1, 0);
    (back.http.request_from, back.http.request_to, back.http.response_to) = (10, 20, 5);
    let key = bytes_key(&back, PacketBytes::Exchange).unwrap();
    assert_eq!((key.ranges[0][0], key.ranges[1][0]), (range(511, 521), range(1, 6)));
    let request = bytes_key(&back, PacketBytes::Request).unwrap();
    assert!(request.ranges[1][0].is_empty() && !request.ranges[0][0].is_empty());
}

/// More ranges of one direction than have their place: they take the other's, and stay in order.
#[test]
fn frames_of_an_exchange_are_ranges_of_their_own() {
    let mut back = view(2, 80, 1, 40_000);
    (back.tcp_isn, back.tcp_peer_isn) = (22, 11);
    (back.tcp_dir, back.http.request_dir) = (1, 0);
    (back.http.request_to, back.http.response_to) = (9000, 9000);
    assert!(back.http.frames.put(false, ByteRange { from: 24, to: 50 }, false));
    for i in 0..7_u64 {
        assert!(back.http.frames.put(true, ByteRange { from: 100 * i, to: 100 * i + 10 }, i == 6));
    }
    assert!(!back.http.frames.put(true, ByteRange { from: 7000, to: 7010 }, false), "no more");
    let ranges = |which| {
        let key = bytes_key(&back, which).unwrap();
        let dir = |i: usize| BytesKey::direction(i, key.crossed);
        let all = key.ranges.as_flattened().iter().enumerate().filter(|(_, range)| !range.is_empty());
        all.map(|(i, range)| (dir(i), range.from, range.to, key.merged >> i & 1 == 1)).collect::<Vec<_>>()
    };
    // The client is the smaller end: what the response has beyond its four lies behind the request.
    let response = |i: u64| (1, 100 * i + 1, 100 * i + 11, i == 6);
    let request = (0, 25, 51, false);
    let all = [request, response(4), response(5), response(6), response(0), response(1), response(2), response(3)];
    assert_eq!(ranges(PacketBytes::Exchange), all);
    assert_eq!(ranges(PacketBytes::Request), [request]);
    assert_eq!(ranges(PacketBytes::Response).len(), 7);
}

/// What a packet acknowledges is its receiver's; what a reset leaves unmended may be its own.
#[test]
fn lost_bytes_are_those_of_who_sent_them() {
    let mut ack = view(2, 80, 1, 40_000);
    (ack.tcp_isn, ack.tcp_peer_isn) = (22, 11);
    assert!(ack.repair.put(false, ByteRange { from: 5, to: 9 }, false));
    assert_eq!(bytes_key(&ack, PacketBytes::Repair), None, "what an earlier packet left");
    ack.repair_start = 1;
    let key = bytes_key(&ack, PacketBytes::Repair).unwrap();
    assert_eq!((key.ranges[0][0], key.ranges[1][0]), (ByteRange { from: 5, to: 9 }, ByteRange::default()));
    ack.repair.second = 1;
    let key = bytes_key(&ack, PacketBytes::Repair).unwrap();
    assert_eq!((key.ranges[1][0], key.ranges[0][0]), (ByteRange { from: 5, to: 9 }, ByteRange::default()));
}

/// Many flows through a small table: every live key is found where it was put, whatever was evicted.
#[test]
fn agrees_with_a_map_under_eviction() {
    let mut table = FlowTable::new(50);
    let mut model: HashMap<(u8, u16), u32> = HashMap::new();
    let mut owner: HashMap<u32, (u8, u16)> = HashMap::new();
    let mut random = 7_u32;
    for _ in 0..20_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let name = ((random >> 8) as u8 % 8, (random >> 16) as u16 % 40);
        let (key, _) = FlowKey::of(&view(name.0, name.1 + 1, 200, 80), false);
        let mut evicted = 0;
        let (index, is_new) = table.find_or_insert(&key, None, &mut |_| evicted += 1);
        assert_eq!(is_new, !model.contains_key(&name));
        if is_new {
            if let Some(old) = owner.insert(index, name) {
                assert_eq!(evicted, 1);
                model.remove(&old);
            }
            model.insert(name, index);
        }
        assert_eq!(model[&name], index);
        assert_eq!(table.get_mut(index).key, key);
        assert!(table.len() <= 50);
    }
    assert_eq!(table.len(), 50);
    assert!(table.evicted > 0);
}

#[test]
fn a_flow_in_use_outlives_idle_ones() {
    let mut table = FlowTable::new(10);
    let busy =
        |table: &mut FlowTable| table.find_or_insert(&FlowKey::of(&view(1, 1, 2, 2), false).0, None, &mut |_| {}).1;
    assert!(busy(&mut table));
    for port in 100..200 {
        table.find_or_insert(&FlowKey::of(&view(3, port, 4, 80), false).0, None, &mut |_| {});
        assert!(!busy(&mut table), "evicted at {port}");
    }
}

#[test]
fn a_flow_stays_small() {
    // The budget is 400 bytes a flow, with its place in the table.
    assert!(size_of::<Flow>() + size_of::<Slot>() * 8 / 7 * 2 <= 400, "{}", size_of::<Flow>());
}
