use super::*;

#[test]
fn integers_extend_by_their_sign() {
    let i8_ = Type::Int { bytes: 1, signed: true };
    assert_eq!(scalar(&i8_, &[0xff]), Some(Num::Signed(-1)));
    let u16_ = Type::Int { bytes: 2, signed: false };
    assert_eq!(scalar(&u16_, &[0xff, 0xff, 0x11]), Some(Num::Unsigned(0xffff)));
    assert_eq!(scalar(&Type::U64, &[1, 2]), Some(Num::Unsigned(0x201)));
    assert_eq!(scalar(&Type::Str { cap: 4 }, b"abcd"), None);
}

#[test]
fn bit_fields_cross_bytes() {
    let field = |signed, bits| Field { name: None, offset: 1, ty: Type::Int { bytes: 4, signed }, bits: Some(bits) };
    let bytes = [0, 0b1010_0000, 0b0000_0011, 0, 0];
    assert_eq!(bit_field(&field(false, (5, 5)), &bytes), Some(Num::Unsigned(0b11101)));
    assert_eq!(bit_field(&field(true, (5, 5)), &bytes), Some(Num::Signed(-3)));
    assert_eq!(bit_field(&field(false, (60, 8)), &[0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x0a]), Some(Num::Unsigned(0xaf)));
}

#[test]
fn strings_and_buffers_stay_in_bounds() {
    assert_eq!(string(b"ab\0d", 4), (&b"ab"[..], false));
    assert_eq!(string(b"abcd", 4), (&b"abcd"[..], true));
    assert_eq!(buffer(&[200, 0, 0, 0, 1, 2], 8), &[1, 2]);
    assert_eq!(buffer(&[1, 0], 8), &[] as &[u8]);
}
