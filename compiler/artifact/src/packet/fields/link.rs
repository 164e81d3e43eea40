//! Frame, link layer, IP, UDP.

use super::{H, P as PAYLOAD, row};
use crate::packet::{
    FieldRow, FieldType as T, KernelRead as K, PacketView as P,
    Read::{Bit, Bytes, Load, Str},
    kernel::{
        Found,
        Header::{Ethernet, Ipv4, Ipv6, Udp},
    },
    known as k, layer as l, marks,
};
use std::mem::offset_of;

#[rustfmt::skip]
pub(super) const ROWS: &[FieldRow] = &[
    row("frame.time", T::Time, 0, l::FRAME, Load(offset_of!(P, time_ns)), "When the packet was captured: ns since the epoch."),
    row("frame.time_boot", T::U64, 0, l::BOOT_TIME, Load(offset_of!(P, boot_ns)), "When the packet was captured: ns of CLOCK_BOOTTIME, comparable with nsecs; in a file the same as frame.time."),
    row("frame.len", T::U32, 0, l::FRAME, Load(offset_of!(P, len)), "Bytes on the wire.").kernel(K::Found(Found::FrameLen)),
    row("frame.cap_len", T::U32, 0, l::FRAME, Load(offset_of!(P, cap_len)), "Bytes captured."),
    row("frame.number", T::U64, 0, l::FRAME, Load(offset_of!(P, number)), "Counted from 1, over all files read."),
    row("frame.interface_id", T::U32, H, l::FRAME, Load(offset_of!(P, interface)), "Live: index of the interface. pcapng: number of the interface in the file. pcap: 0.").kernel(K::Found(Found::Interface)),
    row("frame.netns", T::U32, 0, l::FRAME, Load(offset_of!(P, netns)), "Inode of the network namespace the packet was captured in; 0 in a file."),
    row("frame.tunnelled", T::Bool, H, l::FRAME, Bit(offset_of!(P, marks), marks::TUNNELLED), "The innermost headers are within a tunnel: IP in IP, GRE, VXLAN, GENEVE, GTP, Teredo, MPLS, PPPoE …"),
    row("frame.fragment", T::Bool, H, l::FRAME, Bit(offset_of!(P, marks), marks::FRAGMENT), "An IPv4 header of the packet, also an outer one, is a fragment's."),
    row("frame.quotes_tcp", T::Bool, H, l::FRAME, Bit(offset_of!(P, marks), marks::QUOTES_TCP), "An ICMP or ICMPv6 error that quotes a TCP segment. The quoted one is not on the wire here: tcp.* is absent."),
    row("eth.dst", T::Mac, H, l::ETH, Bytes(offset_of!(P, eth_dst)), "Destination address.").kernel(K::Bytes(Ethernet, 0)),
    row("eth.src", T::Mac, H, l::ETH, Bytes(offset_of!(P, eth_src)), "Source address.").kernel(K::Bytes(Ethernet, 6)),
    row("eth.type", T::U16, H, l::ETH, Load(offset_of!(P, eth_type)), "EtherType after the addresses (0x8100 with a VLAN tag); 0 for IEEE 802.3 frames.").kernel(K::Found(Found::EtherType)),
    row("vlan.id", T::U16, H, l::VLAN, Load(offset_of!(P, vlan_id)), "VLAN id, of the innermost tag.").kernel(K::Found(Found::VlanId)),
    row("ip.src", T::Ipv4, H, l::IP, Bytes(offset_of!(P, ip_src)), "Source address of the innermost IPv4 header.").kernel(K::Bytes(Ipv4, 12)).known(k::IP_SRC),
    row("ip.dst", T::Ipv4, H, l::IP, Bytes(offset_of!(P, ip_dst)), "Destination address of the innermost IPv4 header.").kernel(K::Bytes(Ipv4, 16)).known(k::IP_DST),
    row("ip.proto", T::U8, H, l::IP, Load(offset_of!(P, ip_proto)), "Protocol: 1 ICMP, 6 TCP, 17 UDP.").kernel(K::number(Ipv4, 9, 1)).known(k::IP_PROTO),
    row("ip.ttl", T::U8, H, l::IP, Load(offset_of!(P, ip_ttl)), "Time to live.").kernel(K::number(Ipv4, 8, 1)).known(k::IP_TTL),
    row("ip.len", T::U32, H, l::IP, Load(offset_of!(P, ip_len)), "Total length; the frame's where the header says 0 (segmentation offload).").kernel(K::Found(Found::Ipv4Len)).known(k::IP_LEN),
    row("ip.id", T::U16, H, l::IP, Load(offset_of!(P, ip_id)), "Identification.").kernel(K::number(Ipv4, 4, 2)).known(k::IP_ID),
    row("ip.dsfield", T::U8, H, l::IP, Load(offset_of!(P, ip_dsfield)), "Differentiated services field: DSCP << 2 | ECN.").kernel(K::number(Ipv4, 1, 1)).known(k::IP_DSFIELD),
    row("ip.flags", T::U32, H, l::IP, Load(offset_of!(P, ip_flags)), "Flags: 4 reserved, 2 don't fragment, 1 more fragments.").kernel(K::bits(Ipv4, 6, 1, 5, 7)).known(k::IP_FRAGMENT),
    row("ip.flags.df", T::Bool, H, l::IP, Bit(offset_of!(P, ip_flags), 2), "Don't fragment.").kernel(K::bits(Ipv4, 6, 1, 0, 0x40)).known(k::IP_FRAGMENT),
    row("ip.flags.mf", T::Bool, H, l::IP, Bit(offset_of!(P, ip_flags), 1), "More fragments.").kernel(K::bits(Ipv4, 6, 1, 0, 0x20)).known(k::IP_FRAGMENT),
    row("ip.frag_offset", T::U16, H, l::IP, Load(offset_of!(P, ip_frag_offset)), "Fragment offset in bytes.").kernel(K::bits(Ipv4, 6, 2, 0, 0x1fff)).known(k::IP_FRAGMENT),
    row("ipv6.src", T::Ipv6, H, l::IPV6, Bytes(offset_of!(P, ipv6_src)), "Source address of the innermost IPv6 header.").kernel(K::Bytes(Ipv6, 8)).known(k::IPV6_SRC),
    row("ipv6.dst", T::Ipv6, H, l::IPV6, Bytes(offset_of!(P, ipv6_dst)), "Destination address of the innermost IPv6 header.").kernel(K::Bytes(Ipv6, 24)).known(k::IPV6_DST),
    row("ipv6.nxt", T::U8, H, l::IPV6, Load(offset_of!(P, ipv6_nxt)), "Next header field of the fixed header.").kernel(K::number(Ipv6, 6, 1)).known(k::IPV6_NXT),
    row("ipv6.hlim", T::U8, H, l::IPV6, Load(offset_of!(P, ipv6_hlim)), "Hop limit.").kernel(K::number(Ipv6, 7, 1)).known(k::IPV6_HLIM),
    row("ipv6.plen", T::U32, H, l::IPV6, Load(offset_of!(P, ipv6_plen)), "Payload length.").kernel(K::number(Ipv6, 4, 2)).known(k::IPV6_PLEN),
    row("ipv6.tclass", T::U8, H, l::IPV6, Load(offset_of!(P, ipv6_tclass)), "Traffic class: DSCP << 2 | ECN.").kernel(K::bits(Ipv6, 0, 2, 4, 0xff)).known(k::IPV6_TCLASS),
    row("udp.srcport", T::U16, H, l::UDP, Load(offset_of!(P, udp_src_port)), "Source port.").kernel(K::number(Udp, 0, 2)),
    row("udp.dstport", T::U16, H, l::UDP, Load(offset_of!(P, udp_dst_port)), "Destination port.").kernel(K::number(Udp, 2, 2)),
    row("udp.length", T::U16, H, l::UDP, Load(offset_of!(P, udp_length)), "Length of header and payload.").kernel(K::number(Udp, 4, 2)).known(k::UDP_LENGTH),
    row("udp.payload", T::Str, PAYLOAD, l::UDP, Str(offset_of!(P, payload)), "Captured payload."),
];
