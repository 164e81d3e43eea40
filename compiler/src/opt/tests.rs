use super::*;
use crate::ir::parser::parse;

/// What optimising twice gives is what optimising once gave.
#[test]
fn the_result_is_a_fixpoint() {
    let mut func = parse(include_str!("../../tests/ir/text/everything.ir")).expect("parses");
    run(&mut func);
    let once = func.to_string();
    run(&mut func);
    assert_eq!(func.to_string(), once);
}

#[test]
fn pass_names_are_unique() {
    let mut names: Vec<_> = PASSES.iter().map(|p| p.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), PASSES.len());
}
