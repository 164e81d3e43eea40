//! Programs for many system calls: they run at the raw tracepoint that all calls pass, and see of a call what its own tracepoint
//! (`syscalls:sys_enter_NAME`) would show.
//!
//! The kernel makes those tracepoints of the same raw one (kernel/trace/trace_syscalls.c): it leaves out the calls of 32-bit programs
//! (`arch_trace_is_compat_syscall`) and numbers without a function, and copies the argument registers into the record.

use super::{
    cx::{Cx, R},
    mem::Mem,
};
use crate::{
    attach::{Source, source},
    ir::{BinaryOp, Helper, UnaryOp, Value},
};
use weftrace_arch::TracedCalls;
use weftrace_artifact::program::FieldPath;
use weftrace_lang::{
    hir::{Expr, ExprKind},
    span::Span,
    world::World,
};

/// What this architecture keeps where.
const CALLS: &TracedCalls = &weftrace_arch::THIS.traced_calls;

const REGISTERS: &str = "pt_regs";
const TASK: &str = "task_struct";

/// The record of such a tracepoint: where the number is, and the first of the words that follow it.
const NUMBER_AT: u32 = 8;
const WORDS_AT: u32 = 16;

/// The call that runs the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Syscall {
    /// Its registers.
    regs: Value,
    number: Value,
    /// Index of the probe that is for it.
    pub(super) probe: Value,
    ret: bool,
}

/// Whether a field of such a tracepoint's record, at an offset, is one that can be had otherwise.
pub(crate) fn is_known_field(offset: u32, ret: bool) -> bool {
    let words = if ret { 1 } else { CALLS.args.len() as u32 };
    offset == NUMBER_AT || (offset >= WORDS_AT && offset.is_multiple_of(8) && (offset - WORDS_AT) / 8 < words)
}

/// Whether the kernel's types tell where everything is.
pub(crate) fn has_layout(world: &dyn World) -> bool {
    let has = |owner: &str, member: &str| {
        let def = world.kernel_struct(owner).found();
        def.is_some_and(|def| def.fields.iter().any(|f| f.name == member))
    };
    has(TASK, "thread_info")
        && has("thread_info", CALLS.compat.0)
        && has(REGISTERS, CALLS.number)
        && CALLS.args.iter().all(|(name, _)| has(REGISTERS, name))
}

impl Cx<'_, '_> {
    /// Ends the run unless the call is one that the program is for.
    pub(super) fn enter_syscall(&mut self, ret: bool) -> R<()> {
        let span = self.probe.map_or_else(Span::default, |p| p.span);
        let table = self.m.syscalls();
        let ctx = self.b.ctx();
        let regs = self.load(8, false, Mem::new(ctx, 0));
        let number = if ret {
            self.read_typed(regs, REGISTERS, (CALLS.number, 0), 4, span)?
        } else {
            self.load(8, false, Mem::new(ctx, 8))
        };
        let (other, selected, wanted) = (self.block(), self.block(), self.block());
        let key = self.temp(4);
        self.store(4, number, key);
        let found = self.lookup_or(table, key.ptr, other);
        let probe = self.load(4, false, Mem::new(found, 0));
        self.brif(probe, selected, other);
        self.start(selected);
        let (flags, bytes, bits) = CALLS.compat;
        let task = self.b.call(Helper::CurrentTaskBtf, &[]);
        let flags = self.read_typed(task, TASK, (&format!("thread_info.{flags}"), 0), bytes, span)?;
        let compat = self.b.binary_imm(BinaryOp::Band, flags, bits);
        self.brif(compat, other, wanted);
        self.start(other);
        self.leave();
        self.start(wanted);
        let probe = self.b.binary_imm(BinaryOp::Isub, probe, 1);
        self.syscall = Some(Syscall { regs, number, probe, ret });
        Ok(())
    }

    /// What the tracepoint's record has at an offset, as 64 bits.
    pub(super) fn syscall_field(&mut self, syscall: Syscall, offset: u32, span: Span) -> R<Value> {
        if !is_known_field(offset, syscall.ret) {
            return self.elsewhere(span, "this field");
        }
        if offset == NUMBER_AT {
            return Ok(syscall.number);
        }
        if syscall.ret {
            let ctx = self.b.ctx();
            return Ok(self.load(8, false, Mem::new(ctx, 8)));
        }
        let register = CALLS.args[((offset - WORDS_AT) / 8) as usize];
        self.read_typed(syscall.regs, REGISTERS, register, 8, span)
    }

    /// What a tracepoint's record has in a field, of what it is made of.
    pub(super) fn record_field(&mut self, event: &str, e: &Expr) -> R<Value> {
        let ExprKind::TraceArg { field, .. } = &e.kind else { return self.not_yet(e.span, "this field") };
        let ctx = self.b.ctx();
        let word = |n: u32| Mem::new(ctx, n as i32 * 8);
        match source(event, field) {
            Some(Source::Arg(n)) => Ok(self.load(8, false, word(n))),
            Some(Source::Member(n, owner, member, bytes)) => {
                let base = self.load(8, false, word(n));
                self.read_typed(base, owner, (member, 0), bytes, e.span)
            }
            Some(Source::Port(n, owner, member)) => {
                let base = self.load(8, false, word(n));
                let port = self.read_typed(base, owner, (member, 0), 2, e.span)?;
                Ok(self.b.unary(UnaryOp::Bswap16, port))
            }
            Some(Source::Number(n)) => {
                let base = self.load(8, false, word(n));
                let number = self.read_typed(base, REGISTERS, (CALLS.number, 0), 4, e.span)?;
                Ok(self.b.unary(UnaryOp::Sext32, number))
            }
            None => self.elsewhere(e.span, "this field"),
        }
    }

    /// `__call_register("di")`, `__call_register("regs[3]")`
    pub(super) fn call_register(&mut self, args: &[Expr], e: &Expr) -> R<Value> {
        let [Expr { kind: ExprKind::Str(name), .. }] = args else {
            return self.not_yet(e.span, "a register without a name");
        };
        let word = |at: &str| at.strip_suffix(']').and_then(|at| at.parse::<u32>().ok());
        let (member, further) = match name.split_once('[') {
            Some((array, at)) => (array, word(at).unwrap_or_default() * 8),
            None => (name.as_str(), 0),
        };
        let bytes = if member == CALLS.number { 4 } else { 8 };
        let task = self.b.call(Helper::CurrentTaskBtf, &[]);
        let regs = self.b.call(Helper::TaskRegisters, &[task]);
        self.read_typed(regs, REGISTERS, (member, further), bytes, e.span)
    }

    /// A number in what a pointer that the verifier knows points to: at so many bytes from a member.
    fn read_typed(
        &mut self,
        base: Value,
        name: &str,
        (members, further): (&str, u32),
        bytes: u32,
        span: Span,
    ) -> R<Value> {
        let Some(offset) = self.member(name, members) else {
            return self.not_yet(span, format!("{members} of a struct {name} that is not known"));
        };
        let path = FieldPath::Struct { name: name.to_owned(), members: members.to_owned() };
        let address = self.b.field_off(base, i64::from(offset), &path);
        let (further, bytes) = (self.iconst(i64::from(further)), self.iconst(i64::from(bytes)));
        Ok(self.b.call(Helper::ReadTyped, &[address, further, bytes]))
    }
}
