//! The tables of builtin values, functions and actions: one row each, read by the checker, `weftrace list`,
//! the language server and the reference manual.

mod actions;
mod functions;
mod maps;
pub mod sinks;
pub(crate) mod values;

use crate::check::call::Call;
use crate::check::cx::Checker;
use crate::check::value::Val;
use crate::hir::{Func, Ty};

/// Kinds of programs a row is valid in: bits of [`Row::valid`].
pub mod class {
    /// begin, end, interval, profile, self
    pub const TIMER: u32 = 1 << 0;
    /// tracepoint, rawtracepoint, kprobe, kretprobe
    pub const KERNEL: u32 = 1 << 1;
    /// uprobe, uretprobe
    pub const USER: u32 = 1 << 2;
    /// pcap blocks: run on packets, in user space
    pub const PCAP: u32 = 1 << 3;
    /// join:NAME blocks and the expressions of joins: run on results, in user space
    pub const JOIN: u32 = 1 << 4;
    /// http blocks: run on what sockets carried, in user space
    pub const EXCHANGE: u32 = 1 << 5;
    /// span and log blocks: run on what applications send, in user space
    pub const TELEMETRY: u32 = 1 << 6;
    /// Programs that run in the kernel, on behalf of a task.
    pub const PROGRAM: u32 = TIMER | KERNEL | USER;
    /// Everywhere.
    pub const ANY: u32 = PROGRAM | PCAP | JOIN | EXCHANGE | TELEMETRY;
}

/// Checks a use of a row and gives what it becomes.
pub(crate) type Check = for<'a> fn(&mut Checker<'a>, &Call<'a>) -> Val;

/// What a row becomes.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A value of this type, computed by this function without arguments.
    Value(Func, Ty),
    /// Checked by its own function.
    Checked(Check),
}

/// A builtin: a value (`pid`), a function (`str(p)`), an action (`printf(…)`) or a map function (`count()`).
#[derive(Clone, Debug)]
pub struct Row {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// How it is written, for messages and documentation.
    pub signature: &'static str,
    /// [`class`] bits.
    pub valid: u32,
    pub doc: &'static str,
    /// May be written without parentheses.
    pub(crate) bare: bool,
    /// Least and most arguments.
    pub(crate) args: (usize, usize),
    pub(crate) kind: Kind,
}

impl Row {
    const fn value(name: &'static str, func: Func, ty: Ty, valid: u32, doc: &'static str) -> Self {
        Self { name, aliases: &[], signature: name, valid, doc, bare: true, args: (0, 0), kind: Kind::Value(func, ty) }
    }

    /// A value that may also take arguments.
    const fn special(
        name: &'static str,
        signature: &'static str,
        most: usize,
        valid: u32,
        check: Check,
        doc: &'static str,
    ) -> Self {
        Self { name, aliases: &[], signature, valid, doc, bare: true, args: (0, most), kind: Kind::Checked(check) }
    }

    const fn function(
        name: &'static str,
        signature: &'static str,
        args: (usize, usize),
        valid: u32,
        check: Check,
        doc: &'static str,
    ) -> Self {
        Self { name, aliases: &[], signature, valid, doc, bare: false, args, kind: Kind::Checked(check) }
    }

    const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }
}

/// All rows, in the order of the manual.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    values::ROWS.iter().chain(functions::ROWS).chain(actions::ROWS).chain(maps::ROWS)
}

/// The row of a name or alias; bpftrace's own library has a prefix for its builtins.
pub fn find(name: &str) -> Option<&'static Row> {
    let name = name.strip_prefix("__builtin_").unwrap_or(name);
    rows().find(|row| row.name == name || row.aliases.contains(&name))
}
