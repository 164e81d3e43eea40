//! Final code: instructions with registers, jumps resolved, tables of relocations and spans.

use super::{
    Env, Error, ErrorKind,
    frame::Layout,
    insn::{AluOp, Insn, JumpCond, MemSize, Reg, Src, Width},
    lineinfo,
    mir::{Fields, Kind, MCmp, MFunction, MInst, MSrc, Reloc},
    regalloc::{Registers, Step},
};
use crate::ir::{Function, SpanId};
use regalloc2::Allocation;
use weftrace_artifact::{
    Place,
    program::{FieldReloc, MapReloc, ProgType, ProgramImage},
};

/// What earlier steps found.
pub(super) struct Input<'a> {
    pub(super) name: &'a str,
    pub(super) machine: &'a MFunction,
    pub(super) allocation: &'a Registers<'a>,
    pub(super) layout: &'a Layout,
}

/// How a block ends.
#[derive(Clone, Copy)]
enum End {
    Exit,
    Jump(usize),
    Branch { cond: JumpCond, dst: Reg, src: Src, then: usize, otherwise: usize },
}

/// A block's code without its final jumps.
struct Code {
    insns: Vec<(Insn, SpanId, Option<Reloc>)>,
    end: End,
    end_span: SpanId,
}

/// The program's code, then that of the functions it calls.
pub(super) fn emit(
    func: &Function,
    env: &Env<'_>,
    prog_type: ProgType,
    units: &[Input<'_>],
    scratch_size: u32,
) -> Result<ProgramImage, Error> {
    let whole = func.spans.first().copied();
    let mut out = Output::default();
    let mut all_spans = vec![];
    let mut functions = vec![];
    for input in units {
        let base = out.insns.len();
        let mut codes: Vec<Code> = (0..input.machine.blocks.len()).map(|b| block_code(input, b)).collect();
        thread_jumps(&mut codes);
        let mut order = live_blocks(&codes);
        order.sort_by_key(|&b| input.machine.blocks[b].cold);
        let (items, starts) = place(&codes, &order, base);
        for item in &items {
            out.push(item, &starts).map_err(|kind| Error::at(kind, func, item.span))?;
        }
        functions.push((base as u32, input.name));
        all_spans.extend(spans(func, &items));
    }
    out.link(&functions);
    let count = out.insns.len() as u32;
    if count > env.features.max_insns {
        return Err(Error::new(ErrorKind::TooLong { count, limit: env.features.max_insns }, whole));
    }
    let info = lineinfo::program(&functions, env.sources, &all_spans);
    Ok(ProgramImage {
        name: func.name.clone(),
        prog_type,
        insns: out.insns,
        map_relocs: out.map_relocs,
        field_relocs: out
            .field_relocs
            .into_iter()
            .filter_map(|(insn, path, slot, compiled)| {
                let path = func.paths.get(path)?.clone();
                Some(FieldReloc { insn, slot, path, compiled })
            })
            .collect(),
        btf: info.btf,
        func_info: info.functions,
        line_info: info.lines,
        spans: all_spans,
        scratch_size,
        frame_size: units.first().map_or(0, |u| u.layout.size),
        twin: None,
    })
}

/// An instruction at its final position; `target` is the block a jump goes to.
struct Item {
    insn: Insn,
    at: usize,
    target: Option<usize>,
    span: SpanId,
    reloc: Option<Reloc>,
}

/// Positions of all instructions, and of each block's first one.
fn place(codes: &[Code], order: &[usize], base: usize) -> (Vec<Item>, Vec<usize>) {
    let mut items: Vec<Item> = Vec::new();
    let mut starts = vec![0; codes.len()];
    let mut at = base;
    for (index, &block) in order.iter().enumerate() {
        let next = order.get(index + 1).copied();
        let code = &codes[block];
        starts[block] = at;
        let mut add = |insn: Insn, target: Option<usize>, span: SpanId, reloc: Option<Reloc>| {
            items.push(Item { insn, at, target, span, reloc });
            at += insn.units();
        };
        for &(insn, span, reloc) in &code.insns {
            add(insn, None, span, reloc);
        }
        let goto = Insn::Jump { off: 0 };
        match code.end {
            End::Exit => add(Insn::Exit, None, code.end_span, None),
            End::Jump(to) if Some(to) == next => {}
            End::Jump(to) => add(goto, Some(to), code.end_span, None),
            End::Branch { then, otherwise, .. } if then == otherwise => {
                if Some(then) != next {
                    add(goto, Some(then), code.end_span, None);
                }
            }
            End::Branch { cond, dst, src, then, otherwise } => {
                let (cond, to, other) = match cond.inverse() {
                    Some(inverse) if Some(then) == next => (inverse, otherwise, then),
                    _ => (cond, then, otherwise),
                };
                add(Insn::Branch { width: Width::W64, cond, dst, src, off: 0 }, Some(to), code.end_span, None);
                if Some(other) != next {
                    add(goto, Some(other), code.end_span, None);
                }
            }
        }
    }
    (items, starts)
}

#[derive(Default)]
struct Output {
    insns: Vec<u64>,
    map_relocs: Vec<MapReloc>,
    field_relocs: Vec<(u32, usize, weftrace_artifact::program::RelocSlot, i64)>,
    /// Instructions that name another function.
    calls: Vec<(usize, usize)>,
}

impl Output {
    fn push(&mut self, item: &Item, starts: &[usize]) -> Result<(), ErrorKind> {
        let at = item.at as u32;
        match item.reloc {
            Some(Reloc::Func(unit)) => self.calls.push((item.at, unit)),
            Some(Reloc::Map(map)) => self.map_relocs.push(MapReloc { insn: at, map }),
            Some(Reloc::Field { path, slot, compiled }) => {
                self.field_relocs.push((at, path.index(), slot, compiled));
            }
            None => {}
        }
        let mut insn = item.insn;
        if let Some(target) = item.target {
            let distance = starts[target] as i64 - (item.at as i64 + 1);
            let distance = i16::try_from(distance).map_err(|_| ErrorKind::JumpTooFar)?;
            match &mut insn {
                Insn::Jump { off } | Insn::Branch { off, .. } => *off = distance,
                _ => {}
            }
        }
        insn.encode(&mut self.insns);
        Ok(())
    }

    /// Writes the distances to functions, which are known now.
    fn link(&mut self, functions: &[(u32, &str)]) {
        for &(at, unit) in &self.calls {
            let Some(&(start, _)) = functions.get(unit) else { continue };
            let distance = i64::from(start) - (at as i64 + 1);
            self.insns[at] = self.insns[at] & 0xffff_ffff | (distance as u32 as u64) << 32;
        }
    }
}

/// Jumps to blocks that only jump on go to the final destination.
fn thread_jumps(codes: &mut [Code]) {
    let forwards: Vec<Option<usize>> = codes
        .iter()
        .map(|code| match code.end {
            End::Jump(to) if code.insns.is_empty() => Some(to),
            _ => None,
        })
        .collect();
    let resolve = |mut at: usize| {
        // A loop of empty blocks has no end: give up after as many steps as there are blocks.
        for _ in 0..forwards.len() {
            match forwards[at] {
                Some(next) => at = next,
                None => break,
            }
        }
        at
    };
    for code in codes {
        match &mut code.end {
            End::Exit => {}
            End::Jump(to) => *to = resolve(*to),
            End::Branch { then, otherwise, .. } => {
                *then = resolve(*then);
                *otherwise = resolve(*otherwise);
            }
        }
    }
}

/// Blocks that something still reaches, in layout order: the verifier refuses unreachable instructions.
fn live_blocks(codes: &[Code]) -> Vec<usize> {
    let mut live = vec![false; codes.len()];
    let mut work = vec![0];
    while let Some(block) = work.pop() {
        if std::mem::replace(&mut live[block], true) {
            continue;
        }
        match codes[block].end {
            End::Exit => {}
            End::Jump(to) => work.push(to),
            // With both ways to the same block no instruction is left of it; either way it is reached.
            End::Branch { then, otherwise, .. } => work.extend([then, otherwise]),
        }
    }
    (0..codes.len()).filter(|&b| live[b]).collect()
}

/// First instruction of each run with the same place.
fn spans(func: &Function, items: &[Item]) -> Vec<(u32, Place)> {
    let mut out: Vec<(u32, Place)> = Vec::new();
    for item in items {
        let place = func.spans.get(item.span.index()).copied().unwrap_or_default();
        if out.last().is_none_or(|(_, last)| *last != place) {
            out.push((item.at as u32, place));
        }
    }
    out
}

fn block_code(input: &Input<'_>, block: usize) -> Code {
    let mut code = Code { insns: vec![], end: End::Exit, end_span: SpanId(0) };
    let data = &input.machine.blocks[block];
    // Moves belong to the instruction that follows them.
    let mut moves: Vec<Insn> = Vec::new();
    for step in input.allocation.steps(block) {
        match step {
            Step::Move { from, to } => moves.extend(move_insn(from, to)),
            Step::Inst(inst, places) => {
                code.insns.extend(moves.drain(..).map(|m| (m, inst.span, None)));
                expand(input.layout, inst, places, &mut code);
                code.end_span = inst.span;
            }
        }
    }
    let target = |n: usize| data.succs.get(n).map_or(0, |s| s.index());
    match &mut code.end {
        End::Exit => {}
        End::Jump(to) => *to = target(0),
        End::Branch { then, otherwise, .. } => {
            *then = target(0);
            *otherwise = target(1);
        }
    }
    code
}

fn reg_of(place: Allocation) -> Reg {
    // Every operand of ours asks for a register.
    Reg(place.as_reg().map_or(0, |p| p.hw_enc() as u8))
}

fn move_insn(from: Allocation, to: Allocation) -> Option<Insn> {
    let (size, signed) = (MemSize::B8, false);
    match (from.as_reg(), from.as_stack(), to.as_reg(), to.as_stack()) {
        (Some(a), _, Some(b), _) if a == b => None,
        (Some(_), _, Some(_), _) => Some(Insn::mov(reg_of(to), reg_of(from))),
        (Some(_), _, _, Some(slot)) => {
            Some(Insn::Store { size, dst: Reg::FRAME, off: Layout::spill(slot.index()), src: Src::Reg(reg_of(from)) })
        }
        (_, Some(slot), Some(_), _) => {
            Some(Insn::Load { size, signed, dst: reg_of(to), src: Reg::FRAME, off: Layout::spill(slot.index()) })
        }
        // regalloc2 never moves from stack to stack.
        _ => None,
    }
}

/// Writes the allocated registers (and the slot's place) into an instruction.
fn with_registers(insn: Insn, fields: Fields, places: &[Allocation], shift: i16) -> Insn {
    let given = |n: Option<u8>, old: Reg| n.map_or(old, |n| reg_of(places[usize::from(n)]));
    let given_src = |src: Src| match src {
        Src::Reg(r) => Src::Reg(given(fields.src, r)),
        imm @ Src::Imm(_) => imm,
    };
    match insn {
        Insn::Alu { width, op, dst, src } => Insn::Alu { width, op, dst: given(fields.dst, dst), src: given_src(src) },
        Insn::MovSx { width, bits, dst, src } => {
            Insn::MovSx { width, bits, dst: given(fields.dst, dst), src: given(fields.src, src) }
        }
        Insn::Swap { order, bits, dst } => Insn::Swap { order, bits, dst: given(fields.dst, dst) },
        Insn::LoadImm64 { kind, dst, imm } => Insn::LoadImm64 { kind, dst: given(fields.dst, dst), imm },
        Insn::Load { size, signed, dst, src, off } => Insn::Load {
            size,
            signed,
            dst: given(fields.dst, dst),
            src: given(fields.src, src),
            off: off.saturating_add(shift),
        },
        Insn::Store { size, dst, off, src } => {
            Insn::Store { size, dst: given(fields.dst, dst), off: off.saturating_add(shift), src: given_src(src) }
        }
        Insn::AtomicAdd { size, dst, off, src } => Insn::AtomicAdd {
            size,
            dst: given(fields.dst, dst),
            off: off.saturating_add(shift),
            src: given(fields.src, src),
        },
        Insn::AtomicExchange { size, dst, off, src } => Insn::AtomicExchange {
            size,
            dst: given(fields.dst, dst),
            off: off.saturating_add(shift),
            src: given(fields.src, src),
        },
        other => other,
    }
}

fn source(src: MSrc, places: &[Allocation]) -> Src {
    match src {
        MSrc::Op(n) => Src::Reg(reg_of(places[usize::from(n)])),
        MSrc::Imm(imm) => Src::Imm(imm),
    }
}

fn branch_over(cmp: MCmp, places: &[Allocation], skip: i16) -> Insn {
    Insn::Branch {
        width: Width::W64,
        cond: cmp.cond,
        dst: reg_of(places[usize::from(cmp.lhs)]),
        src: source(cmp.rhs, places),
        off: skip,
    }
}

fn expand(layout: &Layout, inst: &MInst, places: &[Allocation], code: &mut Code) {
    let op = |n: usize| reg_of(places[n]);
    let mut push = |insn: Insn| code.insns.push((insn, inst.span, inst.reloc));
    match inst.kind {
        Kind::Entry => {}
        Kind::Plain(insn, fields) => push(with_registers(insn, fields, places, 0)),
        Kind::Frame(insn, fields, slot) => push(with_registers(insn, fields, places, layout.slot(slot))),
        Kind::Lea { slot, off } => {
            push(Insn::mov(op(0), Reg::FRAME));
            push(Insn::alu(AluOp::Add, op(0), i32::from(layout.slot(slot)) + off));
        }
        Kind::Select { cmp, dst, a, b } => {
            let dst = op(usize::from(dst));
            if let Some(imm) = a {
                push(Insn::mov(dst, imm));
            }
            push(branch_over(cmp, places, 1));
            push(Insn::mov(dst, source(b, places)));
        }
        Kind::SetCond(cmp) => {
            push(Insn::mov(op(0), 1));
            push(branch_over(cmp, places, 1));
            push(Insn::mov(op(0), 0));
        }
        Kind::ClampAdd { max } => {
            let (index, src) = (op(1), Src::Imm(max));
            push(Insn::Branch { width: Width::W64, cond: JumpCond::Le, dst: index, src, off: 1 });
            push(Insn::mov(index, max));
            push(Insn::alu(AluOp::Add, op(0), index));
        }
        Kind::CountIfNotNull { atomic } => count(op(0), op(1), (!atomic).then(|| op(2)), push),
        Kind::Branch(cmp) => {
            code.end = End::Branch {
                cond: cmp.cond,
                dst: op(usize::from(cmp.lhs)),
                src: source(cmp.rhs, places),
                then: 0,
                otherwise: 0,
            };
        }
        Kind::Jump => code.end = End::Jump(0),
        Kind::Exit => code.end = End::Exit,
    }
}

fn count(counter: Reg, by: Reg, temp: Option<Reg>, mut push: impl FnMut(Insn)) {
    let null = |skip| Insn::Branch { width: Width::W64, cond: JumpCond::Eq, dst: counter, src: Src::Imm(0), off: skip };
    let (size, off) = (MemSize::B8, 0);
    match temp {
        None => {
            push(null(1));
            push(Insn::AtomicAdd { size, dst: counter, off, src: by });
        }
        Some(temp) => {
            push(null(3));
            push(Insn::Load { size, signed: false, dst: temp, src: counter, off });
            push(Insn::alu(AluOp::Add, temp, by));
            push(Insn::Store { size, dst: counter, off, src: Src::Reg(temp) });
        }
    }
}
