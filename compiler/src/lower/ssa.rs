//! SSA construction as the code is written (Braun et al., "Simple and Efficient Construction of Static Single Assignment Form",
//! CC 2013): a variable's value is looked up backwards from its use, and blocks get parameters where definitions meet.

use crate::ir::{Block, Function, Ty, Value, builder::FunctionBuilder};
use std::collections::HashMap;

/// A variable that may be assigned more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variable(u32);

/// What is known about the blocks so far.
#[derive(Debug)]
pub(crate) struct Ssa {
    /// Edges into each block: the block they come from and the number of the terminator's destination.
    preds: Vec<Vec<(Block, usize)>>,
    sealed: Vec<bool>,
    /// Of each variable: its values' type, and its value at the end of (what there is of) each block.
    defs: Vec<(Ty, HashMap<Block, Value>)>,
    /// Parameters of unsealed blocks, whose arguments come with the seal; in order of creation.
    incomplete: Vec<(Block, Variable, Value)>,
    /// The value of a variable that was never assigned; defined in the entry block.
    undefined: Value,
}

impl Ssa {
    pub(crate) fn new(undefined: Value) -> Self {
        let mut ssa = Self { preds: vec![], sealed: vec![], defs: vec![], incomplete: vec![], undefined };
        ssa.grow(Block(0));
        ssa.sealed[0] = true;
        ssa
    }

    fn grow(&mut self, block: Block) {
        if self.sealed.len() <= block.index() {
            self.sealed.resize(block.index() + 1, false);
            self.preds.resize(block.index() + 1, vec![]);
        }
    }

    /// One of this type; what isn't an integer is assigned before it is read.
    pub(crate) fn variable(&mut self, ty: Ty) -> Variable {
        self.defs.push((ty, HashMap::new()));
        Variable(self.defs.len() as u32 - 1)
    }

    /// Notes the edges of a terminator that `from` has just got.
    pub(crate) fn edges(&mut self, from: Block, b: &FunctionBuilder) {
        let targets: Vec<Block> = b.func().blocks[from.index()].term.targets().iter().map(|(d, _)| d.block).collect();
        for (edge, to) in targets.into_iter().enumerate() {
            self.grow(to);
            debug_assert!(!self.sealed[to.index()], "edge into sealed {to}");
            self.preds[to.index()].push((from, edge));
        }
    }

    /// Says that all edges into `block` are known.
    pub(crate) fn seal(&mut self, block: Block, b: &mut FunctionBuilder) {
        self.grow(block);
        self.sealed[block.index()] = true;
        let (mine, rest) = std::mem::take(&mut self.incomplete).into_iter().partition(|(at, ..)| *at == block);
        self.incomplete = rest;
        let mine: Vec<(Block, Variable, Value)> = mine;
        for (_, variable, _) in mine {
            self.arguments(block, variable, b);
        }
    }

    pub(crate) fn define(&mut self, variable: Variable, block: Block, value: Value) {
        self.defs[variable.0 as usize].1.insert(block, value);
    }

    pub(crate) fn read(&mut self, variable: Variable, block: Block, b: &mut FunctionBuilder) -> Value {
        let (ty, known) = &self.defs[variable.0 as usize];
        let ty = *ty;
        if let Some(v) = known.get(&block) {
            return *v;
        }
        self.grow(block);
        let value = if self.sealed[block.index()] {
            match self.preds[block.index()].as_slice() {
                [] => self.undefined,
                [(only, _)] => {
                    let only = *only;
                    self.read(variable, only, b)
                }
                _ => {
                    let param = b.append_param(block, ty);
                    self.define(variable, block, param);
                    self.arguments(block, variable, b);
                    param
                }
            }
        } else {
            let param = b.append_param(block, ty);
            self.incomplete.push((block, variable, param));
            param
        };
        self.define(variable, block, value);
        value
    }

    /// Passes the variable's value along every edge into `block`.
    fn arguments(&mut self, block: Block, variable: Variable, b: &mut FunctionBuilder) {
        for (pred, edge) in self.preds[block.index()].clone() {
            let value = self.read(variable, pred, b);
            b.func_mut().blocks[pred.index()].term.targets_mut()[edge].args.push(value);
        }
    }
}

/// Removes block parameters that get one and the same value on every edge (or themselves).
pub(crate) fn simplify_params(func: &mut Function) {
    let mut replaced: HashMap<Value, Value> = HashMap::new();
    while remove_round(func, &mut replaced) {}
    if replaced.is_empty() {
        return;
    }
    let last = |v: &mut Value| {
        while let Some(next) = replaced.get(v) {
            *v = *next;
        }
    };
    func.insts.iter_mut().for_each(|i| i.op.for_each_use_mut(last));
    func.blocks.iter_mut().for_each(|b| b.term.for_each_use_mut(last));
}

fn remove_round(func: &mut Function, replaced: &mut HashMap<Value, Value>) -> bool {
    // (block, parameter) → the values it gets; edges' own leading parameters are not candidates.
    let mut incoming: Vec<Vec<Option<Vec<Value>>>> =
        func.blocks.iter().map(|b| vec![Some(vec![]); b.params.len()]).collect();
    for block in &func.blocks {
        for (dest, own) in block.term.targets() {
            for slot in incoming[dest.block.index()].iter_mut().take(own) {
                *slot = None;
            }
            for (i, arg) in dest.args.iter().enumerate() {
                let arg = resolve(*arg, replaced);
                if let Some(Some(values)) = incoming[dest.block.index()].get_mut(own + i) {
                    values.push(arg);
                }
            }
        }
    }
    // By block, the last first.
    let mut removed: Vec<Vec<usize>> = vec![vec![]; func.blocks.len()];
    for (index, params) in incoming.into_iter().enumerate().skip(1) {
        for (i, values) in params.into_iter().enumerate().rev() {
            let param = func.blocks[index].params[i];
            let Some(values) = values else { continue };
            let mut others = values.into_iter().filter(|v| *v != param);
            let Some(first) = others.next() else { continue };
            if others.all(|v| v == first) && resolve(first, replaced) != param {
                removed[index].push(i);
                replaced.insert(param, first);
            }
        }
    }
    let any = removed.iter().any(|params| !params.is_empty());
    if any {
        remove_params(func, &removed);
    }
    any
}

fn resolve(mut v: Value, replaced: &HashMap<Value, Value>) -> Value {
    while let Some(next) = replaced.get(&v) {
        v = *next;
    }
    v
}

/// Removes parameters by block, each block's last one first, with what edges pass for them.
fn remove_params(func: &mut Function, removed: &[Vec<usize>]) {
    for block in &mut func.blocks {
        let own: Vec<usize> = block.term.targets().iter().map(|(_, own)| *own).collect();
        for (dest, own) in block.term.targets_mut().into_iter().zip(own) {
            for index in removed[dest.block.index()].iter().filter(|index| **index >= own) {
                dest.args.remove(index - own);
            }
        }
    }
    for (index, gone) in removed.iter().enumerate().filter(|(_, gone)| !gone.is_empty()) {
        for i in gone {
            func.blocks[index].params.remove(*i);
        }
        for (i, p) in func.blocks[index].params.clone().into_iter().enumerate() {
            func.values[p.index()].def = crate::ir::ValueDef::Param(Block(index as u32), i as u32);
        }
    }
}
