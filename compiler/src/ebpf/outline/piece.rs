//! A loop on its way out: as a function of its own, and the call that stays.

use super::{
    Call, Kind, State, Unit,
    edit::{empty, finish, load, new_inst, new_value, param, placeholder, push_block, store},
    liveness::{Border, remade},
    loops::{Elements, Loop},
    split::Exits,
};
use crate::ir::{
    Block, BlockData, Cond, Dest, Function, Helper, Inst, Op, Slot, Space, SpanId, Term, Ty, Value, ValueData,
    ValueDef,
    cfg::{Cfg, Positions},
};
use std::collections::{BTreeMap, BTreeSet};

/// What bpf_loop's callback gives to go on, and to stop.
pub(super) const GO_ON: i64 = 0;
const STOP: i64 = 1;

/// A loop about to move.
pub(super) struct Piece {
    pub(super) l: Loop,
    pub(super) border: Border,
    pub(super) exits: Exits,
    pub(super) elements: Option<Elements>,
    /// The header as it was.
    pub(super) header: BlockData,
    /// Where the loop notes by which way it left.
    pub(super) exit_word: Slot,
}

impl Piece {
    fn span(&self) -> SpanId {
        self.header.term_span
    }

    /// Numbers defined within and used after that the ways out store: the header's parameters are at home anyway.
    fn stored<'a>(&'a self, func: &'a Function) -> impl Iterator<Item = Value> + 'a {
        let after = self.border.after.iter().copied();
        after.filter(|v| !self.header.params.contains(v) && !remade(func, *v))
    }

    /// The loop as a function: one round.
    pub(super) fn body(&self, state: &mut State<'_>, index: usize, cfg: &Cfg, positions: &Positions) -> Unit {
        let parent = &state.units[index];
        let mut func = parent.func.clone();
        func.name = format!("{}_l{}", state.units[0].func.name, state.units.len());
        let ctx = func.blocks[0].params[0];
        for block in func.blocks() {
            if !self.l.blocks.contains(&block) {
                func.blocks[block.index()] = empty();
            }
        }
        func.blocks[0].params.push(ctx);
        let inside: BTreeSet<Inst> =
            self.l.blocks.iter().flat_map(|b| &func.blocks[b.index()].insts).copied().collect();
        let calls = parent.calls.iter().filter(|(i, _)| inside.contains(i)).map(|(i, c)| (*i, c.clone())).collect();
        let depth = parent.depth + 1;
        self.element(state, &mut func);
        let (imports, at_home) = self.entry(state, &mut func);
        for &block in &self.l.blocks {
            self.edges(state, &mut func, block, cfg, positions);
        }
        let kind = if self.elements.is_some() { Kind::Element } else { Kind::Round };
        Unit { func, kind, depth, imports, at_home, calls }
    }

    /// Key and value come with the call instead of by asking for element number n.
    fn element(&self, state: &State<'_>, func: &mut Function) {
        let Some(e) = self.elements else { return };
        let (key, value) = (param(func, Ty::Ptr(Space::Map)), param(func, Ty::Ptr(Space::Map)));
        let spec = &state.maps[e.map.0 as usize];
        let copy = |dst, src, len| Op::Copy { dst, dst_offset: 0, src, src_offset: 0, len };
        let copies = [copy(e.key, key, spec.key_size), copy(e.value, value, spec.value_size)];
        let at = func.blocks[self.l.header.index()].insts.iter().position(|i| *i == e.call).unwrap_or(0);
        for (n, op) in copies.into_iter().enumerate() {
            let inst = new_inst(func, op, None, self.span());
            func.blocks[self.l.header.index()].insts.insert(at + n, inst);
        }
        func.insts[e.call.index()].op = Op::Iconst(1);
    }

    /// Gets what the loop reads from before, then goes to its header.
    fn entry(&self, state: &mut State<'_>, func: &mut Function) -> (Vec<(Value, u32)>, BTreeSet<Value>) {
        let entry = Block(0);
        let (mut imports, mut at_home) = (vec![], BTreeSet::new());
        for &v in &self.border.within {
            if remade(func, v) {
                if let ValueDef::Inst(inst) = func.values[v.index()].def {
                    func.blocks[0].insts.push(inst);
                }
            } else if func.value_type(v) == Ty::I64 {
                let home = state.home(v);
                load(func, entry, home, Some(v), self.span());
                at_home.insert(v);
            } else {
                func.values[v.index()].def = ValueDef::Param(entry, func.blocks[0].params.len() as u32);
                func.blocks[0].params.push(v);
                imports.push((v, state.link(v)));
            }
        }
        let mut args = vec![];
        for &p in &self.header.params {
            let home = state.home(p);
            args.push(load(func, entry, home, None, self.span()));
            at_home.insert(p);
        }
        func.blocks[0].term = Term::Jump(Dest { block: self.l.header, args });
        func.blocks[0].term_span = self.span();
        (imports, at_home)
    }

    /// Edges back to the header end the round, edges out of the loop end it all.
    fn edges(&self, state: &mut State<'_>, func: &mut Function, block: Block, cfg: &Cfg, positions: &Positions) {
        let targets: Vec<Dest> =
            func.blocks[block.index()].term.targets().into_iter().map(|(d, _)| d.clone()).collect();
        let span = func.blocks[block.index()].term_span;
        for (edge, dest) in targets.into_iter().enumerate() {
            if dest.block != self.l.header && self.l.blocks.contains(&dest.block) {
                continue;
            }
            let end = push_block(func);
            if dest.block == self.l.header {
                for (&p, &arg) in self.header.params.iter().zip(&dest.args) {
                    if p != arg {
                        let home = state.home(p);
                        store(func, end, home, arg, span);
                    }
                }
                finish(func, end, GO_ON, span);
            } else {
                let stored: Vec<Value> = self.stored(func).collect();
                for v in stored {
                    let defined = positions.of_value(func, v).map(|(b, _)| b);
                    if defined.is_some_and(|b| cfg.dominates(b, block)) {
                        let home = state.home(v);
                        store(func, end, home, v, span);
                    }
                }
                let number = new_value(func, end, Op::Iconst(self.exits.number(&dest)), span);
                store(func, end, self.exit_word, number, span);
                finish(func, end, STOP, span);
            }
            let mut targets = func.blocks[block.index()].term.targets_mut();
            *targets[edge] = Dest { block: end, args: vec![] };
        }
    }

    /// What is left of the loop where it was: the call, and the ways on from there.
    pub(super) fn call(&self, state: &mut State<'_>, index: usize) {
        let callee = state.units.len() - 1;
        let span = self.span();
        let header = self.l.header;
        let mut func = std::mem::replace(&mut state.units[index].func, placeholder());
        let inside: BTreeSet<Inst> =
            self.l.blocks.iter().flat_map(|b| &func.blocks[b.index()].insts).copied().collect();
        state.units[index].calls.retain(|i, _| !inside.contains(i));
        for block in &self.l.blocks {
            func.blocks[block.index()] = empty();
        }
        for &p in &self.header.params {
            let number = func.blocks[header.index()].params.len() as u32;
            func.values.push(ValueData { ty: Ty::I64, def: ValueDef::Param(header, number) });
            let first = Value(func.values.len() as u32 - 1);
            func.blocks[header.index()].params.push(first);
            let home = state.home(p);
            store(&mut func, header, home, first, span);
        }
        let mut pointers = vec![];
        for &v in &self.border.within {
            let known = &state.units[index];
            if remade(&func, v) || known.at_home.contains(&v) || known.imports.iter().any(|(i, _)| *i == v) {
                continue;
            }
            if func.value_type(v) == Ty::I64 {
                let home = state.home(v);
                store(&mut func, header, home, v, span);
            } else {
                pointers.push(v);
            }
        }
        let zero = new_value(&mut func, header, Op::Iconst(0), span);
        store(&mut func, header, self.exit_word, zero, span);
        let links = pointers.iter().map(|v| state.link(*v)).collect();
        let stands_for = Op::Call { helper: Helper::MapLen, map: None, args: pointers };
        let inst = new_inst(&mut func, stands_for, None, span);
        func.blocks[header.index()].insts.push(inst);
        let over = self.elements.map(|e| e.map);
        state.units[index].calls.insert(inst, Call { unit: callee, links, over, shares: true });
        self.results(state, &mut func);
        self.dispatch(&mut func);
        state.units[index].func = func;
    }

    /// Gets what the loop defined and later code uses.
    fn results(&self, state: &mut State<'_>, func: &mut Function) {
        let header = self.l.header;
        let mut made = BTreeMap::new();
        for &v in &self.border.after {
            if remade(func, v) && !self.header.params.contains(&v) {
                again(func, v, 0, &mut made);
            } else {
                let home = state.home(v);
                load(func, header, home, Some(v), self.span());
            }
        }
        let mut made: Vec<(u32, Inst)> = made.into_iter().map(|(inst, depth)| (depth, inst)).collect();
        // What others are made from first.
        made.sort_by_key(|(depth, inst)| (std::cmp::Reverse(*depth), *inst));
        let held: BTreeSet<Inst> = func.blocks.iter().flat_map(|b| &b.insts).copied().collect();
        let missing = made.into_iter().map(|(_, inst)| inst).filter(|i| !held.contains(i));
        let missing: Vec<Inst> = missing.collect();
        func.blocks[header.index()].insts.extend(missing);
    }

    fn dispatch(&self, func: &mut Function) {
        let span = self.span();
        let mut ways: Vec<(i64, &Dest)> = self.exits.ways.iter().map(|d| (self.exits.number(d), d)).collect();
        ways.extend(self.exits.natural.as_ref().map(|d| (0, d)));
        let mut at = self.l.header;
        let Some((_, last)) = ways.pop() else {
            finish(func, at, 0, span);
            return;
        };
        if !ways.is_empty() {
            let number = load(func, at, self.exit_word, None, span);
            for (n, dest) in ways {
                let wanted = new_value(func, at, Op::Iconst(n), span);
                let cond = new_value(func, at, Op::Icmp { cond: Cond::Eq, a: number, b: wanted }, span);
                let next = push_block(func);
                let otherwise = Dest { block: next, args: vec![] };
                func.blocks[at.index()].term = Term::Brif { cond, then: dest.clone(), otherwise };
                func.blocks[at.index()].term_span = span;
                at = next;
            }
        }
        func.blocks[at.index()].term = Term::Jump(last.clone());
        func.blocks[at.index()].term_span = span;
    }
}

/// The instructions that make `v`, with how many others are made from each.
fn again(func: &Function, v: Value, depth: u32, made: &mut BTreeMap<Inst, u32>) {
    let ValueDef::Inst(inst) = func.values[v.index()].def else { return };
    let known = made.entry(inst).or_insert(depth);
    *known = (*known).max(depth);
    func.insts[inst.index()].op.for_each_use(|u| again(func, u, depth + 1, made));
}
