//! Attach points that aren't there, or are too many: what a script says of that, and what is said of it.

use super::attach::{Fault, Instance, is_glob};
use super::cx::Checker;
use super::providers;
use crate::ast::{self, AttachPoint};
use crate::diag::Diagnostic;
use crate::hir::{Missing, Provider, Target};
use crate::span::Span;
use crate::world::{Answer, Feature};
use std::collections::BTreeSet;

/// Whether points that aren't there are why a probe attaches nowhere. What this user may not see may well be there: that is an
/// error of its own, and told by its own exit code.
pub(super) fn nowhere(faults: &[Fault], policy: Missing) -> bool {
    let missing = faults.iter().filter_map(|f| if let Fault::Missing(d) = f { Some(d) } else { None });
    let mut missing = missing.peekable();
    missing.peek().is_some() && (policy != Missing::Error || !missing.any(|d| d.is_refusal()))
}

impl<'a> Checker<'a> {
    /// `max_probes` bounds how many probes a script attaches, where all that one link holds is one: as bpftrace counts.
    pub(super) fn count_probes(&mut self, all: &[Instance<'a>]) {
        const DEFAULT: usize = 1024;
        let set = self.config.entries.iter().find(|(key, _)| key == "max_probes");
        let most = set.and_then(|(_, value)| super::params::parse_number(value)?.try_into().ok()).unwrap_or(DEFAULT);
        let own = |i: &&Instance<'a>| !self.opts.hidden.contains(&i.probe.span.file);
        let (mut count, mut links) = (0, BTreeSet::new());
        for target in all.iter().filter(own).flat_map(|i| &i.cx.targets) {
            // A pattern has as many programs as files.
            count += usize::from(match self.one_link(target) {
                Some(file) => links.insert((target.span.file.0, target.span.start, file)),
                None => true,
            });
        }
        let Some(widest) = all.iter().max_by_key(|i| i.cx.targets.len()).filter(|_| count > most) else { return };
        let d = Diagnostic::error(
            "too-many-probes",
            widest.cx.targets.first().map_or(widest.cx.span, |t| t.span),
            format!("this script attaches {count} probes, more than max_probes ({most})"),
        )
        .note("each costs time whenever it fires: a narrower pattern is better; very many can stall the machine")
        .write(format!("config = {{ max_probes = {count} }}"))
        .bpftrace(format!(
            "Can't attach to {count} probes because it exceeds the current limit of {most} probes. You can increase the limit \
             through the BPFTRACE_MAX_PROBES environment variable."
        ));
        self.report(d);
    }

    /// Whether the kernel attaches all matches of a target's pattern by one link, and in which file these are.
    fn one_link<'t>(&self, target: &'t Target) -> Option<&'t str> {
        let (feature, file) = match &target.provider {
            Provider::Kprobe { module: None, offset: 0, .. } => (Feature::KprobeMulti, ""),
            Provider::Uprobe { path, .. } => (Feature::UprobeMulti, path.as_str()),
            _ => return None,
        };
        (target.wildcard && self.world.feature(feature) != Answer::NotThere).then_some(file)
    }

    /// bpftrace's words for a point that isn't there; of patterns it says nothing.
    pub(super) fn as_missing(&self, mut d: Diagnostic, point: &AttachPoint) -> Diagnostic {
        let Some(row) = providers::find(&point.provider.text) else { return d };
        let segments = self.with_positionals(&point.segments);
        let parameter = segments.iter().filter(|s| !s.quoted).find_map(|s| s.text.strip_prefix('$'));
        if let Some(name) = parameter.filter(|name| !name.is_empty() && super::attach::word(name) == *name) {
            d = d
                .note(format!("the script has no parameter {name}"))
                .write(format!("param {name} = \"\" \"what it is for\";"));
        }
        let written = segments.iter().map(|s| s.text.as_str()).collect::<Vec<_>>().join(":");
        if d.bpftrace.is_none() && d.code == "no-such-probe" {
            let pattern = segments.iter().any(|s| is_glob(&s.text));
            d.bpftrace = Some(if pattern { String::new() } else { format!("No matches for {} {written}.", row.name) });
        }
        d
    }

    /// Nothing of a probe is there. Where that is an error, its points were named already.
    pub(super) fn attaches_nowhere(&mut self, probe: &ast::Probe, policy: Missing) {
        let span = probe.points.iter().map(|p| p.span).reduce(|a, b| Span { end: b.end, ..a }).unwrap_or(probe.span);
        let nowhere = "Probe has no valid attach points.";
        match policy {
            Missing::Error => {
                let said =
                    format!("{nowhere} If this is expected, set the 'missing_probes' config variable to 'warn'.");
                // Of a single point its own error says all of that: without words of ours it shows under bpftrace's name only.
                let d = match probe.points.len() {
                    0 | 1 => Diagnostic::error("attaches-nowhere", span, ""),
                    n => {
                        let text = format!("this block would never run: none of its {n} attach points is there");
                        Diagnostic::error("attaches-nowhere", span, text)
                            .note("where that is expected, a setting runs the script without the block")
                            .write("config = { missing_probes = \"warn\" }")
                    }
                };
                self.report(d.bpftrace(said));
            }
            Missing::Warn => self.report(
                Diagnostic::warning("attaches-nowhere", span, "this block never runs: nothing of it is there")
                    .bpftrace(format!("{nowhere} It is being removed which may cause issues with program behavior.")),
            ),
            Missing::Ignore => {}
        }
    }

    /// Names the points that would not even be found here: the placement names the others.
    pub(super) fn not_running(&mut self, points: &'a [AttachPoint], faults: &[Fault]) {
        for fault in faults {
            let (Fault::Missing(d) | Fault::Bad(d)) = fault;
            let Some(point) = points.iter().find(|p| p.span.start <= d.span.start && d.span.end <= p.span.end) else {
                continue;
            };
            let name = self.sources.snippet(point.span).to_owned();
            self.warn("not-running", point.span, format!("{name} is not running: --read has no kernel events"));
        }
    }
}
