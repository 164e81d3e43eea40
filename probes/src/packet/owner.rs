//! Whose a packet is: the process that holds its socket, by what /proc says of sockets and of processes' descriptors.
//!
//! A connection is looked up when its first packet comes, while its socket is there; what was found stays for a while, since the last
//! packets of a connection come when its process has let go of it. A socket that was gone before anybody looked has no owner: it isn't
//! guessed.

mod table;

use super::flow::innermost;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use weftrace_artifact::packet::{PacketView, layer};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// Sockets that are remembered; beyond that none is added until some are forgotten.
const MAX_SOCKETS: usize = 1 << 16;
/// Sockets without an owner that are not asked for again at once.
const MAX_MISSES: usize = 1 << 14;
/// What was found holds so long without being found again.
const REMEMBERED: Duration = Duration::from_secs(30);
/// And is looked at again after so long: a process may have handed its socket on.
const FRESH: Duration = Duration::from_secs(2);
/// What was not found is asked for again after so long.
const MISSED: Duration = Duration::from_secs(1);
/// Looks at the table of sockets are so far apart at least, and take at most this part of the time; so do looks at what processes hold,
/// which cost more and are asked for only where there is a socket.
const BETWEEN: Duration = Duration::from_millis(10);
const SHARE: u32 = 15;

/// A socket: an address of ours, and the other side's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Socket {
    /// Inode of its network namespace.
    pub(super) netns: u32,
    pub(super) proto: u8,
    pub(super) local: (IpAddr, u16),
    pub(super) remote: (IpAddr, u16),
}

impl Socket {
    fn turned(self) -> Self {
        Self { local: self.remote, remote: self.local, ..self }
    }
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub pid: u32,
    pub comm: Arc<[u8]>,
}

struct Known {
    owner: Owner,
    /// When it was last found.
    at: Instant,
}

/// Owners of sockets, as far as they are known.
#[derive(Default)]
pub struct Owners {
    sockets: HashMap<Socket, Known>,
    missed: HashMap<Socket, Instant>,
    /// Whose sockets are, by their inodes, as of the last look at processes.
    holders: HashMap<u64, Owner>,
    /// A process within a network namespace.
    inside: Option<(u32, u32)>,
    tables: Pace,
    processes: Pace,
    /// Packets of TCP and UDP whose owner is not known.
    pub unknown: u64,
}

/// How often something may be looked at.
#[derive(Default)]
struct Pace {
    last: Option<Instant>,
    cost: Duration,
}

impl Pace {
    fn may(&self, now: Instant) -> bool {
        self.last.is_none_or(|at| now.saturating_duration_since(at) >= BETWEEN.max(self.cost * SHARE))
    }

    fn took(&mut self, since: Instant) {
        (self.last, self.cost) = (Some(since), since.elapsed());
    }
}

impl Owners {
    /// The sender, if it is on this host, else the receiver.
    pub fn of(&mut self, view: &PacketView) -> Option<Owner> {
        let sent = socket_of(view)?;
        // A new connection's socket is none that was known by its addresses.
        let opens = sent.proto == TCP && view.tcp_flags & 0x12 == 0x02;
        if opens {
            for socket in [sent, sent.turned()] {
                self.sockets.remove(&socket);
                self.missed.remove(&socket);
            }
        }
        let now = Instant::now();
        let found = self.find(sent);
        let stale = found.is_none_or(|known| now - known.at > FRESH)
            && self.missed.get(&sent).is_none_or(|at| now - *at > MISSED);
        let answered = stale && self.tables.may(now) && self.look(sent, now);
        if let Some(known) = self.find(sent) {
            return Some(known.owner.clone());
        }
        // Where nobody looked, or not to the end, the next packet asks again.
        if answered {
            if self.missed.len() >= MAX_MISSES {
                self.missed.clear();
            }
            self.missed.insert(sent, now);
        }
        self.unknown += 1;
        None
    }

    fn find(&self, sent: Socket) -> Option<&Known> {
        keys(sent).find_map(|key| self.sockets.get(&key))
    }

    /// Reads what sockets there are now in the packet's network namespace; and what processes hold, if that socket is new.
    /// Whether that has answered whose it is.
    fn look(&mut self, sent: Socket, now: Instant) -> bool {
        self.sockets.retain(|_, known| now - known.at < REMEMBERED);
        let inside = self.inside.filter(|(netns, pid)| *netns == sent.netns && table::namespace(*pid) == Some(*netns));
        self.inside = inside.or_else(|| Some((sent.netns, table::inside(sent.netns)?)));
        let Some((netns, pid)) = self.inside else {
            self.tables.took(now);
            return true;
        };
        let sockets = table::sockets(netns, pid);
        self.tables.took(now);
        let its = keys(sent).find_map(|key| *sockets.get(&key)?);
        let then = Instant::now();
        let is_new = its.is_some_and(|inode| !self.holders.contains_key(&inode));
        let looked = is_new && self.processes.may(then);
        if looked {
            self.holders = table::holders();
            self.processes.took(then);
        }
        for (socket, inode) in sockets {
            let Some(owner) = inode.and_then(|inode| self.holders.get(&inode)) else { continue };
            if self.sockets.len() < MAX_SOCKETS || self.sockets.contains_key(&socket) {
                self.missed.remove(&socket);
                self.sockets.insert(socket, Known { owner: owner.clone(), at: now });
            }
        }
        looked || !is_new
    }
}

/// Sockets that a packet may belong to, the likeliest first: its sender's, then its receiver's. Most sockets of UDP have no other side, and
/// many no address of their own.
fn keys(sent: Socket) -> impl Iterator<Item = Socket> {
    let none = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    [sent, sent.turned()].into_iter().flat_map(move |socket| {
        let port = socket.local.1;
        let unconnected = none.map(|any| Socket { remote: (any, 0), ..socket });
        let unbound = none.map(|any| Socket { local: (any, port), remote: (any, 0), ..socket });
        let more = unconnected.into_iter().chain(unbound).filter(move |_| socket.proto == UDP);
        std::iter::once(socket).chain(more)
    })
}

/// A packet's socket, seen from its sender.
fn socket_of(view: &PacketView) -> Option<Socket> {
    let (proto, sport, dport) = if view.layers & layer::TCP != 0 {
        (TCP, view.tcp_src_port, view.tcp_dst_port)
    } else if view.layers & layer::UDP != 0 {
        (UDP, view.udp_src_port, view.udp_dst_port)
    } else {
        return None;
    };
    let (src, dst) = innermost(view);
    let address = |bytes: &[u8; 16]| match view.net_family {
        2 => IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]),
        _ => IpAddr::from(*bytes),
    };
    Some(Socket { netns: view.netns, proto, local: (address(src), sport), remote: (address(dst), dport) })
}

#[cfg(test)]
mod tests;
