//! Facts about values, found before selection.

use crate::ir::{BinaryOp, Function, Helper, Op, Path, Term, Value, ValueDef};

pub(super) struct Facts {
    /// Has a use that the user's own instruction does not absorb.
    register: Vec<bool>,
    /// Passed to a helper that wants the pointer as the verifier types it.
    typed: Vec<bool>,
    /// How often each value is an operand.
    uses: Vec<u32>,
}

impl Facts {
    pub(super) fn new(func: &Function) -> Self {
        let none = || vec![false; func.values.len()];
        let mut facts = Self { register: none(), typed: none(), uses: vec![0; func.values.len()] };
        for block in &func.blocks {
            let mut count = |v: Value| facts.uses[v.index()] += 1;
            block.insts.iter().for_each(|i| func.insts[i.index()].op.for_each_use(&mut count));
            block.term.for_each_use(&mut count);
            for inst in &block.insts {
                facts.uses_of(func, &func.insts[inst.index()].op);
            }
            match &block.term {
                Term::Brif { cond, then, otherwise } => {
                    facts.condition(func, *cond);
                    then.args.iter().chain(&otherwise.args).for_each(|&v| facts.mark(v));
                }
                term => term.for_each_use(|v| facts.mark(v)),
            }
        }
        facts
    }

    fn uses_of(&mut self, func: &Function, op: &Op) {
        match op {
            Op::Select { cond, a, b } => {
                self.condition(func, *cond);
                self.mark(*a);
                self.mark(*b);
            }
            Op::Call { helper: Helper::SocketCookie, args, .. } => {
                for &arg in args {
                    if let Some(t) = self.typed.get_mut(arg.index()) {
                        *t = true;
                    }
                }
            }
            // Its last argument becomes part of loads.
            Op::Call { helper: Helper::TaskComm, args, .. } => args.iter().take(2).for_each(|&arg| self.mark(arg)),
            // What else they take are lengths and offsets.
            Op::Call { helper: Helper::DPath | Helper::ReadTyped, args, .. } => {
                for (i, &arg) in args.iter().enumerate() {
                    match self.typed.get_mut(member_of(func, arg).0.index()) {
                        Some(t) if i == 0 => *t = true,
                        _ => self.mark(arg),
                    }
                }
            }
            op => op.for_each_use(|v| self.mark(v)),
        }
    }

    fn mark(&mut self, value: Value) {
        if let Some(slot) = self.register.get_mut(value.index()) {
            *slot = true;
        }
    }

    /// Comparisons are folded into branches and selects.
    fn condition(&mut self, func: &Function, cond: Value) {
        let is_icmp = match func.values.get(cond.index()).map(|v| v.def) {
            Some(ValueDef::Inst(inst)) => matches!(func.insts[inst.index()].op, Op::Icmp { .. }),
            _ => false,
        };
        if !is_icmp {
            self.mark(cond);
        }
    }

    /// The value must be computed where it is defined.
    pub(super) fn needs_register(&self, value: Value) -> bool {
        self.register[value.index()] || self.typed[value.index()]
    }

    /// Some use takes the plain number.
    pub(super) fn used_as_number(&self, value: Value) -> bool {
        self.register[value.index()]
    }

    pub(super) fn uses(&self, value: Value) -> u32 {
        self.uses[value.index()]
    }

    pub(super) fn used_as_typed(&self, value: Value) -> bool {
        self.typed[value.index()]
    }
}

/// What a value is a member of (itself, if of nothing), and how far in: the offsets, the innermost first.
pub(super) fn member_of(func: &Function, mut value: Value) -> (Value, Vec<(i64, Path)>) {
    let mut steps = Vec::new();
    while let Some(ValueDef::Inst(inst)) = func.values.get(value.index()).map(|v| v.def)
        && let Op::FieldOff { base, offset, path } = func.insts[inst.index()].op
    {
        steps.push((offset, path));
        value = base;
    }
    (value, steps)
}

/// The largest power of two (at most 8) that surely divides a value.
pub(in crate::ebpf) fn known_alignment(func: &Function, value: Value) -> u32 {
    let ValueDef::Inst(inst) = func.values[value.index()].def else { return 1 };
    let constant = |v: Value| match func.values[v.index()].def {
        ValueDef::Inst(i) => match func.insts[i.index()].op {
            Op::Iconst(c) => Some(c),
            _ => None,
        },
        ValueDef::Param(..) => None,
    };
    match func.insts[inst.index()].op {
        Op::Iconst(c) => alignment_of(c),
        Op::Binary { op: BinaryOp::Imul, a, b } => (known_alignment(func, a) * known_alignment(func, b)).min(8),
        Op::Binary { op: BinaryOp::Shl, b, .. } => constant(b).map_or(1, |c| 1u32 << (c & 63).min(3)),
        Op::Binary { op: BinaryOp::Band, b, .. } => constant(b).map_or(1, alignment_of),
        Op::Binary { op: BinaryOp::Iadd | BinaryOp::Isub, a, b } => {
            known_alignment(func, a).min(known_alignment(func, b))
        }
        _ => 1,
    }
}

/// The largest power of two (at most 8) that divides a constant.
pub(super) fn alignment_of(c: i64) -> u32 {
    if c == 0 { 8 } else { 1 << c.trailing_zeros().min(3) }
}

/// The largest value that an unsigned number can have, where its definition says so.
pub(super) fn known_max(func: &Function, value: Value) -> Option<u64> {
    let ValueDef::Inst(inst) = func.values[value.index()].def else { return None };
    match func.insts[inst.index()].op {
        Op::Iconst(c) => u64::try_from(c).ok(),
        Op::Binary { op: BinaryOp::Band, b, .. } => known_max(func, b),
        Op::Icmp { .. } => Some(1),
        _ => None,
    }
}
