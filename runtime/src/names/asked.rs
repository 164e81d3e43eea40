//! Names that only this host knows, noted while a run is recorded, so that its replay shows the same ones elsewhere.

use super::{Frame, HostNames, Names, Stack, Symbol, Unwound};
use crate::{
    decode::u64_at,
    record::{Event, Notes},
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::HashMap;

/// What was asked, and what was answered, both as JSON: `["user", 4711, 140225]`, `["main", 12, "shop"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) asked: Vec<u8>,
    pub(crate) answer: Vec<u8>,
}

/// Answers that are remembered as noted; more are noted again.
const MOST: usize = 1 << 16;

/// Name, offset, file.
pub(super) type SymbolAnswer = (String, u64, Option<String>);
type FrameAnswer = (String, u64, Option<String>, Option<(String, u32)>, bool);

/// Where names come from.
#[derive(Debug, Default)]
pub(crate) enum Answers {
    #[default]
    Live,
    Noted {
        notes: Notes,
        known: HashMap<Vec<u8>, Vec<u8>>,
    },
    /// What isn't there has no name: this host's would be wrong.
    Recorded(HashMap<Vec<u8>, Vec<u8>>),
}

impl Answers {
    pub(crate) fn noted(notes: Notes) -> Self {
        Self::Noted { notes, known: HashMap::new() }
    }

    pub(crate) fn recorded() -> Self {
        Self::Recorded(HashMap::new())
    }

    fn are_live(&self) -> bool {
        matches!(self, Self::Live)
    }

    /// What comes next in the recording.
    pub(crate) fn learn(&mut self, named: Named) {
        if let Self::Recorded(known) = self {
            known.insert(named.asked, named.answer);
        }
    }

    /// What a recording answers, if there is one: nothing, if it doesn't.
    fn of<A: DeserializeOwned + Default>(&self, asked: &[u8]) -> Option<A> {
        let Self::Recorded(known) = self else { return None };
        Some(known.get(asked).and_then(|answer| serde_json::from_slice(answer).ok()).unwrap_or_default())
    }

    fn note(&mut self, asked: Vec<u8>, answer: &impl Serialize) {
        let (Self::Noted { notes, known }, Ok(answer)) = (self, serde_json::to_vec(answer)) else { return };
        if known.get(&asked) == Some(&answer) {
            return;
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(asked.clone(), answer.clone());
        notes.note(&Event::Name(Named { asked, answer }));
    }
}

fn question(asked: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(asked).unwrap_or_default()
}

/// FNV-1a, 64 bits: tells copies of stacks apart.
pub(crate) fn digest(parts: [&[u8]; 2]) -> u64 {
    let bytes = parts.into_iter().flatten();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl HostNames {
    /// Asks a recording, or the host, and notes what it says.
    fn ask<A: Serialize + DeserializeOwned + Default>(
        &mut self,
        asked: &impl Serialize,
        live: impl FnOnce(&mut Self) -> A,
    ) -> A {
        if self.answers.are_live() {
            return live(self);
        }
        let asked = question(asked);
        if let Some(answer) = self.answers.of(&asked) {
            return answer;
        }
        let answer = live(self);
        self.answers.note(asked, &answer);
        answer
    }

    fn symbol(&mut self, pid: Option<u32>, addr: u64) -> Option<Symbol<'_>> {
        if self.answers.are_live() {
            return self.find(pid, addr);
        }
        let live = |names: &mut Self| {
            let found = names.find(pid, addr)?;
            Some((found.name.to_owned(), found.offset, found.module.map(str::to_owned)))
        };
        self.answered = self.ask(&("symbol", pid, addr), live);
        let (name, offset, module) = self.answered.as_ref()?;
        Some(Symbol { name, offset: *offset, module: module.as_deref() })
    }
}

impl Names for HostNames {
    fn kernel(&mut self, addr: u64) -> Option<Symbol<'_>> {
        self.symbol(None, addr)
    }

    fn user(&mut self, pid: u32, addr: u64) -> Option<Symbol<'_>> {
        self.symbol(Some(pid), addr)
    }

    fn frames(&mut self, pid: Option<u32>, addr: u64, leaf: bool) -> Vec<Frame> {
        let put = |f: Frame| -> FrameAnswer { (f.name, f.offset, f.module, f.source, f.inlined) };
        let live = |names: &mut Self| names.find_frames(pid, addr, leaf).into_iter().map(put).collect::<Vec<_>>();
        let frame =
            |(name, offset, module, source, inlined): FrameAnswer| Frame { name, offset, module, source, inlined };
        self.ask(&("frames", pid, addr, leaf), live).into_iter().map(frame).collect()
    }

    fn unwind(&mut self, pid: u32, registers: &[u8], stack: &[u8], most: usize) -> Option<Unwound> {
        let live = |names: &mut Self| {
            let found = names.follow(pid, registers, stack, most)?;
            Some((found.frames, found.beyond, found.unknown))
        };
        // A recording has the digest in place of the copy.
        let digest = match self.answers {
            Answers::Recorded(_) => u64_at(registers, 0),
            _ => digest([registers, stack]),
        };
        let asked = ("unwind", pid, digest, most);
        let (frames, beyond, unknown) = self.ask(&asked, live)?;
        Some(Unwound { frames, beyond, unknown })
    }

    fn keep_unwound(&mut self, pid: u32, registers: &[u8], stack: &[u8], most: usize) -> Option<i64> {
        match self.unwind(pid, registers, stack, most) {
            Some(found) => self.unwound.keep(found, stack.len()),
            None => Some(-i64::from(libc::EFAULT)),
        }
    }

    fn cut(&self, id: i64) -> Option<&'static str> {
        self.unwound.cut(id)
    }

    fn stack(&mut self, stack: Stack, id: i64) -> Option<Vec<u8>> {
        if let Some(frames) = self.unwound.frames(id) {
            return Some(frames.iter().flat_map(|f| f.to_ne_bytes()).collect());
        }
        self.ask(&("stack", stack.frames, stack.build_id, id), |names| names.read_stack(stack, id))
    }

    fn user_name(&mut self, uid: u32) -> Option<String> {
        self.ask(&("uid", uid), |names| names.find_user(uid))
    }

    fn cgroup_path(&mut self, id: u64, hierarchies: &str) -> String {
        self.ask(&("cgroup", id, hierarchies), |names| names.find_cgroup(id, hierarchies))
    }

    fn time(&mut self, boot_ns: u64, fmt: &str, out: &mut Vec<u8>) {
        let wall = self.clock.wall(boot_ns);
        self.clock.local(wall, fmt, out);
    }
}

#[cfg(test)]
#[path = "asked_tests.rs"]
mod tests;
