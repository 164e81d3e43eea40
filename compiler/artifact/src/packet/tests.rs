//! The table against the view's layout.

use super::*;
use std::mem::{align_of, size_of};

fn width(ty: FieldType) -> usize {
    match ty {
        FieldType::U8 => 1,
        FieldType::U16 => 2,
        FieldType::U32 | FieldType::I32 | FieldType::Bool => 4,
        FieldType::U64 | FieldType::Time => 8,
        FieldType::Ipv4 => 4,
        FieldType::Mac => 6,
        FieldType::Ipv6 => 16,
        FieldType::Str | FieldType::Headers => size_of::<StrRef>(),
        FieldType::Conn => 0,
    }
}

#[test]
fn rows_lie_inside_the_view_and_are_aligned() {
    for row in FIELDS {
        let (at, align) = match row.read {
            Read::Load(at) => (at, width(row.ty)),
            Read::Bit(at, mask) => {
                assert_ne!(mask, 0, "{}", row.name);
                assert_eq!(row.ty, FieldType::Bool, "{}", row.name);
                (at, 4)
            }
            Read::Bytes(at) => (at, 1),
            Read::Str(at) => (at, align_of::<StrRef>()),
            Read::Conn => (0, 1),
        };
        assert_eq!(at % align, 0, "{} is not aligned", row.name);
        assert!(at + width(row.ty) <= size_of::<PacketView>(), "{} lies outside", row.name);
    }
}

#[test]
fn reads_fit_their_types() {
    for row in FIELDS {
        let ok = match row.read {
            Read::Load(_) => matches!(
                row.ty,
                FieldType::U8 | FieldType::U16 | FieldType::U32 | FieldType::U64 | FieldType::I32 | FieldType::Time
            ),
            Read::Bit(..) => row.ty == FieldType::Bool,
            Read::Bytes(_) => matches!(row.ty, FieldType::Ipv4 | FieldType::Ipv6 | FieldType::Mac),
            Read::Str(_) => matches!(row.ty, FieldType::Str | FieldType::Headers),
            Read::Conn => row.ty == FieldType::Conn,
        };
        assert!(ok, "{}: {:?} as {:?}", row.name, row.read, row.ty);
    }
}

#[test]
fn names_are_unique_and_documented() {
    let mut names: Vec<_> = FIELDS.iter().map(|row| row.name).collect();
    names.sort_unstable();
    let total = names.len();
    names.dedup();
    assert_eq!(names.len(), total);
    for row in FIELDS {
        assert!(!row.doc.is_empty(), "{}", row.name);
        assert!(row.name.split('.').count() >= 2, "{}", row.name);
        assert_eq!(field(row.name).map(|found| found.doc), Some(row.doc));
    }
}

/// A field whose layer is only found by an analysis must ask for that analysis.
#[test]
fn layers_are_fed_by_needs() {
    let fed_by = [
        (layer::ETH | layer::VLAN | layer::IP | layer::IPV6 | layer::TCP | layer::UDP, needs::HEADERS),
        (layer::TCP_MSS | layer::TCP_WSCALE | layer::TCP_TIMESTAMP | layer::TCP_SACK, needs::OPTIONS),
        (layer::FLOW | layer::ZERO_WINDOW_END | layer::HANDSHAKE_END | layer::INITIAL_RTT, needs::FLOW),
        (layer::DUP_ACK, needs::ANALYSIS),
        (layer::ACK_RTT | layer::RTO | layer::BYTES_IN_FLIGHT, needs::SEGMENTS),
        (layer::HTTP | layer::HTTP_REQUEST | layer::HTTP_RESPONSE | layer::HTTP_EXCHANGE, needs::HTTP),
    ];
    for row in FIELDS {
        assert_ne!(row.layers, 0, "{}", row.name);
        for (layers, need) in fed_by {
            if row.layers & layers != 0 {
                assert_ne!(row.needs & need, 0, "{} lacks need {need:#x}", row.name);
            }
        }
        if row.needs != 0 {
            assert_ne!(row.needs & needs::HEADERS, 0, "{}", row.name);
        }
    }
}

#[test]
fn analysis_names_match_their_fields() {
    for (i, (bit, name)) in analysis::NAMES.iter().enumerate() {
        assert_eq!(*bit, 1 << i);
        let row = field(&format!("tcp.analysis.{name}")).expect("a row for each flag");
        assert!(matches!(row.read, Read::Bit(_, mask) if mask == *bit), "{name}");
    }
}
