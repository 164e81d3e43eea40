use super::*;
use crate::ir::{InstData, Op, SpanId, Target, Term, Value, builder::FunctionBuilder};
use weftrace_artifact::Place;

/// Rules that text cannot break; the rest is in tests/ir/verify.
#[test]
fn handles_out_of_range_are_errors_not_panics() {
    let mut b = FunctionBuilder::new("f", Target::Native, Place::default());
    b.ret_zero();
    let good = b.finish();
    verify(&good).expect("a good function");

    let mut bad = good.clone();
    bad.blocks[0].term = Term::Return(Value(99));
    let errors = verify(&bad).expect_err("no such value");
    assert_eq!(errors.to_string(), "function \"f\": `return v99`: v99 does not exist");

    let mut bad = good.clone();
    bad.insts.push(InstData { op: Op::Iconst(1), result: None, span: SpanId(0) });
    bad.blocks[0].insts.push(crate::ir::Inst(1));
    assert!(verify(&bad).is_err(), "a result is missing");

    let mut bad = good.clone();
    let inst = bad.blocks[0].insts[0];
    bad.blocks[0].insts.push(inst);
    assert!(verify(&bad).expect_err("twice").to_string().contains("stands in two places"));

    let mut bad = good;
    bad.blocks.clear();
    assert!(verify(&bad).is_err());
}
