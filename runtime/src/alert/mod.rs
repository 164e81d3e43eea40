//! Alerts: what the blocks of `alert` tell becomes what is told to people.
//!
//! - `engine`: when one fires and resolves, pure
//! - `notice`: as text and JSON, with nothing in it that could write into a terminal or a chat
//! - `target`: sinks with their addresses and secrets
//! - `payload`: what is sent to each kind of sink
//! - `blot`: what is secret, taken out of what receivers answer
//! - `worker`: a queue and a thread for each sink that is elsewhere; `sender`: what the thread does; `window`: a sink's rate
//! - `file`: files that alerts are appended to

mod blot;
mod engine;
mod file;
mod notice;
mod payload;
mod sender;
mod target;
mod window;
mod worker;

pub(crate) use engine::{Engine, Found, MOST_GROUPS, State, Told};
pub(crate) use notice::{Notice, clean, clean_value, cut};
pub(crate) use payload::label_value;
pub use target::{AlertTargets, TargetError};

use file::FileSink;
use std::{io, time::Instant};
use target::Target;
use weftrace_artifact::alert::{AlertSpec, SinkKind};
use worker::Remote;

/// What became of the alerts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertCounts {
    /// Times that a group began to fire.
    pub fired: u64,
    /// Groups that still fired at the end.
    pub firing: u64,
}

/// A script's alerts while it runs.
pub(crate) struct Alerts {
    pub(crate) engine: Engine,
    pub(crate) specs: Vec<AlertSpec>,
    targets: AlertTargets,
    files: Vec<Option<FileSink>>,
    remotes: Vec<Option<Remote>>,
    said: Vec<String>,
    ended: bool,
}

impl Alerts {
    /// Opens the files that alerts are written to.
    pub(crate) fn new(specs: &[AlertSpec], targets: AlertTargets) -> io::Result<Self> {
        let open = |target: &Target| match target.kind {
            SinkKind::File => FileSink::open(target.at.reveal()).map(Some),
            _ => Ok(None),
        };
        let files = targets.targets.iter().map(open).collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            engine: Engine::new(specs),
            specs: specs.to_vec(),
            remotes: targets.targets.iter().map(|_| None).collect(),
            targets,
            files,
            said: Vec::new(),
            ended: false,
        })
    }

    /// Sends a notice to its alert's sinks. True: one of them is the run's own output.
    pub(crate) fn tell(&mut self, notice: &Notice) -> bool {
        let mut here = false;
        for &at in self.targets.of.get(notice.alert).map_or(&[][..], Vec::as_slice) {
            let Some(target) = self.targets.targets.get(at) else { continue };
            if target.is_remote() {
                if self.ended {
                    continue;
                }
                // By now privileges have been given up.
                let start = || Remote::start(target, &self.targets.script, self.targets.client.clone());
                self.remotes[at].get_or_insert_with(start).send(Box::new(notice.clone()));
            } else if let Some(file) = &mut self.files[at] {
                self.said.extend(file.write(notice.json()));
            } else {
                here |= target.kind == SinkKind::Stderr;
            }
        }
        here
    }

    /// What is to be told of the sinks now.
    pub(crate) fn take_said(&mut self) -> Vec<String> {
        let mut said = std::mem::take(&mut self.said);
        said.extend(self.remotes.iter().flatten().flat_map(Remote::take_said));
        said
    }

    pub(crate) fn counts(&self) -> AlertCounts {
        let add = |all: AlertCounts, one: engine::Counts| AlertCounts {
            fired: all.fired + one.fired,
            firing: all.firing + one.firing,
        };
        self.engine.counts().fold(AlertCounts::default(), add)
    }

    /// The end: waits for what is on its way, for all sinks together no longer than for one, and says what was not sent or not looked at.
    pub(crate) fn finish(&mut self) -> Vec<String> {
        self.ended = true;
        let mut said = self.take_said();
        let now = Instant::now();
        self.remotes.iter_mut().flatten().for_each(|remote| remote.end(now));
        for remote in &mut self.remotes {
            said.extend(remote.take().map(|remote| remote.finish(worker::last_due(now))).unwrap_or_default());
        }
        said.extend(self.files.iter().flatten().filter_map(FileSink::lost));
        for (spec, counts) in self.specs.iter().zip(self.engine.counts()) {
            if counts.left_out > 0 {
                let (name, n) = (&spec.name, counts.left_out);
                said.push(format!(
                    "alert \"{name}\": {n} times a group was left out: more than {MOST_GROUPS} at a time"
                ));
            }
        }
        said
    }
}
