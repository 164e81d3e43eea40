use super::*;

/// A client hello with these extensions.
fn client(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    // GREASE, then TLS_AES_128_GCM_SHA256.
    body.extend([0, 4, 0x3a, 0x3a, 0x13, 0x01, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    body
}

#[test]
fn extensions_of_a_client_hello() {
    let body = client(
        b"\x00\x00\x00\x08\x00\x06\x00\x00\x03a.b\
          \x00\x10\x00\x0e\x00\x0c\x02h2\x08http/1.1\
          \x00\x2b\x00\x07\x06\x7a\x7a\x03\x03\x03\x04\
          \x00\x33\x00\x0b\x00\x09\x0a\x0a\x00\x01\x00\x00\x1d\x00\x00",
    );
    let hello = Hello::client(&body).unwrap();
    assert_eq!((hello.version, hello.suite), (0x0303, 0x1301));
    assert_eq!(hello.extensions.server_name, Some(&b"a.b"[..]));
    assert_eq!(hello.extensions.alpn, Some(&b"h2"[..]));
    assert_eq!(hello.extensions.version, Some(TLS13));
    assert_eq!(hello.extensions.group, Some(29));
}

#[test]
fn cut_anywhere_it_is_less_but_never_wrong() {
    let body = client(b"\x00\x00\x00\x08\x00\x06\x00\x00\x03a.b");
    for cut in 0..body.len() {
        if let Some(hello) = Hello::client(&body[..cut]) {
            assert!(hello.extensions.server_name.is_none(), "cut at {cut}");
        }
    }
}
