//! The table against the view's layout.

use super::*;
use std::mem::{align_of, offset_of, size_of};

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
        FieldType::Conn | FieldType::ByteRanges => 0,
        FieldType::Flow => crate::abi::FLOW_VALUE_SIZE as usize,
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
            Read::Known(mask) => {
                assert_ne!(mask, 0, "{}", row.name);
                (offset_of!(PacketView, known), 8)
            }
            Read::Layer(mask) => {
                assert_ne!(mask, 0, "{}", row.name);
                (offset_of!(PacketView, layers), 8)
            }
            Read::Bytes(at) => (at, 1),
            Read::Str(at) => (at, align_of::<StrRef>()),
            Read::More(at) => {
                let (width, align) = match row.ty {
                    FieldType::Str => (size_of::<Text>(), align_of::<Text>()),
                    FieldType::Flow => (width(row.ty), 4),
                    ty => (width(ty), width(ty)),
                };
                assert!(at % align == 0 && at + width <= size_of::<MoreView>(), "{} lies outside", row.name);
                assert_ne!(row.known, 0, "{} must ask for something: there may be no view", row.name);
                continue;
            }
            Read::Conn(_) | Read::ByteRanges(_) => (0, 1),
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
            Read::Bit(..) | Read::Layer(_) | Read::Known(_) => row.ty == FieldType::Bool,
            Read::Bytes(_) => matches!(row.ty, FieldType::Ipv4 | FieldType::Ipv6 | FieldType::Mac),
            Read::Str(_) => matches!(row.ty, FieldType::Str | FieldType::Headers),
            Read::Conn(_) => row.ty == FieldType::Conn,
            Read::ByteRanges(_) => row.ty == FieldType::ByteRanges,
            Read::More(_) => {
                !matches!(row.ty, FieldType::Bool | FieldType::Conn | FieldType::ByteRanges | FieldType::Headers)
            }
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
        (layer::DNS, needs::DNS),
        (layer::ICMP | layer::ICMPV6, needs::HEADERS),
        (layer::TLS | layer::TLS_HANDSHAKE | layer::TLS_HANDSHAKE_END | layer::TLS_CONN, needs::TLS),
        (layer::HTTP2, needs::HTTP2),
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

#[test]
fn what_the_kernel_reads_lies_in_its_header() {
    for row in FIELDS {
        let Some(read) = row.kernel else { continue };
        assert_eq!(row.needs & !needs::HEADERS, 0, "{} needs more than headers", row.name);
        // A plain packet has its headers whole.
        assert_eq!(row.known & !known::HEADERS, 0, "{} needs more than headers", row.name);
        match read {
            KernelRead::Number { header, at, bytes, mask, .. } => {
                assert!(matches!(bytes, 1 | 2 | 4) && at + bytes <= header.size(), "{}", row.name);
                assert_ne!(mask, 0, "{}", row.name);
            }
            KernelRead::Bytes(header, at) => {
                let bytes = match row.ty {
                    FieldType::Mac => 6,
                    FieldType::Ipv4 => 4,
                    FieldType::Ipv6 => 16,
                    _ => panic!("{} is no address", row.name),
                };
                assert!(at + bytes <= header.size(), "{}", row.name);
            }
            KernelRead::Found(_) => assert!(!matches!(row.read, Read::Bit(..) | Read::Bytes(_)), "{}", row.name),
        }
    }
}
