//! Packet fields and join results, read from the views that user space makes.

use crate::hir::*;
use crate::run::*;
use std::cell::RefCell;
use std::mem::offset_of;
use weftrace_artifact::packet::{PacketView, Read, analysis, known, layer, needs};
use weftrace_artifact::program::ProgType;
use weftrace_compiler::driver;
use weftrace_compiler::ir::interp::{self, host::Host};
use weftrace_compiler::lower::{Module, lower_probe};
use weftrace_compiler::place;
use weftrace_lang::hir::{Agg, BinOp, Expr, ExprKind, ProbeDef, Ty};
use weftrace_lang::span::SourceMap;

/// A packet whose headers are whole, and that was analysed.
fn view(host: &mut Host, layers: u64, fill: impl FnOnce(&mut Vec<u8>)) {
    host.ctx = vec![0; size_of::<PacketView>()];
    host.ctx[offset_of!(PacketView, layers)..][..8].copy_from_slice(&layers.to_le_bytes());
    put(&mut host.ctx, offset_of!(PacketView, known), &(known::HEADERS | known::ANALYSIS).to_le_bytes());
    fill(&mut host.ctx);
}

/// Offset of a field in the view.
fn at(name: &str) -> usize {
    match weftrace_artifact::packet::field(name).expect("a field").read {
        Read::Load(at) | Read::Bit(at, _) | Read::Bytes(at) | Read::Str(at) => at,
        Read::Layer(_) => offset_of!(PacketView, layers),
        Read::Known(_) => offset_of!(PacketView, known),
        Read::Conn(_) | Read::More(_) | Read::ByteRanges(_) => panic!("{name} has no offset"),
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

/// Whether the block does anything. If so, the packet has what the plan says that it must have.
fn passes(predicate: &Expr, layers: u64, fill: impl FnOnce(&mut Vec<u8>)) -> bool {
    let program = program(vec![], vec![filtered(predicate.clone())]);
    let lowered = lower(&program);
    let mut host = lowered.host();
    view(&mut host, layers, fill);
    lowered.run(0, &mut host);
    let passes = !host.records.is_empty();
    let (artifact, _) =
        driver::compile(&program, &SourceMap::default(), &TestWorld::default(), &driver::Options::default());
    let asks = artifact.probes.first().map(|plan| plan.asks.layers & !layer::FRAME).unwrap_or_default();
    assert!(!passes || layers & asks == asks, "{predicate:?} asks for {asks:#x}");
    passes
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

/// Of a header that was not captured to its end, what was is there.
#[test]
fn members_of_headers_that_were_cut() {
    let flags = binary(BinOp::Ge, packet("tcp.flags", Ty::U32), cast(int(0), Ty::U32), Ty::Bool);
    let seq = binary(BinOp::Ge, packet("tcp.seq_raw", Ty::U32), cast(int(0), Ty::U32), Ty::Bool);
    let only = |bits: u64| move |c: &mut Vec<u8>| put(c, offset_of!(PacketView, known), &bits.to_le_bytes());
    for (predicate, bit) in [(&flags, known::TCP_FLAGS), (&seq, known::TCP_SEQ)] {
        assert!(passes(predicate, layer::TCP, only(bit)));
        assert!(!passes(predicate, layer::TCP, only(known::HEADERS & !bit)));
    }
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

/// A program on a packet socket, for Ethernet: what it gives back for a frame, and what it counted by.
fn in_kernel(frame: &[u8], field: &str, ty: Ty) -> (u64, Vec<u64>) {
    let body = vec![aggregate(0, Some(cast(packet(field, ty), Ty::U64)), None)];
    let program = program(vec![agg("n", Some(Ty::U64), Agg::Count)], vec![probe(pcap(), vec![], body)]);
    let options = place::Options { read_file: false, packets: place::Packets::Kernel };
    let placement = place::plan(&program, &options);
    assert_eq!(placement.units[0].side, place::Side::Kernel(ProgType::SocketFilter), "{}", placement.units[0].reason);
    let world = TestWorld::default();
    let mut findings = vec![];
    let mut module = Module::new(&program, &world, &placement, &mut findings);
    let probe = &program.probes[0];
    let f =
        lower_probe(&mut module, probe, &probe.targets[0], placement.units[0].side, "test").expect("it can be lowered");
    let lowered = Lowered {
        functions: vec![f],
        better: RefCell::default(),
        maps: module.maps,
        actions: module.actions,
        packet_needs: module.packet_needs,
    };
    let mut host = lowered.host();
    // struct __sk_buff: length, kind of packet …, interface
    put(&mut host.ctx, 0, &(frame.len() as u32).to_le_bytes());
    put(&mut host.ctx, 40, &3u32.to_le_bytes());
    host.packet = frame.to_vec();
    let result = interp::run(&lowered.functions[0], &mut host.clone(), 100_000).expect("it runs");
    lowered.run(0, &mut host);
    (result, host.maps[0].entries().map(|(key, _)| word(key)).collect())
}

/// Ethernet, IPv4 with one word of options, UDP.
fn datagram(protocol: u8, fragment: u16, port: u16) -> Vec<u8> {
    let ip =
        [0x46, 0, 0, 35, 0, 1, (fragment >> 8) as u8, fragment as u8, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    let udp = [3, 232, (port >> 8) as u8, port as u8, 0, 11, 0, 0, 1, 2, 3];
    [&[2; 12][..], &[8, 0], &ip, &[0; 4], &udp, &[0; 7]].concat()
}

#[test]
fn plain_packets_are_dissected_in_the_kernel() {
    let plain = datagram(17, 0x4000, 53);
    for (field, ty, want) in [
        ("udp.dstport", Ty::U16, 53),
        ("udp.srcport", Ty::U16, 1000),
        ("ip.ttl", Ty::U8, 64),
        ("ip.len", Ty::U32, 35),
        ("ip.flags", Ty::U32, 2),
        ("eth.type", Ty::U16, 0x800),
        ("frame.len", Ty::U32, plain.len() as u64),
        ("frame.interface_id", Ty::U32, 3),
        // Absent: 0.
        ("tcp.dstport", Ty::U16, 0),
        ("ipv6.plen", Ty::U32, 0),
    ] {
        assert_eq!(in_kernel(&plain, field, ty), (0, vec![want]), "{field}");
    }
}

#[test]
fn other_packets_are_left_to_user_space() {
    const LEFT: u64 = 0x4_0000;
    let cut = |n: usize| datagram(17, 0, 53)[..n].to_vec();
    let odd = [
        datagram(17, 0x2000, 53),
        datagram(17, 0, 4789),
        datagram(47, 0, 53),
        cut(10),
        cut(30),
        cut(44),
        [&[2; 12][..], &[0, 40], &[0; 40]].concat(),
        [&[2; 12][..], &[0x88, 0x47], &[0; 40]].concat(),
    ];
    for frame in odd {
        assert_eq!(in_kernel(&frame, "udp.dstport", Ty::U16), (LEFT, vec![]), "{frame:?}");
    }
    // Blocks that ask for no header count any.
    assert_eq!(in_kernel(&cut(10), "frame.len", Ty::U32), (0, vec![10]));
}

/// A parameter that is off takes the analysis behind it away, before anything runs.
#[test]
fn what_is_known_to_be_false_needs_nothing() {
    let http = || packet("http.request", Ty::Bool);
    let logical =
        |and, left, right| e(ExprKind::Logical { and, left: Box::new(left), right: Box::new(right) }, Ty::Bool);
    let needs_of = |predicate: Expr| lower(&program(vec![], vec![filtered(predicate)])).packet_needs;
    assert_eq!(needs_of(logical(true, int(0), http())), 0);
    assert_eq!(needs_of(logical(false, int(1), http())), 0);
    assert_eq!(needs_of(logical(true, logical(false, int(0), int(0)), http())), 0);
    assert_ne!(needs_of(logical(true, int(1), http())) & needs::HTTP, 0);
    assert_ne!(needs_of(logical(false, int(0), http())) & needs::HTTP, 0);
    // Such a block doesn't run; one whose condition is known to hold does.
    assert!(!passes(&logical(true, int(0), http()), layer::FRAME, |_| {}));
    assert!(passes(&logical(false, int(1), http()), layer::FRAME, |_| {}));
}
