//! What is presented to handlers of a packet: the messages that ended in it, as parts of its view.
//!
//! A packet's first presentation has the first part of every family (HTTP, TLS, …) in it; further parts of a family follow one by
//! one, for the blocks that read fields of that family.

use std::collections::{BTreeMap, VecDeque};
use weftrace_artifact::packet::{PacketView, layer};

/// Parts that one packet may bring; a packet can complete many messages that waited behind a hole.
const MAX_PARTS: usize = 16_384;

/// Something that ended in a packet.
pub(crate) trait Part: Send {
    /// Its family: the [`weftrace_artifact::packet::needs`] bit of its fields.
    fn family(&self) -> u32;

    /// To be presented after the family's other parts of the packet.
    fn late(&self) -> bool {
        false
    }

    /// Fills the family's fields and sets its layer bits. `number`: 0 in the packet's first presentation, then 1, 2, …
    /// Strings may point into `self`.
    fn present(&self, number: u32, view: &mut PacketView);
}

/// Parts of the packet in hand.
#[derive(Default)]
pub(crate) struct Parts {
    waiting: VecDeque<Box<dyn Part>>,
    /// Parts in the view, whose strings must stay, with how many of their family were presented.
    presented: Vec<(Box<dyn Part>, u32)>,
    /// Parts that were too many for one packet.
    pub(crate) dropped: u64,
    /// Ends of exchanges that wait for their acknowledgement: time, how many.
    unsettled: BTreeMap<u64, u32>,
}

impl Parts {
    pub(crate) fn push(&mut self, part: impl Part + 'static) {
        if self.waiting.len() < MAX_PARTS {
            self.waiting.push_back(Box::new(part));
        } else {
            self.dropped += 1;
        }
    }

    /// An exchange that ended at this time will be presented later.
    pub(crate) fn owe(&mut self, at: u64) {
        *self.unsettled.entry(at).or_default() += 1;
    }

    /// An exchange that was owed was presented, or never will be.
    pub(crate) fn paid(&mut self, at: u64) {
        if let Some(count) = self.unsettled.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                self.unsettled.remove(&at);
            }
        }
    }

    /// Whether any exchange is still to be presented.
    pub(crate) fn owes(&self) -> bool {
        !self.unsettled.is_empty()
    }

    /// The earliest end of an exchange that is still to be presented.
    pub(crate) fn oldest_owed(&self) -> Option<u64> {
        self.unsettled.first_key_value().map(|(at, _)| *at)
    }

    /// Forgets what the last packet presented: for nearly every packet nothing.
    #[inline]
    pub(crate) fn next_packet(&mut self) {
        if !self.waiting.is_empty() || !self.presented.is_empty() {
            self.waiting.clear();
            self.presented.clear();
        }
    }

    /// Puts the first part of each family into the view of their packet.
    #[inline]
    pub(crate) fn first(&mut self, view: &mut PacketView) {
        if !self.waiting.is_empty() {
            self.first_of_each(view);
        }
    }

    fn first_of_each(&mut self, view: &mut PacketView) {
        let mut seen = 0;
        while let Some(next) = self.waiting.iter().find(|part| part.family() & seen == 0) {
            let family = next.family();
            seen |= family;
            self.present(family, view);
        }
    }

    /// Puts the next part into the view, in place of all others. Says its family.
    pub(crate) fn next(&mut self, view: &mut PacketView) -> Option<u32> {
        let family = self.waiting.front()?.family();
        view.layers &= !layer::PARTS;
        self.present(family, view);
        Some(family)
    }

    fn present(&mut self, family: u32, view: &mut PacketView) {
        let mine = |part: &dyn Part| part.family() == family;
        let at = self.waiting.iter().position(|part| mine(&**part) && !part.late());
        let Some(at) = at.or_else(|| self.waiting.iter().position(|part| mine(&**part))) else { return };
        let Some(part) = self.waiting.remove(at) else { return };
        let before = self.presented.iter().position(|(part, _)| mine(&**part));
        let number = before.map_or(0, |at| self.presented.swap_remove(at).1 + 1);
        part.present(number, view);
        self.presented.push((part, number));
    }
}
