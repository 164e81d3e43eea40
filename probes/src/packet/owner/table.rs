//! Sockets and who holds them, from /proc.

use super::{Owner, Socket, TCP, UDP};
use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// A process within a network namespace: it shows its sockets.
pub(super) fn inside(netns: u32) -> Option<u32> {
    processes().find(|pid| namespace(*pid) == Some(netns))
}

/// The sockets of a network namespace and their inodes, as a process within it sees them. None: several have one address (SO_REUSEPORT),
/// and which of them gets a packet isn't known.
pub(super) fn sockets(netns: u32, inside: u32) -> HashMap<Socket, Option<u64>> {
    let mut found: HashMap<Socket, Option<u64>> = HashMap::new();
    for (file, proto) in [("tcp", TCP), ("tcp6", TCP), ("udp", UDP), ("udp6", UDP)] {
        let Ok(text) = fs::read_to_string(format!("/proc/{inside}/net/{file}")) else { continue };
        for (local, remote, inode) in text.lines().skip(1).filter_map(line) {
            let socket = Socket { netns, proto, local, remote };
            found.entry(socket).and_modify(|other| *other = other.filter(|o| *o == inode)).or_insert(Some(inode));
        }
    }
    found
}

/// Which processes hold sockets, by inode.
pub(super) fn holders() -> HashMap<u64, Owner> {
    let mut holders = HashMap::new();
    for pid in processes() {
        note_sockets(pid, &mut holders);
    }
    let mut names = HashMap::new();
    let mut named = |pid: u32| names.entry(pid).or_insert_with(|| Owner { pid, comm: comm(pid) }).clone();
    holders.into_iter().map(|(inode, pid)| (inode, named(pid))).collect()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

pub(super) fn namespace(pid: u32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}/ns/net")).ok().map(|m| m.ino() as u32)
}

/// Which sockets a process holds, by inode. Of several processes with one socket the one with the lowest number stands: the others
/// were mostly forked from it.
fn note_sockets(pid: u32, holders: &mut HashMap<u64, u32>) {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return };
    for entry in descriptors.flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let inode = target.to_str().and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        if let Some(inode) = inode {
            holders.entry(inode).and_modify(|other: &mut u32| *other = pid.min(*other)).or_insert(pid);
        }
    }
}

fn comm(pid: u32) -> Arc<[u8]> {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.strip_suffix(b"\n").unwrap_or(&name).into()
}

/// Address and port.
type End = (IpAddr, u16);

/// Local address, remote address and inode of a line of /proc/net/tcp and the like; None: the socket has no inode (any more).
pub(super) fn line(text: &str) -> Option<(End, End, u64)> {
    let mut words = text.split_ascii_whitespace();
    let local = end(words.nth(1)?)?;
    let remote = end(words.next()?)?;
    let inode = words.nth(6)?.parse().ok().filter(|inode| *inode != 0)?;
    Some((local, remote, inode))
}

/// `0100007F:1F90`: words as they lie in memory, the port as a number.
fn end(text: &str) -> Option<End> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |i: usize| u32::from_str_radix(address.get(i * 8..i * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (i, to) in bytes.chunks_exact_mut(4).enumerate() {
                to.copy_from_slice(&word(i)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some((address, port))
}
