#![allow(unsafe_code, reason = "compares with libc's snprintf")]

use super::*;
use crate::names::NoNames;
use proptest::prelude::*;
use std::ffi::CString;
use weftrace_artifact::ty::{Field, Type};

fn field(ty: Type) -> Field {
    Field { name: None, offset: 0, ty, bits: None }
}

fn one(spec: Spec, ty: Type, payload: &[u8]) -> String {
    let mut out = Vec::new();
    let mut names = NoNames;
    let pieces = [Piece::Arg { index: 0, spec }];
    printf(&mut out, &pieces, &[field(ty)], payload, &mut Style::new(&mut names));
    String::from_utf8(out).expect("UTF-8")
}

/// The C format of a specification; integers are 64 bits wide for libc.
fn c_format(spec: &Spec) -> String {
    let mut f = String::from("%");
    for (on, c) in [(spec.minus, '-'), (spec.zero, '0'), (spec.plus, '+'), (spec.space, ' '), (spec.alternate, '#')] {
        if on {
            f.push(c);
        }
    }
    if let Some(w) = spec.width {
        f += &w.to_string();
    }
    if let Some(p) = spec.precision {
        f.push('.');
        f += &p.to_string();
    }
    f += match spec.conv {
        Conv::Str => "",
        _ => match spec.length {
            Some(1) => "hh",
            Some(2) => "h",
            Some(4) | None => "",
            _ => "ll",
        },
    };
    f.push(match spec.conv {
        Conv::Signed => 'd',
        Conv::Unsigned => 'u',
        Conv::Octal => 'o',
        Conv::HexLower => 'x',
        Conv::HexUpper => 'X',
        Conv::Char => 'c',
        Conv::Str => 's',
        _ => 'p',
    });
    f
}

fn libc_int(spec: &Spec, value: u64) -> String {
    let format = CString::new(c_format(spec)).expect("no NUL");
    let mut buf = [0u8; 1024];
    // SAFETY: the format has one conversion, whose argument is passed as 64 bits: on the platforms we run on narrower
    // arguments are read from the same register.
    let n = unsafe { libc::snprintf(buf.as_mut_ptr().cast(), buf.len(), format.as_ptr(), value) };
    String::from_utf8(buf[..n as usize].to_vec()).expect("ASCII")
}

fn libc_str(spec: &Spec, value: &str) -> String {
    let format = CString::new(c_format(spec)).expect("no NUL");
    let value = CString::new(value).expect("no NUL");
    let mut buf = [0u8; 1024];
    // SAFETY: the format has one %s, whose argument is a NUL-terminated string.
    let n = unsafe { libc::snprintf(buf.as_mut_ptr().cast(), buf.len(), format.as_ptr(), value.as_ptr()) };
    String::from_utf8(buf[..n as usize].to_vec()).expect("ASCII")
}

prop_compose! {
    fn spec(conv: impl Strategy<Value = Conv>)(
        minus in any::<bool>(), zero in any::<bool>(), plus in any::<bool>(), space in any::<bool>(), alternate in any::<bool>(),
        width in proptest::option::of(0u32..40), precision in proptest::option::of(0u32..30), conv in conv,
        length in prop::sample::select(vec![None, Some(1u8), Some(2), Some(4), Some(8)]),
    ) -> Spec {
        // Zero as a width is the flag.
        let width = width.filter(|&w| w > 0);
        Spec { minus, zero, plus, space, alternate, width, precision, conv, length }
    }
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0u64), 0u64..300, any::<u64>(), Just(u64::MAX), Just(1 << 63), Just(0x80), Just(0x8000)]
}

fn int_conv() -> impl Strategy<Value = Conv> {
    prop::sample::select(vec![Conv::Signed, Conv::Unsigned, Conv::Octal, Conv::HexLower, Conv::HexUpper])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn integers_print_as_libc_prints_them(spec in spec(int_conv()), value in value()) {
        prop_assert_eq!(one(spec.clone(), Type::U64, &value.to_ne_bytes()), libc_int(&spec, value), "{}", c_format(&spec));
    }

    #[test]
    fn strings_print_as_libc_prints_them(spec in spec(Just(Conv::Str)), text in "[a-zA-Z0-9 %]{0,30}") {
        let spec = Spec { zero: false, plus: false, space: false, alternate: false, ..spec };
        let mut payload = text.clone().into_bytes();
        payload.resize(32, 0);
        prop_assert_eq!(one(spec.clone(), Type::Str { cap: 32 }, &payload), libc_str(&spec, &text));
    }

    #[test]
    fn characters_print_as_libc_prints_them(minus in any::<bool>(), width in 1u32..20, c in 1u8..0x7f) {
        let spec = Spec { minus, width: Some(width), conv: Conv::Char, ..Spec::default() };
        prop_assert_eq!(one(spec.clone(), Type::U64, &u64::from(c).to_ne_bytes()), libc_int(&spec, u64::from(c)));
    }

    #[test]
    fn any_record_prints(payload in prop::collection::vec(any::<u8>(), 0..40), conv in prop::sample::select(vec![
        Conv::Signed, Conv::Str, Conv::Buf, Conv::BufHex, Conv::BufHexSpaced, Conv::Pointer, Conv::Char,
    ])) {
        for ty in [Type::Buf { cap: 16 }, Type::Str { cap: 8 }, Type::Inet, Type::Conn, Type::Headers, Type::Mac, Type::U64] {
            let mut out = Vec::new();
            let pieces = [Piece::Arg { index: 0, spec: Spec { conv, ..Spec::default() } }, Piece::Arg { index: 9, spec: Spec::default() }];
            printf(&mut out, &pieces, &[field(ty)], &payload, &mut Style::new(&mut NoNames));
        }
    }
}

#[test]
fn bpftrace_length_modifiers() {
    let x = 0x0012_3456_78ab_cdefu64.to_ne_bytes();
    let spec = |length| Spec { conv: Conv::HexLower, length, ..Spec::default() };
    let all: Vec<String> = [Some(1), Some(2), Some(4), Some(8), None].map(|l| one(spec(l), Type::I64, &x)).into();
    assert_eq!(all, ["ef", "cdef", "78abcdef", "12345678abcdef", "78abcdef"]);
}

#[test]
fn a_number_that_does_not_fit_is_told() {
    let cut = |ty: Type, value: u64, length| {
        let mut names = NoNames;
        let mut style = Style::new(&mut names);
        let spec = Spec { conv: Conv::Unsigned, length, ..Spec::default() };
        printf(&mut Vec::new(), &[Piece::Arg { index: 0, spec }], &[field(ty)], &value.to_ne_bytes(), &mut style);
        style.cut
    };
    assert!(cut(Type::U64, 5_000_000_000, None));
    assert!(!cut(Type::U64, 5_000_000_000, Some(8)));
    assert!(!cut(Type::U64, 0xffff_ffff, None));
    assert!(cut(Type::U64, u64::MAX, None));
    assert!(!cut(Type::I64, u64::MAX, None), "-1 is an int too");
    // A length that is asked for is meant.
    assert!(!cut(Type::U64, 5_000_000_000, Some(1)));
}

#[test]
fn zeroes_before_text() {
    let spec = Spec { zero: true, width: Some(5), ..Spec { conv: Conv::Str, ..Spec::default() } };
    assert_eq!(one(spec, Type::Str { cap: 4 }, b"ab\0\0"), "000ab");
}

#[test]
fn buffers_three_ways() {
    let payload = [6, 0, 0, 0, b'H', b'e', b'l', b'l', b'o', 0, 9, 9];
    let print = |conv| one(Spec { conv, ..Spec::default() }, Type::Buf { cap: 8 }, &payload);
    assert_eq!(print(Conv::Buf), "Hello\\x00");
    assert_eq!(print(Conv::BufHex), "\\x48\\x65\\x6c\\x6c\\x6f\\x00");
    assert_eq!(print(Conv::BufHexSpaced), "48 65 6c 6c 6f 00");
}

#[test]
fn pointers_as_bpftrace() {
    let spec = Spec { conv: Conv::Pointer, ..Spec::default() };
    assert_eq!(one(spec.clone(), Type::Ptr, &0xffff_8880u64.to_ne_bytes()), "0xffff8880");
    assert_eq!(one(spec, Type::Ptr, &[0; 8]), "0");
}

#[test]
fn a_string_is_cut_between_characters() {
    let spec = Spec { conv: Conv::Str, precision: Some(2), width: Some(4), ..Spec::default() };
    assert_eq!(one(spec, Type::Str { cap: 8 }, "aéx\0".as_bytes()), "   a");
}

#[test]
fn widths_are_bounded() {
    let spec = Spec { conv: Conv::Signed, width: Some(u32::MAX), precision: Some(u32::MAX), ..Spec::default() };
    assert_eq!(one(spec, Type::U64, &[0; 8]).len(), 4096);
}
