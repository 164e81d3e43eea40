//! A loop over a map's elements whose body always leaves it (`for ($kv : @m) { …; break; }`: any one element).
//!
//! No edge leads back to its header, so it is no loop of the graph, and yet only a callback can ask for an element. Its question is put
//! into a block of its own, and behind it the block that a callback leaves by: a loop of one round, which the rest of this module takes
//! as it takes others.

use super::edit::{new_value, push_block};
use super::loops::asks_first;
use crate::ir::{Block, Dest, Function, Inst, Op, Term, Ty, Value, ValueData, ValueDef};

/// Gives each question for a map's first element its blocks.
pub(super) fn split(func: &mut Function) {
    for block in func.blocks().collect::<Vec<_>>() {
        let mut at = block;
        while let Some(place) = func.blocks[at.index()].insts.iter().position(|i| asks_first(func, *i)) {
            at = split_at(func, at, place);
        }
    }
}

/// `at: …; found = map_at …; …` becomes `at: …`, `ask: found = map_at …`, `leave:` and `rest(found): …`; returns `rest`.
fn split_at(func: &mut Function, at: Block, place: usize) -> Block {
    let (ask, leave, rest) = (push_block(func), push_block(func), push_block(func));
    let data = &mut func.blocks[at.index()];
    let (after, span) = (data.insts.split_off(place + 1), data.term_span);
    let call = data.insts.pop();
    let term = std::mem::replace(&mut data.term, Term::Jump(Dest { block: ask, args: vec![] }));
    let (no, yes) = (new_value(func, at, Op::Iconst(0), span), new_value(func, at, Op::Iconst(1), span));
    func.values.push(ValueData { ty: Ty::I64, def: ValueDef::Param(rest, 0) });
    let known = Value(func.values.len() as u32 - 1);
    let result = call.and_then(|call| func.insts[call.index()].result);
    {
        let data = &mut func.blocks[rest.index()];
        (data.params, data.insts, data.term, data.term_span) = (vec![known], after, term, span);
    }
    if let Some(found) = result {
        replace(func, found, known);
        let then = Dest { block: leave, args: vec![] };
        let otherwise = Dest { block: rest, args: vec![no] };
        func.blocks[ask.index()].term = Term::Brif { cond: found, then, otherwise };
    }
    func.blocks[ask.index()].insts.extend(call);
    func.blocks[leave.index()].term = Term::Jump(Dest { block: rest, args: vec![yes] });
    for block in [ask, leave] {
        func.blocks[block.index()].term_span = span;
    }
    rest
}

/// Everything that uses one value uses another.
fn replace(func: &mut Function, old: Value, new: Value) {
    let held: Vec<Inst> = func.blocks.iter().flat_map(|b| &b.insts).copied().collect();
    let mut exchange = |v: &mut Value| {
        if *v == old {
            *v = new;
        }
    };
    for inst in held {
        func.insts[inst.index()].op.for_each_use_mut(&mut exchange);
    }
    for block in &mut func.blocks {
        block.term.for_each_use_mut(&mut exchange);
    }
}
