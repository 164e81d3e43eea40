//! Names of C's and the kernel's integer types.

use crate::hir::Ty;

/// Integer types that have one word for a name.
static NAMES: &[(&str, u8, bool)] = &[
    ("int8", 8, true),
    ("int16", 16, true),
    ("int32", 32, true),
    ("int64", 64, true),
    ("uint8", 8, false),
    ("uint16", 16, false),
    ("uint32", 32, false),
    ("uint64", 64, false),
    ("int8_t", 8, true),
    ("int16_t", 16, true),
    ("int32_t", 32, true),
    ("int64_t", 64, true),
    ("uint8_t", 8, false),
    ("uint16_t", 16, false),
    ("uint32_t", 32, false),
    ("uint64_t", 64, false),
    ("s8", 8, true),
    ("s16", 16, true),
    ("s32", 32, true),
    ("s64", 64, true),
    ("u8", 8, false),
    ("u16", 16, false),
    ("u32", 32, false),
    ("u64", 64, false),
    ("__s8", 8, true),
    ("__s16", 16, true),
    ("__s32", 32, true),
    ("__s64", 64, true),
    ("__u8", 8, false),
    ("__u16", 16, false),
    ("__u32", 32, false),
    ("__u64", 64, false),
    ("__be16", 16, false),
    ("__be32", 32, false),
    ("__be64", 64, false),
    ("__le16", 16, false),
    ("__le32", 32, false),
    ("__le64", 64, false),
    ("size_t", 64, false),
    ("ssize_t", 64, true),
    ("uintptr_t", 64, false),
    ("intptr_t", 64, true),
    ("pid_t", 32, true),
    ("uid_t", 32, false),
    ("gid_t", 32, false),
    ("dev_t", 32, false),
    ("mode_t", 16, false),
    ("umode_t", 16, false),
    ("off_t", 64, true),
    ("loff_t", 64, true),
    ("time_t", 64, true),
    ("time64_t", 64, true),
    ("sector_t", 64, false),
    ("gfp_t", 32, false),
    ("dma_addr_t", 64, false),
    ("phys_addr_t", 64, false),
];

/// `uint32`, `unsigned long`, `pid_t`: types that need no table of the host.
pub(crate) fn named(name: &str) -> Option<Ty> {
    if let Some((_, bits, signed)) = NAMES.iter().find(|(n, _, _)| *n == name) {
        return Some(Ty::Int { bits: *bits, signed: *signed });
    }
    Some(match name {
        "bool" | "_Bool" => Ty::Bool,
        "void" => Ty::Void,
        "float" => Ty::Float { bytes: 4 },
        "double" => Ty::Float { bytes: 8 },
        "long double" => Ty::Float { bytes: 16 },
        "username_t" => Ty::Username,
        "inet" => Ty::Inet,
        _ => return c_words(name),
    })
}

/// `unsigned long int` in any order.
fn c_words(name: &str) -> Option<Ty> {
    let (mut longs, mut signed, mut bits) = (0, true, 32);
    for word in name.split(' ') {
        match word {
            "unsigned" => signed = false,
            "signed" | "int" => {}
            "char" => bits = 8,
            "short" => bits = 16,
            "long" => longs += 1,
            _ => return None,
        }
    }
    if longs > 0 {
        bits = 64;
    }
    Some(Ty::Int { bits, signed })
}

/// Names that a misspelt type may have meant.
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|n| n.0)
}
