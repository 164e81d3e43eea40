//! What of the recorded script runs again in a replay, and how what doesn't run is acted on.

use super::{Core, Event, Next, Replay};
use crate::{
    engine::recording::is_replayed,
    losses::LossKind,
    record::{run::ActionSign, write::signs},
};
use std::collections::{BTreeMap, VecDeque};
use weftrace_artifact::{Artifact, abi::RECORD_HEADER_SIZE, action::StreamId, map::MapSpec};

/// What of the script's emits a replay leaves to the recording.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// By stream: the recording has its records.
    pub(super) recorded: Vec<bool>,
    /// By probe: what it emits was recorded with its source.
    pub(super) by_source: Vec<bool>,
    /// By probe: time or a signal runs it, and it may have run in the kernel.
    pub(super) by_time: Vec<bool>,
    /// By stream: such blocks made records of it in user space, as they do again.
    pub(super) made: Vec<bool>,
    pub(crate) same: bool,
}

impl Replayed {
    /// Whether the recording has a stream's records.
    pub(crate) fn has(&self, stream: StreamId) -> bool {
        self.recorded.get(stream.0 as usize).copied().unwrap_or(false)
    }

    /// A packet block's record, which comes out of the recording too.
    pub(crate) fn drops(&self, stream: StreamId, probe: u32) -> bool {
        let is = |list: &[bool], at: u32| list.get(at as usize).copied().unwrap_or(false);
        self.has(stream) && (is(&self.by_source, probe) || (is(&self.by_time, probe) && !is(&self.made, stream.0)))
    }
}

/// Events behind the end of a run: END's blocks are short.
const MOST_BEHIND: usize = 1 << 16;

/// Action, probe, time, payload, as they were recorded.
pub(super) type Acted = (u32, u32, u64, Vec<u8>);

impl Replay {
    /// What a block wanted done that doesn't run here.
    pub(super) fn action(&mut self, (action, probe, time): (u32, u32, u64), payload: &[u8], core: &mut Core) {
        if !self.same {
            return;
        }
        let own = |list: &[Option<u32>], at: u32| list.get(at as usize).copied().flatten();
        let (Some(own), Some(probe)) = (own(&self.actions, action), own(&self.probes, probe)) else {
            self.strange += 1;
            return;
        };
        self.last_time = self.last_time.max(time);
        let mut record = Vec::with_capacity(RECORD_HEADER_SIZE as usize + payload.len());
        for word in [own, probe] {
            record.extend(word.to_ne_bytes());
        }
        record.extend(time.to_ne_bytes());
        record.extend(payload);
        core.record(&record);
    }

    /// What later events ask for.
    pub(super) fn told_ahead(&self, event: Event, core: &mut Core) {
        core.told_ahead(event, &self.maps);
    }

    /// A later version of the recorded script may ask for what that one didn't, or not do what it did.
    pub(super) fn tell_strange(&mut self, core: &mut Core) {
        let astray = core.native.store().reads.is_astray();
        if self.strange > 0 {
            core.losses.add("recording", LossKind::Unread, self.strange);
        }
        if self.strange == 0 && !astray {
            return;
        }
        self.damaged = true;
        let what = match (self.strange, astray) {
            (0, _) => "asks its maps for what was not recorded: they read as empty".to_owned(),
            (n, false) => format!("has no place for {n} things that kernel blocks did"),
            (n, true) => format!("has no place for {n} things that kernel blocks did, and asks its maps for others"),
        };
        core.warn(&format!("the script is not as it was recorded: it {what}; record it anew"));
    }

    /// What END's block of a probe did in the kernel: it is behind the recorded run's end, if this one came so far.
    pub(crate) fn run_end(&mut self, probe: u32, core: &mut Core) {
        if self.end.is_none() {
            return;
        }
        let behind = match self.behind.take() {
            Some(behind) => behind,
            None => self.read_behind(core),
        };
        let own = |recorded: u32| self.probes.get(recorded as usize).copied().flatten();
        let (its, others) = behind.into_iter().partition(|(_, recorded, ..)| own(*recorded) == Some(probe));
        self.behind = Some(others);
        let its: Vec<Acted> = its;
        for (action, recorded, time, payload) in its {
            self.action((action, recorded, time), &payload, core);
        }
    }

    /// All actions behind the run's end.
    fn read_behind(&mut self, core: &mut Core) -> Vec<Acted> {
        let mut behind = Vec::new();
        for _ in 0..MOST_BEHIND {
            match self.recording.next() {
                Ok(Next::Event(Event::Action { action, probe, time, payload })) => {
                    behind.push((action, probe, time, payload));
                }
                Ok(Next::Event(event)) => self.told_ahead(event, core),
                Ok(Next::Packet(..) | Next::Foreign) => {}
                Ok(Next::End) | Err(_) => break,
            }
        }
        behind
    }
}

/// The script's actions by the recorded ones', also where the script is a later version of that one: those that are the same in all, in
/// order; of the rest those of a kind, if there are as many. None: it has none that it could be.
pub(super) fn own_actions(recorded: &[ActionSign], artifact: &Artifact) -> Vec<Option<u32>> {
    let own = signs(artifact);
    let mut found = vec![None; recorded.len()];
    let mut taken = vec![false; own.len()];
    for sign in [(|s: &ActionSign| s.exact) as fn(&ActionSign) -> u64, |s| s.loose] {
        let mut groups: BTreeMap<u64, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (at, action) in recorded.iter().enumerate().filter(|(at, _)| found[*at].is_none()) {
            groups.entry(sign(action)).or_default().0.push(at);
        }
        for (at, action) in own.iter().enumerate().filter(|(at, _)| !taken[*at]) {
            groups.entry(sign(action)).or_default().1.push(at);
        }
        for (theirs, ours) in groups.into_values().filter(|(theirs, ours)| theirs.len() == ours.len()) {
            for (their, our) in theirs.into_iter().zip(ours) {
                (found[their], taken[our]) = (Some(our as u32), true);
            }
        }
    }
    let done = |n: &u32| artifact.actions.get(*n as usize).is_some_and(|action| is_replayed(&action.kind));
    found.into_iter().map(|own| own.filter(done)).collect()
}

/// The script's probes by the recorded ones': the n-th of a name is the n-th.
pub(super) fn own_probes(recorded: &[String], artifact: &Artifact) -> Vec<Option<u32>> {
    let mut own: BTreeMap<&str, VecDeque<u32>> = BTreeMap::new();
    for (number, plan) in (0..).zip(&artifact.probes) {
        own.entry(&plan.name).or_default().push_back(number);
    }
    recorded.iter().map(|name| own.get_mut(&**name)?.pop_front()).collect()
}

/// The script's maps by the recorded ones', by name and layout.
pub(crate) fn own_maps(recorded: &[(String, u32, u32)], artifact: &Artifact) -> Vec<Option<u32>> {
    let is = |spec: &MapSpec, (name, key, value): &(String, u32, u32)| {
        spec.name == *name && spec.key_size == *key && spec.value_size == *value
    };
    let own = |map: &(String, u32, u32)| artifact.maps.iter().position(|spec| is(spec, map)).map(|at| at as u32);
    recorded.iter().map(own).collect()
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
