//! Messages as the kernel writes them, and what nobody should.

use super::message::{Change, Entry, Messages};
use proptest::prelude::*;
use weftrace_artifact::abi::ConnKey;

const NEW: u16 = 0x100;
const DELETE: u16 = 0x102;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// Nested, with the bit that says so.
fn nest(kind: u16, members: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | 0x8000, &members.concat())
}

fn tuple(kind: u16, (src, sport): (&[u8], u16), (dst, dport): (&[u8], u16), proto: u8) -> Vec<u8> {
    let first = if src.len() == 4 { 1 } else { 3 };
    let ip = nest(1, &[attribute(first, src), attribute(first + 1, dst)]);
    let ports = [attribute(1, &[proto]), attribute(2, &sport.to_be_bytes()), attribute(3, &dport.to_be_bytes())];
    nest(kind, &[ip, nest(2, &ports)])
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut out = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend([0; 8]);
    out.extend(body);
    out
}

const CLIENT: [u8; 4] = [192, 168, 1, 7];
const HOST: [u8; 4] = [192, 168, 1, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];

/// A published port: from the client to the host's 8080, which is 80 of a container.
fn published(kind: u16, proto: u8) -> Vec<u8> {
    let body = [
        vec![2, 0, 0, 0],
        tuple(1, (&CLIENT, 40_000), (&HOST, 8080), proto),
        tuple(2, (&SERVER, 80), (&CLIENT, 40_000), proto),
        attribute(12, &7_u32.to_be_bytes()),
        attribute(3, &(1_u32 << 5 | 0x188).to_be_bytes()),
    ];
    message(kind, 0x600, &body.concat())
}

fn read(bytes: &[u8]) -> (Vec<Entry>, Option<i32>, u64) {
    let mut messages = Messages::new(bytes);
    let entries: Vec<Entry> = messages.by_ref().take(1000).collect();
    (entries, messages.end, messages.unreadable)
}

fn addresses(key: &ConnKey) -> ([u8; 4], u16, [u8; 4], u16) {
    let four = |bytes: &[u8; 16]| [bytes[0], bytes[1], bytes[2], bytes[3]];
    (four(&key.a_addr), key.a_port, four(&key.b_addr), key.b_port)
}

#[test]
fn a_published_port() {
    let (entries, end, unreadable) = read(&[published(NEW, 6), published(DELETE, 6)].concat());
    assert_eq!((entries.len(), end, unreadable), (2, None, 0));
    assert_eq!((entries[0].change, entries[1].change), (Change::There, Change::Gone));
    for entry in entries {
        assert!(entry.is_translated());
        let (conn, translated) = entry.connections(77);
        // The smaller address comes first: to the client the host's, to the server its own.
        assert_eq!(addresses(&conn), (HOST, 8080, CLIENT, 40_000));
        assert_eq!(addresses(&translated), (SERVER, 80, CLIENT, 40_000));
        assert_eq!((conn.client, translated.client, conn.netns, translated.netns), (2, 2, 77, 77));
        assert_eq!((conn.family, conn.proto, conn.a_isn, conn.b_isn, conn.local), (2, 6, 0, 0, 0));
    }
}

/// The gateway's address is below the server's, the client's is above it: the endpoints change places.
#[test]
fn a_masqueraded_client_of_ipv6() {
    let address = |last: u8| {
        let mut bytes = [0; 16];
        (bytes[0], bytes[15]) = (0xfd, last);
        bytes
    };
    let (client, gateway, server) = (address(9), address(1), address(5));
    let body = [
        vec![10, 0, 0, 0],
        tuple(1, (&client, 40_000), (&server, 443), 6),
        tuple(2, (&server, 443), (&gateway, 40_001), 6),
    ];
    let (entries, ..) = read(&message(NEW, 0, &body.concat()));
    let (conn, translated) = entries[0].connections(1);
    assert_eq!((conn.a_addr, conn.a_port, conn.b_addr, conn.client), (server, 443, client, 2));
    assert_eq!((translated.a_addr, translated.a_port, translated.b_addr), (gateway, 40_001, server));
    assert_eq!((translated.client, translated.family), (1, 10));
}

#[test]
fn what_is_not_translated_or_not_tcp_is_none() {
    let same = [
        vec![2, 0, 0, 0],
        tuple(1, (&CLIENT, 40_000), (&SERVER, 80), 6),
        tuple(2, (&SERVER, 80), (&CLIENT, 40_000), 6),
    ];
    let (entries, _, unreadable) = read(&message(NEW, 0, &same.concat()));
    assert_eq!((entries.len(), entries[0].is_translated(), unreadable), (1, false, 0));
    let (entries, _, unreadable) = read(&published(NEW, 17));
    assert_eq!((entries.len(), unreadable), (0, 0));
    // Another subsystem's.
    let (entries, _, unreadable) = read(&message(0x200, 0, &[0; 40]));
    assert_eq!((entries.len(), unreadable), (0, 0));
}

#[test]
fn an_answer_ends_well_or_with_an_error() {
    let done = |code: i32| message(3, 2, &code.to_ne_bytes());
    let (entries, end, unreadable) = read(&[published(NEW, 6), done(0), published(NEW, 6)].concat());
    assert_eq!((entries.len(), end, unreadable), (1, Some(0), 0));
    let refused = message(2, 0, &[&(-libc::EPERM).to_ne_bytes()[..], &[0; 16]].concat());
    assert_eq!(read(&refused).1, Some(libc::EPERM));
    assert_eq!(read(&message(3, 0, &i32::MIN.to_ne_bytes())).1, Some(i32::MAX));
    assert_eq!(read(&message(3, 0, &[1])).1, Some(libc::EPROTO));
    let mut messages = Messages::new(&[]);
    assert!(messages.next().is_none() && !messages.interrupted);
    let changed = message(3, 0x12, &0_i32.to_ne_bytes());
    let mut messages = Messages::new(&changed);
    assert!(messages.next().is_none() && messages.interrupted);
}

/// Wherever a message is cut there is no entry, and it is counted.
#[test]
fn what_is_cut_is_counted() {
    let whole = published(NEW, 6);
    for len in 1..whole.len() {
        let (entries, end, unreadable) = read(&whole[..len]);
        assert_eq!((entries.len(), end, unreadable), (0, None, 1), "{len}");
        // The same with a length that says that this is all.
        let mut shorter = whole[..len].to_vec();
        if len >= 16 {
            shorter[..4].copy_from_slice(&(len as u32).to_ne_bytes());
            let (entries, _, unreadable) = read(&shorter);
            // Behind both tuples nothing more is needed.
            assert_eq!(entries.len() as u64 + unreadable, 1, "{len}");
        }
    }
    for len in [0_u32, 1, 15, u32::MAX] {
        let mut lies = whole.clone();
        lies[..4].copy_from_slice(&len.to_ne_bytes());
        assert_eq!(read(&lies), (Vec::new(), None, 1), "{len}");
    }
}

proptest! {
    /// Any bytes, and a message with some of its bytes changed: read to the end, and no connection without addresses and ports.
    #[test]
    fn any_bytes(noise in prop::collection::vec(any::<u8>(), 0..200), changes in prop::collection::vec((0..140_usize, any::<u8>()), 0..6)) {
        let mut message = published(NEW, 6);
        for (at, byte) in changes {
            if let Some(place) = message.get_mut(at) {
                *place = byte;
            }
        }
        for bytes in [&noise, &message] {
            for entry in read(bytes).0 {
                for key in [entry.connections(1).0, entry.connections(1).1] {
                    prop_assert!(key.a_port != 0 && key.b_port != 0 && key.proto == 6 && matches!(key.family, 2 | 10));
                    prop_assert!((key.a_addr, key.a_port.to_be_bytes()) <= (key.b_addr, key.b_port.to_be_bytes()));
                }
            }
        }
    }
}
