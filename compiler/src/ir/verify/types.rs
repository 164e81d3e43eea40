//! Operand types, and what the target offers.

use super::{At, Checker};
use crate::ir::{Arg, Block, Dest, Function, Helper, Op, Size, Space, Target, Term, Ty, Value, ValueDef, pointer};
use weftrace_artifact::{abi::LossSlot, map::MapId, program::ProgType};

const I64: Ty = Ty::I64;

pub(super) fn check(c: &mut Checker<'_>) {
    let func = c.func;
    for block in func.blocks() {
        let data = &func.blocks[block.index()];
        for &inst in &data.insts {
            let at = At::Inst(inst);
            let data = &func.insts[inst.index()];
            check_op(c, at, &data.op);
            if let Some(result) = data.result {
                let (is, wants) = (func.value_type(result), data.op.result_type(func));
                c.require(Some(is) == wants, at, || format!("{result} has the type {is}"));
            }
        }
        check_term(c, block, &data.term);
    }
    if func.target != Target::Native {
        for v in func.blocks.iter().flat_map(|b| &b.params) {
            let is_data = func.value_type(*v) == Ty::Ptr(Space::Data);
            c.require(!is_data, At::Function, || format!("{v}: data exists in native code only"));
        }
    }
}

#[expect(clippy::too_many_lines, reason = "a table: one arm per operation")]
fn check_op(c: &mut Checker<'_>, at: At, op: &Op) {
    match *op {
        Op::Iconst(_) | Op::SlotAddr { .. } => {}
        Op::Binary { a, b, .. } | Op::Icmp { a, b, .. } => {
            integer(c, at, a);
            integer(c, at, b);
        }
        Op::Unary { a, .. } => integer(c, at, a),
        Op::Select { cond, a, b } => {
            integer(c, at, cond);
            let (a, b) = (c.func.value_type(a), c.func.value_type(b));
            c.require(a == b, at, || format!("chooses between {a} and {b}"));
            c.require(a != Ty::Ptr(Space::Record), at, || "a record's address cannot be chosen".into());
        }
        Op::PtrAdd { ptr, .. } => pointer(c, at, ptr),
        Op::PtrInt { ptr } => {
            pointer(c, at, ptr);
            let lasting = matches!(c.func.value_type(ptr), Ty::Ptr(Space::Stack | Space::Map));
            c.require(lasting, at, || "the address of something other than a slot or a map's value".into());
        }
        Op::PtrIndex { ptr, index, .. } => {
            pointer(c, at, ptr);
            integer(c, at, index);
            // Of the kernel's context only as an address for the read helpers (variable-length fields of tracepoint records).
        }
        Op::FieldOff { base, .. } => {
            integer(c, at, base);
            kernel_only(c, at);
        }
        Op::Load { ptr, path, .. } => {
            pointer(c, at, ptr);
            let kernel = matches!(c.func.target, Target::Kernel(_)) && c.func.value_type(ptr) == Ty::Ptr(Space::Ctx);
            let place = crate::ir::pointer::trace(c.func, ptr);
            c.require(!kernel || place.min == place.max, at, || {
                "the kernel's context is loaded at constant offsets only".into()
            });
            if path.is_some() {
                kernel_only(c, at);
            }
        }
        Op::LoadPtr { ptr, .. } => {
            let ty = c.func.value_type(ptr);
            let from_subject = matches!(ty, Ty::Ptr(Space::Ctx | Space::Data));
            c.require(from_subject, at, || format!("loads a pointer from {ty}"));
            c.require(c.func.target == Target::Native, at, || "exists in native code only".into());
        }
        Op::Store { value, ptr, .. } => {
            integer(c, at, value);
            writable(c, at, ptr);
        }
        Op::StoreData { ptr, .. } | Op::Fill { ptr, .. } => writable(c, at, ptr),
        Op::Copy { dst, src, .. } => {
            writable(c, at, dst);
            pointer(c, at, src);
        }
        Op::AtomicAdd { size, value, ptr, .. } => {
            integer(c, at, value);
            writable(c, at, ptr);
            c.require(matches!(size, Size::B4 | Size::B8), at, || "is 4 or 8 bytes wide".into());
        }
        Op::Call { helper, map, ref args } => check_call(c, at, helper, map, args),
        Op::Submit { record } | Op::Discard { record } => {
            let ty = c.func.value_type(record);
            c.require(ty == Ty::Ptr(Space::Record), at, || format!("wants a record, gets {ty}"));
        }
    }
}

fn check_call(c: &mut Checker<'_>, at: At, helper: Helper, map: Option<MapId>, args: &[Value]) {
    let row = helper.row();
    let kernel = c.func.target != Target::Native;
    let offered = match c.func.target {
        Target::Kernel(_) => {
            row.bpf.is_some()
                || row.kfunc.is_some()
                || matches!(
                    helper,
                    Helper::CountLoss
                        | Helper::ProbeIndex
                        | Helper::MapLen
                        | Helper::MapAt
                        | Helper::ReadTyped
                        | Helper::TaskComm
                )
        }
        Target::Native => row.native.is_some() || helper == Helper::KtimeBoot,
    };
    c.require(offered, at, || "the target has no such helper".into());
    if let Target::Kernel(prog) = c.func.target {
        let has = of_program(c.func, prog, helper, args);
        c.require(has, at, || "this type of program has no such helper".into());
    }
    let wants_map = row.args.contains(&Arg::Map);
    c.require(map.is_some() == wants_map, at, || if wants_map { "wants a map" } else { "takes no map" }.into());
    check_map(c, at, map);
    let wanted: Vec<Arg> = row.args.iter().copied().filter(|a| *a != Arg::Map).collect();
    if wanted.len() != args.len() {
        return c.error(at, format!("wants {} arguments, gets {}", wanted.len(), args.len()));
    }
    for (i, (&arg, &want)) in args.iter().zip(&wanted).enumerate() {
        let ty = c.func.value_type(arg);
        let fits = match want {
            Arg::Map => false,
            Arg::Ctx => ty == Ty::Ptr(Space::Ctx),
            Arg::Int => ty == I64,
            // The program's own memory is kernel memory.
            Arg::Address => {
                let own = [Ty::Ptr(Space::Stack), Ty::Ptr(Space::Map)].contains(&ty);
                ty == I64 || ty == Ty::Ptr(Space::Ctx) || helper == Helper::ReadKernel && own
            }
            // The kernel takes keys and values from memory of known size only.
            Arg::In => matches!(ty, Ty::Ptr(_)) && !(kernel && ty == Ty::Ptr(Space::Ctx)),
            Arg::Out => is_writable(ty),
        };
        c.require(fits, at, || format!("argument {i} cannot be {ty}"));
    }
    if helper == Helper::CountLoss {
        let slot = pointer::constant(c.func, args[0]);
        let known = slot.is_some_and(|n| (0..i64::from(LossSlot::COUNT)).contains(&n));
        c.require(known, at, || "the loss must be a constant".into());
    }
    if helper == Helper::TaskComm {
        let whole = pointer::constant(c.func, args[1]) == Some(16);
        c.require(whole, at, || "the name of a task has 16 bytes".into());
    }
    if helper == Helper::ReadTyped {
        let constant = |i: usize| pointer::constant(c.func, args[i]);
        let known = constant(1).is_some_and(|n| i16::try_from(n).is_ok())
            && constant(2).is_some_and(|n| matches!(n, 1 | 2 | 4 | 8));
        c.require(known, at, || "where and how much it reads must be constants".into());
    }
}

/// The kernel knows the type of an address only in BTF-typed programs; socket filters have no task to unwind.
fn of_program(func: &Function, prog: ProgType, helper: Helper, args: &[Value]) -> bool {
    match helper {
        Helper::SocketCookie | Helper::DPath => prog.is_typed(),
        Helper::ReadTyped => prog.is_typed() || args.first().is_some_and(|address| has_type(func, *address)),
        Helper::StackId | Helper::GetStack => prog != ProgType::SocketFilter,
        Helper::SkbLoad => prog == ProgType::SocketFilter,
        _ => true,
    }
}

/// Whether this is a member of what a helper gives with its type, in any program.
fn has_type(func: &Function, mut value: Value) -> bool {
    while let ValueDef::Inst(inst) = func.values[value.index()].def {
        match func.insts[inst.index()].op {
            Op::FieldOff { base, .. } => value = base,
            Op::Call { helper, .. } => return helper.gives_type(),
            _ => return false,
        }
    }
    false
}

fn check_map(c: &mut Checker<'_>, at: At, map: Option<MapId>) {
    if let (Some(map), Some(maps)) = (map, c.maps) {
        c.require((map.0 as usize) < maps.len(), at, || format!("map{} does not exist", map.0));
    }
}

fn check_term(c: &mut Checker<'_>, block: Block, term: &Term) {
    let at = At::Term(block);
    match term {
        Term::None | Term::Jump(_) => {}
        Term::Brif { cond, .. } => integer(c, at, *cond),
        Term::Lookup { map, key, found, .. } => {
            check_map(c, at, Some(*map));
            let ty = c.func.value_type(*key);
            let readable = matches!(ty, Ty::Ptr(space) if space != Space::Ctx);
            c.require(readable, at, || format!("the key is at an address of type {ty}"));
            supplied(c, at, found, Space::Map);
        }
        Term::Reserve { ok, .. } => supplied(c, at, ok, Space::Record),
        Term::Return(v) => integer(c, at, *v),
    }
    for (dest, given) in term.targets() {
        let params = &c.func.blocks[dest.block.index()].params[given..];
        for (&param, &arg) in params.iter().zip(&dest.args) {
            let (want, ty) = (c.func.value_type(param), c.func.value_type(arg));
            c.require(want == ty, at, || format!("{} wants {want} for {param}, gets {ty}", dest.block));
            let record = ty == Ty::Ptr(Space::Record);
            c.require(!record, at, || "a record's address cannot be passed on".into());
        }
    }
}

/// The first parameter of `dest` is what the terminator gives.
fn supplied(c: &mut Checker<'_>, at: At, dest: &Dest, space: Space) {
    let first = c.func.value_type(c.func.blocks[dest.block.index()].params[0]);
    c.require(first == Ty::Ptr(space), at, || {
        format!("{}'s first parameter must be {}, is {first}", dest.block, Ty::Ptr(space))
    });
}

fn integer(c: &mut Checker<'_>, at: At, value: Value) {
    let ty = c.func.value_type(value);
    c.require(ty == I64, at, || format!("{value} must be i64, is {ty}"));
}

fn pointer(c: &mut Checker<'_>, at: At, value: Value) {
    let ty = c.func.value_type(value);
    c.require(ty != I64, at, || format!("{value} must be a pointer, is {ty}"));
}

fn is_writable(ty: Ty) -> bool {
    matches!(ty, Ty::Ptr(Space::Stack | Space::Map | Space::Record))
}

fn writable(c: &mut Checker<'_>, at: At, value: Value) {
    let ty = c.func.value_type(value);
    c.require(is_writable(ty), at, || format!("{value} cannot be written through: it is {ty}"));
}

fn kernel_only(c: &mut Checker<'_>, at: At) {
    c.require(c.func.target != Target::Native, at, || "field paths exist in kernel programs only".into());
}
