//! Secrets of sessions, in the format that NSS writes and others follow (SSLKEYLOGFILE, draft-ietf-tls-keylogfile): from a file that programs
//! may still be writing, or from a capture. They are kept in memory alone and never shown.

use std::collections::HashMap;

/// Sessions whose secrets are kept; those that come when there are so many are counted.
const MAX_SESSIONS: usize = 1 << 18;
/// The longest secret: a hash of SHA-384.
const MAX_SECRET: usize = 48;
/// A line that is longer is none of these.
const MAX_LINE: usize = 512;

/// A secret. Not `Debug`, so that it is in no message.
#[derive(Clone)]
pub(super) struct Secret {
    bytes: [u8; MAX_SECRET],
    len: u8,
}

impl Secret {
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let mut secret = Self { bytes: [0; MAX_SECRET], len: bytes.len().min(MAX_SECRET) as u8 };
        secret.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(secret)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or_default()
    }
}

/// What is known of one session.
#[derive(Clone, Default)]
pub(super) struct Session {
    /// TLS 1.2 and before.
    pub(super) master: Option<Secret>,
    pub(super) early: Option<Secret>,
    /// Client's and server's.
    pub(super) handshake: [Option<Secret>; 2],
    pub(super) traffic: [Option<Secret>; 2],
}

impl Session {
    fn place(&mut self, label: &[u8]) -> Option<&mut Option<Secret>> {
        Some(match label {
            b"CLIENT_RANDOM" => &mut self.master,
            b"CLIENT_EARLY_TRAFFIC_SECRET" => &mut self.early,
            b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => &mut self.handshake[0],
            b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => &mut self.handshake[1],
            b"CLIENT_TRAFFIC_SECRET_0" => &mut self.traffic[0],
            b"SERVER_TRAFFIC_SECRET_0" => &mut self.traffic[1],
            _ => return None,
        })
    }
}

/// Where more secrets come from: a key log that grows.
pub trait SecretSource: Send {
    /// What was added since the last call; empty: nothing.
    fn more(&mut self) -> Vec<u8>;
}

/// Secrets by client random.
#[derive(Default)]
pub(crate) struct Secrets {
    sessions: HashMap<[u8; 32], Session>,
    source: Option<Box<dyn SecretSource>>,
    /// A line of the source that is not complete.
    partial: Vec<u8>,
    /// Sessions not kept because there were too many.
    pub(crate) dropped: u64,
}

impl Secrets {
    /// There may be secrets.
    pub(crate) fn any(&self) -> bool {
        self.source.is_some() || !self.sessions.is_empty()
    }

    pub(crate) fn follow(&mut self, source: Box<dyn SecretSource>) {
        self.source = Some(source);
        self.read_source();
    }

    /// Takes whole lines.
    pub(crate) fn add(&mut self, text: &[u8]) {
        for line in text.split(|&byte| byte == b'\n') {
            self.line(line);
        }
    }

    fn read_source(&mut self) {
        let Some(source) = &mut self.source else { return };
        let more = source.more();
        if more.is_empty() {
            return;
        }
        let mut text = std::mem::take(&mut self.partial);
        text.extend(more);
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        self.add(text.get(..whole).unwrap_or_default());
        let rest = text.get(whole..).unwrap_or_default();
        if rest.len() <= MAX_LINE {
            self.partial = rest.to_vec();
        }
    }

    fn line(&mut self, line: &[u8]) {
        if line.len() > MAX_LINE {
            return;
        }
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (Some(label), Some(random), Some(secret)) = (words.next(), words.next(), words.next()) else { return };
        let Some(random) = hex(random).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) else { return };
        let Some(secret) = hex(secret).and_then(|bytes| Secret::new(&bytes)) else { return };
        if self.sessions.len() >= MAX_SESSIONS && !self.sessions.contains_key(&random) {
            self.dropped += 1;
            return;
        }
        // A label of no use must not leave an empty session.
        let mut session = self.sessions.get(&random).cloned().unwrap_or_default();
        if let Some(place) = session.place(label) {
            *place = Some(secret);
            self.sessions.insert(random, session);
        }
    }

    /// A session's secrets; looks for new ones if `enough` says that these are not.
    pub(super) fn find(&mut self, random: &[u8; 32], enough: impl Fn(&Session) -> bool) -> Option<Session> {
        if !self.sessions.get(random).is_some_and(&enough) {
            self.read_source();
        }
        self.sessions.get(random).cloned()
    }
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pairs = text.chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests;
