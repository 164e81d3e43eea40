//! ctnetlink's messages: linux/netlink.h, linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.

use weftrace_artifact::abi::ConnKey;

/// struct nlmsghdr.
const HEADER: usize = 16;
/// Where attributes begin: behind the header and struct nfgenmsg.
pub(super) const ATTRIBUTES: usize = HEADER + 4;
/// struct nlattr.
const ATTRIBUTE: usize = 4;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// NFNL_SUBSYS_CTNETLINK, in a type's upper byte, with IPCTNL_MSG_CT_NEW, _GET and _DELETE in the lower.
const CT_NEW: u16 = 1 << 8;
const CT_GET: u16 = 1 << 8 | 1;
const CT_DELETE: u16 = 1 << 8 | 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
/// The table changed while it was read.
const NLM_F_DUMP_INTR: u16 = 0x10;
/// Bits of an attribute's type that say something else.
const NLA_TYPE_MASK: u16 = 0x3fff;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
pub(super) const CTA_STATUS: u16 = 3;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// IPS_SRC_NAT and IPS_DST_NAT.
pub(super) const TRANSLATED: u32 = 1 << 4 | 1 << 5;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const TCP: u8 = 6;

/// Asks for all of the table.
pub(super) fn dump_request() -> [u8; ATTRIBUTES] {
    let mut request = [0; ATTRIBUTES];
    request[..4].copy_from_slice(&(ATTRIBUTES as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&CT_GET.to_ne_bytes());
    request[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    request
}

/// Who sends to whom: IPv4 in the first four bytes, as in [`ConnKey`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tuple {
    family: u16,
    proto: u8,
    src: ([u8; 16], u16),
    dst: ([u8; 16], u16),
}

/// What has become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there.
    There,
    /// The kernel has forgotten it.
    Gone,
}

/// A TCP connection in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub change: Change,
    original: Tuple,
    reply: Tuple,
}

impl Entry {
    /// Whether answers don't simply go back to where the request came from.
    pub fn is_translated(&self) -> bool {
        (self.original.src, self.original.dst) != (self.reply.dst, self.reply.src)
    }

    /// The connection as its client addresses it, and as its server has it.
    pub fn connections(&self, netns: u32) -> (ConnKey, ConnKey) {
        let Self { original, reply, .. } = self;
        (key(netns, original.family, original.src, original.dst), key(netns, reply.family, reply.dst, reply.src))
    }
}

/// With endpoints in order, and which of them opened it.
fn key(netns: u32, family: u16, client: ([u8; 16], u16), server: ([u8; 16], u16)) -> ConnKey {
    let in_order = (client.0, client.1.to_be_bytes()) <= (server.0, server.1.to_be_bytes());
    let (a, b) = if in_order { (client, server) } else { (server, client) };
    ConnKey {
        netns,
        family,
        proto: TCP.into(),
        a_addr: a.0,
        b_addr: b.0,
        a_port: a.1,
        b_port: b.1,
        client: if in_order { 1 } else { 2 },
        ..ConnKey::default()
    }
}

/// The entries of what one receive gave; others' messages are passed over, and so are other protocols.
#[derive(Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
    /// The answer ends here: 0, or why there is none.
    pub end: Option<i32>,
    /// The table changed while it was read.
    pub interrupted: bool,
    /// Messages that don't keep to the format.
    pub unreadable: u64,
}

impl<'a> Messages<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, end: None, interrupted: false, unreadable: 0 }
    }

    /// The next message with its type; None: there is none, or what is left makes no sense.
    fn take(&mut self) -> Option<(u16, &'a [u8])> {
        let (head, _) = self.rest.split_first_chunk::<HEADER>()?;
        let len = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let message = self.rest.get(..len).filter(|m| m.len() >= HEADER)?;
        self.interrupted |= half(head, 6) & NLM_F_DUMP_INTR != 0;
        self.rest = self.rest.get(aligned(len)..).unwrap_or_default();
        Some((half(head, 4), message))
    }
}

impl Iterator for Messages<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        while self.end.is_none() && !self.rest.is_empty() {
            let Some((kind, message)) = self.take() else {
                self.unreadable += 1;
                self.rest = &[];
                return None;
            };
            let change = match kind {
                CT_NEW => Change::There,
                CT_DELETE => Change::Gone,
                // Both begin with a number that is 0 or an error's, negative.
                NLMSG_ERROR | NLMSG_DONE => {
                    let code = message.get(HEADER..HEADER + 4).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
                    self.end = Some(code.map_or(libc::EPROTO, i32::saturating_abs));
                    return None;
                }
                _ => continue,
            };
            match entry(change, message.get(ATTRIBUTES..).unwrap_or_default()) {
                Some(entry) if entry.original.proto == TCP => return Some(entry),
                Some(_) => {}
                None => self.unreadable += 1,
            }
        }
        None
    }
}

/// None: it lacks something that makes sense.
fn entry(change: Change, attributes: &[u8]) -> Option<Entry> {
    let original = tuple(find(attributes, CTA_TUPLE_ORIG)?)?;
    let reply = tuple(find(attributes, CTA_TUPLE_REPLY)?)?;
    let whole = |t: &Tuple| t.proto != TCP || t.src.1 != 0 && t.dst.1 != 0;
    let alike = original.family == reply.family && original.proto == reply.proto;
    (alike && whole(&original) && whole(&reply)).then_some(Entry { change, original, reply })
}

fn tuple(attributes: &[u8]) -> Option<Tuple> {
    let ip = find(attributes, CTA_TUPLE_IP)?;
    let proto = find(attributes, CTA_TUPLE_PROTO)?;
    let address = |kind: u16, len: usize| find(ip, kind).filter(|bytes| bytes.len() == len).map(padded);
    let v4 = address(CTA_IP_V4_SRC, 4).zip(address(CTA_IP_V4_DST, 4)).map(|ends| (AF_INET, ends));
    let v6 = || address(CTA_IP_V6_SRC, 16).zip(address(CTA_IP_V6_DST, 16)).map(|ends| (AF_INET6, ends));
    let (family, (src, dst)) = v4.or_else(v6)?;
    // Ports only where there are some.
    let port = |kind: u16| find(proto, kind).and_then(|b| b.try_into().ok()).map_or(0, u16::from_be_bytes);
    let [number] = find(proto, CTA_PROTO_NUM)? else { return None };
    Some(Tuple { family, proto: *number, src: (src, port(CTA_PROTO_SRC_PORT)), dst: (dst, port(CTA_PROTO_DST_PORT)) })
}

fn padded(bytes: &[u8]) -> [u8; 16] {
    let mut address = [0; 16];
    address[..bytes.len()].copy_from_slice(bytes);
    address
}

/// The value of the first attribute of a type.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (head, _) = attributes.split_first_chunk::<ATTRIBUTE>()?;
        let (len, kind) = (usize::from(half(head, 0)), half(head, 2) & NLA_TYPE_MASK);
        let attribute = attributes.get(..len).filter(|a| a.len() >= ATTRIBUTE)?;
        if kind == wanted {
            return Some(&attribute[ATTRIBUTE..]);
        }
        attributes = attributes.get(aligned(len)..)?;
    }
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

/// Messages and attributes begin at multiples of four bytes.
fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}
