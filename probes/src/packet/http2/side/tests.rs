use super::*;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags, 0, 0, 0, stream]);
    bytes.extend(payload);
    bytes
}

/// Feeds bytes; how many frames end.
fn feed(side: &mut Side, bytes: &[u8]) -> usize {
    let (limits, mut counters, mut fields) = (Http2Limits::default(), Http2Counters::default(), Fields::default());
    let mut rest = Piece::at(0, bytes, 0, 0, true);
    let mut ended = 0;
    while !rest.bytes.is_empty() {
        let (used, frame) = side.take(&rest, &mut fields, &limits, &mut counters);
        ended += usize::from(frame.is_some());
        if frame.is_some() {
            side.release();
        }
        rest = rest.skip(used);
    }
    ended
}

fn hole(len: u64, lost: bool) -> Hole {
    Hole { dir: 0, len, exact: true, from: 100, to: 100 + len, lost }
}

#[test]
fn what_a_long_frame_took_is_given_back() {
    let mut side = Side::new(Beginning::Frames);
    // A field that is not to be indexed, with a long value.
    let mut block = vec![0, 1, b'a', 0x7f];
    block.extend([0x81, 0xfe, 0x01]);
    block.extend(vec![b'x'; 0x7f + 0x7f01]);
    let bytes = frame(kind::HEADERS, flag::END_HEADERS, 1, &block);
    assert_eq!(feed(&mut side, &bytes[..bytes.len() - 1]), 0);
    assert!(side.held() >= bytes.len() - 10, "what waits is counted: {}", side.held());
    assert_eq!(feed(&mut side, &bytes[bytes.len() - 1..]), 1);
    assert!(side.held() <= 64, "{}", side.held());
}

#[test]
fn what_a_lost_frame_took_is_given_back() {
    let mut side = Side::new(Beginning::Frames);
    let bytes = frame(kind::HEADERS, flag::END_HEADERS, 1, &[0x82; 16_000]);
    assert_eq!(feed(&mut side, &bytes[..10_000]), 0);
    assert!(side.held() >= 9_000);
    assert!(matches!(side.miss(hole(20_000, true)), Missed::Framing));
    assert_eq!(side.held(), 0);
}

#[test]
fn where_memory_is_short_a_frame_under_way_goes_too() {
    let mut side = Side::new(Beginning::Frames);
    let bytes = frame(kind::HEADERS, flag::END_HEADERS, 1, &[0x82; 16_000]);
    assert_eq!(feed(&mut side, &bytes[..10_000]), 0);
    side.give_back();
    assert_eq!(side.held(), 0);
    assert_eq!(feed(&mut side, &bytes[10_000..]), 1, "its end is known");
}

#[test]
fn a_body_whose_end_is_missing_ends_there() {
    for (lost, first) in [(false, 4), (true, 4), (false, 0), (true, 0)] {
        let mut side = Side::new(Beginning::Frames);
        feed(&mut side, &frame(kind::DATA, flag::END_STREAM, 3, b"12345678")[..9 + first]);
        let missed = side.miss(hole(8 - first as u64, lost));
        let Missed::End(frame) = missed else { panic!("{missed:?}") };
        assert_eq!((frame.header.stream, frame.to, frame.damaged), (3, 108 - first as u64, lost));
        assert!(frame.header.ends_stream());
        assert_eq!(feed(&mut side, &self::frame(kind::PING, 0, 0, b"12345678")), 1, "the next frame follows");
    }
}

#[test]
fn a_hole_of_unsure_length_loses_the_framing() {
    let mut side = Side::new(Beginning::Frames);
    feed(&mut side, &frame(kind::DATA, flag::END_STREAM, 3, &[0; 100])[..20]);
    assert!(matches!(side.miss(Hole { exact: false, ..hole(40, false) }), Missed::Framing));
}
