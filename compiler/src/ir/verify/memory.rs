//! Accesses stay within their object, as far as offsets and sizes are known.

use super::{At, Checker};
use crate::ir::pointer::{self, Root};
use crate::ir::{Arg, Block, Helper, Op, Term, Value};
use weftrace_artifact::{
    abi::{BYTES_KEY_SIZE, CONN_KEY_SIZE},
    map::MapId,
};

/// No object is larger: bounds what tools that trust the verifier must allocate.
pub(super) const MAX_OBJECT: i64 = 1 << 20;

/// A check of one access: who, through what, offset, length.
type Access = (At, Value, i64, i64);

pub(super) fn check(c: &mut Checker<'_>) {
    let func = c.func;
    let (reserves, values) = (pointer::reserve_sizes(func), map_value_sizes(c));
    let mut accesses: Vec<Access> = vec![];
    for block in func.blocks() {
        let data = &func.blocks[block.index()];
        for &inst in &data.insts {
            collect(c, At::Inst(inst), &func.insts[inst.index()].op, &mut accesses);
        }
        if let Term::Reserve { size, .. } = data.term {
            c.require(i64::from(size) <= MAX_OBJECT, At::Term(block), || format!("a record of {size} bytes"));
        }
        if let Term::Lookup { map, key, .. } = data.term {
            accesses.extend(key_size(c, Some(map)).map(|size| (At::Term(block), key, 0, size)));
        }
    }
    for (at, ptr, offset, len) in accesses {
        let pointer = pointer::trace(func, ptr);
        let size = pointer::object_size(func, pointer.root, &reserves).or_else(|| match pointer.root {
            Root::Value(v) => pointer::param_block(func, v)
                .filter(|b| func.blocks[b.index()].params[0] == v)
                .and_then(|b| values[b.index()]),
            Root::Slot(_) => None,
        });
        let (low, high) = (pointer.min + offset, pointer.max + offset + len);
        let sane = len <= MAX_OBJECT && low >= i64::from(i32::MIN) && high <= i64::from(i32::MAX);
        c.require(sane, at, || format!("bytes {low}..{high} are more than any object has"));
        let size = size.unwrap_or(i64::MAX);
        let known = size != i64::MAX;
        c.require(!known || (low >= 0 && high <= size), at, || {
            format!("bytes {low}..{high} are not within the {size} bytes of {}", object(pointer.root))
        });
    }
}

fn object(root: Root) -> String {
    match root {
        Root::Slot(slot) => slot.to_string(),
        Root::Value(v) => v.to_string(),
    }
}

fn collect(c: &Checker<'_>, at: At, op: &Op, out: &mut Vec<Access>) {
    let access = |ptr: Value, offset: i32, len: u32| (at, ptr, i64::from(offset), i64::from(len));
    match op {
        Op::Load { mem, ptr, offset, .. } => out.push(access(*ptr, *offset, mem.bytes())),
        Op::LoadPtr { ptr, offset } => out.push(access(*ptr, *offset, 8)),
        Op::Store { size, ptr, offset, .. } | Op::AtomicAdd { size, ptr, offset, .. } => {
            out.push(access(*ptr, *offset, size.bytes()));
        }
        Op::StoreData { data, ptr, offset } => {
            out.push(access(*ptr, *offset, c.func.data[data.index()].len() as u32));
        }
        Op::Fill { ptr, offset, len } => out.push(access(*ptr, *offset, *len)),
        Op::Copy { dst, dst_offset, src, src_offset, len } => {
            out.push(access(*dst, *dst_offset, *len));
            out.push(access(*src, *src_offset, *len));
        }
        // Within the object or one past its end.
        Op::SlotAddr { .. } | Op::PtrAdd { .. } | Op::PtrIndex { .. } => {
            if let At::Inst(inst) = at {
                out.extend(c.func.insts[inst.index()].result.map(|v| (at, v, 0, 0)));
            }
        }
        Op::Call { helper, map, args } => {
            for (n, (i, kind, len)) in helper.buffers().into_iter().enumerate() {
                let len = match (len, kind, n) {
                    (Some(len), ..) => pointer::constant(c.func, args[len]).filter(|len| u32::try_from(*len).is_ok()),
                    // Of helpers on maps the first is the key, the second the value.
                    (None, Arg::In, 0) => key_size(c, *map),
                    (None, Arg::In, 1) => value_size(c, *map),
                    (None, Arg::Out, _) if *helper == Helper::PacketConn => Some(CONN_KEY_SIZE.into()),
                    (None, Arg::Out, _) if *helper == Helper::PacketBytes => Some(BYTES_KEY_SIZE.into()),
                    _ => None,
                };
                out.extend(len.map(|len| (at, args[i], 0, len)));
            }
        }
        _ => {}
    }
}

fn key_size(c: &Checker<'_>, map: Option<MapId>) -> Option<i64> {
    c.maps?.get(map?.0 as usize).map(|spec| i64::from(spec.key_size))
}

fn value_size(c: &Checker<'_>, map: Option<MapId>) -> Option<i64> {
    c.maps?.get(map?.0 as usize).map(|spec| i64::from(spec.value_size))
}

/// For each block whose first parameter only look-ups supply: the smallest of their values' sizes.
fn map_value_sizes(c: &Checker<'_>) -> Vec<Option<i64>> {
    let func = c.func;
    let mut sizes: Vec<Option<i64>> = vec![None; func.blocks.len()];
    let mut known = vec![true; func.blocks.len()];
    let mut merge = |block: Block, size: Option<i64>| {
        let i = block.index();
        known[i] &= size.is_some();
        sizes[i] = if known[i] { sizes[i].into_iter().chain(size).min() } else { None };
    };
    for block in func.blocks() {
        let term = &func.blocks[block.index()].term;
        for (dest, given) in term.targets() {
            match term {
                Term::Lookup { map, .. } if given == 1 => merge(dest.block, value_size(c, Some(*map))),
                _ => merge(dest.block, None),
            }
        }
    }
    sizes
}
