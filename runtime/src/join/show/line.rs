//! A result in three lines: what it was, the verdict with time by layer, how sure.

use super::{Facts, Shown, escaped, overlap};
use crate::{
    decode::Num,
    join::{
        leg::{LegOutcome, State},
        result::{JoinResult, Status, Verdict},
    },
};
use std::fmt::Write;

const MS: u64 = 1_000_000;

/// Milliseconds rounded to nearest.
pub(crate) fn ms(ns: u64) -> u64 {
    ns.saturating_add(MS / 2) / MS
}

/// As it stands in `text` of `join:` blocks: without what only the host knows.
pub(crate) fn bare(result: &JoinResult) -> String {
    text(&Shown { result, facts: &Facts::default() })
}

/// `syn 2150 ms (93%) exact`
pub(crate) fn verdict(result: &JoinResult) -> String {
    verdict_text(&result.verdict())
}

pub(crate) fn verdict_text(v: &Verdict) -> String {
    let via = v.via.map_or(String::new(), |via| format!(" {via}"));
    format!("{} {} ms ({}%){via}", v.layer, ms(v.ns), v.percent)
}

/// `order-7f3a  POST /api/orders -> 10.0.3.7:8080  2300 ms  200` and what else names it.
pub(crate) fn head(shown: &Shown<'_>) -> String {
    let result = shown.result;
    let id = if result.id().is_empty() { "-".into() } else { escaped(result.id()) };
    let mut out = match (shown.title(), result.client()) {
        // Of no request it is who asked: `10.0.1.7:51514 -> 10.0.3.7:443`.
        (title, client) if title.is_empty() && result.id().is_empty() && !client.is_empty() => escaped(&client),
        (title, _) => format!("{id}  {}", escaped(&title)),
    };
    let peer = result.server();
    if !peer.is_empty() {
        let _ = write!(out, " -> {}", escaped(&peer));
    }
    let _ = write!(out, "  {} ms", ms(result.total()));
    let status = result.field("status");
    if !status.is_empty() {
        let _ = write!(out, "  {}", escaped(&status));
    }
    for (name, value) in result.ids.iter().skip(1) {
        let _ = write!(out, "  {}={}", escaped(name), escaped(value));
    }
    if let Some((pid, comm)) = shown.process() {
        let _ = write!(out, "  {}[{pid}]", escaped(&comm));
    }
    if let Some(container) = &shown.facts.container {
        // A script may give it any text.
        let short: String = container.chars().take(12).collect();
        let _ = write!(out, "  container={}", escaped(&short));
    }
    if let Some(id) = &shown.facts.community_id {
        let _ = write!(out, "  community_id={id}");
    }
    if result.torn.is_some() {
        out.push_str("  [its end was not seen]");
    }
    if result.status != Status::Closed {
        let _ = write!(out, "  [{}]", result.status.name());
    }
    out
}

/// Legs in the order of blame, then the others; whether each can be blamed.
pub(crate) fn order(result: &JoinResult) -> Vec<(usize, bool)> {
    let rank = |i: usize| result.blame.iter().position(|b| *b as usize == i).unwrap_or(usize::MAX);
    let mut order: Vec<usize> = (0..result.legs.len()).filter(|i| !result.legs[*i].off).collect();
    order.sort_by_key(|i| (rank(*i), *i));
    order.into_iter().map(|i| (i, rank(i) != usize::MAX)).collect()
}

/// The whole, without a newline at the end.
pub fn text(shown: &Shown<'_>) -> String {
    let result = shown.result;
    let mut out = head(shown);
    let _ = write!(out, "\n  verdict  {}\n  ", verdict(result));
    let order = order(result);
    for &(i, blamed) in &order {
        let leg = &result.legs[i];
        let _ = write!(out, "{} {} | ", leg.name, value(result, leg, blamed));
    }
    let _ = write!(out, "app {} | unknown {}\n  via:", ms(result.app), ms(result.unknown));
    let mut matched = false;
    for &(i, _) in &order {
        let leg = &result.legs[i];
        if !leg.key.is_empty() {
            let separator = if matched { " ·" } else { "" };
            let _ = write!(out, "{separator} {} {}({})", leg.name, leg.via.name(), leg.key);
            matched = true;
        }
    }
    let lost = result.legs.iter().map(|l| l.lost).chain(result.torn).max().unwrap_or(0);
    let _ = write!(out, "{} lost in window: {lost}", if matched { " ·" } else { "" });
    out
}

/// `2150`, `none`, `unknown (lost 3)`; of what was charged nothing `1000 (outside)` the total, or `1000 (covered)` by layers before it.
pub(crate) fn value(result: &JoinResult, leg: &LegOutcome, blamed: bool) -> String {
    let within = || leg.intervals().iter().any(|piece| overlap(*piece, (result.begin, result.end)).is_some());
    let number = leg.value().map_or(0, Num::wide);
    // A time that isn't negative.
    let ns = u64::try_from(number).unwrap_or(0);
    match &leg.state {
        State::None => "none".into(),
        State::Unknown(reason) => format!("unknown ({reason})"),
        State::Ambiguous(n) => format!("ambiguous ({n})"),
        State::Value(_) if !leg.duration => number.to_string(),
        State::Value(_) if blamed && leg.charged == 0 && ns > 0 => {
            format!("{} ({})", ms(ns), if within() { "covered" } else { "outside" })
        }
        State::Value(_) if blamed => ms(leg.charged).to_string(),
        State::Value(_) => ms(ns).to_string(),
    }
}
