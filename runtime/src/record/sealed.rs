//! Files sealed by a passphrase, in the format of age (https://age-encryption.org/v1), so that `age -d` opens them and `age -p` makes them.
//!
//! A header keeps the file's key, sealed by a key that scrypt makes of the passphrase, and a code over itself. The rest is pieces of 64 KiB, each sealed
//! and with its place; the last says that it is the last. Nothing of a piece is handed on before it was found to be genuine.
//!
//! Not by the crate `age`, which brings 88 more crates than are here already (catalogues of translations, keys of elliptic curves and lattices): of its
//! format this is the part without recipients, on the ciphers and codes that TLS in captures needs anyway.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Nonce},
};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read},
};

/// How sealed files begin.
pub(super) const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// Bytes of a piece, and of its code.
const PIECE: usize = 64 << 10;
const TAG: usize = 16;
/// Bytes of a piece in the file; only the last may have fewer.
pub(super) const SEALED_PIECE: usize = PIECE + TAG;
/// Of a key, sealed and in base64.
const SEALED_KEY: usize = 16 + TAG;
/// Longest header: that of one passphrase has 150 bytes.
const MAX_HEADER: usize = 4096;

/// scrypt's cost as a power of two, with blocks of 1 KiB: 128 MiB and about 0.3 s (OWASP's least).
#[cfg(not(test))]
const LOG_N: u8 = 17;
#[cfg(test)]
const LOG_N: u8 = 4;
/// 1 GiB: a file that asks for more is not opened.
const MOST_LOG_N: u8 = 20;

/// What a recording is sealed by. It isn't shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(String);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Passphrase {
    /// The first line of a text; None: there is nothing in it.
    pub fn new(text: &str) -> Option<Self> {
        let line = text.lines().next().unwrap_or_default();
        (!line.is_empty()).then(|| Self(line.to_owned()))
    }

    fn key(&self, salt: &[u8; 16], log_n: u8) -> io::Result<[u8; 32]> {
        let salt = [&b"age-encryption.org/v1/scrypt"[..], salt].concat();
        let params = scrypt::Params::new(log_n, 8, 1).map_err(io::Error::other)?;
        let mut key = [0; 32];
        scrypt::scrypt(self.0.as_bytes(), &salt, &params, &mut key).map_err(io::Error::other)?;
        Ok(key)
    }
}

/// Why a sealed file can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("it is encrypted")]
    NoPassphrase,
    #[error("it is encrypted to a key, not by a passphrase")]
    ForAKey,
    #[error("the passphrase is wrong")]
    Wrong,
    #[error("its header was changed, or is damaged")]
    Header,
    #[error("to open it takes 2^{0} rounds of scrypt: that is too much")]
    TooDear(u8),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Seals what goes into a file.
pub(super) struct Seal {
    pieces: Pieces,
    /// At most a piece.
    pending: Vec<u8>,
}

impl Seal {
    /// With the file's header.
    pub(super) fn new(passphrase: &Passphrase) -> io::Result<(Self, Vec<u8>)> {
        let mut random = [0; 48];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let (file_key, rest) = random.split_at(16);
        let (salt, nonce) = rest.split_at(16);
        let salt: [u8; 16] = salt.try_into().map_err(io::Error::other)?;
        let wrap = passphrase.key(&salt, LOG_N)?;
        let body = cipher(&wrap).encrypt(&Nonce::<ChaCha20Poly1305>::default(), file_key).map_err(io::Error::other)?;
        let mut head = MAGIC.to_vec();
        head.extend(
            format!("-> scrypt {} {LOG_N}\n{}\n---", STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(&body))
                .as_bytes(),
        );
        let code = hkdf(file_key, &[], b"header", |key| mac(&key, &head).finalize().into_bytes());
        head.extend(format!(" {}\n", STANDARD_NO_PAD.encode(code)).as_bytes());
        head.extend(nonce);
        Ok((Self { pieces: Pieces::new(file_key, nonce), pending: Vec::new() }, head))
    }

    /// Appends to `out` the pieces that are full.
    pub(super) fn add(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        // The last piece may be full, but not empty: a full one waits for what follows.
        while self.pending.len() + bytes.len() > PIECE {
            let (full, rest) = bytes.split_at(PIECE - self.pending.len());
            self.pending.extend(full);
            self.pieces.seal(&self.pending, false, out);
            self.pending.clear();
            bytes = rest;
        }
        self.pending.extend(bytes);
    }

    /// Appends the last piece.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        self.pieces.seal(&self.pending, true, out);
        self.pending.clear();
    }
}

/// Opens a sealed file as it is read.
pub(super) struct Unseal<R: Read> {
    input: BufReader<R>,
    pieces: Pieces,
    open: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> Unseal<R> {
    pub(super) fn new(input: R, passphrase: Option<&Passphrase>) -> Result<Self, SealError> {
        let mut input = BufReader::with_capacity(PIECE + TAG, input);
        let mut head = Vec::new();
        let mut last = 0;
        while !head[last..].starts_with(b"---") || last == 0 {
            last = head.len();
            let left = MAX_HEADER.saturating_sub(head.len()) as u64;
            input.by_ref().take(left).read_until(b'\n', &mut head)?;
            if !head.ends_with(b"\n") || head.len() == last {
                return Err(SealError::Header);
            }
        }
        let file_key = file_key(&head[..last], passphrase)?;
        let code = head[last..].strip_prefix(b"--- ").and_then(|rest| decode(rest.trim_ascii_end()));
        let code: Vec<u8> = code.ok_or(SealError::Header)?;
        let good = hkdf(&file_key, &[], b"header", |key| mac(&key, &head[..last + 3]).verify_slice(&code).is_ok());
        if !good {
            return Err(SealError::Header);
        }
        let mut nonce = [0; 16];
        input.read_exact(&mut nonce).map_err(|_| SealError::Header)?;
        let pieces = Pieces::new(&file_key, &nonce);
        Ok(Self { input, pieces, open: Vec::new(), at: 0, ended: false })
    }

    fn next_piece(&mut self) -> io::Result<()> {
        let mut sealed = Vec::new();
        self.input.by_ref().take((PIECE + TAG) as u64).read_to_end(&mut sealed)?;
        let last = self.input.fill_buf()?.is_empty();
        match self.pieces.open(&sealed, last) {
            Some(open) => (self.open, self.at, self.ended) = (open, 0, last),
            // Cut behind a piece: it is genuine, but not the last.
            None if last && let Some(open) = self.pieces.open(&sealed, false) => (self.open, self.at) = (open, 0),
            // A piece that isn't whole and a last one that was changed look the same: neither has a seal that fits.
            None if last => {
                let text = "what is encrypted is cut short, or its end was changed";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            None => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "what is encrypted was changed, or is damaged"));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Unseal<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.open.len() && !self.ended {
            self.next_piece()?;
        }
        let n = buf.len().min(self.open.len() - self.at);
        buf[..n].copy_from_slice(&self.open[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// The key of a file by its header, up to the code: a passphrase's is the only recipient.
fn file_key(head: &[u8], passphrase: Option<&Passphrase>) -> Result<Vec<u8>, SealError> {
    let text = std::str::from_utf8(head).map_err(|_| SealError::Header)?;
    let mut lines = text.lines().skip(1);
    let mut words = lines.next().unwrap_or_default().split(' ');
    if words.next() != Some("->") {
        return Err(SealError::Header);
    }
    if words.next() != Some("scrypt") {
        return Err(SealError::ForAKey);
    }
    let salt = words.next().and_then(|word| decode(word.as_bytes())).and_then(|salt| <[u8; 16]>::try_from(salt).ok());
    let (Some(salt), Some(Ok(log_n)), None) = (salt, words.next().map(str::parse::<u8>), words.next()) else {
        return Err(SealError::Header);
    };
    let body = lines.next().and_then(|line| decode(line.as_bytes())).filter(|body| body.len() == SEALED_KEY);
    let (Some(body), None) = (body, lines.next()) else { return Err(SealError::Header) };
    if log_n > MOST_LOG_N || log_n == 0 {
        return Err(SealError::TooDear(log_n));
    }
    let wrap = passphrase.ok_or(SealError::NoPassphrase)?.key(&salt, log_n)?;
    cipher(&wrap).decrypt(&Nonce::<ChaCha20Poly1305>::default(), &body[..]).map_err(|_| SealError::Wrong)
}

/// The pieces of a file, one after the other.
struct Pieces {
    cipher: ChaCha20Poly1305,
    number: u64,
}

impl Pieces {
    fn new(file_key: &[u8], nonce: &[u8]) -> Self {
        Self { cipher: hkdf(file_key, nonce, b"payload", |key| cipher(&key)), number: 0 }
    }

    /// Eleven bytes of the piece's number, and whether it is the last.
    fn nonce(&self, last: bool) -> Nonce<ChaCha20Poly1305> {
        let mut nonce = Nonce::<ChaCha20Poly1305>::default();
        nonce[3..11].copy_from_slice(&self.number.to_be_bytes());
        nonce[11] = u8::from(last);
        nonce
    }

    fn seal(&mut self, piece: &[u8], last: bool, out: &mut Vec<u8>) {
        // It fails for pieces of 256 GiB only.
        out.extend(self.cipher.encrypt(&self.nonce(last), piece).unwrap_or_default());
        self.number += 1;
    }

    fn open(&mut self, sealed: &[u8], last: bool) -> Option<Vec<u8>> {
        let open = self.cipher.decrypt(&self.nonce(last), sealed).ok()?;
        self.number += 1;
        Some(open)
    }
}

/// None: it isn't base64, or isn't the one way to write it.
fn decode(letters: &[u8]) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(letters).ok()
}

fn cipher(key: &[u8; 32]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(key.into())
}

fn mac(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap_or_else(|_| unreachable!("any length is one for HMAC"));
    mac.update(text);
    mac
}

/// HKDF-SHA-256 (RFC 5869), one block.
fn hkdf<T>(key: &[u8], salt: &[u8], info: &[u8], then: impl FnOnce([u8; 32]) -> T) -> T {
    let secret = mac(salt, key).finalize().into_bytes();
    then(mac(&secret, &[info, &[1]].concat()).finalize().into_bytes().into())
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
