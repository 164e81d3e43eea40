//! Decryption of one connection: which keys protect which records.
//!
//! Records are numbered by direction since their keys came into use, and in TLS 1.3 three sets of keys follow each other. Where
//! a key is not known, or records went missing, the next set or the next numbers are tried: a wrong guess does not authenticate.

use super::handshake::{Hello, is_13};
use super::kdf;
use super::open::{Layout, Opener};
use super::records::Header;
use super::secrets::{Secret, Secrets, Session};
use super::suites::{Cipher, Suite};
use super::{TlsShared, content};

/// Numbers tried after records may have been missed.
const AHEAD: u64 = 16;
/// Times a connection's secrets are looked for, since a log may be written late.
const MAX_LOOKUPS: u8 = 16;
/// Records in a row that keys don't fit, until no more are tried.
const MAX_FAILURES: u8 = 32;

/// The keys of a direction, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Epoch {
    Early,
    Handshake,
    Traffic,
}

struct Reader {
    opener: Opener,
    seq: u64,
    epoch: Epoch,
    /// TLS 1.3's secret, of which an update makes the next.
    secret: Option<Secret>,
}

#[derive(Default)]
struct Direction {
    reader: Option<Reader>,
    failures: u8,
    /// The change of cipher was seen (before TLS 1.3): records since then.
    since_change: Option<u64>,
    /// Records may have been missed.
    slipped: bool,
}

/// Of one connection.
#[derive(Default)]
pub(super) struct Crypt {
    client_random: Option<[u8; 32]>,
    server_random: [u8; 32],
    /// The server's choice; 0: none yet.
    version: u16,
    suite: Option<Suite>,
    mac_outside: bool,
    session: Option<Box<Session>>,
    lookups: u8,
    dirs: [Direction; 2],
}

impl Crypt {
    pub(super) fn client_hello(&mut self, hello: &Hello<'_>) {
        self.client_random = Some(hello.random);
        self.session = None;
        self.lookups = 0;
        self.version = 0;
        // What a client sends before the server answers is early data; it guesses the suite.
        self.suite = Suite::of(hello.suite);
    }

    pub(super) fn server_hello(&mut self, hello: &Hello<'_>) {
        if hello.is_retry() {
            return;
        }
        self.server_random = hello.random;
        self.version = hello.negotiated();
        // What is compressed isn't read.
        self.suite = Suite::of(hello.suite).filter(|_| !hello.compressed);
        self.mac_outside = hello.extensions.encrypt_then_mac;
        for dir in &mut self.dirs {
            dir.failures = 0;
        }
    }

    /// A direction's next records are protected by what was just agreed on (before TLS 1.3).
    pub(super) fn change(&mut self, dir: usize) {
        if !is_13(self.version) {
            self.dirs[dir] = Direction { since_change: Some(0), ..Direction::default() };
        }
    }

    /// Whether the content of a protected record may become readable.
    pub(super) fn wants(&self, dir: usize, shared: &TlsShared) -> bool {
        let secrets = self.session.is_some() || (shared.secrets.any() && self.lookups < MAX_LOOKUPS);
        secrets && self.client_random.is_some() && self.suite.is_some() && self.dirs[dir].failures < MAX_FAILURES
    }

    /// A protected record that is lost.
    pub(super) fn missed(&mut self, dir: usize) {
        let dir = &mut self.dirs[dir];
        dir.slipped = true;
        if let Some(reader) = &mut dir.reader {
            reader.seq += 1;
        }
        if let Some(since) = &mut dir.since_change {
            *since += 1;
        }
    }

    /// Records may have passed unseen.
    pub(super) fn slipped(&mut self, dir: usize) {
        self.dirs[dir].slipped = true;
    }

    /// Bytes of content in a protected record that can't be read, and whether it is so many: padding may be among them.
    pub(super) fn content_len(&self, header: &Header) -> (u64, bool) {
        /// The part of a nonce that comes with each record before TLS 1.3, but for ChaCha20.
        const NONCE: usize = 8;
        let length = usize::from(header.length);
        let Some((cipher, tag)) = self.suite.and_then(|suite| Some((suite.cipher, suite.cipher.tag()?))) else {
            return (length as u64, false);
        };
        let is_13 = is_13(self.version);
        let around = match cipher {
            // The content's type.
            _ if is_13 => tag + 1,
            Cipher::ChaCha20 => tag,
            _ => tag + NONCE,
        };
        (length.saturating_sub(around) as u64, !is_13)
    }

    /// The type and content of a protected record.
    pub(super) fn open(
        &mut self,
        dir: usize,
        from_client: bool,
        header: &Header,
        body: &[u8],
        shared: &mut TlsShared,
    ) -> Option<(u8, Vec<u8>)> {
        let found = if self.dirs[dir].failures < MAX_FAILURES {
            self.try_open(dir, from_client, header, body, &mut shared.secrets)
        } else {
            None
        };
        let direction = &mut self.dirs[dir];
        if let Some(since) = &mut direction.since_change {
            *since += 1;
        }
        if found.is_some() {
            direction.failures = 0;
            direction.slipped = false;
        } else if direction.reader.is_some() || (direction.slipped && self.session.is_some()) {
            direction.failures = direction.failures.saturating_add(1);
        }
        found
    }

    fn try_open(
        &mut self,
        dir: usize,
        from_client: bool,
        header: &Header,
        body: &[u8],
        secrets: &mut Secrets,
    ) -> Option<(u8, Vec<u8>)> {
        if is_13(self.version) || self.version == 0 {
            if header.kind != content::DATA {
                return None;
            }
            return self.open_13(dir, from_client, header, body, secrets).and_then(unpad);
        }
        if self.dirs[dir].reader.is_none() {
            self.dirs[dir].reader = self.reader_12(dir, from_client, secrets);
        }
        let plain = self.dirs[dir].open(header, body)?;
        Some((header.kind, plain))
    }

    /// Opens with the keys in use, or with the next ones.
    fn open_13(
        &mut self,
        dir: usize,
        from_client: bool,
        header: &Header,
        body: &[u8],
        secrets: &mut Secrets,
    ) -> Option<Vec<u8>> {
        if let Some(plain) = self.dirs[dir].open(header, body) {
            return Some(plain);
        }
        let current = self.dirs[dir].reader.as_ref().map(|reader| reader.epoch);
        // Early data alone has keys before the server's answer.
        let epochs: &[Epoch] = if self.version == 0 { &[Epoch::Early] } else { &[Epoch::Handshake, Epoch::Traffic] };
        for &epoch in epochs.iter().filter(|&&epoch| current.is_none_or(|current| epoch > current)) {
            let Some(secret) = self.secret(epoch, from_client, secrets) else { continue };
            let Some(mut next) = self.reader_13(epoch, secret) else { continue };
            let slipped = self.dirs[dir].slipped;
            if let Some(plain) = next.open(header, body, slipped) {
                self.dirs[dir].reader = Some(next);
                return Some(plain);
            }
        }
        None
    }

    fn session(&mut self, secrets: &mut Secrets, enough: impl Fn(&Session) -> bool) -> Option<&Session> {
        if !self.session.as_deref().is_some_and(&enough) && self.lookups < MAX_LOOKUPS {
            self.lookups += 1;
            self.session = secrets.find(&self.client_random?, enough).map(Box::new);
        }
        self.session.as_deref()
    }

    fn secret(&mut self, epoch: Epoch, from_client: bool, secrets: &mut Secrets) -> Option<Secret> {
        let side = usize::from(!from_client);
        let of = move |session: &Session| match epoch {
            Epoch::Early => session.early.clone().filter(|_| from_client),
            Epoch::Handshake => session.handshake[side].clone(),
            Epoch::Traffic => session.traffic[side].clone(),
        };
        self.session(secrets, |session| of(session).is_some()).and_then(of)
    }

    fn reader_13(&self, epoch: Epoch, secret: Secret) -> Option<Reader> {
        let suite = self.suite?;
        let key = kdf::expand_label(suite.hash, secret.bytes(), b"key", suite.cipher.key_size());
        let iv = kdf::expand_label(suite.hash, secret.bytes(), b"iv", 12);
        let opener = Opener::new(Layout::Tls13, suite.cipher, &key, &[], &iv, false)?;
        Some(Reader { opener, seq: 0, epoch, secret: Some(secret) })
    }

    /// RFC 5246, section 6.3.
    fn reader_12(&mut self, dir: usize, from_client: bool, secrets: &mut Secrets) -> Option<Reader> {
        let seq = self.dirs[dir].since_change?;
        let suite = self.suite?;
        let client_random = self.client_random?;
        let master = self.session(secrets, |session| session.master.is_some())?.master.clone()?;
        let layout = match self.version {
            0x0301 => Layout::Tls10,
            0x0302 => Layout::Tls11,
            0x0303 => Layout::Tls12,
            _ => return None,
        };
        let (mac, key, iv) =
            (suite.cipher.mac().map_or(0, super::suites::Hash::size), suite.cipher.key_size(), suite.cipher.fixed_iv());
        let seed: [&[u8]; 3] = [b"key expansion", &self.server_random, &client_random];
        let size = 2 * (mac + key + iv);
        let block = if layout == Layout::Tls12 {
            kdf::prf(suite.hash, master.bytes(), &seed, size)
        } else {
            kdf::old_prf(master.bytes(), &seed, size)
        };
        let side = usize::from(!from_client);
        let part = |at: usize, n: usize| block.get(at + side * n..at + (side + 1) * n);
        let opener = Opener::new(
            layout,
            suite.cipher,
            part(2 * mac, key)?,
            part(0, mac)?,
            part(2 * mac + 2 * key, iv)?,
            self.mac_outside && mac > 0,
        )?;
        Some(Reader { opener, seq, epoch: Epoch::Traffic, secret: None })
    }

    /// The direction's Finished was sent: the keys of application data come next.
    pub(super) fn finished(&mut self, dir: usize, from_client: bool, shared: &mut TlsShared) {
        if is_13(self.version)
            && let Some(secret) = self.secret(Epoch::Traffic, from_client, &mut shared.secrets)
            && let Some(reader) = self.reader_13(Epoch::Traffic, secret)
        {
            self.dirs[dir].reader = Some(reader);
        }
    }

    /// RFC 8446, section 7.2.
    pub(super) fn key_update(&mut self, dir: usize) {
        let Some(suite) = self.suite else { return };
        let old = self.dirs[dir].reader.as_ref().and_then(|reader| reader.secret.as_ref());
        let next = old.map(|old| kdf::expand_label(suite.hash, old.bytes(), b"traffic upd", suite.hash.size()));
        if let Some(reader) = next.and_then(|next| self.reader_13(Epoch::Traffic, Secret::new(&next)?)) {
            self.dirs[dir].reader = Some(reader);
        }
    }
}

impl Direction {
    fn open(&mut self, header: &Header, body: &[u8]) -> Option<Vec<u8>> {
        let slipped = self.slipped;
        self.reader.as_mut()?.open(header, body, slipped)
    }
}

impl Reader {
    /// Tries the number that is due, and later ones if records may have been missed.
    fn open(&mut self, header: &Header, body: &[u8], slipped: bool) -> Option<Vec<u8>> {
        let ahead = if slipped { AHEAD } else { 0 };
        let mut opened = None;
        for seq in self.seq..=self.seq.saturating_add(ahead) {
            if let Some(plain) = self.opener.open(header, body, seq) {
                self.seq = seq + 1;
                opened = Some(plain);
                break;
            }
        }
        // Once for the record, whatever its number.
        self.opener.chain(body);
        if opened.is_some() {
            return opened;
        }
        // Its number passed, whatever it was; in TLS 1.3 other keys may be due.
        if self.secret.is_none() {
            self.seq += 1;
        }
        None
    }
}

/// TLS 1.3's content ends in its type, and zeros (RFC 8446, section 5.2).
fn unpad(mut plain: Vec<u8>) -> Option<(u8, Vec<u8>)> {
    while plain.last() == Some(&0) {
        plain.pop();
    }
    let kind = plain.pop()?;
    Some((kind, plain))
}

#[cfg(test)]
mod tests;
