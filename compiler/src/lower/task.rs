//! What programs do to the current task, and what its registers and namespaces tell.

use super::{
    cx::{Cx, R},
    layout::in_register,
    mem::{Mem, Place, Remote},
};
use crate::ir::{BinaryOp, Cond, Helper, Ty as IrTy, Value};
use weftrace_artifact::{action::Warning, program::FieldPath};
use weftrace_lang::{
    hir::{Expr, ExprKind as E, Func, Provider, Space, Ty},
    span::Span,
};

/// Bytes of a task's name (include/linux/sched.h).
const TASK_COMM_LEN: u32 = 16;
/// Pid namespaces within each other, below the initial one (include/linux/pid_namespace.h).
const MAX_PID_NS_LEVEL: u32 = 32;

/// A member of a kernel struct: the struct, the path to it, its offset on this host.
type Member = (&'static str, &'static str, u32);

/// Where a task's numbers are.
#[derive(Clone, Copy)]
struct NumberPlaces {
    leader: Member,
    pid: Member,
    level: Member,
    numbers: Member,
    inode: Member,
}

impl Cx<'_, '_> {
    /// The current process's or thread's number as weftrace's own pid namespace has it.
    pub(crate) fn own_pid(&mut self, process: bool) -> Value {
        let Some((device, namespace)) = self.m.world.pid_namespace().filter(|_| self.kernel) else {
            return self.half(Helper::PidTgid, process);
        };
        // struct bpf_pidns_info {u32 pid, tgid}: zeroes for a task of another namespace.
        let info = self.temp(8);
        let (device, inode, len) = (self.iconst(device as i64), self.iconst(namespace as i64), self.iconst(8));
        let at = self.addr(info);
        self.b.call(Helper::NsPidTgid, &[device, inode, at, len]);
        let number = self.load(4, false, if process { info.at(4) } else { info });
        let Some(places) = self.number_places() else { return number };
        // One of a namespace below ours has a number in ours, too.
        let (other, done) = (self.block(), self.block_with(&[IrTy::I64]));
        self.brif_with(number, (done, &[number]), (other, &[]));
        self.start(other);
        let task = self.b.call(Helper::CurrentTask, &[]);
        let number = self.number_of(task, process, namespace, places);
        self.jump_with(done, &[number]);
        self.start(done);
        self.b.param(done, 0)
    }

    /// `pid(task)`, `tid(task)`: a task's number as weftrace's own pid namespace has it; 0: it is in none that this one sees.
    pub(crate) fn task_number(&mut self, process: bool, args: &[Expr], e: &Expr) -> R<Value> {
        let (field, what) = if process { ("tgid", "pid(task)") } else { ("pid", "tid(task)") };
        if !self.kernel {
            return self.elsewhere(e.span, what);
        }
        let task = self.arg(args, 0, Func::TaskNumber { process }, e)?;
        let Some((_, inode)) = self.m.world.pid_namespace() else {
            let Some(offset) = self.member("task_struct", field) else {
                return self.not_yet(e.span, format!("{what} on a kernel whose task_struct is not known"));
            };
            return self.read_member(task, "task_struct", field, offset, (4, false), e.span);
        };
        let Some(places) = self.number_places() else {
            return self.not_yet(e.span, format!("{what} on a kernel whose struct pid is not known"));
        };
        Ok(self.number_of(task, process, inode, places))
    }

    fn number_places(&self) -> Option<NumberPlaces> {
        let at = |name, members| self.member(name, members).map(|offset| (name, members, offset));
        Some(NumberPlaces {
            leader: at("task_struct", "group_leader")?,
            pid: at("task_struct", "thread_pid")?,
            level: at("pid", "level")?,
            numbers: at("pid", "numbers")?,
            inode: at("pid_namespace", "ns.inum")?,
        })
    }

    /// A task's number in a pid namespace: it has one in its own, and in each above that, up to the initial one. 0: it has none there.
    fn number_of(&mut self, task: Value, process: bool, namespace: u64, places: NumberPlaces) -> Value {
        let task = if process { self.word_of(task, places.leader, 8) } else { task };
        let pid = self.word_of(task, places.pid, 8);
        let number = self.new_var();
        let none = self.iconst(0);
        self.set_var(number, none);
        let (there, done) = (self.block(), self.block());
        // A task that is being buried has none.
        self.brif(pid, there, done);
        self.start(there);
        let last = self.word_of(pid, places.level, 4);
        let first = self.place_of(pid, places.numbers);
        self.count_up(MAX_PID_NS_LEVEL + 1, done, |cx, i, next| {
            let (inside, own) = (cx.block(), cx.block());
            let beyond = cx.b.icmp(Cond::Ugt, i, last);
            cx.brif(beyond, done, inside);
            cx.start(inside);
            // struct upid {int nr; struct pid_namespace *ns}
            let skip = cx.b.binary_imm(BinaryOp::Imul, i, 16);
            let at = cx.b.iadd(first, skip);
            let ns = cx.b.binary_imm(BinaryOp::Iadd, at, 8);
            let ns = cx.kernel_word(ns, 8);
            let its = cx.word_of(ns, places.inode, 4);
            let same = cx.b.icmp_imm(Cond::Eq, its, namespace as i64);
            cx.brif(same, own, next);
            cx.start(own);
            let value = cx.kernel_word(at, 4);
            cx.set_var(number, value);
            cx.jump(done);
        });
        self.start(done);
        self.read_var(number)
    }

    fn place_of(&mut self, base: Value, (name, members, offset): Member) -> Value {
        let path = FieldPath::Struct { name: name.into(), members: members.into() };
        self.b.field_off(base, i64::from(offset), &path)
    }

    fn word_of(&mut self, base: Value, member: Member, bytes: u32) -> Value {
        let at = self.place_of(base, member);
        self.kernel_word(at, bytes)
    }

    fn kernel_word(&mut self, address: Value, bytes: u32) -> Value {
        let copy = self.temp(8);
        let (at, len) = (self.addr(copy), self.iconst(i64::from(bytes)));
        let result = self.b.call(Helper::ReadKernel, &[at, len, address]);
        self.note_read(result);
        self.load(bytes, false, copy)
    }

    pub(crate) fn usermode(&mut self, span: Span) -> R<Value> {
        match self.target.map(|t| &t.provider) {
            Some(
                Provider::Interval { .. }
                | Provider::Profile { .. }
                | Provider::Counter { .. }
                | Provider::Watchpoint { .. }
                | Provider::Usdt { .. }
                | Provider::Kprobe { .. }
                | Provider::Uprobe { .. },
            ) => {}
            _ => return self.elsewhere(span, "usermode"),
        }
        // A perf event's context begins with the registers, too.
        let Some(privilege) = weftrace_arch::HOST.privilege else { return self.elsewhere(span, "usermode") };
        let register = self.register(privilege.register.into(), span)?;
        let level = self.b.binary_imm(BinaryOp::Band, register, privilege.mask as i64);
        Ok(self.b.icmp_imm(Cond::Eq, level, privilege.program as i64))
    }

    /// `signal(n)`: a number that is no signal, and a task that cannot be signalled, are told.
    pub(crate) fn signal(&mut self, thread: bool, args: &[Expr], e: &Expr) -> R<Value> {
        let (helper, name) =
            if thread { (Helper::SendSignalThread, "signal_thread") } else { (Helper::SendSignal, "signal") };
        if !self.kernel {
            return self.elsewhere(e.span, name);
        }
        let number = self.arg(args, 0, Func::Signal { thread }, e)?;
        let result = self.b.call(helper, &[number]);
        let (tell, done) = (self.block(), self.block());
        self.brif(result, tell, done);
        self.start(tell);
        self.warn_helper(helper.row().name, result, e.span);
        self.jump(done);
        self.start(done);
        Ok(result)
    }

    pub(crate) fn override_return(&mut self, args: &[Expr], e: &Expr) -> R<Value> {
        if !self.kernel {
            return self.elsewhere(e.span, "override()");
        }
        let value = self.arg(args, 0, Func::Override, e)?;
        let ctx = self.b.ctx();
        Ok(self.b.call(Helper::OverrideReturn, &[ctx, value]))
    }

    /// `write_user(address, value, length)`: 1 if it was written.
    pub(crate) fn write_user(&mut self, args: &[Expr], e: &Expr) -> R<Value> {
        let [to, value, len] = args else { return self.not_yet(e.span, "write_user() with these arguments") };
        if !self.kernel {
            return self.elsewhere(e.span, "write_user()");
        }
        let address = self.scalar(to)?;
        let (from, size) = if let (Ty::Ptr { space, .. }, E::Int(n)) = (&value.ty, &len.kind) {
            let n = (*n).clamp(0, i64::from(u16::MAX)) as u32;
            (self.pointed_at(value, *space, n)?, n)
        } else {
            let size = self.size_of(&value.ty, value.span)?;
            (self.memory_of(value)?, size)
        };
        let len = self.scalar(len)?;
        let len = self.at_most(len, size);
        let from = self.addr(from);
        let result = self.b.call(Helper::WriteUser, &[address, from, len]);
        Ok(self.b.icmp_imm(Cond::Eq, result, 0))
    }

    /// The bytes that a pointer points to, where helpers can read them.
    fn pointed_at(&mut self, pointer: &Expr, space: Space, len: u32) -> R<Mem> {
        let mut inner = pointer;
        while let E::Cast(e) = &inner.kind {
            inner = e;
        }
        if let E::AddrOf(place) = &inner.kind
            && let Some(Place::Direct(m)) = self.place(place)?
            && !(in_register(&place.ty) && len > self.size_of(&place.ty, place.span)?)
        {
            return Ok(m);
        }
        let base = self.scalar(pointer)?;
        let user = self.is_user(space);
        let copy = self.temp(len);
        self.read_remote(copy, len, &Remote::new(base, user), pointer.span)?;
        Ok(copy)
    }

    /// The variable's address plus what the kernel adds to it for a CPU; 0 for a CPU that there is not.
    pub(crate) fn percpu_address(&mut self, args: &[Expr], e: &Expr) -> R<Value> {
        let [address, offsets, cpu] = args else { return self.not_yet(e.span, "percpu_kaddr() with these arguments") };
        if !self.kernel {
            return self.elsewhere(e.span, "percpu_kaddr()");
        }
        let (address, offsets, cpu) = (self.scalar(address)?, self.scalar(offsets)?, self.scalar(cpu)?);
        let cpus = i64::from(self.m.world.cpus());
        self.merge(
            |cx, there, beyond| {
                let known = cx.b.icmp_imm(Cond::Ult, cpu, cpus);
                cx.brif(known, there, beyond);
                Ok(())
            },
            |cx| {
                let at = cx.b.binary_imm(BinaryOp::Imul, cpu, 8);
                let at = cx.b.iadd(offsets, at);
                let offset = cx.temp(8);
                cx.read_remote(offset, 8, &Remote::new(at, false), e.span)?;
                let offset = cx.load(8, false, offset);
                Ok(cx.b.iadd(address, offset))
            },
            |cx| Ok(cx.iconst(0)),
        )
    }

    /// `comm(pid)`: `N/A` and a warning where no task has the number.
    pub(crate) fn comm_of(&mut self, args: &[Expr], e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        let [pid, Expr { kind: E::Int(from), .. }, Expr { kind: E::Int(release), .. }] = args else {
            return self.not_yet(e.span, "comm(pid) with these arguments");
        };
        let Some(offset) = self.member("task_struct", "comm") else {
            return self.not_yet(e.span, "comm(pid) on a kernel whose task_struct is not known");
        };
        if !self.kernel {
            return self.elsewhere(e.span, "comm(pid)");
        }
        let pid = self.scalar(pid)?;
        let (from, release) = (self.iconst(*from), self.iconst(*release));
        let task = self.b.call(Helper::TaskFromPid, &[pid, from]);
        let (found, missing, done) = (self.block(), self.block(), self.block());
        self.brif(task, found, missing);
        self.start(found);
        let path = FieldPath::Struct { name: "task_struct".into(), members: "comm".into() };
        let address = self.b.field_off(task, i64::from(offset), &path);
        let len = cap.min(TASK_COMM_LEN);
        let (at, size) = (self.addr(dst), self.iconst(i64::from(len)));
        self.b.call(Helper::ReadKernel, &[at, size, address]);
        self.b.call(Helper::TaskRelease, &[task, release]);
        if cap > len && !zeroed {
            self.fill(dst.at(len), cap - len);
        }
        self.jump(done);
        self.start(missing);
        self.warn(Warning::Other("No such process".into()), e.span);
        self.literal_into(b"N/A", dst, cap, zeroed);
        self.jump(done);
        self.start(done);
        Ok(())
    }
}
