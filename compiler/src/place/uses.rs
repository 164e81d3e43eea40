//! What a probe's body does with maps and builtins.

use super::{
    printed,
    walk::{self, Node},
};
use std::collections::BTreeSet;
use weftrace_lang::hir::{self, Action, ExprKind as E, Func, ProbeDef, Program, StmtKind as S, Ty};

/// What a body does to one map; printing, clearing and zeroing are actions of user space and do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MapUse {
    /// A plain value is read (or a key asked for).
    pub(crate) read: bool,
    /// A plain value is written or deleted.
    pub(crate) write: bool,
    /// It is counted up or down, as a statement: that is a write too.
    pub(crate) count: bool,
    /// It is written otherwise.
    pub(crate) set: bool,
    /// An aggregate is updated.
    pub(crate) aggregate: bool,
    /// Something is added to it: not only deleted.
    pub(crate) add: bool,
    /// An element is deleted.
    pub(crate) delete: bool,
    /// An aggregate's value is read, its elements are counted or walked: needs all CPUs' parts.
    pub(crate) whole: bool,
    /// User space updates it for the program: its key has a stack that is unwound there.
    pub(crate) sent: bool,
}

impl MapUse {
    pub(crate) fn any(self) -> bool {
        self.read || self.write || self.aggregate || self.whole
    }

    /// An aggregate's value is asked for, or changed as a whole: what is on the other side of the kernel boundary matters.
    pub(crate) fn reads_aggregate(self) -> bool {
        self.whole || self.read || self.delete
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.read |= other.read;
        self.write |= other.write;
        self.count |= other.count;
        self.set |= other.set;
        self.delete |= other.delete;
        self.aggregate |= other.aggregate;
        self.add |= other.add;
        self.whole |= other.whole;
        self.sent |= other.sent;
    }
}

/// One probe's uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses {
    /// By [`hir::MapRef`].
    pub(crate) maps: Vec<MapUse>,
    /// Builtins that only the kernel can answer, as written.
    pub(crate) kernel_only: Option<&'static str>,
    /// `probe` or `func`: a constant that differs by attach point.
    pub(crate) names: bool,
    /// `uaddr()`: differs by the traced program and the place in it.
    pub(crate) addresses: bool,
    /// What reads the registers that a kprobe or uprobe gets.
    pub(crate) registers: Option<&'static str>,
    /// `kstack` and its like.
    pub(crate) kernel_stack: bool,
    /// A function that takes pointers whose types the verifier knows.
    pub(crate) typed_pointer: Option<&'static str>,
    pub(crate) retval: bool,
    /// Looks through maps for an alert.
    pub(crate) alert: bool,
    /// Fields of a tracepoint's record: (name, offset). A record or a part of it that is no single number has the offset None.
    pub(crate) fields: BTreeSet<(String, Option<u32>)>,
    /// `argN` by number: of a static marker each place may have its own.
    pub(crate) args: BTreeSet<u32>,
}

/// Collects the uses of a probe.
pub(crate) fn of_probe(program: &Program, probe: &ProbeDef) -> Uses {
    let mut uses = Uses { maps: vec![MapUse::default(); program.maps.len()], ..Uses::default() };
    if let Some(p) = &probe.predicate {
        walk::expr(p, &mut |n| uses.node(program, n));
    }
    walk::block(&probe.body, &mut |n| uses.node(program, n));
    for map in printed::read(program, probe) {
        uses.map(map, |m| m.whole = true);
    }
    uses
}

impl Uses {
    fn node(&mut self, program: &Program, node: Node<'_>) {
        match node {
            Node::Stmt(s) => self.stmt(program, s),
            Node::Expr(e) => self.expr(program, e),
        }
    }

    fn map(&mut self, map: hir::MapRef, f: impl FnOnce(&mut MapUse)) {
        if let Some(m) = self.maps.get_mut(map.index()) {
            f(m);
        }
    }

    fn stmt(&mut self, program: &Program, s: &hir::Stmt) {
        match &s.kind {
            S::SetMap { map, key: Some(key), .. }
            | S::AddMap { map, key: Some(key), .. }
            | S::Aggregate { map, key: Some(key), .. }
                if key.ty.holds_sample() =>
            {
                self.map(*map, |m| m.sent = true);
            }
            // Refused where its code is made.
            S::DeleteMap { key: Some(key), .. } if key.ty.holds_sample() => {}
            S::Action { action: Action::PrintMapValue { .. }, args }
                if args.first().is_some_and(|key| key.ty.holds_sample()) => {}
            S::SetMap { map, .. } => self.map(*map, |m| (m.write, m.set) = (true, true)),
            S::AddMap { map, .. } => self.map(*map, |m| (m.write, m.count) = (true, true)),
            S::Aggregate { map, .. } => self.map(*map, |m| (m.aggregate, m.add) = (true, true)),
            S::DeleteMap { map, key } => self.delete(program, *map, key.is_some()),
            S::ForMap { map, .. } => self.map(*map, |m| m.whole = true),
            S::Action { action: Action::AlertLooked { .. }, .. } => self.alert = true,
            S::Action { action: Action::PrintMapValue { map }, .. } => self.print_element(program, *map),
            _ => {}
        }
    }

    fn delete(&mut self, program: &Program, map: hir::MapRef, element: bool) {
        let keyed = program.maps.get(map.index()).is_some_and(|m| m.key.is_some());
        match is_aggregate(program, map) {
            // As clear(@m), an action: of a map without keys if its parts aren't all where the block runs.
            aggregate if !element && (keyed || aggregate) => {}
            true => self.map(map, |m| (m.delete, m.aggregate) = (true, true)),
            false => self.map(map, |m| (m.delete, m.write, m.set) = (true, true, true)),
        }
    }

    /// `print(@m[k])`: the element is read in the program, unless it is an aggregate, which user space reads (but see printed.rs).
    fn print_element(&mut self, program: &Program, map: hir::MapRef) {
        if !is_aggregate(program, map) {
            self.map(map, |m| m.read = true);
        }
    }

    fn expr(&mut self, program: &Program, e: &hir::Expr) {
        match &e.kind {
            // Refused where its code is made.
            E::MapGet { key: Some(key), .. }
            | E::IncMap { key: Some(key), .. }
            | E::Rate { key: Some(key), .. }
            | E::HasKey { key, .. }
                if key.ty.holds_sample() => {}
            E::MapGet { map, .. } => {
                let aggregate = is_aggregate(program, *map);
                self.map(*map, |m| if aggregate { m.whole = true } else { m.read = true });
            }
            E::HasKey { map, .. } => self.map(*map, |m| m.read = true),
            E::MapLen(map) | E::Rate { map, .. } => self.map(*map, |m| m.whole = true),
            E::Arg(n) => {
                self.args.insert(*n);
            }
            E::TraceArg { field, offset, data_loc } => {
                let number = !data_loc && crate::lower::in_register(&e.ty);
                self.fields.insert((field.clone(), number.then_some(*offset)));
            }
            E::Retval => self.retval = true,
            E::Reg { .. } => self.registers = Some("reg()"),
            E::IncMap { map, .. } => self.map(*map, |m| (m.write, m.set) = (true, true)),
            E::Deref(p) if matches!(p.ty, Ty::Ptr { .. }) => self.kernel("a pointer is read"),
            E::Call { func, .. } => {
                self.names |= matches!(func, Func::ProbeName | Func::FuncName);
                self.addresses |= *func == Func::Uaddr;
                self.kernel_stack |= matches!(func, Func::KStack);
                self.context(*func);
                if let Some(name) = kernel_only(*func) {
                    self.kernel(name);
                }
            }
            _ => {}
        }
    }

    /// What a function asks of the program's context.
    fn context(&mut self, func: Func) {
        match func {
            Func::Ctx => self.registers = Some("ctx"),
            Func::UserMode => self.registers = Some("usermode"),
            Func::Override => self.registers = Some("override()"),
            Func::SockCookie => self.typed_pointer = Some("sock_cookie()"),
            Func::Path => self.typed_pointer = Some("path()"),
            Func::SkbOutput => self.typed_pointer = Some("skboutput()"),
            _ => {}
        }
    }

    fn kernel(&mut self, what: &'static str) {
        self.kernel_only.get_or_insert(what);
    }
}

pub(crate) fn is_aggregate(program: &Program, map: hir::MapRef) -> bool {
    program.maps.get(map.index()).is_some_and(|m| matches!(m.value, Ty::Agg(_)))
}

/// Builtins that only a program in the kernel can compute.
fn kernel_only(func: Func) -> Option<&'static str> {
    Some(match func {
        Func::Ctx => "ctx",
        Func::KStack => "kstack",
        Func::UStack => "ustack",
        Func::DwStack => "dw_ustack",
        Func::StackLen => "len() of a stack",
        Func::Curtask => "curtask",
        Func::Uaddr => "uaddr()",
        Func::Goid => "goid",
        Func::GoDepth | Func::GoText | Func::GoBytes | Func::GoTypeName => "a Go value",
        Func::Cgroup => "cgroup",
        Func::Ppid => "ppid",
        Func::Str => "str()",
        Func::Buf => "buf()",
        Func::Conn => "conn()",
        Func::Bytes => "bytes()",
        Func::SockCookie => "sock_cookie()",
        Func::Path => "path()",
        Func::CommOf => "comm(pid)",
        Func::SkbOutput => "skboutput()",
        Func::Jiffies => "jiffies",
        Func::PercpuAddress => "percpu_kaddr()",
        Func::NumaId => "numaid",
        Func::UserMode => "usermode",
        Func::InitPid => "pid(init)",
        Func::InitTid => "tid(init)",
        Func::TaskNumber { .. } => "a task's number",
        Func::Signal { .. } => "signal()",
        Func::Override => "override()",
        Func::WriteUser => "write_user()",
        Func::CallRegister => "a system call's register",
        Func::Open => "an open element",
        Func::PlainRequest | Func::PlainResponse => "a message's head",
        _ => return None,
    })
}
