//! What the run reads of maps that blocks fill which no replay runs: the kernel's, above all. Noted while the run is recorded; in a replay
//! it is answered from the recording, in the same order, and what is written to such maps goes nowhere.

use super::{Element, Merged, Snapshot};
use crate::record::{Event, Notes};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};
use weftrace_artifact::map::{Home, MapId, MapSpec};

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) map: u32,
    pub(crate) what: What,
}

/// Values and elements are in a value's own layout, merged over CPUs and homes, without the zeroes at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An element's value; None: there is none.
    Value(Option<Vec<u8>>),
    /// Keys and values, in the order in which they are shown; `more`: the next answer goes on with it.
    Elements { all: Vec<(Vec<u8>, Vec<u8>)>, more: bool },
    /// What an update, a deletion or the number of elements came to.
    Result(i64),
}

/// No map: what a clock said that isn't the events' own.
pub(crate) const CLOCK: MapId = MapId(u32::MAX);

/// Bytes of elements in one answer.
const PART: usize = 32 << 10;

/// Where answers come from, and whether they are noted.
#[derive(Debug, Default)]
pub(crate) enum Reads {
    #[default]
    Live,
    Noted {
        /// By map: a replay can't know what is in it.
        maps: Vec<bool>,
        notes: Notes,
        /// A block runs that no replay runs: what it asks nobody will ask again.
        aside: Cell<bool>,
    },
    Recorded {
        maps: Vec<bool>,
        answers: RefCell<VecDeque<Read>>,
        /// Something was asked that the recording doesn't answer.
        astray: Cell<bool>,
    },
}

impl Reads {
    pub(crate) fn noted(maps: Vec<bool>, notes: Notes) -> Self {
        Self::Noted { maps, notes, aside: Cell::new(false) }
    }

    pub(crate) fn recorded(maps: Vec<bool>) -> Self {
        Self::Recorded { maps, answers: RefCell::default(), astray: Cell::new(false) }
    }

    /// Whether what is read of a map is noted, or answered from a recording.
    pub(crate) fn concern(&self, map: MapId) -> bool {
        match self {
            Self::Live => false,
            Self::Noted { aside, .. } if aside.get() => false,
            Self::Noted { maps, .. } | Self::Recorded { maps, .. } => {
                maps.get(map.0 as usize).copied().unwrap_or(false)
            }
        }
    }

    /// A block runs from now on that no replay runs, or none.
    pub(crate) fn set_aside(&self, unplayed: bool) {
        if let Self::Noted { aside, .. } = self {
            aside.set(unplayed);
        }
    }

    /// The same for single elements: of a map with a part here the handlers see that part alone, which a replay has too.
    pub(crate) fn concern_elements(&self, spec: &MapSpec, map: MapId) -> bool {
        self.concern(map) && spec.home != Home::Both
    }

    pub(crate) fn are_recorded(&self) -> bool {
        matches!(self, Self::Recorded { .. })
    }

    /// What comes next in the recording.
    pub(crate) fn push(&self, read: Read) {
        if let Self::Recorded { answers, .. } = self {
            answers.borrow_mut().push_back(read);
        }
    }

    pub(crate) fn is_astray(&self) -> bool {
        matches!(self, Self::Recorded { astray, .. } if astray.get())
    }

    /// The next answer, if it is about this map; None: it isn't, or there is none.
    fn next(&self, map: MapId) -> Option<What> {
        let Self::Recorded { answers, astray, .. } = self else { return None };
        let mut answers = answers.borrow_mut();
        let found = answers.front().is_some_and(|read| read.map == map.0);
        astray.set(astray.get() || !found);
        found.then(|| answers.pop_front()).flatten().map(|read| read.what)
    }

    fn went_astray(&self) {
        if let Self::Recorded { astray, .. } = self {
            astray.set(true);
        }
    }

    /// A recorded element's value, filled up to `size`.
    pub(crate) fn value(&self, map: MapId, size: usize) -> Option<Vec<u8>> {
        match self.next(map) {
            Some(What::Value(value)) => value.map(|value| filled(value, size)),
            Some(_) => {
                self.went_astray();
                None
            }
            None => None,
        }
    }

    /// A recorded result; 0 if there is none.
    pub(crate) fn result(&self, map: MapId) -> i64 {
        match self.next(map) {
            Some(What::Result(n)) => n,
            Some(_) => {
                self.went_astray();
                0
            }
            None => 0,
        }
    }

    /// What a clock says, read by `now`; in a replay what it said.
    pub(crate) fn clock(&self, now: impl FnOnce() -> u64) -> u64 {
        match self {
            Self::Recorded { .. } => self.result(CLOCK) as u64,
            Self::Noted { aside, .. } if !aside.get() => {
                let time = now();
                self.note_result(CLOCK, time as i64);
                time
            }
            Self::Noted { .. } | Self::Live => now(),
        }
    }

    /// A recorded map, as it was shown.
    pub(crate) fn snapshot<'s>(&self, map: MapId, spec: &'s MapSpec) -> Snapshot<'s> {
        let mut elements = Vec::new();
        loop {
            match self.next(map) {
                Some(What::Elements { all, more }) => {
                    elements.extend(all.into_iter().map(|(key, value)| element(spec, key, value)));
                    if !more {
                        break;
                    }
                }
                Some(_) => {
                    self.went_astray();
                    break;
                }
                None => break,
            }
        }
        Snapshot { spec, elements }
    }

    fn note(&self, map: MapId, what: What) {
        if let Self::Noted { notes, .. } = self {
            notes.note(&Event::Read(Read { map: map.0, what }));
        }
    }

    pub(crate) fn note_value(&self, map: MapId, value: Option<&[u8]>) {
        self.note(map, What::Value(value.map(|value| trimmed(value).to_vec())));
    }

    pub(crate) fn note_result(&self, map: MapId, result: i64) {
        self.note(map, What::Result(result));
    }

    pub(crate) fn note_elements(&self, map: MapId, spec: &MapSpec, elements: &[Element]) {
        let mut all = Vec::new();
        let mut bytes = 0;
        for element in elements {
            let value = element.value.bytes(spec.value.size() as usize);
            let value = trimmed(&value).to_vec();
            bytes += element.key.len() + value.len();
            all.push((element.key.clone(), value));
            if bytes >= PART {
                bytes = 0;
                self.note(map, What::Elements { all: std::mem::take(&mut all), more: true });
            }
        }
        self.note(map, What::Elements { all, more: false });
    }
}

fn element(spec: &MapSpec, key: Vec<u8>, value: Vec<u8>) -> Element {
    let mut merged = Merged::empty(&spec.value);
    merged.add(&spec.value, &filled(value, spec.value.size() as usize));
    let size = if spec.key.is_some() { spec.key_size as usize } else { 0 };
    Element { key: filled(key, size), value: merged }
}

/// Histograms are zeroes, mostly.
fn trimmed(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    &value[..end]
}

fn filled(mut value: Vec<u8>, size: usize) -> Vec<u8> {
    value.resize(size, 0);
    value
}

#[cfg(test)]
#[path = "reads_tests.rs"]
mod tests;
