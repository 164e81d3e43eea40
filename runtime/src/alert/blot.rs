//! What is secret in a sink's address is blotted out of what is told: receivers echo what they were sent.

/// What stands in its place.
const BLOT: &str = "(secret)";
/// Shorter parts of an address are no secrets, but would be found in any text.
const SHORTEST: usize = 4;

/// The text without the address (all of it, its path, and each part of that) and the secret: as they are, and as addresses have them (`%2F`).
pub(super) fn blotted(text: &str, address: &str, secret: Option<&str>) -> String {
    let from = address.split_once("://").map_or(address, |(_, rest)| rest);
    let path = from.find(['/', '?']).map_or("", |at| &from[at..]);
    let pieces = path.split(['/', '?', '&']).flat_map(|piece| [piece, piece.split_once('=').map_or(piece, |(_, v)| v)]);
    let long = [address, path].into_iter().chain(pieces).filter(|piece| piece.len() >= SHORTEST);
    let all = long.chain(secret).filter(|part| !part.is_empty());
    let mut parts: Vec<String> = all.flat_map(|part| [part.to_owned(), decoded(part), encoded(part)]).collect();
    // The longest first: of one that begins with another nothing may be left.
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.dedup();
    parts.iter().fold(text.to_owned(), |text, part| text.replace(part.as_str(), BLOT))
}

/// `%2F` → `/`
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        let value = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(value.unwrap_or(byte));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `/` → `%2F`
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::blotted;

    const ADDRESS: &str = "https://h.example/services/T0/B0AB/XyZ?key=ab%2Fcd&team=net";

    #[test]
    fn echoes_of_the_address() {
        let blot = |text: &str| blotted(text, ADDRESS, None);
        assert_eq!(blot(&format!("404: {ADDRESS}!")), "404: (secret)!");
        assert_eq!(blot("no /services/T0/B0AB/XyZ?key=ab%2Fcd&team=net here"), "no (secret) here");
        assert_eq!(blot("\\/services\\/T0\\/B0AB is gone"), "\\/(secret)\\/T0\\/(secret) is gone");
        assert_eq!(blot("key ab%2Fcd, that is ab/cd, or ab%252Fcd"), "key (secret), that is (secret), or (secret)");
        assert_eq!(blot("h.example has no net"), "h.example has no net");
    }

    #[test]
    fn echoes_of_the_secret() {
        let blot = |text: &str| blotted(text, "http://127.0.0.1:1/", Some("to/k+n"));
        assert_eq!(blot("Bearer to/k+n, to%2Fk%2Bn"), "Bearer (secret), (secret)");
        assert_eq!(blot("nothing"), "nothing");
        // One within the other.
        assert_eq!(blotted("abcdefgh abcd", "http://h/abcd", Some("abcdefgh")), "(secret) (secret)");
    }
}
