use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// RFC 8448, section 3: the server's handshake traffic secret and its key.
#[test]
fn hkdf_as_in_rfc_8448() {
    let secret: Vec<u8> = (0..32)
        .map(|i| {
            let text = "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38";
            u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()
        })
        .collect();
    assert_eq!(hex(&expand_label(Hash::Sha256, &secret, b"key", 16)), "3fce516009c21727d0f2e4e86ee403bc");
    assert_eq!(hex(&expand_label(Hash::Sha256, &secret, b"iv", 12)), "5d313eb2671276ee13000b30");
}

/// RFC 4231, case 2.
#[test]
fn hmac_by_each_hash() {
    let mac = |hash| hex(&hmac(hash, b"Jefe", &[b"what do ya want ", b"for nothing?"]));
    assert_eq!(mac(Hash::Sha256), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert_eq!(mac(Hash::Sha1), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    assert!(mac(Hash::Sha384).starts_with("af45d2e376484031617f78d2b58a6b1b"));
}
