//! What few scripts ask for: what a packet is known by, its owner, ends of connections.

use super::Pipeline;
use crate::packet::{RawPacket, dissect::may_carry, identity};
use weftrace_artifact::packet::{MoreRef, PacketView, known, needs};

/// What fills the view behind the view, or needs the flows looked after.
pub(super) const MORE: u32 = needs::FLOW_VALUE | needs::COMMUNITY_ID | needs::FLOW_STATS;

impl Pipeline {
    pub(super) fn identify(&mut self, view: &mut PacketView) {
        identity::identify(self.needs, self.seed, view, &mut self.more);
        view.more = MoreRef(&raw const *self.more);
    }

    /// What else filters are asked about than the packet as it lies there, which is the outermost headers to them: the innermost IP packet,
    /// as an Ethernet frame as long as this packet. None: it is plain, or has none.
    ///
    /// A fragment is kept if others of its datagram are, or if it begins a tunnel's: what it is of is known when the last is there. See
    /// [`Self::has_kept`].
    pub fn look_inside(&mut self, raw: &RawPacket<'_>, view: &mut PacketView) -> Option<&[u8]> {
        if !may_carry(raw) {
            return None;
        }
        view.begin();
        self.dissector.look_inside(raw, view)
    }

    /// Whether the packet looked at last changes what becomes of later ones, though nobody wants it.
    pub fn has_kept(&self, raw: &RawPacket<'_>) -> bool {
        self.dissector.fragments.brought(raw.number).is_some()
    }

    /// The owner of the packet last processed.
    pub fn set_owner(&mut self, pid: u32, comm: &[u8], view: &mut PacketView) {
        (self.more.owner_pid, self.more.owner_comm) = (pid, comm.into());
        view.more = MoreRef(&raw const *self.more);
        view.known |= known::OWNER;
    }

    /// Who wants the packet that is processed next: bits that [`Self::next_end`] and [`Self::finish`] give back for its connection.
    pub fn wanted_by(&mut self, blocks: u64) {
        self.shared.wanted = blocks;
    }

    /// Presents the next connection that has ended, and says which blocks wanted one of its packets; None: no more so far. Its view
    /// has the connection's endpoints and no packet. To be called after each packet, and at the end with [`Self::end_more`].
    pub fn next_end(&mut self, view: &mut PacketView) -> Option<u64> {
        let ended = self.flows.ends.next()?;
        let blocks = ended.present(self.last_boot, view, &mut self.more.connection);
        self.identify(view);
        Some(blocks)
    }

    /// Time has passed without packets (live): what was over by then has ended.
    pub fn pass_time(&mut self, boot_ns: u64) {
        self.last_boot = self.last_boot.max(boot_ns);
        self.flows.end_due(self.last_boot, true);
        self.look_for_last(self.last_boot);
    }

    /// At the end of all packets: the next connections end. False: there are no more.
    pub fn end_more(&mut self) -> bool {
        const AT_ONCE: usize = 256;
        if self.needs & needs::FLOW_END == 0 || self.ending >= self.flows.table.len() {
            return false;
        }
        let until = (self.ending + AT_ONCE).min(self.flows.table.len());
        for index in self.ending..until {
            self.flows.end_last(index);
        }
        self.ending = until;
        true
    }
}
