//! Whether names of kernel functions stand for one function each. A kprobe on a name of several is refused; what is attached in its
//! place by type information is at the first of them. Only the table of symbols tells, and reading it takes longer than all of
//! starting: a thread does it while the script runs.

use super::Running;
use crate::sink::Message;
use std::sync::mpsc::{Receiver, channel};
use weftrace_artifact::{Place, action::LogLevel, plan::Way};
use weftrace_probes::symbols::kallsyms;

/// A question about names that is being answered.
#[derive(Debug)]
pub(super) struct Unique {
    answer: Receiver<Vec<(String, usize)>>,
}

impl Unique {
    /// Begins to look; None: there is nothing to ask, or no thread to be had.
    pub(super) fn ask(names: Vec<String>) -> Option<Self> {
        if names.is_empty() {
            return None;
        }
        let (to, answer) = channel();
        let look = move || {
            let _ = to.send(kallsyms::count_functions(&names).unwrap_or_default());
        };
        std::thread::Builder::new().name("symbols".into()).stack_size(128 << 10).spawn(look).ok()?;
        Some(Self { answer })
    }

    /// Names of several functions, with their number; None: not known yet. `wait`: until it is.
    pub(super) fn several(&self, wait: bool) -> Option<Vec<(String, usize)>> {
        let counts = if wait { self.answer.recv().unwrap_or_default() } else { self.answer.try_recv().ok()? };
        Some(counts.into_iter().filter(|(_, count)| *count > 1).collect())
    }
}

impl Running {
    /// Looks after what was attached by type information in a kprobe's place.
    pub(super) fn ask_unique(&mut self) {
        let artifact = &self.core.artifact;
        let taken =
            self.taken.iter().filter_map(|(index, taken)| artifact.probes[*index as usize].ways().nth(taken.at));
        let names = taken.filter(|one| !one.why.is_empty()).filter_map(|one| match &one.way {
            Way::Fentry { function, module: None, bpf: None, .. } => Some(function.clone()),
            _ => None,
        });
        self.unique = Unique::ask(names.collect());
    }

    /// Says of what names several functions that only one of them is traced.
    pub(super) fn tell_several(&mut self, wait: bool) {
        let Some(several) = self.unique.as_ref().and_then(|unique| unique.several(wait)) else { return };
        self.unique = None;
        for (name, count) in several {
            let text = format!(
                "this kernel has {count} functions {name}: only the first is traced\n   = config = {{ attach = written }} attaches \
                 by a kprobe, which the kernel refuses where a name is not unique"
            );
            let of = self.core.artifact.probes.iter().find(|plan| plan.best.way.function() == name);
            let at = self.core.locate(of.map_or_else(Place::default, |plan| plan.place));
            self.core.say(&Message::Log { level: LogLevel::Warning, text: text.as_bytes(), at: &at });
        }
    }
}
