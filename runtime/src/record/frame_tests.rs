//! Whole frames, dissected as a recording dissects them.

use crate::record::redact::Redactor;
use weftrace_artifact::packet::{PacketView, needs};
use weftrace_probes::packet::{LinkType, Options, Pipeline, RawPacket};

const SECRET: &[u8] = b"SECRETSECRETSECRETSECRET";
const ETHERNET: usize = 14;

fn ethernet(kind: u16, rest: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &kind.to_be_bytes(), rest].concat()
}

fn ipv4(proto: u8, fragment: u16, rest: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0];
    out.extend((20 + rest.len() as u16).to_be_bytes());
    out.extend([0, 7]);
    out.extend(fragment.to_be_bytes());
    out.extend([64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    out.extend(rest);
    out
}

fn ipv6(next: u8, rest: &[u8]) -> Vec<u8> {
    let mut out = vec![0x60, 0, 0, 0];
    out.extend((rest.len() as u16).to_be_bytes());
    out.extend([next, 64]);
    out.extend([[0x20; 16], [0x21; 16]].concat());
    out.extend(rest);
    out
}

fn udp(port: u16, length: u16, rest: &[u8]) -> Vec<u8> {
    [&1000u16.to_be_bytes()[..], &port.to_be_bytes(), &length.to_be_bytes(), &[0, 0], rest].concat()
}

fn tcp(words: u8, rest: &[u8]) -> Vec<u8> {
    [&[0, 80, 1, 0, 0, 0, 0, 9, 0, 0, 0, 0, words << 4, 0x10, 1, 0, 0, 0, 0, 0][..], rest].concat()
}

struct Masking(Pipeline, Redactor, u64);

impl Masking {
    fn new() -> Self {
        let pipeline = Pipeline::new(needs::HEADERS | needs::PAYLOAD, Options::default());
        Self(pipeline, Redactor::new(std::iter::empty()), 0)
    }

    fn mask(&mut self, link: LinkType, frame: &[u8]) -> Vec<u8> {
        let mut view = PacketView::default();
        self.2 += 1;
        self.0.process(&RawPacket::new(link, frame, self.2), &mut view);
        let mut data = frame.to_vec();
        self.1.packet(&view, &mut data);
        assert_eq!(data.len(), frame.len());
        data
    }
}

/// So many bytes stay, the others are masked.
fn keeps(masking: &mut Masking, link: LinkType, frame: &[u8], kept: usize) {
    let out = masking.mask(link, frame);
    let (head, rest) = out.split_at(kept);
    assert_eq!(head, &frame[..kept]);
    assert!(rest.iter().all(|b| *b == b'x'), "{kept} of {frame:02x?}: {out:02x?}");
}

fn alone(packet: &[u8], kept: usize) {
    let kind = if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
    keeps(&mut Masking::new(), LinkType::ETHERNET, &ethernet(kind, packet), ETHERNET + kept);
    keeps(&mut Masking::new(), LinkType::RAW, packet, kept);
}

#[test]
fn protocols_that_are_not_understood() {
    for (proto, header) in [(132, 12), (50, 8), (136, 8), (89, 0), (112, 0), (253, 0)] {
        let rest = [&[9; 16][..header], SECRET].concat();
        alone(&ipv4(proto, 0, &rest), 20 + header);
        alone(&ipv6(proto, &rest), 40 + header);
    }
    // Behind extension headers: options, then an authentication header.
    let behind = [&[51, 0, 1, 4, 0, 0, 0, 0, 253, 4, 0, 0][..], &[0; 20], SECRET].concat();
    alone(&ipv6(60, &behind), 40 + 8 + 24);
}

#[test]
fn echoes_and_what_errors_quote() {
    for kind in [0, 8] {
        alone(&ipv4(1, 0, &[&[kind, 0, 0, 0, 0, 1, 0, 2][..], SECRET].concat()), 28);
    }
    for kind in [128, 129, 135] {
        alone(&ipv6(58, &[&[kind, 0, 0, 0, 0, 1, 0, 2][..], SECRET].concat()), 48);
    }
    // The headers that an error quotes say whose it is; the rest is that packet's.
    let quoted = ipv4(6, 0, &tcp(5, SECRET));
    alone(&ipv4(1, 0, &[&[3, 4, 0, 0, 0, 0, 5, 0][..], &quoted].concat()), 28 + 28);
    let quoted = ipv6(17, &udp(99, 32, SECRET));
    alone(&ipv6(58, &[&[1, 4, 0, 0, 0, 0, 0, 0][..], &quoted].concat()), 48 + 48);
    let quoted = ipv4(1, 0, &[&[3, 0, 0, 0, 0, 0, 0, 0][..], SECRET].concat());
    alone(&ipv4(1, 0, &[&[11, 0, 0, 0, 0, 0, 0, 0][..], &quoted].concat()), 28 + 28);
}

#[test]
fn pieces_of_datagrams() {
    let mut masking = Masking::new();
    // Not whole yet; a later piece of the same, which makes it whole; and one whose first was never seen.
    let first = ipv4(17, 0x2000, &udp(99, 8 + 2 * 24, SECRET));
    let last = ipv4(17, 4, SECRET);
    keeps(&mut masking, LinkType::ETHERNET, &ethernet(0x0800, &first), ETHERNET + 28);
    keeps(&mut masking, LinkType::ETHERNET, &ethernet(0x0800, &last), ETHERNET + 20);
    alone(&last, 20);
    // The same in IPv6.
    let piece =
        |offset: u16, rest: &[u8]| ipv6(44, &[&[17, 0][..], &offset.to_be_bytes(), &[0, 0, 0, 5], rest].concat());
    let mut masking = Masking::new();
    keeps(&mut masking, LinkType::RAW, &piece(1, &udp(99, 8 + 2 * 24, SECRET)), 56);
    keeps(&mut masking, LinkType::RAW, &piece(4 << 3, SECRET), 48);
    // A tunnel in pieces: its inner headers are nowhere in the frame that makes it whole.
    let inner = ipv4(253, 0, &[SECRET, SECRET].concat());
    let mut masking = Masking::new();
    keeps(&mut masking, LinkType::ETHERNET, &ethernet(0x0800, &ipv4(4, 0x2000, &inner[..40])), ETHERNET + 20);
    keeps(&mut masking, LinkType::ETHERNET, &ethernet(0x0800, &ipv4(4, 5, &inner[40..])), ETHERNET + 20);
}

#[test]
fn tunnels_and_what_contradicts_itself() {
    // GTP-U around an echo; around what isn't known.
    let echo = ipv4(1, 0, &[&[8, 0, 0, 0, 0, 1, 0, 2][..], SECRET].concat());
    let gtp = [&[0x30, 0xff][..], &(echo.len() as u16).to_be_bytes(), &[0, 0, 0, 1], &echo].concat();
    alone(&ipv4(17, 0, &udp(2152, 8 + gtp.len() as u16, &gtp)), 20 + 8 + 8 + 28);
    // VXLAN around ARP.
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &ethernet(0x0806, SECRET)].concat();
    alone(&ipv4(17, 0, &udp(4789, 8 + vxlan.len() as u16, &vxlan)), 28);
    // Lengths that can't be.
    alone(&ipv4(17, 0, &udp(99, 3, SECRET)), 28);
    alone(&ipv4(6, 0, &tcp(15, SECRET)), 40);
    alone(&ipv4(6, 0, &tcp(2, SECRET)), 40);
    // Behind what IP says is its packet.
    let frame = [ipv4(6, 0, &tcp(5, b"")), SECRET.to_vec()].concat();
    alone(&frame, 40);
    let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x04name\0\0\x01\0\x01";
    let message = udp(53, 8 + question.len() as u16, question);
    alone(&[ipv4(17, 0, &message), SECRET.to_vec()].concat(), 28 + question.len());
    // What is no message of DNS is none on its port either.
    alone(&ipv4(17, 0, &udp(53, 8 + SECRET.len() as u16, SECRET)), 28);
    alone(&ipv4(17, 0, &udp(5353, 8 + 20, &question[..20])), 28);
    for message in [&question[..], b"\0\x07\x01\0\0\0\0\0\0\0\0\0"] {
        let with_more = [message, SECRET].concat();
        alone(&ipv4(17, 0, &udp(53, 8 + with_more.len() as u16, &with_more)), 28);
    }
}

/// A request line over segments of which one was never seen, and its start sent again.
#[test]
fn first_lines_with_a_hole() {
    let mut masking = Masking::new();
    let mut send = |seq: u8, text: &str| {
        let mut segment = tcp(5, text.as_bytes());
        segment[7] = seq;
        let out = masking.mask(LinkType::RAW, &ipv4(6, 0, &segment));
        String::from_utf8_lossy(&out[40..]).into_owned()
    };
    assert_eq!(send(0, "GET /?code=1"), "x".repeat(12));
    assert_eq!(send(20, "SECOND /x HTTP/1.1\r\nhost: a\r\n"), format!("{}\r\nhost: a\r\n", "x".repeat(18)));
    assert_eq!(send(0, "GET /?code=1"), "x".repeat(12));
    assert_eq!(send(49, "cookie: SECRET\r\nhost: a\r\n\r\n"), "cookie: xxxxxx\r\nhost: a\r\n\r\n");
    assert_eq!(send(78, "GET /?a HTTP/1.1\r\n"), "GET /?x HTTP/1.1\r\n");
}

#[test]
fn a_copy_of_the_header_in_a_payload_hides_nothing() {
    let packet = ipv4(253, 0, &[0; 44]);
    let mut copied = packet.clone();
    copied[40..60].copy_from_slice(&packet[..20]);
    alone(&copied, 20);
}

#[test]
fn without_ip_its_start_stays() {
    let arp = ethernet(0x0806, &[7; 28]);
    keeps(&mut Masking::new(), LinkType::ETHERNET, &arp, arp.len());
    keeps(&mut Masking::new(), LinkType::ETHERNET, &ethernet(0x88cc, &[7; 200]), 96);
}

/// Cut anywhere and with any byte changed, nothing panics.
#[test]
fn any_frame() {
    let quoted = ipv6(0, &[&[6, 0, 0, 0, 0, 0, 0, 0][..], &tcp(5, SECRET)].concat());
    let frames = [
        ethernet(0x0800, &ipv4(1, 0, &[&[3, 4, 0, 0, 0, 0, 5, 0][..], &ipv4(6, 0, &tcp(6, SECRET))].concat())),
        ethernet(0x86dd, &ipv6(58, &[&[1, 4, 0, 0, 0, 0, 5, 0][..], &quoted].concat())),
        ethernet(0x86dd, &ipv6(44, &[&[6, 0, 0, 1, 0, 0, 0, 1][..], &tcp(5, SECRET)].concat())),
    ];
    let mut masking = Masking::new();
    for frame in frames {
        for cut in 0..frame.len() {
            masking.mask(LinkType::ETHERNET, &frame[..cut]);
            for byte in [0, 0x7f, 0xff] {
                let mut other = frame.clone();
                other[cut] = byte;
                masking.mask(LinkType::ETHERNET, &other);
            }
        }
    }
}
