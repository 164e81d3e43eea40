//! Loops → callbacks of `bpf_loop` and `bpf_for_each_map_elem`.
//!
//! The verifier walks through a loop round by round, and every combination of values that differ is a state of its own: a loop
//! with two counters is soon too large. The body of a callback is walked once, if nothing that it knows changes from round to round.
//! So each loop of the IR becomes a [`Unit`] of its own, with no loop in it:
//!
//! - a number that crosses the loop's border (read before, changed within, used after) lives in a word of the scratch
//!   map, its *home*. The verifier knows nothing about what lies in maps, so all rounds are alike to it;
//! - a pointer is handed over in the *link area*, words of the program's frame, where the verifier keeps what it is;
//! - slots that the loop touches live in the scratch map too;
//! - where the loop leaves, it notes by which way, gives 1, and the caller goes on from there.
//!
//! The IR itself keeps its loops: the interpreter and native code run them as they are.

pub(super) mod edit;
mod first;
mod liveness;
mod loops;
mod piece;
mod split;

use super::{Error, ErrorKind, Features};
use crate::ir::{
    Block, Function, Inst, Slot, SpanId, Value,
    cfg::{Cfg, Positions},
};
use std::collections::{BTreeSet, HashMap};
use weftrace_artifact::map::{MapId, MapSpec};

/// Rounds that bpf_loop makes at most (BPF_MAX_LOOPS).
pub(super) const MAX_ROUNDS: i64 = 1 << 23;
/// Functions that may call each other, the program among them (MAX_CALL_FRAMES).
pub(super) const MAX_DEPTH: u32 = 8;

/// Instructions that the verifier may walk in loops that stay where they are: a good part of its million.
const SCANS: i64 = 200_000;

/// The link area's first words.
pub(super) const LINK_CTX: u32 = 0;
pub(super) const LINK_SCRATCH: u32 = 1;
const LINK_OWN: u32 = 2;

/// What calls a unit, and so what it finds in its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The kernel: the context.
    Program,
    /// bpf_loop: the round, the link area.
    Round,
    /// bpf_for_each_map_elem: map, key, value, the link area. The entry block's parameters after the context are key and value.
    Element,
}

/// A function of the program.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) func: Function,
    pub(super) kind: Kind,
    /// How many functions call each other down to this one, itself included.
    pub(super) depth: u32,
    /// Parameters of the entry block that come from words of the link area.
    pub(super) imports: Vec<(Value, u32)>,
    /// Numbers whose home holds them as they are.
    pub(super) at_home: BTreeSet<Value>,
    /// Instructions that call a unit; what they are in the IR only tells which pointers are handed over.
    pub(super) calls: HashMap<Inst, Call>,
}

/// A loop's call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) unit: usize,
    /// Words of the link area for the pointers that are the instruction's arguments.
    pub(super) links: Vec<u32>,
    /// Over the elements of a map rather than rounds.
    pub(super) over: Option<MapId>,
    /// The unit uses the link area (all but the one that only counts).
    pub(super) shares: bool,
}

/// A program in pieces.
#[derive(Debug)]
pub(super) struct Outlined {
    /// The program itself first.
    pub(super) units: Vec<Unit>,
    /// Words of the link area; 0: no loop was outlined.
    pub(super) links: u32,
    /// From here on slots are homes, 8 bytes each.
    pub(super) first_home: u32,
    /// Slots of the function that loops touch.
    pub(super) shared: BTreeSet<Slot>,
}

impl Outlined {
    /// Bytes of the link area.
    pub(super) fn link_size(&self) -> u32 {
        self.links * 8
    }
}

/// What splitting needs to remember over all units.
struct State<'a> {
    features: Features,
    maps: &'a [MapSpec],
    units: Vec<Unit>,
    /// The unit that does nothing with each element: its call counts them.
    counter: Option<usize>,
    slots: u32,
    homes: HashMap<Value, Slot>,
    links: HashMap<Value, u32>,
    /// A loop within more loops than functions may call each other.
    too_deep: Option<SpanId>,
    /// Instructions that the verifier may yet walk in loops that stay where they are.
    scans_left: i64,
}

impl State<'_> {
    fn new_home(&mut self) -> Slot {
        self.slots += 1;
        Slot(self.slots - 1)
    }

    fn home(&mut self, value: Value) -> Slot {
        if let Some(slot) = self.homes.get(&value) {
            return *slot;
        }
        let slot = self.new_home();
        self.homes.insert(value, slot);
        slot
    }

    fn link(&mut self, value: Value) -> u32 {
        let next = LINK_OWN + self.links.len() as u32;
        *self.links.entry(value).or_insert(next)
    }
}

/// Takes the loops out of a function.
pub(super) fn outline(func: &Function, features: Features, maps: &[MapSpec]) -> Result<Outlined, Error> {
    let first_home = func.slots.len() as u32;
    let mut whole = func.clone();
    if !features.rbpf {
        first::split(&mut whole);
    }
    let program = Unit {
        func: whole,
        kind: Kind::Program,
        depth: 1,
        imports: vec![],
        at_home: BTreeSet::new(),
        calls: HashMap::new(),
    };
    let mut state = State {
        features,
        maps,
        units: vec![program],
        counter: None,
        slots: first_home,
        homes: HashMap::new(),
        links: HashMap::new(),
        too_deep: None,
        scans_left: SCANS,
    };
    if !features.rbpf {
        let mut next = 0;
        while next < state.units.len() {
            split::unit(&mut state, next);
            next += 1;
        }
    }
    if let Some(span) = state.too_deep {
        return Err(Error::at(ErrorKind::LoopsTooDeep, func, span));
    }
    let State { mut units, slots, links, .. } = state;
    for unit in &mut units {
        unit.func.slots.resize(slots as usize, crate::ir::SlotData { size: 8, align: 8 });
    }
    let shared = units.iter().skip(1).flat_map(|u| loops::slots(&u.func)).filter(|s| s.0 < first_home).collect();
    let links = if units.len() > 1 { LINK_OWN + links.len() as u32 } else { 0 };
    Ok(Outlined { units, links, first_home, shared })
}

/// The loop that each block is in, by its header.
pub(super) fn in_loops(func: &Function) -> Vec<Option<Block>> {
    let mut found = vec![None; func.blocks.len()];
    for l in loops::find(func, &Cfg::new(func)) {
        l.blocks.iter().for_each(|b| found[b.index()] = Some(l.header));
    }
    found
}

/// What the verifier walks because of a loop that stays where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounds {
    /// How often through each of its blocks.
    pub(super) inside: u64,
    /// How many ways that differ lead out of it: one for each round, if what it counted is used later.
    pub(super) out: u64,
}

/// The rounds of the loop that a block is in.
pub(super) fn rounds(func: &Function, cfg: &Cfg) -> Vec<Rounds> {
    let mut found = vec![Rounds { inside: 1, out: 1 }; func.blocks.len()];
    let all = loops::find(func, cfg);
    let positions = Positions::new(func);
    for l in &all {
        let inside = loops::short_scan(func, l, &all).map_or(1, |(rounds, _)| rounds.max(1) as u64);
        let counted = !liveness::border(func, cfg, &positions, l).after.is_empty();
        let rounds = Rounds { inside, out: if counted { inside } else { 1 } };
        l.blocks.iter().for_each(|b| found[b.index()] = rounds);
    }
    found
}

/// Bytes of stack that the deepest chain of calls takes, given each unit's own frame, and the units in it: the kernel rounds each
/// up.
pub(super) fn stack(units: &[Unit], frames: &[u32], from: usize) -> (u32, Vec<usize>) {
    let below = units[from].calls.values().map(|c| stack(units, frames, c.unit)).max_by_key(|(size, _)| *size);
    let (size, mut chain) = below.unwrap_or_default();
    chain.push(from);
    (frames[from].max(1).next_multiple_of(32) + size, chain)
}
