use super::host::{Map, MapShape, copy_str};
use super::*;
use crate::ir::{parser::parse, verify::verify};
use weftrace_artifact::map::Kind;

fn run_text(body: &str, host: &mut Host) -> Result<u64, InterpError> {
    let func = parse(&format!("function \"t\" native {{\n    ss0 = slot 8, align 8\nblock0(v0: ctx):\n{body}\n}}"))
        .expect("parses");
    verify(&func).expect("verifies");
    run(&func, host, 1000)
}

fn fault(body: &str, host: &mut Host) -> Fault {
    match run_text(body, host) {
        Err(InterpError::Memory { what, .. }) => what,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn wrong_accesses_are_found() {
    let mut host = Host { ctx: vec![0; 8], ..Host::default() };
    assert_eq!(fault("v1 = load.u64 v0+1\nreturn v1", &mut host), Fault::OutOfBounds);
    assert_eq!(fault("v1 = load.u8 v0-1\nreturn v1", &mut host), Fault::OutOfBounds);
    assert_eq!(fault("v1 = slot_addr ss0\nv2 = load.u8 v1\nreturn v2", &mut host), Fault::Uninitialised);
    assert_eq!(fault("v1 = load_ptr v0\nv2 = load.u8 v1\nreturn v2", &mut host), Fault::Wild);
}

#[test]
fn a_promised_bound_must_hold() {
    let mut host = Host { ctx: vec![9; 8], ..Host::default() };
    let result = run_text("v1 = load.u8 v0\nv2 = ptr_index v0, v1, max 7\nv3 = load.u8 v2\nreturn v3", &mut host);
    assert!(matches!(result, Err(InterpError::Index { index: 9, max: 7, .. })), "{result:?}");
}

#[test]
fn endless_loops_run_out_of_fuel() {
    let result = run_text("jump block1\nblock1:\njump block1", &mut Host::default());
    assert_eq!(result, Err(InterpError::OutOfFuel));
}

#[test]
fn replaced_hash_values_are_stale_and_array_values_are_not() {
    let body = "v1 = slot_addr ss0\nfill v1, 8\nlookup map0, v1, block1, block2\nblock1(v2: map):\n\
                v3 = iconst 0\nv4 = call map_update map0(v1, v1, v3)\nv5 = load.u64 v2\nreturn v5\nblock2:\nv6 = iconst 9\nreturn v6";
    let shape = MapShape { kind: Kind::Hash, key_size: 4, value_size: 8, max_entries: 4 };
    let mut hash = Map::new(shape);
    assert_eq!(run_text(body, &mut Host { maps: vec![hash.clone()], ..Host::default() }), Ok(9));
    assert_eq!(hash.update(&[0; 4], &[1; 8], 0), 0);
    assert_eq!(fault(body, &mut Host { maps: vec![hash], ..Host::default() }), Fault::StaleValue);
    let array = Map::new(MapShape { kind: Kind::Array, ..shape });
    assert_eq!(run_text(body, &mut Host { maps: vec![array], ..Host::default() }), Ok(0));
}

#[test]
fn maps_answer_as_the_kernel_does() {
    let mut map = Map::new(MapShape { kind: Kind::Hash, key_size: 1, value_size: 1, max_entries: 2 });
    assert_eq!(map.update(&[1], &[1], 2), -2);
    assert_eq!(map.update(&[1], &[1], 1), 0);
    assert_eq!(map.update(&[1], &[1], 1), -17);
    assert_eq!(map.update(&[1], &[1], 3), -22);
    assert_eq!(map.update(&[2], &[2], 0), 0);
    assert_eq!(map.update(&[3], &[3], 0), -7);
    assert_eq!(map.delete(&[3]), -2);
    assert_eq!(map.delete(&[1]), 0);
    assert_eq!(map.entries().collect::<Vec<_>>(), [(&[2u8][..], &[2u8][..])]);
    let mut array = Map::new(MapShape { kind: Kind::Array, key_size: 4, value_size: 1, max_entries: 1 });
    assert_eq!(array.update(&[1, 0, 0, 0], &[1], 0), -7);
    assert_eq!(array.update(&[0; 4], &[1], 1), -17);
    assert_eq!(array.delete(&[0; 4]), -22);
}

#[test]
fn strings_are_cut() {
    assert_eq!(copy_str(4, b"hello"), (b"hel\0".to_vec(), 3));
    assert_eq!(copy_str(0, b"hello"), (vec![], 0));
}
