//! Packets in the kernel: a program on a packet socket finds a plain packet's headers itself, and leaves any other to user space
//! ([`weftrace_artifact::packet::kernel`] says which are plain, and why the two see the same).

mod link;
mod network;

use super::{
    cx::{Cx, R},
    mem::Mem,
    ssa::Variable,
};
use crate::ir::{BinaryOp, Block, Cond, Helper, Mem as Width, UnaryOp, Value};
use crate::place::walk::{self, Node};
use weftrace_artifact::packet::{
    self,
    kernel::{Found, Header, KernelRead},
    layer,
};
use weftrace_lang::hir::{Expr, ExprKind, ProbeDef};

/// What a socket's program gives back for a packet: nothing of it is kept, or all that the capture wants.
const TAKEN: i64 = 0;
const LEFT: i64 = 0x4_0000;

/// Offsets in struct __sk_buff (include/uapi/linux/bpf.h).
mod skb {
    pub(super) const LEN: i32 = 0;
    pub(super) const PKT_TYPE: i32 = 4;
    pub(super) const PROTOCOL: i32 = 16;
    pub(super) const VLAN_PRESENT: i32 = 20;
    pub(super) const VLAN_TCI: i32 = 24;
    pub(super) const VLAN_PROTO: i32 = 28;
    pub(super) const IFINDEX: i32 = 40;
}

/// PACKET_OUTGOING of the loopback device, whose packets are seen again as they arrive: libpcap passes them on once.
const OUTGOING: i64 = 4;
const LOOPBACK: i64 = 1;
const IPV4: i64 = 0x0800;
const IPV6: i64 = 0x86dd;

/// What is known of the packet once it has been dissected.
#[derive(Clone, Copy)]
pub(crate) struct Plain {
    pub(crate) layers: Value,
    ethernet: Mem,
    network: Mem,
    transport: Mem,
    found: [Value; 6],
}

impl Plain {
    pub(crate) fn header(&self, header: Header) -> Mem {
        match header {
            Header::Ethernet => self.ethernet,
            Header::Ipv4 | Header::Ipv6 => self.network,
            Header::Tcp | Header::Udp => self.transport,
        }
    }

    fn found(&self, what: Found) -> Value {
        self.found[what as usize]
    }
}

/// Where the dissection is.
struct State {
    ctx: Value,
    /// Bytes of the packet as the socket sees it.
    len: Value,
    /// Where the program goes with a packet that isn't plain.
    odd: Block,
    done: Block,
    layers: Variable,
    /// Where the next header begins, its type, how many bytes of it and behind it are on the wire.
    at: Variable,
    kind: Variable,
    wire: Variable,
    found: [Variable; 6],
    ethernet: Mem,
    network: Mem,
    transport: Mem,
}

/// Whether a block asks for more than the frame as such.
fn asks_headers(probe: &ProbeDef) -> bool {
    let mut found = false;
    let mut look = |node: Node<'_>| {
        if let Node::Expr(Expr { kind: ExprKind::Packet(name), .. }) = node {
            found |= packet::field(name).is_some_and(|row| row.layers & !layer::FRAME != 0);
        }
    };
    if let Some(p) = &probe.predicate {
        walk::expr(p, &mut look);
    }
    walk::block(&probe.body, &mut look);
    found
}

impl Cx<'_, '_> {
    /// Dissects the packet. What follows runs for plain ones only; others leave the program here. A block that asks for no header counts
    /// any packet.
    pub(crate) fn dissect(&mut self, probe: &ProbeDef) -> Plain {
        let headers = [Header::Ethernet, Header::Ipv6, Header::Tcp].map(|h| {
            let slot = self.b.slot(h.size().next_multiple_of(8), 8);
            let m = Mem { ptr: self.b.slot_addr(slot), offset: 0, align: 8 };
            // What the packet lacks reads as 0.
            self.fill(m, h.size().next_multiple_of(8));
            m
        });
        let [ethernet, network, transport] = headers;
        let ctx = self.b.ctx();
        let len = self.b.load(Width::U32, ctx, skb::LEN);
        let mut var = || self.new_var();
        let s = State {
            ctx,
            len,
            layers: var(),
            at: var(),
            kind: var(),
            wire: var(),
            found: [(); 6].map(|()| var()),
            odd: self.block(),
            done: self.block(),
            ethernet,
            network,
            transport,
        };
        let zero = self.iconst(0);
        for v in [s.layers, s.at, s.kind, s.wire].into_iter().chain(s.found) {
            self.set_var(v, zero);
        }
        self.skip_echoes(ctx);
        self.add_layers(&s, layer::FRAME);
        self.link(&s, asks_headers(probe));
        self.jump(s.done);
        self.start(s.odd);
        let left = self.iconst(LEFT);
        self.b.ret(left);
        self.start(s.done);
        let found = s.found.map(|v| self.read_var(v));
        Plain { layers: self.read_var(s.layers), ethernet, network, transport, found }
    }

    /// Packets that leave by the loopback device count when they arrive.
    fn skip_echoes(&mut self, ctx: Value) {
        let (device, echo, go_on) = (self.block(), self.block(), self.block());
        let direction = self.b.load(Width::U32, ctx, skb::PKT_TYPE);
        let outgoing = self.b.icmp_imm(Cond::Eq, direction, OUTGOING);
        self.brif(outgoing, device, go_on);
        self.start(device);
        let index = self.b.load(Width::U32, ctx, skb::IFINDEX);
        let loopback = self.b.icmp_imm(Cond::Eq, index, LOOPBACK);
        self.brif(loopback, echo, go_on);
        self.start(echo);
        let taken = self.iconst(TAKEN);
        self.b.ret(taken);
        self.start(go_on);
    }

    fn add_layers(&mut self, s: &State, layers: u64) {
        let have = self.read_var(s.layers);
        let all = self.b.binary_imm(BinaryOp::Bor, have, layers as i64);
        self.set_var(s.layers, all);
    }

    fn note(&mut self, s: &State, what: Found, value: Value) {
        self.set_var(s.found[what as usize], value);
    }

    /// Goes on if the condition holds, else to `otherwise`.
    fn require(&mut self, holds: Value, otherwise: Block) {
        let go_on = self.block();
        self.brif(holds, go_on, otherwise);
        self.start(go_on);
    }

    fn refuse(&mut self, holds: Value, otherwise: Block) {
        let go_on = self.block();
        self.brif(holds, otherwise, go_on);
        self.start(go_on);
    }

    /// A packet whose `value` is one of these isn't plain.
    fn refuse_each(&mut self, s: &State, value: Value, odd: impl IntoIterator<Item = i64>) {
        for n in odd {
            let is = self.b.icmp_imm(Cond::Eq, value, n);
            self.refuse(is, s.odd);
        }
    }

    /// Copies a header from the packet, which isn't plain if it ends before.
    fn copy_header(&mut self, s: &State, to: Mem, bytes: u32) {
        let at = self.read_var(s.at);
        let (to, bytes) = (self.addr(to), self.iconst(i64::from(bytes)));
        let failed = self.b.call(Helper::SkbLoad, &[s.ctx, at, to, bytes]);
        let failed = self.b.icmp_imm(Cond::Ne, failed, 0);
        self.refuse(failed, s.odd);
    }

    /// Goes behind a header; false bytes on the wire were checked before.
    fn pass(&mut self, s: &State, bytes: Value) {
        let (at, wire) = (self.read_var(s.at), self.read_var(s.wire));
        let (at, wire) = (self.b.iadd(at, bytes), self.b.isub(wire, bytes));
        self.set_var(s.at, at);
        self.set_var(s.wire, wire);
    }

    /// What lies behind so many bytes on the wire is padding.
    fn cap(&mut self, s: &State, bytes: Value) {
        let wire = self.read_var(s.wire);
        let less = self.b.icmp(Cond::Ult, bytes, wire);
        let wire = self.b.select(less, bytes, wire);
        self.set_var(s.wire, wire);
    }

    /// A big-endian number in a header.
    fn big_endian(&mut self, header: Mem, at: u32, bytes: u32) -> Value {
        let raw = self.load(bytes, false, header.at(at));
        match bytes {
            2 => self.b.unary(UnaryOp::Bswap16, raw),
            4 => self.b.unary(UnaryOp::Bswap32, raw),
            _ => raw,
        }
    }

    // Fields.

    /// A field as a number, whether or not its layers are there.
    pub(crate) fn plain_scalar(&mut self, plain: &Plain, read: KernelRead, is_bool: bool) -> Option<Value> {
        let value = match read {
            KernelRead::Found(what) => plain.found(what),
            KernelRead::Bytes(..) => return None,
            KernelRead::Number { header, at, bytes, shift, mask } => {
                let mut v = self.big_endian(plain.header(header), at, bytes);
                if shift > 0 {
                    v = self.b.binary_imm(BinaryOp::Lshr, v, i64::from(shift));
                }
                if mask == u32::MAX { v } else { self.b.binary_imm(BinaryOp::Band, v, i64::from(mask)) }
            }
        };
        Some(if is_bool { self.b.icmp_imm(Cond::Ne, value, 0) } else { value })
    }

    /// What a program on a packet socket knows of its packet.
    pub(crate) fn plain(&self, span: weftrace_lang::span::Span) -> R<Plain> {
        match self.plain {
            Some(plain) => Ok(plain),
            None => self.elsewhere(span, "a packet field"),
        }
    }
}
