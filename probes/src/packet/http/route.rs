//! What requests of one kind have in common: the path without its query, with `{id}` for what differs from one to the next. Routes of a program are
//! not on the wire: what an id is, is told by its shape.

/// More parts of a path are one `*`.
const MOST: usize = 8;

/// `/orders/4711/items?full=1` → `/orders/{id}/items`
pub(in crate::packet::http) fn route(target: &[u8]) -> String {
    let text = String::from_utf8_lossy(target);
    let path = text.split(['?', '#']).next().unwrap_or_default();
    // In requests to proxies the address is whole.
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => path,
    };
    let Some(rest) = path.strip_prefix('/') else { return path.to_owned() };
    let mut out = String::with_capacity(path.len());
    for (n, part) in rest.split('/').enumerate() {
        out.push('/');
        if n == MOST {
            out.push('*');
            break;
        }
        let (name, ending) = match part.rsplit_once('.') {
            Some((name, ending)) if is_ending(ending) => (name, &part[name.len()..]),
            _ => (part, ""),
        };
        out += if is_id(name) { "{id}" } else { name };
        out += ending;
    }
    out
}

fn is_ending(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase())
}

/// A number, a date, an address; hexadecimal digits, a UUID; or something long with a digit in it.
fn is_id(part: &str) -> bool {
    let has_digit = part.bytes().any(|b| b.is_ascii_digit());
    let number = part.bytes().all(|b| b.is_ascii_digit() || b"-.:,_".contains(&b));
    let hexadecimal = part.len() >= 8 && part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    has_digit && (number || hexadecimal || part.len() >= 20)
}

#[cfg(test)]
mod tests {
    use super::route;

    #[test]
    fn what_differs_is_left_out() {
        for (target, wanted) in [
            ("/orders/4711/items?full=1", "/orders/{id}/items"),
            ("/orders/4711.json", "/orders/{id}.json"),
            ("/v1/users/7f3a9c21", "/v1/users/{id}"),
            ("/a/550e8400-e29b-41d4-a716-446655440000/b", "/a/{id}/b"),
            ("/day/2026-11-29", "/day/{id}"),
            ("/t/eyJhbGciOiJIUzI1NiIsInR5cCI6", "/t/{id}"),
            ("/feedface/cafe", "/feedface/cafe"),
            ("/static/app.min.js", "/static/app.min.js"),
            ("/", "/"),
            ("", ""),
            ("*", "*"),
            ("example.org:443", "example.org:443"),
            ("http://example.org/a/1", "/a/{id}"),
            ("http://example.org", "/"),
            ("/1/2/3/4/5/6/7/8/9/10", "/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/*"),
            ("/#x", "/"),
        ] {
            assert_eq!(route(target.as_bytes()), wanted, "{target}");
        }
        assert_eq!(route(b"/\xff/1"), "/\u{fffd}/{id}");
    }
}
