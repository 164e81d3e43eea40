//! Addresses and connections.

use super::{
    cx::{Cx, R},
    layout::{in_register, width},
    mem::{Mem, Place},
};
use crate::{
    ir::{BinaryOp, Block, Cond, Helper, UnaryOp, Value},
    place::Side,
};
use weftrace_artifact::{abi, packet, program::ProgType};
use weftrace_lang::{
    hir::{Expr, ExprKind as E, Func, Ty},
    span::Span,
};

const AF_INET: i64 = 2;
const AF_INET6: i64 = 10;
const IPPROTO_TCP: i64 = 6;
/// The first eight bytes of ::ffff:0:0/96 are zero, the next four are these.
const V4_MAPPED: i64 = 0xffff_0000;

/// A network to match: family, address in network order, prefix length.
pub(crate) type Net<'e> = (u16, &'e [u8; 16], u8);

impl Cx<'_, '_> {
    /// `ntop(…)` and `macaddr(…)`.
    pub(crate) fn address_into(&mut self, e: &Expr, dst: Mem, zeroed: bool) -> R<()> {
        match &e.kind {
            E::Call { func: Func::Ntop, args } => match args.as_slice() {
                [addr] => self.ntop(None, addr, dst, zeroed),
                [af, addr] => self.ntop(Some(af), addr, dst, zeroed),
                _ => self.not_yet(e.span, "ntop() with these arguments"),
            },
            E::Call { func: Func::Macaddr, args } => match args.as_slice() {
                [bytes] => self.raw_bytes(bytes, dst, 6).map(|_| ()),
                _ => self.not_yet(e.span, "macaddr() with these arguments"),
            },
            E::Cast(inner) => self.into(inner, dst, &e.ty, zeroed),
            _ => self.not_yet(e.span, "this address"),
        }
    }

    /// {u32 family, 16 bytes}: the family as given, else by the address's size.
    fn ntop(&mut self, af: Option<&Expr>, addr: &Expr, dst: Mem, zeroed: bool) -> R<()> {
        if !zeroed {
            self.fill(dst, 20);
        }
        let body = dst.at(4);
        let by_size = if in_register(&addr.ty) && !matches!(addr.ty, Ty::Ptr { .. }) {
            // Network order in memory, so the number's bytes as they lie.
            let v = self.scalar(addr)?;
            self.store(4, v, body);
            AF_INET
        } else {
            let len = match &addr.ty {
                Ty::Ptr { to, .. } => self.size_of(to, addr.span)?,
                ty => self.size_of(ty, addr.span)?,
            };
            let len = if len >= 16 { 16 } else { 4 };
            self.raw_bytes(addr, body, len)?;
            if len == 16 { AF_INET6 } else { AF_INET }
        };
        let family = match af {
            Some(af) => self.scalar(af)?,
            None => self.iconst(by_size),
        };
        self.store(4, family, dst);
        Ok(())
    }

    /// `len` bytes of an array, or of what a pointer points to.
    fn raw_bytes(&mut self, e: &Expr, dst: Mem, len: u32) -> R<()> {
        if let Ty::Ptr { space, .. } = &e.ty {
            let user = self.is_user(*space);
            let base = self.scalar(e)?;
            let remote = self.remote(base, user);
            return self.read_remote(dst, len, &remote, e.span);
        }
        match self.place(e)? {
            Some(Place::Remote(r)) => self.read_remote(dst, len, &r, e.span),
            Some(Place::Direct(m)) => {
                self.copy(dst, m, len);
                Ok(())
            }
            None => {
                let m = self.memory_of(e)?;
                self.copy(dst, m, len);
                Ok(())
            }
        }
    }

    /// `pton("…")` where an address is wanted.
    pub(crate) fn inet_bytes_into(&mut self, bytes: &[u8], dst: Mem, zeroed: bool) -> R<()> {
        if !zeroed {
            self.fill(dst, 20);
        }
        let family = self.iconst(if bytes.len() == 16 { AF_INET6 } else { AF_INET });
        self.store(4, family, dst);
        if !bytes.is_empty() {
            self.b.store_data(&bytes[..bytes.len().min(16)], dst.ptr, dst.offset + 4);
        }
        Ok(())
    }

    /// Whether an address lies in a network; an absent one neither does nor does not.
    pub(crate) fn branch_in_net(&mut self, addr: &Expr, net: Net<'_>, (inside, outside): (Block, Block), absent: Block) -> R<()> {
        if let E::Packet(name) = &addr.kind
            && let Some(row) = packet::field(name)
            && let packet::Read::Bytes(offset) = row.read
        {
            let family = if row.ty == packet::FieldType::Ipv6 { AF_INET6 } else { AF_INET };
            if family != i64::from(net.0) {
                self.guard_layers(row.layers, absent);
                self.jump(outside);
                return Ok(());
            }
            self.need_packet(row);
            self.guard_layers(row.layers, absent);
            let view = self.view(addr.span, "a packet field")?;
            self.match_prefix(Mem::new(view, offset as i32), net, inside, outside);
            return Ok(());
        }
        let m = self.memory_of(addr)?;
        let family = self.load(4, false, m);
        let (same_family, other, known) = (self.block(), self.block(), self.block());
        let equal = self.b.icmp_imm(Cond::Eq, family, i64::from(net.0));
        self.brif(equal, same_family, other);
        self.start(other);
        // No address at all.
        self.brif(family, known, absent);
        self.start(known);
        self.jump(outside);
        self.start(same_family);
        self.match_prefix(m.at(4), net, inside, outside);
        Ok(())
    }

    fn match_prefix(&mut self, m: Mem, (family, net, prefix): Net<'_>, inside: Block, outside: Block) {
        let size = if i64::from(family) == AF_INET6 { 16u32 } else { 4 };
        let prefix = u32::from(prefix).min(size * 8);
        let mask = |i: u32| -> u8 {
            let bits = prefix.saturating_sub(i * 8).min(8);
            (0xff00u16 >> bits) as u8
        };
        let mut difference = None;
        let mut i = 0;
        while i * 8 < prefix {
            let here = m.at(i);
            let n = [8, 4, 2, 1].into_iter().find(|n| i + n <= size && here.align >= *n).unwrap_or(1);
            let (mut want, mut keep) = ([0u8; 8], [0u8; 8]);
            for k in 0..n {
                keep[k as usize] = mask(i + k);
                want[k as usize] = net[(i + k) as usize] & mask(i + k);
            }
            let mut v = self.load(n, false, here);
            let all = if n == 8 { u64::MAX } else { (1u64 << (n * 8)) - 1 };
            if u64::from_le_bytes(keep) != all {
                v = self.b.binary_imm(BinaryOp::Band, v, i64::from_le_bytes(keep));
            }
            let d = self.b.binary_imm(BinaryOp::Bxor, v, i64::from_le_bytes(want));
            difference = Some(match difference {
                None => d,
                Some(all) => self.b.bor(all, d),
            });
            i += n;
        }
        match difference {
            Some(d) => self.brif(d, outside, inside),
            None => self.jump(inside),
        }
    }

    /// bpf_get_socket_cookie makes the cookie if there is none; it takes BTF-typed pointers only.
    pub(crate) fn socket_cookie(&mut self, sk: Value, span: Span) -> R<Value> {
        let index = self.probe_index();
        let btf = index.and_then(|i| self.m.placement.units.get(i)).is_some_and(|u| u.side == Side::Kernel(ProgType::TracingRawTp));
        if !btf {
            return self.not_yet(span, "sock_cookie() outside of rawtracepoint probes");
        }
        Ok(self.b.call(Helper::SocketCookie, &[sk]))
    }

    fn probe_index(&self) -> Option<usize> {
        let probe = self.probe?;
        self.m.program.probes.iter().position(|p| std::ptr::eq(p, probe))
    }

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

    /// [`abi::ConnKey`] of a `struct sock`.
    fn socket_conn(&mut self, sk: Value, dst: Mem, zeroed: bool, span: Span) -> R<()> {
        if !zeroed {
            self.fill(dst, abi::CONN_KEY_SIZE);
        }
        let family = self.sock_field(sk, "__sk_common.skc_family", 2, span)?;
        let lport = self.sock_field(sk, "__sk_common.skc_num", 2, span)?;
        let rport = self.sock_field(sk, "__sk_common.skc_dport", 2, span)?;
        let rport = self.b.unary(UnaryOp::Bswap16, rport);
        let net = self.sock_field(sk, "__sk_common.skc_net.net", 8, span)?;
        let Some(inum) = self.member("net", "ns.inum") else {
            return self.not_yet(span, "conn() on a kernel whose struct net is not known");
        };
        let netns = self.read_member(net, "net", "ns.inum", inum, (4, false), span)?;
        self.store(4, netns, dst);
        let protocol = self.protocol(sk, span)?;
        self.store(2, protocol, dst.at(6));
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
        self.store(2, family, dst.at(4));
        self.sorted_ends(dst, [ll, lh, lport], [rl, rh, rport]);
        Ok(())
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
        let remote = self.remote(address, false);
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

    /// Stores both ends, the smaller (address, port) first: a at 8 and 40, b at 24 and 42.
    fn sorted_ends(&mut self, dst: Mem, local: [Value; 3], remote: [Value; 3]) {
        let order = |cx: &mut Self, end: [Value; 3]| {
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
        for (block, a, b) in [(local_first, local, remote), (remote_first, remote, local)] {
            self.start(block);
            self.store(8, a[0], dst.at(8));
            self.store(8, a[1], dst.at(16));
            self.store(8, b[0], dst.at(24));
            self.store(8, b[1], dst.at(32));
            self.store(2, a[2], dst.at(40));
            self.store(2, b[2], dst.at(42));
            self.jump(done);
        }
        self.start(done);
    }
}
