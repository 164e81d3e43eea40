//! What /proc writes, and this process's own sockets.

use super::*;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;

fn view(proto: u8, src: SocketAddr, dst: SocketAddr, flags: u32) -> PacketView {
    let netns = std::fs::metadata("/proc/self/ns/net").map_or(0, |m| m.ino() as u32);
    let mut view = PacketView { net_family: 2, netns, tcp_flags: flags, ..PacketView::default() };
    let (IpAddr::V4(s), IpAddr::V4(d)) = (src.ip(), dst.ip()) else { panic!("IPv4") };
    view.ip_src[..4].copy_from_slice(&s.octets());
    view.ip_dst[..4].copy_from_slice(&d.octets());
    if proto == TCP {
        view.layers = layer::TCP;
        (view.tcp_src_port, view.tcp_dst_port) = (src.port(), dst.port());
    } else {
        view.layers = layer::UDP;
        (view.udp_src_port, view.udp_dst_port) = (src.port(), dst.port());
    }
    view
}

#[test]
fn lines_of_proc() {
    let four = "   1: 0100007F:1F90 0200000A:C350 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000";
    if cfg!(target_endian = "little") {
        let wanted = (("127.0.0.1", 8080), ("10.0.0.2", 50_000), 4711);
        let wanted = (
            (wanted.0.0.parse().expect("an address"), wanted.0.1),
            (wanted.1.0.parse().expect("an address"), wanted.1.1),
            wanted.2,
        );
        assert_eq!(table::line(four), Some(wanted));
        let mapped = four.replace("0100007F:", "0000000000000000FFFF00000100007F:");
        assert_eq!(table::line(&mapped).map(|l| l.0), Some(wanted.0));
    }
    assert_eq!(table::line(&four.replace(" 4711 ", " 0 ")), None);
    for cut in 0..four.len().min(90) {
        assert_eq!(table::line(&four[..cut]), None);
    }
}

#[test]
fn own_sockets_are_ours() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (server, _) = listener.accept().expect("accepted");
    let (a, b) = (client.local_addr().expect("bound"), server.local_addr().expect("bound"));
    let mut owners = Owners::default();
    let found = [view(TCP, a, b, 0x10), view(TCP, b, a, 0x10)].map(|packet| owners.of(&packet).expect("ours"));
    assert_eq!(found.each_ref().map(|owner| owner.pid), [std::process::id(); 2]);
    assert!(Arc::ptr_eq(&found[0].comm, &found[1].comm), "a packet copies no name");
    // Known by now, though the sockets go.
    drop((client, server));
    assert_eq!(owners.of(&view(TCP, a, b, 0x11)).map(|o| o.pid), Some(std::process::id()));
    // A new connection by these addresses is somebody else's.
    std::thread::sleep(BETWEEN * 2 + owners.tables.cost * SHARE);
    assert_eq!(owners.of(&view(TCP, a, b, 0x02)), None);
    assert_eq!(owners.unknown, 1);
}

#[test]
fn sockets_of_udp_without_another_side() {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
    let port = socket.local_addr().expect("bound").port();
    let mut owners = Owners::default();
    let there = view(UDP, SocketAddr::from(([10, 9, 8, 7], 53)), SocketAddr::from(([127, 0, 0, 1], port)), 0);
    assert_eq!(owners.of(&there).map(|o| o.pid), Some(std::process::id()));
}

#[test]
fn a_side_that_nobody_holds_is_the_other_sides() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (server, _) = listener.accept().expect("accepted");
    let (a, b) = (client.local_addr().expect("bound"), server.local_addr().expect("bound"));
    drop(server);
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("the end");
    // The server's side has no process any more: it is the client's by the other direction.
    let mut owners = Owners::default();
    assert_eq!(owners.of(&view(TCP, b, a, 0x11)).map(|o| o.pid), Some(std::process::id()));
}
