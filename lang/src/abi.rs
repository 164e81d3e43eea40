//! Where arguments of kernel functions are: in registers by the calling convention, in words of a trampoline's context by type.

use crate::{
    hir::Ty,
    world::{FnProto, World},
};
use weftrace_arch::Arch;

/// A struct of more is passed in memory.
const MOST_IN_REGISTERS: u32 = 16;

/// Bytes of each argument.
pub fn sizes(world: &dyn World, proto: &FnProto) -> Vec<u32> {
    let size = |ty: &Ty| match ty {
        Ty::Struct(name) => world.kernel_struct(name).found().map_or(MOST_IN_REGISTERS + 1, |s| s.size),
        _ => 8,
    };
    proto.params.iter().map(|p| size(&p.ty)).collect()
}

/// Words that an argument takes.
pub fn words(size: u32) -> u32 {
    size.div_ceil(8).max(1)
}

/// All words of the arguments.
pub fn total(sizes: &[u32]) -> u32 {
    sizes.iter().map(|s| words(*s)).sum()
}

/// The first word of each argument in a trampoline's context.
pub fn slots(sizes: &[u32]) -> Vec<u32> {
    let mut next = 0;
    sizes
        .iter()
        .map(|size| {
            let at = next;
            next += words(*size);
            at
        })
        .collect()
}

/// What each argument register holds: (argument, which word of it).
pub fn registers(arch: &Arch, sizes: &[u32]) -> Vec<Option<(usize, u32)>> {
    let mut all = vec![None; arch.args.len()];
    let mut next = 0;
    for (param, size) in sizes.iter().enumerate() {
        let needed = words(*size);
        if *size > MOST_IN_REGISTERS {
            // Its address is passed, or it is on the stack.
            next += usize::from(arch.calls.large_by_reference);
            continue;
        }
        if next + needed as usize > all.len() {
            if arch.calls.large_by_reference {
                // AAPCS64: what follows is on the stack too.
                break;
            }
            continue;
        }
        for part in 0..needed {
            all[next] = Some((param, part));
            next += 1;
        }
    }
    all
}
