//! Keys from secrets: the pseudorandom functions of TLS 1.0 to 1.2 (RFC 5246, section 5) and HKDF as TLS 1.3 uses it (RFC 8446, section 7.1).

use super::suites::Hash;
use hmac::{Hmac, KeyInit, Mac};

/// HMAC by a hash that is known at run time.
pub(super) fn hmac(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    match hash {
        Hash::Sha1 => run::<Hmac<sha1::Sha1>>(key, parts),
        Hash::Sha256 => run::<Hmac<sha2::Sha256>>(key, parts),
        Hash::Sha384 => run::<Hmac<sha2::Sha384>>(key, parts),
    }
}

fn run<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // Any length of key is one for HMAC.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn expand(mac: impl Fn(&[u8], &[&[u8]]) -> Vec<u8>, secret: &[u8], seed: &[&[u8]], n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut a = mac(secret, seed);
    while out.len() < n && !a.is_empty() {
        let parts: Vec<&[u8]> = std::iter::once(&a[..]).chain(seed.iter().copied()).collect();
        out.extend(mac(secret, &parts));
        a = mac(secret, &[&a]);
    }
    out.truncate(n);
    out
}

/// TLS 1.2's function.
pub(super) fn prf(hash: Hash, secret: &[u8], seed: &[&[u8]], n: usize) -> Vec<u8> {
    expand(|key, parts| hmac(hash, key, parts), secret, seed, n)
}

/// The function of TLS 1.0 and 1.1: MD5 of one half of the secret, SHA-1 of the other.
pub(super) fn old_prf(secret: &[u8], seed: &[&[u8]], n: usize) -> Vec<u8> {
    let half = secret.len().div_ceil(2);
    let first = secret.get(..half).unwrap_or_default();
    let second = secret.get(secret.len() - half..).unwrap_or_default();
    let md5 = expand(run::<Hmac<md5::Md5>>, first, seed, n);
    let sha1 = expand(run::<Hmac<sha1::Sha1>>, second, seed, n);
    md5.iter().zip(&sha1).map(|(a, b)| a ^ b).collect()
}

/// HKDF-Expand-Label with an empty context.
pub(super) fn expand_label(hash: Hash, secret: &[u8], label: &[u8], n: usize) -> Vec<u8> {
    let mut info = (n as u16).to_be_bytes().to_vec();
    info.push(6 + label.len() as u8);
    info.extend(b"tls13 ");
    info.extend(label);
    info.push(0);
    let (mut out, mut block) = (Vec::new(), Vec::new());
    let mut counter = 1_u8;
    while out.len() < n {
        block = hmac(hash, secret, &[&block, &info, &[counter]]);
        out.extend(&block);
        counter += 1;
    }
    out.truncate(n);
    out
}

#[cfg(test)]
mod tests;
