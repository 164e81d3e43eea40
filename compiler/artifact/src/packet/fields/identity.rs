//! What a packet is known by: its flow, the id that other tools give it, the process it belongs to.

use super::{F, H, more};
use crate::packet::{FieldRow, FieldType as T, MoreView as M, Read::More, known as k, needs};
use std::mem::offset_of;

const FLOW: u32 = H | needs::FLOW_VALUE;
/// Who opened the connection is known by its flow.
const CONVERSATION: u32 = F | needs::FLOW_VALUE;
const COMMUNITY: u32 = H | needs::COMMUNITY_ID;
const OWNER: u32 = H | needs::OWNER;

#[rustfmt::skip]
pub(super) const ROWS: &[FieldRow] = &[
    more("flow", T::Flow, FLOW, k::NET, More(offset_of!(M, flow)), "Sender and receiver: 10.0.0.1:80 → 10.0.0.2:4242. Members: flow.src, flow.srcport, flow.dst, flow.dstport, flow.proto."),
    more("conversation", T::Flow, CONVERSATION, k::NET, More(offset_of!(M, conversation)), "The same for both directions: 10.0.0.2:4242 ↔ 10.0.0.1:80. Of a TCP connection the client comes first, else the smaller address and port. Members as flow's."),
    more("community_id", T::Str, COMMUNITY, k::COMMUNITY_ID, More(offset_of!(M, community_id)), "Community ID, version 1, as Zeek and Suricata write it; config = { community_id_seed = N } sets its seed."),
    more("pkt.owner.pid", T::U32, OWNER, k::OWNER, More(offset_of!(M, owner_pid)), "Live: process of this host whose socket the packet belongs to. Absent where it isn't known."),
    more("pkt.owner.tid", T::U32, OWNER, k::OWNER_THREAD, More(offset_of!(M, owner_tid)), "In http blocks: the thread that read (server) or sent (client) the request."),
    more("pkt.owner.comm", T::Str, OWNER, k::OWNER, More(offset_of!(M, owner_comm)), "Live: its name, at most 15 characters."),
];
