//! Which protocol a connection speaks, found by its first bytes.

use super::protocols::{self, Setting, Verdict};
use super::{Context, Hole, Next, Piece, Placed, Protocol, Shared, Taken};

/// First bytes that do not tell yet are kept, up to so many.
const UNDECIDED: usize = 64;
/// Handovers within one piece: more is a stream that was made to loop.
const MAX_HANDOVERS: usize = 4;

/// Bytes that were too few to tell.
struct Kept {
    bytes: Vec<u8>,
    place: Placed,
    time: u64,
}

/// What is spoken on a connection, or inside a protocol that carries others.
#[derive(Default)]
pub(crate) struct Dialogue {
    speaks: Option<Box<dyn Protocol>>,
    /// What is spoken from here on is not known.
    over: bool,
    /// How often another protocol has begun: what one has said of bytes to come no other one has.
    pub(crate) handovers: u32,
    /// By direction: what was not read has come before, of another protocol or of none that is known.
    behind: [bool; 2],
    /// By direction, while nothing is known.
    kept: [Vec<Kept>; 2],
    /// What both sides agreed on by ALPN in the protocol around this; empty: nothing.
    alpn: Vec<u8>,
}

impl Dialogue {
    /// Both sides agreed on what they will speak: TLS by ALPN.
    pub(crate) fn agreed(&mut self, alpn: &[u8]) {
        self.alpn = alpn.to_vec();
    }

    /// Bytes of a direction before those that will come are not told of.
    pub(crate) fn begins_late(&mut self, dir: usize) {
        self.behind[dir & 1] = true;
    }

    pub(crate) fn data(&mut self, piece: Piece<'_>, cx: &mut Context<'_>) {
        let around = cx.facts.behind;
        self.take(piece, around, cx);
        cx.facts.behind = around;
    }

    /// `around`: of what carries this, bytes have come before.
    fn take(&mut self, piece: Piece<'_>, around: bool, cx: &mut Context<'_>) {
        let mut rest = piece;
        for _ in 0..MAX_HANDOVERS {
            cx.facts.behind = around || self.behind[piece.dir & 1];
            let Some(protocol) = &mut self.speaks else {
                self.undecided(rest, cx);
                return;
            };
            let Taken::Handover(used, next) = protocol.data(rest, cx) else { return };
            protocol.settle([true; 2], cx);
            protocol.abandon(cx.shared);
            self.speaks = match next {
                Next::Named(name) | Next::Instead(name) => protocols::open(name, cx),
                Next::Sniffed | Next::Unknown => None,
            };
            self.over = next == Next::Unknown;
            self.handovers = self.handovers.wrapping_add(1);
            if !matches!(next, Next::Instead(_)) {
                self.behind = [true; 2];
            }
            rest = rest.skip(used);
            if rest.bytes.is_empty() {
                return;
            }
        }
    }

    fn undecided(&mut self, piece: Piece<'_>, cx: &mut Context<'_>) {
        let dir = piece.dir & 1;
        let kept = &mut self.kept[dir];
        if self.over || (kept.is_empty() && !piece.fresh) {
            self.behind[dir] = true;
            return;
        }
        let mut first: Vec<u8> = kept.iter().flat_map(|kept| &kept.bytes).copied().collect();
        if !first.is_empty() {
            first.extend(piece.bytes.iter().take(UNDECIDED));
        }
        let bytes = if first.is_empty() { piece.bytes } else { &first };
        let setting = Setting { ports: cx.facts.ports, alpn: &self.alpn };
        let verdict = protocols::sniff(bytes, &setting, cx.shared);
        match verdict {
            Verdict::Is(row) => {
                self.speaks = Some((row.open)(cx));
                for early in std::mem::take(&mut self.kept[dir]) {
                    let Kept { bytes, place, time } = &early;
                    self.data(Piece { dir: piece.dir, bytes, time: *time, fresh: true, place: *place }, cx);
                }
                self.kept = Default::default();
                self.data(piece, cx);
            }
            Verdict::Maybe if bytes.len() < UNDECIDED => {
                kept.push(Kept { bytes: piece.bytes.to_vec(), place: piece.place, time: piece.time });
            }
            Verdict::Maybe | Verdict::No => {
                kept.clear();
                self.behind[dir] = true;
            }
        }
    }

    pub(crate) fn hole(&mut self, hole: Hole, cx: &mut Context<'_>) {
        self.behind[hole.dir & 1] |= hole.lost || self.speaks.is_none();
        self.kept[hole.dir & 1].clear();
        if let Some(protocol) = &mut self.speaks {
            protocol.hole(hole, cx);
        }
    }

    pub(crate) fn end(&mut self, dir: usize, clean: bool, cx: &mut Context<'_>) {
        if let Some(protocol) = &mut self.speaks {
            protocol.end(dir, clean, cx);
        }
    }

    pub(crate) fn acknowledged(&mut self, dir: usize, to: u64, cx: &mut Context<'_>) {
        if let Some(protocol) = &mut self.speaks {
            protocol.acknowledged(dir, to, cx);
        }
    }

    pub(crate) fn sent(&mut self, dir: usize, from: u64, to: u64, now: u64) {
        if let Some(protocol) = &mut self.speaks {
            protocol.sent(dir, from, to, now);
        }
    }

    pub(crate) fn repeated(&mut self, dir: usize, payload: &[u8], cx: &mut Context<'_>) {
        if let Some(protocol) = &mut self.speaks {
            protocol.repeated(dir, payload, cx);
        }
    }

    /// Of so many of the next bytes only the number matters.
    pub(crate) fn ignored(&self, dir: usize) -> u64 {
        match &self.speaks {
            _ if self.over => u64::MAX,
            Some(protocol) => protocol.ignored(dir),
            None => 0,
        }
    }

    /// Nothing that lies before this in a direction's TCP stream is still to be presented.
    pub(crate) fn open_from(&self, dir: usize) -> u64 {
        match &self.speaks {
            Some(protocol) => protocol.open_from(dir),
            None => self.kept[dir & 1].first().map_or(u64::MAX, |kept| kept.place.from()),
        }
    }

    /// A message ended, and nothing of another one has come, in both directions; what was asked was answered.
    pub(crate) fn rests(&self) -> bool {
        !self.over && self.speaks.as_ref().is_some_and(|protocol| protocol.rests())
    }

    pub(crate) fn settle(&mut self, ended: [bool; 2], cx: &mut Context<'_>) {
        if let Some(protocol) = &mut self.speaks {
            protocol.settle(ended, cx);
        }
    }

    /// The direction that asks, once what is spoken has told.
    pub(crate) fn client(&self) -> Option<usize> {
        self.speaks.as_ref().and_then(|protocol| protocol.client())
    }

    pub(crate) fn describe(&self, shared: &mut Shared) {
        if let Some(protocol) = &self.speaks {
            protocol.describe(shared);
        }
    }

    pub(crate) fn abandon(&mut self, shared: &mut Shared) {
        if let Some(mut protocol) = self.speaks.take() {
            protocol.abandon(shared);
        }
    }
}

#[cfg(test)]
mod tests;
