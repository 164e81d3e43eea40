//! The published test vectors of Community ID, version 1.

use super::*;
use std::net::IpAddr;

fn view(proto: u8, src: &str, dst: &str, ports: Option<(u16, u16)>) -> PacketView {
    let mut view = PacketView { transport: proto, ip_proto: proto, ..PacketView::default() };
    match (src.parse().expect("an address"), dst.parse().expect("an address")) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            view.net_family = 2;
            view.ip_src[..4].copy_from_slice(&src.octets());
            view.ip_dst[..4].copy_from_slice(&dst.octets());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            view.net_family = 10;
            (view.ipv6_src, view.ipv6_dst) = (src.octets(), dst.octets());
        }
        _ => panic!("one family"),
    }
    if let Some(ports) = ports {
        if proto == ICMP || proto == ICMP6 {
            view.head = [ports.0 as u8, ports.1 as u8, 0, 0];
            view.head_len = 4;
        } else if proto == SCTP {
            view.head = [(ports.0 >> 8) as u8, ports.0 as u8, (ports.1 >> 8) as u8, ports.1 as u8];
            view.head_len = 4;
        } else if proto == TCP {
            view.layers |= layer::TCP;
            (view.tcp_src_port, view.tcp_dst_port) = ports;
        } else {
            view.layers |= layer::UDP;
            (view.udp_src_port, view.udp_dst_port) = ports;
        }
    }
    view
}

fn id(view: &PacketView, seed: u16) -> String {
    community_id(view, seed).map(|id| String::from_utf8_lossy(&id).into_owned()).unwrap_or_default()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn published_vectors() {
    const FE: [&str; 2] = ["fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea"];
    let cases = [
        (
            TCP,
            "128.232.110.120",
            "66.35.250.204",
            Some((34855, 80)),
            "LQU9qZlK+B5F3KDmev6m5PMibrg=",
            "3V71V58M3Ksw/yuFALMcW0LAHvc=",
        ),
        (
            TCP,
            "66.35.250.204",
            "128.232.110.120",
            Some((80, 34855)),
            "LQU9qZlK+B5F3KDmev6m5PMibrg=",
            "3V71V58M3Ksw/yuFALMcW0LAHvc=",
        ),
        (
            TCP,
            "10.0.0.1",
            "10.0.0.2",
            Some((10, 11569)),
            "SXBGMX1lBOwhhoDrZynfROxnhnM=",
            "HmBRGR+fUyXF4t8WEtal7Y0gEAo=",
        ),
        (TCP, "192.168.1.42", "192.168.1.42", Some((41, 42)), "eRcf7I/xocOxnYo5pbJBV5NhVm0=", ""),
        (
            UDP,
            "192.168.1.52",
            "8.8.8.8",
            Some((54585, 53)),
            "d/FP5EW3wiY1vCndhwleRRKHowQ=",
            "Q9We8WO3piVF8yEQBNJF4uiSVrI=",
        ),
        (
            UDP,
            "8.8.8.8",
            "192.168.1.52",
            Some((53, 54585)),
            "d/FP5EW3wiY1vCndhwleRRKHowQ=",
            "Q9We8WO3piVF8yEQBNJF4uiSVrI=",
        ),
        (SCTP, "192.168.170.8", "192.168.170.56", Some((7, 7)), "MP2EtRCAUIZvTw6MxJHLV7N7JDs=", ""),
        (SCTP, "192.168.170.56", "192.168.170.8", Some((80, 7)), "jQgCxbku+pNGw8WPbEc/TS/uTpQ=", ""),
        (
            ICMP,
            "192.168.0.89",
            "192.168.0.1",
            Some((8, 0)),
            "X0snYXpgwiv9TZtqg64sgzUn6Dk=",
            "03g6IloqVBdcZlPyX8r0hgoE7kA=",
        ),
        (
            ICMP,
            "192.168.0.1",
            "192.168.0.89",
            Some((0, 0)),
            "X0snYXpgwiv9TZtqg64sgzUn6Dk=",
            "03g6IloqVBdcZlPyX8r0hgoE7kA=",
        ),
        // Experimental: nothing answers it, its code counts.
        (
            ICMP,
            "192.168.0.89",
            "192.168.0.1",
            Some((20, 0)),
            "3o2RFccXzUgjl7zDpqmY7yJi8rI=",
            "lCXHHxavE1Vq3oX9NH5ladQg02o=",
        ),
        (
            ICMP,
            "192.168.0.89",
            "192.168.0.1",
            Some((20, 1)),
            "tz/fHIDUHs19NkixVVoOZywde+I=",
            "Ie3wmFyxiEyikbsbcO03d2nh+PM=",
        ),
        (ICMP6, FE[0], FE[1], Some((135, 0)), "dGHyGvjMfljg6Bppwm3bg0LO8TY=", "kHa1FhMYIT6Ym2Vm2AOtoOARDzY="),
        (ICMP6, FE[1], FE[0], Some((136, 0)), "dGHyGvjMfljg6Bppwm3bg0LO8TY=", "kHa1FhMYIT6Ym2Vm2AOtoOARDzY="),
        (
            ICMP6,
            "3ffe:507:0:1:200:86ff:fe05:80da",
            "3ffe:507:0:1:260:97ff:fe07:69ea",
            Some((3, 0)),
            "/OGBt9BN1ofenrmSPWYicpij2Vc=",
            "Ij4ZxnC87/MXzhOjvH2vHu7LRmE=",
        ),
        // RSVP has no ports.
        (46, "1.2.3.4", "5.6.7.8", None, "ikv3kmf89luf73WPz1jOs49S768=", ""),
    ];
    for (proto, src, dst, ports, plain, seeded) in cases {
        let view = view(proto, src, dst, ports);
        assert_eq!(id(&view, 0), format!("1:{plain}"), "{proto} {src} {dst} {ports:?}");
        if !seeded.is_empty() {
            assert_eq!(id(&view, 1), format!("1:{seeded}"), "{proto} {src} {dst} {ports:?}, seed 1");
        }
    }
}

#[test]
fn what_is_not_known_has_none() {
    assert_eq!(id(&PacketView::default(), 0), "");
    assert_eq!(id(&view(TCP, "10.0.0.1", "10.0.0.2", None), 0), "");
    assert_eq!(id(&view(ICMP, "10.0.0.1", "10.0.0.2", None), 0), "");
}

#[test]
fn a_conversation_is_one_value() {
    let there = view(UDP, "10.0.0.9", "10.0.0.2", Some((5000, 53)));
    let back = view(UDP, "10.0.0.2", "10.0.0.9", Some((53, 5000)));
    let of = |view: &PacketView| conversation(view, &flow(view).expect("a flow"));
    assert_ne!(flow(&there), flow(&back));
    assert_eq!(of(&there), of(&back));
    assert_eq!((of(&there).src_port, of(&there).two_way), (53, 1));
}
