//! Register allocation: regalloc2's view of a machine function.
//!
//! r0 to r5 are lost in calls, r6 to r9 survive them, r10 is the frame pointer.

use super::{
    ErrorKind,
    mir::{Kind, MFunction, MInst, preg},
};
use regalloc2::{
    Algorithm, Allocation, Block, Edit, Function, Inst, InstOrEdit, InstRange, MachineEnv, Operand, PRegSet,
    RegAllocError, RegClass, RegallocOptions, VReg, checker::Checker,
};

const CALLER_SAVED: std::ops::RangeInclusive<u8> = 0..=5;
const CALLEE_SAVED: std::ops::RangeInclusive<u8> = 6..=9;

/// The function with its instructions numbered through.
struct View<'a> {
    func: &'a MFunction,
    insts: Vec<&'a MInst>,
    /// Per block: first instruction.
    starts: Vec<usize>,
    succs: Vec<Vec<Block>>,
    preds: Vec<Vec<Block>>,
}

impl<'a> View<'a> {
    fn new(func: &'a MFunction) -> Self {
        let mut insts = Vec::new();
        let mut starts = Vec::with_capacity(func.blocks.len() + 1);
        let mut succs = Vec::with_capacity(func.blocks.len());
        let mut preds = vec![Vec::new(); func.blocks.len()];
        for (index, block) in func.blocks.iter().enumerate() {
            starts.push(insts.len());
            insts.extend(&block.insts);
            succs.push(block.succs.iter().map(|s| Block::new(s.index())).collect());
            for succ in &block.succs {
                preds[succ.index()].push(Block::new(index));
            }
        }
        starts.push(insts.len());
        Self { func, insts, starts, succs, preds }
    }
}

impl Function for View<'_> {
    fn num_insts(&self) -> usize {
        self.insts.len()
    }

    fn num_blocks(&self) -> usize {
        self.func.blocks.len()
    }

    fn entry_block(&self) -> Block {
        Block::new(0)
    }

    fn block_insns(&self, block: Block) -> InstRange {
        InstRange::new(Inst::new(self.starts[block.index()]), Inst::new(self.starts[block.index() + 1]))
    }

    fn block_succs(&self, block: Block) -> &[Block] {
        &self.succs[block.index()]
    }

    fn block_preds(&self, block: Block) -> &[Block] {
        &self.preds[block.index()]
    }

    fn block_params(&self, block: Block) -> &[VReg] {
        &self.func.blocks[block.index()].params
    }

    fn is_ret(&self, inst: Inst) -> bool {
        matches!(self.insts[inst.index()].kind, Kind::Exit)
    }

    fn is_branch(&self, inst: Inst) -> bool {
        matches!(self.insts[inst.index()].kind, Kind::Branch(_) | Kind::Jump)
    }

    fn branch_blockparams(&self, block: Block, _: Inst, succ: usize) -> &[VReg] {
        &self.func.blocks[block.index()].args[succ]
    }

    fn inst_operands(&self, inst: Inst) -> &[Operand] {
        self.insts[inst.index()].operands()
    }

    fn inst_clobbers(&self, inst: Inst) -> PRegSet {
        match self.insts[inst.index()].call() {
            None => PRegSet::empty(),
            // A result is a definition of r0, not a clobber.
            Some(result) => CALLER_SAVED.skip(usize::from(result)).map(preg).collect(),
        }
    }

    fn num_vregs(&self) -> usize {
        self.func.vregs
    }

    fn spillslot_size(&self, _: RegClass) -> usize {
        1
    }
}

fn machine_env() -> MachineEnv {
    MachineEnv {
        preferred_regs_by_class: [CALLER_SAVED.map(preg).collect(), PRegSet::empty(), PRegSet::empty()],
        non_preferred_regs_by_class: [CALLEE_SAVED.map(preg).collect(), PRegSet::empty(), PRegSet::empty()],
        scratch_by_class: [None; 3],
        fixed_stack_slots: vec![],
    }
}

/// Where every operand is, and the moves in between.
pub(super) struct Registers<'a> {
    view: View<'a>,
    output: regalloc2::Output,
}

/// An instruction with its operands' places, or a move.
pub(super) enum Step<'a> {
    Inst(&'a MInst, &'a [Allocation]),
    Move { from: Allocation, to: Allocation },
}

impl<'a> Registers<'a> {
    pub(super) fn spill_slots(&self) -> usize {
        self.output.num_spillslots
    }

    /// The block's instructions and moves, in order.
    pub(super) fn steps(&self, block: usize) -> impl Iterator<Item = Step<'_>> + use<'_, 'a> {
        self.output.block_insts_and_edits(&self.view, Block::new(block)).map(|step| match step {
            InstOrEdit::Inst(inst) => Step::Inst(self.view.insts[inst.index()], self.output.inst_allocs(inst)),
            InstOrEdit::Edit(Edit::Move { from, to }) => Step::Move { from: *from, to: *to },
        })
    }
}

/// Allocates registers; in debug builds regalloc2's checker proves the result.
pub(super) fn run(func: &MFunction) -> Result<Registers<'_>, ErrorKind> {
    let view = View::new(func);
    let env = machine_env();
    let options =
        RegallocOptions { verbose_log: false, validate_ssa: cfg!(debug_assertions), algorithm: Algorithm::Ion };
    let output = regalloc2::run(&view, &env, &options)
        .map_err(|e: RegAllocError| ErrorKind::RegisterAllocation(e.to_string()))?;
    if cfg!(debug_assertions) {
        let mut checker = Checker::new(&view, &env);
        checker.prepare(&output);
        checker.run().map_err(|e| ErrorKind::RegisterAllocation(format!("checker: {e:?}")))?;
    }
    Ok(Registers { view, output })
}
