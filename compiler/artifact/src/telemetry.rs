//! Spans and log records that applications send: what a `span:` or `log:` handler sees, and the table of their fields.
//!
//! As for packets ([`crate::packet`]) one row of [`FIELDS`] holds a field's name, type, how it is read, and its documentation. What a
//! span doesn't have is absent.

use crate::packet::{FieldRow, FieldType as T, Read, StrRef};
use serde::{Deserialize, Serialize};
use std::mem::offset_of;

/// What a block is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Signal {
    Span,
    Log,
}

impl Signal {
    /// The provider's name, and the first part of its fields'.
    pub fn name(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::Log => "log",
        }
    }
}

/// How long a source may take to tell of what has ended: OpenTelemetry's batch processor sends every five seconds.
pub const LATENESS_NS: u64 = 6_000_000_000;

/// What is there: bits of [`TelemetryView::layers`]. The first is the packets' FRAME, which is always there.
pub mod has {
    /// What every span and every log record has.
    pub const HERE: u64 = 1 << 0;
    pub const TRACE: u64 = 1 << 2;
    pub const SPAN_ID: u64 = 1 << 3;
    pub const PARENT: u64 = 1 << 4;
    pub const SERVICE: u64 = 1 << 5;
    pub const SEVERITY: u64 = 1 << 6;
}

/// One span or log record as a handler sees it. The first two members lie where [`crate::packet::PacketView`] has them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TelemetryView {
    /// [`has`] bits.
    pub layers: u64,
    /// 0
    pub known: u64,
    /// CLOCK_BOOTTIME ns; of a log record both are its time.
    pub start: u64,
    pub end: u64,
    /// CLOCK_REALTIME ns, as sent.
    pub wall_start: u64,
    pub wall_end: u64,
    /// By the sender's clock.
    pub duration: u64,
    pub events: u32,
    pub links: u32,
    pub severity: u32,
    pub reserved: u32,
    /// In hexadecimal digits.
    pub trace_id: StrRef,
    pub span_id: StrRef,
    pub parent_span_id: StrRef,
    pub trace_state: StrRef,
    pub name: StrRef,
    pub kind: StrRef,
    pub status: StrRef,
    pub status_message: StrRef,
    pub service: StrRef,
    pub scope: StrRef,
    pub body: StrRef,
    pub severity_text: StrRef,
    /// Packed as headers are ([`crate::abi::HEADERS_CAP`]).
    pub attributes: StrRef,
    pub resource: StrRef,
}

const _: () = assert!(
    offset_of!(TelemetryView, layers) == offset_of!(crate::packet::PacketView, layers)
        && offset_of!(TelemetryView, known) == offset_of!(crate::packet::PacketView, known)
);

const fn row(name: &'static str, ty: T, layers: u64, read: Read, doc: &'static str) -> FieldRow {
    FieldRow::of_view(name, ty, layers, read, doc)
}

use Read::{Load, Str};
use TelemetryView as V;
use has::{HERE, PARENT, SERVICE, SEVERITY, SPAN_ID, TRACE};

/// Every field that a `span` or `log` block can name.
#[rustfmt::skip]
pub static FIELDS: &[FieldRow] = &[
    row("span.trace_id", T::Str, TRACE, Str(offset_of!(V, trace_id)), "Id of the trace: 32 hexadecimal digits."),
    row("span.span_id", T::Str, SPAN_ID, Str(offset_of!(V, span_id)), "Id of the span: 16 hexadecimal digits."),
    row("span.parent_span_id", T::Str, PARENT, Str(offset_of!(V, parent_span_id)), "Id of the span that caused it; absent where it is the trace's first."),
    row("span.trace_state", T::Str, HERE, Str(offset_of!(V, trace_state)), "The W3C tracestate."),
    row("span.name", T::Str, HERE, Str(offset_of!(V, name)), "Its name: GET /orders/:id."),
    row("span.kind", T::Str, HERE, Str(offset_of!(V, kind)), "server, client, producer, consumer, internal; unspecified."),
    row("span.start", T::U64, HERE, Load(offset_of!(V, start)), "Boot time of its start: the application's wall clock, converted."),
    row("span.end", T::U64, HERE, Load(offset_of!(V, end)), "Boot time of its end."),
    row("span.dur", T::U64, HERE, Load(offset_of!(V, duration)), "From start to end, ns."),
    row("span.start_time", T::Time, HERE, Load(offset_of!(V, wall_start)), "Its start in ns since the epoch, as sent."),
    row("span.end_time", T::Time, HERE, Load(offset_of!(V, wall_end)), "Its end in ns since the epoch, as sent."),
    row("span.status", T::Str, HERE, Str(offset_of!(V, status)), "unset, ok, error."),
    row("span.status_message", T::Str, HERE, Str(offset_of!(V, status_message)), "What the application says of an error."),
    row("span.attribute", T::Headers, HERE, Str(offset_of!(V, attributes)), "Attributes by name, as text: span.attribute[\"http.request.method\"]."),
    row("span.resource", T::Headers, HERE, Str(offset_of!(V, resource)), "What sent it, by name: span.resource[\"service.name\"]."),
    row("span.scope", T::Str, HERE, Str(offset_of!(V, scope)), "The library that made it."),
    row("span.events", T::U32, HERE, Load(offset_of!(V, events)), "How many events it has."),
    row("span.links", T::U32, HERE, Load(offset_of!(V, links)), "How many other spans it links to."),

    row("log.body", T::Str, HERE, Str(offset_of!(V, body)), "The message; what isn't text as JSON."),
    row("log.severity", T::Str, SEVERITY, Str(offset_of!(V, severity_text)), "TRACE, DEBUG, INFO, WARN, ERROR, FATAL, or as the application has it."),
    row("log.severity_number", T::U32, SEVERITY, Load(offset_of!(V, severity)), "1–4 trace, 5–8 debug, 9–12 info, 13–16 warn, 17–20 error, 21–24 fatal."),
    row("log.time", T::U64, HERE, Load(offset_of!(V, start)), "Boot time of the event; where only the time it was collected is known, that."),
    row("log.wall_time", T::Time, HERE, Load(offset_of!(V, wall_start)), "The same in ns since the epoch, as sent."),
    row("log.trace_id", T::Str, TRACE, Str(offset_of!(V, trace_id)), "Id of the trace it belongs to: 32 hexadecimal digits."),
    row("log.span_id", T::Str, SPAN_ID, Str(offset_of!(V, span_id)), "Id of the span it belongs to."),
    row("log.attribute", T::Headers, HERE, Str(offset_of!(V, attributes)), "Attributes by name, as text."),
    row("log.resource", T::Headers, HERE, Str(offset_of!(V, resource)), "What sent it, by name."),
    row("log.scope", T::Str, HERE, Str(offset_of!(V, scope)), "The library that made it."),
    row("log.event", T::Str, HERE, Str(offset_of!(V, name)), "Name of the event, if it has one."),

    row("service", T::Str, SERVICE, Str(offset_of!(V, service)), "service.name of what sent it."),
];

/// The row of a field by its full dotted name.
pub fn field(name: &str) -> Option<&'static FieldRow> {
    FIELDS.iter().find(|row| row.name == name)
}

/// Fields of blocks at this signal.
pub fn fields_of(signal: Signal) -> impl Iterator<Item = &'static FieldRow> {
    let other = match signal {
        Signal::Span => "log.",
        Signal::Log => "span.",
    };
    FIELDS.iter().filter(move |row| !row.name.starts_with(other))
}
