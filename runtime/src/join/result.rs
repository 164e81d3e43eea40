//! What a join says about one anchor, as data, as the subject of `join:` handlers, and as text.

use super::{
    leg::{LegOutcome, State},
    show::line,
};
use crate::decode::{self, slice};
use std::{net::IpAddr, rc::Rc};
use weftrace_artifact::{
    abi::{ConnKey, HEADERS_CAP},
    action::StreamSpec,
    headers,
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
    /// It had begun, and was not over when the join's time for it was up.
    Open,
    /// Only so far, for who waits: what comes late is not there yet. The result itself follows.
    Early,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Flushed => "flushed",
            Self::Evicted => "evicted",
            Self::Open => "open",
            Self::Early => "early",
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
    /// The anchor wasn't seen whole, and so many pieces of its stream were lost meanwhile.
    pub torn: Option<u64>,
    pub conn: Option<ConnKey>,
    /// The anchor's, which all results have in common.
    pub stream: Rc<StreamSpec>,
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
    /// Numbers only: what has names is worth them only if it is kept ([`Self::name`]).
    pub(super) fn new(
        (stream, anchor): (Rc<StreamSpec>, Box<[u8]>),
        (begin, end): (u64, u64),
        legs: Vec<LegOutcome>,
        (app, unknown): (u64, u64),
        status: Status,
    ) -> Self {
        Self {
            join: String::new(),
            status,
            begin,
            end,
            ids: Vec::new(),
            legs,
            blame: Vec::new(),
            app,
            unknown,
            torn: None,
            conn: None,
            stream,
            anchor,
            text: String::new(),
        }
    }

    /// Names everything.
    pub(super) fn name(&mut self, spec: &JoinSpec) {
        self.join.clone_from(&spec.name);
        self.ids = spec.ids.iter().filter_map(|source| id(source, &self.anchor)).collect();
        self.conn = self.stream.field("conn").and_then(|f| super::keys::read_conn(&self.anchor, f.offset));
        self.blame.clone_from(&spec.blame);
        for (leg, spec) in self.legs.iter_mut().zip(&spec.legs) {
            leg.name.clone_from(&spec.name);
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
        self.verdict_by(&self.blame, |i| &self.legs[i].name)
    }

    fn verdict_by<'a>(&self, blame: &[u32], name: impl Fn(usize) -> &'a str) -> Verdict {
        // Of nothing, too, the application has no part as long as a layer may have one.
        let known = self.torn.is_none() && blame.iter().all(|i| self.legs[*i as usize].is_known());
        let (mut layer, mut ns, mut via) =
            if known { ("app", self.app, None) } else { ("unknown", self.unknown, None) };
        for i in blame.iter().map(|i| *i as usize) {
            let leg = &self.legs[i];
            if leg.charged > ns {
                (layer, ns, via) = (name(i), leg.charged, Some(leg.via.name()));
            }
        }
        let percent = (u128::from(ns) * 100).checked_div(u128::from(self.total())).unwrap_or(0) as u64;
        Verdict { layer: layer.to_owned(), ns, percent, via }
    }

    /// A string or integer field of the anchor, as text; empty if it has none of that name.
    pub fn field(&self, name: &str) -> String {
        let Some(field) = self.stream.field(name) else { return String::new() };
        match &field.ty {
            Type::Str { cap } => string_at(&self.anchor, field.offset, *cap),
            Type::Int { .. } => {
                let number = decode::scalar(&field.ty, decode::member(field, &self.anchor));
                number.map_or(String::new(), |n| n.wide().to_string())
            }
            Type::Inet => inet_at(&self.anchor, field.offset).map_or(String::new(), |address| address.to_string()),
            _ => String::new(),
        }
    }

    /// The server's endpoint, from the anchor's fields `server` and `server_port`; empty if it has none.
    pub fn server(&self) -> String {
        self.endpoint("server", "server_port")
    }

    /// The other side, likewise.
    pub fn client(&self) -> String {
        self.endpoint("client", "client_port")
    }

    fn endpoint(&self, address: &str, port: &str) -> String {
        let (address, port) = (self.field(address), self.field(port));
        match (address.contains(':'), port.is_empty()) {
            (_, true) => address,
            (true, false) => format!("[{address}]:{port}"),
            (false, false) => format!("{address}:{port}"),
        }
    }
}

fn id(source: &IdSource, anchor: &[u8]) -> Option<(String, String)> {
    let (IdSource::Field { name, .. } | IdSource::Header { name, .. }) = source;
    id_value(source, anchor).map(|value| (name.clone(), value))
}

/// None: it is empty.
pub(super) fn id_value(source: &IdSource, anchor: &[u8]) -> Option<String> {
    let value = match source {
        IdSource::Field { offset, cap, .. } => string_at(anchor, *offset, *cap),
        IdSource::Header { name, offset } => {
            let packed = slice(anchor, *offset as usize, HEADERS_CAP as usize);
            String::from_utf8_lossy(headers::find(packed, name.as_bytes())?).into_owned()
        }
    };
    Some(value).filter(|value| !value.is_empty())
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
    pub(super) fn for_close(result: &'a JoinResult, spec: &JoinSpec) -> Self {
        let id = spec.ids.iter().find_map(|source| id_value(source, &result.anchor)).unwrap_or_default();
        let verdict = result.verdict_by(&spec.blame, |i| &spec.legs[i].name);
        Self::of(result, id, line::verdict_text(&verdict))
    }

    fn of(result: &'a JoinResult, id: String, verdict: String) -> Self {
        Self {
            anchor: &result.anchor,
            legs: result.legs.iter().map(leg_view).collect(),
            id,
            verdict,
            text: String::new(),
            status: result.status.name(),
            numbers: [result.total(), result.app, result.unknown, result.begin, result.end],
            leg_record: None,
        }
    }

    /// For `join:NAME` blocks.
    pub fn for_result(result: &'a JoinResult) -> Self {
        let verdict = line::verdict(result);
        Self { text: result.text.clone(), ..Self::of(result, result.id().to_owned(), verdict) }
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
    let (value, state) = match &leg.state {
        State::Value(value) => (*value, 0),
        State::None => (0, 1),
        State::Unknown(_) => (0, 2),
        State::Ambiguous(_) => (0, 3),
    };
    let via = if leg.key.is_empty() { "" } else { leg.via.name() };
    LegView {
        value,
        state,
        count: leg.count,
        charged_ns: leg.charged,
        lost: leg.lost,
        state_name: leg.state.name().as_bytes().into(),
        via: via.as_bytes().into(),
        reason: leg.state.reason().as_bytes().into(),
    }
}
