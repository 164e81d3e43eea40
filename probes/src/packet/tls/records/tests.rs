use super::*;

/// Feeds a stream cut at every place; what records it has.
fn kinds(stream: &[u8], cut: usize) -> Vec<(u8, Vec<u8>, (u64, u64))> {
    let mut records = Records::default();
    let mut seen = Vec::new();
    let mut at = 0;
    for bytes in [&stream[..cut], &stream[cut..]] {
        let mut rest = Piece::at(0, bytes, at, 7, true);
        while !rest.bytes.is_empty() || records.is_due() {
            let (used, found) = records.next(rest, |_| true);
            rest = rest.skip(used);
            if let Some(Found::Record(record)) = found {
                seen.push((record.header.kind, record.body.to_vec(), record.covers));
                records.release();
            }
        }
        at += bytes.len() as u64;
    }
    seen
}

#[test]
fn the_same_wherever_segments_end() {
    let stream = b"\x16\x03\x01\x00\x04abcd\x17\x03\x03\x00\x00\x15\x03\x03\x00\x02\x01\x00";
    let want = [(22, b"abcd".to_vec(), (0, 9)), (23, Vec::new(), (9, 14)), (21, vec![1, 0], (14, 21))];
    for cut in 0..=stream.len() {
        assert_eq!(kinds(stream, cut), want, "cut at {cut}");
    }
}

#[test]
fn headers_that_cannot_be_are_refused() {
    for (bytes, verdict) in [
        (&b""[..], Sniff::Maybe),
        (b"\x16\x03", Sniff::Maybe),
        (b"\x16\x03\x01\x00\x04", Sniff::Yes),
        (b"\x16\x04\x01\x00\x04", Sniff::No),
        (b"\x16\x03\x01\x00\x00", Sniff::No),
        (b"\x17\x03\x03\xff\xff", Sniff::No),
        (b"\x14\x03\x03\x00\x01", Sniff::Yes),
        (b"GET /", Sniff::No),
    ] {
        assert_eq!(sniff(bytes), verdict, "{bytes:x?}");
    }
}

#[test]
fn a_hole_inside_a_record_loses_that_record_alone() {
    let mut records = Records::default();
    let first = b"\x17\x03\x03\x00\x0aabc";
    records.next(Piece::at(0, first, 0, 0, true), |_| true);
    let rest = Piece::at(0, first, 0, 0, true).skip(5);
    records.next(rest, |_| true);
    assert!(records.hole(Hole { dir: 0, len: 4, exact: true, from: 8, to: 12, lost: true }).is_none());
    let (used, found) = records.next(Piece::at(0, b"hij\x15", 12, 0, true), |_| true);
    assert!(matches!((used, found), (3, Some(Found::Lost { covers: (0, 15), .. }))));
    assert!(!records.is_lost());
    assert!(records.hole(Hole { dir: 0, len: 400, exact: true, from: 15, to: 415, lost: true }).is_none());
    assert!(records.is_lost());
}

/// Most connections are idle: what a record took is given back, whether it ended or was lost.
#[test]
fn what_a_record_took_is_given_back() {
    let long = [&b"\x17\x03\x03\x30\x00"[..], &[7; 0x3000]].concat();
    let halves = |records: &mut Records| {
        let mut rest = Piece::at(0, &long[..0x2000], 0, 0, true);
        while !rest.bytes.is_empty() {
            let (used, _) = records.next(rest, |_| true);
            rest = rest.skip(used);
        }
        assert!(records.kept() > 0x1000);
    };
    let mut records = Records::default();
    halves(&mut records);
    let (_, found) = records.next(Piece::at(0, &long[0x2000..], 0x2000, 0, true), |_| true);
    assert!(matches!(found, Some(Found::Record(record)) if record.body == &long[HEADER..]));
    records.release();
    assert!(records.kept() <= 2 * HEADER, "{}", records.kept());

    halves(&mut records);
    records.hole(Hole { dir: 0, len: 0x5000, exact: true, from: 0x2000, to: 0x7000, lost: true });
    assert!(records.is_lost() && records.kept() <= 2 * HEADER, "{}", records.kept());
}
