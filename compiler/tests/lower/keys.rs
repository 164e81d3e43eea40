//! What a key is, the checker knows by types of the language and the join by those of records: both tables say the same.

use weftrace_artifact::{
    action::StreamSpec,
    join::{self, key_of, keys_of},
    ty::{Field, Type},
};
use weftrace_lang::{check, hir::Ty};

fn record_type(ty: &Ty) -> Type {
    match ty {
        Ty::Conn => Type::Conn,
        Ty::ByteRanges => Type::ByteRanges,
        Ty::Int { bits, signed } => Type::Int { bytes: bits / 8, signed: *signed },
        other => panic!("no key is {other:?}"),
    }
}

#[test]
fn the_tables_of_keys_agree() {
    let ours: Vec<&str> = check::KEYS.iter().map(|row| row.name).collect();
    let theirs: Vec<&str> = join::KEYS.iter().map(|row| row.name).collect();
    assert_eq!(ours, theirs);
    for (row, its) in check::KEYS.iter().zip(join::KEYS) {
        let field = Field { name: Some(row.name.into()), offset: 8, ty: record_type(&row.ty), bits: None };
        let stream = StreamSpec { name: "s".into(), fields: vec![field], ..StreamSpec::default() };
        assert_eq!(key_of(&stream, row.name).map(|(kind, at)| (kind, at.offset)), Some((its.kind, 8)));
        assert_eq!(keys_of(&stream).count(), 1);
    }
}

#[test]
fn bindings_are_known_by_the_same_names() {
    for name in ["binding", "binding.", "binding.owner", "bindings", "binding_owner", "my.binding", ""] {
        assert_eq!(check::is_binding(name), join::is_binding(name), "{name}");
    }
    assert_eq!(check::MAX_STEPS, join::MAX_STEPS);
    assert_eq!(check::NAT, weftrace_artifact::nat::STREAM);
}
