//! Attach points: from what was written to targets that exist, grouped into programs of one type each.

use super::attach_events;
use super::cx::{ArgsCx, Checker, ProbeCx};
use super::hints;
use super::providers::{self, ProviderKind, ProviderRow};
use super::walk::ArgsUse;
use crate::ast::{self, AttachPoint, Ident, Segment};
use crate::diag::Diagnostic;
use crate::hir::{Counter, Missing, Provider, Space, Target};
use crate::span::Span;
use crate::world::Answer;

/// A body with the targets it is for.
#[derive(Debug)]
pub(crate) struct Instance<'a> {
    pub(crate) cx: ProbeCx,
    pub(crate) probe: &'a ast::Probe,
}

/// One target, with what its program would know.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) target: Target,
    pub(crate) row: &'static ProviderRow,
    pub(crate) args: ArgsCx,
    pub(crate) space: Space,
}

/// Why an attach point gives no target.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It isn't there: `missing_probes` says what that means.
    Missing(Box<Diagnostic>),
    /// It cannot be meant so.
    Bad(Box<Diagnostic>),
}

pub(crate) type Resolved = Result<Vec<Found>, Fault>;

pub(crate) fn missing(d: Diagnostic) -> Fault {
    Fault::Missing(Box::new(d))
}

pub(crate) fn bad(d: Diagnostic) -> Fault {
    Fault::Bad(Box::new(d))
}

/// What a resolver gets: the point, with positional parameters put in.
pub(crate) struct Point<'p> {
    pub(crate) row: &'static ProviderRow,
    pub(crate) segments: Vec<Segment>,
    pub(crate) span: Span,
    pub(crate) uses: &'p ArgsUse,
    /// The script says what happens where it can't be attached: `else`, or `missing_probes`.
    pub(crate) optional: bool,
}

impl Point<'_> {
    pub(crate) fn text(&self, i: usize) -> &str {
        self.segments.get(i).map_or("", |s| s.text.as_str())
    }

    pub(crate) fn segment_span(&self, i: usize) -> Span {
        self.segments.get(i).map_or(self.span, |s| s.span)
    }

    /// `provider:a:b` for these segments.
    pub(crate) fn named(&self, parts: &[&str]) -> String {
        let mut name = self.row.name.to_owned();
        for p in parts {
            name.push(':');
            name.push_str(p);
        }
        name
    }

    pub(crate) fn as_written(&self) -> String {
        let parts: Vec<&str> = self.segments.iter().map(|s| s.text.as_str()).collect();
        self.named(&parts)
    }

    pub(crate) fn found(&self, name: String, provider: Provider, wildcard: bool) -> Found {
        let target = Target { name, provider, wildcard, span: self.span };
        Found { target, row: self.row, args: ArgsCx::None, space: self.row.space }
    }
}

/// Whether a text is a glob.
pub(crate) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

impl<'a> Checker<'a> {
    /// All probes' instances, in order.
    pub(crate) fn instances(&mut self) -> Vec<Instance<'a>> {
        let mut all = Vec::new();
        for probe in &self.items.probes {
            self.instances_of(probe, &mut all);
        }
        for (i, instance) in all.iter_mut().enumerate() {
            instance.cx.instance = i as u32;
        }
        self.count_probes(&all);
        all
    }

    fn instances_of(&mut self, probe: &'a ast::Probe, all: &mut Vec<Instance<'a>>) {
        let switched_off = self.switched_off(probe).map(str::to_owned);
        if switched_off.is_some() || self.opts.only_tests && !of_tests(probe) {
            self.empty_flags.extend(switched_off.filter(|flag| !self.empty_flags.contains(flag)));
            self.off.insert(probe.span);
            return all.push(ghost(probe));
        }
        let uses = ArgsUse::of(probe, &self.items.macro_args);
        let mut found = Vec::new();
        let mut faults = Vec::new();
        for point in &probe.points {
            match self.resolve_point(point, &uses, probe.otherwise.is_some()) {
                Ok(targets) => found.extend(targets),
                Err(Fault::Missing(d)) => faults.push(Fault::Missing(Box::new(self.as_missing(*d, point)))),
                Err(fault) => faults.push(fault),
            }
        }
        // Only the kernel fires these: with a capture file the block after `else` runs, wherever the first could attach.
        let not_here = self.opts.reading_file
            && probe.points.iter().all(|p| providers::find(&p.provider.text).is_some_and(|row| of_kernel(row.kind)));
        if let Some(otherwise) = &probe.otherwise
            && (found.is_empty() || not_here)
            && faults.iter().all(|f| matches!(f, Fault::Missing(_)))
        {
            return self.instances_of(otherwise, all);
        }
        if found.is_empty() {
            all.push(ghost(probe));
        }
        if not_here && faults.iter().all(|f| matches!(f, Fault::Missing(_))) {
            // Whether they exist, and whether we may see them, does not matter then.
            self.not_running(&probe.points, &faults);
            faults.clear();
        }
        let policy = self.config.missing_probes;
        let some = !found.is_empty();
        let nowhere = !some && super::attach_missing::nowhere(&faults, policy);
        for fault in faults {
            match (fault, policy) {
                (Fault::Missing(_), Missing::Ignore) => {}
                // A pattern says "what there is of these": with other points beside it that may be none.
                (Fault::Missing(mut d), _) if some && d.bpftrace.as_deref() == Some("") => {
                    d.severity = crate::diag::Severity::Warning;
                    self.report(*d);
                }
                (Fault::Missing(mut d), Missing::Warn) => {
                    d.severity = crate::diag::Severity::Warning;
                    d.bpftrace = d.bpftrace.map(|text| if text.is_empty() { text } else { text + " Skipping." });
                    self.report(*d);
                }
                (Fault::Missing(d) | Fault::Bad(d), _) => self.report(*d),
            }
        }
        if nowhere {
            self.attaches_nowhere(probe, policy);
        }
        for group in group(found, &uses) {
            let Some(first) = group.first() else { continue };
            let (row, args, space) = (first.row, first.args.clone(), first.space);
            let targets = group.into_iter().map(|f| f.target).collect();
            all.push(Instance { cx: ProbeCx { row, targets, args, space, instance: 0, span: probe.span }, probe });
        }
    }

    fn resolve_point(&mut self, point: &'a AttachPoint, uses: &ArgsUse, has_else: bool) -> Resolved {
        let (provider, segments) = self.written(point);
        let name = &Ident { text: provider, span: point.provider.span };
        let Some(row) = providers::find(&name.text) else { return Err(unknown_provider(name)) };
        if let Some(label) = &point.label {
            let d = Diagnostic::error("not-supported-yet", label.span, "names for probes are not supported yet");
            return Err(bad(d));
        }
        let optional = has_else || self.config.missing_probes != Missing::Error;
        let p = Point { row, segments, span: point.span, uses, optional };
        if let Some(found) = self.watched(&p) {
            return Ok(found);
        }
        if row.kind == ProviderKind::NotYet {
            let mut d = Diagnostic::error(
                "not-supported-yet",
                point.span,
                format!("the provider {} is not supported yet", row.name),
            );
            if !row.doc.is_empty() {
                d = d.note(row.doc);
            }
            return Err(bad(d));
        }
        let (least, most) = row.segments;
        if !(least..=most).contains(&p.segments.len()) {
            let d = Diagnostic::error("bad-attach-point", point.span, format!("{} is not written so", row.name))
                .write(row.shape);
            return Err(bad(hints::for_point(d, row.name, &p.as_written())));
        }
        for d in hints::warnings(row.name, &p.as_written(), point.span) {
            self.report(d);
        }
        match row.kind {
            ProviderKind::Begin => Ok(vec![p.found(row.name.into(), Provider::Begin, false)]),
            ProviderKind::End => Ok(vec![p.found(row.name.into(), Provider::End, false)]),
            ProviderKind::Interval | ProviderKind::Profile => super::attach_other::timer(&p),
            ProviderKind::Tracepoint => self.tracepoint(&p),
            ProviderKind::RawTracepoint => self.raw_tracepoint(&p),
            ProviderKind::Kprobe | ProviderKind::Kretprobe => self.kprobe(&p),
            ProviderKind::Uprobe | ProviderKind::Uretprobe => self.uprobe(&p),
            ProviderKind::Usdt => self.usdt(&p),
            ProviderKind::Pcap => self.pcap(&p),
            ProviderKind::Exchange => self.exchange(&p),
            ProviderKind::Span | ProviderKind::Log => Ok(super::attach_other::telemetry(&p)),
            ProviderKind::Join => self.join_point(&p),
            ProviderKind::Signal => super::attach_other::signal(&p),
            ProviderKind::Software => attach_events::counter(&p, attach_events::SOFTWARE, Counter::Software),
            ProviderKind::Hardware => attach_events::counter(&p, attach_events::HARDWARE, Counter::Hardware),
            ProviderKind::Watchpoint => attach_events::watchpoint(&p),
            ProviderKind::Fentry | ProviderKind::Fexit => self.fentry(&p),
            ProviderKind::Iter => self.iterator(&p),
            ProviderKind::Test => self.by_hand(&p, |name| Provider::Test { name }),
            ProviderKind::Bench => self.by_hand(&p, |name| Provider::Bench { name }),
            ProviderKind::NotYet => Ok(Vec::new()),
        }
    }

    /// Provider and segments with parameters put in; a parameter may hold several parts.
    fn written(&self, point: &AttachPoint) -> (String, Vec<Segment>) {
        let provider = Segment { text: point.provider.text.clone(), quoted: false, span: point.provider.span };
        let mut all = self.with_positionals(std::slice::from_ref(&provider));
        let name = if all.is_empty() { String::new() } else { all.remove(0).text };
        all.extend(self.with_positionals(&point.segments));
        (name, all)
    }

    /// `$1` is the script's first parameter, `$name` the value of `param name`, but within quotes.
    pub(super) fn with_positionals(&self, segments: &[Segment]) -> Vec<Segment> {
        let mut out = Vec::with_capacity(segments.len());
        for s in segments {
            if s.quoted || !s.text.contains('$') {
                out.push(s.clone());
                continue;
            }
            let text = self.positionals_in(&s.text);
            out.extend(text.split(':').map(|part| Segment { text: part.to_owned(), ..s.clone() }));
        }
        out
    }

    fn positionals_in(&self, text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            rest = &after[digits..];
            match after[..digits].parse::<usize>().ok().and_then(|n| n.checked_sub(1)) {
                Some(n) => out.push_str(self.opts.positional.get(n).map_or("", String::as_str)),
                None => match self.param_text(word(after)) {
                    Some(value) => {
                        out.push_str(&value);
                        rest = &after[word(after).len()..];
                    }
                    None => out.push('$'),
                },
            }
        }
        out + rest
    }

    /// What a probe is switched off by: all its points stand at `$name`, and the flag is empty.
    fn switched_off<'p>(&self, probe: &'p ast::Probe) -> Option<&'p str> {
        let off = |s: &'p Segment| {
            let name = s.text.strip_prefix('$').filter(|name| !s.quoted && word(name) == *name)?;
            (self.param_text(name).as_deref() == Some("")).then_some(name)
        };
        let each = probe.points.iter().map(|p| p.segments.iter().find_map(off));
        each.collect::<Option<Vec<_>>>()?.first().copied()
    }

    /// "6.18", for messages.
    pub(crate) fn kernel(&self) -> String {
        let release = self.world.kernel_release();
        let version = release.split_whitespace().find(|w| w.starts_with(|c: char| c.is_ascii_digit())).unwrap_or("?");
        version.split(['.', '-']).take(2).collect::<Vec<_>>().join(".")
    }
}

/// Whether a probe runs beside tests: the others wait for events, and need not exist.
fn of_tests(probe: &ast::Probe) -> bool {
    use ProviderKind as P;
    let runs = |kind| matches!(kind, P::Begin | P::End | P::Test | P::Join);
    // What is no provider at all is told.
    probe.points.iter().any(|p| providers::find(&p.provider.text).is_none_or(|row| runs(row.kind)))
}

/// The name that a text begins with.
pub(super) fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

fn unknown_provider(name: &Ident) -> Fault {
    let known = || providers::PROVIDERS.iter().filter(|p| p.kind != ProviderKind::NotYet).map(|p| p.name);
    let near = crate::suggest::nearest(&name.text, known(), 3);
    let d = Diagnostic::error("unknown-provider", name.span, format!("no provider {}", name.text))
        .bpftrace(format!("Invalid probe type: {}", name.text));
    bad(if near.is_empty() {
        d.note(format!("providers: {}", known().collect::<Vec<_>>().join(", ")))
    } else {
        d.near(near.join(", "))
    })
}

/// Whether only a running kernel makes such events.
fn of_kernel(kind: ProviderKind) -> bool {
    use ProviderKind as P;
    match kind {
        P::Tracepoint
        | P::RawTracepoint
        | P::Kprobe
        | P::Kretprobe
        | P::Fentry
        | P::Fexit
        | P::Uprobe
        | P::Uretprobe
        | P::Usdt
        | P::Profile
        | P::Software
        | P::Hardware
        | P::Watchpoint
        | P::Exchange
        | P::Iter => true,
        P::Begin
        | P::End
        | P::Interval
        | P::Pcap
        | P::Span
        | P::Log
        | P::Join
        | P::Signal
        | P::Test
        | P::Bench
        | P::NotYet => false,
    }
}

/// A host's "no", or that it could not say.
pub(crate) fn unanswered<T>(
    answer: Answer<T>,
    span: Span,
    what: &str,
    absent: impl FnOnce(Diagnostic) -> Diagnostic,
) -> Fault {
    match answer {
        Answer::NotPermitted(why) => {
            let d = Diagnostic::error("no-permission", span, format!("no permission to see whether {what} exists"));
            missing(d.note(why))
        }
        Answer::CouldNotTell(why) => {
            let d = Diagnostic::error("could-not-tell", span, format!("cannot tell whether {what} exists"));
            missing(d.note(why))
        }
        Answer::NotThere | Answer::Found(_) => missing(absent(Diagnostic::error("no-such-probe", span, ""))),
    }
}

/// A probe that attaches nowhere: its body still says what its maps hold.
fn ghost(probe: &ast::Probe) -> Instance<'_> {
    let row = probe.points.iter().find_map(|p| providers::find(&p.provider.text)).unwrap_or(&providers::PROVIDERS[0]);
    let cx = ProbeCx { row, targets: Vec::new(), args: ArgsCx::Ghost, space: row.space, instance: 0, span: probe.span };
    Instance { cx, probe }
}

/// Targets whose programs are the same, in order of appearance.
fn group(found: Vec<Found>, uses: &ArgsUse) -> Vec<Vec<Found>> {
    let mut groups: Vec<(String, Vec<Found>)> = Vec::new();
    for f in found {
        // What Go's runtime keeps where decides what `goid` and `argN` read.
        let go = match &f.target.provider {
            Provider::Uprobe { go: Some(go), .. } => Some((go.abi, go.tails, &go.runtime)),
            _ => None,
        };
        let key = format!("{:?} {:?} {go:?} {}", f.row.kind, f.space, signature(&f, uses));
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, group)) => group.push(f),
            None => groups.push((key, vec![f])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// What a body that uses these arguments sees of a target.
fn signature(f: &Found, uses: &ArgsUse) -> String {
    match &f.args {
        ArgsCx::Join(join, event) => format!("{join:?} {event:?}"),
        // Each kind of iterator has its own.
        ArgsCx::Ctx(ty) => format!("{ty:?}"),
        _ if !uses.any() => String::new(),
        ArgsCx::None | ArgsCx::Unknown | ArgsCx::Ghost | ArgsCx::Withheld(_) => "unknown".into(),
        ArgsCx::User(proto) => {
            let used = proto.params.iter().filter(|p| uses.whole || uses.names.contains(&p.name));
            used.map(|p| format!("{} {:?} {:?}", p.name, p.ty, p.place)).collect::<Vec<_>>().join(";")
        }
        ArgsCx::Trace(event) => {
            let used = event.fields.iter().filter(|x| uses.whole || uses.names.contains(&x.name));
            used.map(|x| format!("{} {:?} {} {}", x.name, x.ty, x.offset, x.data_loc)).collect::<Vec<_>>().join(";")
        }
        ArgsCx::Fn(proto) => {
            let used = proto.params.iter().enumerate().filter(|(_, p)| uses.whole || uses.names.contains(&p.name));
            used.map(|(i, p)| format!("{i} {} {:?}", p.name, p.ty)).collect::<Vec<_>>().join(";")
        }
    }
}
