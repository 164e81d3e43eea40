//! Ethernet with its tags, cooked and raw packets.

use super::{IPV4, IPV6, State, skb};
use crate::ir::{BinaryOp, Cond, Mem as Width, UnaryOp, Value};
use crate::lower::cx::Cx;
use weftrace_artifact::{
    packet::{
        kernel::{Found, Header, LinkKind, goes_on},
        layer,
    },
    program::FieldPath,
};

/// Smaller values are lengths.
const FIRST_ETHERTYPE: i64 = 0x0600;
/// The cooked header, version 2, which libpcap counts as part of the frame.
const COOKED_HEADER: i64 = 20;
/// Tags within the packet; more are left to user space.
const MOST_TAGS: u32 = 2;

impl Cx<'_, '_> {
    pub(super) fn link(&mut self, s: &State, headers: bool) {
        self.set_var(s.wire, s.len);
        self.note(s, Found::FrameLen, s.len);
        let index = self.b.load(Width::U32, s.ctx, skb::IFINDEX);
        self.note(s, Found::Interface, index);
        let zero = self.iconst(0);
        let kind = self.b.field_off(zero, LinkKind::Ethernet as i64, &FieldPath::LinkKind);
        let (ethernet, other, cooked, raw, done) =
            (self.block(), self.block(), self.block(), self.block(), self.block());
        let is = self.b.icmp_imm(Cond::Eq, kind, LinkKind::Ethernet as i64);
        self.brif(is, ethernet, other);
        self.start(other);
        let is = self.b.icmp_imm(Cond::Eq, kind, LinkKind::Cooked as i64);
        self.brif(is, cooked, raw);
        self.start(ethernet);
        let tagged = self.tag_beside(s);
        if headers {
            self.ethernet(s, tagged);
            self.jump(done);
        } else {
            self.jump(s.done);
        }
        self.start(cooked);
        let proto = self.b.load(Width::U32, s.ctx, skb::PROTOCOL);
        let proto = self.b.unary(UnaryOp::Bswap16, proto);
        self.set_var(s.kind, proto);
        let len = self.b.binary_imm(BinaryOp::Iadd, s.len, COOKED_HEADER);
        self.note(s, Found::FrameLen, len);
        self.jump(done);
        self.start(raw);
        if headers {
            self.by_version(s);
            self.jump(done);
        } else {
            self.jump(s.done);
        }
        self.start(done);
        // No type: a length, or what libpcap may not pass on (CAN devices show what they send twice).
        let kind = self.read_var(s.kind);
        let length = self.b.icmp_imm(Cond::Ult, kind, FIRST_ETHERTYPE);
        self.refuse(length, s.odd);
        if headers {
            // A tag too many.
            let plain = self.not_a_tag(kind);
            self.require(plain, s.odd);
            self.network(s);
            self.transport(s);
        }
    }

    /// Whether (1 or 0) the device took a VLAN tag out of the frame; libpcap puts it back.
    fn tag_beside(&mut self, s: &State) -> Value {
        let present = self.b.load(Width::U32, s.ctx, skb::VLAN_PRESENT);
        let bytes = self.b.binary_imm(BinaryOp::Shl, present, 2);
        let len = self.b.iadd(s.len, bytes);
        self.note(s, Found::FrameLen, len);
        present
    }

    /// Whether a type is a VLAN tag's: 0 if it is. One number and not three branches, since ways that meet multiply for the verifier.
    fn not_a_tag(&mut self, kind: Value) -> Value {
        let mut product = None;
        for tpid in goes_on::VLAN {
            let differs = self.b.binary_imm(BinaryOp::Bxor, kind, i64::from(tpid));
            product = Some(product.map_or(differs, |p| self.b.binary(BinaryOp::Imul, p, differs)));
        }
        product.unwrap_or(kind)
    }

    /// Raw IP: the type is in the first four bits.
    fn by_version(&mut self, s: &State) {
        self.copy_header(s, s.network, 1);
        let version = self.load(1, false, s.network);
        let version = self.b.binary_imm(BinaryOp::Lshr, version, 4);
        let (v4, v6, done) = (self.block(), self.block(), self.block());
        let is = self.b.icmp_imm(Cond::Eq, version, 4);
        self.brif(is, v4, v6);
        for (block, kind) in [(v4, IPV4), (v6, IPV6)] {
            self.start(block);
            let kind = self.iconst(kind);
            self.set_var(s.kind, kind);
            self.jump(done);
        }
        self.start(done);
    }

    fn ethernet(&mut self, s: &State, tagged: Value) {
        self.copy_header(s, s.ethernet, Header::Ethernet.size());
        self.add_layers(s, layer::ETH);
        let size = self.iconst(i64::from(Header::Ethernet.size()));
        self.pass(s, size);
        let kind = self.big_endian(s.ethernet, 12, 2);
        self.set_var(s.kind, kind);
        let proto = self.b.load(Width::U32, s.ctx, skb::VLAN_PROTO);
        let proto = self.b.unary(UnaryOp::Bswap16, proto);
        let first = self.b.select(tagged, proto, kind);
        self.note(s, Found::EtherType, first);
        let tci = self.b.load(Width::U32, s.ctx, skb::VLAN_TCI);
        self.note_tag(s, tci);
        let bit = self.b.binary_imm(BinaryOp::Shl, tagged, i64::from(layer::VLAN.trailing_zeros()));
        let have = self.read_var(s.layers);
        let have = self.b.bor(have, bit);
        self.set_var(s.layers, have);
        for _ in 0..MOST_TAGS {
            let (tag, done) = (self.block(), self.block());
            let kind = self.read_var(s.kind);
            let plain = self.not_a_tag(kind);
            self.brif(plain, done, tag);
            self.start(tag);
            // Nothing has been read there yet.
            self.copy_header(s, s.transport, 4);
            let tci = self.big_endian(s.transport, 0, 2);
            self.note_tag(s, tci);
            self.add_layers(s, layer::VLAN);
            let kind = self.big_endian(s.transport, 2, 2);
            self.set_var(s.kind, kind);
            let size = self.iconst(4);
            self.pass(s, size);
            self.jump(done);
            self.start(done);
        }
    }

    fn note_tag(&mut self, s: &State, tci: Value) {
        let id = self.b.binary_imm(BinaryOp::Band, tci, 0x0fff);
        self.note(s, Found::VlanId, id);
    }
}
