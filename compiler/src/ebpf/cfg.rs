//! The control flow graph of an IR function: order, predecessors, dominators.

use crate::ir::{Block, Function, Term};

pub(super) struct Cfg {
    /// Reachable blocks in reverse postorder; the `then` side of a branch comes right after it where it can.
    pub(super) order: Vec<Block>,
    /// Per block: how many edges lead to it (from reachable blocks).
    pub(super) preds: Vec<Vec<Block>>,
    /// Per block: position in `order`; `usize::MAX` if unreachable.
    position: Vec<usize>,
    idom: Vec<Block>,
}

impl Cfg {
    pub(super) fn new(func: &Function) -> Self {
        let order = reverse_postorder(func);
        let mut position = vec![usize::MAX; func.blocks.len()];
        for (at, block) in order.iter().enumerate() {
            position[block.index()] = at;
        }
        let mut preds = vec![Vec::new(); func.blocks.len()];
        for &block in &order {
            for (dest, _) in func.blocks[block.index()].term.targets() {
                preds[dest.block.index()].push(block);
            }
        }
        let mut cfg = Self { order, preds, position, idom: vec![Block(0); func.blocks.len()] };
        cfg.find_dominators();
        cfg
    }

    /// Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm".
    fn find_dominators(&mut self) {
        let mut known = vec![false; self.idom.len()];
        if let Some(slot) = known.first_mut() {
            *slot = true;
        }
        let mut changed = true;
        while changed {
            changed = false;
            for &block in self.order.iter().skip(1) {
                let mut new: Option<Block> = None;
                for &pred in &self.preds[block.index()] {
                    if known[pred.index()] {
                        new = Some(new.map_or(pred, |other| self.common(pred, other)));
                    }
                }
                let Some(new) = new else { continue };
                if !known[block.index()] || self.idom[block.index()] != new {
                    self.idom[block.index()] = new;
                    known[block.index()] = true;
                    changed = true;
                }
            }
        }
    }

    /// The nearest block that dominates both.
    pub(super) fn common(&self, mut a: Block, mut b: Block) -> Block {
        while a != b {
            while self.position[a.index()] > self.position[b.index()] {
                a = self.idom[a.index()];
            }
            while self.position[b.index()] > self.position[a.index()] {
                b = self.idom[b.index()];
            }
        }
        a
    }

    pub(super) fn is_reachable(&self, block: Block) -> bool {
        self.position[block.index()] != usize::MAX
    }

    /// The nearest block that dominates all of `blocks`, is in no loop, and where no record is held (the program may end there); the
    /// entry if there are none.
    pub(super) fn place_before(&self, func: &Function, blocks: impl IntoIterator<Item = Block>) -> Block {
        let mut found =
            blocks.into_iter().filter(|&b| self.is_reachable(b)).reduce(|a, b| self.common(a, b)).unwrap_or(Block(0));
        while found != Block(0) {
            if in_loop(func, found) {
                found = self.idom[found.index()];
            } else if let Some(reserve) = self.reserve_above(func, found) {
                found = reserve;
            } else {
                break;
            }
        }
        found
    }

    /// The block that reserves a record on every way to this one, where a way without the record has not joined since.
    fn reserve_above(&self, func: &Function, mut block: Block) -> Option<Block> {
        while block != Block(0) {
            let above = self.idom[block.index()];
            match &func.blocks[above.index()].term {
                Term::Reserve { ok, .. } if ok.block == block => return Some(above),
                _ => block = above,
            }
        }
        None
    }
}

fn in_loop(func: &Function, start: Block) -> bool {
    let mut seen = vec![false; func.blocks.len()];
    let mut work = vec![start];
    while let Some(block) = work.pop() {
        for (dest, _) in func.blocks[block.index()].term.targets() {
            if dest.block == start {
                return true;
            }
            if !std::mem::replace(&mut seen[dest.block.index()], true) {
                work.push(dest.block);
            }
        }
    }
    false
}

fn reverse_postorder(func: &Function) -> Vec<Block> {
    let mut seen = vec![false; func.blocks.len()];
    let mut order = Vec::new();
    // (block, successors still to visit): the last successor first, so that the first one ends up nearest.
    let successors =
        |b: Block| -> Vec<Block> { func.blocks[b.index()].term.targets().iter().map(|(dest, _)| dest.block).collect() };
    if func.blocks.is_empty() {
        return order;
    }
    seen[0] = true;
    let mut stack = vec![(Block(0), successors(Block(0)))];
    while let Some((block, rest)) = stack.last_mut() {
        if let Some(next) = rest.pop() {
            if !std::mem::replace(&mut seen[next.index()], true) {
                stack.push((next, successors(next)));
            }
        } else {
            order.push(*block);
            stack.pop();
        }
    }
    order.reverse();
    order
}
