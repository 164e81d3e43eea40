//! Packet blocks, and what they need not run for: exchanges that no join would keep.

use super::core::Core;
use weftrace_artifact::packet::{PacketView, layer};
use weftrace_probes::packet::RawPacket;

impl Core {
    /// Runs a packet block. `raw` is the packet that it may keep; None: it is about something else (a connection's end).
    pub(crate) fn run_packet(&mut self, entry: u32, probe: u32, view: &PacketView, raw: Option<&RawPacket<'_>>) {
        if self.passes_over(probe, view) {
            return;
        }
        self.native.run_packet(entry, probe, view);
        if self.keeper.is_none() {
            return self.take_native();
        }
        let records = self.native.take_records();
        self.act_on(&records, |core, record| core.kept(record, raw));
    }

    /// Whether what streams carry is read by joins alone.
    pub(super) fn only_joins_read(&self) -> bool {
        self.recorder.is_none() && self.consumer.is_none() && self.replayed.is_none() && self.keeper.is_none()
    }

    /// Whether the block would only tell joins of an exchange that none of them would keep: they count it. The first of a connection may
    /// have begun before it was sent.
    fn passes_over(&mut self, probe: u32, view: &PacketView) -> bool {
        let Some(bound) = self.joins.bound(probe) else { return false };
        let http = &view.http;
        let passes = view.layers & layer::HTTP_EXCHANGE != 0
            && http.first_on_conn == 0
            && !bound.allows(http.end.saturating_sub(http.start), http.status)
            && self.only_joins_read();
        if passes {
            self.joins.pass_over(probe, (1, http.end));
        }
        passes
    }
}
