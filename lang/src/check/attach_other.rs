//! Attach points outside of code: timers, packets, joins, signals.

use super::attach::{Point, Resolved, bad, is_glob, missing};
use super::cx::{ArgsCx, Checker};
use super::glob;
use super::hints;
use super::providers::ProviderKind;
use crate::diag::Diagnostic;
use crate::hir::{JoinEvent, JoinRef, Provider, Rate, Signal};
use crate::span::Span;
use crate::world::Answer;

/// The fastest timers: a period of 1 µs, a rate of 1 MHz.
const SHORTEST_NS: u64 = 1_000;

impl Checker<'_> {
    pub(crate) fn pcap(&mut self, p: &Point<'_>) -> Resolved {
        let interface = p.text(0).to_owned();
        let filter = p.segments.get(1).map(|s| (s.text.clone(), s.span));
        if let Some((text, span)) = &filter
            && let Err(message) = self.world.pcap_filter(text)
        {
            return Err(bad(self.bad_filter(text, *span, &message)));
        }
        if let Some((text, span)) = &filter {
            self.filter_flags(text, *span);
        }
        let (device, namespace) = interface.split_once('@').map_or((interface.as_str(), None), |(d, n)| (d, Some(n)));
        if device.is_empty() || namespace.is_some_and(str::is_empty) {
            let d =
                Diagnostic::error("bad-attach-point", p.segment_span(0), "pcap is not written so").write(p.row.shape);
            return Err(bad(d));
        }
        if device != "any"
            && !self.opts.reading_file
            && let Some(d) = filter.as_ref().and_then(|(text, span)| self.asks_for_the_way(text, *span))
        {
            return Err(bad(d));
        }
        if device == "any" && self.setting("pcap_promiscuous") == "true" {
            let text = "any captures what each device receives as it is set: name the device to make it promiscuous";
            self.warn("setting-without-effect", p.segment_span(0), text.to_owned());
        }
        if device != "any" && namespace.is_none() && !self.opts.reading_file && !self.opts.other_network {
            let known = self.world.interfaces();
            if let Answer::Found(all) = &known
                && !all.contains(&interface)
                && !is_glob(&interface)
            {
                let near = crate::suggest::nearest(&interface, all.iter().map(String::as_str), 3);
                let names = if near.is_empty() { all.iter().take(8).cloned().collect() } else { near };
                let d = Diagnostic::error("no-such-probe", p.span, format!("no network interface {interface}"));
                return Err(missing(d.near(format!("any, {}", names.join(", ")))));
            }
        }
        let name = p.as_written();
        Ok(vec![p.found(name, Provider::Pcap { interface, filter }, false)])
    }

    /// `port 80 and (tcp-syn or tcp-ack)` is a filter, of ports 80, 2 and 16.
    fn filter_flags(&mut self, text: &str, span: Span) {
        let Some((at, word)) = hints::flag_as_number(text) else { return };
        let span = self.in_string(span, at, word.len());
        let d = Diagnostic::error(
            "bad-filter",
            span,
            format!("{word} is a number, not a test: libpcap reads it as a port or protocol of that number"),
        );
        self.report(hints::for_filter(d, text));
    }

    pub(crate) fn join_point(&mut self, p: &Point<'_>) -> Resolved {
        let (name, what) = (p.text(0), p.text(1));
        let matching: Vec<usize> =
            (0..self.joins.len()).filter(|i| glob::matches(name, &self.joins[*i].name)).collect();
        if matching.is_empty() {
            let near = crate::suggest::nearest(name, self.items.join_names.iter().copied(), 3);
            let mut d = Diagnostic::error("no-such-probe", p.segment_span(0), format!("no join {name}"));
            d = if near.is_empty() { d.write(format!("join {name} {{ from …; }}")) } else { d.near(near.join(", ")) };
            return Err(bad(d));
        }
        let mut found = Vec::new();
        for i in matching {
            let join = JoinRef(i as u32);
            let label = self.joins[i].name.clone();
            let events: Vec<(JoinEvent, String)> = match (what, p.segments.len()) {
                ("", 1) => vec![(JoinEvent::Result, p.named(&[&label]))],
                ("late", 2) => vec![(JoinEvent::Late, p.named(&[&label, "late"]))],
                ("orphan", 3) => self.orphans(p, i)?,
                _ => {
                    let d = Diagnostic::error("bad-attach-point", p.span, "join is not written so").write(p.row.shape);
                    return Err(bad(d));
                }
            };
            for (on, full) in events {
                let mut f = p.found(full, Provider::Join { join, on }, is_glob(name) || is_glob(p.text(2)));
                f.args = ArgsCx::Join(join, on);
                found.push(f);
            }
        }
        Ok(found)
    }

    fn orphans(&self, p: &Point<'_>, join: usize) -> Result<Vec<(JoinEvent, String)>, super::attach::Fault> {
        let info = &self.joins[join];
        let wanted = p.text(2);
        let legs: Vec<(JoinEvent, String)> = info
            .legs
            .iter()
            .enumerate()
            .filter(|(_, l)| glob::matches(wanted, &l.name))
            .map(|(i, l)| (JoinEvent::Orphan(i as u32), p.named(&[&info.name, "orphan", &l.name])))
            .collect();
        if legs.is_empty() {
            let names: Vec<&str> = info.legs.iter().map(|l| l.name.as_str()).collect();
            let d = Diagnostic::error(
                "no-such-probe",
                p.segment_span(2),
                format!("the join {} has no leg {wanted}", info.name),
            );
            return Err(bad(if names.is_empty() { d } else { d.near(names.join(", ")) }));
        }
        Ok(legs)
    }
}

pub(crate) fn timer(p: &Point<'_>) -> Resolved {
    let (unit, text) = if p.segments.len() == 2 { (p.text(0), p.text(1)) } else { ("ns", p.text(0)) };
    let wrong = |message: String| {
        bad(Diagnostic::error("bad-attach-point", p.segment_span(p.segments.len() - 1), message).write(p.row.shape))
    };
    let Some(n) = super::params::parse_number(text).and_then(|n| u64::try_from(n).ok()) else {
        return Err(wrong(format!("{text} is no time")));
    };
    let factor = match unit {
        "ns" => Some(1),
        "us" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "hz" => None,
        _ => return Err(wrong(format!("no unit {unit}: s, ms, us, hz"))),
    };
    if n == 0 {
        return Err(wrong("a timer's time is greater than 0".into()));
    }
    let rate = match factor {
        None if n <= 1_000_000 => Rate::Hz(n),
        None => return Err(wrong(format!("{n} hz is too fast: at most 1000000"))),
        Some(f) => match n.checked_mul(f) {
            Some(ns) if ns >= SHORTEST_NS => Rate::PeriodNs(ns),
            Some(_) => return Err(wrong("the shortest time is 1 us (a bare number counts nanoseconds)".into())),
            None => return Err(wrong(format!("\"{text}\" is too long"))),
        },
    };
    let provider = match (p.row.kind, rate) {
        (ProviderKind::Profile, rate) => Provider::Profile { rate },
        (_, Rate::PeriodNs(ns)) => Provider::Interval { ns },
        (_, Rate::Hz(hz)) => Provider::Interval { ns: 1_000_000_000 / hz },
    };
    Ok(vec![p.found(p.as_written(), provider, false)])
}

pub(crate) fn signal(p: &Point<'_>) -> Resolved {
    let name = p.text(1).to_owned();
    let number = match (p.text(0), name.as_str()) {
        ("signal", "SIGUSR1") => 10,
        ("signal", "SIGUSR2") => 12,
        _ => {
            let d =
                Diagnostic::error("bad-attach-point", p.span, "self is not written so").write("self:signal:SIGUSR1");
            return Err(bad(d));
        }
    };
    Ok(vec![p.found(p.as_written(), Provider::Signal { number, name }, false)])
}

/// `span:checkout:"GET /*"`: which services there are is only known when they send something.
pub(super) fn telemetry(p: &Point<'_>) -> Vec<super::attach::Found> {
    let signal = if p.row.kind == ProviderKind::Span { Signal::Span } else { Signal::Log };
    let name = p.segments.get(1).map_or("*", |s| s.text.as_str()).to_owned();
    let provider = Provider::Telemetry { signal, service: p.text(0).to_owned(), name };
    vec![p.found(p.as_written(), provider, false)]
}
