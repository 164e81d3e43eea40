//! Whose answers a script is checked and compiled by.

use weftrace_lang::{
    recorded::{Elsewhere, RecordedWorld, Recorder, WorldLog},
    world::World,
};
use weftrace_probes::world::HostWorld;

/// Where the facts come from that a script is compiled by.
pub(super) enum Facts {
    Host,
    /// From the host, and written down.
    Noted(Box<WorldLog>),
    Recorded(Box<RecordedWorld>),
}

impl Facts {
    /// `noted`: what the host answers is written down.
    pub(super) fn of(log: Option<&WorldLog>, noted: bool) -> Self {
        match log {
            Some(log) => Self::Recorded(Box::new(RecordedWorld::new(log.clone()))),
            None if noted => Self::Noted(Box::default()),
            None => Self::Host,
        }
    }

    /// What was written down.
    pub(super) fn take_log(&mut self) -> Option<WorldLog> {
        match std::mem::replace(self, Self::Host) {
            Self::Noted(log) => Some(*log),
            _ => None,
        }
    }

    pub(super) fn ask<R>(&mut self, host: &HostWorld, ask: impl FnOnce(&dyn World) -> R) -> R {
        match self {
            Self::Host => ask(host),
            Self::Noted(log) => {
                let recorder = Recorder::after(host, std::mem::take(&mut **log));
                let answer = ask(&Elsewhere { facts: &recorder, texts: host });
                **log = recorder.into_log();
                answer
            }
            Self::Recorded(world) => ask(&Elsewhere { facts: &**world, texts: host }),
        }
    }
}
