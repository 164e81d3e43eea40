//! Opening protected records with a direction's keys.

use super::kdf;
use super::records::Header;
use super::suites::{Cipher, Hash};
use aes::cipher::{BlockCipherDecrypt, KeyInit, consts};
use aes_gcm::aead::{AeadInOut, Nonce, Tag};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use ccm::Ccm;
use chacha20poly1305::ChaCha20Poly1305;

const BLOCK: usize = 16;

type Ccm128 = Ccm<aes::Aes128, consts::U16, consts::U12>;
type Ccm128Short = Ccm<aes::Aes128, consts::U8, consts::U12>;
type Ccm256 = Ccm<aes::Aes256, consts::U16, consts::U12>;
type Ccm256Short = Ccm<aes::Aes256, consts::U8, consts::U12>;

/// How records of a version are laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// The initialization vector of CBC is the last block of the record before.
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

/// Keys of one direction, in use.
pub(super) struct Opener {
    layout: Layout,
    key: Key,
    /// The fixed part of nonces, or TLS 1.0's last block.
    iv: Vec<u8>,
    /// Encrypt-then-MAC (RFC 7366).
    mac_outside: bool,
}

enum Key {
    Aes128Gcm(Box<Aes128Gcm>),
    Aes256Gcm(Box<Aes256Gcm>),
    ChaCha20(Box<ChaCha20Poly1305>),
    Ccm128(Box<Ccm128>),
    Ccm128Short(Box<Ccm128Short>),
    Ccm256(Box<Ccm256>),
    Ccm256Short(Box<Ccm256Short>),
    Aes128Cbc(Box<aes::Aes128Dec>, Hash, Vec<u8>),
    Aes256Cbc(Box<aes::Aes256Dec>, Hash, Vec<u8>),
}

fn boxed<K: KeyInit>(key: &[u8]) -> Option<Box<K>> {
    K::new_from_slice(key).ok().map(Box::new)
}

impl Opener {
    pub(super) fn new(
        layout: Layout,
        cipher: Cipher,
        key: &[u8],
        mac: &[u8],
        iv: &[u8],
        mac_outside: bool,
    ) -> Option<Self> {
        let key = match cipher {
            Cipher::Aes128Gcm => Key::Aes128Gcm(boxed(key)?),
            Cipher::Aes256Gcm => Key::Aes256Gcm(boxed(key)?),
            Cipher::ChaCha20 => Key::ChaCha20(boxed(key)?),
            Cipher::Aes128Ccm(8) => Key::Ccm128Short(boxed(key)?),
            Cipher::Aes128Ccm(_) => Key::Ccm128(boxed(key)?),
            Cipher::Aes256Ccm(8) => Key::Ccm256Short(boxed(key)?),
            Cipher::Aes256Ccm(_) => Key::Ccm256(boxed(key)?),
            Cipher::Aes128Cbc(hash) => Key::Aes128Cbc(boxed(key)?, hash, mac.to_vec()),
            Cipher::Aes256Cbc(hash) => Key::Aes256Cbc(boxed(key)?, hash, mac.to_vec()),
        };
        Some(Self { layout, key, iv: iv.to_vec(), mac_outside })
    }

    /// The content of the record with number `seq`; None if the keys are not its.
    pub(super) fn open(&self, header: &Header, body: &[u8], seq: u64) -> Option<Vec<u8>> {
        match &self.key {
            Key::Aes128Gcm(key) => self.aead(&**key, header, body, seq),
            Key::Aes256Gcm(key) => self.aead(&**key, header, body, seq),
            Key::ChaCha20(key) => self.aead(&**key, header, body, seq),
            Key::Ccm128(key) => self.aead(&**key, header, body, seq),
            Key::Ccm128Short(key) => self.aead(&**key, header, body, seq),
            Key::Ccm256(key) => self.aead(&**key, header, body, seq),
            Key::Ccm256Short(key) => self.aead(&**key, header, body, seq),
            Key::Aes128Cbc(key, hash, mac) => self.cbc(&**key, *hash, mac, header, body, seq),
            Key::Aes256Cbc(key, hash, mac) => self.cbc(&**key, *hash, mac, header, body, seq),
        }
    }

    /// A record has passed, opened or not: in TLS 1.0 its last block chains the next one to it.
    pub(super) fn chain(&mut self, body: &[u8]) {
        let (Key::Aes128Cbc(_, hash, _) | Key::Aes256Cbc(_, hash, _)) = &self.key else { return };
        let outside = if self.mac_outside { hash.size() } else { 0 };
        let sealed = body.get(..body.len().saturating_sub(outside)).unwrap_or_default();
        if self.layout == Layout::Tls10
            && let Some(last) = sealed.last_chunk::<BLOCK>()
        {
            self.iv.clear();
            self.iv.extend_from_slice(last);
        }
    }

    fn aead<C: AeadInOut>(&self, key: &C, header: &Header, body: &[u8], seq: u64) -> Option<Vec<u8>> {
        let tag_size = Tag::<C>::default().len();
        let explicit = if self.layout == Layout::Tls12 && self.iv.len() == 4 { 8 } else { 0 };
        let (given, sealed) = body.split_at_checked(explicit)?;
        let (sealed, tag) = sealed.split_at_checked(sealed.len().checked_sub(tag_size)?)?;
        let mut nonce = self.iv.clone();
        nonce.extend(given);
        if explicit == 0 {
            for (byte, of_seq) in nonce.iter_mut().rev().zip(seq.to_le_bytes()) {
                *byte ^= of_seq;
            }
        }
        let aad = match self.layout {
            Layout::Tls13 => header.as_sent().to_vec(),
            _ => associated(header, seq, sealed.len()),
        };
        let nonce = Nonce::<C>::try_from(&nonce[..]).ok()?;
        let tag = Tag::<C>::try_from(tag).ok()?;
        let mut plain = sealed.to_vec();
        key.decrypt_inout_detached(&nonce, &aad, (&mut plain[..]).into(), &tag).ok()?;
        Some(plain)
    }

    /// Cipher block chaining with HMAC.
    fn cbc<C: BlockCipherDecrypt>(
        &self,
        key: &C,
        hash: Hash,
        mac_key: &[u8],
        header: &Header,
        body: &[u8],
        seq: u64,
    ) -> Option<Vec<u8>> {
        let (sealed, outside) =
            body.split_at_checked(body.len().checked_sub(if self.mac_outside { hash.size() } else { 0 })?)?;
        if self.mac_outside && !is_mac(hash, mac_key, header, seq, sealed, outside) {
            return None;
        }
        let (iv, blocks) =
            if self.layout == Layout::Tls10 { (&self.iv[..], sealed) } else { sealed.split_at_checked(BLOCK)? };
        let mut plain = decrypt_blocks(key, iv, blocks)?;
        let padding = usize::from(*plain.last()?) + 1;
        let end = plain.len().checked_sub(padding)?;
        if plain.get(end..)?.iter().any(|&byte| usize::from(byte) + 1 != padding) {
            return None;
        }
        plain.truncate(end);
        if !self.mac_outside {
            let at = plain.len().checked_sub(hash.size())?;
            let mac = plain.split_off(at);
            if !is_mac(hash, mac_key, header, seq, &plain, &mac) {
                return None;
            }
        }
        Some(plain)
    }
}

fn decrypt_blocks<C: BlockCipherDecrypt>(key: &C, iv: &[u8], blocks: &[u8]) -> Option<Vec<u8>> {
    if blocks.is_empty() || !blocks.len().is_multiple_of(BLOCK) {
        return None;
    }
    let mut plain = Vec::with_capacity(blocks.len());
    let mut before = iv;
    for sealed in blocks.chunks_exact(BLOCK) {
        let mut block = aes::cipher::Block::<C>::try_from(sealed).ok()?;
        key.decrypt_block(&mut block);
        plain.extend(block.iter().zip(before).map(|(byte, chained)| byte ^ chained));
        before = sealed;
    }
    Some(plain)
}

/// What authentication covers beside the content, before TLS 1.3.
fn associated(header: &Header, seq: u64, length: usize) -> Vec<u8> {
    let mut data = seq.to_be_bytes().to_vec();
    data.push(header.kind);
    data.extend(header.version.to_be_bytes());
    data.extend((length as u16).to_be_bytes());
    data
}

fn is_mac(hash: Hash, key: &[u8], header: &Header, seq: u64, content: &[u8], mac: &[u8]) -> bool {
    kdf::hmac(hash, key, &[&associated(header, seq, content.len()), content]) == mac
}

#[cfg(test)]
pub(super) mod tests;
