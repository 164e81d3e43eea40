//! Connections and their bytes: the keys of a kernel socket and of what it sends.

use super::{
    cx::{Cx, R},
    layout::width,
    mem::{Mem, Remote},
};
use crate::ir::{BinaryOp, Cond, UnaryOp, Value};
use std::mem::offset_of;
use weftrace_artifact::{abi, program::FieldPath};
use weftrace_lang::{
    hir::{Expr, ExprKind as E, Func},
    span::Span,
};

const AF_INET: i64 = 2;
const AF_INET6: i64 = 10;
const IPPROTO_TCP: i64 = 6;
/// States of sockets (include/net/tcp_states.h).
const TIME_WAIT: i64 = 6;
const NEW_SYN_RECV: i64 = 12;
/// The first eight bytes of ::ffff:0:0/96 are zero, the next four are these.
const V4_MAPPED: i64 = 0xffff_0000;

// Members of the key.
const NETNS: u32 = offset_of!(abi::ConnKey, netns) as u32;
const FAMILY: u32 = offset_of!(abi::ConnKey, family) as u32;
const PROTO: u32 = offset_of!(abi::ConnKey, proto) as u32;
const A_ADDR: u32 = offset_of!(abi::ConnKey, a_addr) as u32;
const B_ADDR: u32 = offset_of!(abi::ConnKey, b_addr) as u32;
const A_PORT: u32 = offset_of!(abi::ConnKey, a_port) as u32;
const B_PORT: u32 = offset_of!(abi::ConnKey, b_port) as u32;
const A_ISN: u32 = offset_of!(abi::ConnKey, a_isn) as u32;
const B_ISN: u32 = offset_of!(abi::ConnKey, b_isn) as u32;
const LOCAL: u32 = offset_of!(abi::ConnKey, local) as u32;
/// Of [`abi::BytesKey`], which begins with a ConnKey.
const RANGES: u32 = offset_of!(abi::BytesKey, ranges) as u32;

impl Cx<'_, '_> {
    /// A connection: `conn(sk)`, or the packet's.
    pub(crate) fn conn_into(&mut self, e: &Expr, dst: Mem, zeroed: bool) -> R<()> {
        match &e.kind {
            E::Packet(name) => self.packet_into(name, dst, zeroed, e.span),
            E::Call { func: Func::Conn, args } => {
                let sk = self.arg(args, 0, Func::Conn, e)?;
                self.with_temps(|cx| cx.socket_conn(sk, dst, zeroed, e.span))
            }
            E::MapGet { map, key } => self.map_get_into(*map, key.as_deref(), e.span, dst, &e.ty, zeroed),
            _ => self.not_yet(e.span, "this connection"),
        }
    }

    /// Bytes of a connection: `bytes(sk, skb)`, or the packet's.
    pub(crate) fn segment_into(&mut self, e: &Expr, dst: Mem, zeroed: bool) -> R<()> {
        match &e.kind {
            E::Packet(name) => self.packet_into(name, dst, zeroed, e.span),
            E::Call { func: Func::Bytes, args } => {
                let sk = self.arg(args, 0, Func::Bytes, e)?;
                let skb = self.arg(args, 1, Func::Bytes, e)?;
                if !zeroed {
                    self.fill(dst, abi::BYTES_KEY_SIZE);
                }
                self.with_temps(|cx| {
                    let range = cx.sent_range(sk, skb, e.span)?;
                    cx.socket_key(sk, dst, Some(range), e.span)
                })
            }
            E::MapGet { map, key } => self.map_get_into(*map, key.as_deref(), e.span, dst, &e.ty, zeroed),
            _ => self.not_yet(e.span, "these bytes"),
        }
    }

    /// The bytes of a segment that the TCP socket sends, as [`abi::BytesKey`] counts them.
    fn sent_range(&mut self, sk: Value, skb: Value, span: Span) -> R<[Value; 2]> {
        let cb = self.member("sk_buff", "cb");
        let block = ["seq", "end_seq"].map(|m| self.member("tcp_skb_cb", m));
        let socket = ["snd_una", "bytes_acked"].map(|m| self.member("tcp_sock", m));
        let (Some(cb), [Some(seq_at), Some(end_at)], [Some(una_at), Some(acked_at)]) = (cb, block, socket) else {
            return self.not_yet(span, "bytes() on a kernel whose struct tcp_skb_cb is not known");
        };
        let path = FieldPath::Struct { name: "sk_buff".into(), members: "cb".into() };
        let cb = self.b.field_off(skb, i64::from(cb), &path);
        let seq = self.read_member(cb, "tcp_skb_cb", "seq", seq_at, (4, false), span)?;
        let end = self.read_member(cb, "tcp_skb_cb", "end_seq", end_at, (4, false), span)?;
        let una = self.read_member(sk, "tcp_sock", "snd_una", una_at, (4, false), span)?;
        let acked = self.read_member(sk, "tcp_sock", "bytes_acked", acked_at, (8, false), span)?;
        // All that was acknowledged, and how far beyond (or before) that the segment begins.
        let ahead = self.b.isub(seq, una);
        let ahead = self.b.unary(UnaryOp::Sext32, ahead);
        let from = self.b.iadd(acked, ahead);
        let len = self.b.isub(end, seq);
        let len = self.b.unary(UnaryOp::Zext32, len);
        let to = self.b.iadd(from, len);
        Ok([from, to])
    }

    /// [`abi::ConnKey`] of a `struct sock`.
    fn socket_conn(&mut self, sk: Value, dst: Mem, zeroed: bool, span: Span) -> R<()> {
        if !zeroed {
            self.fill(dst, abi::CONN_KEY_SIZE);
        }
        self.socket_key(sk, dst, None, span)
    }

    /// The connection, and what its own side sends as the first range of [`abi::BytesKey`].
    fn socket_key(&mut self, sk: Value, dst: Mem, sends: Option<[Value; 2]>, span: Span) -> R<()> {
        let family = self.sock_field(sk, "__sk_common.skc_family", 2, span)?;
        let lport = self.local_port(sk, span)?;
        let rport = self.sock_field(sk, "__sk_common.skc_dport", 2, span)?;
        let rport = self.b.unary(UnaryOp::Bswap16, rport);
        let net = self.sock_field(sk, "__sk_common.skc_net.net", 8, span)?;
        let Some(inum) = self.member("net", "ns.inum") else {
            return self.not_yet(span, "conn() on a kernel whose struct net is not known");
        };
        let netns = self.read_member(net, "net", "ns.inum", inum, (4, false), span)?;
        self.store(4, netns, dst.at(NETNS));
        let [protocol, lisn, risn] = self.protocol_and_begins(sk, span)?;
        self.store(2, protocol, dst.at(PROTO));
        // (family, local, remote) by family; each address as two words of its bytes.
        let word = crate::ir::Ty::I64;
        let done = self.block_with(&[word; 5]);
        let (v4, not_v4, v6) = (self.block(), self.block(), self.block());
        let is_v4 = self.b.icmp_imm(Cond::Eq, family, AF_INET);
        self.brif(is_v4, v4, not_v4);
        self.start(not_v4);
        let is_v6 = self.b.icmp_imm(Cond::Eq, family, AF_INET6);
        let neither = self.block();
        self.brif(is_v6, v6, neither);
        self.start(neither);
        let zero = self.iconst(0);
        self.jump_with(done, &[family, zero, zero, zero, zero]);
        self.start(v6);
        let (ll, lh) = self.sock_v6(sk, "__sk_common.skc_v6_rcv_saddr", span)?;
        let (rl, rh) = self.sock_v6(sk, "__sk_common.skc_v6_daddr", span)?;
        // IPv4 over an IPv6 socket is IPv4 on the wire.
        let mapped = self.b.unary(UnaryOp::Zext32, rh);
        let mapped = self.b.binary_imm(BinaryOp::Bxor, mapped, V4_MAPPED);
        let mapped = self.b.bor(mapped, rl);
        let is_v6 = self.iconst(AF_INET6);
        self.brif_with(mapped, (done, &[is_v6, ll, lh, rl, rh]), (v4, &[]));
        self.start(v4);
        let local = self.sock_field(sk, "__sk_common.skc_rcv_saddr", 4, span)?;
        let remote = self.sock_field(sk, "__sk_common.skc_daddr", 4, span)?;
        let (is_v4, zero) = (self.iconst(AF_INET), self.iconst(0));
        self.jump_with(done, &[is_v4, local, zero, remote, zero]);
        self.start(done);
        let [family, ll, lh, rl, rh] = [0, 1, 2, 3, 4].map(|i| self.b.param(done, i));
        self.store(2, family, dst.at(FAMILY));
        self.sorted_ends(dst, [ll, lh, lport, lisn], [rl, rh, rport, risn], sends);
        Ok(())
    }

    /// As the connection had it: a socket that is being closed has given its port back already, and remembers only what it sent from.
    fn local_port(&mut self, sk: Value, span: Span) -> R<Value> {
        let bound = self.sock_field(sk, "__sk_common.skc_num", 2, span)?;
        let Some(sport) = self.member("inet_sock", "inet_sport") else { return Ok(bound) };
        let (given_back, done) = (self.block(), self.block_with(&[crate::ir::Ty::I64]));
        self.brif_with(bound, (done, &[bound]), (given_back, &[]));
        self.start(given_back);
        let sport = self.read_member(sk, "inet_sock", "inet_sport", sport, (2, false), span)?;
        let sport = self.b.unary(UnaryOp::Bswap16, sport);
        self.jump_with(done, &[sport]);
        self.start(done);
        Ok(self.b.param(done, 0))
    }

    fn sock_field(&mut self, sk: Value, members: &str, bytes: u32, span: Span) -> R<Value> {
        match self.member("sock", members) {
            Some(offset) => self.read_member(sk, "sock", members, offset, (bytes, false), span),
            None => self.not_yet(span, "conn() on a kernel whose struct sock is not known"),
        }
    }

    /// The two words of an IPv6 address as its bytes lie.
    fn sock_v6(&mut self, sk: Value, members: &str, span: Span) -> R<(Value, Value)> {
        let Some(offset) = self.member("sock", members) else {
            return self.not_yet(span, "conn() on a kernel without IPv6");
        };
        let path = weftrace_artifact::program::FieldPath::Struct { name: "sock".into(), members: members.into() };
        let address = self.b.field_off(sk, i64::from(offset), &path);
        let remote = Remote::new(address, false);
        let buffer = self.temp(16);
        self.read_remote(buffer, 16, &remote, span)?;
        Ok((self.load(8, false, buffer), self.load(8, false, buffer.at(8))))
    }

    /// A u16 since Linux 5.6; before that a bit-field, where TCP is taken for granted.
    fn protocol(&mut self, sk: Value, span: Span) -> R<Value> {
        let plain = self
            .m
            .world
            .kernel_struct("sock")
            .found()
            .and_then(|s| s.fields.into_iter().find(|f| f.name == "sk_protocol" && f.bits.is_none()));
        match plain {
            Some(f) => self.read_member(sk, "sock", "sk_protocol", f.offset, (width(&f.ty).0.min(2), false), span),
            None => Ok(self.iconst(IPPROTO_TCP)),
        }
    }

    /// The protocol, and the initial sequence numbers of both sides. What is asked for and what waits after its end (struct request_sock, struct inet_timewait_sock) is
    /// no whole socket: what lies where that has its protocol is another object's.
    fn protocol_and_begins(&mut self, sk: Value, span: Span) -> R<[Value; 3]> {
        let state = self.sock_field(sk, "__sk_common.skc_state", 1, span)?;
        let (tcp, unknown) = (self.iconst(IPPROTO_TCP), self.iconst(0));
        let done = self.block_with(&[crate::ir::Ty::I64; 3]);
        let (asked, other, whole) = (self.block(), self.block(), self.block());
        let is_asked = self.b.icmp_imm(Cond::Eq, state, NEW_SYN_RECV);
        self.brif(is_asked, asked, other);
        self.start(asked);
        let begins = ["snt_isn", "rcv_isn"].map(|m| (m, self.member("tcp_request_sock", m)));
        let mut isns = [unknown; 2];
        for (isn, (name, offset)) in isns.iter_mut().zip(begins) {
            if let Some(offset) = offset {
                *isn = self.read_member(sk, "tcp_request_sock", name, offset, (4, false), span)?;
            }
        }
        self.jump_with(done, &[tcp, isns[0], isns[1]]);
        self.start(other);
        let waits = self.b.icmp_imm(Cond::Eq, state, TIME_WAIT);
        self.brif_with(waits, (done, &[tcp, unknown, unknown]), (whole, &[]));
        self.start(whole);
        let protocol = self.protocol(sk, span)?;
        let (own, peer) = self.initial_sequence_numbers(sk, protocol, span)?;
        self.jump_with(done, &[protocol, own, peer]);
        self.start(done);
        Ok([0, 1, 2].map(|i| self.b.param(done, i)))
    }

    /// The initial sequence numbers of a TCP socket's own side and of its peer's, as [`abi::ConnKey`] derives them; 0 where
    /// they are not known.
    fn initial_sequence_numbers(&mut self, sk: Value, protocol: Value, span: Span) -> R<(Value, Value)> {
        let zero = self.iconst(0);
        let offsets = ["snd_una", "bytes_acked", "rcv_nxt", "bytes_received"].map(|m| (m, self.member("tcp_sock", m)));
        let word = crate::ir::Ty::I64;
        let (tcp, done) = (self.block(), self.block_with(&[word, word]));
        let is_tcp = self.b.icmp_imm(Cond::Eq, protocol, IPPROTO_TCP);
        self.brif_with(is_tcp, (tcp, &[]), (done, &[zero, zero]));
        self.start(tcp);
        let mut values = [zero; 4];
        for (value, (name, offset)) in values.iter_mut().zip(offsets) {
            let Some(offset) = offset else {
                self.jump_with(done, &[zero, zero]);
                self.start(done);
                return Ok((self.b.param(done, 0), self.b.param(done, 1)));
            };
            // The low halves of the counters are enough.
            *value = self.read_member(sk, "tcp_sock", name, offset, (4, false), span)?;
        }
        let [snd_una, acked, rcv_nxt, received] = values;
        let own = self.b.isub(snd_una, acked);
        let own = self.b.unary(UnaryOp::Zext32, own);
        let first = self.b.isub(rcv_nxt, received);
        let peer = self.b.binary_imm(BinaryOp::Isub, first, 1);
        let peer = self.b.unary(UnaryOp::Zext32, peer);
        // Nothing was received yet (SYN_SENT).
        let peer = self.b.select(rcv_nxt, peer, zero);
        self.jump_with(done, &[own, peer]);
        self.start(done);
        Ok((self.b.param(done, 0), self.b.param(done, 1)))
    }

    /// Stores both ends (address words, port, initial sequence number), the smaller (address, port) first.
    fn sorted_ends(&mut self, dst: Mem, local: [Value; 4], remote: [Value; 4], sends: Option<[Value; 2]>) {
        let order = |cx: &mut Self, end: [Value; 4]| {
            // Bytes compare as big-endian numbers do.
            [cx.b.unary(UnaryOp::Bswap64, end[0]), cx.b.unary(UnaryOp::Bswap64, end[1]), end[2]]
        };
        let (l, r) = (order(self, local), order(self, remote));
        let (local_first, remote_first, done) = (self.block(), self.block(), self.block());
        for i in 0..3 {
            let less = self.b.icmp(Cond::Ult, l[i], r[i]);
            let not_less = self.block();
            self.brif(less, local_first, not_less);
            self.start(not_less);
            let greater = self.b.icmp(Cond::Ugt, l[i], r[i]);
            let next = self.block();
            self.brif(greater, remote_first, next);
            self.start(next);
        }
        self.jump(local_first);
        for (block, a, b, local_is) in [(local_first, local, remote, 0), (remote_first, remote, local, 1)] {
            self.start(block);
            self.store_end(dst, a, (A_ADDR, A_PORT, A_ISN));
            self.store_end(dst, b, (B_ADDR, B_PORT, B_ISN));
            let own = self.iconst(i64::from(local_is) + 1);
            self.store(1, own, dst.at(LOCAL));
            if let Some([from, to]) = sends {
                let range = dst.at(RANGES + local_is * size_of::<[abi::ByteRange; abi::BYTE_RANGES]>() as u32);
                self.store(8, from, range);
                self.store(8, to, range.at(offset_of!(abi::ByteRange, to) as u32));
            }
            self.jump(done);
        }
        self.start(done);
    }

    fn store_end(&mut self, dst: Mem, end: [Value; 4], (addr, port, isn): (u32, u32, u32)) {
        self.store(8, end[0], dst.at(addr));
        self.store(8, end[1], dst.at(addr + 8));
        self.store(2, end[2], dst.at(port));
        self.store(4, end[3], dst.at(isn));
    }
}
