use super::*;

fn seen(pieces: &[&[u8]]) -> Vec<(u8, u32, usize)> {
    let mut messages = Messages::default();
    let mut seen = Vec::new();
    for piece in pieces {
        messages.feed(piece, &mut |message| seen.push((message.kind, message.length, message.body.len())));
        assert!(messages.kept() <= 2 * MAX_MESSAGE);
    }
    seen
}

#[test]
fn several_in_one_record_and_one_over_several() {
    let stream = b"\x02\x00\x00\x03abc\x0e\x00\x00\x00\x0b\x00\x00\x02xy";
    let want = [(2, 3, 3), (14, 0, 0), (11, 2, 2)];
    for cut in 0..=stream.len() {
        assert_eq!(seen(&[&stream[..cut], &stream[cut..]]), want, "cut at {cut}");
    }
}

#[test]
fn a_long_one_is_passed_over() {
    let mut first = vec![11, 0x01, 0x00, 0x10];
    first.extend([0; 16_000]);
    let more = [0; 16_000];
    let mut last = vec![0; 0x1_0010 - 16_000 * 4];
    last.extend([14, 0, 0, 0]);
    assert_eq!(seen(&[&first, &more, &more, &more, &last]), [(11, 0x1_0010, 0), (14, 0, 0)]);
}

#[test]
fn what_a_message_took_is_given_back() {
    let mut messages = Messages::default();
    let long = [&[11, 0, 0x30, 0][..], &[7; 0x3000]].concat();
    let mut ended = 0;
    for piece in [&long[..0x2000], &long[0x2000..]] {
        messages.feed(piece, &mut |_| ended += 1);
    }
    assert_eq!((ended, messages.kept()), (1, 0));
}
