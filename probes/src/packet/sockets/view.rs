//! A socket's exchange as a packet's view: from the client to the server.

use super::socket::{Open, Task};
use weftrace_artifact::packet::{MoreView, PacketView, known, layer};

const IPPROTO_TCP: u8 = 6;
const AF_INET: u16 = 2;

/// The connection's ends. `served`: the local one is the server.
pub(super) fn ends(socket: &Open, served: bool, view: &mut PacketView) {
    let conn = &socket.conn;
    let (a, b) = ((&conn.a_addr, conn.a_port), (&conn.b_addr, conn.b_port));
    let (local, remote) = if socket.local_is_a() { (a, b) } else { (b, a) };
    let isn = socket.from.map(|first| first.wrapping_sub(1));
    let ((src, dst), (src_isn, dst_isn)) =
        if served { ((remote, local), (isn[0], isn[1])) } else { ((local, remote), (isn[1], isn[0])) };
    view.layers |= layer::FRAME | layer::BOOT_TIME | layer::TCP | layer::FLOW;
    if conn.family == AF_INET {
        view.layers |= layer::IP;
        view.known |= known::IP_SRC | known::IP_DST | known::IP_PROTO;
        (view.ip_src, view.ip_dst) = (*src.0, *dst.0);
    } else {
        view.layers |= layer::IPV6;
        view.known |= known::IPV6_SRC | known::IPV6_DST | known::IPV6_NXT;
        (view.ipv6_src, view.ipv6_dst) = (*src.0, *dst.0);
    }
    view.net_family = conn.family as u8;
    (view.ip_proto, view.ipv6_nxt, view.transport) = (IPPROTO_TCP, IPPROTO_TCP, IPPROTO_TCP);
    (view.tcp_src_port, view.tcp_dst_port) = (src.1, dst.1);
    (view.tcp_isn, view.tcp_peer_isn) = (src_isn, dst_isn);
    view.head = [(src.1 >> 8) as u8, src.1 as u8, (dst.1 >> 8) as u8, dst.1 as u8];
    view.head_len = 4;
    view.netns = conn.netns;
    // As if the client had sent it, as the request.
    (view.from_client, view.tcp_dir) = (1, view.http.request_dir);
    (view.conn_opened, view.http.conn_opened) = (socket.opened, socket.opened);
    (view.boot_ns, view.time_ns) = (view.http.end, view.http.end);
}

/// Whose system call it was.
pub(super) fn owner(task: &Task, view: &mut PacketView, more: &mut MoreView) {
    let comm = &task.comm[..task.comm.iter().position(|&byte| byte == 0).unwrap_or(task.comm.len())];
    (more.owner_pid, more.owner_tid, more.owner_comm) = (task.pid, task.tid, comm.into());
    view.known |= known::OWNER | known::OWNER_THREAD;
}
