use super::*;

const BODY: &[u8] = b"5\r\nhello\r\nA;name=value\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";

#[test]
fn ends_at_the_same_place_however_it_is_cut() {
    let mut all = BODY.to_vec();
    all.extend(b"HTTP/1.1 200 OK");
    for cut in 0..=BODY.len() {
        let mut body = Chunked::default();
        let first = body.feed(&all[..cut]);
        let end = match first {
            Progress::End(end) => end,
            Progress::More => match body.feed(&all[cut..]) {
                Progress::End(end) => cut + end,
                other => panic!("{other:?} after a cut at {cut}"),
            },
            Progress::Broken => panic!("broken at {cut}"),
        };
        assert_eq!(end, BODY.len(), "cut at {cut}");
    }
}

#[test]
fn nonsense_is_broken() {
    for bytes in [&b"xyz\r\n"[..], b"\r\n\r\n", b"ffffffffffffffff\r\n", b"3\r\nabcdef"] {
        assert_eq!(Chunked::default().feed(bytes), Progress::Broken, "{bytes:?}");
    }
}

#[test]
fn only_data_can_be_skipped() {
    let mut body = Chunked::default();
    assert_eq!(body.feed(b"10\r\nab"), Progress::More);
    assert_eq!(body.skippable(), 14);
    body.skip(14);
    assert_eq!(body.skippable(), 0);
    assert_eq!(body.feed(b"\r\n0\r\n\r\n"), Progress::End(7));
}
