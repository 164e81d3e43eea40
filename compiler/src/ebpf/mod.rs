//! IR → eBPF.
//!
//! | file | step |
//! |---|---|
//! | `outline` | loops become callbacks, so that the verifier walks through their bodies once |
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
pub mod dump;
pub mod elf;
mod emit;
mod env;
mod frame;
pub mod insn;
mod lineinfo;
mod mir;
mod outline;
mod regalloc;
mod select;
mod share;

pub use env::{Env, Error, ErrorKind, Features, ProbeId};

use crate::ir;
use weftrace_artifact::program::ProgramImage;

/// Bytes of stack that the kernel gives a program (MAX_BPF_STACK).
pub const FRAME_LIMIT: u32 = 512;

/// Bytes that one program may use in the scratch map: a per-CPU element is at most 32 KB (PCPU_MIN_UNIT_SIZE).
pub const SCRATCH_LIMIT: u32 = 32 * 1024;

/// Bytes where the scratch map is a plain array with entries for each CPU.
pub const WIDE_SCRATCH_LIMIT: u32 = 8 << 20;

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
    let pieces = outline::outline(func, env.features, env.maps)?;
    let whole = func.spans.first().copied();
    let scratch_limit = if env.wide_scratch() { WIDE_SCRATCH_LIMIT } else { SCRATCH_LIMIT };
    // Spills and slots share the frame, and how many values spill is known only after allocation: start with most of the
    // frame for slots, and give up slots (to the scratch map) until both fit.
    let mut budget = FRAME_LIMIT - frame::SPILL_RESERVE;
    loop {
        let placement = frame::place(func, &pieces, budget, (env.features.on_stack_limit, scratch_limit))?;
        let machines = pieces.units.iter().map(|unit| select::select(unit, env, &placement, prog_type));
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
            Err((needed, limit)) if budget > 0 => budget = frame::next_budget(budget, needed, limit),
            Err((needed, _)) => return Err(Error::new(ErrorKind::FrameTooLarge { needed }, whole)),
        }
    }
}

/// Frames of all units; where the program's is too large, its size and the limit.
fn lay_out(
    pieces: &outline::Outlined,
    placement: &frame::Placement,
    machines: &[mir::MFunction],
    allocations: &[regalloc::Registers<'_>],
) -> Result<Vec<frame::Layout>, (u32, u32)> {
    let one = |n: usize, limit: u32| {
        let unit = &pieces.units[n];
        let area = (limit, pieces.link_size());
        frame::lay_out(&unit.func, unit.kind, placement, &machines[n], allocations[n].spill_slots(), area)
            .map_err(|needed| (needed, limit))
    };
    let mut layouts = vec![];
    for n in 1..pieces.units.len() {
        layouts.push(one(n, FRAME_LIMIT)?);
    }
    let frames: Vec<u32> = std::iter::once(0).chain(layouts.iter().map(|l| l.size)).collect();
    let limit = outline::program_limit(&pieces.units, &frames);
    layouts.insert(0, one(0, limit)?);
    Ok(layouts)
}
