//! What a packet is known by: its flow, its conversation, its Community ID.

use super::flow::innermost;
use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};
use weftrace_artifact::{
    abi::FlowValue,
    packet::{MoreView, PacketView, known, layer, needs},
};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
const SCTP: u8 = 132;

/// Fills in what the packet's connection is known by, as far as it is wanted: bits of [`needs`].
pub(super) fn identify(wanted: u32, seed: u16, view: &mut PacketView, more: &mut MoreView) {
    if wanted & needs::FLOW_VALUE != 0
        && let Some(flow) = flow(view)
    {
        more.conversation = conversation(view, &flow);
        more.flow = flow;
        view.known |= known::NET;
    }
    if wanted & needs::COMMUNITY_ID != 0
        && let Some(id) = community_id(view, seed)
    {
        more.community_id = id[..].into();
        view.known |= known::COMMUNITY_ID;
    }
}

/// Sender and receiver; None: no IP.
pub(super) fn flow(view: &PacketView) -> Option<FlowValue> {
    if view.net_family == 0 {
        return None;
    }
    let (src, dst) = innermost(view);
    let family = u32::from(view.net_family);
    let (src_port, dst_port) = ports(view).unwrap_or_default();
    Some(FlowValue {
        src_family: family,
        src: *src,
        dst_family: family,
        dst: *dst,
        src_port,
        dst_port,
        proto: protocol(view),
        two_way: 0,
        reserved: 0,
    })
}

/// The same for both directions. Of a TCP connection the client comes first, else the smaller (address, port).
pub(super) fn conversation(view: &PacketView, flow: &FlowValue) -> FlowValue {
    let ends = [(flow.src, flow.src_port), (flow.dst, flow.dst_port)];
    let as_sent = if view.layers & layer::FLOW == 0 { ends[0] <= ends[1] } else { view.from_client != 0 };
    let [first, second] = if as_sent { ends } else { [ends[1], ends[0]] };
    FlowValue { src: first.0, src_port: first.1, dst: second.0, dst_port: second.1, two_way: 1, ..*flow }
}

fn protocol(view: &PacketView) -> u8 {
    if view.transport != 0 {
        view.transport
    } else if view.net_family == 2 {
        view.ip_proto
    } else {
        view.ipv6_nxt
    }
}

fn ports(view: &PacketView) -> Option<(u16, u16)> {
    if view.layers & layer::TCP != 0 {
        Some((view.tcp_src_port, view.tcp_dst_port))
    } else if view.layers & layer::UDP != 0 {
        Some((view.udp_src_port, view.udp_dst_port))
    } else if view.transport == SCTP && view.head_len == 4 {
        let [a, b, c, d] = view.head;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    } else {
        None
    }
}

/// Type and code.
fn icmp(view: &PacketView) -> Option<(u8, u8)> {
    (view.head_len == 4).then_some((view.head[0], view.head[1]))
}

/// What an ICMP message stands for in a Community ID: its type and that of its answer (in either direction the same), or its type
/// and code.
fn icmp_ports(proto: u8, (kind, code): (u8, u8)) -> (u16, u16, bool) {
    /// Types that ask and answer each other.
    const PAIRS: [(u8, u8); 5] = [(8, 0), (13, 14), (15, 16), (10, 9), (17, 18)];
    const PAIRS6: [(u8, u8); 6] = [(128, 129), (133, 134), (135, 136), (130, 131), (139, 140), (144, 145)];
    let pairs: &[(u8, u8)] = if proto == ICMP { &PAIRS } else { &PAIRS6 };
    let other = pairs.iter().find_map(|&(a, b)| match kind {
        k if k == a => Some(b),
        k if k == b => Some(a),
        _ => None,
    });
    match other {
        Some(other) => (kind.into(), other.into(), true),
        None => (kind.into(), code.into(), false),
    }
}

/// Community ID, version 1: `1:` and the hash in base64. None for a packet without IP, and where its ports or its ICMP type are not known
/// (later fragments, headers cut short).
pub(super) fn community_id(view: &PacketView, seed: u16) -> Option<[u8; 30]> {
    let flow = flow(view)?;
    // In order unless one direction alone has an id.
    let (ports, ordered) = match flow.proto {
        TCP | UDP | SCTP => (Some(ports(view)?), true),
        ICMP | ICMP6 => {
            let (a, b, both_ways) = icmp_ports(flow.proto, icmp(view)?);
            (Some((a, b)), both_ways)
        }
        _ => (None, true),
    };
    Some(hash(&flow, ports, ordered, seed))
}

/// Community ID of a flow of TCP or UDP.
pub fn community_id_of(flow: &FlowValue, seed: u16) -> String {
    let text = hash(flow, Some((flow.src_port, flow.dst_port)), true, seed);
    String::from_utf8_lossy(&text).into_owned()
}

fn hash(flow: &FlowValue, ports: Option<(u16, u16)>, ordered: bool, seed: u16) -> [u8; 30] {
    let (sport, dport) = ports.unwrap_or_default();
    let swap = ordered && (flow.src, sport) > (flow.dst, dport);
    let [(src, sport), (dst, dport)] =
        if swap { [(flow.dst, dport), (flow.src, sport)] } else { [(flow.src, sport), (flow.dst, dport)] };
    let bytes = if flow.src_family == 2 { 4 } else { 16 };
    let mut hash = Sha1::new();
    hash.update(seed.to_be_bytes());
    hash.update(&src[..bytes]);
    hash.update(&dst[..bytes]);
    hash.update([flow.proto, 0]);
    if ports.is_some() {
        hash.update(sport.to_be_bytes());
        hash.update(dport.to_be_bytes());
    }
    versioned(&hash.finalize().into())
}

/// `1:` and 20 bytes in base64.
fn versioned(hash: &[u8; 20]) -> [u8; 30] {
    let mut text = [0; 30];
    text[..2].copy_from_slice(b"1:");
    // 28 letters: they fit.
    let _ = STANDARD.encode_slice(hash, &mut text[2..]);
    text
}

#[cfg(test)]
mod tests;
