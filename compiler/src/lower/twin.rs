//! Two copies of a program at one event, so that none is missed.
//!
//! The kernel passes over an event that comes in while the same program runs on its CPU (the recursion counter of `__bpf_trace_run`,
//! kernel/trace/bpf_trace.c): an interrupt in the middle of it, say, whose packets open connections. Two copies are never in the same
//! place: what comes in while the first runs, the second sees, and the other way round. The first notes each event; the second, which the
//! kernel runs right behind it, takes the note away, and handles the event only if there was none.
//!
//! Of what the second was passed over for the note stays, until it is the least recently used.

use super::{cx::Cx, mem::Mem};
use crate::ir::{Cond, Helper};
use weftrace_artifact::{abi::LossSlot, map::Role};
use weftrace_lang::hir::{Provider, Target};

/// Which of the copies, and which of the script's pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Twin {
    pub(crate) second: bool,
    pub(crate) pair: u32,
}

/// What interrupts bring in bursts, and what is rare enough for a second program: (tracepoint, its arguments, or the first of them). One CPU handles an
/// event from its first program to its last, so the arguments tell it from all others at that moment.
static EVENTS: &[(&str, u32)] =
    &[("inet_sock_set_state", MOST), ("tcp_retransmit_skb", 2), ("tcp_retransmit_synack", 2)];
const MOST: u32 = 3;

/// Words of a note's key: arguments, and the pair.
const WORDS: u32 = 4;
const _: () = assert!(MOST < WORDS);

fn arguments(event: &str) -> Option<u32> {
    EVENTS.iter().find(|(name, _)| *name == event).map(|(_, args)| *args)
}

/// Whether a program at that event is to have a second copy.
pub(crate) fn has_twin(provider: &Provider) -> bool {
    matches!(provider, Provider::RawTracepoint { event } if arguments(event).is_some())
}

/// Whether one will, of a target as the script has it: its way to attach is not known yet.
pub(crate) fn may_have_twin(target: &Target) -> bool {
    let tracepoint = matches!(&target.provider, Provider::Tracepoint { event, .. } if arguments(event).is_some());
    tracepoint || has_twin(&target.provider)
}

impl Cx<'_, '_> {
    /// The first copy notes its event. The second goes on only without a note.
    pub(super) fn enter_twin(&mut self, twin: Twin) {
        let Some(Provider::RawTracepoint { event }) = self.target.map(|t| &t.provider) else { return };
        let Some(args) = arguments(event) else { return };
        let map = self.m.internal(Role::Twins, true);
        let (ctx, pair) = (self.b.ctx(), self.iconst(i64::from(twin.pair)));
        let key = self.temp(8 * WORDS);
        self.fill(key, 8 * WORDS);
        for n in 0..args {
            let word = self.load(8, false, Mem::new(ctx, n as i32 * 8));
            self.store(8, word, key.at(8 * n));
        }
        self.store(8, pair, key.at(8 * (WORDS - 1)));
        if !twin.second {
            let flags = self.iconst(0);
            self.b.call_map(Helper::MapUpdate, map, &[key.ptr, key.ptr, flags]);
            return;
        }
        let result = self.b.call_map(Helper::MapDelete, map, &[key.ptr]);
        let missed = self.b.icmp_imm(Cond::Slt, result, 0);
        let (go_on, seen) = (self.block(), self.block());
        self.brif(missed, go_on, seen);
        self.start(seen);
        self.leave();
        self.start(go_on);
        self.count_loss(LossSlot::Caught);
    }
}
