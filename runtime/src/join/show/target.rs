//! What of a request's target is nobody's business: its query, and who asks by which password. Recordings mask the same.

use super::REDACTED;
use std::ops::Range;

/// Fields that hold a request's target, or its query alone.
const TARGETS: &[&str] = &["path", "uri", "url", "target", "referer", QUERY];
/// Nothing but a query, with or without its `?`.
const QUERY: &str = "query";

pub(crate) fn is_target(field: &str) -> bool {
    TARGETS.contains(&field)
}

/// Where in such a field's text its secrets lie: user and password (without the `@`), and the query (behind its `?`). Each may be empty.
pub(crate) fn secrets(field: &str, text: &[u8]) -> [Range<usize>; 2] {
    if field == QUERY {
        let from = usize::from(matches!(text, [b'?' | b'#', ..]));
        return [0..0, from..text.len()];
    }
    let query = text.iter().position(|b| matches!(b, b'?' | b'#')).map_or(text.len(), |at| at + 1);
    [userinfo(text), query..text.len()]
}

/// `user:password` in `http://user:password@host/path`.
fn userinfo(text: &[u8]) -> Range<usize> {
    let scheme = text.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')).count();
    // A path that begins with `//` may be taken for a host by whoever reads it.
    let from = match text.get(scheme..) {
        Some([b':', b'/', b'/', ..]) if scheme > 0 => scheme + 3,
        Some([b'/', b'/', ..]) if scheme == 0 => 2,
        _ => return 0..0,
    };
    let host = &text[from..];
    let end = host.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(host.len());
    if let Some(at) = host[..end].iter().rposition(|b| *b == b'@') {
        return from..from + at;
    }
    // What is no port is a password: one that has `/`, `?` or `#` in it, or whose end isn't there, since the text was cut.
    let whole = scheme > 0 || end == host.len();
    let colon = host[..end].iter().position(|b| *b == b':').filter(|_| whole && !host.starts_with(b"["));
    match colon {
        Some(colon) if !host[colon + 1..end].iter().all(u8::is_ascii_digit) => {
            from..host.iter().rposition(|b| *b == b'@').map_or(text.len(), |at| from + at)
        }
        _ => 0..0,
    }
}

/// The text of such a field as it may be shown: without user and password, and without what follows `?`.
pub(crate) fn closed(field: &str, text: &str) -> String {
    let [user, query] = secrets(field, text.as_bytes());
    // Both begin and end beside bytes of ASCII, so they lie between characters; and the query comes last.
    let shown = |range: Range<usize>| text.get(range).unwrap_or_default();
    let behind = user.end + usize::from(!user.is_empty() && shown(user.end..user.end + 1) == "@");
    let mut out = format!("{}{}", shown(0..user.start), shown(behind.min(query.start)..query.start));
    if !query.is_empty() {
        out += REDACTED;
    }
    out
}
