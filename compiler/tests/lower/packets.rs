//! Packet fields and join results, read from the views that user space makes.

use crate::hir::*;
use crate::run::*;
use std::mem::offset_of;
use weftrace_artifact::packet::{PacketView, Read, analysis, layer, needs};
use weftrace_compiler::ir::interp::host::Host;
use weftrace_lang::hir::{BinOp, Expr, ExprKind, ProbeDef, Ty};

fn view(host: &mut Host, layers: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    host.ctx = vec![0; size_of::<PacketView>()];
    host.ctx[offset_of!(PacketView, layers)..][..4].copy_from_slice(&layers.to_le_bytes());
    fill(&mut host.ctx);
}

/// Offset of a field in the view.
fn at(name: &str) -> usize {
    match weftrace_artifact::packet::field(name).expect("a field").read {
        Read::Load(at) | Read::Bit(at, _) | Read::Bytes(at) | Read::Str(at) => at,
        Read::Conn => panic!("{name} has no offset"),
    }
}

fn put(ctx: &mut [u8], offset: usize, bytes: &[u8]) {
    ctx[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn filtered(predicate: Expr) -> ProbeDef {
    let mut p = probe(pcap(), vec![], vec![printf(vec![int(1)])]);
    p.predicate = Some(predicate);
    p
}

fn passes(predicate: &Expr, layers: u32, fill: impl FnOnce(&mut Vec<u8>)) -> bool {
    let lowered = lower(&program(vec![], vec![filtered(predicate.clone())]));
    let mut host = lowered.host();
    view(&mut host, layers, fill);
    lowered.run(0, &mut host);
    !host.records.is_empty()
}

#[test]
fn comparisons_with_absent_fields_are_false() {
    let port = |op| binary(op, packet("tcp.dstport", Ty::U16), cast(int(0), Ty::U16), Ty::Bool);
    assert!(passes(&port(BinOp::Eq), layer::TCP, |_| {}));
    assert!(!passes(&port(BinOp::Eq), layer::UDP, |_| {}));
    assert!(!passes(&port(BinOp::Ne), layer::UDP, |_| {}));
    assert!(passes(&port(BinOp::Ne), layer::TCP, |c| put(c, at("tcp.dstport"), &[1, 0])));
}

#[test]
fn absent_fields_are_zero_in_arithmetic_and_coalesce() {
    let field = || packet("tcp.dstport", Ty::U16);
    let or = e(ExprKind::Coalesce { left: Box::new(field()), right: Box::new(cast(int(7), Ty::U16)) }, Ty::U16);
    let lowered = lower(&program(vec![], vec![probe(pcap(), vec![], vec![printf(vec![field(), or])])]));
    for (layers, want) in [(layer::TCP, [9, 0, 9, 0]), (layer::UDP, [0, 0, 7, 0])] {
        let mut host = lowered.host();
        view(&mut host, layers, |c| put(c, at("tcp.dstport"), &[9, 0]));
        lowered.run(0, &mut host);
        assert_eq!(host.records[0].payload, want);
    }
    assert_eq!(lowered.packet_needs & needs::HEADERS, needs::HEADERS);
}

#[test]
fn flags_are_bits() {
    let flag = packet("tcp.analysis.retransmission", Ty::Bool);
    let set = |bits: u32| move |c: &mut Vec<u8>| put(c, at("tcp.analysis.retransmission"), &bits.to_le_bytes());
    assert!(passes(&flag, layer::TCP, set(analysis::RETRANSMISSION | analysis::KEEP_ALIVE)));
    assert!(!passes(&flag, layer::TCP, set(analysis::KEEP_ALIVE)));
}

#[test]
fn networks_match_by_prefix() {
    let in_net = |net: [u8; 4], prefix, equal| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&net);
        let addr = Box::new(packet("ip.src", Ty::Inet));
        e(ExprKind::NetMatch { addr, family: 2, net: bytes, prefix, equal }, Ty::Bool)
    };
    let src = |a: [u8; 4]| move |c: &mut Vec<u8>| put(c, at("ip.src"), &a);
    for (prefix, inside) in [(8, true), (12, true), (13, false), (32, false), (0, true)] {
        assert_eq!(passes(&in_net([10, 16, 0, 1], prefix, true), layer::IP, src([10, 24, 3, 4])), inside, "/{prefix}");
        assert_eq!(
            passes(&in_net([10, 16, 0, 1], prefix, false), layer::IP, src([10, 24, 3, 4])),
            !inside,
            "not /{prefix}"
        );
    }
    assert!(!passes(&in_net([0; 4], 0, true), layer::IPV6, |_| {}));
    assert!(!passes(&in_net([1, 0, 0, 0], 8, false), layer::IPV6, |_| {}));
}

#[test]
fn addresses_carry_their_family() {
    let lowered = lower(&program(vec![], vec![probe(pcap(), vec![], vec![printf(vec![packet("ip.src", Ty::Inet)])])]));
    for (layers, want) in [(layer::IP, [2, 0, 0, 0, 10, 1, 2, 3]), (layer::IPV6, [0; 8])] {
        let mut host = lowered.host();
        view(&mut host, layers, |c| put(c, at("ip.src"), &[10, 1, 2, 3]));
        lowered.run(0, &mut host);
        assert_eq!(host.records[0].payload[..8], want);
    }
}

fn with_text(host: &mut Host, offset: usize, bytes: &[u8]) {
    let region = host.regions.len();
    host.regions.push(bytes.to_vec());
    put(&mut host.ctx, offset, &Host::region_address(region).to_le_bytes());
    put(&mut host.ctx, offset + 8, &(bytes.len() as u64).to_le_bytes());
}

#[test]
fn text_fields_compare_copy_and_measure() {
    let method = || packet("http.request.method", Ty::Str { cap: 16 });
    let is = |lit: &str, equal| cast(str_eq(method(), text(lit), lit.len() as u32 + 1, equal), Ty::U64);
    let lowered = lower(&program(
        vec![],
        vec![probe(pcap(), vec![], vec![printf(vec![is("GET", true), is("GETX", true), is("PUT", false), method()])])],
    ));
    let mut host = lowered.host();
    view(&mut host, layer::HTTP_REQUEST, |_| {});
    with_text(&mut host, at("http.request.method"), b"GET");
    lowered.run(0, &mut host);
    let payload = &host.records[0].payload;
    assert_eq!((word(payload), word(&payload[8..]), word(&payload[16..])), (1, 0, 1));
    assert_eq!(&payload[24..], b"GET\0\0\0\0\0\0\0\0\0\0\0\0\0");
    // Absent: equal to nothing, unequal to nothing, empty.
    let mut host = lowered.host();
    view(&mut host, layer::TCP, |_| {});
    lowered.run(0, &mut host);
    assert_eq!(host.records[0].payload, [0; 40]);
}

#[test]
fn packet_maps_by_address() {
    let p = program(
        vec![agg("m", Some(Ty::Inet), weftrace_lang::hir::Agg::Count)],
        vec![probe(pcap(), vec![], vec![aggregate(0, Some(packet("ip.src", Ty::Inet)), None)])],
    );
    let lowered = lower(&p);
    let mut host = lowered.host();
    for last in [1, 2, 1] {
        view(&mut host, layer::IP, |c| put(c, at("ip.src"), &[10, 0, 0, last]));
        lowered.run(0, &mut host);
    }
    let counts: Vec<u64> = host.maps[0].entries().map(|(_, v)| word(v)).collect();
    assert_eq!(counts, [2, 1]);
}
