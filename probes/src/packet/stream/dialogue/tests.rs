use super::*;
use crate::packet::http::HttpLimits;
use crate::packet::http2::Http2Limits;
use crate::packet::stream::{Facts, StreamLimits};

/// After a websocket began nothing reads the bytes: they need not wait behind holes.
#[test]
fn what_nobody_reads_is_ignored() {
    let mut shared = Shared::new(u32::MAX, StreamLimits::default(), HttpLimits::default(), Http2Limits::default());
    let mut cx = Context { shared: &mut shared, now: 0, acked: [0; 2], facts: Facts::default() };
    let mut dialogue = Dialogue::default();
    dialogue.data(Piece::at(0, b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", 0, 0, true), &mut cx);
    assert_eq!(dialogue.ignored(0), 0);
    dialogue.data(Piece::at(1, b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 0, 0, true), &mut cx);
    assert_eq!([dialogue.ignored(0), dialogue.ignored(1)], [u64::MAX; 2]);
}
