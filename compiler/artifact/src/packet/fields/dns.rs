//! DNS and ICMP.

use super::{DNS, H, ICMP, row};
use crate::packet::{
    FieldRow, FieldType as T, PacketView as P,
    Read::{Bit, Bytes, Load, Str},
    layer as l,
};
use std::mem::offset_of;

const QUESTION: u64 = l::DNS | l::DNS_QUESTION;
const ECHO: u64 = l::ICMP | l::ICMP_ECHO;
const ECHO6: u64 = l::ICMPV6 | l::ICMP_ECHO;
const QUOTE: u64 = l::ICMP | l::ICMP_QUOTE;
const QUOTE6: u64 = l::ICMPV6 | l::ICMP_QUOTE;

#[rustfmt::skip]
pub(super) const ROWS: &[FieldRow] = &[
    row("dns.id", T::U16, DNS, l::DNS, Load(offset_of!(P, dns.id)), "Transaction id."),
    row("dns.flags.response", T::Bool, DNS, l::DNS, Bit(offset_of!(P, dns.response), 1), "True: an answer; false: a query. Port 53 (UDP and TCP, 853 if decrypted), multicast DNS 5353, LLMNR 5355."),
    row("dns.flags.opcode", T::U8, DNS, l::DNS, Load(offset_of!(P, dns.opcode)), "Operation: 0 query, 4 notify, 5 update."),
    row("dns.flags.rcode", T::U8, DNS, l::DNS, Load(offset_of!(P, dns.rcode)), "Answer: 0 no error, 2 server failure, 3 no such name, 5 refused."),
    row("dns.flags", T::U16, DNS, l::DNS, Load(offset_of!(P, dns.flags)), "All flags, as sent: 0x8000 answer, 0x0400 authoritative, 0x0200 truncated, 0x0100 recursion desired, 0x0080 available."),
    row("dns.qry.name", T::Str, DNS, QUESTION, Str(offset_of!(P, dns.qry_name)), "Name in the (first) question."),
    row("dns.qry.type", T::U16, DNS, QUESTION, Load(offset_of!(P, dns.qry_type)), "Type asked for: 1 A, 28 AAAA, 12 PTR, 5 CNAME, 15 MX, 16 TXT, 33 SRV, 65 HTTPS."),
    row("dns.qry.class", T::U16, DNS, QUESTION, Load(offset_of!(P, dns.qry_class)), "Class asked for: 1 is the Internet's; in multicast DNS the highest bit asks for a unicast answer."),
    row("dns.count.queries", T::U16, DNS, l::DNS, Load(offset_of!(P, dns.queries)), "Questions."),
    row("dns.count.answers", T::U16, DNS, l::DNS, Load(offset_of!(P, dns.answers)), "Answer records."),
    row("dns.count.auth_rr", T::U16, DNS, l::DNS, Load(offset_of!(P, dns.authority)), "Authority records."),
    row("dns.count.add_rr", T::U16, DNS, l::DNS, Load(offset_of!(P, dns.additional)), "Additional records."),
    row("dns.a", T::Ipv4, DNS, l::DNS | l::DNS_A, Bytes(offset_of!(P, dns.a)), "First IPv4 address in the message."),
    row("dns.aaaa", T::Ipv6, DNS, l::DNS | l::DNS_AAAA, Bytes(offset_of!(P, dns.aaaa)), "First IPv6 address in the message."),
    row("dns.cname", T::Str, DNS, l::DNS, Str(offset_of!(P, dns.cname)), "First canonical name in the message; \"\" without one."),
    row("dns.time", T::U64, DNS, l::DNS | l::DNS_TIME, Load(offset_of!(P, dns.time)), "An answer: ns since its query (the first, if it was asked again); absent in multicast DNS, where anyone may answer everyone."),
    row("dns.retransmit_request", T::Bool, DNS, l::DNS, Bit(offset_of!(P, dns.again), 1), "A query that was asked before: same id, addresses and ports within 5 s, and no answer yet. Not told of multicast DNS."),
    row("dns.part", T::U32, DNS, l::FRAME, Load(offset_of!(P, dns.part)), "0; a block that reads dns.* runs again with 1, 2 … for each further message that ends in the same packet (TCP). (Ours.)"),

    row("icmp.type", T::U8, H, l::ICMP, Load(offset_of!(P, icmp.kind)), "Type: 0 echo reply, 3 destination unreachable, 5 redirect, 8 echo, 11 time exceeded."),
    row("icmp.code", T::U8, H, l::ICMP, Load(offset_of!(P, icmp.code)), "Code: of destination unreachable 0 net, 1 host, 3 port, 4 fragmentation needed."),
    row("icmp.ident", T::U16, H, ECHO, Load(offset_of!(P, icmp.ident)), "Identifier of an echo."),
    row("icmp.seq", T::U16, H, ECHO, Load(offset_of!(P, icmp.seq)), "Sequence number of an echo."),
    row("icmp.resptime", T::U64, ICMP, ECHO | l::ICMP_DETAIL, Load(offset_of!(P, icmp.resp_ns)), "Echo reply: ns since its request."),
    row("icmp.mtu", T::U32, H, QUOTE | l::ICMP_DETAIL, Load(offset_of!(P, icmp.mtu)), "Fragmentation needed: largest packet of the next hop."),
    row("icmp.quoted.src", T::Ipv4, H, QUOTE, Bytes(offset_of!(P, icmp.src)), "An error: source address of the packet it quotes. (Ours; Wireshark shows it as another ip.src.)"),
    row("icmp.quoted.dst", T::Ipv4, H, QUOTE, Bytes(offset_of!(P, icmp.dst)), "Destination address of the quoted packet. (Ours.)"),
    row("icmp.quoted.proto", T::U8, H, QUOTE, Load(offset_of!(P, icmp.proto)), "Protocol of the quoted packet. (Ours.)"),
    row("icmp.quoted.srcport", T::U16, H, QUOTE, Load(offset_of!(P, icmp.src_port)), "Source port of the quoted TCP or UDP packet; 0 for others. (Ours.)"),
    row("icmp.quoted.dstport", T::U16, H, QUOTE, Load(offset_of!(P, icmp.dst_port)), "Destination port of the quoted packet; 0 for others. (Ours.)"),
    row("icmpv6.type", T::U8, H, l::ICMPV6, Load(offset_of!(P, icmp.kind)), "Type: 1 unreachable, 2 packet too big, 3 time exceeded, 128 echo, 129 echo reply, 133 … 137 neighbour discovery."),
    row("icmpv6.code", T::U8, H, l::ICMPV6, Load(offset_of!(P, icmp.code)), "Code."),
    row("icmpv6.echo.identifier", T::U16, H, ECHO6, Load(offset_of!(P, icmp.ident)), "Identifier of an echo."),
    row("icmpv6.echo.sequence_number", T::U16, H, ECHO6, Load(offset_of!(P, icmp.seq)), "Sequence number of an echo."),
    row("icmpv6.resptime", T::U64, ICMP, ECHO6 | l::ICMP_DETAIL, Load(offset_of!(P, icmp.resp_ns)), "Echo reply: ns since its request."),
    row("icmpv6.mtu", T::U32, H, QUOTE6 | l::ICMP_DETAIL, Load(offset_of!(P, icmp.mtu)), "Packet too big: largest packet of the next hop."),
    row("icmpv6.quoted.src", T::Ipv6, H, QUOTE6, Bytes(offset_of!(P, icmp.src)), "An error: source address of the packet it quotes. (Ours.)"),
    row("icmpv6.quoted.dst", T::Ipv6, H, QUOTE6, Bytes(offset_of!(P, icmp.dst)), "Destination address of the quoted packet. (Ours.)"),
    row("icmpv6.quoted.proto", T::U8, H, QUOTE6, Load(offset_of!(P, icmp.proto)), "Protocol of the quoted packet. (Ours.)"),
    row("icmpv6.quoted.srcport", T::U16, H, QUOTE6, Load(offset_of!(P, icmp.src_port)), "Source port of the quoted TCP or UDP packet; 0 for others. (Ours.)"),
    row("icmpv6.quoted.dstport", T::U16, H, QUOTE6, Load(offset_of!(P, icmp.dst_port)), "Destination port of the quoted packet; 0 for others. (Ours.)"),
];
