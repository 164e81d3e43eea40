//! Splits one unit: its outermost loops become units of their own.

use super::{
    Call, Kind, MAX_DEPTH, State, Unit,
    edit::{empty, finish, param},
    liveness::{Border, border, remade},
    loops::{self, Loop},
    piece::{GO_ON, Piece},
};
use crate::ir::{
    Block, Dest, Function, Helper, Inst, Op, Space, SpanId, Term, Ty, Value,
    cfg::{Cfg, Positions},
};
use std::collections::{BTreeSet, HashMap};
use weftrace_artifact::map::MapId;

/// Takes all loops out of a unit that are not better left where they are.
pub(super) fn unit(state: &mut State<'_>, index: usize) {
    lengths(state, index);
    let mut refused = BTreeSet::new();
    // Scans that stay, and what they may take yet.
    let mut scans = BTreeSet::new();
    loop {
        let func = &state.units[index].func;
        let cfg = Cfg::new(func);
        let mut all = loops::find(func, &cfg);
        all.extend(loops::single_rounds(func));
        let left = &mut state.scans_left;
        let mut stays = |l: &Loop| match loops::short_scan(func, l, &all) {
            Some(_) if scans.contains(&l.header) => true,
            Some((_, length)) if length <= *left => {
                *left -= length;
                scans.insert(l.header)
            }
            _ => false,
        };
        let mut wanted = |l: &&Loop| {
            !refused.contains(&l.header) && (loops::elements(func, l).is_some() || state.features.bpf_loop && !stays(l))
        };
        let Some(l) = all.iter().find(|l| wanted(l)).cloned() else { return };
        if !take(state, index, l.clone(), &cfg) {
            refused.insert(l.header);
        }
    }
}

/// `len(@m)`: elements are counted by visiting them.
fn lengths(state: &mut State<'_>, index: usize) {
    let unit = &state.units[index];
    let insts = unit.func.blocks.iter().flat_map(|b| &b.insts).copied();
    let found: Vec<(Inst, MapId)> = insts
        .filter(|i| !unit.calls.contains_key(i))
        .filter_map(|i| match unit.func.insts[i.index()].op {
            Op::Call { helper: Helper::MapLen, map: Some(map), .. } => Some((i, map)),
            _ => None,
        })
        .collect();
    for (inst, map) in found {
        let counter = counter(state, index);
        state.units[index].calls.insert(inst, Call { unit: counter, links: vec![], over: Some(map), shares: false });
    }
}

fn counter(state: &mut State<'_>, from: usize) -> usize {
    if let Some(unit) = state.counter {
        return unit;
    }
    let mut func = state.units[from].func.clone();
    func.blocks.truncate(1);
    func.blocks[0] = empty();
    func.blocks[0].params = state.units[from].func.blocks[0].params[..1].to_vec();
    for _ in 0..2 {
        param(&mut func, Ty::Ptr(Space::Map));
    }
    func.name.push_str("_count");
    finish(&mut func, Block(0), GO_ON, SpanId(0));
    state.units.push(Unit {
        func,
        kind: Kind::Element,
        depth: MAX_DEPTH,
        imports: vec![],
        at_home: BTreeSet::new(),
        calls: HashMap::new(),
    });
    state.counter = Some(state.units.len() - 1);
    state.units.len() - 1
}

/// A way out of a loop: every edge with the same destination and arguments.
pub(super) struct Exits {
    pub(super) ways: Vec<Dest>,
    /// The way where a map has no more elements; it is number 0.
    pub(super) natural: Option<Dest>,
}

impl Exits {
    /// The number of a way, which the loop leaves in its exit word.
    pub(super) fn number(&self, dest: &Dest) -> i64 {
        if self.natural.as_ref() == Some(dest) {
            return 0;
        }
        self.ways.iter().position(|d| d == dest).map_or(0, |n| n as i64 + 1)
    }
}

/// Makes the loop a unit; whether that can be done.
fn take(state: &mut State<'_>, index: usize, mut l: Loop, cfg: &Cfg) -> bool {
    let unit = &state.units[index];
    let func = &unit.func;
    let positions = Positions::new(func);
    let elements = loops::elements(func, &l);
    let header = func.blocks[l.header.index()].clone();
    if unit.depth >= MAX_DEPTH {
        state.too_deep.get_or_insert(header.term_span);
        return false;
    }
    if header.params.iter().any(|p| func.value_type(*p) != Ty::I64) {
        return false;
    }
    let Some(border) = closed(func, cfg, &positions, &mut l) else { return false };
    let natural = elements.and_then(|_| match &header.term {
        Term::Brif { otherwise, .. } => Some(otherwise.clone()),
        _ => None,
    });
    let in_header = |v: &Value| {
        let block = positions.of_value(func, *v).map(|(block, _)| block);
        block == Some(l.header) && !header.params.contains(v) && !remade(func, *v)
    };
    if natural.is_some() && border.after.iter().any(in_header) {
        return false;
    }
    let mut exits = Exits { ways: vec![], natural };
    for &block in &l.blocks {
        for (dest, _) in func.blocks[block.index()].term.targets() {
            if !l.blocks.contains(&dest.block) && exits.natural.as_ref() != Some(dest) && !exits.ways.contains(dest) {
                exits.ways.push(dest.clone());
            }
        }
    }
    let piece = Piece { l, border, exits, elements, header, exit_word: state.new_home() };
    let body = piece.body(state, index, cfg, &positions);
    state.units.push(body);
    piece.call(state, index);
    true
}

/// The loop with the blocks that only its pointers lead to, so that no pointer leaves it; and what crosses its border then.
fn closed(func: &Function, cfg: &Cfg, positions: &Positions, l: &mut Loop) -> Option<Border> {
    loop {
        let border = border(func, cfg, positions, l);
        let escapes = |v: &Value| func.value_type(*v) != Ty::I64 && !remade(func, *v);
        let own = |block: Block| {
            let targets = func.blocks[block.index()].term.targets();
            targets.into_iter().filter(|(d, own)| *own > 0 && !l.blocks.contains(&d.block)).map(|(d, _)| d.block)
        };
        let handed: Vec<Block> = l.blocks.iter().flat_map(|b| own(*b)).collect();
        let pointers: Vec<Value> = border.after.iter().copied().filter(escapes).collect();
        if handed.is_empty() && pointers.is_empty() {
            return Some(border);
        }
        let mut outside: BTreeSet<Block> = l
            .blocks
            .iter()
            .flat_map(|b| func.blocks[b.index()].term.targets())
            .map(|(d, _)| d.block)
            .filter(|b| !l.blocks.contains(b))
            .collect();
        outside.retain(|b| {
            cfg.preds(*b).iter().all(|p| l.blocks.contains(p) || !cfg.is_reachable(*p))
                && !matches!(func.blocks[b.index()].term, Term::Return(_) | Term::None)
        });
        if !handed.is_empty() {
            outside.retain(|b| handed.contains(b));
        }
        if outside.is_empty() {
            return None;
        }
        l.blocks.extend(outside);
    }
}
