//! The rules of tcp-analysis-spec, section 4, written down one by one, and random segments through both them and the analysis.

use super::*;
use std::collections::BTreeSet;
use weftrace_artifact::packet::analysis::NAMES;

type Names = BTreeSet<&'static str>;

/// Section 3: what is known of a direction.
#[derive(Clone, Default)]
struct Side {
    next_seq: u32,
    next_time: u64,
    max_ack: u32,
    last_ack: u32,
    last_time: u64,
    window: Option<u32>,
    dups: u32,
    last: Names,
    scale: i8,
    fresh: bool,
}

/// Section 4, in its order.
#[allow(clippy::too_many_lines, reason = "the specification's list, kept in one piece to be read beside it")]
fn rules(fwd: &mut Side, rev: &mut Side, irtt: u64, s: &Segment) -> Names {
    let less = |a: u32, b: u32| a != b && b.wrapping_sub(a) < 0x8000_0000;
    let (syn, fin, rst, ack) = (s.flags & 2 != 0, s.flags & 1 != 0, s.flags & 4 != 0, s.flags & 16 != 0);
    let none = !syn && !fin && !rst;
    let counted = s.len + u32::from(syn || fin);
    let end = s.seq.wrapping_add(counted);
    let in_place = s.seq == fwd.next_seq;
    let same_window = fwd.window == Some(s.window);
    let again = s.len == 0 && in_place && s.ack == fwd.last_ack && none;
    let mut found = Names::new();

    // 1 to 9
    if s.len == 1 && in_place && rev.window == Some(0) {
        found.insert("zero_window_probe");
    } else {
        if s.window == 0 && none {
            found.insert("zero_window");
        }
        if fwd.next_seq != 0 && less(fwd.next_seq, s.seq) && !rst {
            found.insert("lost_segment");
        }
        if s.len <= 1 && s.seq == fwd.next_seq.wrapping_sub(1) && none {
            found.insert("keep_alive");
        }
        if again && s.window != 0 && !same_window {
            found.insert("window_update");
        }
        let shift = if rev.fresh || rev.scale == -2 { 0 } else { rev.scale.max(0) as u32 };
        let edge = rev.last_ack.wrapping_add(rev.window.unwrap_or(u32::MAX).wrapping_shl(shift));
        if s.len > 0 && rev.scale != -1 && none && s.seq.wrapping_add(s.len) == edge {
            found.insert("window_full");
        }
        if again && same_window && s.window != 0 && rev.last.contains("keep_alive") {
            found.insert("keep_alive_ack");
        } else if again && same_window && s.window == 0 && rev.last.contains("zero_window_probe") {
            found.insert("zero_window_probe_ack");
        } else if again && same_window && s.window != 0 {
            found.insert("duplicate_ack");
            fwd.dups = if fwd.dups == u32::MAX { 1 } else { fwd.dups + 1 };
        }
    }
    // 10
    if s.ack != fwd.last_ack {
        fwd.dups = 0;
    }
    // 11
    if rev.max_ack != 0 && ack && less(rev.max_ack, s.ack) {
        if less(rev.max_ack, rev.next_seq) {
            rev.max_ack = rev.next_seq;
            found.insert("ack_lost_segment");
        } else {
            if rev.dups == 0 {
                found.insert("ack_lost_segment");
            }
            rev.dups = u32::MAX;
        }
    }
    // 12
    if counted > 0 && !found.contains("keep_alive") {
        let back =
            fwd.next_seq != 0 && less(s.seq, fwd.next_seq) && !(s.len > 1 && s.seq == fwd.next_seq.wrapping_sub(1));
        let reordering = if irtt == 0 { 3_000_000 } else { irtt };
        if s.len > 0 && rev.last_ack != 0 && !less(rev.last_ack, s.seq.wrapping_add(s.len)) {
            found.extend(["retransmission", "spurious_retransmission"]);
        } else if back && rev.dups >= 2 && s.seq == rev.last_ack && s.time.wrapping_sub(rev.last_time) < 20_000_000 {
            found.extend(["retransmission", "fast_retransmission"]);
        } else if back && s.time.wrapping_sub(fwd.next_time) < reordering && fwd.next_seq != end {
            found.insert("out_of_order");
        } else if back {
            found.insert("retransmission");
        }
    }
    // 13, 14
    if !found.contains("zero_window_probe") {
        if less(fwd.next_seq, end) || fwd.next_seq == 0 {
            (fwd.next_seq, fwd.next_time) = (end, s.time);
        }
        if s.seq == fwd.max_ack || fwd.max_ack == 0 {
            fwd.max_ack = fwd.next_seq;
        }
    }
    (fwd.window, fwd.last_ack, fwd.last_time) = (Some(s.window), s.ack, s.time);
    fwd.last = found.clone();
    found
}

/// Numbers that meet often: a few sequence numbers next to each other (and around the wrap), few windows, times near the limits.
#[test]
fn random_segments_agree_with_the_rules() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    };
    let mut seen = Names::new();
    for round in 0..4_000_u64 {
        let base = if round % 2 == 0 { 1_000 } else { 0_u32.wrapping_sub(6) };
        let mut dirs = [Direction::default(), Direction::default()];
        let mut sides = [Side { scale: -1, ..Side::default() }, Side { scale: -1, ..Side::default() }];
        let irtt = [0, 1_000_000, 50_000_000][next(3) as usize];
        let mut now = 1_000_000_000_u64;
        let mut list = Segments::new(64);
        for step in 0..60 {
            let dir = next(2) as usize;
            now = match next(12) {
                0 => now - 5_000_000,
                1 => now + 25_000_000,
                2 => now + 2_000_000,
                _ => now + 1,
            };
            if next(10) == 0 {
                let (scale, fresh) = ([-1, -2, 0, 1][next(4) as usize], next(2) == 0);
                (dirs[dir].scale, dirs[dir].fresh) = (scale, fresh);
                (sides[dir].scale, sides[dir].fresh) = (scale, fresh);
            }
            let segment = Segment {
                seq: base.wrapping_add(next(12) as u32),
                ack: base.wrapping_add(next(12) as u32),
                len: [0, 0, 1, 2, 3][next(5) as usize],
                window: [0, 0, 2, 4][next(4) as usize],
                flags: [ACK, ACK, ACK, ACK, SYN, SYN | ACK, FIN | ACK, RST, 0][next(9) as usize],
                time: now,
                stamps: None,
            };
            // What the connection says again and again makes duplicates.
            let segment = if next(3) == 0 {
                let side = &sides[dir];
                Segment { seq: side.next_seq, ack: side.last_ack, window: side.window.unwrap_or(2), len: 0, ..segment }
            } else {
                segment
            };
            let [a, b] = &mut dirs;
            let (fwd, rev) = if dir == 0 { (a, b) } else { (b, a) };
            let verdict = analyse(fwd, rev, irtt, &segment, 0, Some(&mut list));
            let have: Names = NAMES.iter().filter(|(bit, _)| verdict.flags & bit != 0).map(|(_, name)| *name).collect();
            let [a, b] = &mut sides;
            let (fwd, rev) = if dir == 0 { (a, b) } else { (b, a) };
            let want = rules(fwd, rev, irtt, &segment);
            assert_eq!(have, want, "round {round}, step {step}");
            seen.extend(have);
        }
        list.clear(&mut dirs);
    }
    // Every finding but the one that the flow table makes.
    assert_eq!(seen.len(), NAMES.len() - 1, "{seen:?}");
}
