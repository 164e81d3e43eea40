//! Each reserved record is submitted or discarded exactly once, and dead afterwards.

use super::{At, Checker};
use crate::ir::pointer::{self, Root};
use crate::ir::{Block, Function, Op, Space, Term, Ty, Value, cfg::Cfg};
use std::collections::BTreeSet;

type Live = BTreeSet<Value>;

pub(super) fn check(c: &mut Checker<'_>) {
    let func = c.func;
    let cfg = Cfg::new(func);
    for block in func.blocks() {
        if let Term::Reserve { ok, .. } = &func.blocks[block.index()].term {
            let alone = cfg.preds(ok.block).len() == 1;
            c.require(alone, At::Term(block), || format!("{} is reached in other ways too", ok.block));
        } else {
            for (dest, given) in func.blocks[block.index()].term.targets() {
                let param = func.blocks[dest.block.index()].params.first().filter(|_| given == 1);
                let wrong = param.is_some_and(|p| func.value_type(*p) == Ty::Ptr(Space::Record));
                c.require(!wrong, At::Term(block), || "only `reserve` gives records".into());
            }
        }
    }
    if !c.errors.is_empty() {
        return;
    }
    // The records that are live at each block's start; the first way there decides, the others must agree.
    let mut entry: Vec<Option<Live>> = vec![None; func.blocks.len()];
    entry[0] = Some(Live::new());
    for &block in cfg.reverse_postorder() {
        let Some(mut live) = entry[block.index()].clone() else { continue };
        walk(c, block, &mut live);
        for (dest, given) in func.blocks[block.index()].term.targets() {
            let mut live = live.clone();
            live.extend(given_record(func, dest.block, given));
            match &entry[dest.block.index()] {
                None => entry[dest.block.index()] = Some(live),
                Some(other) if *other == live => {}
                Some(other) => {
                    let record = *other.symmetric_difference(&live).next().expect("the sets differ");
                    let message = format!("record {record} is live on one way to {} and not on another", dest.block);
                    c.error(At::Term(block), message);
                }
            }
        }
    }
}

fn given_record(func: &Function, block: Block, given: usize) -> Option<Value> {
    let first = func.blocks[block.index()].params.first().copied().filter(|_| given == 1)?;
    (func.value_type(first) == Ty::Ptr(Space::Record)).then_some(first)
}

fn walk(c: &mut Checker<'_>, block: Block, live: &mut Live) {
    let func = c.func;
    let data = &func.blocks[block.index()];
    for &inst in &data.insts {
        let (at, op) = (At::Inst(inst), &func.insts[inst.index()].op);
        op.for_each_use(|v| check_use(c, at, v, live));
        if let Op::Submit { record } | Op::Discard { record } = *op {
            // Of an address within a record (its type has been checked) only the first, as `reserve` gave it, stands for all.
            let whole = pointer::param_block(func, record).is_some();
            c.require(whole, at, || format!("{record} is not what `reserve` gave"));
            live.remove(&record);
        }
    }
    data.term.for_each_use(|v| check_use(c, At::Term(block), v, live));
    if let (Term::Return(_), Some(record)) = (&data.term, live.first()) {
        c.error(At::Term(block), format!("record {record} is neither submitted nor discarded"));
    }
}

fn check_use(c: &mut Checker<'_>, at: At, value: Value, live: &Live) {
    if c.func.value_type(value) != Ty::Ptr(Space::Record) {
        return;
    }
    if let Root::Value(record) = pointer::trace(c.func, value).root {
        c.require(live.contains(&record), at, || format!("record {record} has been submitted or discarded"));
    }
}
