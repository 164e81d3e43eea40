//! Bodies of fuzz targets, as functions, so that tests run them too. Not an interface.

use crate::ir::generate::{CTX_SIZE, EVERYTHING, MAPS, generate};
use crate::ir::interp::host::{Host, Map, MapShape};
use crate::ir::interp::{self, InterpError};
use crate::ir::parser::parse;
use crate::ir::verify::{MAX_LISTED, verify};
use crate::ir::{Function, Target};
use crate::{native, opt};

/// Instructions that a fuzzed function may run.
const FUEL: u64 = 2_000;

/// Bytes to IR, as text or through the generator, by the first byte; panics where stages disagree.
pub fn fuzz_one(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    if kind % 2 == 0 {
        from_text(&String::from_utf8_lossy(rest));
    } else {
        from_generator(rest);
    }
}

fn from_text(text: &str) {
    let Ok(func) = parse(text) else { return };
    if let Err(errors) = verify(&func) {
        assert!(!errors.errors.is_empty() && errors.to_string().len() < MAX_LISTED * (text.len() + 1000));
        return;
    }
    let printed = func.to_string();
    let again = parse(&printed).unwrap_or_else(|e| panic!("{e}\n{printed}"));
    assert_eq!(again.to_string(), printed);
    // A function that merely verifies may have no meaning; then only panics count.
    let _ = agree(&func, &[0; CTX_SIZE], &MAPS);
    if func.target == Target::Native {
        native::compile(&[func]).unwrap_or_else(|e| panic!("{e}\n{printed}"));
    }
}

fn from_generator(bytes: &[u8]) {
    let made = generate(bytes, Target::Native, EVERYTHING);
    verify(&made.function).unwrap_or_else(|e| panic!("{e}\n{}", made.function));
    let result = agree(&made.function, &made.ctx, &made.maps);
    let fine = matches!(result, Ok(_) | Err(InterpError::OutOfFuel));
    assert!(fine, "a generated function has no meaning: {result:?}\n{}", made.function);
}

/// Optimising changes nothing about a function that has a meaning.
fn agree(func: &Function, ctx: &[u8], maps: &[MapShape]) -> Result<u64, InterpError> {
    let world = || Host {
        ctx: ctx.to_vec(),
        maps: maps.iter().map(|&shape| Map::new(shape)).collect(),
        ring_capacity: 4,
        ..Host::default()
    };
    let mut before = world();
    let result = interp::run(func, &mut before, FUEL);
    let mut optimised = func.clone();
    opt::run(&mut optimised);
    if let Ok(value) = result {
        let mut after = world();
        let again = interp::run(&optimised, &mut after, FUEL);
        assert_eq!(again, Ok(value), "{func}\n{optimised}");
        let maps = |host: &Host| {
            host.maps.iter().map(|m| format!("{:?}", m.entries().collect::<Vec<_>>())).collect::<Vec<_>>()
        };
        assert_eq!(maps(&after), maps(&before), "{func}\n{optimised}");
        assert_eq!((after.records, after.losses), (before.records, before.losses), "{func}\n{optimised}");
    }
    result
}
