//! Attach points of the processor and of the script itself: counted events, watchpoints, tests, benchmarks.

use super::attach::{Fault, Point, Resolved, bad, is_glob};
use super::cx::Checker;
use super::params::parse_number;
use crate::diag::Diagnostic;
use crate::hir::{Access, Counter, Provider};

/// A counted event.
#[derive(Clone, Copy, Debug)]
pub struct CounterRow {
    pub name: &'static str,
    /// "" if it has none.
    pub alias: &'static str,
    /// linux/perf_event.h
    number: u64,
    /// Occurrences per firing where the script names no count.
    count: u64,
}

const fn row(name: &'static str, alias: &'static str, number: u64, count: u64) -> CounterRow {
    CounterRow { name, alias, number, count }
}

/// PERF_COUNT_SW_*; cpu-clock and task-clock count nanoseconds.
pub static SOFTWARE: &[CounterRow] = &[
    row("alignment-faults", "", 7, 1),
    row("bpf-output", "", 10, 1),
    row("context-switches", "cs", 3, 1_000),
    row("cpu-clock", "cpu", 0, 1_000_000),
    row("cpu-migrations", "", 4, 1),
    row("dummy", "", 9, 1),
    row("emulation-faults", "", 8, 1),
    row("major-faults", "", 6, 1),
    row("minor-faults", "", 5, 100),
    row("page-faults", "faults", 2, 100),
    row("task-clock", "", 1, 1),
];

/// PERF_COUNT_HW_*
pub static HARDWARE: &[CounterRow] = &[
    row("backend-stalls", "", 8, 1_000_000),
    row("branch-instructions", "branches", 4, 100_000),
    row("branch-misses", "", 5, 100_000),
    row("bus-cycles", "", 6, 100_000),
    row("cache-misses", "", 3, 1_000_000),
    row("cache-references", "", 2, 1_000_000),
    row("cpu-cycles", "cycles", 0, 1_000_000),
    row("frontend-stalls", "", 7, 1_000_000),
    row("instructions", "", 1, 1_000_000),
    row("ref-cycles", "", 9, 1_000_000),
];

/// Names and other names of a table's events, sorted.
pub fn counter_names(table: &[CounterRow]) -> Vec<&'static str> {
    let mut names: Vec<_> = table.iter().flat_map(|r| [r.name, r.alias]).filter(|n| !n.is_empty()).collect();
    names.sort_unstable();
    names
}

fn wrong(p: &Point<'_>, segment: usize, message: String) -> Fault {
    bad(Diagnostic::error("bad-attach-point", p.segment_span(segment), message).write(p.row.shape))
}

pub(crate) fn counter(p: &Point<'_>, table: &'static [CounterRow], class: fn(u64) -> Counter) -> Resolved {
    let event = p.text(0);
    let kind = p.row.name;
    if is_glob(event) {
        return Err(wrong(p, 0, format!("a {kind} event has no wildcards")));
    }
    let Some(row) = table.iter().find(|r| r.name == event || (!r.alias.is_empty() && r.alias == event)) else {
        let near = crate::suggest::nearest(event, table.iter().map(|r| r.name), 3);
        let names: Vec<&str> = table.iter().map(|r| r.name).collect();
        let d = Diagnostic::error("no-such-probe", p.segment_span(0), format!("no {kind} event {event}"))
            .bpftrace(format!("{event} is not a {kind} probe"));
        return Err(bad(d.near(if near.is_empty() { names.join(", ") } else { near.join(", ") })));
    };
    let Some(count) = p.segments.get(1) else {
        let provider = Provider::Counter { counter: class(row.number), period: row.count };
        return Ok(vec![p.found(p.named(&[event, &row.count.to_string()]), provider, false)]);
    };
    let number = match count.text.as_str() {
        "" | "0" => Some(row.count),
        text => count_of(text),
    };
    let Some(period) = number else {
        let text = &count.text;
        return Err(wrong(p, 1, format!("{text} is no count: a {kind} event fires every so many occurrences")));
    };
    let provider = Provider::Counter { counter: class(row.number), period };
    Ok(vec![p.found(p.named(&[event, &period.to_string()]), provider, false)])
}

fn count_of(text: &str) -> Option<u64> {
    parse_number(text).and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0)
}

pub(crate) fn watchpoint(p: &Point<'_>) -> Resolved {
    let Some(address) = count_of(p.text(0)) else {
        return Err(wrong(p, 0, format!("{} is no address", p.text(0))));
    };
    let Some(len) = count_of(p.text(1)).filter(|n| matches!(n, 1 | 2 | 4 | 8)) else {
        return Err(wrong(p, 1, "a watchpoint's length is 1, 2, 4 or 8 bytes".into()));
    };
    let mut access = Access::default();
    for c in p.text(2).chars() {
        let bit = match c {
            'r' => &mut access.read,
            'w' => &mut access.write,
            'x' => &mut access.execute,
            _ => return Err(wrong(p, 2, "a watchpoint's mode is made of r, w and x".into())),
        };
        if std::mem::replace(bit, true) {
            return Err(wrong(p, 2, format!("{c} twice in a watchpoint's mode")));
        }
    }
    // Debug registers know execution only alone, and x86's no reading alone.
    let Access { read, write, execute } = access;
    let alone = read && !write && !weftrace_arch::HOST.watches_reads;
    if !(write || read || execute) || (execute && (read || write)) || alone {
        let d = Diagnostic::error("bad-attach-point", p.segment_span(2), format!("no watchpoint mode {}", p.text(2)))
            .bpftrace(format!("invalid watchpoint mode: {}", p.text(2)));
        return Err(bad(d.write("w (written), rw (read or written), x (executed)")));
    }
    if execute && len != 8 && len != 1 {
        // The kernel wants a word's length there, whatever the instruction's.
        return Err(wrong(p, 1, "an execution watchpoint's length is 1 or 8".into()));
    }
    // The mode's letters in one order, however they were written.
    let mode: String = [(read, 'r'), (write, 'w'), (execute, 'x')].iter().filter(|m| m.0).map(|m| m.1).collect();
    let name = p.named(&[p.text(0), p.text(1), &mode]);
    Ok(vec![p.found(name, Provider::Watchpoint { address, len, access }, false)])
}

impl Checker<'_> {
    /// `test:NAME`, `bench:NAME`: each name once.
    pub(crate) fn by_hand(&mut self, p: &Point<'_>, make: fn(String) -> Provider) -> Resolved {
        let name = p.text(0).to_owned();
        if name.is_empty() {
            return Err(wrong(p, 0, format!("a {} probe has a name", p.row.name)));
        }
        let full = p.named(&[&name]);
        if let Some(first) = self.by_hand.get(&full) {
            let upper = p.row.name.to_uppercase();
            let d = Diagnostic::error("twice", p.span, format!("{full} was named before"))
                .bpftrace(format!("\"{name}\" was used as the name for more than one {upper} probe"))
                .other(*first, "here");
            return Err(bad(d));
        }
        self.by_hand.insert(full.clone(), p.span);
        Ok(vec![p.found(full, make(name), false)])
    }
}
