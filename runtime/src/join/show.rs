//! A join's results for the outside: with what only the host knows, without what is nobody's business.
//!
//! - `line`: three lines of text, stable when piped
//! - `waterfall`: time by layer, for a terminal
//! - `json`: the documented schema (docs/output.md)
//! - `target`: what of a request's target is left out, `record`: the same in a stream's record that is printed
//!
//! Header values and query strings are left out unless the operator asked for them: they hold passwords and tokens.

pub mod json;
pub mod line;
pub(crate) mod record;
pub(crate) mod target;
pub mod waterfall;

use super::{
    result::JoinResult,
    verdict::{Interval, take},
};
use weftrace_artifact::{
    abi::{ConnKey, FlowValue},
    action::StreamSpec,
    ty::{Field, Type},
};

/// Version of the documented schema: raised when a field changes its meaning or goes, not when one comes.
pub const SCHEMA: u32 = 1;

/// What stands for what was left out.
pub const REDACTED: &str = "[redacted]";

/// What the run knows of a result besides the result.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// CLOCK_REALTIME ns of the total's begin and end.
    pub wall: (u64, u64),
    pub community_id: Option<String>,
    /// Id of the container the anchor's process ran in.
    pub container: Option<String>,
    /// The stream of each leg.
    pub sources: Vec<String>,
    /// Headers and query strings may be shown.
    pub open: bool,
}

/// A result, ready for any output.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub result: &'a JoinResult,
    pub facts: &'a Facts,
}

impl Shown<'_> {
    /// A field of the anchor as text, redacted; empty if it has none of that name.
    pub fn field(&self, name: &str) -> String {
        let text = self.result.field(name);
        if self.facts.open || !target::is_target(name) { text } else { target::closed(name, &text) }
    }

    /// The first piece of text that says what the anchor was: `POST /api/orders`, or what an emitted name says.
    pub fn title(&self) -> String {
        let request = ["method", "path"].map(|f| self.field(f)).join(" ");
        let request = request.trim();
        if request.is_empty() { self.field("name") } else { request.to_owned() }
    }

    /// 32 hexadecimal digits of the trace, if the anchor has one.
    pub fn trace_id(&self) -> Option<String> {
        trace_of(self.result)
    }

    /// The process, if the anchor names one.
    pub fn process(&self) -> Option<(u32, String)> {
        let pid = self.result.field("pid").parse().ok().filter(|pid| *pid != 0)?;
        Some((pid, self.result.field("comm")))
    }

    /// Whether a header's value may be shown: those that name the trace may.
    fn may_show(&self, header: &[u8]) -> bool {
        self.facts.open || self.result.ids.iter().any(|(name, _)| name.as_bytes().eq_ignore_ascii_case(header))
    }
}

/// The same of a result.
pub(crate) fn trace_of(result: &JoinResult) -> Option<String> {
    let fields = ["trace_id", "traceparent"].map(|name| result.field(name));
    let ids = result.ids.iter().map(|(_, value)| value.clone());
    fields.into_iter().chain(ids).find_map(|text| trace_id(&text))
}

/// The trace's 32 digits in a trace id, or in a traceparent header.
pub fn trace_id(text: &str) -> Option<String> {
    let hex = |s: &str| s.len() == 32 && s.bytes().all(|b| b.is_ascii_hexdigit()) && s.bytes().any(|b| b != b'0');
    let within = text.split('-').nth(1).unwrap_or_default();
    [text, within].into_iter().find(|s| hex(s)).map(str::to_ascii_lowercase)
}

/// Community ID of a connection.
pub fn community_id(conn: &ConnKey, seed: u16) -> String {
    let family = u32::from(conn.family);
    let flow = FlowValue {
        src_family: family,
        src: conn.a_addr,
        dst_family: family,
        dst: conn.b_addr,
        src_port: conn.a_port,
        dst_port: conn.b_port,
        proto: conn.proto as u8,
        two_way: 0,
        reserved: 0,
    };
    weftrace_probes::packet::community_id_of(&flow, seed)
}

/// The container's id in the path of a cgroup: 64 hexadecimal digits, between whatever the runtime puts around them.
pub fn container(cgroup: &str) -> Option<String> {
    let parts = cgroup.rsplit(|c: char| !c.is_ascii_hexdigit());
    parts.into_iter().find(|part| part.len() == 64).map(str::to_owned)
}

/// Text from requests in one line: control characters, and those that turn the direction of writing, are shown as numbers.
pub fn escaped(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let code = u32::from(c);
        match code {
            0..0x20 | 0x7f..0xa0 => drop(write!(out, "\\x{code:02x}")),
            0x200e | 0x200f | 0x2028..=0x202e | 0x2066..=0x2069 => drop(write!(out, "\\u{{{code:x}}}")),
            _ => out.push(c),
        }
    }
    out
}

/// What of the total each leg was charged (in the order of `legs`), and what none covers.
pub fn pieces(result: &JoinResult) -> (Vec<Vec<Interval>>, Vec<Interval>) {
    let mut free = if result.begin < result.end { vec![(result.begin, result.end)] } else { Vec::new() };
    let mut charged = vec![Vec::new(); result.legs.len()];
    for &leg in &result.blame {
        let leg = leg as usize;
        for &interval in result.legs[leg].intervals() {
            let before = free.clone();
            take(&mut free, interval);
            charged[leg].extend(before.iter().filter_map(|piece| overlap(*piece, interval)));
        }
        charged[leg].sort_unstable();
    }
    (charged, free)
}

pub(crate) fn overlap(a: Interval, b: Interval) -> Option<Interval> {
    let both = (a.0.max(b.0), a.1.min(b.1));
    (both.0 < both.1).then_some(both)
}

/// Fields of the anchor that say something to people: no keys, no paddings.
pub(crate) fn plain_fields(stream: &StreamSpec) -> impl Iterator<Item = &Field> {
    stream.fields.iter().filter(|f| f.name.is_some() && !matches!(f.ty, Type::Conn | Type::Opaque { .. }))
}

#[cfg(test)]
pub(crate) mod tests;
