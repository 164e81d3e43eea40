//! Packet facts: fields by the artifact's table, filters by libpcap.

#[cfg(feature = "live")]
use crate::packet::source::BlockFilter;
use weftrace_artifact::packet::{self, FIELDS, FieldRow, FieldType};
use weftrace_lang::hir::{Config, Ty};
use weftrace_lang::world::PacketFieldInfo;

/// Type of a field by its full dotted name.
pub(super) fn field(name: &str) -> Option<Ty> {
    packet::field(name).map(type_of)
}

/// All fields, in the table's order.
pub(super) fn table() -> Vec<PacketFieldInfo> {
    FIELDS.iter().map(|row| PacketFieldInfo { name: row.name.into(), ty: type_of(row), doc: row.doc.into() }).collect()
}

/// Fields of spans and log records.
pub(super) fn telemetry() -> Vec<PacketFieldInfo> {
    let rows = weftrace_artifact::telemetry::FIELDS.iter();
    rows.map(|row| PacketFieldInfo { name: row.name.into(), ty: type_of(row), doc: row.doc.into() }).collect()
}

fn type_of(row: &FieldRow) -> Ty {
    match row.ty {
        FieldType::Bool => Ty::Bool,
        FieldType::U8 => Ty::U8,
        FieldType::U16 => Ty::U16,
        FieldType::U32 => Ty::U32,
        FieldType::U64 | FieldType::Time => Ty::U64,
        FieldType::I32 => Ty::I32,
        FieldType::Ipv4 | FieldType::Ipv6 => Ty::Inet,
        FieldType::Mac => Ty::Mac,
        FieldType::Str => Ty::Str { cap: Config::default().max_strlen },
        FieldType::Headers => Ty::Headers,
        FieldType::Conn => Ty::Conn,
        FieldType::ByteRanges => Ty::ByteRanges,
        FieldType::Flow => Ty::Flow,
    }
}

/// Compiles a filter, as `pcap:` blocks use it; `Err` is libpcap's message.
#[cfg(feature = "live")]
pub(super) fn compile_filter(filter: &str) -> Result<(), String> {
    // libpcap would take the text up to the NUL.
    if filter.contains('\0') {
        return Err("the filter has a NUL character".into());
    }
    BlockFilter::check(filter)
}

#[cfg(not(feature = "live"))]
pub(super) fn compile_filter(_filter: &str) -> Result<(), String> {
    Err("this build has no libpcap, so it can't compile filters; write a predicate instead: /tcp.dstport == 443/"
        .into())
}
