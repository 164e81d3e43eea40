//! How much of a program the verifier would walk.
//!
//! Ways that meet are walked on as one unless a number that differs decides something later, see [`super::select`]'s `forget`. The
//! estimate here counts the branches that may depend on such a number, each as twice as many ways from where it joins.

use super::outline::{self, Outlined, Unit};
use crate::ir::{Block, Function, Helper, Op, Space, Term, Ty, Value, ValueDef, cfg::Cfg};

/// Instructions that the verifier may walk, by the estimate, before it is kept from telling ways apart. It gives up at a million.
const MUCH: u64 = 30_000;
/// Instructions of the machine for one of the IR, about.
const EXPANSION: u64 = 3;

/// Whether the verifier could give up unless it is kept from telling ways apart.
pub(super) fn are_many(outlined: &Outlined) -> bool {
    walked(&outlined.units, 0) > MUCH
}

/// Instructions walked for one run of a unit, and what it calls.
fn walked(units: &[Unit], index: usize) -> u64 {
    let unit = &units[index];
    let func = &unit.func;
    let cfg = Cfg::new(func);
    let knowing = Knowing::new(func);
    let rounds = outline::rounds(func, &cfg);
    let mut ways = vec![0u64; func.blocks.len()];
    let mut total = 0u64;
    for &block in cfg.reverse_postorder() {
        let before = cfg.preds(block).iter().filter(|p| cfg.is_reachable(**p) && !cfg.dominates(block, **p));
        let decided = cfg.idom(block).is_some_and(|b| knowing.decides(&func.blocks[b.index()].term));
        // Out of a loop, each round is a way of its own.
        let leaves = |p: Block| if rounds[block.index()].inside == 1 { rounds[p.index()].out } else { 1 };
        let each = before.map(|p| ways[p.index()].saturating_mul(leaves(*p)));
        let here = if decided { each.fold(0, u64::saturating_add) } else { each.max().unwrap_or(0) }.max(1);
        ways[block.index()] = here;
        let data = &func.blocks[block.index()];
        let mut once = (data.insts.len() as u64 + 1) * EXPANSION;
        for call in data.insts.iter().filter_map(|i| unit.calls.get(i)) {
            once = once.saturating_add(walked(units, call.unit));
        }
        let once = once.saturating_mul(rounds[block.index()].inside);
        total = total.saturating_add(once.saturating_mul(here));
    }
    total
}

/// Which branches may depend on what the verifier knows.
struct Knowing<'a> {
    func: &'a Function,
    uses: Vec<u32>,
}

impl<'a> Knowing<'a> {
    fn new(func: &'a Function) -> Self {
        let mut uses = vec![0; func.values.len()];
        let mut count = |v: Value| uses[v.index()] += 1;
        for block in &func.blocks {
            block.insts.iter().for_each(|i| func.insts[i.index()].op.for_each_use(&mut count));
            block.term.for_each_use(&mut count);
        }
        Self { func, uses }
    }

    fn decides(&self, term: &Term) -> bool {
        let Term::Brif { cond, .. } = term else { return false };
        match self.op(*cond) {
            Some(&Op::Icmp { a, b, .. }) => !self.is_fresh(a) || !self.is_fresh(b),
            _ => !self.is_fresh(*cond),
        }
    }

    fn op(&self, value: Value) -> Option<&Op> {
        match self.func.values[value.index()].def {
            ValueDef::Inst(inst) => Some(&self.func.insts[inst.index()].op),
            ValueDef::Param(..) => None,
        }
    }

    /// A constant, or a number read from memory or asked for that decides nothing else.
    fn is_fresh(&self, value: Value) -> bool {
        let once = self.uses[value.index()] == 1;
        match self.op(value) {
            Some(Op::Iconst(_)) => true,
            Some(Op::Load { ptr, .. }) => once && self.func.value_type(*ptr) != Ty::Ptr(Space::Stack),
            Some(Op::Call { helper, .. }) => once && *helper != Helper::CountLoss,
            Some(Op::Unary { a, .. }) => once && self.is_fresh(*a),
            _ => false,
        }
    }
}
