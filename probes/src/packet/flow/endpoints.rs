//! Conversations as views without a packet have them: where they end.

use super::state::{Direction, Flow};
use super::table::FlowKey;
use weftrace_artifact::packet::{PacketView, layer};

/// Whose a conversation is, for a view without a packet.
pub(crate) struct Endpoints {
    key: FlowKey,
    /// Index of the client's direction.
    pub(super) client: usize,
    stream: u32,
    opened: u64,
    /// Of the client's direction, then of the server's.
    bases: [u32; 2],
    isns: [u32; 2],
}

impl Flow {
    pub(crate) fn endpoints(&self) -> Endpoints {
        let client = self.client as usize;
        let sides = [&self.dirs[client & 1], &self.dirs[1 - (client & 1)]];
        Endpoints {
            key: self.key,
            client,
            stream: self.stream,
            opened: self.opened,
            bases: sides.map(|side| side.base_seq),
            isns: sides.map(Direction::isn),
        }
    }
}

impl Endpoints {
    /// From the client to the server.
    pub(crate) fn write(&self, view: &mut PacketView) {
        self.key.write(self.client, view);
        view.tcp_stream = self.stream;
        view.tcp_dir = self.client as u32 & 1;
        [view.tcp_base, view.tcp_peer_base] = self.bases;
        [view.tcp_isn, view.tcp_peer_isn] = self.isns;
        view.conn_opened = self.opened;
        view.from_client = 1;
        view.layers |= layer::TCP | layer::FLOW | layer::BOOT_TIME;
    }
}
