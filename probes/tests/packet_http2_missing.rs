//! HTTP/2 in captures that lack packets: what is said is true, and what is not known is counted.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::http2::{exchange, fixture, present_in};
use packet_support::strings;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use weftrace_artifact::packet::layer;
use weftrace_probes::packet::Pipeline;

/// By stream: all header fields of the whole capture.
type Headers = BTreeMap<u32, Vec<(String, String)>>;

fn headers(name: &str, segment: usize, lost: impl Fn(u64) -> bool) -> (Headers, Vec<String>, Pipeline) {
    let (mut all, mut ended) = (Headers::new(), Vec::new());
    let pipeline = present_in(segment, &fixture(name), lost, |view| {
        if view.layers & layer::HTTP2_HEADERS != 0 {
            all.entry(view.http2.stream).or_default().extend(strings::headers(view.http2.headers));
        }
        if view.layers & layer::HTTP_EXCHANGE != 0 {
            ended.push(exchange(view));
        }
    });
    (all, ended, pipeline)
}

/// Captures that begin late or lack packets: what is said is true, and what is not known is counted.
#[test]
fn missing_packets_make_nothing_wrong() {
    const ALL: usize = usize::MAX;
    let captures =
        [("grpc.pcap", 160_u64, ALL), ("pushes.pcap", 100, ALL), ("tls.pcapng", 39, ALL), ("tls.pcapng", 200, 50)];
    for (name, packets, segment) in captures {
        let (whole, exchanges, _) = headers(name, segment, |_| false);
        let (mut fields, mut unknown, mut answered) = (0, 0, 0);
        let check = |lost: &dyn Fn(u64) -> bool| {
            let (part, ended, pipeline) = headers(name, segment, lost);
            let mut count = 0;
            for (stream, fields) in part {
                for field in fields {
                    assert!(whole[&stream].contains(&field), "{name}: {field:?} is not of stream {stream}");
                    count += 1;
                }
            }
            let ended: Vec<_> = ended.iter().filter(|line| line.contains("whole")).collect();
            for line in &ended {
                // Where a reset is missing, the response that came after it counts.
                let known = |whole: &String| {
                    let mut words = line.split(' ').zip(whole.split(' ')).enumerate();
                    let reset = whole.contains("error");
                    words.all(|(i, (part, whole))| part == whole || part.starts_with('?') || (i > 2 && reset))
                };
                assert!(exchanges.iter().any(known), "{name}: {line}");
            }
            (count, pipeline.counters().http2.unknown, ended.len())
        };
        let mut add = |(f, u, a): (usize, u64, usize)| {
            fields += f;
            unknown += u;
            answered += a;
        };
        for first in 1..packets {
            add(check(&|n| n < first));
            add(check(&|n| n == first));
            add(check(&|n| n % 13 == first % 13));
        }
        assert!(fields > 100 && unknown > 10 && answered > 10, "{name} by {segment}: {fields} {unknown} {answered}");
    }
}

/// Exchanges of a capture, cut into small segments and without some of them: by connection and stream, whether each is whole, and
/// where its response lies.
fn responses(capture: &Path, lost: impl Fn(u64) -> bool) -> BTreeMap<(u32, u32), (bool, Range<u64>)> {
    let mut all = BTreeMap::new();
    present_in(SEGMENT, capture, lost, |view| {
        if view.layers & layer::HTTP_EXCHANGE != 0 {
            let range = view.http.response_from..view.http.response_to;
            all.insert((view.tcp_stream, view.http.stream), (view.http.complete == 1, range));
        }
    });
    all
}

const SEGMENT: usize = 50;

/// Inside TLS nobody knows what a lost record held: no response that it lies in is whole.
#[test]
fn a_response_with_a_lost_record_is_not_whole() {
    const PORT: u16 = 9104;
    let capture = fixture("tls.pcapng");
    // By number: connection and bytes of what the server sent.
    let mut sent = BTreeMap::new();
    present_in(
        SEGMENT,
        &capture,
        |_| false,
        |view| {
            if view.tcp_src_port == PORT && view.tcp_len > 0 {
                let from = u64::from(view.tcp_seq) - 1;
                sent.insert(view.number, (view.tcp_stream, from..from + u64::from(view.tcp_len)));
            }
        },
    );
    let whole = responses(&capture, |_| false);
    let mut tried = 0;
    for (&number, (connection, lost)) in &sent {
        let without = responses(&capture, |n| n == number);
        let inside = whole.iter().filter(|((conn, _), (whole, range))| {
            conn == connection && *whole && range.start <= lost.start && lost.end <= range.end
        });
        for (exchange, _) in inside {
            assert!(without.get(exchange).is_none_or(|(whole, _)| !whole), "{exchange:?} without segment {number}");
            tried += 1;
        }
    }
    assert!(tried >= 9, "only {tried} of {} segments lay in responses", sent.len());
}
