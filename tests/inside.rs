//! Filters of `pcap` blocks on captures whose packets carry others: fields are of the innermost headers, and what is asked of them
//! must not stop at the outermost.

mod traced;

use std::fs;
use traced::{folder, lines, text, weftrace};

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &kind.to_be_bytes(), payload].concat()
}

/// IPv4 from 10.0.0.1 to 10.0.0.2; `fragment` as it stands in the header.
fn ip(proto: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let len = (20 + payload.len() as u16).to_be_bytes();
    let fragment = fragment.to_be_bytes();
    let head = [0x45, 0, len[0], len[1], 0, 7, fragment[0], fragment[1], 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    [&head[..], payload].concat()
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let len = 8 + payload.len() as u16;
    [&[40_000, port, len, 0].map(u16::to_be_bytes).concat(), payload].concat()
}

/// A capture of Ethernet frames, a second apart.
fn capture(name: &str, frames: &[Vec<u8>]) -> String {
    let mut bytes = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    for (seconds, frame) in (1..).zip(frames) {
        let len = frame.len() as u32;
        bytes.extend([seconds, 0, len, len].map(u32::to_le_bytes).concat());
        bytes.extend(frame);
    }
    let file = folder().join(name);
    fs::write(&file, bytes).expect("a capture");
    file.to_str().expect("a path of letters").to_owned()
}

/// The frames that a block with this filter runs on, if they have a port in UDP.
fn frames(file: &str, filter: &str) -> (Vec<String>, String) {
    // What never became whole is told at the end, to scripts that read messages.
    let script = format!(
        "pcap:any:\"{filter}\" /udp.dstport > 0/ {{ printf(\"%lu %d\\n\", frame.number, udp.dstport); }}
        pcap:any:\"{filter}\" /http.exchange/ {{ @exchanges = count(); }}"
    );
    let out = weftrace(&["run", "--read", file, "-e", &script]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    (lines(&out.stdout), text(&out.stderr))
}

#[test]
fn tags_and_tunnels() {
    let (dns, other) = (ip(17, 0, &udp(53, b"query")), ip(17, 0, &udp(99, b"other")));
    let tagged = |tag: u16, ip: &[u8]| ethernet(0x8100, &[&tag.to_be_bytes(), &[8, 0], ip].concat());
    let vxlan = |ip: &[u8]| ip_in_vxlan(&ethernet(0x0800, ip));
    let all = [
        ethernet(0x0800, &dns),
        tagged(5, &dns),
        vxlan(&dns),
        tagged(5, &other),
        vxlan(&other),
        ethernet(0x0800, &other),
    ];
    let file = capture("inside.pcap", &all);
    let numbers = |filter: &str| frames(&file, filter).0.iter().map(|l| l[..1].to_owned()).collect::<String>();
    assert_eq!(numbers("port 53"), "123");
    assert_eq!(numbers("udp and not port 53"), "3456", "around a tunnel is another port");
    assert_eq!(numbers("udp port 4789"), "35");
    assert_eq!(numbers("vlan 5 and port 53"), "2");
    assert_eq!(numbers("vlan"), "24");
    assert_eq!(numbers("tcp"), "");
}

fn ip_in_vxlan(frame: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ip(17, 0, &udp(4789, &[&[8, 0, 0, 0, 0, 0, 1, 0], frame].concat())))
}

/// Only the first fragment has ports. The others are looked for where that one was wanted; what is incomplete is counted there only.
#[test]
fn fragments() {
    let datagram = |port: u16| udp(port, &[b'x'; 40]);
    let cut = |port: u16, id: u8| {
        let whole = datagram(port);
        let pieces = [(0x2000, &whole[..24]), (0x2003, &whole[24..40]), (0x0005, &whole[40..])];
        pieces.map(|(fragment, bytes)| {
            let mut packet = ip(17, fragment, bytes);
            packet[5] = id;
            ethernet(0x0800, &packet)
        })
    };
    let (dns, other) = (cut(53, 1), cut(99, 2));
    let mut frames_of = Vec::new();
    for (one, two) in dns.iter().zip(&other) {
        frames_of.extend([one.clone(), two.clone()]);
    }
    // Its rest never comes.
    frames_of.push(cut(99, 3)[0].clone());
    let file = capture("fragments.pcap", &frames_of);
    let (lines, said) = frames(&file, "port 53");
    assert_eq!((lines, said.contains("lost")), (vec!["5 53".to_owned()], false), "{said}");
    let (lines, said) = frames(&file, "port 99");
    assert_eq!((lines, said.contains("lost 1 IP fragments")), (vec!["6 99".to_owned()], true), "{said}");
}
