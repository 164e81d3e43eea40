//! Packets: sources (files, live interfaces), dissection, TCP flows and their analysis, streams and what is spoken on them.
//!
//! [`Pipeline`] turns the bytes of a packet into the [`weftrace_artifact::packet::PacketView`] that handlers read; it is pure,
//! deterministic and bounded, and computes only what the script's fields need. [`source`] reads captures and interfaces.
//! No `unsafe`.

mod analysis;
mod bytes;
mod dissect;
mod dns;
mod echo;
mod flow;
pub mod fuzz;
mod http;
mod http2;
mod identity;
mod owner;
mod pending;
mod pipeline;
mod ranges;
mod raw;
mod sockets;
pub mod source;
mod stream;
mod tls;

pub use dns::is_message as is_dns_message;
pub use flow::{bytes_key, conn_key};
pub use http::{HttpLimits, PassedOver};
pub use http2::{Http2Counters, Http2Limits};
pub use identity::community_id_of;
pub use owner::{Owner, Owners};
pub use pipeline::{Counters, Options, Pipeline};
pub use raw::{LinkType, RawPacket};
pub use sockets::{
    Call as SocketCall, Exchange as SocketExchange, Open as SocketOpen, SocketCounters, Sockets, TURN_IDLE_NS,
    Task as SocketTask, TurnCall, Turns,
};
pub use stream::StreamLimits;
pub use tls::SecretSource;

use weftrace_artifact::packet::needs;

/// All of [`weftrace_artifact::packet::needs`] that a pipeline serves.
pub const ALL_NEEDS: u32 = !needs::OWNER;
