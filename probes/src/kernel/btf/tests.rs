use super::{Btf, BtfError};
use weftrace_lang::hir::Ty;

/// A BTF blob from type words and strings.
fn blob(types: &[u32], strings: &[u8]) -> Vec<u8> {
    let len = types.len() as u32 * 4;
    let mut out = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, len, len, strings.len() as u32] {
        out.extend(word.to_ne_bytes());
    }
    out.extend(types.iter().flat_map(|w| w.to_ne_bytes()));
    out.extend(strings);
    out
}

const fn info(kind: u32, vlen: u32, flag: u32) -> u32 {
    kind << 24 | vlen | flag << 31
}

fn sample() -> Vec<u8> {
    // 1: int "int"; 2: struct "s" { int a; int b:3; int c:5; int* p; union { int x; char y[4] } ; }
    let strings = b"\0int\0s\0a\0b\0c\0p\0x\0y\0char\0E_ONE\0";
    let types = [
        1,
        info(1, 0, 0),
        4,
        0x0100_0020, // 1 int, signed
        5,
        info(4, 5, 1),
        24,
        /* members */ 7,
        1,
        0,
        9,
        1,
        3 << 24 | 0x20,
        11,
        1,
        5 << 24 | 0x23,
        13,
        3,
        64,
        0,
        4,
        128, // 2 struct s
        0,
        info(2, 0, 0),
        1, // 3 int *
        0,
        info(5, 2, 0),
        4,
        15,
        1,
        0,
        17,
        6,
        0, // 4 union
        19,
        info(1, 0, 0),
        1,
        0x0100_0008, // 5 char
        0,
        info(3, 0, 0),
        0,
        5,
        1,
        4, // 6 char[4]
        0,
        info(6, 1, 1),
        4,
        24,
        -1i32 as u32, // 7 enum { E_ONE = -1 }
    ];
    blob(&types, strings)
}

#[test]
fn structs_with_bit_fields_and_anonymous_members() {
    let btf = Btf::from_bytes(sample(), "vmlinux", None).expect("parses");
    let s = btf.struct_def("struct s").expect("found");
    assert_eq!((s.size, s.align, s.union, s.fields.len()), (24, 8, false, 5));
    assert_eq!((s.fields[0].offset, &s.fields[0].ty), (0, &Ty::I32));
    assert_eq!((s.fields[1].offset, s.fields[1].bits), (4, Some((0, 3))));
    assert_eq!((s.fields[2].offset, s.fields[2].bits), (4, Some((3, 5))));
    assert!(matches!(&s.fields[3].ty, Ty::Ptr { to, .. } if **to == Ty::I32));
    assert_eq!(s.fields[4].name, "");
    let Ty::Struct(inner) = &s.fields[4].ty else { panic!("{:?}", s.fields[4].ty) };
    let inner = btf.struct_def(inner).expect("by its made-up name");
    assert!(inner.union && inner.fields[1].ty == Ty::Str { cap: 4 });
}

#[test]
fn enumerators_of_unnamed_enums() {
    let btf = Btf::from_bytes(sample(), "vmlinux", None).expect("parses");
    let (def, value) = btf.enumerator("E_ONE").expect("found");
    assert_eq!((value, def.name.as_str(), def.signed), (-1, "", true));
    assert!(btf.enumerator("E_TWO").is_none());
}

#[test]
fn the_index_answers_as_the_walk_does() {
    let btf = Btf::from_bytes(sample(), "vmlinux", None).expect("parses");
    let first = btf.struct_def("s");
    for _ in 0..10 {
        assert_eq!(btf.struct_def("s"), first);
        assert!(btf.struct_def("int").is_none());
    }
}

#[test]
fn modules_continue_the_numbers() {
    let base = std::sync::Arc::new(Btf::from_bytes(sample(), "vmlinux", None).expect("parses"));
    // 8: struct "m" { struct s inner; }, its strings after the base's
    let at = b"\0int\0s\0a\0b\0c\0p\0x\0y\0char\0E_ONE\0".len() as u32;
    let types = [at, info(4, 1, 0), 24, at + 2, 2, 0];
    let module = Btf::from_bytes(blob(&types, b"m\0inner\0"), "mod", Some(base)).expect("parses");
    let m = module.struct_def("m").expect("found");
    assert_eq!((m.fields[0].name.as_str(), &m.fields[0].ty), ("inner", &Ty::Struct("s".into())));
    assert!(module.struct_def("s").is_none(), "only its own");
}

#[test]
fn malformed_blobs_are_errors_or_empty() {
    assert!(matches!(Btf::from_bytes(vec![1, 2], "x", None), Err(BtfError::Malformed(_))));
    let whole = sample();
    for keep in 0..whole.len() {
        if let Ok(btf) = Btf::from_bytes(whole[..keep].to_vec(), "x", None) {
            let _ = btf.struct_def("s");
        }
    }
    for at in 0..whole.len() {
        for bits in [0xff, 0x01, 0x80] {
            let mut bent = whole.clone();
            bent[at] ^= bits;
            if let Ok(btf) = Btf::from_bytes(bent, "x", None) {
                let _ = (btf.struct_def("s"), btf.enumerator("E_ONE"), btf.function("s"), btf.by_id(6));
            }
        }
    }
}
