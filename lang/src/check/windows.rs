//! What maps forget: `rate(@m, 10s)`, `let @m = window(10s, 1s)`, `let @m = lruhash(1000, ttl=30s)`.

use super::call::Call;
use super::cx::Checker;
use super::maps::MapInfo;
use super::types::show;
use super::value::Val;
use crate::ast;
use crate::diag::Diagnostic;
use crate::hir::{Agg, Expr, ExprKind, MapKind, MapRef, RingDef, Ty};
use crate::span::Span;

/// A window's buckets unless a declaration says otherwise: the error is at most one of them.
const BUCKETS: u64 = 10;
/// Most buckets of a window: each takes 16 bytes of every element.
const MOST_BUCKETS: u64 = 128;
/// Shortest window (and any other length of time that a script asks for), ns: below it the clock's own error counts.
pub(super) const SHORTEST: i128 = 1_000_000;

static KINDS: &[(&str, MapKind)] = &[
    ("hash", MapKind::Hash),
    ("lruhash", MapKind::LruHash),
    ("percpuhash", MapKind::PercpuHash),
    ("percpulruhash", MapKind::LruPercpuHash),
];

/// What a map's windows ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Windows {
    /// Of `window(span, bucket)`.
    declared: Option<(u64, u64, Span)>,
    /// Of `rate(@m, window)`, and where.
    rates: Vec<(u64, Span)>,
    /// `ttl=`
    pub(crate) ttl: Option<(u64, Span)>,
}

impl Windows {
    /// The ring of buckets that serves them all.
    pub(crate) fn ring(&self) -> Option<RingDef> {
        if let Some((window, bucket, _)) = self.declared {
            return Some(RingDef { window, bucket, slots: slots(window, bucket) as u32, only: true });
        }
        let shortest = self.rates.iter().map(|r| r.0).min()?;
        let longest = self.rates.iter().map(|r| r.0).max()?;
        let bucket = shortest.div_ceil(BUCKETS).max(1);
        let slots = slots(longest, bucket).min(MOST_BUCKETS + 1) as u32;
        Some(RingDef { window: longest, bucket, slots, only: false })
    }
}

/// Buckets that cover a window wherever it begins: the one under way, and one more at the far end.
fn slots(window: u64, bucket: u64) -> u64 {
    window.div_ceil(bucket.max(1)) + 1
}

impl<'a> Checker<'a> {
    /// `let @m = kind(…)`
    pub(crate) fn declare_map(&mut self, decl: &'a ast::MapDecl) {
        if decl.kind.text == "window" {
            return self.declare_window(decl);
        }
        let Some((_, kind)) = KINDS.iter().find(|(n, _)| *n == decl.kind.text) else {
            let names: Vec<&str> = KINDS.iter().map(|k| k.0).chain(["window"]).collect();
            let near = crate::suggest::nearest(&decl.kind.text, names.iter().copied(), 2);
            let d = Diagnostic::error("unknown-map-kind", decl.kind.span, format!("no kind of map {}", decl.kind.text))
                .near(if near.is_empty() { names.join(", ") } else { near.join(", ") });
            self.report(d);
            return;
        };
        let map = self.maps.get_or_add(&decl.name.text, decl.span);
        let (mut entries, mut ttl) = (None, None);
        for arg in &decl.args {
            match &arg.name {
                Some(name) if name.text == "ttl" => ttl = self.ttl(&arg.value),
                Some(name) => self.unknown_option(name, &["ttl"]),
                None => entries = self.const_int(&arg.value),
            }
        }
        if ttl.is_some() && matches!(kind, MapKind::PercpuHash | MapKind::LruPercpuHash) {
            let d = Diagnostic::error(
                "map-kind",
                decl.span,
                "what is kept per CPU has no one time at which it was written",
            )
            .write(format!(
                "let @{} = {}(…, ttl=…);",
                decl.name.text,
                decl.kind.text.replace("percpu", "")
            ));
            self.report(d);
            ttl = None;
        }
        self.map_info(map).windows.ttl = ttl;
        if let Some(n) = entries.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0) {
            self.map_info(map).max_entries = Some(n);
        } else {
            let number = decl.args.iter().find(|a| a.name.is_none()).map(|a| a.value.span);
            let (span, text) = match (entries, number) {
                (Some(n), Some(at)) => (at, format!("a map holds 1 to {} elements, not {n}", u32::MAX)),
                _ => (decl.kind.span, "a map's declaration says how many elements it holds".to_owned()),
            };
            let d = Diagnostic::error("bad-argument", span, text)
                .write(format!("let @{} = {}(10000);", decl.name.text, decl.kind.text));
            self.report(d);
        }
        self.map_info(map).kind = Some(*kind);
    }

    fn unknown_option(&mut self, name: &ast::Ident, known: &[&str]) {
        let d = Diagnostic::error("bad-argument", name.span, format!("a map's declaration has no {}=", name.text))
            .near(known.iter().map(|k| format!("{k}=")).collect::<Vec<_>>().join(", "));
        self.report(d);
    }

    fn ttl(&mut self, e: &'a ast::Expr) -> Option<(u64, Span)> {
        let n = self.const_int(e)?;
        let ns = u64::try_from(n).ok().filter(|n| i128::from(*n) >= SHORTEST && i64::try_from(*n).is_ok());
        if ns.is_none() {
            let text = format!("an element's time to live is at least 1ms, this is {n} ns");
            let d = Diagnostic::error("bad-argument", e.span, text).write("ttl=30s");
            self.report(d);
        }
        ns.map(|ns| (ns, e.span))
    }

    /// `let @n = window(10s, 1s[, elements])`
    fn declare_window(&mut self, decl: &'a ast::MapDecl) {
        let write = format!("let @{} = window(10s, 1s);", decl.name.text);
        let (mut numbers, mut entries) = (Vec::new(), None);
        for arg in &decl.args {
            match &arg.name {
                Some(name) if name.text == "entries" => entries = self.const_int(&arg.value),
                Some(name) => self.unknown_option(name, &["entries"]),
                None => numbers.extend(self.const_int(&arg.value).map(|n| (n, arg.value.span))),
            }
        }
        let positional = decl.args.iter().filter(|a| a.name.is_none()).count();
        if !(1..=3).contains(&positional) {
            let d = Diagnostic::error(
                "argument-count",
                decl.span,
                "window() takes how long it is, its buckets, and how many elements",
            )
            .write(write);
            return self.report(d);
        }
        if numbers.len() < positional {
            return;
        }
        let (window, at) = numbers[0];
        let (bucket, bucket_at) = numbers.get(1).copied().unwrap_or((window / i128::from(BUCKETS), at));
        let problem = if window < SHORTEST || window > i128::from(i64::MAX) {
            Some((at, format!("a window is at least 1ms long, this is {window} ns")))
        } else if bucket < 1 || bucket > window {
            Some((bucket_at, format!("a bucket is a part of the window, this is {bucket} ns of {window} ns")))
        } else if window / bucket > i128::from(MOST_BUCKETS) {
            Some((bucket_at, format!("{} buckets are more than {MOST_BUCKETS}: take a longer one", window / bucket)))
        } else {
            None
        };
        if let Some((span, text)) = problem {
            return self.report(Diagnostic::error("bad-argument", span, text).write(write));
        }
        let map = self.maps.get_or_add(&decl.name.text, decl.span);
        let entries = entries.or(numbers.get(2).map(|n| n.0));
        let info = self.map_info(map);
        info.resets = true;
        info.windows.declared = Some((window as u64, bucket as u64, decl.span));
        info.kind = Some(MapKind::LruHash);
        info.max_entries = entries.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        if entries.is_some() && info.max_entries.is_none() {
            self.error("bad-argument", decl.span, "a map holds at least one element");
        }
    }

    /// What `rate()` is of: `@m`, `@m[key]`.
    fn rated(&mut self, call: &Call<'a>) -> Option<(MapRef, Option<Expr>, String)> {
        let first = call.arg(0)?;
        let (written, frame) = self.peeled(first);
        let ast::ExprKind::Map { name, key } = &written.kind else {
            let d = Diagnostic::error("not-a-map", first.span, "rate() is of a map that count() or sum() fill")
                .write("rate(@m[key], 10s)");
            self.report(d);
            return None;
        };
        self.in_frame(frame, |c| {
            let map = c.map_ref(name, written.span)?;
            let key = c.map_key(map, key.as_ref(), written.span).ok()?;
            Some((map, key, name.clone()))
        })
    }

    /// Maps whose windows can't be kept, each once all types are known.
    pub(crate) fn check_windows(&mut self) {
        let mut found = Vec::new();
        for m in &self.maps.maps {
            found.extend(declared_window(m));
            found.extend(lifetime(m));
            let Some(ring) = m.windows.ring() else { continue };
            let bounds = m
                .windows
                .rates
                .iter()
                .filter(|r| if ring.only { r.0 > ring.window } else { slots(r.0, ring.bucket) > MOST_BUCKETS + 1 });
            for (window, span) in bounds {
                let name = &m.name;
                let d = if ring.only {
                    let (_, _, at) = m.windows.declared.unwrap_or_default();
                    Diagnostic::error(
                        "bad-argument",
                        *span,
                        format!("@{name} forgets before that: its window is {} ms", ring.window / 1_000_000),
                    )
                    .other(at, "declared here")
                } else {
                    let text = format!(
                        "@{name}'s windows differ too much: of the shortest {} parts, this takes {}",
                        BUCKETS,
                        slots(*window, ring.bucket) - 1
                    );
                    Diagnostic::error("bad-argument", *span, text).write("two maps, one for each window")
                };
                found.push(d);
            }
        }
        for d in found {
            self.report(d);
        }
    }
}

/// `window()` counts and adds up.
fn declared_window(m: &MapInfo) -> Option<Diagnostic> {
    let (_, _, at) = m.windows.declared?;
    let ty = &m.value.as_ref()?.ty;
    if matches!(ty, Ty::Agg(Agg::Count | Agg::Sum { .. }) | Ty::Error) {
        return None;
    }
    let d = Diagnostic::error("map-kind", m.first_use(), format!("@{} is a window, this is {}", m.name, show(ty)))
        .other(at, "declared here")
        .write(format!("@{0} = count(), @{0} = sum(n): what a window can forget", m.name));
    Some(d)
}

fn lifetime(m: &MapInfo) -> Option<Diagnostic> {
    let (_, at) = m.windows.ttl?;
    if m.is_scalar() {
        let d = Diagnostic::error(
            "map-kind",
            m.first_use(),
            format!("@{} has no keys: there are no elements that could end", m.name),
        );
        return Some(d.other(at, "declared here"));
    }
    let what = match &m.value.as_ref()?.ty {
        Ty::Agg(Agg::Min { .. } | Agg::Max { .. }) => "min() and max() are kept per CPU",
        Ty::Agg(Agg::Series { .. }) => "a time series has its intervals",
        _ => return None,
    };
    let d = Diagnostic::error("map-kind", at, format!("elements of @{} can't end: {what}", m.name))
        .other(m.first_use(), "used so")
        .write("without ttl=; lruhash(…) makes room for new elements");
    Some(d)
}

/// `rate(@m[key], window)`: what was counted or added in the last so many ns.
pub(crate) fn rate<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    let span = call.span;
    let Some(e) = call.arg(1) else { return Val::error(span) };
    let Some(n) = c.const_int(e) else { return Val::error(span) };
    if !(SHORTEST..=i128::from(i64::MAX)).contains(&n) {
        let d = Diagnostic::error("bad-argument", e.span, format!("rate() looks back at least 1ms, this is {n} ns"))
            .write("rate(@m[key], 10s)");
        c.report(d);
        return Val::error(span);
    }
    let Some((map, key, name)) = c.rated(call) else { return Val::error(span) };
    let window = n as u64;
    // Reading it so is reading it: a map that nothing fills is told.
    let read = c.read_map(map, key.clone(), span);
    let ty = match &read.e.ty {
        Ty::Agg(Agg::Count) => Ty::U64,
        Ty::Agg(Agg::Sum { signed }) => Ty::Int { bits: 64, signed: *signed },
        // In a later round.
        Ty::Error => return Val::error(span),
        other => {
            let d = Diagnostic::error(
                "bad-aggregate-use",
                span,
                format!("rate() is of what count() and sum() add up, @{name} holds {}", show(other)),
            )
            .write(format!("@{name}{} = count();", if key.is_some() { "[key]" } else { "" }));
            c.report(d);
            return Val::error(span);
        }
    };
    let info = c.map_info(map);
    // A count that is asked for its last seconds starts again by itself.
    info.resets = true;
    if !info.windows.rates.contains(&(window, e.span)) {
        info.windows.rates.push((window, e.span));
        c.changed = true;
    }
    Val::new(ExprKind::Rate { map, key: key.map(Box::new), window_ns: window }, ty, span)
}
