use super::*;
use crate::record::run;
use weftrace_artifact::ty::{self, Type};

fn int(bytes: u8, signed: bool) -> Type {
    Type::Int { bytes, signed }
}

/// A recorded stream with one number, as a script has it that says another type for it.
fn read_as(theirs: &Type, number: &[u8], own: Type) -> Vec<u8> {
    let name = "n".to_owned();
    let field = run::Field { name: name.clone(), offset: 0, size: theirs.size(), ty: word(theirs) };
    let recorded = Stream { name: "s".into(), size: theirs.size(), fields: vec![field] };
    let size = own.size();
    let field = ty::Field { name: Some(name), offset: 0, ty: own, bits: None };
    let spec = StreamSpec { name: "s".into(), size, fields: vec![field] };
    let artifact = Artifact { streams: vec![spec], ..Artifact::default() };
    match remap(&recorded, &artifact) {
        Some(Remap::Fields(_, size, fields)) => moved(number, size, &fields),
        Some(Remap::Same(_)) => number.to_vec(),
        None => panic!("it has that name"),
    }
}

#[test]
fn numbers_keep_their_value_in_wider_fields() {
    let (minus_one, most) = ((-1_i32).to_ne_bytes(), u32::MAX.to_ne_bytes());
    assert_eq!(read_as(&int(4, true), &minus_one, int(8, true)), (-1_i64).to_ne_bytes());
    assert_eq!(read_as(&int(4, true), &7_i32.to_ne_bytes(), int(8, true)), 7_i64.to_ne_bytes());
    assert_eq!(read_as(&int(4, false), &most, int(8, true)), i64::from(u32::MAX).to_ne_bytes());
    assert_eq!(read_as(&int(4, false), &most, int(8, false)), u64::from(u32::MAX).to_ne_bytes());
    assert_eq!(read_as(&int(1, true), &[0x80], int(2, true)), (-128_i16).to_ne_bytes());
    // The same, and what is cut.
    assert_eq!(read_as(&int(4, true), &minus_one, int(4, true)), minus_one);
    assert_eq!(read_as(&int(8, true), &(-2_i64).to_ne_bytes(), int(4, true)), (-2_i32).to_ne_bytes());
    // Texts have no sign.
    assert_eq!(read_as(&Type::Str { cap: 2 }, b"\xc3\xa9", Type::Str { cap: 4 }), *b"\xc3\xa9\0\0");
}
