use super::*;
use crate::hir::StructField;

fn field(name: &str, ty: Ty, offset: u32) -> StructField {
    StructField { name: name.into(), ty, offset, bits: None }
}

fn log(defs: Vec<StructDef>) -> WorldLog {
    let found = |def: StructDef| (def.name.clone(), Answer::Found(def));
    WorldLog { kernel_struct: defs.into_iter().map(found).collect(), ..WorldLog::default() }
}

fn def(name: &str, fields: Vec<StructField>) -> StructDef {
    StructDef { name: name.into(), union: false, size: 64, align: 8, fields, go: None }
}

#[test]
fn what_no_host_answers() {
    let int = Ty::Int { bits: 32, signed: false };
    let fine = || def("a", vec![field("x", int.clone(), 0), field("", Ty::Struct("b".into()), 8)]);
    assert_eq!(log(vec![fine(), def("b", vec![])]).problem(), None);
    // A pointer to itself is no member of itself.
    let to = Ty::Ptr { to: Box::new(Ty::Struct("a".into())), space: crate::hir::Space::Kernel };
    assert_eq!(log(vec![def("a", vec![field("next", to, 0)])]).problem(), None);
    let far = def("a", vec![field("x", int.clone(), u32::MAX)]);
    let wide = def("a", vec![field("x", Ty::Int { bits: 7, signed: false }, 0)]);
    let long = def("a", vec![field("x", Ty::Array { elem: Box::new(int.clone()), len: u32::MAX }, 0)]);
    let bits = def("a", vec![StructField { bits: Some((64, 1)), ..field("x", Ty::Bool, 0) }]);
    for odd in [far, wide, long, bits, StructDef { size: u32::MAX, ..fine() }] {
        assert_eq!(log(vec![odd]).problem().as_deref(), Some("the layout of struct a"));
    }
    let within = def("b", vec![field("", Ty::Array { elem: Box::new(Ty::Struct("a".into())), len: 2 }, 0)]);
    let told = log(vec![fine(), within]).problem().expect("an end");
    assert!(told.ends_with("in which structs have no end"), "{told}");
    // Each has the next one twice: few layouts, and a member that isn't there would be looked for for ever.
    let twice = |n: u32| {
        let next = || Ty::Struct(format!("s{}", n + 1));
        def(&format!("s{n}"), vec![field("", next(), 0), field("", next(), 8)])
    };
    let told = log((0..40).map(twice).collect()).problem().expect("an end");
    assert!(told.ends_with("in which structs have no end"), "{told}");
    assert_eq!(log((0..10).map(twice).collect()).problem(), None);
}
