//! The words of the text form: one table per enumeration, read by the printer and the parser.

use super::{BinaryOp, Cond, HELPERS, Helper, Mem, Size, Space, Ty, UnaryOp};
use weftrace_artifact::program::ProgType;

/// An enumeration whose members have words.
pub(crate) trait Named: Copy + PartialEq + Sized + 'static {
    /// Every member with its word.
    const WORDS: &'static [(Self, &'static str)];

    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(m, _)| *m == self).map_or("?", |(_, word)| word)
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, w)| *w == word).map(|(m, _)| *m)
    }
}

macro_rules! named {
    ($ty:ident { $($member:ident $word:literal),* $(,)? }) => {
        impl Named for $ty {
            const WORDS: &'static [(Self, &'static str)] = &[$(($ty::$member, $word)),*];
        }
    };
}

named!(BinaryOp {
    Iadd "iadd", Isub "isub", Imul "imul", Udiv "udiv", Sdiv "sdiv", Urem "urem", Srem "srem",
    Band "band", Bor "bor", Bxor "bxor", Shl "shl", Lshr "lshr", Ashr "ashr",
});
named!(UnaryOp {
    Ineg "ineg", Bnot "bnot", Zext8 "zext8", Zext16 "zext16", Zext32 "zext32", Sext8 "sext8", Sext16 "sext16", Sext32 "sext32",
    Bswap16 "bswap16", Bswap32 "bswap32", Bswap64 "bswap64",
});
named!(Cond {
    Eq "eq", Ne "ne", Ult "ult", Ule "ule", Ugt "ugt", Uge "uge", Slt "slt", Sle "sle", Sgt "sgt", Sge "sge",
});
named!(Mem { U8 "u8", U16 "u16", U32 "u32", U64 "u64", I8 "i8", I16 "i16", I32 "i32" });
named!(Size { B1 "b1", B2 "b2", B4 "b4", B8 "b8" });
named!(ProgType {
    Kprobe "kprobe", Tracepoint "tracepoint", RawTracepoint "raw_tracepoint", PerfEvent "perf_event",
    TracingRawTp "tracing_raw_tp", SocketFilter "socket_filter",
});

impl Named for Ty {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Ty::I64, "i64"),
        (Ty::Ptr(Space::Ctx), "ctx"),
        (Ty::Ptr(Space::Stack), "stack"),
        (Ty::Ptr(Space::Map), "map"),
        (Ty::Ptr(Space::Record), "record"),
        (Ty::Ptr(Space::Data), "data"),
    ];
}

/// The helper of this name.
pub(crate) fn helper_from_word(word: &str) -> Option<Helper> {
    HELPERS.iter().find(|row| row.name == word).map(|row| row.helper)
}
