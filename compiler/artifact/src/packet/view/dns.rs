//! What a packet's view says about DNS and ICMP.

use super::StrRef;

/// The DNS message that ends in a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct DnsView {
    pub qry_name: StrRef,
    pub cname: StrRef,
    /// Since the query.
    pub time: u64,
    pub a: [u8; 16],
    pub aaaa: [u8; 16],
    /// 1: an answer.
    pub response: u32,
    /// 1: the query was asked before.
    pub again: u32,
    /// 0 for a packet's first presentation.
    pub part: u32,
    pub id: u16,
    pub flags: u16,
    pub queries: u16,
    pub answers: u16,
    pub authority: u16,
    pub additional: u16,
    pub qry_type: u16,
    pub qry_class: u16,
    pub opcode: u8,
    pub rcode: u8,
}

/// An ICMP or ICMPv6 message.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct IcmpView {
    /// Since the echo that this replies to.
    pub resp_ns: u64,
    pub mtu: u32,
    /// Of the quoted packet: addresses as in the view itself.
    pub src: [u8; 16],
    pub dst: [u8; 16],
    pub src_port: u16,
    pub dst_port: u16,
    pub ident: u16,
    pub seq: u16,
    pub kind: u8,
    pub code: u8,
    pub proto: u8,
}
