//! The checker's state: what the whole script knows, and where the walk is.

use super::Options;
use super::ctypes::TypeTable;
use super::golang_watch::Watch;
use super::items::Items;
use super::join::JoinInfo;
use super::join_names::{JoinStage, LegUses};
use super::maps::MapTable;
use super::providers::{ProviderKind, ProviderRow};
use super::scope::{Cells, Frame, Local};
use super::stream::StreamTable;
use crate::diag::{Diagnostic, Note, Severity};
use crate::hir::{Config, JoinEvent, JoinRef, ParamDef, Space, Target, Ty};
use crate::span::{SourceMap, Span};
use crate::world::{FnProto, TraceEvent, UserProto, World};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// What `args` means in a probe.
#[derive(Clone, Debug)]
pub(crate) enum ArgsCx {
    None,
    /// A tracepoint's record. For several events: the first; all have the fields that the body uses.
    Trace(TraceEvent),
    /// Parameters of a function or raw tracepoint, by BTF.
    Fn(FnProto),
    /// Only `ctx`, of this type.
    Ctx(Ty),
    /// Parameters of a program's function, by its debug information.
    User(Rc<UserProto>),
    /// A program's function whose debug information could not be read, and why.
    Withheld(String),
    /// A kernel function whose prototype is not known.
    Unknown,
    /// Of a probe that is not attached: nothing is known, and nothing is said about it.
    Ghost,
    Join(JoinRef, JoinEvent),
}

/// The probe being checked: one body for one kind of attach point.
#[derive(Clone, Debug)]
pub(crate) struct ProbeCx {
    pub(crate) row: &'static ProviderRow,
    pub(crate) targets: Vec<Target>,
    pub(crate) args: ArgsCx,
    /// Where unknown pointers point.
    pub(crate) space: Space,
    /// Identifies it across rounds.
    pub(crate) instance: u32,
    pub(crate) span: Span,
}

impl ProbeCx {
    pub(crate) fn kind(&self) -> ProviderKind {
        self.row.kind
    }

    /// For messages: what the script wrote.
    pub(crate) fn name(&self) -> &str {
        self.targets.first().map_or(self.row.name, |t| t.name.as_str())
    }
}

/// Findings of the round that counts, each once.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    pub(crate) diags: Vec<Diagnostic>,
    seen: HashSet<(&'static str, Span, String)>,
    /// False while types are still being found.
    pub(crate) on: bool,
    /// Errors found so far, also while they are not reported.
    pub(crate) errors: u64,
}

impl Sink {
    pub(crate) fn push(&mut self, d: Diagnostic) {
        self.errors += u64::from(d.severity == Severity::Error);
        if self.on && self.seen.insert((d.code, d.span, d.message.clone())) {
            self.diags.push(d);
        }
    }
}

/// The walk over a script. It runs in rounds: types of maps, variables and streams only grow, and when a round changes
/// nothing the next one reports and gives the HIR.
pub(crate) struct Checker<'a> {
    pub(crate) world: &'a dyn World,
    /// The texts, for carets inside strings.
    pub(crate) sources: &'a SourceMap,
    pub(crate) opts: &'a Options,
    pub(crate) items: &'a Items<'a>,
    pub(crate) config: Config,
    pub(crate) types: TypeTable,
    pub(crate) maps: MapTable,
    pub(crate) streams: StreamTable,
    pub(crate) joins: Vec<JoinInfo>,
    /// Which clause of a join is being checked.
    pub(crate) join_stage: JoinStage,
    pub(crate) leg_uses: LegUses,
    pub(crate) params: Vec<ParamDef>,
    /// `test:` and `bench:` probes so far.
    pub(crate) by_hand: HashMap<String, Span>,
    /// Packet fields, once asked for.
    pub(crate) packets: Option<Rc<Vec<(String, Ty)>>>,
    pub(crate) cells: Cells,
    pub(crate) sink: Sink,
    /// A type grew in this round.
    pub(crate) changed: bool,
    pub(crate) probe: ProbeCx,
    pub(crate) frames: Vec<Frame<'a>>,
    /// The frame names are looked up in.
    pub(crate) cur: usize,
    /// Scratch variables of the current probe.
    pub(crate) locals: Vec<Local>,
    /// #defines being replaced.
    pub(crate) defining: Vec<&'a str>,
    pub(crate) loops: u32,
    pub(crate) depth: u32,
    /// Macro expansions so far in this probe.
    pub(crate) expanded: u32,
    /// Statements and operands that unrolling has made in this probe.
    pub(crate) unrolled: u64,
    /// The expression about to be checked is a statement: nobody takes its value.
    pub(crate) dropped: bool,
    /// Inside sizeof, typeof and the like: nothing runs.
    pub(crate) unevaluated: u32,
    /// The state that a tracepoint on a socket's state is known to change to, by its predicate or an `if` around.
    pub(crate) newstate: Option<i64>,
    /// Where probes that were added to the script go.
    pub(crate) watch: Option<&'a Watch>,
    /// Probes at `$name` whose flag is empty, and those flags.
    pub(crate) off: HashSet<Span>,
    pub(crate) empty_flags: Vec<String>,
    /// Names of headers that are read.
    pub(crate) headers: BTreeSet<String>,
    /// Within it the current task was told not to be the owner already.
    pub(crate) task_told: Span,
}

impl Checker<'_> {
    pub(crate) fn report(&mut self, mut d: Diagnostic) {
        if d.expanded_from.is_empty() {
            d.expanded_from = self.calls_around(d.span);
        }
        cut_calls(&mut d);
        self.sink.push(d);
    }

    pub(crate) fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.report(Diagnostic::error(code, span, message));
    }

    pub(crate) fn warn(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.report(Diagnostic::warning(code, span, message));
    }

    /// Reports a finding unless the same was said within `area`.
    pub(crate) fn report_once(&mut self, area: Span, d: Diagnostic) {
        let inside = |s: Span| s.file == area.file && s.start >= area.start && s.end <= area.end;
        let said = self
            .sink
            .diags
            .iter()
            .any(|x| x.code == d.code && x.message == d.message && (area == Span::default() || inside(x.span)));
        if !said {
            self.report(d);
        }
    }

    /// The part of a string literal that became `len` bytes of its text from byte `at` on; the literal as a whole where that
    /// cannot be told.
    pub(crate) fn in_string(&self, literal: Span, at: usize, len: usize) -> Span {
        let written = self.sources.snippet(literal);
        match (quoted_offset(written, at), quoted_offset(written, at + len)) {
            (Some(start), Some(end)) if start < end => {
                Span { start: literal.start + start as u32, end: literal.start + end as u32, ..literal }
            }
            _ => literal,
        }
    }

    /// What bpftrace has and we don't, so far.
    pub(crate) fn not_yet(&mut self, span: Span, what: &str, instead: &str) {
        let mut d = Diagnostic::error("not-supported-yet", span, format!("{what} is not supported yet"));
        if !instead.is_empty() {
            d = d.note(instead);
        }
        self.report(d);
    }

    pub(crate) fn class(&self) -> u32 {
        self.probe.row.class
    }

    /// The space of a pointer whose own is not known.
    pub(crate) fn space_or_default(&self, space: Space) -> Space {
        if space == Space::Unknown { self.probe.space } else { space }
    }

    /// Runs `f` so that nothing it finds is reported and nothing it says about maps is kept.
    pub(crate) fn quietly<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        let on = std::mem::replace(&mut self.sink.on, false);
        let result = f(self);
        self.sink.on = on;
        result
    }
}

/// Of a long chain of macro calls those that are nearest to the place and to the script matter.
fn cut_calls(d: &mut Diagnostic) {
    const SHOWN: usize = 3;
    let between = d.expanded_from.len().saturating_sub(2 * SHOWN);
    if between > 1 {
        d.expanded_from.drain(SHOWN..SHOWN + between);
        d.notes.push(Note::Note(format!("{between} macro calls between these are not shown")));
    }
}

/// Where byte `at` of a string's text stands in `"…"` as it was written.
fn quoted_offset(written: &str, at: usize) -> Option<usize> {
    let inner = written.strip_prefix('"')?.strip_suffix('"')?;
    let (mut from, mut made) = (0, 0);
    while made < at {
        let rest = &inner[from..];
        let mut chars = rest.chars();
        let c = chars.next()?;
        let (wrote, gives) = match (c, chars.next()) {
            ('\\', Some('x')) => (2 + rest[2..].bytes().take(2).take_while(u8::is_ascii_hexdigit).count(), 1),
            ('\\', Some('0'..='7')) => {
                (1 + rest[1..].bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count(), 1)
            }
            ('\\', Some(escaped)) => (1 + escaped.len_utf8(), escaped.len_utf8()),
            _ => (c.len_utf8(), c.len_utf8()),
        };
        from += wrote;
        made += gives;
    }
    (made == at).then_some(1 + from)
}
