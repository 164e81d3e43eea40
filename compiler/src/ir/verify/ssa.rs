//! One definition, which dominates every use.

use super::{At, Checker};
use crate::ir::{
    Block, Value,
    cfg::{Cfg, Positions},
};

pub(super) fn check(c: &mut Checker<'_>) {
    let func = c.func;
    let mut seen = vec![false; func.insts.len()];
    for block in func.blocks() {
        for &inst in &func.blocks[block.index()].insts {
            let twice = std::mem::replace(&mut seen[inst.index()], true);
            c.require(!twice, At::Inst(inst), || "stands in two places".into());
        }
    }
    if !c.errors.is_empty() {
        return;
    }
    let (cfg, positions) = (Cfg::new(func), Positions::new(func));
    for block in func.blocks() {
        let data = &func.blocks[block.index()];
        for (i, &inst) in data.insts.iter().enumerate() {
            let here = (block, i as u32 + 1);
            func.insts[inst.index()].op.for_each_use(|v| check_use(c, &cfg, &positions, v, here, At::Inst(inst)));
        }
        let here = (block, u32::MAX);
        data.term.for_each_use(|v| check_use(c, &cfg, &positions, v, here, At::Term(block)));
    }
}

fn check_use(c: &mut Checker<'_>, cfg: &Cfg, positions: &Positions, value: Value, here: (Block, u32), at: At) {
    let dominates = match positions.of_value(c.func, value) {
        None => false,
        Some((block, position)) if block == here.0 => position < here.1,
        Some((block, _)) => cfg.dominates(block, here.0),
    };
    c.require(dominates, at, || format!("{value} is not defined on every way here"));
}
