//! Addresses and connections.

use super::{
    cx::{Cx, R},
    layout::in_register,
    mem::{Mem, Place, Remote},
};
use crate::ir::{BinaryOp, Block, Cond, Helper, Target, Value};
use weftrace_artifact::packet;
use weftrace_lang::{
    hir::{Expr, ExprKind as E, Func, Ty},
    span::Span,
};

const AF_INET: i64 = 2;
const AF_INET6: i64 = 10;

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
                [bytes] => self.raw_bytes(bytes, dst, 6),
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
            let remote = Remote::new(base, user);
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
    pub(crate) fn inet_bytes_into(&mut self, bytes: &[u8], dst: Mem, zeroed: bool) {
        if !zeroed {
            self.fill(dst, 20);
        }
        let family = self.iconst(if bytes.len() == 16 { AF_INET6 } else { AF_INET });
        self.store(4, family, dst);
        if !bytes.is_empty() {
            self.b.store_data(&bytes[..bytes.len().min(16)], dst.ptr, dst.offset + 4);
        }
    }

    /// Whether an address lies in a network; an absent one neither does nor does not.
    pub(crate) fn branch_in_net(
        &mut self,
        addr: &Expr,
        net: Net<'_>,
        (inside, outside): (Block, Block),
        absent: Block,
    ) -> R<()> {
        if let E::Packet(name) = &addr.kind
            && let Some(row) = packet::field(name)
            && let packet::Read::Bytes(_) = row.read
        {
            let family = if row.ty == packet::FieldType::Ipv6 { AF_INET6 } else { AF_INET };
            if family != i64::from(net.0) {
                self.guard_field(row, absent);
                self.jump(outside);
                return Ok(());
            }
            self.need_packet(row);
            self.guard_field(row, absent);
            if let Some(bytes) = self.packet_bytes(row, addr.span)? {
                self.match_prefix(bytes, net, inside, outside);
                return Ok(());
            }
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

    #[allow(clippy::many_single_char_names, reason = "bytes of an address")]
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
        let typed = matches!(self.b.func().target, Target::Kernel(prog) if prog.is_typed());
        if !typed {
            return self.not_yet(span, "sock_cookie() outside of rawtracepoint, fentry and fexit probes");
        }
        Ok(self.b.call(Helper::SocketCookie, &[sk]))
    }
}
