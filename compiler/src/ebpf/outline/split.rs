//! Splits one unit: its outermost loops become units of their own.

use super::{
    Call, Kind, MAX_DEPTH, State, Unit,
    liveness::{Border, border, remade},
    loops::{self, Elements, Loop},
};
use crate::ir::{
    Block, BlockData, Cond, Dest, Function, Helper, Inst, InstData, Mem, Op, Size, Slot, Space, SpanId, Term, Ty,
    Value, ValueData, ValueDef,
    cfg::{Cfg, Positions},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use weftrace_artifact::map::MapId;

/// What bpf_loop's callback gives to go on, and to stop.
const GO_ON: i64 = 0;
const STOP: i64 = 1;

/// Takes all loops out of a unit that are not better left where they are.
pub(super) fn unit(state: &mut State<'_>, index: usize) {
    lengths(state, index);
    let mut refused = BTreeSet::new();
    loop {
        let func = &state.units[index].func;
        let cfg = Cfg::new(func);
        let all = loops::find(func, &cfg);
        let wanted = |l: &&Loop| {
            !refused.contains(&l.header)
                && (loops::elements(func, l).is_some()
                    || state.features.bpf_loop && !loops::is_short_scan(func, l, &all))
        };
        let Some(l) = all.iter().find(wanted).cloned() else { return };
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
struct Exits {
    ways: Vec<Dest>,
    /// The way where a map has no more elements; it is number 0.
    natural: Option<Dest>,
}

impl Exits {
    /// The number of a way, which the loop leaves in its exit word.
    fn number(&self, dest: &Dest) -> i64 {
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
    if unit.depth >= MAX_DEPTH || header.params.iter().any(|p| func.value_type(*p) != Ty::I64) {
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

/// A loop about to move.
struct Piece {
    l: Loop,
    border: Border,
    exits: Exits,
    elements: Option<Elements>,
    /// The header as it was.
    header: BlockData,
    /// Where the loop notes by which way it left.
    exit_word: Slot,
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
    fn body(&self, state: &mut State<'_>, index: usize, cfg: &Cfg, positions: &Positions) -> Unit {
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
    fn call(&self, state: &mut State<'_>, index: usize) {
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

fn empty() -> BlockData {
    BlockData { params: vec![], insts: vec![], term: Term::None, term_span: SpanId(0) }
}

fn placeholder() -> Function {
    Function {
        name: String::new(),
        target: crate::ir::Target::Native,
        slots: vec![],
        blocks: vec![],
        insts: vec![],
        values: vec![],
        data: vec![],
        paths: vec![],
        spans: vec![],
    }
}

fn push_block(func: &mut Function) -> Block {
    func.blocks.push(empty());
    Block(func.blocks.len() as u32 - 1)
}

/// One more parameter of the entry.
fn param(func: &mut Function, ty: Ty) -> Value {
    let number = func.blocks[0].params.len() as u32;
    func.values.push(ValueData { ty, def: ValueDef::Param(Block(0), number) });
    let value = Value(func.values.len() as u32 - 1);
    func.blocks[0].params.push(value);
    value
}

fn new_inst(func: &mut Function, op: Op, result: Option<Value>, span: SpanId) -> Inst {
    func.insts.push(InstData { op, result, span });
    Inst(func.insts.len() as u32 - 1)
}

fn push(func: &mut Function, block: Block, op: Op, result: Option<Value>, span: SpanId) -> Inst {
    let inst = new_inst(func, op, result, span);
    func.blocks[block.index()].insts.push(inst);
    inst
}

fn new_value(func: &mut Function, block: Block, op: Op, span: SpanId) -> Value {
    let ty = op.result_type(func).unwrap_or(Ty::I64);
    let inst = Inst(func.insts.len() as u32);
    func.values.push(ValueData { ty, def: ValueDef::Inst(inst) });
    let value = Value(func.values.len() as u32 - 1);
    push(func, block, op, Some(value), span);
    value
}

/// Loads a home, as a new value or as one that was defined elsewhere.
fn load(func: &mut Function, block: Block, home: Slot, value: Option<Value>, span: SpanId) -> Value {
    let ptr = new_value(func, block, Op::SlotAddr { slot: home, offset: 0 }, span);
    let op = Op::Load { mem: Mem::U64, ptr, offset: 0, path: None };
    match value {
        None => new_value(func, block, op, span),
        Some(value) => {
            let inst = push(func, block, op, Some(value), span);
            func.values[value.index()].def = ValueDef::Inst(inst);
            value
        }
    }
}

fn store(func: &mut Function, block: Block, home: Slot, value: Value, span: SpanId) {
    let ptr = new_value(func, block, Op::SlotAddr { slot: home, offset: 0 }, span);
    push(func, block, Op::Store { size: Size::B8, value, ptr, offset: 0 }, None, span);
}

fn finish(func: &mut Function, block: Block, result: i64, span: SpanId) {
    let value = new_value(func, block, Op::Iconst(result), span);
    func.blocks[block.index()].term = Term::Return(value);
    func.blocks[block.index()].term_span = span;
}
