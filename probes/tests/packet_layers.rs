//! One TCP segment inside every link layer and tunnel: the same TCP is found in all of them.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::build::{SYN, Tcp, ethernet, fragment, ipv4, ipv6, tcp_segment, udp};
use weftrace_artifact::packet::{PacketEnd, PacketView, layer, marks};
use weftrace_probes::packet::{ALL_NEEDS, LinkType, Options, Pipeline, RawPacket, conn_key};

fn view(link: LinkType, data: &[u8]) -> PacketView {
    let mut view = PacketView::default();
    Pipeline::new(ALL_NEEDS, Options::default()).process(&RawPacket::new(link, data, 1), &mut view);
    view
}

fn inner() -> Tcp {
    let options = vec![2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 7];
    Tcp { flags: SYN, seq: 77, options, payload: b"data".to_vec(), ..Tcp::new(1, 40_000, 2, 443) }
}

fn is_inner(view: &PacketView) -> bool {
    view.layers & layer::TCP != 0
        && (view.tcp_src_port, view.tcp_dst_port, view.tcp_seq_raw, view.tcp_len) == (40_000, 443, 77, 4)
        && (view.ip_src[3], view.ip_dst[3]) == (1, 2)
        && (view.tcp_mss, view.tcp_wscale_opt) == (1_460, 7)
        && view.layers & (layer::SACK_PERM | layer::FLOW) == layer::SACK_PERM | layer::FLOW
}

const A: [u8; 4] = [192, 168, 0, 1];
const B: [u8; 4] = [192, 168, 0, 2];

fn outer(proto: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(proto, A, B, payload))
}

fn in_udp(port: u16, header: &[u8], payload: &[u8]) -> Vec<u8> {
    outer(17, &udp(50_000, port, &[header, payload].concat()))
}

#[test]
fn link_types() {
    let ip = inner().packet();
    let llc = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &ip].concat();
    let wlan = |control: &[u8], extra: usize| {
        let mut frame = control.to_vec();
        frame.resize(24 + extra, 0);
        [frame, llc.clone()].concat()
    };
    let sll = [&[0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0][..], &ip].concat();
    let sll2 = [&[8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0][..], &ip].concat();
    let nflog =
        [&[2, 0, 0, 0, 5, 0, 1, 0, 9, 0, 0, 0][..], &((ip.len() + 4) as u16).to_le_bytes(), &[9, 0], &ip].concat();
    let radiotap = [&[0, 0, 12, 0, 3, 0, 0, 0, 0, 0, 0, 0][..], &wlan(&[8, 1], 0)].concat();
    let mut stamped = vec![0, 0, 17, 0, 3, 0, 0, 0];
    stamped.resize(16, 0);
    stamped.push(0x10); // a check sequence follows
    let stamped = [stamped, wlan(&[8, 1], 0), vec![9; 4]].concat();
    let frames: [(&str, u32, Vec<u8>); 17] = [
        ("Ethernet", 1, inner().frame()),
        ("802.3 with SNAP", 1, ethernet((llc.len()) as u16, &llc)),
        ("null, little endian", 0, [&[2, 0, 0, 0][..], &ip].concat()),
        ("loop", 108, [&[0, 0, 0, 2][..], &ip].concat()),
        ("raw", 101, ip.clone()),
        ("raw BSD", 12, ip.clone()),
        ("IPv4", 228, ip.clone()),
        ("SLL", 113, sll),
        ("SLL2", 276, sll2),
        ("PPP", 9, [&[0xff, 3, 0, 0x21][..], &ip].concat()),
        ("PPP, short protocol", 50, [&[0x21][..], &ip].concat()),
        ("C-HDLC", 104, [&[0x0f, 0, 8, 0][..], &ip].concat()),
        ("802.11", 105, wlan(&[8, 1], 0)),
        ("802.11 QoS, four addresses", 105, wlan(&[0x88, 3], 8)),
        ("radiotap", 127, radiotap),
        ("radiotap with time and check sequence", 127, stamped),
        ("NFLOG", 239, nflog),
    ];
    for (name, link, frame) in frames {
        assert!(is_inner(&view(LinkType(link), &frame)), "{name}");
    }
    assert_eq!(view(LinkType(999), &ip).layers & layer::IP, 0);
}

#[test]
fn tags_and_tunnels() {
    let (ip, frame) = (inner().packet(), inner().frame());
    let gre = |flags: u16, kind: u16, rest: &[&[u8]]| {
        outer(47, &[&flags.to_be_bytes()[..], &kind.to_be_bytes(), &rest.concat()].concat())
    };
    let six = ipv6(41, [1; 16], [2; 16], &ipv6(4, [3; 16], [4; 16], &ip));
    let frames: [(&str, Vec<u8>); 22] = [
        ("VLAN", ethernet(0x8100, &[&[0x20, 9, 8, 0][..], &ip].concat())),
        ("QinQ", ethernet(0x88a8, &[&[0, 1, 0x81, 0, 0x20, 9, 8, 0][..], &ip].concat())),
        ("MPLS", ethernet(0x8847, &[&[0, 1, 0, 64, 0, 2, 1, 64][..], &ip].concat())),
        ("MPLS pseudowire", ethernet(0x8847, &[&[0, 1, 1, 64, 0, 0, 0, 0][..], &frame].concat())),
        ("PPPoE", ethernet(0x8864, &[&[0x11, 0, 0, 1, 0, (ip.len() + 2) as u8, 0, 0x21][..], &ip].concat())),
        ("PBB", ethernet(0x88e7, &[&[0; 4][..], &frame].concat())),
        ("FabricPath", ethernet(0x8903, &[&[0; 2][..], &frame, &[0; 4]].concat())),
        ("IPIP", outer(4, &ip)),
        ("4 in 6 in 6", ethernet(0x86dd, &six)),
        ("GRE", gre(0, 0x0800, &[&ip])),
        ("GRE with key, sequence, checksum", gre(0xb000, 0x6558, &[&[0; 12], &frame])),
        ("ERSPAN I", gre(0, 0x88be, &[&frame])),
        ("ERSPAN II", gre(0x1000, 0x88be, &[&[0; 4], &[0x10, 0, 0, 0, 0, 0, 0, 0], &frame])),
        ("ERSPAN III", gre(0x1000, 0x22eb, &[&[0; 4], &[0x20; 11], &[0x10], &frame])),
        ("VXLAN", in_udp(4_789, &[8, 0, 0, 0, 0, 0, 5, 0], &frame)),
        ("VXLAN, Linux's port", in_udp(8_472, &[8, 0, 0, 0, 0, 0, 5, 0], &frame)),
        ("VXLAN-GPE", in_udp(4_790, &[0x0c, 0, 0, 1, 0, 0, 5, 0], &ip)),
        ("GENEVE with an option", in_udp(6_081, &[1, 0, 0x65, 0x58, 0, 0, 5, 0, 1, 2, 3, 4], &frame)),
        ("GTP-U", in_udp(2_152, &[0x30, 0xff, 0, ip.len() as u8, 0, 0, 0, 1], &ip)),
        (
            "GTP-U with extension",
            in_udp(2_152, &[0x34, 0xff, 0, ip.len() as u8 + 8, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0], &ip),
        ),
        ("Teredo", in_udp(3_544, &[], &ipv6(4, [1; 16], [2; 16], &ip))),
        ("Ethernet in IP", outer(97, &[&[0x30, 0][..], &frame].concat())),
    ];
    for (name, bytes) in frames {
        let seen = view(LinkType::ETHERNET, &bytes);
        assert!(is_inner(&seen), "{name}: {seen:?}");
        if name.contains("VLAN") && !name.contains('X') || name == "QinQ" {
            assert_eq!((seen.layers & layer::VLAN != 0, seen.vlan_id), (true, 9), "{name}");
        }
        // Cut anywhere it may be less, but never something else.
        for cut in 0..bytes.len() {
            let cut = view(LinkType::ETHERNET, &bytes[..cut]);
            assert!(cut.layers & layer::TCP == 0 || cut.tcp_dst_port == 443, "{name}");
        }
    }
}

#[test]
fn ipv6_extension_headers() {
    let segment = tcp_segment(&inner());
    let plain = view(LinkType::RAW, &ipv6(6, [1; 16], [2; 16], &segment));
    assert_eq!((plain.tcp_dst_port, plain.net_family, plain.ipv6_nxt, plain.tcp_len), (443, 10, 6, 4));
    let chain =
        [&[60, 0, 0, 0, 0, 0, 0, 0][..], &[51, 0, 0, 0, 0, 0, 0, 0], &[6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &segment]
            .concat();
    let seen = view(LinkType::RAW, &ipv6(0, [1; 16], [2; 16], &chain));
    assert_eq!((seen.tcp_dst_port, seen.ipv6_nxt, seen.tcp_len), (443, 0, 4));
    // An atomic fragment is whole.
    let atomic = [&[6, 0, 0, 0, 0, 0, 0, 9][..], &segment].concat();
    assert_eq!(view(LinkType::RAW, &ipv6(44, [1; 16], [2; 16], &atomic)).tcp_dst_port, 443);
    let key = conn_key(&plain, PacketEnd::Neither).unwrap();
    assert_eq!((key.family, key.a_addr, key.b_port, key.a_isn), (10, [1; 16], 443, 77));
}

#[test]
fn fragments_count_where_their_datagram_is_complete() {
    let segment = tcp_segment(&inner());
    let (first, second) = segment.split_at(24);
    let (src, dst) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let pieces = [fragment(6, src, dst, 5, 0, true, first), fragment(6, src, dst, 5, 24, false, second)];
    for order in [[0, 1], [1, 0]] {
        let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
        let mut view = PacketView::default();
        pipeline.process(&RawPacket::new(LinkType::RAW, &pieces[order[0]], 1), &mut view);
        assert_eq!(view.layers & layer::TCP, 0);
        pipeline.process(&RawPacket::new(LinkType::RAW, &pieces[order[1]], 2), &mut view);
        assert!(is_inner(&view), "{order:?}");
    }
    let six = |offset: u16, more: bool, part: &[u8]| {
        let word = offset | u16::from(more);
        ipv6(44, [1; 16], [2; 16], &[&[6, 0][..], &word.to_be_bytes(), &[0, 0, 0, 7], part].concat())
    };
    let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
    let mut view = PacketView::default();
    pipeline.process(&RawPacket::new(LinkType::RAW, &six(24, false, second), 1), &mut view);
    pipeline.process(&RawPacket::new(LinkType::RAW, &six(0, true, first), 2), &mut view);
    assert_eq!((view.tcp_dst_port, view.tcp_len), (443, 4));
}

#[test]
fn quoted_packets_in_icmp_errors_are_not_traffic() {
    let quoted = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &inner().packet()].concat();
    let seen = view(LinkType::ETHERNET, &outer(1, &quoted));
    assert_eq!(seen.layers & (layer::TCP | layer::IP), layer::IP);
    assert_eq!(seen.ip_src[..4], A);
    assert_eq!(seen.marks, marks::QUOTES_TCP);

    // The connection it is about has a number from then on, as in tshark.
    let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
    let mut stream = |frame: &[u8], number| {
        let mut seen = PacketView::default();
        pipeline.process(&RawPacket::new(LinkType::ETHERNET, frame, number), &mut seen);
        (seen.layers & layer::FLOW != 0).then_some((seen.tcp_stream, seen.analysis))
    };
    assert_eq!(stream(&outer(1, &quoted), 1), None);
    assert_eq!(stream(&Tcp { flags: SYN, ..Tcp::new(7, 1, 8, 2) }.frame(), 2), Some((1, 0)));
    assert_eq!(stream(&inner().frame(), 3), Some((0, 0)));
    assert_eq!(stream(&outer(1, &quoted), 4), None);
}

/// A header of less than 20 bytes is none: ports are not read from inside it.
#[test]
fn ports_of_a_quoted_packet_lie_behind_its_header() {
    let ports = |first: u8| {
        let mut quoted = inner().packet();
        quoted[0] = first;
        let seen = view(LinkType::ETHERNET, &outer(1, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &quoted].concat()));
        assert!(seen.layers & layer::ICMP_QUOTE != 0);
        (seen.icmp.src_port, seen.icmp.dst_port)
    };
    assert_eq!((ports(0x45), ports(0x44), ports(0x40)), ((40_000, 443), (0, 0), (0, 0)));
}

/// What scripts ask by `frame.tunnelled` and `frame.fragment`.
#[test]
fn marks_of_headers() {
    let of = |frame: &[u8]| view(LinkType::ETHERNET, frame).marks & !marks::FIRST;
    assert_eq!(of(&inner().frame()), 0);
    assert_eq!(of(&outer(4, &inner().packet())), marks::TUNNELLED);
    assert_eq!(of(&ethernet(0x0800, &fragment(17, A, B, 1, 0, true, &[0; 8]))), marks::FRAGMENT);
    // An echo request quotes nothing.
    assert_eq!(of(&outer(1, &[&[8, 0, 0, 0, 0, 0, 0, 0][..], &inner().packet()].concat())), 0);
}

/// RFC 791, 3.1: while the route is not used up the header has the next hop, and the option ends with the destination.
#[test]
fn source_routes_end_at_their_last_address() {
    let routed = |pointer: u8| {
        let mut packet = inner().packet();
        let option = [131, 11, pointer, 9, 9, 9, 9, 8, 8, 8, 8, 0];
        packet[0] = 0x45 + option.len() as u8 / 4;
        let total = u16::from_be_bytes([packet[2], packet[3]]) + option.len() as u16;
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet.splice(20..20, option);
        let seen = view(LinkType::ETHERNET, &ethernet(0x0800, &packet));
        assert!(seen.layers & layer::TCP != 0);
        [seen.ip_dst[0], seen.ip_dst[1], seen.ip_dst[2], seen.ip_dst[3]]
    };
    assert_eq!((routed(4), routed(8)), ([8; 4], [8; 4]));
    let own = view(LinkType::ETHERNET, &inner().frame()).ip_dst;
    assert_eq!((routed(12)[3], routed(3)[3]), (own[3], own[3]));
}

#[test]
fn lengths_come_from_ip_not_from_the_frame() {
    // Padding after the packet.
    let padded = [inner().frame(), vec![0; 30]].concat();
    assert_eq!(view(LinkType::ETHERNET, &padded).tcp_len, 4);
    // Captured in part: the length on the wire counts.
    let long = Tcp { payload: vec![7; 1_000], ..inner() }.frame();
    let mut seen = PacketView::default();
    let packet = RawPacket { len: long.len() as u32, ..RawPacket::new(LinkType::ETHERNET, &long[..80], 1) };
    Pipeline::new(ALL_NEEDS, Options::default()).process(&packet, &mut seen);
    assert_eq!((seen.tcp_len, seen.payload.len, seen.cap_len, seen.len), (1_000, 14, 80, long.len() as u32));
    // Total length 0: segmentation offload.
    let mut offloaded = inner().frame();
    offloaded[16..18].copy_from_slice(&[0, 0]);
    assert_eq!(view(LinkType::ETHERNET, &offloaded).tcp_len, 4);
}

#[test]
fn sack_and_duplicate_sack() {
    let block = |le: u32, re: u32| [le.to_be_bytes(), re.to_be_bytes()].concat();
    let with = |blocks: &[(u32, u32)]| {
        let mut options = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
        for (le, re) in blocks {
            options.extend(block(*le, *re));
        }
        view(LinkType::ETHERNET, &Tcp { seq: 1, ack: 1_000, options, ..Tcp::new(1, 1, 2, 2) }.frame())
    };
    let seen = with(&[(1_500, 1_600), (1_200, 1_300)]);
    // Relative to the other side's initial sequence number, 999 by its first acknowledgement.
    assert_eq!((seen.sack_count, seen.sack_le[0], seen.sack_re[1], seen.dsack), (2, 501, 301, 0));
    assert_eq!(with(&[(900, 1_000)]).dsack, 1, "below the acknowledgement");
    assert_eq!(with(&[(1_220, 1_240), (1_200, 1_300)]).dsack, 1, "inside the second block");
    assert_eq!(with(&[(900, 1_100)]).dsack, 0);
    assert_eq!(with(&[]).layers & layer::TCP_SACK, 0);
}

#[test]
fn nothing_is_computed_that_no_field_needs() {
    use weftrace_artifact::packet::needs;
    let frame = inner().frame();
    let mut seen = PacketView::default();
    Pipeline::new(0, Options::default()).process(&RawPacket::new(LinkType::ETHERNET, &frame, 1), &mut seen);
    assert_eq!((seen.layers, seen.eth_type, seen.len), (layer::FRAME | layer::BOOT_TIME, 0, frame.len() as u32));
    let mut headers = Pipeline::new(needs::HEADERS, Options::default());
    headers.process(&RawPacket::new(LinkType::ETHERNET, &frame, 1), &mut seen);
    assert_eq!((seen.layers & layer::FLOW, seen.tcp_dst_port, headers.flows()), (0, 443, 0));
    let mut flows = Pipeline::new(needs::FLOW, Options::default());
    flows.process(&RawPacket::new(LinkType::ETHERNET, &frame, 1), &mut seen);
    flows.process(&RawPacket::new(LinkType::ETHERNET, &frame, 2), &mut seen);
    assert_eq!((seen.layers & layer::FLOW, seen.analysis, flows.flows()), (layer::FLOW, 0, 1));
}

#[test]
fn a_bridge_is_not_a_retransmission() {
    let frame = Tcp { payload: b"xyz".to_vec(), ..Tcp::new(1, 1, 2, 2) }.frame();
    for (live, want) in [(true, 0), (false, 1)] {
        let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
        let mut seen = PacketView::default();
        for (interface, number) in [(3, 1), (4, 2)] {
            let packet = RawPacket {
                interface,
                live,
                netns: u32::from(live),
                time_ns: number * 1_000_000_000,
                ..RawPacket::new(LinkType::ETHERNET, &frame, number)
            };
            pipeline.process(&packet, &mut seen);
        }
        assert_eq!((seen.analysis & 1, seen.tcp_stream), (want, u32::from(live)), "live {live}");
    }
}

/// RFC 4302 has fragments outside the authentication header; where they lie within, they are put together all the same.
#[test]
fn fragments_behind_an_authentication_header() {
    let segment = tcp_segment(&inner());
    let (first, second) = segment.split_at(24);
    let packet = |offset: u16, more: bool, part: &[u8]| {
        let ah = [&[44, 4, 0, 0][..], &[0; 20]].concat();
        let header = [&[6, 0][..], &(offset | u16::from(more)).to_be_bytes(), &[0, 0, 0, 7]].concat();
        ethernet(0x86dd, &ipv6(51, [1; 16], [2; 16], &[&ah, &header, part].concat()))
    };
    let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
    let mut seen = |frame: &[u8], number| {
        let mut view = PacketView::default();
        pipeline.process(&RawPacket::new(LinkType::ETHERNET, frame, number), &mut view);
        (view.layers & layer::TCP != 0).then_some((view.tcp_dst_port, view.tcp_len, view.tcp_mss))
    };
    assert_eq!(seen(&packet(0, true, first), 1), None);
    assert_eq!(seen(&packet(24, false, second), 2), Some((443, 4, 1460)));
    assert_eq!(seen(&packet(0, false, &segment), 3), Some((443, 4, 1460)), "an atomic one");
}
