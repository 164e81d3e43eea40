//! Blocks of a pcapng file, in this host's byte order.

use weftrace_probes::packet::{LinkType, RawPacket};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
/// Not to be copied.
const CUSTOM: u32 = 0x4000_0bad;

// Options.
const COMMENT: u16 = 1;
const USER_APPLICATION: u16 = 4;
const IF_NAME: u16 = 2;
const CUSTOM_BINARY: u16 = 2989;
const IF_TIME_RESOLUTION: u16 = 9;

/// Longest comment: an option's length has 16 bits.
const MAX_COMMENT: usize = u16::MAX as usize;

/// Where packets were captured, as far as files tell them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    link: LinkType,
    number: u32,
    netns: u32,
    device: String,
}

impl Interface {
    pub(crate) fn of(raw: &RawPacket<'_>) -> Self {
        Self { link: raw.link, number: raw.interface, netns: raw.netns, device: raw.device.to_owned() }
    }

    pub(crate) fn is_of(&self, raw: &RawPacket<'_>) -> bool {
        (self.link, self.number, self.netns, &*self.device) == (raw.link, raw.interface, raw.netns, raw.device)
    }

    /// Its block: times are ns; live it has its name.
    pub(crate) fn describe(&self, out: &mut Vec<u8>) {
        block(out, INTERFACE, |out| {
            out.extend((self.link.0 as u16).to_ne_bytes());
            out.extend([0; 2]);
            // Any length.
            out.extend(0u32.to_ne_bytes());
            if !self.device.is_empty() {
                option(out, IF_NAME, self.device.as_bytes());
            }
            option(out, IF_TIME_RESOLUTION, &[9]);
            end_of_options(out);
        });
    }
}

/// The beginning of a file.
pub(crate) fn section() -> Vec<u8> {
    let mut out = Vec::new();
    block(&mut out, SECTION, |out| {
        out.extend(0x1a2b_3c4du32.to_ne_bytes());
        out.extend(1u16.to_ne_bytes());
        out.extend(0u16.to_ne_bytes());
        // Its length isn't known.
        out.extend(u64::MAX.to_ne_bytes());
        option(out, USER_APPLICATION, concat!("weftrace ", env!("CARGO_PKG_VERSION")).as_bytes());
        end_of_options(out);
    });
    out
}

/// A packet as it was captured.
pub(crate) fn packet(out: &mut Vec<u8>, interface: u32, raw: &RawPacket<'_>, text: &[u8]) {
    enhanced(out, interface, raw.time_ns, (raw.data, raw.len), |out| {
        if !text.is_empty() {
            comment(out, text);
        }
    });
}

/// A packet (its bytes and its length on the wire) with options.
pub(crate) fn enhanced(
    out: &mut Vec<u8>,
    interface: u32,
    time_ns: u64,
    (data, len): (&[u8], u32),
    options: impl FnOnce(&mut Vec<u8>),
) {
    block(out, ENHANCED_PACKET, |out| {
        out.extend(interface.to_ne_bytes());
        out.extend(((time_ns >> 32) as u32).to_ne_bytes());
        out.extend((time_ns as u32).to_ne_bytes());
        out.extend((data.len() as u32).to_ne_bytes());
        out.extend(len.max(data.len() as u32).to_ne_bytes());
        out.extend(data);
        pad(out, data.len());
        let before = out.len();
        options(out);
        if out.len() > before {
            end_of_options(out);
        }
    });
}

pub(crate) fn comment(out: &mut Vec<u8>, comment: &[u8]) {
    option(out, COMMENT, text(comment).as_bytes());
}

/// An option of a packet that is for those who know the enterprise's number; what copies the packet may copy it.
pub(crate) fn custom_option(out: &mut Vec<u8>, enterprise: u32, data: &[u8]) {
    let mut value = enterprise.to_ne_bytes().to_vec();
    value.extend(&data[..data.len().min(MAX_COMMENT - 4)]);
    option(out, CUSTOM_BINARY, &value);
}

/// A block that is for those who know the enterprise's number. It belongs to the packets around it: what changes those doesn't copy it.
pub(crate) fn custom(out: &mut Vec<u8>, enterprise: u32, data: impl FnOnce(&mut Vec<u8>)) {
    block(out, CUSTOM, |out| {
        out.extend(enterprise.to_ne_bytes());
        let before = out.len();
        data(out);
        let len = out.len() - before;
        pad(out, len);
    });
}

/// Comments are UTF-8: what isn't is replaced, what is too long is cut between characters.
fn text(comment: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(comment).into_owned();
    let mut end = text.len().min(MAX_COMMENT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// How many packets are among these blocks.
pub(crate) fn packets(mut blocks: &[u8]) -> u64 {
    let mut count = 0;
    let word = |bytes: &[u8], at: usize| bytes.get(at..)?.first_chunk().map(|b| u32::from_ne_bytes(*b));
    while let (Some(kind), Some(len)) = (word(blocks, 0), word(blocks, 4)) {
        count += u64::from(kind == ENHANCED_PACKET);
        match blocks.get(len.max(12) as usize..) {
            Some(rest) => blocks = rest,
            None => break,
        }
    }
    count
}

fn block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_ne_bytes());
    out.extend([0; 4]);
    fill(out);
    let len = (out.len() - start + 4) as u32;
    out.extend(len.to_ne_bytes());
    out[start + 4..start + 8].copy_from_slice(&len.to_ne_bytes());
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_ne_bytes());
    out.extend((value.len() as u16).to_ne_bytes());
    out.extend(value);
    pad(out, value.len());
}

fn end_of_options(out: &mut Vec<u8>) {
    out.extend([0; 4]);
}

fn pad(out: &mut Vec<u8>, len: usize) {
    out.extend(std::iter::repeat_n(0, len.next_multiple_of(4) - len));
}
