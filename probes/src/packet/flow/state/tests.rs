use super::*;

const MS: u64 = 1_000_000;

fn packet(flags: u32, window: u32, time: u64) -> PacketView {
    PacketView {
        tcp_flags: flags,
        tcp_window_raw: window,
        time_ns: time,
        boot_ns: time,
        layers: layer::TCP,
        known: known::TCP,
        ..PacketView::default()
    }
}

fn step(flow: &mut Flow, dir: usize, flags: u32, window: u32, time: u64) -> PacketView {
    let mut view = packet(flags, window, time);
    if flow.syns == 0 && flags & (SYN | ACK) == SYN {
        flow.open(0, dir, &view);
    }
    flow.relate(dir, &view);
    let (fwd, rev) = flow.pair(dir);
    fwd.after(rev, &view);
    flow.time_handshake(dir, &mut view);
    flow.time_stall(dir, &mut view);
    flow.describe(dir, &mut view);
    view
}

#[test]
fn a_handshake_counts_its_syns() {
    let mut flow = Flow::default();
    step(&mut flow, 0, SYN, 100, 1_000 * MS);
    step(&mut flow, 0, SYN, 100, 2_000 * MS);
    let answer = step(&mut flow, 1, SYN | ACK, 100, 2_010 * MS);
    assert_eq!(answer.layers & layer::HANDSHAKE_END, 0);
    assert_eq!(answer.from_client, 0);
    let end = step(&mut flow, 0, ACK, 100, 2_020 * MS);
    assert_ne!(end.layers & layer::HANDSHAKE_END, 0);
    assert_eq!((end.handshake_start, end.handshake_ns), (1_000 * MS, 1_020 * MS));
    assert_eq!((end.handshake_syns, end.handshake_completed), (2, 1));
    assert_eq!((end.initial_rtt_ns, end.conn_opened, end.from_client), (20 * MS, 1_000 * MS, 1));
    // Only once.
    assert_eq!(step(&mut flow, 0, ACK, 100, 2_030 * MS).layers & layer::HANDSHAKE_END, 0);
}

#[test]
fn a_refused_handshake_ends_too() {
    let mut flow = Flow::default();
    step(&mut flow, 0, SYN, 100, 5 * MS);
    let refused = step(&mut flow, 1, RST | ACK, 0, 6 * MS);
    assert_ne!(refused.layers & layer::HANDSHAKE_END, 0);
    assert_eq!((refused.handshake_completed, refused.handshake_ns), (0, MS));
}

#[test]
fn a_stall_lasts_from_the_first_zero_to_the_first_other() {
    let mut flow = Flow::default();
    step(&mut flow, 0, ACK, 100, MS);
    for time in [10, 20, 30] {
        assert_eq!(step(&mut flow, 1, ACK, 0, time * MS).layers & layer::ZERO_WINDOW_END, 0);
        // The other side's window says nothing about it.
        assert_eq!(step(&mut flow, 0, ACK, 100, (time + 1) * MS).layers & layer::ZERO_WINDOW_END, 0);
    }
    let end = step(&mut flow, 1, ACK, 5_000, 45 * MS);
    assert_ne!(end.layers & layer::ZERO_WINDOW_END, 0);
    assert_eq!((end.zero_window_start, end.zero_window_ns), (10 * MS, 35 * MS));
    assert_eq!(step(&mut flow, 1, ACK, 6_000, 50 * MS).layers & layer::ZERO_WINDOW_END, 0);
    // A reset ends it as well.
    step(&mut flow, 1, ACK, 0, 60 * MS);
    assert_eq!(step(&mut flow, 0, RST, 0, 70 * MS).zero_window_ns, 10 * MS);
}

/// The sender doesn't fill the last bytes of a window at once: the reader has stopped long before it advertises 0.
#[test]
fn a_stall_begins_when_no_segment_had_room() {
    let mut flow = Flow::default();
    flow.dirs[1].scale = SCALE_UNUSED;
    step(&mut flow, 0, ACK, 100, MS);
    step(&mut flow, 1, ACK, 5_000, 10 * MS);
    step(&mut flow, 1, ACK, 500, 20 * MS);
    step(&mut flow, 1, ACK, 0, 220 * MS);
    let end = step(&mut flow, 1, ACK, 5_000, 300 * MS);
    assert_eq!((end.zero_window_start, end.zero_window_ns), (20 * MS, 280 * MS));
    // A small window that opens again was no stall.
    step(&mut flow, 1, ACK, 500, 400 * MS);
    assert_eq!(step(&mut flow, 1, ACK, 5_000, 500 * MS).layers & layer::ZERO_WINDOW_END, 0);
}

/// A connection older than the capture: its windows are in an unknown unit, and 0 alone is sure.
#[test]
fn a_stall_in_an_unknown_unit_begins_with_the_zero() {
    let mut flow = Flow::default();
    step(&mut flow, 0, ACK, 100, MS);
    step(&mut flow, 1, ACK, 500, 20 * MS);
    step(&mut flow, 1, ACK, 0, 220 * MS);
    let end = step(&mut flow, 1, ACK, 500, 300 * MS);
    assert_eq!((end.zero_window_start, end.zero_window_ns), (220 * MS, 80 * MS));
}

#[test]
fn windows_scale_after_both_syns_agree() {
    let mut flow = Flow::default();
    let syn = |flow: &mut Flow, dir: usize, flags: u32, shift: Option<u32>| {
        let mut view = packet(flags, 1_000, MS);
        if let Some(shift) = shift {
            view.tcp_wscale_opt = shift;
            view.layers |= layer::TCP_WSCALE;
        }
        let (fwd, rev) = flow.pair(dir);
        fwd.after(rev, &view);
    };
    syn(&mut flow, 0, SYN, Some(7));
    syn(&mut flow, 1, SYN | ACK, Some(2));
    let view = step(&mut flow, 0, ACK, 10, 2 * MS);
    assert_eq!((view.tcp_window, view.tcp_window_factor), (1_280, 128));
    assert_ne!(view.layers & layer::WINDOW_SCALE, 0);
    // One side without the option: neither scales.
    let mut flow = Flow::default();
    syn(&mut flow, 0, SYN, Some(7));
    syn(&mut flow, 1, SYN | ACK, None);
    let view = step(&mut flow, 0, ACK, 10, 2 * MS);
    assert_eq!((view.tcp_window, view.tcp_window_factor), (10, -2));
    // Not seen: unknown.
    let view = step(&mut Flow::default(), 0, ACK, 10, 2 * MS);
    assert_eq!((view.tcp_window, view.tcp_window_factor), (10, -1));
}

/// A SYN whose options were cut says nothing of what it may have said behind the cut.
#[test]
fn options_that_were_cut_decide_nothing() {
    let syn = |dir: usize, flow: &mut Flow, layers: u64, shift: u32, whole: bool| {
        let cut = if whole { 0 } else { known::TCP_OPTIONS | known::SACK_PERM };
        let mut view = packet(if dir == 0 { SYN } else { SYN | ACK }, 100, MS);
        (view.layers, view.known, view.tcp_wscale_opt) = (view.layers | layers, view.known & !cut, shift);
        let (fwd, rev) = flow.pair(dir);
        fwd.after(rev, &view);
    };
    let said = layer::TCP_WSCALE | layer::SACK_PERM;
    for (first, second, scales) in [
        ((said, true), (0, false), [7, SCALE_UNKNOWN]),
        ((0, false), (said, true), [SCALE_UNKNOWN, 7]),
        ((0, false), (0, false), [SCALE_UNKNOWN; 2]),
        ((said, true), (0, true), [SCALE_UNUSED; 2]),
        ((0, true), (0, false), [SCALE_UNUSED; 2]),
    ] {
        let mut flow = Flow::default();
        syn(0, &mut flow, first.0, 7, first.1);
        syn(1, &mut flow, second.0, 7, second.1);
        assert_eq!(flow.dirs.each_ref().map(|dir| dir.scale), scales, "{first:?} {second:?}");
    }
    // What an earlier copy of it has said stays.
    let mut flow = Flow::default();
    syn(0, &mut flow, said, 7, true);
    syn(0, &mut flow, 0, 0, false);
    assert_eq!((flow.dirs[0].scale, flow.dirs[0].sack_permitted), (7, true));
}

/// RFC 9293, section 3.10.7.4: a reset outside the receiver's window is none, and no other one is the better for it.
#[test]
fn resets_outside_the_window_are_passed_over() {
    let told = |flow: &mut Flow, dir: usize, flags: u32, seq: u32, ack: u32, window: u32| {
        let view = PacketView { tcp_seq_raw: seq, tcp_ack_raw: ack, ..packet(flags, window, MS) };
        let heeds = flow.heeds_reset(dir, &view);
        let closes = flow.touch(dir, &view);
        let (fwd, rev) = flow.pair(dir);
        fwd.after(rev, &view);
        (heeds, closes)
    };
    let mut flow = Flow::default();
    assert!(told(&mut flow, 1, RST, 5, 0, 0).0, "nobody knows better");
    let mut flow = Flow::default();
    told(&mut flow, 0, SYN, 99, 0, 10);
    assert!(told(&mut flow, 1, RST | ACK, 0, 100, 0).0, "the port is closed");
    let mut flow = Flow::default();
    (flow.dirs[0].scale, flow.dirs[1].scale) = (1, SCALE_UNKNOWN);
    told(&mut flow, 0, ACK, 100, u32::MAX - 4, 10);
    told(&mut flow, 1, ACK, u32::MAX - 4, 100, 10);
    for (dir, seq) in [(1, 16), (1, u32::MAX - 5), (0, 99), (0, 100 + (10 << 14) + 1)] {
        assert_eq!(told(&mut flow, dir, RST, seq, 0, 0), (false, false), "{dir} {seq}");
    }
    for (dir, seq) in [(1, 15), (1, u32::MAX - 4), (0, 100), (0, 100 + (10 << 14))] {
        flow.done = 0;
        assert_eq!(told(&mut flow, dir, RST, seq, 0, 0), (true, true), "{dir} {seq}");
    }
}
