//! IR → eBPF.
//!
//! | file | step |
//! |---|---|
//! | `outline` | loops become callbacks, so that the verifier walks through their bodies once |
//! | `paths` | how much the verifier would walk: programs with many branches are made so that all ways look alike to it |
//! | `demote` | numbers that neither registers nor frame hold move to the scratch map |
//! | `frame`, `share` | which slots live in the 512-byte frame, which in the per-CPU scratch map; final offsets |
//! | `select` | IR → machine instructions over virtual registers (`mir`), edges split where moves need a home |
//! | `regalloc` | regalloc2 (Ion), its checker in debug builds |
//! | `emit` | layout, jumps, relocations, the span table |
//! | `btf`, `lineinfo`, `elf` | BTF with the script's lines, and a whole artifact as an ELF object |
//! | `insn`, `dump` | the instruction set and its text |
//!
//! Instructions are those of kernel 6.1 (cpu v3) unless [`Features::cpu_v4`]. Code never depends on a fact that the verifier
//! of 6.1 cannot see: bounds are checked right before their use, pointers are only spilled to aligned slots, and no
//! unreachable instruction is left.

pub mod btf;
mod cfg;
mod demote;
pub mod dump;
pub mod elf;
mod emit;
mod env;
mod frame;
pub mod insn;
mod lineinfo;
mod mir;
mod outline;
mod paths;
mod regalloc;
mod select;
mod share;

pub use env::{Env, Error, ErrorKind, Features, ProbeId, Scratch};

use crate::ir;
use weftrace_artifact::program::ProgramImage;

/// Bytes of stack that the kernel gives a program (MAX_BPF_STACK).
pub const FRAME_LIMIT: u32 = 512;

/// Bytes that one program may use in the scratch map: a per-CPU element is at most 32 KB (PCPU_MIN_UNIT_SIZE).
pub const SCRATCH_LIMIT: u32 = 32 * 1024;

/// Bytes where the scratch map is a plain array with entries for each CPU.
pub const WIDE_SCRATCH_LIMIT: u32 = 8 << 20;

/// How often numbers move from registers to the scratch map until a program fits.
const MOST_DEMOTIONS: u32 = 32;

/// Numbers that tests give to helpers which stand for the kernel's callbacks in the user-space VM rbpf: [`ir::Helper::MapLen`] and
/// [`ir::Helper::MapAt`].
pub const RBPF_MAP_LEN: u32 = 9001;
pub const RBPF_MAP_AT: u32 = 9002;
/// [`ir::Helper::MapCpu`], as the IR has it.
pub const RBPF_MAP_CPU: u32 = 9003;

/// Compiles one function to a program.
pub fn compile(func: &ir::Function, env: &Env<'_>) -> Result<ProgramImage, Error> {
    let ir::Target::Kernel(prog_type) = func.target else {
        return Err(Error::new(ErrorKind::NotKernel, func.spans.first().copied()));
    };
    let mut pieces = outline::outline(func, env.features, env.maps)?;
    let whole = func.spans.first().copied();
    let scratch_limit = if env.wide_scratch() { WIDE_SCRATCH_LIMIT } else { SCRATCH_LIMIT };
    // Spills and slots share the frame, and how many values spill is known only after allocation: start with most of the
    // frame for slots, and give up slots (to the scratch map) until both fit.
    let forgets = paths::are_many(&pieces);
    let mut budget = if forgets { 0 } else { FRAME_LIMIT - frame::SPILL_RESERVE };
    let mut demoted = 0;
    loop {
        let placement =
            frame::place(func, &pieces, budget, (env.features.on_stack_limit, scratch_limit), env.scratch.entries > 1)?;
        let machines = pieces.units.iter().map(|unit| select::select(unit, env, &placement, prog_type, forgets));
        let machines: Vec<mir::MFunction> = machines.collect::<Result<_, _>>()?;
        let allocations = machines.iter().map(|m| regalloc::run(m).map_err(|e| Error::new(e, whole)));
        let allocations: Vec<regalloc::Registers<'_>> = allocations.collect::<Result<_, _>>()?;
        match lay_out(&pieces, &placement, &machines, &allocations) {
            Ok(layouts) => {
                let parts = pieces.units.iter().zip(&machines).zip(allocations.iter().zip(&layouts));
                let input: Vec<emit::Input<'_>> = parts
                    .map(|((unit, machine), (allocation, layout))| emit::Input {
                        name: &unit.func.name,
                        machine,
                        allocation,
                        layout,
                    })
                    .collect();
                return emit::emit(func, env, prog_type, &input, placement.scratch_size);
            }
            Err(big) if budget > 0 && big.unit == 0 => budget = frame::next_budget(budget, big.needed, big.limit),
            Err(big) => {
                // Fewer in registers and frame, until it fits.
                drop(allocations);
                demoted += 1;
                let excess = big.needed.saturating_sub(big.limit);
                if demoted > MOST_DEMOTIONS || !demote::demote(&mut pieces, big.unit, excess, env.features.rbpf) {
                    return Err(Error::new(ErrorKind::FrameTooLarge { needed: big.needed }, whole));
                }
            }
        }
    }
}

/// A frame that is too large.
struct TooBig {
    unit: usize,
    needed: u32,
    limit: u32,
}

/// Frames of all units.
fn lay_out(
    pieces: &outline::Outlined,
    placement: &frame::Placement,
    machines: &[mir::MFunction],
    allocations: &[regalloc::Registers<'_>],
) -> Result<Vec<frame::Layout>, TooBig> {
    let mut layouts = vec![];
    for (n, unit) in pieces.units.iter().enumerate() {
        let area = (FRAME_LIMIT, pieces.link_size());
        let layout = frame::lay_out(&unit.func, unit.kind, placement, &machines[n], allocations[n].spill_slots(), area);
        layouts.push(layout.map_err(|needed| TooBig { unit: n, needed, limit: FRAME_LIMIT })?);
    }
    let frames: Vec<u32> = layouts.iter().map(|l| l.size).collect();
    let (stack, chain) = outline::stack(&pieces.units, &frames, 0);
    let excess = stack.saturating_sub(FRAME_LIMIT);
    match chain.into_iter().max_by_key(|n| frames[*n]) {
        Some(unit) if excess > 0 => {
            let needed = frames[unit];
            Err(TooBig { unit, needed, limit: needed.saturating_sub(excess) })
        }
        _ => Ok(layouts),
    }
}
