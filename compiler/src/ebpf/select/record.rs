//! Which bytes of a record the program surely writes itself.

use crate::{
    ebpf::cfg::Cfg,
    ir::{Block, Function, Op, Value, ValueDef},
};

/// Runs (start, length) of the `padded` payload bytes that must be zeroed, for the record that `block` gets as its first
/// parameter. A byte need not be where the block itself, up to the submission, writes it at a constant offset and never reads
/// the record.
pub(super) fn uncovered(func: &Function, cfg: &Cfg, block: Block, size: u32, padded: u32) -> Vec<(u32, u32)> {
    let everything = if padded > 0 { vec![(0, padded)] } else { vec![] };
    let data = &func.blocks[block.index()];
    let Some(&record) = data.params.first() else { return everything };
    // Other ways into the block bring other records.
    if cfg.preds[block.index()].len() != 1 {
        return everything;
    }
    let mut written = vec![false; padded as usize];
    for inst in &data.insts {
        let op = &func.insts[inst.index()].op;
        let (ptr, offset, len) = match op {
            Op::Submit { record: r } if *r == record => return runs(&written),
            Op::PtrAdd { .. } => continue,
            Op::Store { size, ptr, offset, value } if !derived(func, *value, record) => (*ptr, *offset, size.bytes()),
            Op::StoreData { data, ptr, offset } => {
                (*ptr, *offset, func.data.get(data.index()).map_or(0, |d| d.len() as u32))
            }
            Op::Fill { ptr, offset, len } => (*ptr, *offset, *len),
            Op::Copy { dst, dst_offset, src, len, .. } if !derived(func, *src, record) => (*dst, *dst_offset, *len),
            Op::Call { helper, args, .. } => {
                // Output arguments are not read; the rest of the record may be.
                let reads = helper
                    .row()
                    .args
                    .iter()
                    .filter(|a| **a != crate::ir::Arg::Map)
                    .zip(args)
                    .any(|(kind, &arg)| *kind != crate::ir::Arg::Out && derived(func, arg, record));
                if reads {
                    return everything;
                }
                continue;
            }
            op => {
                let mut reads = false;
                op.for_each_use(|v| reads |= derived(func, v, record));
                if reads {
                    return everything;
                }
                continue;
            }
        };
        if let Some(at) = constant_offset(func, ptr, record) {
            mark(&mut written, at + i64::from(offset), len, size);
        }
    }
    everything
}

fn mark(written: &mut [bool], start: i64, len: u32, size: u32) {
    let end = (start + i64::from(len)).min(i64::from(size));
    for at in start.max(0)..end {
        if let Some(byte) = written.get_mut(at as usize) {
            *byte = true;
        }
    }
}

/// Unwritten bytes, as runs. A run is widened to start and end at multiples of 4 where that makes its stores fewer: writing
/// zeros where the program writes later is harmless.
fn runs(written: &[bool]) -> Vec<(u32, u32)> {
    let mut out: Vec<(u32, u32)> = Vec::new();
    for (at, _) in written.iter().enumerate().filter(|(_, w)| !**w) {
        let word = at as u32 & !3;
        match out.last_mut() {
            Some((start, len)) if *start + *len >= word => *len = (word + 4).min(written.len() as u32) - *start,
            _ => out.push((word, 4.min(written.len() as u32 - word))),
        }
    }
    out
}

/// Bytes from the record to `ptr`, if constant.
fn constant_offset(func: &Function, ptr: Value, record: Value) -> Option<i64> {
    let (mut at, mut total) = (ptr, 0);
    while at != record {
        let ValueDef::Inst(inst) = func.values[at.index()].def else { return None };
        let Op::PtrAdd { ptr, offset } = func.insts[inst.index()].op else { return None };
        total += i64::from(offset);
        at = ptr;
    }
    Some(total)
}

/// Whether `value` points into the record.
fn derived(func: &Function, value: Value, record: Value) -> bool {
    let mut at = value;
    loop {
        if at == record {
            return true;
        }
        let ValueDef::Inst(inst) = func.values[at.index()].def else { return false };
        match func.insts[inst.index()].op {
            Op::PtrAdd { ptr, .. } | Op::PtrIndex { ptr, .. } => at = ptr,
            // Either side may be it: assume so if both types allow.
            Op::Select { a, b, .. } => return derived(func, a, record) || derived(func, b, record),
            _ => return false,
        }
    }
}
