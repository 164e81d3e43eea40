//! DNS (RFC 1035) in datagrams and on TCP, multicast DNS and LLMNR, on the ports where Wireshark looks for them: queries, answers, and how long
//! an answer took.

mod message;
mod name;
mod present;
mod tcp;

pub(crate) use tcp::DnsFlow;

use super::flow::innermost;
use super::pending::Pending;
use super::stream::{Setting, Shared, Sniff};
use message::Message;
use present::DnsPart;
use weftrace_artifact::packet::PacketView;

const DOMAIN: u16 = 53;
/// DNS in TLS (RFC 7858).
const SECURE: u16 = 853;
const MULTICAST: u16 = 5353;
const LLMNR: u16 = 5355;
/// The same question within this time is asked again; later it is a new one.
const PATIENCE: u64 = 5_000_000_000;
/// Questions that wait for an answer.
const MAX_PENDING: usize = 1 << 16;

/// Who asked whom, from which ports, with which id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    asking: ([u8; 16], u16),
    asked: ([u8; 16], u16),
    family: u8,
    id: u16,
    netns: u32,
    interface: u32,
}

/// What DNS keeps between packets.
pub(crate) struct DnsShared {
    pub(crate) pending: Pending<Key>,
    /// Questions on TCP forgotten before an answer came: too many on one connection.
    pub(crate) forgotten: u64,
    /// Messages that were not well-formed.
    pub(crate) malformed: u64,
}

impl Default for DnsShared {
    fn default() -> Self {
        Self { pending: Pending::new(MAX_PENDING), forgotten: 0, malformed: 0 }
    }
}

/// Whether a datagram between these ports is looked at.
pub(crate) fn is_port(port: u16) -> bool {
    matches!(port, DOMAIN | MULTICAST | LLMNR)
}

/// Whether a datagram's payload is a message of DNS (RFC 1035), whole and nothing else.
pub fn is_message(payload: &[u8]) -> bool {
    Message::parse(payload).is_some_and(|message| message.whole)
}

/// A datagram's message.
pub(crate) fn datagram(payload: &[u8], live: bool, view: &PacketView, shared: &mut Shared) {
    let Some(message) = Message::parse(payload) else {
        shared.dns.malformed += 1;
        return;
    };
    shared.dns.malformed += u64::from(message.damaged);
    let (&src, &dst) = innermost(view);
    let ends = [(src, view.udp_src_port), (dst, view.udp_dst_port)];
    let [asking, asked] = if message.is_response() { [ends[1], ends[0]] } else { ends };
    // Live, an answer that passes two interfaces is looked for on each.
    let (netns, interface) = if live { (view.netns, view.interface) } else { (0, 0) };
    let key = Key { asking, asked, family: view.net_family, id: message.id, netns, interface };
    // What is asked by multicast has no id, and whoever knows answers everyone.
    let part = if [view.udp_src_port, view.udp_dst_port].contains(&MULTICAST) {
        DnsPart::new(message, None, false)
    } else {
        DnsPart::paired(message, key, &mut shared.dns.pending, view.boot_ns)
    };
    shared.parts.push(part);
}

/// Whether a direction's first bytes are DNS messages, each after its length: on its port alone.
pub(crate) fn sniff(bytes: &[u8], setting: &Setting<'_>) -> Sniff {
    if !setting.ports.iter().any(|&port| port == DOMAIN || port == SECURE) {
        return Sniff::No;
    }
    tcp::sniff(bytes)
}
