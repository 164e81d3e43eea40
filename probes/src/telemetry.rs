//! Spans and log records that applications send: from the bytes of OTLP (protobuf and JSON) and of lines of JSON to what a `span:` or `log:`
//! block sees.
//!
//! - `proto`: protobuf's wire format, read in place
//! - `otlp`, `json`, `lines`: the three ways to write the same
//! - `value`: attributes as text
//!
//! Pure, and bounded in what it makes of hostile bytes: nothing is built but the records themselves. No `unsafe`.

mod fuzz;
pub mod json;
pub mod lines;
pub mod otlp;
pub mod proto;
mod value;

pub use fuzz::fuzz_telemetry;

use std::sync::Arc;
use weftrace_artifact::{
    headers,
    packet::StrRef,
    telemetry::{Signal, TelemetryView, has},
};

/// A span or a log record, whichever way it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub signal: Signal,
    /// 32 hexadecimal digits; a log record may have none.
    pub trace_id: String,
    /// It came with one that is none: what it belongs to isn't known.
    pub lost_trace_id: bool,
    /// 16 hexadecimal digits.
    pub span_id: String,
    pub parent_span_id: String,
    pub trace_state: String,
    pub name: String,
    pub kind: &'static str,
    pub status: &'static str,
    pub status_message: String,
    /// CLOCK_REALTIME ns of the sender; of a log record both are its time.
    pub start: u64,
    pub end: u64,
    pub events: u32,
    pub links: u32,
    pub severity: u32,
    pub severity_text: String,
    pub body: String,
    pub attributes: Attributes,
    pub sender: Arc<Sender>,
    pub scope: Arc<str>,
}

/// What sent it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sender {
    /// service.name; empty without one.
    pub service: String,
    /// All its attributes.
    pub resource: Attributes,
}

impl Sender {
    fn of(resource: Attributes) -> Self {
        Self { service: resource.get("service.name").unwrap_or_default().to_owned(), resource }
    }
}

/// Attributes, packed as headers are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes {
    packed: Vec<u8>,
    /// There was no room for so many, or they have no name, or one that is too long.
    left_out: u32,
}

impl Attributes {
    fn add(&mut self, name: &str, value: &str) {
        let value = &value[..value.floor_char_boundary(MAX_TEXT)];
        let size = headers::ENTRY_HEAD + name.len() + value.len();
        let fits = self.packed.len() + size <= MAX_ATTRIBUTES;
        let added = fits && headers::push(&mut self.packed, name.as_bytes(), value.as_bytes());
        self.left_out += u32::from(!added);
    }

    fn get(&self, name: &str) -> Option<&str> {
        headers::find(&self.packed, name.as_bytes()).and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// What came of a message: records, and what was refused.
#[derive(Debug, Default)]
pub struct Taken {
    pub records: Vec<Record>,
    /// Spans or log records that can't be used.
    pub rejected: u64,
    /// Why the first of them was.
    pub why: Option<&'static str>,
}

impl Taken {
    fn reject(&mut self, why: &'static str) {
        self.rejected += 1;
        self.why.get_or_insert(why);
    }

    /// Takes a record if it is one; `now` is the time of those without (CLOCK_REALTIME ns).
    fn push(&mut self, mut record: Record, now: u64) {
        let all_zero = |text: &str| text.bytes().all(|b| b == b'0');
        let hex = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit());
        match record.signal {
            Signal::Span if !hex(&record.trace_id, 32) || all_zero(&record.trace_id) => {
                return self.reject("a trace id is 16 bytes, not all zero");
            }
            Signal::Span if !hex(&record.span_id, 16) || all_zero(&record.span_id) => {
                return self.reject("a span id is 8 bytes, not all zero");
            }
            Signal::Span if record.start == 0 || record.end < record.start => {
                return self.reject("a span has a start, and ends no earlier");
            }
            Signal::Span => {}
            Signal::Log => {
                if !hex(&record.trace_id, 32) || all_zero(&record.trace_id) {
                    let zeros = record.trace_id.bytes().all(|b| b == b'0' || b == b'-');
                    record.lost_trace_id = record.trace_id.len() >= SHORTEST_ID && !zeros;
                    record.trace_id.clear();
                }
                if !hex(&record.span_id, 16) || all_zero(&record.span_id) {
                    record.span_id.clear();
                }
                if record.start == 0 {
                    record.start = now;
                }
                record.end = record.start;
            }
        }
        for id in [&mut record.trace_id, &mut record.span_id, &mut record.parent_span_id] {
            id.make_ascii_lowercase();
        }
        if !hex(&record.parent_span_id, 16) || all_zero(&record.parent_span_id) {
            record.parent_span_id.clear();
        }
        self.records.push(record);
    }
}

/// Shorter texts in a trace id's place are what loggers write where there is none: `-`, `null`, `undefined`. Ids of other systems have as many at least (64 bits).
const SHORTEST_ID: usize = 16;
/// A text keeps at most so many bytes.
const MAX_TEXT: usize = 4096;
/// The attributes of one record keep at most so many.
const MAX_ATTRIBUTES: usize = 48 << 10;
/// A message, packed or not, has at most so many.
pub const MAX_MESSAGE: usize = 8 << 20;

impl Record {
    fn new(signal: Signal, sender: Arc<Sender>, scope: Arc<str>) -> Self {
        Self {
            signal,
            trace_id: String::new(),
            lost_trace_id: false,
            span_id: String::new(),
            parent_span_id: String::new(),
            trace_state: String::new(),
            name: String::new(),
            kind: "unspecified",
            status: "unset",
            status_message: String::new(),
            start: 0,
            end: 0,
            events: 0,
            links: 0,
            severity: 0,
            severity_text: String::new(),
            body: String::new(),
            attributes: Attributes::default(),
            sender,
            scope,
        }
    }

    /// Bytes of memory that it takes, without what it shares with others.
    fn own_bytes(&self) -> usize {
        let texts = [
            &self.trace_id,
            &self.span_id,
            &self.parent_span_id,
            &self.trace_state,
            &self.name,
            &self.status_message,
            &self.severity_text,
            &self.body,
        ];
        texts.iter().map(|text| text.len()).sum::<usize>() + self.attributes.packed.len() + size_of::<Self>()
    }

    /// As handlers see it; `boot` are its start and end in CLOCK_BOOTTIME ns. Valid as long as the record.
    pub fn view(&self, boot: (u64, u64)) -> TelemetryView {
        let duration = self.end - self.start;
        // Both at once though it lasted: by a clock that is ahead they were later than may be, and were put at the last time that may. It lasted as long.
        let start = if boot.0 == boot.1 { boot.1.saturating_sub(duration) } else { boot.0 };
        let text = |text: &str| StrRef::from(text.as_bytes());
        let mut layers = has::HERE;
        for (bit, there) in [
            (has::TRACE, !self.trace_id.is_empty()),
            (has::SPAN_ID, !self.span_id.is_empty()),
            (has::PARENT, !self.parent_span_id.is_empty()),
            (has::SERVICE, !self.sender.service.is_empty()),
            (has::SEVERITY, self.severity != 0 || !self.severity_text.is_empty()),
        ] {
            layers |= if there { bit } else { 0 };
        }
        TelemetryView {
            layers,
            known: 0,
            start,
            end: boot.1,
            wall_start: self.start,
            wall_end: self.end,
            duration,
            events: self.events,
            links: self.links,
            severity: self.severity,
            reserved: 0,
            trace_id: text(&self.trace_id),
            span_id: text(&self.span_id),
            parent_span_id: text(&self.parent_span_id),
            trace_state: text(&self.trace_state),
            name: text(&self.name),
            kind: text(self.kind),
            status: text(self.status),
            status_message: text(&self.status_message),
            service: text(&self.sender.service),
            scope: text(&self.scope),
            body: text(&self.body),
            severity_text: text(if self.severity_text.is_empty() {
                severity_name(self.severity)
            } else {
                &self.severity_text
            }),
            attributes: StrRef::from(&self.attributes.packed[..]),
            resource: StrRef::from(&self.sender.resource.packed[..]),
        }
    }
}

/// OTLP's names of span kinds, by number.
fn kind_name(kind: u64) -> &'static str {
    match kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "unspecified",
    }
}

fn status_name(code: u64) -> &'static str {
    match code {
        1 => "ok",
        2 => "error",
        _ => "unset",
    }
}

fn severity_name(number: u32) -> &'static str {
    match number {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => "",
    }
}

/// At most [`MAX_TEXT`] bytes, cut between characters.
fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}

/// Bytes of memory that the records of a message take: what they share counts once.
pub fn bytes_of(records: &[Record]) -> usize {
    let shared = |record: &Record, sender: bool, scope: bool| {
        let Sender { service, resource } = &*record.sender;
        let of_sender = service.len() + resource.packed.len() + size_of::<Sender>();
        usize::from(sender) * of_sender + usize::from(scope) * record.scope.len()
    };
    each(records).map(|(record, sender, scope)| record.own_bytes() + shared(record, sender, scope)).sum()
}

/// Records of a message that came with a trace id that is none.
pub fn without_their_trace(records: &[Record]) -> u64 {
    records.iter().filter(|record| record.lost_trace_id).count() as u64
}

/// Attributes of the records of a message, and of what sent them, that were left out.
pub fn left_out(records: &[Record]) -> u64 {
    let shared = |record: &Record, sender: bool| if sender { record.sender.resource.left_out } else { 0 };
    each(records).map(|(record, sender, _)| u64::from(record.attributes.left_out + shared(record, sender))).sum()
}

/// The records of a message, and whether sender and scope of each are others than those of the one before.
fn each(records: &[Record]) -> impl Iterator<Item = (&Record, bool, bool)> {
    let mut before: Option<&Record> = None;
    records.iter().map(move |record| {
        let last = before.replace(record);
        let sender = last.is_none_or(|last| !Arc::ptr_eq(&last.sender, &record.sender));
        (record, sender, last.is_none_or(|last| !Arc::ptr_eq(&last.scope, &record.scope)))
    })
}

/// Why gzip was not unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUnpacked {
    /// It is none, or cut short, or its check sum is wrong.
    Damaged,
    /// It is more than [`MAX_MESSAGE`].
    TooLong,
}

/// Unpacks gzip.
pub fn inflate(packed: &[u8]) -> Result<Vec<u8>, NotUnpacked> {
    use std::io::Read;
    let mut out = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(packed).take(MAX_MESSAGE as u64 + 1).read_to_end(&mut out);
    match read {
        Err(_) => Err(NotUnpacked::Damaged),
        Ok(_) if out.len() > MAX_MESSAGE => Err(NotUnpacked::TooLong),
        Ok(_) => Ok(out),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    // Ids are short; what isn't one is refused by its length.
    bytes.iter().take(64).fold(String::with_capacity(32), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests;
