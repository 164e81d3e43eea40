//! Replacing values.

use crate::ir::{Function, Value};

/// Values to be replaced by others, applied to the whole function at once.
#[derive(Default)]
pub(super) struct Replacements {
    by: Vec<Option<Value>>,
    any: bool,
}

impl Replacements {
    pub(super) fn new(func: &Function) -> Self {
        Self { by: vec![None; func.values.len()], any: false }
    }

    /// Every use of `old` becomes one of `new`.
    pub(super) fn replace(&mut self, old: Value, new: Value) {
        let new = self.resolve(new);
        if new != old {
            self.by[old.index()] = Some(new);
            self.any = true;
        }
    }

    /// What `value` stands for now.
    pub(super) fn resolve(&self, value: Value) -> Value {
        let mut value = value;
        while let Some(new) = self.by.get(value.index()).copied().flatten() {
            value = new;
        }
        value
    }

    /// Rewrites all uses; returns whether there was anything to do.
    pub(super) fn apply(&self, func: &mut Function) -> bool {
        if self.any {
            for inst in &mut func.insts {
                inst.op.for_each_use_mut(|v| *v = self.resolve(*v));
            }
            for block in &mut func.blocks {
                block.term.for_each_use_mut(|v| *v = self.resolve(*v));
            }
        }
        self.any
    }
}

/// How often each value is used by the instructions of blocks and by terminators.
pub(super) fn use_counts(func: &Function) -> Vec<u32> {
    let mut counts = vec![0; func.values.len()];
    for block in &func.blocks {
        for inst in &block.insts {
            func.insts[inst.index()].op.for_each_use(|v| counts[v.index()] += 1);
        }
        block.term.for_each_use(|v| counts[v.index()] += 1);
    }
    counts
}
