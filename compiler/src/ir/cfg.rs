//! Control flow: predecessors, orders, dominators.

use super::{Block, Function, Inst, Value, ValueDef};

/// The control-flow graph of a function as it was when this was made.
pub struct Cfg {
    preds: Vec<Vec<Block>>,
    /// Reachable blocks, the entry first, each before its successors except along back edges.
    reverse_postorder: Vec<Block>,
    /// Position in `reverse_postorder`; None: unreachable.
    position: Vec<Option<u32>>,
    /// Immediate dominators; the entry's is itself.
    idom: Vec<Option<Block>>,
}

impl Cfg {
    pub fn new(func: &Function) -> Self {
        let mut preds = vec![vec![]; func.blocks.len()];
        for block in func.blocks() {
            for (dest, _) in func.blocks[block.index()].term.targets() {
                preds[dest.block.index()].push(block);
            }
        }
        let reverse_postorder = reverse_postorder(func);
        let mut position = vec![None; func.blocks.len()];
        for (i, block) in reverse_postorder.iter().enumerate() {
            position[block.index()] = Some(i as u32);
        }
        let mut cfg = Self { preds, reverse_postorder, position, idom: vec![None; func.blocks.len()] };
        cfg.compute_dominators();
        cfg
    }

    /// One entry per edge: a block that jumps here on both ways of a branch is there twice.
    pub fn preds(&self, block: Block) -> &[Block] {
        &self.preds[block.index()]
    }

    /// Reachable blocks, the entry first, each before its successors except along back edges.
    pub fn reverse_postorder(&self) -> &[Block] {
        &self.reverse_postorder
    }

    pub fn is_reachable(&self, block: Block) -> bool {
        self.position[block.index()].is_some()
    }

    /// Immediate dominator; None for the entry and unreachable blocks.
    pub fn idom(&self, block: Block) -> Option<Block> {
        self.idom[block.index()].filter(|&d| d != block)
    }

    /// Whether every path to `b` goes through `a` (also if they are the same).
    pub fn dominates(&self, a: Block, b: Block) -> bool {
        let mut at = b;
        while at != a {
            match self.idom(at) {
                Some(up) => at = up,
                None => return false,
            }
        }
        true
    }

    /// Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm.
    fn compute_dominators(&mut self) {
        let Some(&entry) = self.reverse_postorder.first() else { return };
        self.idom[entry.index()] = Some(entry);
        let mut changed = true;
        while changed {
            changed = false;
            for i in 1..self.reverse_postorder.len() {
                let block = self.reverse_postorder[i];
                let mut new = None;
                for &pred in &self.preds[block.index()] {
                    if self.idom[pred.index()].is_some() {
                        new = Some(new.map_or(pred, |other| self.common(pred, other)));
                    }
                }
                if self.idom[block.index()] != new {
                    self.idom[block.index()] = new;
                    changed = true;
                }
            }
        }
    }

    /// Nearest common dominator of two blocks that have one already.
    fn common(&self, mut a: Block, mut b: Block) -> Block {
        while a != b {
            let (at_a, at_b) = (self.position[a.index()], self.position[b.index()]);
            let up = |block: Block| self.idom[block.index()].expect("processed blocks have a dominator");
            if at_a > at_b {
                a = up(a);
            } else {
                b = up(b);
            }
        }
        a
    }
}

fn reverse_postorder(func: &Function) -> Vec<Block> {
    let mut seen = vec![false; func.blocks.len()];
    let mut order = vec![];
    // (block, next successor to visit)
    let mut stack = vec![(Block(0), 0)];
    seen[0] = true;
    while let Some((block, next)) = stack.last_mut() {
        let targets = func.blocks[block.index()].term.targets();
        if let Some((dest, _)) = targets.get(*next) {
            *next += 1;
            let to = dest.block;
            if !std::mem::replace(&mut seen[to.index()], true) {
                stack.push((to, 0));
            }
        } else {
            order.push(*block);
            stack.pop();
        }
    }
    order.reverse();
    order
}

/// Where a value is defined: its block, and its place in it (parameters before all instructions).
pub struct Positions {
    /// Indexed by [`Inst`]; None: in no block.
    insts: Vec<Option<(Block, u32)>>,
}

impl Positions {
    pub fn new(func: &Function) -> Self {
        let mut insts = vec![None; func.insts.len()];
        for block in func.blocks() {
            for (i, inst) in func.blocks[block.index()].insts.iter().enumerate() {
                insts[inst.index()] = Some((block, i as u32 + 1));
            }
        }
        Self { insts }
    }

    /// Block and position of an instruction (from 1).
    pub fn of_inst(&self, inst: Inst) -> Option<(Block, u32)> {
        self.insts[inst.index()]
    }

    /// Block and position of a value's definition (parameters: 0).
    pub fn of_value(&self, func: &Function, value: Value) -> Option<(Block, u32)> {
        match func.values[value.index()].def {
            ValueDef::Param(block, _) => Some((block, 0)),
            ValueDef::Inst(inst) => self.of_inst(inst),
        }
    }
}
