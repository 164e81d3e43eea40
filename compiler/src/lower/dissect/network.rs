//! IPv4, IPv6, TCP and UDP.

use super::{IPV4, IPV6, State};
use crate::ir::{BinaryOp, Cond, Value};
use crate::lower::cx::Cx;
use weftrace_artifact::packet::{
    kernel::{Found, Header, goes_on},
    layer,
};

const TCP: i64 = 6;
const UDP: i64 = 17;

impl Cx<'_, '_> {
    /// Leaves `kind` as the protocol number of what follows.
    pub(super) fn network(&mut self, s: &State) {
        let kind = self.read_var(s.kind);
        let (v4, not_v4, v6, other, done) = (self.block(), self.block(), self.block(), self.block(), self.block());
        let is = self.b.icmp_imm(Cond::Eq, kind, IPV4);
        self.brif(is, v4, not_v4);
        self.start(not_v4);
        let is = self.b.icmp_imm(Cond::Eq, kind, IPV6);
        self.brif(is, v6, other);
        self.start(other);
        self.refuse_each(s, kind, goes_on::ETHERTYPES.map(i64::from));
        self.jump(s.done);
        self.start(v4);
        self.ipv4(s);
        self.jump(done);
        self.start(v6);
        self.ipv6(s);
        self.jump(done);
        self.start(done);
        let proto = self.read_var(s.kind);
        self.refuse_each(s, proto, goes_on::PROTOCOLS.map(i64::from));
    }

    fn version(&mut self, s: &State, wanted: i64) -> Value {
        let first = self.load(1, false, s.network);
        let version = self.b.binary_imm(BinaryOp::Lshr, first, 4);
        let right = self.b.icmp_imm(Cond::Eq, version, wanted);
        self.require(right, s.odd);
        first
    }

    fn ipv4(&mut self, s: &State) {
        let size = i64::from(Header::Ipv4.size());
        self.copy_header(s, s.network, Header::Ipv4.size());
        let first = self.version(s, 4);
        let words = self.b.binary_imm(BinaryOp::Band, first, 0x0f);
        let header = self.b.binary_imm(BinaryOp::Shl, words, 2);
        let enough = self.b.icmp_imm(Cond::Uge, header, size);
        self.require(enough, s.odd);
        let fragment = self.big_endian(s.network, 6, 2);
        let fragment = self.b.binary_imm(BinaryOp::Band, fragment, 0x3fff);
        self.refuse(fragment, s.odd);
        // Segmentation offload: the length did not fit or was left to the device.
        let (said, wire) = (self.big_endian(s.network, 2, 2), self.read_var(s.wire));
        let unsaid = self.b.icmp_imm(Cond::Eq, said, 0);
        let total = self.b.select(unsaid, wire, said);
        self.note(s, Found::Ipv4Len, total);
        self.cap(s, total);
        let wire = self.read_var(s.wire);
        let fits = self.b.icmp(Cond::Ule, header, wire);
        self.require(fits, s.odd);
        let proto = self.load(1, false, s.network.at(9));
        self.set_var(s.kind, proto);
        self.pass(s, header);
        self.add_layers(s, layer::IP);
    }

    fn ipv6(&mut self, s: &State) {
        self.copy_header(s, s.network, Header::Ipv6.size());
        self.version(s, 6);
        let size = self.iconst(i64::from(Header::Ipv6.size()));
        self.pass(s, size);
        let (said, wire) = (self.big_endian(s.network, 4, 2), self.read_var(s.wire));
        let unsaid = self.b.icmp_imm(Cond::Eq, said, 0);
        let payload = self.b.select(unsaid, wire, said);
        self.cap(s, payload);
        let next = self.load(1, false, s.network.at(6));
        self.set_var(s.kind, next);
        self.add_layers(s, layer::IPV6);
    }

    pub(super) fn transport(&mut self, s: &State) {
        let proto = self.read_var(s.kind);
        let (tcp, not_tcp, udp) = (self.block(), self.block(), self.block());
        let is = self.b.icmp_imm(Cond::Eq, proto, TCP);
        self.brif(is, tcp, not_tcp);
        self.start(not_tcp);
        let is = self.b.icmp_imm(Cond::Eq, proto, UDP);
        self.brif(is, udp, s.done);
        self.start(tcp);
        self.tcp(s);
        self.jump(s.done);
        self.start(udp);
        self.udp(s);
    }

    /// A header that the datagram has no room for isn't plain.
    fn transport_header(&mut self, s: &State, header: Header) -> Value {
        let wire = self.read_var(s.wire);
        let fits = self.b.icmp_imm(Cond::Uge, wire, i64::from(header.size()));
        self.require(fits, s.odd);
        self.copy_header(s, s.transport, header.size());
        wire
    }

    fn tcp(&mut self, s: &State) {
        let wire = self.transport_header(s, Header::Tcp);
        let word = self.load(1, false, s.transport.at(12));
        let words = self.b.binary_imm(BinaryOp::Lshr, word, 4);
        let header = self.b.binary_imm(BinaryOp::Shl, words, 2);
        let enough = self.b.icmp_imm(Cond::Uge, header, i64::from(Header::Tcp.size()));
        self.require(enough, s.odd);
        let fits = self.b.icmp(Cond::Ule, header, wire);
        self.require(fits, s.odd);
        let payload = self.b.isub(wire, header);
        self.note(s, Found::TcpLen, payload);
        self.add_layers(s, layer::TCP);
    }

    fn udp(&mut self, s: &State) {
        self.transport_header(s, Header::Udp);
        // 0 is none said: then one less is large too.
        let length = self.big_endian(s.transport, 4, 2);
        let less = self.b.binary_imm(BinaryOp::Isub, length, 1);
        let enough = self.b.icmp_imm(Cond::Uge, less, i64::from(Header::Udp.size()) - 1);
        self.require(enough, s.odd);
        for at in [0, 2] {
            let port = self.big_endian(s.transport, at, 2);
            self.refuse_each(s, port, goes_on::UDP_PORTS.map(i64::from));
        }
        self.add_layers(s, layer::UDP);
    }
}
