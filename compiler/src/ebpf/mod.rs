//! IR → eBPF.
//!
//! | file | step |
//! |---|---|
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

/// Compiles one function to a program.
pub fn compile(func: &ir::Function, env: &Env<'_>) -> Result<ProgramImage, Error> {
    let ir::Target::Kernel(prog_type) = func.target else {
        return Err(Error::new(ErrorKind::NotKernel, func.spans.first().copied()));
    };
    let cfg = cfg::Cfg::new(func);
    // Spills and slots share the frame, and how many values spill is known only after allocation: start with most of the
    // frame for slots, and give up slots (to the scratch map) until both fit.
    let mut budget = FRAME_LIMIT - frame::SPILL_RESERVE;
    loop {
        let placement = frame::place(func, budget)?;
        let machine = select::select(func, env, &cfg, &placement, prog_type)?;
        let allocation = regalloc::run(&machine).map_err(|e| Error::new(e, func.spans.first().copied()))?;
        match frame::lay_out(func, &placement, &machine, allocation.spill_slots()) {
            Ok(layout) => {
                return emit::emit(
                    func,
                    env,
                    prog_type,
                    &emit::Input { machine: &machine, allocation: &allocation, layout: &layout, placement: &placement },
                );
            }
            Err(needed) if budget > 0 => budget = frame::next_budget(budget, needed),
            Err(needed) => {
                return Err(Error::new(ErrorKind::FrameTooLarge { needed }, func.spans.first().copied()));
            }
        }
    }
}
