//! Connections that the kernel translates on their way (NAT), as its connection tracking has them.
//!
//! ctnetlink tells of all connections; a filter at the socket lets only those through that are translated, and of these only TCP's
//! count. First the socket listens, then the table as it is is read by a second one: so nothing is between the two. The messages are few and plain
//! (nested type-length-value), so they are read here ([`message`]); no crate is needed for that.

mod filter;
mod message;

pub use message::{Change, Entry, Messages};

use crate::kernel::sys::{Netlink, Received, SyscallError, network_namespace};
#[cfg(feature = "live")]
use crate::packet::source::NetNs;
use std::path::Path;
use std::time::Duration;

/// Groups of NETLINK_NETFILTER as bind(2) has them: NFNLGRP_CONNTRACK_NEW and NFNLGRP_CONNTRACK_DESTROY of linux/netfilter/nfnetlink.h.
const GROUPS: u32 = 1 | 1 << 2;
/// What has not been read waits here: only messages of translated connections do, each of about 1 KB with what the kernel counts for it.
const ROOM: u32 = 8 << 20;
/// More than any message of the kernel's.
const BUFFER: usize = 64 * 1024;
/// The kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// A table that changes its size while it is read is read again.
const TRIES: usize = 3;
/// Messages read at once at most.
const BATCH: usize = 4096;

/// How many connections are tracked in the calling thread's network namespace.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
/// Whether it is told of them: 0, 1, or 2 (where somebody listens).
const EVENTS: &str = "/proc/sys/net/netfilter/nf_conntrack_events";

/// Why translations can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConntrackError {
    /// There are none: the kernel doesn't track connections.
    #[error("the kernel didn't track connections when this run began")]
    Absent,
    #[error("that needs CAP_NET_ADMIN")]
    NotPermitted,
    #[error("net.netfilter.nf_conntrack_events is 0")]
    EventsOff,
    #[error(transparent)]
    Failed(SyscallError),
    /// Its network namespace can't be entered.
    #[error("{0}")]
    Namespace(String),
}

impl From<SyscallError> for ConntrackError {
    fn from(error: SyscallError) -> Self {
        if error.is_permission() { Self::NotPermitted } else { Self::Failed(error) }
    }
}

/// Translations that can't be read, and whether there may be any.
#[derive(Clone, Debug)]
pub struct Blind {
    pub why: ConntrackError,
    /// Connections are tracked there.
    pub tracks: bool,
}

/// What a look at the socket has found besides entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Messages that the kernel had no room for, or that could not be read.
    pub messages: u64,
    /// There may be more at once.
    pub more: bool,
}

/// A table as it was, and what of it is missing.
#[derive(Debug, Default)]
pub struct Table {
    pub entries: Vec<Entry>,
    pub missing: u64,
}

/// One network namespace's translations.
#[derive(Debug)]
pub struct Conntrack {
    socket: Netlink,
    buffer: Vec<u8>,
    /// Inode of the network namespace.
    pub netns: u32,
    dropped: u32,
}

/// Whether connections are tracked in the calling thread's network namespace.
pub fn tracks() -> bool {
    let count = std::fs::read_to_string(COUNT).ok().and_then(|count| count.trim().parse::<u64>().ok());
    count.is_some_and(|count| count > 0)
}

impl Conntrack {
    /// Listens in the calling thread's network namespace, and reads what is there already. Doesn't make a kernel track connections that didn't
    /// before.
    pub fn start() -> Result<(Self, Table), Blind> {
        let started = Self::open().and_then(|mut conntrack| {
            let table = conntrack.table()?;
            Ok((conntrack, table))
        });
        started.map_err(|why| Blind { why, tracks: tracks() })
    }

    /// The same in another one.
    #[cfg(feature = "live")]
    pub fn start_in(netns: &NetNs) -> Result<(Self, Table), Blind> {
        let refused = |e: crate::packet::source::SourceError| Blind {
            why: ConntrackError::Namespace(e.to_string()),
            tracks: false,
        };
        netns.run(Self::start).unwrap_or_else(|e| Err(refused(e)))
    }

    fn open() -> Result<Self, ConntrackError> {
        if !Path::new(COUNT).exists() {
            return Err(ConntrackError::Absent);
        }
        if std::fs::read_to_string(EVENTS).is_ok_and(|told| told.trim() == "0") {
            return Err(ConntrackError::EventsOff);
        }
        let socket = Netlink::netfilter()?;
        socket.set_filter(&mut filter::translated())?;
        socket.set_room(ROOM);
        socket.bind(GROUPS)?;
        Ok(Self { socket, buffer: vec![0; BUFFER], netns: network_namespace(), dropped: 0 })
    }

    fn table(&mut self) -> Result<Table, ConntrackError> {
        let socket = Netlink::netfilter()?;
        socket.set_patience(PATIENCE)?;
        let mut table = Table::default();
        for _ in 0..TRIES {
            socket.send(&message::dump_request())?;
            let (whole, lost) = self.dump(&socket, &mut table.entries)?;
            table.missing = lost + u64::from(!whole);
            if table.missing == 0 {
                break;
            }
        }
        Ok(table)
    }

    /// One answer to a request for all: whether it is one state of the table, and how many messages of it are missing.
    fn dump(&mut self, socket: &Netlink, entries: &mut Vec<Entry>) -> Result<(bool, u64), ConntrackError> {
        let (mut whole, mut lost) = (true, 0);
        loop {
            let len = match socket.receive(&mut self.buffer, true)? {
                Received::Bytes(len) => len,
                Received::Foreign => continue,
                Received::Cut | Received::Overrun => {
                    lost += 1;
                    continue;
                }
                Received::Nothing => {
                    return Err(SyscallError { call: "recvfrom(NETLINK_NETFILTER)", errno: libc::ETIMEDOUT }.into());
                }
            };
            let mut messages = Messages::new(&self.buffer[..len]);
            entries.extend(messages.by_ref().filter(Entry::is_translated));
            lost += messages.unreadable;
            whole &= !messages.interrupted;
            match messages.end {
                Some(0) => return Ok((whole, lost)),
                Some(errno) => return Err(SyscallError { call: "ctnetlink", errno }.into()),
                None => {}
            }
        }
    }

    /// What has changed since the last time.
    pub fn changes(&mut self, entries: &mut Vec<Entry>) -> Result<Missed, ConntrackError> {
        let (mut missed, mut overruns) = (Missed { messages: 0, more: true }, 0);
        for _ in 0..BATCH {
            match self.socket.receive(&mut self.buffer, false)? {
                Received::Bytes(len) => {
                    let mut messages = Messages::new(&self.buffer[..len]);
                    entries.extend(messages.by_ref().filter(Entry::is_translated));
                    missed.messages += messages.unreadable;
                }
                Received::Foreign => {}
                Received::Cut => missed.messages += 1,
                Received::Overrun => overruns += 1,
                Received::Nothing => {
                    missed.more = false;
                    break;
                }
            }
        }
        missed.messages += self.dropped_since(overruns);
        Ok(missed)
    }

    /// Messages that the kernel dropped since it was last asked; each overrun stands for one at least.
    fn dropped_since(&mut self, overruns: u64) -> u64 {
        let Some(dropped) = self.socket.dropped() else { return overruns };
        let since = dropped.wrapping_sub(std::mem::replace(&mut self.dropped, dropped));
        overruns.max(since.into())
    }
}

#[cfg(test)]
mod tests;
