//! Frames and capture files, made by hand.

/// One TCP segment to be put into a frame.
#[derive(Clone, Debug)]
pub struct Tcp {
    pub src: ([u8; 4], u16),
    pub dst: ([u8; 4], u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

pub fn tcp_segment(t: &Tcp) -> Vec<u8> {
    let header = 20 + t.options.len().next_multiple_of(4);
    let mut out = Vec::new();
    out.extend(t.src.1.to_be_bytes());
    out.extend(t.dst.1.to_be_bytes());
    out.extend(t.seq.to_be_bytes());
    out.extend(t.ack.to_be_bytes());
    out.push(((header / 4) << 4) as u8);
    out.push(t.flags);
    out.extend(t.window.to_be_bytes());
    out.extend([0; 4]);
    out.extend(&t.options);
    out.resize(header, 0);
    out.extend(&t.payload);
    out
}

pub fn ipv4(proto: u8, src: [u8; 4], dst: [u8; 4], payload: &[u8]) -> Vec<u8> {
    fragment(proto, src, dst, 1, 0, false, payload)
}

pub fn fragment(proto: u8, src: [u8; 4], dst: [u8; 4], id: u16, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0];
    out.extend((20 + payload.len() as u16).to_be_bytes());
    out.extend(id.to_be_bytes());
    out.extend((offset >> 3 | u16::from(more) << 13).to_be_bytes());
    out.extend([64, proto, 0, 0]);
    out.extend(src);
    out.extend(dst);
    out.extend(payload);
    out
}

pub fn ipv6(next: u8, src: [u8; 16], dst: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x60, 0, 0, 0];
    out.extend((payload.len() as u16).to_be_bytes());
    out.extend([next, 64]);
    out.extend(src);
    out.extend(dst);
    out.extend(payload);
    out
}

pub fn udp(sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(sport.to_be_bytes());
    out.extend(dport.to_be_bytes());
    out.extend((8 + payload.len() as u16).to_be_bytes());
    out.extend([0; 2]);
    out.extend(payload);
    out
}

pub fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    out.extend(kind.to_be_bytes());
    out.extend(payload);
    out
}

impl Tcp {
    pub fn new(from: u8, sport: u16, to: u8, dport: u16) -> Self {
        Self {
            src: ([10, 0, 0, from], sport),
            dst: ([10, 0, 0, to], dport),
            seq: 0,
            ack: 0,
            flags: ACK,
            window: 1000,
            options: Vec::new(),
            payload: Vec::new(),
        }
    }

    pub fn packet(&self) -> Vec<u8> {
        ipv4(6, self.src.0, self.dst.0, &tcp_segment(self))
    }

    pub fn frame(&self) -> Vec<u8> {
        ethernet(0x0800, &self.packet())
    }
}

/// A classic capture in any of its variants.
pub fn pcap(big_endian: bool, nanoseconds: bool, link: u32, packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut out = Vec::new();
    out.extend(word(if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }));
    out.extend(half(2));
    out.extend(half(4));
    for value in [0, 0, 65_535, link] {
        out.extend(word(value));
    }
    for (time, data) in packets {
        let unit = if nanoseconds { 1 } else { 1_000 };
        for value in
            [(time / 1_000_000_000) as u32, (time % 1_000_000_000 / unit) as u32, data.len() as u32, data.len() as u32]
        {
            out.extend(word(value));
        }
        out.extend(data);
    }
    out
}

/// A pcapng block.
pub fn block(big_endian: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let size = 12 + body.len().next_multiple_of(4) as u32;
    let mut out = Vec::new();
    out.extend(word(kind));
    out.extend(word(size));
    out.extend(body);
    out.resize(size as usize - 4, 0);
    out.extend(word(size));
    out
}

/// Two packets and their times, the second longer by five bytes.
pub fn two() -> Vec<(u64, Vec<u8>)> {
    let frame = Tcp::new(1, 1, 2, 2).frame();
    vec![(1_700_000_000_123_456_000, frame.clone()), (1_700_000_001_000_000_000, [frame, vec![0; 5]].concat())]
}

/// A section header block.
pub fn section(big: bool) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut body = word(0x1a2b_3c4d).to_vec();
    body.extend(if big { [0, 1, 0, 0] } else { [1, 0, 0, 0] });
    body.extend([0xff; 8]);
    block(big, 0x0a0d_0d0a, &body)
}

/// An interface description block.
pub fn interface(big: bool, link: u16, options: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut body = half(link).to_vec();
    body.extend([0; 2]);
    body.extend([0; 4]);
    for (code, value) in options {
        body.extend(half(*code));
        body.extend(half(value.len() as u16));
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    body.extend([0; 4]);
    block(big, 1, &body)
}

/// An enhanced packet block, of a packet that was seven bytes longer, with a comment.
pub fn enhanced(big: bool, interface: u32, time: u64, data: &[u8]) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut body = Vec::new();
    for value in [interface, (time >> 32) as u32, time as u32, data.len() as u32, data.len() as u32 + 7] {
        body.extend(word(value));
    }
    body.extend(data);
    // A comment after the data, as an option.
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(if big { [0, 1, 0, 2] } else { [1, 0, 2, 0] });
    body.extend(b"hi\0\0\0\0\0\0");
    block(big, 6, &body)
}
