//! TLS on one connection.

use super::crypt::Crypt;
use super::handshake::{Extensions, Hello, is_13, kind};
use super::messages::{Message, Messages};
use super::present::{Conn, Ended, HelloFields, TlsPart};
use super::records::{Found, Header, Record, Records};
use super::{content, cursor::Cursor};
use crate::packet::stream::{Context, Dialogue, Hole, Next, Piece, Protocol, Shared, Taken};
use std::sync::Arc;
use weftrace_artifact::packet::needs;

const WARNING: u8 = 1;
/// An alert's content, and the least that a Finished has: a message's header and a hash.
const ALERT_LEN: u64 = 2;
const FINISHED_LEN: u64 = 4 + 32;

#[derive(Default)]
struct Direction {
    records: Records,
    messages: Messages,
    /// A change of cipher was seen: handshake messages and alerts are encrypted (before TLS 1.3).
    changed: bool,
    /// Its Finished was seen, or a record that can only be it.
    finished: bool,
}

/// A handshake under way.
#[derive(Clone, Copy)]
struct Handshake {
    start: u64,
    server_hello: Option<u64>,
    /// The server asked for another client hello.
    retried: bool,
    resumed: bool,
}

/// TLS's view of one connection.
#[derive(Default)]
pub(crate) struct TlsFlow {
    dirs: [Direction; 2],
    /// Direction of the client, once a hello told.
    client: Option<usize>,
    conn: Arc<Conn>,
    /// A hello was seen.
    known: bool,
    handshake: Option<Handshake>,
    session_id: Vec<u8>,
    crypt: Crypt,
    inner: Dialogue,
    /// Bytes kept, as counted in [`Shared::held_total`].
    counted: usize,
}

impl TlsFlow {
    fn is_13(&self) -> bool {
        is_13(self.conn.version)
    }

    /// Whether a record's content is encrypted.
    fn is_closed(&self, dir: usize, kind: u8) -> bool {
        match kind {
            content::DATA | content::HEARTBEAT => true,
            content::CHANGE_CIPHER_SPEC => false,
            _ => self.dirs[dir].changed,
        }
    }

    fn record(&mut self, dir: usize, record: &Record<'_>, cx: &mut Context<'_>) {
        let kind = record.header.kind;
        if !self.is_closed(dir, kind) {
            self.content(dir, record, (kind, record.body), TlsPart::of(&record.header), cx);
            return;
        }
        let protected = self.is_13() && kind == content::DATA;
        let from_client = self.client == Some(dir);
        let whole = !record.cut && record.body.len() == usize::from(record.header.length);
        if whole
            && let Some((kind, plain)) =
                self.crypt.open(dir, from_client, &record.header, record.body, &mut cx.shared.tls)
        {
            debug_assert!(
                match self.crypt.content_len(&record.header) {
                    (len, true) => len == plain.len() as u64,
                    (len, false) => len >= plain.len() as u64,
                },
                "what a record that can't be read is taken for"
            );
            if !self.conn.decrypted {
                Arc::make_mut(&mut self.conn).decrypted = true;
            }
            let part =
                if protected { TlsPart::protected(&record.header, Some(kind)) } else { TlsPart::of(&record.header) };
            self.content(dir, record, (kind, &plain), part, cx);
            return;
        }
        if !whole {
            self.crypt.missed(dir);
        }
        self.unreadable(dir, &record.header, record.covers, !record.cut, cx);
        let ended = self.closed(dir, &record.header, cx.now);
        let part = if protected { TlsPart::protected(&record.header, None) } else { TlsPart::of(&record.header) };
        present(TlsPart { ended, ..part }, cx);
    }

    /// A record that could not be decrypted: it may be the one that has the Finished.
    fn closed(&mut self, dir: usize, header: &Header, now: u64) -> Option<Ended> {
        let answered = self.handshake.as_ref().is_some_and(|handshake| handshake.server_hello.is_some());
        if !answered {
            return None;
        }
        if self.is_13() {
            // What the client sends now ends the handshake.
            if header.kind != content::DATA || self.client != Some(dir) {
                return None;
            }
            match self.crypt.content_len(header).0 {
                // It refuses the server's certificate, or closes.
                ALERT_LEN => return self.end_handshake(false, now),
                // That early data ends here; the Finished follows.
                len if len < FINISHED_LEN => return None,
                _ => {}
            }
        } else if header.kind != content::HANDSHAKE {
            return None;
        }
        self.finished(dir, now)
    }

    /// A direction has finished its handshake.
    fn finished(&mut self, dir: usize, now: u64) -> Option<Ended> {
        self.dirs[dir].finished = true;
        // In TLS 1.3 the client is the last to finish (RFC 8446, section 2): the server's may not have been readable, where secrets come live.
        if self.is_13() && self.client == Some(dir) {
            self.dirs[1 - dir].finished = true;
        }
        let both = self.dirs.iter().all(|dir| dir.finished);
        if both { self.end_handshake(true, now) } else { None }
    }

    fn end_handshake(&mut self, completed: bool, now: u64) -> Option<Ended> {
        let handshake = self.handshake.take()?;
        Some(Ended {
            start: handshake.start,
            duration: now.saturating_sub(handshake.start),
            server_hello: handshake.server_hello,
            completed,
            resumed: completed && handshake.resumed,
        })
    }

    /// Application data that can't be read is a hole for what is carried.
    fn unreadable(&mut self, dir: usize, header: &Header, (from, to): (u64, u64), lost: bool, cx: &mut Context<'_>) {
        if self.conn.decrypted && header.kind == content::DATA {
            let (len, exact) = self.crypt.content_len(header);
            let hole = Hole { dir, len, exact, from, to, lost };
            self.inner.hole(hole, cx);
        }
    }

    /// Content in clear, or decrypted.
    fn content(
        &mut self,
        dir: usize,
        record: &Record<'_>,
        (kind, body): (u8, &[u8]),
        part: TlsPart,
        cx: &mut Context<'_>,
    ) {
        match kind {
            content::HANDSHAKE => self.handshake_record(dir, record, body, part, cx),
            content::ALERT => self.alert(body, part, cx),
            content::CHANGE_CIPHER_SPEC => {
                // TLS 1.3 sends one for old middleboxes, which changes nothing.
                self.dirs[dir].changed |= !self.is_13();
                self.crypt.change(dir);
                present(part, cx);
            }
            content::DATA => {
                present(part, cx);
                self.inner.data(Piece::within(dir, body, record.covers, record.start), cx);
            }
            _ => present(part, cx),
        }
    }

    fn alert(&mut self, body: &[u8], mut part: TlsPart, cx: &mut Context<'_>) {
        if let &[level, description] = body {
            part.alert = Some((level, description));
            if level != WARNING {
                part.ended = self.end_handshake(false, cx.now);
            }
        }
        present(part, cx);
    }

    fn handshake_record(&mut self, dir: usize, record: &Record<'_>, body: &[u8], part: TlsPart, cx: &mut Context<'_>) {
        let mut messages = std::mem::take(&mut self.dirs[dir].messages);
        if body.is_empty() || !messages.plausible(body) {
            messages.reset();
            present(part, cx);
        } else {
            let mut any = false;
            messages.feed(body, &mut |message| {
                any = true;
                self.message(dir, &message, record, part.clone(), cx);
            });
            if record.cut {
                let cut = messages.cut_short();
                messages.reset();
                present(TlsPart { message: cut, ..part }, cx);
            } else if !any {
                present(part, cx);
            }
        }
        self.dirs[dir].messages = messages;
    }

    fn message(
        &mut self,
        dir: usize,
        message: &Message<'_>,
        record: &Record<'_>,
        mut part: TlsPart,
        cx: &mut Context<'_>,
    ) {
        part.message = Some((message.kind, message.length));
        match message.kind {
            kind::CLIENT_HELLO => match Hello::client(message.body) {
                Some(hello) => part.hello = Some(self.client_hello(dir, &hello, record)),
                None => cx.shared.tls.counters.malformed += 1,
            },
            kind::SERVER_HELLO => match Hello::server(message.body) {
                Some(hello) => {
                    cx.shared.tls.counters.compressed += u64::from(hello.compressed && cx.shared.tls.secrets.any());
                    part.hello = Some(self.server_hello(dir, &hello, cx.now));
                }
                None => cx.shared.tls.counters.malformed += 1,
            },
            kind::ENCRYPTED_EXTENSIONS => {
                let extensions = Extensions::of(Cursor(message.body), false);
                self.agree(extensions.alpn);
                part.alpn = extensions.alpn.map(<[u8]>::to_vec);
            }
            // A resumed session needs none.
            kind::CERTIFICATE => {
                if let Some(handshake) = &mut self.handshake {
                    handshake.resumed = false;
                }
            }
            kind::FINISHED => {
                self.crypt.finished(dir, self.client == Some(dir), &mut cx.shared.tls);
                part.ended = self.finished(dir, cx.now);
            }
            kind::KEY_UPDATE => self.crypt.key_update(dir),
            _ => {}
        }
        present(part, cx);
    }

    fn client_hello(&mut self, dir: usize, hello: &Hello<'_>, record: &Record<'_>) -> HelloFields {
        self.client = Some(dir);
        self.known = true;
        let retried = self.handshake.as_ref().is_some_and(|handshake| handshake.retried);
        if !retried {
            let start = record.start;
            self.handshake = Some(Handshake { start, server_hello: None, retried: false, resumed: false });
            for dir in &mut self.dirs {
                dir.finished = false;
            }
        }
        self.session_id = hello.session_id.to_vec();
        self.crypt.client_hello(hello);
        Arc::make_mut(&mut self.conn).server_name = hello.extensions.server_name.unwrap_or_default().to_vec();
        HelloFields::of(hello)
    }

    fn server_hello(&mut self, dir: usize, hello: &Hello<'_>, now: u64) -> HelloFields {
        self.client = Some(1 - dir);
        self.known = true;
        let conn = Arc::make_mut(&mut self.conn);
        conn.version = hello.negotiated();
        conn.suite = hello.suite;
        let is_13 = is_13(conn.version);
        self.crypt.server_hello(hello);
        if let Some(handshake) = &mut self.handshake {
            if hello.is_retry() {
                handshake.retried = true;
            } else {
                handshake.server_hello = Some(now.saturating_sub(handshake.start));
                // Before TLS 1.3 a server repeats the id of a session it resumes.
                let repeated = !hello.session_id.is_empty() && hello.session_id == self.session_id;
                handshake.resumed = if is_13 { hello.extensions.pre_shared_key } else { repeated };
            }
        }
        if is_13 {
            for dir in &mut self.dirs {
                dir.changed = false;
            }
        }
        self.agree(hello.extensions.alpn);
        HelloFields::of(hello)
    }

    /// The server chose what will be spoken.
    fn agree(&mut self, alpn: Option<&[u8]>) {
        if let Some(alpn) = alpn {
            Arc::make_mut(&mut self.conn).alpn = alpn.to_vec();
            self.inner.agreed(alpn);
        }
    }

    /// A record is lost; its place is known.
    fn lost(&mut self, dir: usize, header: &Header, covers: (u64, u64), cx: &mut Context<'_>) {
        self.dirs[dir].messages.reset();
        self.crypt.missed(dir);
        self.unreadable(dir, header, covers, true, cx);
    }

    fn found(&mut self, dir: usize, found: &Found<'_>, cx: &mut Context<'_>) {
        match found {
            Found::Record(record) => self.record(dir, record, cx),
            Found::Lost { header, covers } => self.lost(dir, header, *covers, cx),
        }
    }

    /// Whether a record's content is read.
    fn keeps(&self, dir: usize, header: &Header, shared: &mut Shared) -> bool {
        let wanted = !self.is_closed(dir, header.kind) || self.crypt.wants(dir, &shared.tls);
        let room = shared.held_total + usize::from(header.length) <= shared.limits.held_bytes_total;
        shared.tls.counters.refused += u64::from(wanted && !room);
        wanted && room
    }

    /// Counts what is kept among what all connections keep.
    fn count(&mut self, shared: &mut Shared) {
        let kept = self.dirs.iter().map(|dir| dir.records.kept() + dir.messages.kept()).sum();
        shared.held_total = shared.held_total - self.counted + kept;
        self.counted = kept;
    }
}

fn present(part: TlsPart, cx: &mut Context<'_>) {
    if cx.shared.asked & needs::TLS != 0 {
        cx.shared.parts.push(part);
    }
}

impl Protocol for TlsFlow {
    fn data(&mut self, piece: Piece<'_>, cx: &mut Context<'_>) -> Taken {
        let dir = piece.dir & 1;
        let mut records = std::mem::take(&mut self.dirs[dir].records);
        let mut rest = piece;
        while !rest.bytes.is_empty() || records.is_due() {
            let (used, found) = records.next(rest, |header| self.keeps(dir, header, cx.shared));
            rest = rest.skip(used);
            if let Some(found) = found {
                self.found(dir, &found, cx);
                records.release();
            }
            // It only looked like TLS.
            if records.is_lost() && !self.known {
                return Taken::Handover(piece.bytes.len() - rest.bytes.len(), Next::Sniffed);
            }
        }
        self.dirs[dir].records = records;
        self.count(cx.shared);
        Taken::All
    }

    fn hole(&mut self, hole: Hole, cx: &mut Context<'_>) {
        let dir = hole.dir & 1;
        let mut records = std::mem::take(&mut self.dirs[dir].records);
        if hole.lost && !records.is_lost() {
            cx.shared.tls.counters.gaps += 1;
        }
        if let Some(found) = records.hole(hole) {
            self.found(dir, &found, cx);
            records.release();
        }
        if records.is_lost() {
            self.dirs[dir].messages.reset();
            self.crypt.slipped(dir);
            if self.conn.decrypted {
                self.inner.hole(Hole { exact: false, ..hole }, cx);
            }
        }
        self.dirs[dir].records = records;
        self.count(cx.shared);
    }

    fn end(&mut self, dir: usize, clean: bool, cx: &mut Context<'_>) {
        self.inner.end(dir, clean, cx);
    }

    fn acknowledged(&mut self, dir: usize, to: u64, cx: &mut Context<'_>) {
        self.inner.acknowledged(dir, to, cx);
    }

    fn sent(&mut self, dir: usize, from: u64, to: u64, now: u64) {
        self.inner.sent(dir, from, to, now);
    }

    fn ignored(&self, dir: usize) -> u64 {
        self.dirs[dir & 1].records.ignored()
    }

    fn settle(&mut self, ended: [bool; 2], cx: &mut Context<'_>) {
        self.inner.settle(ended, cx);
        if ended == [true; 2]
            && let Some(ended) = self.end_handshake(false, cx.now)
        {
            present(TlsPart { ended: Some(ended), ..TlsPart::default() }, cx);
        }
    }

    fn client(&self) -> Option<usize> {
        self.client
    }

    fn describe(&self, shared: &mut Shared) {
        if self.known {
            shared.tls.conn = Some(Arc::clone(&self.conn));
        }
    }

    fn abandon(&mut self, shared: &mut Shared) {
        self.inner.abandon(shared);
        shared.held_total -= self.counted;
        self.counted = 0;
    }
}
