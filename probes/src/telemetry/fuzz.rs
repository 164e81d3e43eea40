//! Hostile bytes.

use super::{Attributes, MAX_ATTRIBUTES, MAX_TEXT, Record, Taken, bytes_of, json, lines, otlp};
use weftrace_artifact::{headers, telemetry::Signal};

/// Reads bytes in every way there is; what comes of them must be within its bounds. For fuzzers.
pub fn fuzz_telemetry(bytes: &[u8]) {
    let mut taken = Taken::default();
    for signal in [Signal::Span, Signal::Log] {
        for request in [otlp::request(signal, bytes, 1), json::request(signal, bytes, 1)].into_iter().flatten() {
            taken.records.extend(request.records);
        }
    }
    for line in bytes.split(|b| *b == b'\n') {
        lines::line(line, 1, &mut taken);
    }
    for record in &taken.records {
        check(record);
    }
    let attributes: usize = taken.records.iter().map(|record| record.attributes.packed.len()).sum();
    assert!(bytes_of(&taken.records) >= attributes, "what they hold is counted");
}

fn check(record: &Record) {
    assert!(record.body.len() <= MAX_TEXT && record.name.len() <= MAX_TEXT);
    assert!(record.end >= record.start, "no negative time");
    for (id, len) in [(&record.trace_id, 32), (&record.span_id, 16), (&record.parent_span_id, 16)] {
        let digits = id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        assert!(digits && (id.is_empty() || id.len() == len), "{id} is an id");
    }
    for Attributes { packed, .. } in [&record.attributes, &record.sender.resource] {
        // Each can be read again, to the last byte.
        let size = |(name, value): (&[u8], &[u8])| {
            assert!(value.len() <= MAX_TEXT && std::str::from_utf8(value).is_ok());
            headers::ENTRY_HEAD + name.len() + value.len()
        };
        assert_eq!(headers::entries(packed).map(size).sum::<usize>(), packed.len());
        assert!(packed.len() <= MAX_ATTRIBUTES);
    }
}
