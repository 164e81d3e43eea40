//! Builtin values and functions that give a number, and what a program's context holds.

use super::{
    cx::{Cx, R},
    layout::width,
    mem::{Mem, Remote},
    module::config,
};
use crate::attach::Word;
use crate::ir::{BinaryOp, Cond, Helper, Mem as Width, UnaryOp, Value};
use weftrace_arch::HOST;
use weftrace_artifact::{abi::LossSlot, map::Role, program::FieldPath};
use weftrace_lang::{
    diag::Diagnostic,
    hir::{Clock, Expr, ExprKind as E, Func, Provider, StackMode, Ty},
    span::Span,
};

/// User stack instead of the kernel's (BPF_F_USER_STACK).
const BPF_F_USER_STACK: i64 = 1 << 8;
/// Frames that the kernel stores (PERF_MAX_STACK_DEPTH).
const MOST_FRAMES: u32 = 127;
/// Numbers for ClockGettime.
const CLOCK_BOOTTIME: i64 = 7;
const CLOCK_MONOTONIC: i64 = 1;
const CLOCK_TAI: i64 = 11;

impl Cx<'_, '_> {
    #[expect(clippy::too_many_lines, reason = "a table: one arm per function")]
    pub(crate) fn call_scalar(&mut self, func: Func, args: &[Expr], e: &Expr) -> R<Value> {
        let value = match func {
            Func::Pid => self.own_pid(true),
            Func::Tid => self.own_pid(false),
            Func::InitPid => self.half(Helper::PidTgid, true),
            Func::InitTid => self.half(Helper::PidTgid, false),
            Func::TaskNumber { process } => return self.with_temps(|cx| cx.task_number(process, args, e)),
            Func::Jiffies => self.kernel_call(Helper::Jiffies, "jiffies", e.span)?,
            Func::NumaId => self.kernel_call(Helper::NumaId, "numaid", e.span)?,
            Func::UserMode => self.usermode(e.span)?,
            Func::Signal { thread } => return self.signal(thread, args, e),
            Func::Override => return self.override_return(args, e),
            Func::WriteUser => return self.with_temps(|cx| cx.write_user(args, e)),
            Func::PercpuAddress => return self.with_temps(|cx| cx.percpu_address(args, e)),
            Func::SkbOutput => return self.with_temps(|cx| cx.skb_output(args, e)),
            Func::Strstr => return self.with_temps(|cx| cx.strstr(args, e)),
            Func::Memcmp => return self.with_temps(|cx| cx.memcmp(args, e)),
            Func::Gid => self.half(Helper::UidGid, true),
            Func::Uid | Func::Username => self.half(Helper::UidGid, false),
            Func::Nsecs(clock) => self.clock(clock),
            Func::StartTime => self.config_word(config::START_BOOT_NS),
            Func::Elapsed => {
                let now = self.clock(Clock::Boot);
                let start = self.config_word(config::START_BOOT_NS);
                self.b.isub(now, start)
            }
            Func::Cpu => self.b.call(Helper::Cpu, &[]),
            Func::Rand => self.b.call(Helper::Random, &[]),
            Func::Ncpus => self.iconst(i64::from(self.m.world.cpus())),
            Func::Curtask => self.kernel_call(Helper::CurrentTask, "curtask", e.span)?,
            Func::Cgroup => self.kernel_call(Helper::CgroupId, "cgroup", e.span)?,
            Func::Uaddr => self.user_address(args, e.span)?,
            Func::Goid => return self.with_temps(|cx| cx.goid(e.span)),
            Func::GoDepth => return self.with_temps(|cx| cx.go_depth(e.span)),
            Func::Ppid => self.ppid(e.span)?,
            // BPF_F_SKIP_FIELD_MASK
            Func::KStack => self.stack(i64::from(self.frames), &e.ty, e.span)?,
            Func::StackLen => self.stack_len(args, e)?,
            Func::Ksym | Func::Kptr | Func::Uptr | Func::Signed | Func::CgroupPath => self.arg(args, 0, func, e)?,
            // (format, ns): the format is in the type.
            Func::Strftime => self.arg(args, args.len().saturating_sub(1), func, e)?,
            Func::Bswap => {
                let v = self.arg(args, 0, func, e)?;
                match args.first().map(|a| width(&a.ty).0) {
                    Some(2) => self.b.unary(UnaryOp::Bswap16, v),
                    Some(4) => self.b.unary(UnaryOp::Bswap32, v),
                    Some(8) => self.b.unary(UnaryOp::Bswap64, v),
                    _ => v,
                }
            }
            Func::Strlen => match args {
                [s, ..] => return self.with_temps(|cx| cx.strlen(s)),
                [] => return self.not_yet(e.span, "strlen() without a string"),
            },
            Func::Strncmp => return self.with_temps(|cx| cx.strncmp(args, e)),
            Func::CallRegister => return self.call_register(args, e),
            Func::PlainRequest => return self.with_temps(|cx| cx.plain_request(args, e)),
            Func::PlainResponse => return self.with_temps(|cx| cx.plain_response(args, e)),
            Func::Strcontains => return self.with_temps(|cx| cx.strcontains(args, e)),
            Func::SockCookie => {
                let sk = self.arg(args, 0, func, e)?;
                return self.socket_cookie(sk, e.span);
            }
            Func::FuncIp => {
                let ctx = self.b.ctx();
                self.b.call(Helper::FuncIp, &[ctx])
            }
            Func::Ctx => {
                return Err(Box::new(Diagnostic::error(
                    "not-available-here",
                    e.span,
                    "ctx itself is no value: read a member of it",
                )));
            }
            Func::UStack
            | Func::DwStack
            | Func::Comm
            | Func::FuncName
            | Func::ProbeName
            | Func::Str
            | Func::Buf
            | Func::CommOf
            | Func::Path
            | Func::NameOf(_)
            | Func::GoText
            | Func::Open
            | Func::GoBytes
            | Func::GoTypeName
            | Func::StrConcat
            | Func::Ntop
            | Func::Macaddr
            | Func::Usym
            | Func::Conn
            | Func::Bytes => return self.not_yet(e.span, format!("{func:?} as a number")),
        };
        Ok(match &e.ty {
            ty @ (Ty::Int { .. } | Ty::Bool | Ty::Enum { .. }) if width(ty).0 < 8 => self.normalise(value, ty),
            _ => value,
        })
    }

    /// The upper or lower 32 bits of what a helper gives.
    pub(crate) fn half(&mut self, helper: Helper, upper: bool) -> Value {
        let both = self.b.call(helper, &[]);
        if upper { self.b.binary_imm(BinaryOp::Lshr, both, 32) } else { self.b.unary(UnaryOp::Zext32, both) }
    }

    pub(crate) fn kernel_call(&mut self, helper: Helper, what: &str, span: Span) -> R<Value> {
        if !self.kernel {
            return self.elsewhere(span, what);
        }
        Ok(self.b.call(helper, &[]))
    }

    fn clock(&mut self, clock: Clock) -> Value {
        match (clock, self.kernel) {
            // Timers of a run that reads files go by the packets' time; others see the clock move.
            (Clock::Boot, false) if matches!(self.subject, super::cx::Subject::None) && !self.m.placement.read_file => {
                let id = self.iconst(CLOCK_BOOTTIME);
                self.b.call(Helper::ClockGettime, &[id])
            }
            (Clock::Boot, _) => self.b.call(Helper::KtimeBoot, &[]),
            (Clock::Monotonic, true) => self.b.call(Helper::KtimeMono, &[]),
            (Clock::Tai, true) => self.b.call(Helper::KtimeTai, &[]),
            (Clock::Monotonic, false) => {
                let id = self.iconst(CLOCK_MONOTONIC);
                self.b.call(Helper::ClockGettime, &[id])
            }
            (Clock::Tai, false) => {
                let id = self.iconst(CLOCK_TAI);
                self.b.call(Helper::ClockGettime, &[id])
            }
        }
    }

    /// `task->real_parent->tgid`
    fn ppid(&mut self, span: Span) -> R<Value> {
        let (Some(parent), Some(tgid)) =
            (self.member("task_struct", "real_parent"), self.member("task_struct", "tgid"))
        else {
            return self.not_yet(span, "ppid on a kernel whose task_struct is not known");
        };
        let task = self.kernel_call(Helper::CurrentTask, "ppid", span)?;
        let parent = self.read_member(task, "task_struct", "real_parent", parent, (8, false), span)?;
        self.read_member(parent, "task_struct", "tgid", tgid, (4, false), span)
    }

    /// Reads a member of a kernel struct; the offset is relocated at load.
    pub(crate) fn read_member(
        &mut self,
        base: Value,
        name: &str,
        members: &str,
        offset: u32,
        (bytes, signed): (u32, bool),
        span: Span,
    ) -> R<Value> {
        let path = FieldPath::Struct { name: name.to_owned(), members: members.to_owned() };
        let address = self.b.field_off(base, i64::from(offset), &path);
        let remote = Remote::new(address, false);
        let buffer = self.temp(8);
        self.read_remote(buffer, bytes, &remote, span)?;
        Ok(self.load(bytes, signed, buffer))
    }

    /// Offset of a member (dotted path) of a kernel struct, also inside anonymous members.
    pub(crate) fn member(&self, name: &str, members: &str) -> Option<u32> {
        let mut current = name.to_owned();
        let mut offset = 0;
        for part in members.split('.') {
            let (at, ty) = self.find_member(&current, part, 0)?;
            offset += at;
            if let Ty::Struct(next) = ty {
                current = next;
            }
        }
        Some(offset)
    }

    fn find_member(&self, name: &str, part: &str, depth: u32) -> Option<(u32, Ty)> {
        if depth > 8 {
            return None;
        }
        let def = self.m.world.kernel_struct(name).found().or_else(|| self.m.program.struct_def(name).cloned())?;
        if let Some(f) = def.fields.iter().find(|f| f.name == part) {
            return Some((f.offset, f.ty.clone()));
        }
        def.fields.iter().filter(|f| f.name.is_empty()).find_map(|f| {
            let Ty::Struct(inner) = &f.ty else { return None };
            let (at, ty) = self.find_member(inner, part, depth + 1)?;
            Some((f.offset + at, ty))
        })
    }

    /// The stack's number in its map; in the upper half its length, if the script asks for lengths.
    fn stack(&mut self, space: i64, ty: &Ty, span: Span) -> R<Value> {
        if !self.kernel {
            return self.elsewhere(span, "a stack trace");
        }
        let (Ty::KStack { mode, limit } | Ty::UStack { mode, limit }) = ty else {
            return self.not_yet(span, "this kind of stack");
        };
        let frames = (*limit).clamp(1, MOST_FRAMES);
        let (ctx, flags) = (self.b.ctx(), self.iconst(space));
        let id = self.stack_id(frames, *mode == StackMode::BuildId, (ctx, flags))?;
        if !self.m.program.config.count_frames {
            return Ok(id);
        }
        let room = self.temp(frames * 8);
        let (dst, len) = (self.addr(room), self.iconst(i64::from(frames) * 8));
        let bytes = self.b.call(Helper::GetStack, &[ctx, dst, len, flags]);
        // A failure is no frames.
        let sign = self.b.binary_imm(BinaryOp::Ashr, bytes, 63);
        let mask = self.b.binary_imm(BinaryOp::Bxor, sign, -1);
        let bytes = self.b.binary(BinaryOp::Band, bytes, mask);
        let count = self.b.binary_imm(BinaryOp::Lshr, bytes, 3);
        let upper = self.b.binary_imm(BinaryOp::Shl, count, 32);
        let lower = self.b.unary(UnaryOp::Zext32, id);
        Ok(self.b.binary(BinaryOp::Bor, upper, lower))
    }

    /// A stack's place is where its hash says. If another is there, the second map may have room: its places are its own.
    fn stack_id(&mut self, frames: u32, build_id: bool, (ctx, flags): (Value, Value)) -> R<Value> {
        const EEXIST: i64 = 17;
        let maps = [false, true].map(|second| self.m.internal(Role::Stacks { frames, build_id, second }, true));
        let first = self.b.call_map(Helper::StackId, maps[0], &[ctx, flags]);
        let taken = self.b.icmp_imm(Cond::Eq, first, -EEXIST);
        self.merge(
            |c, then, otherwise| {
                c.brif(taken, then, otherwise);
                Ok(())
            },
            |c| {
                let second = c.b.call_map(Helper::StackId, maps[1], &[ctx, flags]);
                c.stack_lost(second);
                // Errors are negative: the bit is set in them already.
                Ok(c.b.binary_imm(BinaryOp::Bor, second, i64::from(weftrace_artifact::abi::SECOND_STACKS)))
            },
            |c| {
                c.stack_lost(first);
                Ok(first)
            },
        )
    }

    /// -EFAULT is no loss: kernel threads have no user stack.
    fn stack_lost(&mut self, id: Value) {
        const EFAULT: i64 = 14;
        let there = self.b.icmp_imm(Cond::Ne, id, -EFAULT);
        let (some, done) = (self.block(), self.block());
        self.brif(there, some, done);
        self.start(some);
        self.loss_if_negative(id, LossSlot::Stack);
        self.jump(done);
        self.start(done);
    }

    fn stack_len(&mut self, args: &[Expr], e: &Expr) -> R<Value> {
        let Some(stack) = args.first() else { return self.not_yet(e.span, "len() of nothing") };
        let value = if let Ty::KStack { .. } = stack.ty {
            self.scalar(stack)?
        } else {
            let m = self.memory_of(stack)?;
            self.load(8, false, m)
        };
        Ok(self.b.binary_imm(BinaryOp::Lshr, value, 32))
    }

    /// {id, pid, 0}
    pub(crate) fn ustack_into(&mut self, e: &Expr, dst: Mem) -> R<()> {
        if !matches!(e.kind, E::Call { func: Func::UStack, .. }) {
            return self.copy_converted(e, dst, &e.ty, false);
        }
        let id = self.stack(BPF_F_USER_STACK, &e.ty, e.span)?;
        self.m.user_names |= matches!(e.ty, Ty::UStack { mode: StackMode::Bpftrace | StackMode::Perf, .. });
        self.store(8, id, dst);
        self.store_pid(dst.at(8));
        Ok(())
    }

    /// {address, pid, 0}
    pub(crate) fn usym_into(&mut self, e: &Expr, dst: Mem) -> R<()> {
        let E::Call { func: Func::Usym, args } = &e.kind else {
            return self.copy_converted(e, dst, &e.ty, false);
        };
        let address = self.arg(args, 0, Func::Usym, e)?;
        self.m.user_names = true;
        self.store(8, address, dst);
        self.store_pid(dst.at(8));
        Ok(())
    }

    fn store_pid(&mut self, dst: Mem) {
        let both = self.b.call(Helper::PidTgid, &[]);
        let pid = self.b.binary_imm(BinaryOp::Lshr, both, 32);
        // The u32 pid and a u32 zero.
        self.store(8, pid, dst);
    }

    // The program's context.

    /// `args.f`, `argN`, `retval`, `reg()` as numbers.
    pub(crate) fn context_value(&mut self, e: &Expr) -> R<Value> {
        if !self.kernel {
            return self.elsewhere(e.span, "the probe's context");
        }
        match &e.kind {
            E::TraceArg { offset, data_loc, .. } => {
                let (bytes, signed) = width(&e.ty);
                if *data_loc {
                    return self.not_yet(e.span, "a variable-length array as a number");
                }
                if let Some(syscall) = self.syscall {
                    let raw = self.syscall_field(syscall, *offset, e.span)?;
                    return Ok(self.normalise_int(raw, &e.ty));
                }
                if let Some(Provider::RawTracepoint { event }) = self.target.map(|t| &t.provider) {
                    let raw = self.record_field(event, e)?;
                    return Ok(self.normalise_int(raw, &e.ty));
                }
                self.trace_load(e, *offset, bytes, signed)
            }
            E::Arg(n) => {
                let raw = match self.words {
                    Some(words) => self.moved_argument(words.get(*n as usize).copied().flatten(), e.span)?,
                    None => self.argument(*n, e.span)?,
                };
                Ok(self.normalise_int(raw, &e.ty))
            }
            E::Retval => {
                let offset = match self.target.map(|t| &t.provider) {
                    // u64 args[], then the value returned
                    Some(Provider::Fentry { slots, .. }) => *slots as i32 * 8,
                    _ => HOST.result.into(),
                };
                let raw = self.register(offset, e.span)?;
                Ok(self.normalise_int(raw, &e.ty))
            }
            E::Reg { offset } => self.register(*offset as i32, e.span),
            _ => self.not_yet(e.span, "this part of the context"),
        }
    }

    pub(crate) fn normalise_int(&mut self, v: Value, ty: &Ty) -> Value {
        if width(ty).0 < 8 { self.normalise(v, ty) } else { v }
    }

    /// A field of the tracepoint's record, whose offset the loader relocates.
    pub(crate) fn trace_load(&mut self, e: &Expr, offset: u32, bytes: u32, signed: bool) -> R<Value> {
        let E::TraceArg { field, .. } = &e.kind else { return self.not_yet(e.span, "this field") };
        let Some(Provider::Tracepoint { category, event }) = self.target.map(|t| &t.provider) else {
            return self.elsewhere(e.span, "a tracepoint's field");
        };
        let path = FieldPath::Tracepoint { category: category.clone(), event: event.clone(), field: field.clone() };
        let m = Mem::new(self.b.ctx(), offset as i32);
        if m.align < bytes {
            return Ok(self.load(bytes, signed, m));
        }
        let width = match (bytes, signed) {
            (1, false) => Width::U8,
            (2, false) => Width::U16,
            (4, false) => Width::U32,
            (1, true) => Width::I8,
            (2, true) => Width::I16,
            (4, true) => Width::I32,
            _ => Width::U64,
        };
        Ok(self.b.load_field(width, m.ptr, m.offset, &path))
    }

    fn argument(&mut self, n: u32, span: Span) -> R<Value> {
        match self.target.map(|t| &t.provider) {
            // struct bpf_raw_tracepoint_args, and what trampolines make: u64 args[]
            Some(Provider::RawTracepoint { .. } | Provider::Fentry { .. }) => self.register(n as i32 * 8, span),
            Some(Provider::Usdt { .. }) => self.marker_argument(n, span),
            Some(Provider::Uprobe { go: Some(go), .. }) => self.go_argument(n, go.abi, span),
            Some(Provider::Kprobe { .. } | Provider::Uprobe { .. }) => match HOST.args.get(n as usize) {
                Some(offset) => self.register((*offset).into(), span),
                None => self.not_yet(span, "arguments that are passed on the stack"),
            },
            _ => self.elsewhere(span, "an argument"),
        }
    }

    /// An argument that this context has elsewhere than the script's provider.
    fn moved_argument(&mut self, word: Option<Word>, span: Span) -> R<Value> {
        let Some(Word { at, bits, signed }) = word else { return self.not_yet(span, "this argument here") };
        let raw = self.argument(at, span)?;
        if bits >= 64 {
            return Ok(raw);
        }
        let narrow = self.normalise(raw, &Ty::Int { bits: bits as u8, signed });
        // As a register has it: a negative number of 8 or 16 bits is one of 32.
        Ok(if signed { self.b.unary(UnaryOp::Zext32, narrow) } else { narrow })
    }

    pub(crate) fn register(&mut self, offset: i32, span: Span) -> R<Value> {
        if !self.kernel {
            return self.elsewhere(span, "a register");
        }
        let ctx = self.b.ctx();
        Ok(self.b.load(Width::U64, ctx, offset))
    }
}
