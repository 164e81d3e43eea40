use super::*;
use crate::ir::builder::FunctionBuilder;
use crate::ir::{Helper, Mem};
use weftrace_artifact::{Place, program::ProgType};

fn function(target: Target) -> Function {
    let mut b = FunctionBuilder::new("f", target, Place::default());
    let (ctx, random) = (b.ctx(), b.call(Helper::Random, &[]));
    let word = b.load(Mem::U64, ctx, 0);
    let sum = b.iadd(random, word);
    b.ret(sum);
    b.finish()
}

#[test]
fn entries_are_aligned_and_in_order() {
    let image = compile(&[function(Target::Native), function(Target::Native)]).expect("compiles");
    assert_eq!(image.arch, HOST_ARCH);
    let offsets: Vec<_> = image.entries.iter().map(|e| e.offset as usize).collect();
    assert_eq!(offsets[0], 0);
    assert!(offsets[1] > 0 && offsets[1] % CODE_ALIGN == 0 && offsets[1] < image.code.len());
    let (first, second) = image.code.split_at(offsets[1]);
    assert!(first.starts_with(second), "the same function gives the same code, wherever it stands");
}

#[test]
fn kernel_functions_are_refused() {
    let result = compile(&[function(Target::Kernel(ProgType::Kprobe))]);
    assert!(matches!(result, Err(Error::Target(name)) if name == "f"));
}

#[test]
fn broken_functions_are_refused() {
    let mut func = function(Target::Native);
    func.blocks[0].insts.clear();
    assert!(matches!(compile(&[func]), Err(Error::Verify(_))));
}

#[test]
fn clif_shows_the_indirect_call() {
    let text = clif(&function(Target::Native)).expect("translates");
    assert!(text.contains("call_indirect") && text.contains("return"), "{text}");
}
