//! Heads of HTTP/1, looked at in the kernel as far as it takes to say that a message is whole: where the head ends, how long its body is. The
//! bytes are copied to the program's memory once and looked through eight at a time; a message about which there is any doubt is not plain.

use super::{
    cx::{Cx, R},
    mem::Mem,
};
use crate::ir::{BinaryOp, Block, Cond, Helper, Ty as IrTy, Value};
use weftrace_lang::hir::{Expr, PLAIN_LEFT_AT, PLAIN_MOST, PLAIN_ROOM};

/// So many bytes are looked at in a round: of the eight that are loaded each pair of neighbours.
const STEP: u32 = 7;
/// What is looked at behind the last byte.
const BEHIND: i32 = 32;
const LAST: u32 = PLAIN_MOST + 8;
/// Places within what is said of a response: the status takes 16 bits, a place in its head as many as [`PLACES`] has.
const END_AT: i64 = 16;
const NAME_AT: i64 = 26;
const LEFT_AT: i64 = PLAIN_LEFT_AT as i64;
const PLACES: i64 = 1 << (NAME_AT - END_AT);
const _: () = assert!(PLAIN_MOST as i64 + 16 < PLACES && NAME_AT - END_AT == LEFT_AT - NAME_AT);
const _: () = assert!(10_i64.pow(DIGITS as u32 - 1) + (PLAIN_MOST as i64) < 1 << (63 - LEFT_AT));
// The kernel's text and the runtime agree.
const _: () = {
    use weftrace_artifact::sockets;
    use weftrace_lang::hir;
    assert!(hir::STATUS_BITS == sockets::STATUS_BITS);
    assert!(hir::PHASE_HELD == sockets::PHASE_HELD && hir::PHASE_ANSWER_HELD == sockets::PHASE_ANSWER_HELD);
};

const ONES: i64 = 0x0101_0101_0101_0101;
const TOPS: i64 = 0x8080_8080_8080_8080_u64 as i64;
/// The bit that lower-case letters have.
const LOWER: i64 = 0x2020_2020_2020_2020;
/// `1 << 8 * n` times this has n in its highest byte.
const WHICH: i64 = 0x0001_0203_0405_0607;

/// Methods whose requests may be plain: the first four bytes. (Not HEAD: its response says how long a body is that doesn't come.) Those that have no body where no length
/// was found; of the others it wasn't understood then.
const METHODS: &[(&[u8; 4], bool)] =
    &[(b"GET ", true), (b"DELE", true), (b"OPTI", true), (b"POST", false), (b"PUT ", false), (b"PATC", false)];
/// A length with so many digits is not read.
const DIGITS: i32 = 9;

/// Two neighbours that are looked for.
struct Pair {
    first: u8,
    second: u8,
    /// In lower case, whichever they are in.
    folded: bool,
    /// If the first of them isn't it, nothing is.
    first_counts: bool,
}

// In a head nothing else but the empty line begins with CR: one that does ends it for those who take a bare LF.
const HEAD_END: Pair = Pair { first: b'\n', second: b'\r', folded: false, first_counts: true };
const NAME: Pair = Pair { first: b'\n', second: b'c', folded: true, first_counts: false };

impl Cx<'_, '_> {
    /// `__plain_request(address, length, $open.member)`: 1, or 0; 2: more may have come than one message, so that what is answered next isn't known. What is read is kept in the
    /// member, if its element is there; else nothing is plain.
    pub(crate) fn plain_request(&mut self, args: &[Expr], e: &Expr) -> R<Value> {
        let [address, len, kept] = args else {
            return self.not_yet(e.span, "a request without its length and a place");
        };
        let (address, len) = (self.scalar(address)?, self.scalar(len)?);
        let (not, done, more) = (self.block(), self.block_with(&[IrTy::I64]), self.block());
        self.unless(Cond::Ugt, len, i64::from(PLAIN_MOST), more);
        let kept = self.open_member(kept, not)?;
        self.store(4, len, kept);
        let text = kept.at(4);
        self.read_head(text, address, len, not);
        let end = self.head_end(text, len, not);
        let said = self.body_len(text, end);
        let unsaid = self.b.icmp_imm(Cond::Slt, said, 0);
        let none = self.iconst(0);
        let body = self.b.select(unsaid, none, said);
        let whole = self.b.iadd(end, body);
        let (less, as_much, all) = (self.b.icmp(Cond::Ult, whole, len), self.block(), self.block());
        self.brif(less, more, as_much);
        self.start(as_much);
        let is = self.b.icmp(Cond::Eq, whole, len);
        self.brif(is, all, not);
        self.start(all);
        let method = self.load(4, false, text);
        let (plain, with_length) = (self.block(), self.block());
        for (name, bodiless) in METHODS {
            let is = self.b.icmp_imm(Cond::Eq, method, i64::from(u32::from_le_bytes(**name)));
            let next = self.block();
            self.brif(is, if *bodiless { plain } else { with_length }, next);
            self.start(next);
        }
        self.jump(not);
        self.start(with_length);
        self.brif(unsaid, not, plain);
        self.start(plain);
        let one = self.iconst(1);
        self.jump_with(done, &[one]);
        self.start(more);
        let two = self.iconst(2);
        self.jump_with(done, &[two]);
        Ok(self.answer_zero(not, done))
    }

    /// `__plain_response(address, sent, pieces, last, $open.member)`: its status, and above that where its head ends, where the name of the length is, and how much of it is
    /// still to come ([`END_AT`], [`NAME_AT`], [`LEFT_AT`]); or 0. `last`: what was said of the response before it: most often all is where it was. Of one that goes
    /// on the first bytes are kept in the member, if its element is there; else it isn't plain.
    pub(crate) fn plain_response(&mut self, args: &[Expr], e: &Expr) -> R<Value> {
        let [address, sent, pieces, last, kept] = args else {
            return self.not_yet(e.span, "a response without its length and a place");
        };
        let (address, sent) = (self.scalar(address)?, self.scalar(sent)?);
        let (pieces, last) = (self.scalar(pieces)?, self.scalar(last)?);
        let (not, done) = (self.block(), self.block_with(&[IrTy::I64]));
        let (address, len) = self.first_piece(address, sent, pieces, not);
        let len = self.smaller(len, sent);
        let len = self.at_most(len, PLAIN_MOST);
        let text = self.temp(PLAIN_ROOM);
        self.read_head(text, address, len, not);
        self.end_text(text, len);
        // "HTTP/1.x "
        let word = self.load(8, false, text);
        let begins = self.b.binary_imm(BinaryOp::Band, word, 0x00ff_ffff_ffff_ffff);
        let version = i64::from_le_bytes(*b"HTTP/1.\0");
        self.unless(Cond::Ne, begins, version, not);
        let status = self.status(text, not);
        // 204 and 304 have no body, whatever length they give.
        self.unless(Cond::Ult, status, 200, not);
        self.unless(Cond::Eq, status, 204, not);
        self.unless(Cond::Eq, status, 304, not);
        let (end, name, body) = self.end_and_name(text, (len, sent), last, not);
        self.unless(Cond::Slt, body, 0, not);
        let whole = self.b.iadd(end, body);
        let (less, as_much) = (self.b.icmp(Cond::Ult, whole, sent), self.block());
        self.brif(less, not, as_much);
        self.start(as_much);
        let left = self.b.isub(whole, sent);
        let (goes_on, all) = (self.block(), self.block());
        self.brif(left, goes_on, all);
        self.start(goes_on);
        let kept = self.open_member(kept, not)?;
        self.store(4, len, kept);
        let (to, from) = (self.addr(kept.at(4)), self.addr(text));
        let failed = self.b.call(Helper::ReadKernel, &[to, len, from]);
        self.unless(Cond::Slt, failed, 0, not);
        self.jump(all);
        self.start(all);
        let mut said = status;
        for (place, by) in [(end, END_AT), (name, NAME_AT), (left, LEFT_AT)] {
            let place = self.b.binary_imm(BinaryOp::Shl, place, by);
            said = self.b.bor(said, place);
        }
        self.jump_with(done, &[said]);
        Ok(self.answer_zero(not, done))
    }

    /// Where the head ends, where `content-length` is in it, and what that says: where `last` says, if they are there and make a response of what was sent; else they are looked for. (Were an empty
    /// line before it, what was sent would be more than one response; one request has one.)
    fn end_and_name(
        &mut self,
        text: Mem,
        (len, sent): (Value, Value),
        last: Value,
        not: Block,
    ) -> (Value, Value, Value) {
        let (look, scan) = (self.block(), self.block());
        let both = self.block_with(&[IrTy::I64; 3]);
        self.brif(last, look, scan);
        self.start(look);
        let [end, name] = [END_AT, NAME_AT].map(|at| {
            let place = self.b.binary_imm(BinaryOp::Lshr, last, at);
            self.b.binary_imm(BinaryOp::Band, place, PLACES - 1)
        });
        let over = self.b.icmp(Cond::Ugt, end, len);
        let inside = self.block();
        self.brif(over, scan, inside);
        self.start(inside);
        self.unless(Cond::Ult, end, 4, scan);
        self.unless(Cond::Ugt, name, i64::from(PLAIN_MOST), scan);
        self.unless(Cond::Ult, name, 1, scan);
        let start = self.addr(text);
        // It begins a line.
        let before = self.b.binary_imm(BinaryOp::Isub, name, 1);
        let ptr = self.b.ptr_index(start, before, LAST);
        let before = self.load(1, false, Mem { ptr, offset: 0, align: 1 });
        self.unless(Cond::Ne, before, i64::from(b'\n'), scan);
        let third = self.b.binary_imm(BinaryOp::Isub, end, 2);
        let ends = self.is_head_end(start, third);
        self.unless(Cond::Eq, ends, 0, scan);
        let named = self.is_length(start, name);
        self.unless(Cond::Eq, named, 0, scan);
        let body = self.length_at(text, name);
        let whole = self.b.iadd(end, body);
        let (is_all, as_said) = (self.b.icmp(Cond::Eq, whole, sent), self.block());
        self.brif(is_all, as_said, scan);
        self.start(as_said);
        self.jump_with(both, &[end, name, body]);
        self.start(scan);
        let end = self.head_end(text, len, not);
        let name = self.name_at(text, end, not);
        let body = self.length_at(text, name);
        self.jump_with(both, &[end, name, body]);
        self.start(both);
        (self.b.param(both, 0), self.b.param(both, 1), self.b.param(both, 2))
    }

    fn answer_zero(&mut self, not: Block, done: Block) -> Value {
        self.start(not);
        let zero = self.iconst(0);
        self.jump_with(done, &[zero]);
        self.start(done);
        self.b.param(done, 0)
    }

    /// Goes to `away` where `value cond limit`.
    fn unless(&mut self, cond: Cond, value: Value, limit: i64, away: Block) {
        let on = self.block();
        let is = self.b.icmp_imm(cond, value, limit);
        self.brif(is, away, on);
        self.start(on);
    }

    /// Where the first piece of what was sent lies, and how long it is: of the pieces that a `struct iovec` each describes, or of the one there is.
    fn first_piece(&mut self, address: Value, sent: Value, pieces: Value, not: Block) -> (Value, Value) {
        let (many, done) = (self.block(), self.block_with(&[IrTy::I64, IrTy::I64]));
        self.brif_with(pieces, (many, &[]), (done, &[address, sent]));
        self.start(many);
        let piece = self.temp(16);
        let (to, len) = (self.addr(piece), self.iconst(16));
        let failed = self.b.call(Helper::ReadUser, &[to, len, pieces]);
        self.unless(Cond::Slt, failed, 0, not);
        let (base, len) = (self.load(8, false, piece), self.load(8, false, piece.at(8)));
        self.jump_with(done, &[base, len]);
        self.start(done);
        (self.b.param(done, 0), self.b.param(done, 1))
    }

    /// Reads a head's bytes; to `not` where it can be none or can't be read.
    fn read_head(&mut self, text: Mem, address: Value, len: Value, not: Block) {
        self.unless(Cond::Ult, len, 16, not);
        let to = self.addr(text);
        let failed = self.b.call(Helper::ReadUser, &[to, len, address]);
        self.unless(Cond::Slt, failed, 0, not);
    }

    /// Zeroes what may be looked at behind the last byte: a word, a header's name, a number.
    fn end_text(&mut self, text: Mem, len: Value) {
        let (start, zero) = (self.addr(text), self.iconst(0));
        let ptr = self.b.ptr_index(start, len, PLAIN_MOST);
        (0..BEHIND).for_each(|offset| self.store(1, zero, Mem { ptr, offset, align: 1 }));
    }

    /// The three digits behind the version.
    fn status(&mut self, text: Mem, not: Block) -> Value {
        let mut status = self.iconst(0);
        for at in 9..12 {
            let digit = self.digit(text.ptr, at);
            self.unless(Cond::Ugt, digit, 9, not);
            let tens = self.b.binary_imm(BinaryOp::Imul, status, 10);
            status = self.b.iadd(tens, digit);
        }
        status
    }

    fn digit(&mut self, ptr: Value, at: i32) -> Value {
        let byte = self.load(1, false, Mem { ptr, offset: at, align: 1 });
        self.b.binary_imm(BinaryOp::Isub, byte, i64::from(b'0'))
    }

    /// Bytes up to the empty line and with it; to `not` where there is none within `len`.
    fn head_end(&mut self, text: Mem, len: Value, not: Block) -> Value {
        let at = self.find(&HEAD_END, text, len, not, Self::is_head_end);
        let end = self.b.binary_imm(BinaryOp::Iadd, at, 2);
        let over = self.b.icmp(Cond::Ugt, end, len);
        let on = self.block();
        self.brif(over, not, on);
        self.start(on);
        end
    }

    /// Whether the empty line's third byte, of CR LF CR LF, is at `at`.
    fn is_head_end(&mut self, start: Value, at: Value) -> Value {
        let before = self.b.binary_imm(BinaryOp::Isub, at, 2);
        let p = self.b.ptr_index(start, before, LAST);
        let word = self.load(4, false, Mem { ptr: p, offset: 0, align: 1 });
        self.b.icmp_imm(Cond::Eq, word, i64::from(u32::from_le_bytes(*b"\r\n\r\n")))
    }

    /// Whether `content-length: ` is at `at`, in whatever case.
    fn is_length(&mut self, start: Value, at: Value) -> Value {
        let p = self.b.ptr_index(start, at, LAST);
        let words = [(0, b"content-"), (8, b"length: ")].map(|(offset, text)| {
            let word = self.load(8, false, Mem { ptr: p, offset, align: 1 });
            let word = self.b.binary_imm(BinaryOp::Bor, word, LOWER);
            self.b.binary_imm(BinaryOp::Bxor, word, i64::from_le_bytes(*text))
        });
        let differ = self.b.bor(words[0], words[1]);
        self.b.icmp_imm(Cond::Eq, differ, 0)
    }

    /// Where `content-length` is in a head of so many bytes; to `unsaid` where it is not.
    fn name_at(&mut self, text: Mem, end: Value, unsaid: Block) -> Value {
        let at = self.find(&NAME, text, end, unsaid, Self::is_length);
        // In the body it is no header.
        let (inside, before) = (self.block(), self.b.icmp(Cond::Ult, at, end));
        self.brif(before, inside, unsaid);
        self.start(inside);
        at
    }

    /// What `Content-Length` says in a head of so many bytes; -1: it says nothing that was understood.
    fn body_len(&mut self, text: Mem, end: Value) -> Value {
        let (unsaid, done) = (self.block(), self.block_with(&[IrTy::I64]));
        let at = self.name_at(text, end, unsaid);
        let length = self.length_at(text, at);
        self.jump_with(done, &[length]);
        self.start(unsaid);
        let none = self.iconst(-1);
        self.jump_with(done, &[none]);
        self.start(done);
        self.b.param(done, 0)
    }

    /// The number behind the name that is at `at`; -1: there is none, or it is too long.
    fn length_at(&mut self, text: Mem, at: Value) -> Value {
        let start = self.addr(text);
        let done = self.block_with(&[IrTy::I64]);
        let p = self.b.ptr_index(start, at, LAST);
        let mut number = self.iconst(0);
        for i in 0..DIGITS {
            let digit = self.digit(p, 16 + i);
            let (over, more) = (self.block(), self.block());
            let ended = self.b.icmp_imm(Cond::Ugt, digit, 9);
            self.brif(ended, over, more);
            self.start(over);
            // No digit at all is no number.
            let said = if i == 0 { self.iconst(-1) } else { number };
            self.jump_with(done, &[said]);
            self.start(more);
            let tens = self.b.binary_imm(BinaryOp::Imul, number, 10);
            number = self.b.iadd(tens, digit);
        }
        let none = self.iconst(-1);
        self.jump_with(done, &[none]);
        self.start(done);
        self.b.param(done, 0)
    }

    /// Where the second of a pair lies in the first `len` bytes of a text, if `is` says so of that place; to `missing` if it lies nowhere. (Of several
    /// pairs in one round the first alone is asked about.)
    fn find(
        &mut self,
        pair: &Pair,
        text: Mem,
        len: Value,
        missing: Block,
        is: impl FnOnce(&mut Self, Value, Value) -> Value,
    ) -> Value {
        let found = self.block();
        let place = self.new_var();
        // Loaded anew in each round, the verifier learns nothing of it there: else all rounds would be different ways.
        let limit = text.at(PLAIN_ROOM - 8);
        self.store(4, len, limit);
        let start = self.addr(text);
        self.count_up(PLAIN_MOST.div_ceil(STEP), missing, |cx, i, next| {
            let at = cx.b.binary_imm(BinaryOp::Imul, i, i64::from(STEP));
            let len = cx.load(4, false, limit);
            let over = cx.b.icmp(Cond::Uge, at, len);
            let (inside, hit, near) = (cx.block(), cx.block(), cx.block());
            cx.brif(over, missing, inside);
            cx.start(inside);
            let p = cx.b.ptr_index(start, at, LAST);
            let word = cx.load(8, false, Mem { ptr: p, offset: 0, align: 1 });
            let first = cx.bytes_that_are(word, pair.first);
            let folded = if pair.folded { cx.b.binary_imm(BinaryOp::Bor, word, LOWER) } else { word };
            let second = cx.bytes_that_are(folded, pair.second);
            let shifted = cx.b.binary_imm(BinaryOp::Shl, first, 8);
            let both = cx.b.band(shifted, second);
            cx.brif(both, hit, next);
            cx.start(hit);
            let which = cx.lowest(both);
            let at = cx.b.iadd(at, which);
            cx.set_var(place, at);
            // The pair before which nothing may lie.
            let early = cx.b.icmp_imm(Cond::Ult, at, 2);
            cx.brif(early, next, near);
            cx.start(near);
            let is = is(cx, start, at);
            cx.brif(is, found, if pair.first_counts { missing } else { next });
        });
        self.start(found);
        self.read_var(place)
    }

    /// The highest bit of each byte that is this one, the lowest such byte for certain.
    fn bytes_that_are(&mut self, word: Value, byte: u8) -> Value {
        let zero = self.b.binary_imm(BinaryOp::Bxor, word, i64::from(byte) * ONES);
        let less = self.b.binary_imm(BinaryOp::Isub, zero, ONES);
        let rest = self.b.binary_imm(BinaryOp::Bxor, zero, -1);
        let both = self.b.band(less, rest);
        self.b.binary_imm(BinaryOp::Band, both, TOPS)
    }

    /// Number of the lowest byte whose highest bit is set.
    fn lowest(&mut self, tops: Value) -> Value {
        let zero = self.iconst(0);
        let negative = self.b.isub(zero, tops);
        let bit = self.b.band(tops, negative);
        let bit = self.b.binary_imm(BinaryOp::Lshr, bit, 7);
        let product = self.b.binary_imm(BinaryOp::Imul, bit, WHICH);
        self.b.binary_imm(BinaryOp::Lshr, product, 56)
    }
}
