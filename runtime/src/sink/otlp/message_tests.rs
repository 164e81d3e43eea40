use super::*;
use crate::join::show::tests::{facts, result};

/// Whether a request that ended so has a status in OpenTelemetry's sense.
fn has_status(status: u32) -> bool {
    let mut result = result("/pay");
    let at = result.stream.field("status").expect("a field").offset as usize;
    result.anchor[at..at + 4].copy_from_slice(&status.to_ne_bytes());
    let mut out = Writer::default();
    attributes(&mut out, 9, &Shown { result: &result, facts: &facts() });
    let found = |name: &str| out.0.windows(name.len()).any(|bytes| bytes == name.as_bytes());
    assert!(found("url.path"));
    found("http.response.status_code")
}

#[test]
fn a_request_without_a_response_has_no_status() {
    assert_eq!([0, 1, 99, 100, 200, 599].map(has_status), [false, false, false, true, true, true]);
}
