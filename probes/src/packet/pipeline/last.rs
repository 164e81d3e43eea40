//! What ends where there is no packet that ends it: exchanges, handshakes, losses and closed windows, of connections that are still open at the end of all
//! packets, or whose ports another takes; and live, where nothing more comes of one.

use super::{Pipeline, more};
use crate::packet::{flow::Left, stream::Shared};
use weftrace_artifact::packet::{PacketView, needs};

/// How often some of the table is looked through for connections of which nothing more comes, and how many such looks see all of it.
const LOOK_NS: u64 = 1_000_000_000;
const LOOKS: usize = 16;

/// The last of connections.
#[derive(Default)]
pub(super) struct Last {
    /// What is being told.
    left: Option<Box<Left>>,
    /// At the end of all packets: the next one.
    at: usize,
    /// Live: when the next look begins, where the last one was, and how many are still to be seen in this one.
    next_look: u64,
    seen: usize,
    to_see: usize,
}

impl Last {
    /// What is left of a connection is told next. Where nobody asks for it, what another one has left is given up.
    pub(super) fn tell(&mut self, left: Box<Left>, shared: &mut Shared) {
        if let Some(mut untold) = self.left.replace(left).and_then(|untold| untold.app) {
            untold.close(shared, None);
        }
    }
}

impl Pipeline {
    /// At the end of all packets: presents exchanges still open, each with its connection's endpoints but no packet, as
    /// [`Self::next_part`] does, and says who wanted a packet of the connection (as [`Self::wanted_by`] was told). Before those of a connection what lasts of
    /// it ([`needs::STALLS`]). Call until it returns none.
    pub fn finish(&mut self, view: &mut PacketView) -> Option<(u32, u64)> {
        loop {
            if let Some(told) = self.tell_last(view) {
                return Some(told);
            }
            if self.last.at >= self.flows.table.len() {
                self.dissector.fragments.close();
                return None;
            }
            self.last.left = self.flows.leave(self.last.at as u32, self.last_boot);
            self.last.at += 1;
        }
    }

    /// The same of a connection whose ports the packet last processed has taken; and live, of those of which nothing more comes. To be called after each
    /// packet, and after [`Self::pass_time`].
    pub fn next_given_up(&mut self, view: &mut PacketView) -> Option<(u32, u64)> {
        loop {
            if let Some(told) = self.tell_last(view) {
                return Some(told);
            }
            if self.last.to_see == 0 {
                return None;
            }
            self.last.to_see -= 1;
            self.last.seen = (self.last.seen + 1) % self.flows.table.len().max(1);
            let index = self.last.seen as u32;
            if self.flows.table.get_mut(index).is_given_up(self.last_boot) {
                self.last.left = self.flows.leave(index, self.last_boot);
            }
        }
    }

    /// Live: looks through some of the table, if it is time.
    pub(super) fn look_for_last(&mut self, now: u64) {
        if now >= self.last.next_look {
            self.last.next_look = now.saturating_add(LOOK_NS);
            self.last.to_see = self.flows.table.len().div_ceil(LOOKS);
        }
    }

    fn tell_last(&mut self, view: &mut PacketView) -> Option<(u32, u64)> {
        let left = self.last.left.as_mut()?;
        let (now, wanted) = (self.last_boot, left.wanted);
        if left.lasting.is_some() || left.app.is_some() {
            // What the last packet brought is its own.
            self.shared.next_packet();
        }
        if let Some(lasting) = left.lasting.take()
            && self.needs & needs::STALLS != 0
        {
            left.begin(now, view);
            lasting.write(view);
            self.identify_last(view);
            return Some((needs::STALLS, wanted));
        }
        if let Some(mut app) = left.app.take() {
            left.begin(now, view);
            // There is no packet with which those would be counted that are passed over.
            let bound = self.shared.passing.bound.take();
            app.close(&mut self.shared, Some(now));
            self.shared.passing.bound = bound;
            self.shared.describe(view);
            self.identify_last(view);
        }
        let family = self.shared.parts.next(view);
        if family.is_none() {
            self.last.left = None;
        }
        family.map(|family| (family, wanted))
    }

    fn identify_last(&mut self, view: &mut PacketView) {
        if self.needs & more::MORE != 0 {
            self.identify(view);
        }
    }
}
