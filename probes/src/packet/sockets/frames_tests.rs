//! Which bytes exchanges of HTTP/2 have at sockets.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

fn frame(kind: u8, flags: u8, stream: u8, len: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (len as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags, 0, 0, 0, stream]);
    bytes.extend(payload);
    bytes
}

fn get(stream: u8) -> Vec<u8> {
    frame(1, 5, stream, 3, &[0x82, 0x86, 0x84])
}

fn head(stream: u8) -> Vec<u8> {
    frame(1, 4, stream, 1, &[0x88])
}

/// DATA of 100 bytes.
fn data(flags: u8, stream: u8) -> Vec<u8> {
    frame(0, flags, stream, 100, &[b'x'; 100])
}

/// What the response has, of an exchange whose request is one range.
fn response(bench: &Bench, at: usize) -> Vec<(u64, u64)> {
    let [request, response @ ..] = &bench.frames[at][..] else { panic!("{:?}", bench.frames) };
    assert!(!request.0 && response.iter().all(|range| range.0 && !range.3), "{:?}", bench.frames[at]);
    response.iter().map(|range| (range.1, range.2)).collect()
}

#[test]
fn streams_of_one_connection() {
    let mut bench = Bench::new();
    bench.whole(false, &[PREFACE, &get(1), &get(3)].concat());
    bench.whole(true, &[SETTINGS, &head(1), &head(3), &data(0, 1), &data(0, 3)].concat());
    // A body that was not copied: its place is known by the header.
    let ended = bench.call(true, &[&data(1, 1)[..], &frame(0, 1, 3, 5000, b"xx")].concat(), 109 + 5009, 9);
    assert_eq!(ended.iter().map(|e| (e.1, e.2)).collect::<Vec<_>>(), [(200, true), (200, true)]);
    assert_eq!(response(&bench, 0), [(9, 19), (29, 138), (247, 356)]);
    assert_eq!(response(&bench, 1), [(19, 29), (138, 247), (356, 5365)]);
    assert_eq!(bench.frames[0][0], (false, 33, 45, false));
    assert_eq!(bench.frames[1][0], (false, 45, 57, false));
}

/// A response that another thread got before its request was told: of that stream nothing is known, and the others have their own.
#[test]
fn a_request_that_is_told_behind_its_response() {
    let mut bench = Bench::new();
    bench.whole(true, &[PREFACE, &get(1)].concat());
    let mut all = bench.whole(false, &[SETTINGS, &head(1), &data(1, 1)].concat());
    let before = bench.to;
    bench.carry(true, 12);
    all.extend(bench.whole(false, &[head(3), data(1, 3)].concat()));
    let late = get(3);
    let late = Call { other: before[0], ..bench.moved(true, &late) };
    bench.sockets.call(&late);
    all.extend(bench.ended());
    bench.whole(true, &get(5));
    all.extend(bench.whole(false, &[head(5), data(1, 5)].concat()));
    let known = std::mem::take(&mut bench.status_known);
    let told: Vec<_> = all.iter().zip(known).map(|(told, known)| (known.then_some(told.1), told.2)).collect();
    assert_eq!(told, [(Some(200), true), (None, false), (Some(200), true)]);
}

/// Within TLS a stream has the records that its frames came in, whoever else is in them.
#[test]
fn streams_within_tls() {
    let mut bench = Bench::new();
    bench.clear(false, &[PREFACE, &get(1), &get(3)].concat());
    bench.clear(true, &[SETTINGS, &head(1), &head(3)].concat());
    bench.clear(true, &data(0, 3));
    bench.clear(true, &[data(0, 1), data(0, 3)].concat());
    bench.clear(true, &data(1, 3));
    let ended = bench.clear(true, &data(1, 1));
    assert_eq!((ended.len(), bench.frames.len()), (1, 2));
    // What was written in clear, and what TLS adds to each; the first call's are its last bytes.
    let first = 29 + 22;
    let (second, third) = (first + 131, first + 131 + 240);
    assert_eq!(response(&bench, 0), [(22, third + 131)], "stream 3 is in each of four records, one behind the other");
    assert_eq!(response(&bench, 1), [(22, first), (second, third), (third + 131, third + 262)]);
}

/// A client of HTTP/1 at a server of HTTP/2 alone, whose SETTINGS come first.
#[test]
fn requests_of_http1_after_settings() {
    let mut bench = Bench::new();
    bench.whole(true, SETTINGS);
    assert_eq!(bench.whole(false, b"GET /old HTTP/1.1\r\n\r\n"), []);
    assert_eq!(bench.whole(true, &frame(7, 0, 0, 8, &[0; 8])), []);
    bench.sockets.end(1, true, None, None, 60);
    let ended = bench.ended();
    assert_eq!(ended.iter().map(|e| (&e.0[..], e.1, e.2)).collect::<Vec<_>>(), [("4 bytes", 0, false)]);
    assert_eq!(bench.last.0, 1, "the first of its connection");
}

/// A server that may speak before it is asked (its SETTINGS, of which no call is told as nothing of HTTP had come yet): what the client asks first is its connection's
/// first request all the same.
#[test]
fn the_first_request_at_a_server_that_wrote_first() {
    for unseen in [0, 40] {
        let mut bench = Bench::new();
        bench.carry(true, unseen);
        bench.whole(false, &[PREFACE, &get(1)].concat());
        assert_eq!(bench.whole(true, &[&head(1)[..], &data(1, 1)].concat()).len(), 1);
        assert_eq!(bench.last.0, 1, "{unseen} bytes before");
        bench.whole(false, &get(3));
        assert_eq!(bench.whole(true, &[&head(3)[..], &data(1, 3)].concat()).len(), 1);
        assert_eq!(bench.last.0, 0);
    }
    // Bytes of the client's own are missing: there may have been another request in them.
    let mut bench = Bench::new();
    bench.carry(false, 40);
    bench.whole(false, &[PREFACE, &get(1)].concat());
    assert_eq!(bench.whole(true, &[&head(1)[..], &data(1, 1)].concat()).len(), 1);
    assert_eq!(bench.last.0, 0);
}

/// A client that goes as soon as it has as many bytes as the response has by its head: the empty frame that would end it never comes.
#[test]
fn a_response_is_whole_by_its_length() {
    // 200, content-length: 100
    let sized = |stream| frame(1, 4, stream, 7, b"\x88\x0f\x0d\x03100");
    let padded = |stream| frame(0, 8, stream, 106, &[&[5][..], &[b'x'; 100], &[0; 5]].concat());
    let reset = |stream| frame(3, 0, stream, 4, &[0, 0, 0, 8]);
    let half = |stream| data(0, stream)[..59].to_vec();
    // What comes behind the head, whether the client resets the stream, whether all is there, and the bytes of the response that were seen.
    let cases = [
        (data(0, 1), false, true, 16 + 109),
        (padded(1), false, true, 16 + 115),
        (data(0, 1), true, true, 16 + 109),
        (half(1), false, false, 16 + 59),
        (half(1), true, false, 16 + 59),
        (Vec::new(), true, false, 16),
        ([data(0, 1), data(0, 1)].concat(), false, false, 16 + 218),
    ];
    for (i, (body, resets, whole, bytes)) in cases.into_iter().enumerate() {
        let mut bench = Bench::new();
        bench.whole(false, &[PREFACE, &get(1)].concat());
        let mut all = bench.whole(true, &[SETTINGS, &sized(1), &body].concat());
        if resets {
            all.extend(bench.whole(false, &reset(1)));
        }
        bench.sockets.end(1, true, Some(bench.to), None, bench.time);
        all.extend(bench.ended());
        let from = SETTINGS.len() as u64;
        assert_eq!(all, [(all[0].0.clone(), 200, whole, [33, 45, from, from + bytes])], "{i}");
    }
}

/// A header block that can't be read may have been the first request's.
#[test]
fn the_first_request_behind_one_that_is_not_read() {
    let mut bench = Bench::new();
    bench.whole(false, &[PREFACE, &frame(1, 5, 1, 2, &[0xff, 0xff])].concat());
    bench.whole(false, &get(3));
    assert_eq!(bench.whole(true, &[SETTINGS, &head(3), &data(1, 3)].concat()).len(), 1);
    assert_eq!(bench.last.0, 0);
}
