//! TCP packets: their conversations, and what is spoken on them.

use super::last::Last;
use crate::packet::{
    dissect::{ACK, FIN, Quoted, RST, SYN},
    flow::{Flow, Flows, Place},
    stream::{self, Connection, Facts, Setting, Shared, TcpPacket},
};
use weftrace_artifact::packet::{PacketView, analysis, needs};

/// As in tshark, a connection of which an ICMP error was seen first has a number from then on.
pub(super) fn quote(flows: &mut Flows, shared: &mut Shared, live: bool, ends: &Quoted, view: &PacketView) {
    let mut about = PacketView {
        boot_ns: view.boot_ns,
        netns: view.netns,
        interface: view.interface,
        net_family: ends.family,
        tcp_src_port: ends.ports[0],
        tcp_dst_port: ends.ports[1],
        ..PacketView::default()
    };
    (about.ip_src, about.ip_dst) = (ends.src, ends.dst);
    (about.ipv6_src, about.ipv6_dst) = (ends.src, ends.dst);
    flows.quote(&about, live, &mut |flow| evicted(flow, shared));
}

fn evicted(flow: &mut Flow, shared: &mut Shared) {
    if let Some(mut app) = flow.app.take() {
        app.close(shared, None);
    }
}

/// The packet's conversation; of a former one between the same endpoints the last is to be told.
pub(super) fn place(
    flows: &mut Flows,
    shared: &mut Shared,
    last: &mut Last,
    live: bool,
    view: &mut PacketView,
) -> Place {
    let place = flows.place(view, live, &mut |flow| evicted(flow, shared));
    if place.reopened
        && let Some(left) = flows.reopen(place, view)
    {
        last.tell(left, shared);
    }
    place
}

pub(super) fn tcp(
    flows: &mut Flows,
    shared: &mut Shared,
    last: &mut Last,
    needs: u32,
    (payload, live): (&[u8], bool),
    view: &mut PacketView,
) -> Place {
    let place = place(flows, shared, last, live, view);
    let flow = flows.table.get_mut(place.flow);
    // The receiver passes over a reset that is not its connection's, and over what it carries.
    let forged = view.tcp_flags & RST != 0 && !flow.heeds_reset(place.dir, view);
    let fwd = &mut flow.dirs[place.dir];
    let data_before = fwd.data_seen;
    fwd.data_seen |= view.tcp_len > 0 && !forged;
    flow.wanted |= shared.wanted;
    flows.follow(place, needs, view);
    if needs & needs::STREAMS != 0 && !forged {
        let flow = flows.table.get_mut(place.flow);
        follow(flow, shared, place, payload, data_before, view);
        if flow.guesses_client()
            && let Some(client) = flow.app.as_ref().and_then(|app| app.client())
        {
            flow.tell_client(client, place.dir, view);
        }
    }
    place
}

/// Puts the packet's bytes in order, for what is spoken on its connection.
fn follow(flow: &mut Flow, shared: &mut Shared, place: Place, payload: &[u8], data_before: bool, view: &PacketView) {
    if flow.app_over {
        return;
    }
    let handshake_seen = flow.handshake_seen();
    let (fwd, rev) = flow.pair(place.dir);
    let origin = [fwd.base_seq.wrapping_add(1), rev.base_seq.wrapping_add(1)];
    let from_origin = fwd.syn_seen && !data_before;
    let seq = view.tcp_seq_raw.wrapping_add(u32::from(view.tcp_flags & SYN != 0));
    let answered = rev.seen;
    let ports = [view.tcp_src_port, view.tcp_dst_port];
    if flow.app.is_none() {
        // Most connections speak something else: they get no state. A first segment that is not at the stream's start
        // may be ahead of a message.
        let ahead = from_origin && view.tcp_len > 0 && seq != origin[0];
        if payload.is_empty() || (!ahead && stream::sniff(payload, &Setting { ports, alpn: &[] }, shared).is_no()) {
            return;
        }
        flow.app = Some(Box::default());
    }
    let Some(app) = &mut flow.app else { return };
    let by_dir = |pair: [u32; 2]| if place.dir == 0 { pair } else { [pair[1], pair[0]] };
    let packet = TcpPacket {
        dir: place.dir,
        seq,
        ack: (view.tcp_flags & ACK != 0).then_some(view.tcp_ack_raw),
        payload,
        len: view.tcp_len,
        time: view.boot_ns,
        fin: view.tcp_flags & FIN != 0,
        reset: view.tcp_flags & RST != 0,
        origin: by_dir(origin),
        from_origin,
        fast: view.analysis & analysis::FAST_RETRANSMISSION != 0,
        facts: Facts {
            ports: by_dir(ports.map(u32::from)).map(|port| port as u16),
            answered,
            handshake_seen,
            ..Facts::default()
        },
    };
    shared.duplicate = view.dsack != 0;
    if app.packet(&packet, shared) {
        close(flow, shared);
    }
}

fn close(flow: &mut Flow, shared: &mut Shared) {
    if let Some(mut app) = flow.app.take() {
        Connection::close(&mut app, shared, None);
    }
    flow.app_over = true;
}
