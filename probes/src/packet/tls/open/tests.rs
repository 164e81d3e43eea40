use super::*;
use aes::cipher::BlockCipherEncrypt;

const KEY: [u8; 16] = [3; 16];
const MAC: [u8; 20] = [5; 20];
const IV: [u8; BLOCK] = [9; BLOCK];

/// TLS 1.0's keys of a direction.
pub(in crate::packet::tls) fn opener() -> Opener {
    Opener::new(Layout::Tls10, Cipher::Aes128Cbc(Hash::Sha1), &KEY, &MAC, &IV, false).expect("keys")
}

/// So many records that these keys open, each with its number 20 times.
pub(in crate::packet::tls) fn chained(n: u8) -> Vec<(Header, Vec<u8>)> {
    let key = aes::Aes128Enc::new(&KEY.into());
    let mut before = IV;
    let record = |i: u8| {
        let header = Header::parse([23, 3, 1, 0, 48]).expect("a header");
        let mut plain = vec![i; 20];
        let mac = kdf::hmac(Hash::Sha1, &MAC, &[&associated(&header, i.into(), plain.len()), &plain]);
        plain.extend(mac);
        plain.extend([7; 8]);
        let mut body = Vec::new();
        for block in plain.chunks_exact(BLOCK) {
            let mixed: [u8; BLOCK] = std::array::from_fn(|at| block[at] ^ before[at]);
            let mut block = aes::cipher::Block::<aes::Aes128Enc>::from(mixed);
            key.encrypt_block(&mut block);
            before = block.into();
            body.extend(before);
        }
        (header, body)
    };
    (0..n).map(record).collect()
}

#[test]
fn an_attempt_with_another_number_changes_nothing() {
    let mut opener = opener();
    for (i, (header, body)) in chained(5).iter().enumerate() {
        let seq = i as u64;
        assert_eq!(opener.open(header, body, seq + 1), None);
        assert_eq!(opener.open(header, body, seq), Some(vec![i as u8; 20]));
        opener.chain(body);
    }
}
