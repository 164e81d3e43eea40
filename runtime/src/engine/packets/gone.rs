//! A device that goes while the run goes on: what its blocks feed is unknown from then on, until one of its name is there again.

use super::LiveFeed;
use crate::{
    engine::{
        core::{Core, now},
        supply::{Change, Stall},
    },
    losses::LossKind,
};
use std::time::{Duration, Instant};

/// How often it is looked for the device.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whether the device is there.
pub(super) struct There {
    /// When it is looked for next; None: what has come in its place can't be captured on.
    look: Option<Instant>,
    gone_since: Option<Instant>,
}

impl There {
    pub(super) fn new() -> Self {
        Self { look: Some(Instant::now() + LOOK_EVERY), gone_since: None }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone_since.is_some()
    }
}

impl LiveFeed {
    /// Nothing comes any more, but what still lies in the ring.
    pub(super) fn tell_gone(&mut self, core: &mut Core) {
        if self.there.is_gone() {
            return;
        }
        self.there = There { gone_since: Some(Instant::now()), ..There::new() };
        core.supply.set_gone(self.source_id, true);
        core.warn(&format!("{}: the device has gone: until it is there again its packets are missing", self.name));
    }

    /// When to look for the device.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.there.look
    }

    /// Looks whether the device is there, if it is time: where packets come seldom nothing else shows it.
    pub(super) fn look(&mut self, core: &mut Core) {
        if self.there.look.is_none_or(|look| look > Instant::now()) {
            return;
        }
        self.there.look = Some(Instant::now() + LOOK_EVERY);
        let Some(since) = self.there.gone_since else {
            if self.source.is_gone() {
                self.tell_gone(core);
            }
            return;
        };
        match self.source.come_back() {
            Ok(false) => {}
            Ok(true) => {
                self.tell_missing(core, now());
                self.there = There::new();
                core.supply.set_gone(self.source_id, false);
                let seconds = since.elapsed().as_secs_f64();
                core.warn(&format!(
                    "{}: the device is there again, after {seconds:.1} s without its packets",
                    self.name
                ));
            }
            Err(error) => {
                self.there.look = None;
                core.warn(&format!("{error}: its packets stay missing"));
            }
        }
    }

    /// The run ends at `end`: what the joins are told at ticks may end before that.
    pub(super) fn end_without(&mut self, core: &mut Core, end: u64) {
        let Some(since) = self.there.gone_since else { return };
        let seconds = since.elapsed().as_secs_f64();
        self.tell_missing(core, end);
        core.warn(&format!("{}: the device is still gone: the last {seconds:.1} s are without its packets", self.name));
    }

    /// Packets that came before `end` are not looked at.
    pub(super) fn leave_unread(&mut self, core: &mut Core, end: u64) {
        match self.source.waiting() {
            Some(0) => {}
            Some(unread) => core.losses.add(&self.name, LossKind::Unread, unread),
            // How many isn't known, nor whether there are any.
            None => self.tell_missing(core, end),
        }
    }

    /// All from the last that was heard to `end` is missing.
    fn tell_missing(&self, core: &mut Core, end: u64) {
        let Some(source) = core.supply.get(self.source_id) else { return };
        let interval = (source.watermark(), end);
        core.stalled(&Stall { source: self.source_id, interval, change: Change::GoesOn });
    }
}
