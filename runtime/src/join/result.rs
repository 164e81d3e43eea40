//! What a join says about one anchor, as data, as the subject of `join:` handlers, and as text.

use super::leg::{LegOutcome, State};
use std::{fmt::Write, net::IpAddr};
use weftrace_artifact::{
    abi::ConnKey,
    action::StreamSpec,
    join::{IdSource, JoinSpec, JoinView, LegView},
    packet::StrRef,
    ty::Type,
};

/// How an anchor came to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The watermark passed its end.
    Closed,
    /// weftrace ended first.
    Flushed,
    /// There was no room for more open anchors.
    Evicted,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Flushed => "flushed",
            Self::Evicted => "evicted",
        }
    }
}

/// One record of a join. `legs[..].charged + app + unknown` is always the total.
#[derive(Clone, Debug)]
pub struct JoinResult {
    pub join: String,
    pub status: Status,
    /// CLOCK_BOOTTIME ns.
    pub begin: u64,
    pub end: u64,
    /// (field or header name, value), those that are not empty.
    pub ids: Vec<(String, String)>,
    pub legs: Vec<LegOutcome>,
    /// Indexes into `legs`, by priority.
    pub blame: Vec<u32>,
    pub app: u64,
    pub unknown: u64,
    pub conn: Option<ConnKey>,
    pub stream: StreamSpec,
    pub anchor: Box<[u8]>,
    /// The record as text, without colour.
    pub text: String,
}

/// The largest piece of the total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub layer: String,
    pub ns: u64,
    pub percent: u64,
    /// How the layer's records were matched; None for `app` and `unknown`.
    pub via: Option<&'static str>,
}

impl JoinResult {
    pub(super) fn new(
        spec: &JoinSpec,
        stream: StreamSpec,
        anchor: Box<[u8]>,
        (begin, end): (u64, u64),
        legs: Vec<LegOutcome>,
        (app, unknown): (u64, u64),
        status: Status,
    ) -> Self {
        let ids = spec.ids.iter().filter_map(|source| id(source, &anchor)).collect();
        let conn = stream.field("conn").and_then(|f| super::keys::read_conn(&anchor, f.offset));
        Self {
            join: spec.name.clone(),
            status,
            begin,
            end,
            ids,
            legs,
            blame: spec.blame.clone(),
            app,
            unknown,
            conn,
            stream,
            anchor,
            text: String::new(),
        }
    }

    /// ns
    pub fn total(&self) -> u64 {
        self.end - self.begin
    }

    /// The first id that is not empty.
    pub fn id(&self) -> &str {
        self.ids.first().map_or("", |(_, value)| value.as_str())
    }

    pub fn verdict(&self) -> Verdict {
        let legs = self.blame.iter().map(|&i| &self.legs[i as usize]);
        let mut best = Verdict { layer: "app".into(), ns: self.app, percent: 0, via: None };
        if self.unknown > best.ns {
            best = Verdict { layer: "unknown".into(), ns: self.unknown, percent: 0, via: None };
        }
        for leg in legs {
            if leg.charged > best.ns {
                best = Verdict { layer: leg.name.clone(), ns: leg.charged, percent: 0, via: Some(leg.via.name()) };
            }
        }
        best.percent = if self.total() == 0 { 0 } else { best.ns * 100 / self.total() };
        best
    }

    /// A string or integer field of the anchor, as text; empty if it has none of that name.
    pub fn field(&self, name: &str) -> String {
        let Some(field) = self.stream.field(name) else { return String::new() };
        match &field.ty {
            Type::Str { cap } => string_at(&self.anchor, field.offset, *cap),
            Type::Int { bytes, .. } => super::engine::read_int(&self.anchor, field.offset, *bytes).to_string(),
            Type::Inet => inet_at(&self.anchor, field.offset).map_or(String::new(), |address| address.to_string()),
            _ => String::new(),
        }
    }

    /// The server's endpoint, from the anchor's fields `server` and `server_port`; empty if it has none.
    pub fn server(&self) -> String {
        let (address, port) = (self.field("server"), self.field("server_port"));
        match (address.contains(':'), port.is_empty()) {
            (_, true) => address,
            (true, false) => format!("[{address}]:{port}"),
            (false, false) => format!("{address}:{port}"),
        }
    }
}

fn id(source: &IdSource, anchor: &[u8]) -> Option<(String, String)> {
    let (name, value) = match source {
        IdSource::Field { name, offset, cap } => (name, string_at(anchor, *offset, *cap)),
        IdSource::Header { name, offset } => (name, header(anchor.get(*offset as usize..)?, name)?),
    };
    (!value.is_empty()).then(|| (name.clone(), value))
}

/// Looks a header up in packed headers (`weftrace_artifact::abi::HEADERS_CAP`).
pub(crate) fn header(mut packed: &[u8], wanted: &str) -> Option<String> {
    packed = packed.get(..weftrace_artifact::abi::HEADERS_CAP as usize).unwrap_or(packed);
    loop {
        let [name_len, low, high, rest @ ..] = packed else { return None };
        let (name_len, value_len) = (usize::from(*name_len), usize::from(u16::from_le_bytes([*low, *high])));
        if name_len == 0 || rest.len() < name_len + value_len {
            return None;
        }
        if rest[..name_len].eq_ignore_ascii_case(wanted.as_bytes()) {
            return Some(String::from_utf8_lossy(&rest[name_len..name_len + value_len]).into_owned());
        }
        packed = &rest[name_len + value_len..];
    }
}

/// An address as [`Type::Inet`] lays it out; None where the family is unset.
fn inet_at(payload: &[u8], offset: u32) -> Option<IpAddr> {
    let bytes = payload.get(offset as usize..offset as usize + 20)?;
    let (family, address) = bytes.split_first_chunk::<4>()?;
    match u32::from_ne_bytes(*family) {
        2 => Some(IpAddr::from(*address.first_chunk::<4>()?)),
        10 => Some(IpAddr::from(*address.first_chunk::<16>()?)),
        _ => None,
    }
}

fn string_at(payload: &[u8], offset: u32, cap: u32) -> String {
    let bytes = payload.get(offset as usize..(offset + cap) as usize).unwrap_or_default();
    let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Owns what a [`JoinView`] points to, while handlers look at it.
#[derive(Debug, Default)]
pub struct ViewStorage<'a> {
    anchor: &'a [u8],
    legs: Vec<LegView>,
    id: String,
    verdict: String,
    text: String,
    status: &'static str,
    numbers: [u64; 5],
    leg_record: Option<&'a [u8]>,
}

impl<'a> ViewStorage<'a> {
    pub fn for_anchor(anchor: &'a [u8]) -> Self {
        Self { anchor, ..Self::default() }
    }

    /// For `join:NAME:orphan:LEG`: there is no anchor, only the leg's record.
    pub fn for_orphan(leg_record: &'a [u8]) -> Self {
        Self { leg_record: Some(leg_record), ..Self::default() }
    }

    /// For `keep`: everything but the text, which only kept results are worth.
    pub fn for_keep(result: &'a JoinResult) -> Self {
        let legs = result.legs.iter().map(leg_view).collect();
        Self {
            anchor: &result.anchor,
            legs,
            id: result.id().to_owned(),
            verdict: verdict_text(result),
            text: String::new(),
            status: result.status.name(),
            numbers: [result.total(), result.app, result.unknown, result.begin, result.end],
            leg_record: None,
        }
    }

    /// For `join:NAME` blocks.
    pub fn for_result(result: &'a JoinResult) -> Self {
        Self { text: result.text.clone(), ..Self::for_keep(result) }
    }

    /// Pointers into this storage: valid as long as it is borrowed.
    pub fn view(&self) -> JoinView {
        let str_ref = |s: &str| StrRef { ptr: s.as_ptr(), len: s.len() as u64 };
        JoinView {
            anchor: self.anchor.as_ptr(),
            leg_record: self.leg_record.map_or(std::ptr::null(), <[u8]>::as_ptr),
            legs: self.legs.as_ptr(),
            id: str_ref(&self.id),
            verdict: str_ref(&self.verdict),
            text: str_ref(&self.text),
            status: str_ref(self.status),
            total_ns: self.numbers[0],
            app_ns: self.numbers[1],
            unknown_ns: self.numbers[2],
            begin_ns: self.numbers[3],
            end_ns: self.numbers[4],
        }
    }
}

fn leg_view(leg: &LegOutcome) -> LegView {
    let (value, state) = match leg.state {
        State::Value(value) => (value, 0),
        State::None => (0, 1),
        State::Unknown(_) => (0, 2),
        State::Ambiguous(_) => (0, 3),
    };
    LegView { value, state, count: leg.count, charged_ns: leg.charged }
}

const MS: u64 = 1_000_000;

/// Milliseconds rounded to nearest.
fn ms(ns: u64) -> u64 {
    (ns + MS / 2) / MS
}

fn verdict_text(result: &JoinResult) -> String {
    let v = result.verdict();
    let via = v.via.map_or(String::new(), |via| format!(" {via}"));
    format!("{} {} ms ({}%){via}", v.layer, ms(v.ns), v.percent)
}

/// The record as the operator reads it: what it was, the verdict, time by layer, how sure.
pub(super) fn text(result: &JoinResult) -> String {
    let mut out = String::new();
    let request = ["method", "path"].map(|f| result.field(f)).join(" ");
    let peer = result.server();
    let id = if result.id().is_empty() { "-" } else { result.id() };
    let _ = write!(out, "{id}  {}", request.trim());
    if !peer.is_empty() {
        let _ = write!(out, " -> {peer}");
    }
    let _ = write!(out, "  {} ms  {}", ms(result.total()), result.field("status"));
    for (name, value) in result.ids.iter().skip(1) {
        let _ = write!(out, "  {name}={value}");
    }
    if result.status != Status::Closed {
        let _ = write!(out, "  [{}]", result.status.name());
    }
    let _ = write!(out, "\n  verdict  {}\n  ", verdict_text(result));
    let rank = |i: usize| result.blame.iter().position(|b| *b as usize == i).unwrap_or(usize::MAX);
    let mut order: Vec<usize> = (0..result.legs.len()).collect();
    order.sort_by_key(|i| (rank(*i), *i));
    for &i in &order {
        let _ = write!(out, "{} | ", leg_text(&result.legs[i], rank(i) != usize::MAX));
    }
    let _ = write!(out, "app {} | unknown {}\n  via:", ms(result.app), ms(result.unknown));
    let mut matched = false;
    for &i in &order {
        let leg = &result.legs[i];
        if !leg.key.is_empty() {
            let separator = if matched { " ·" } else { "" };
            let _ = write!(out, "{separator} {} {}({})", leg.name, leg.via.name(), leg.key);
            matched = true;
        }
    }
    let lost = result.legs.iter().map(|l| l.lost).max().unwrap_or(0);
    let _ = write!(out, "{} lost in window: {lost}", if matched { " ·" } else { "" });
    out
}

/// `syn 2150`, `loss none`, `syn 1000 (earlier)`, `loss unknown (lost 3)`.
fn leg_text(leg: &LegOutcome, blamed: bool) -> String {
    let name = &leg.name;
    match &leg.state {
        State::None => format!("{name} none"),
        State::Unknown(reason) => format!("{name} unknown ({reason})"),
        State::Ambiguous(n) => format!("{name} ambiguous ({n})"),
        State::Value(value) if !leg.duration => format!("{name} {value}"),
        State::Value(value) if blamed && leg.charged == 0 && *value > 0 => {
            format!("{name} {} (outside)", ms(*value as u64))
        }
        State::Value(_) if blamed => format!("{name} {}", ms(leg.charged)),
        State::Value(value) => format!("{name} {}", ms((*value).max(0) as u64)),
    }
}
