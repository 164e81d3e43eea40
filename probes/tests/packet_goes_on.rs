//! What a program on a packet socket leaves to user space: all that a dissector goes into. If a dissector learns of a new tunnel, the table
//! that such programs go by ([`weftrace_artifact::packet::kernel::goes_on`]) must know of it, or the two would count differently.
#![allow(clippy::unwrap_used, reason = "tests")]

use weftrace_artifact::packet::{PacketView, kernel::goes_on, layer};
use weftrace_probes::packet::{LinkType, Options, Pipeline, RawPacket};

const NETWORK: u64 = layer::IP | layer::IPV6;

/// Layers of a frame that has this EtherType, protocol and port, and what lies behind them; and the addresses that it ends up with.
fn dissect(pipeline: &mut Pipeline, frame: &[u8]) -> PacketView {
    let raw = RawPacket {
        interface: 1,
        netns: 1,
        boot_ns: Some(1),
        live: true,
        ..RawPacket::new(LinkType::ETHERNET, frame, 1)
    };
    let mut view = PacketView::default();
    pipeline.process(&raw, &mut view);
    view
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &kind.to_be_bytes(), payload].concat()
}

fn ipv4(proto: u8, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len()) as u16;
    let mut h = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    h[2..4].copy_from_slice(&total.to_be_bytes());
    [h, payload.to_vec()].concat()
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u16).to_be_bytes();
    [&[0x60, 0, 0, 0, len[0], len[1], next, 64][..], &[1; 16], &[2; 16], payload].concat()
}

fn udp(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    let len = (8 + payload.len()) as u16;
    [&src.to_be_bytes()[..], &dst.to_be_bytes(), &len.to_be_bytes(), &[0, 0], payload].concat()
}

/// What could be inside: IP at once, behind some bytes, or in a frame, so that whatever goes on finds something.
fn insides() -> Vec<Vec<u8>> {
    let inner = ipv4(6, &[0; 20]);
    let frame = ethernet(0x0800, &inner);
    let mut all = Vec::new();
    for skipped in [0, 2, 4, 8, 12, 16] {
        for first in [0x00u8, 0x08, 0x11, 0x30, 0x45, 0x60] {
            let mut head = vec![0u8; skipped];
            if let Some(byte) = head.first_mut() {
                *byte = first;
            }
            all.push([&head[..], &inner].concat());
            all.push([&head[..], &frame].concat());
        }
    }
    all
}

/// A plain packet's fields are those of its first headers: nothing inside may have changed them.
#[test]
fn no_dissector_goes_into_an_ethertype_that_counts_as_plain() {
    let mut pipeline = Pipeline::new(u32::MAX, Options::default());
    let insides = insides();
    for kind in 0x0600..=u16::MAX {
        let known =
            [0x0800, 0x86dd].contains(&kind) || goes_on::VLAN.contains(&kind) || goes_on::ETHERTYPES.contains(&kind);
        if known {
            continue;
        }
        for inside in &insides {
            let view = dissect(&mut pipeline, &ethernet(kind, inside));
            assert_eq!(view.layers & (NETWORK | layer::TCP | layer::UDP | layer::VLAN), 0, "EtherType {kind:#x}");
            assert_eq!((view.eth_type, view.eth_src), (kind, [2; 6]), "EtherType {kind:#x}");
        }
    }
}

#[test]
fn no_dissector_goes_into_a_protocol_that_counts_as_plain() {
    let mut pipeline = Pipeline::new(u32::MAX, Options::default());
    let insides = insides();
    for proto in (0..=u8::MAX).filter(|p| ![6, 17].contains(p) && !goes_on::PROTOCOLS.contains(p)) {
        for inside in &insides {
            let four = dissect(&mut pipeline, &ethernet(0x0800, &ipv4(proto, inside)));
            assert_eq!(four.layers & (NETWORK | layer::TCP | layer::UDP), layer::IP, "protocol {proto}");
            assert_eq!((four.ip_proto, four.ip_src[..4].to_vec()), (proto, vec![10, 0, 0, 1]), "protocol {proto}");
            let six = dissect(&mut pipeline, &ethernet(0x86dd, &ipv6(proto, inside)));
            assert_eq!(six.layers & (NETWORK | layer::TCP | layer::UDP), layer::IPV6, "next header {proto}");
            assert_eq!((six.ipv6_nxt, six.ipv6_src), (proto, [1; 16]), "next header {proto}");
        }
    }
}

#[test]
fn no_dissector_goes_into_a_port_that_counts_as_plain() {
    let mut pipeline = Pipeline::new(u32::MAX, Options::default());
    let insides = insides();
    for port in (0..=u16::MAX).filter(|p| !goes_on::UDP_PORTS.contains(p)) {
        // All of them at a few ports, one at each.
        let some = if port < 2048 { insides.len() } else { 1 };
        for inside in insides.iter().cycle().skip(usize::from(port)).take(some) {
            for (src, dst) in [(port, 1), (1, port)] {
                let view = dissect(&mut pipeline, &ethernet(0x0800, &ipv4(17, &udp(src, dst, inside))));
                assert_eq!(view.layers & (NETWORK | layer::TCP | layer::UDP), layer::IP | layer::UDP, "port {port}");
                assert_eq!((view.udp_src_port, view.udp_dst_port), (src, dst), "port {port}");
            }
        }
    }
}
