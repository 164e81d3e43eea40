//! Run-time warnings: told when they first happen and then at most once a second for each place; at the end, how often.

use super::core::Core;
use crate::{
    decode,
    join::show::line::ms,
    sink::{Location, Message},
};
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    rc::Rc,
};
use weftrace_artifact::{
    abi::RecordHeader,
    action::{Action, ActionKind, LogLevel, StreamId, Warning},
    map::Role,
};
use weftrace_probes::kernel::maps::read_losses;

/// Between two warnings about one place.
const PAUSE_NS: u64 = 1_000_000_000;

const DIVISION: &str =
    "Divide or modulo by 0 detected. This can lead to unexpected results. 1 is being used as the result.";
const BOUNDS: &str = "Array access out of bounds. This can lead to unexpected results.";
const MAP_FULL: &str = "Map full; can't update element. Try increasing max_map_keys config or manually setting the max \
                        entries in a map declaration e.g. `let @a = hash(5000)`";
const NO_ELEMENT: &str = "Can't lookup map element because it does not exist.";

/// What was told about each place, by its counter.
#[derive(Debug, Default)]
pub(super) struct Warned {
    sites: HashMap<u32, Told>,
    /// Streams whose records came too late.
    late: BTreeSet<StreamId>,
}

#[derive(Debug, Default)]
struct Told {
    times: u64,
    last: u64,
    /// The helper's last result.
    result: i64,
}

impl Core {
    pub(super) fn warning(&mut self, header: RecordHeader, action: &Action, payload: &[u8]) {
        let ActionKind::Warn { about, site } = &action.kind else { return };
        let result = action.args.first().map_or(0, |f| decode::u64_at(decode::member(f, payload), 0) as i64);
        let told = self.warned.sites.entry(*site).or_default();
        told.result = result;
        if told.times > 0 && header.time.saturating_sub(told.last) < PAUSE_NS {
            return;
        }
        told.times += 1;
        told.last = header.time;
        self.say_warning(action, about, result, 1);
    }

    fn say_warning(&mut self, action: &Action, about: &Warning, result: i64, times: u64) {
        let at = self.locate(action.place);
        let text = text(about, result);
        let helper = if let Warning::Helper(name) = about { Some((name.as_str(), result)) } else { None };
        self.say(&Message::Warning { text: &text, helper, at: &at, times });
    }

    /// A leg's record came after results that it may belong to: told once of each stream, a join's summary counts them. It isn't noted in a recording:
    /// whoever replays that finds it again.
    pub(super) fn warn_late(&mut self, join: u32, stream: StreamId, by: u64) {
        if !self.warned.late.insert(stream) {
            return;
        }
        let artifact = Rc::clone(&self.artifact);
        let join = artifact.joins.get(join as usize).map_or("", |spec| &spec.name);
        let name = artifact.streams.get(stream.0 as usize).map_or("", |spec| &spec.name);
        let longer: Vec<_> =
            self.supply.feeding_names(stream).iter().map(|of| format!("--lateness {of}=TIME")).collect();
        let text = format!(
            "a record of {name} came {} ms too late for join {join}: results that it may belong to were told without it; with {}, longer by that, they \
             wait for it",
            ms(by).max(1),
            longer.join(" or "),
        );
        self.say(&Message::Log { level: LogLevel::Warning, text: text.as_bytes(), at: &Location::default() });
    }

    /// At the end: how often it happened, where that is more often than it was told.
    pub(super) fn sum_up_warnings(&mut self) {
        if self.warned.sites.is_empty() {
            return;
        }
        let counts = self.warning_counts();
        let artifact = Rc::clone(&self.artifact);
        for action in &artifact.actions {
            let ActionKind::Warn { about, site } = &action.kind else { continue };
            let Some(told) = self.warned.sites.get(site) else { continue };
            let (times, result) = (told.times, told.result);
            if let Some(&all) = counts.get(*site as usize).filter(|all| **all > times) {
                self.say_warning(action, about, result, all);
            }
        }
    }

    /// By counter: the kernel's, over all CPUs, and the handlers'.
    fn warning_counts(&self) -> Vec<u64> {
        let store = self.native.store();
        let mut counts = store.kernel_by_role(Role::Warnings).and_then(|map| read_losses(map).ok()).unwrap_or_default();
        let sites = store.by_role(Role::Warnings).and_then(|m| store.spec(m)).map_or(0, |s| s.max_entries);
        counts.resize(sites as usize, 0);
        let home = store.by_role(Role::Warnings).and_then(|m| store.home(m));
        if let Some(user) = home.and_then(|home| home.user.as_ref()) {
            user.for_each(|key, value| {
                if let Some(count) = counts.get_mut(decode::u32_at(key, 0) as usize) {
                    *count += decode::u64_at(value, 0);
                }
            });
        }
        counts
    }
}

fn text(about: &Warning, result: i64) -> Cow<'_, str> {
    match about {
        Warning::DivisionByZero => DIVISION.into(),
        Warning::ArrayBounds => BOUNDS.into(),
        Warning::Other(text) => text.into(),
        Warning::Helper(name) if name == "map_lookup_elem" => NO_ELEMENT.into(),
        Warning::Helper(name) if name == "map_update_elem" && result == -i64::from(libc::E2BIG) => MAP_FULL.into(),
        Warning::Helper(_) => {
            let error = std::io::Error::from_raw_os_error(result.unsigned_abs() as i32).to_string();
            error.split(" (os error").next().unwrap_or_default().to_owned().into()
        }
    }
}
