use super::*;
use crate::record::event::Event;
use weftrace_artifact::{map::Value, ty::Type};

fn spec(value: Value) -> MapSpec {
    MapSpec { key_size: 8, ..super::super::tests::spec(Some(Type::Int { bytes: 4, signed: false }), value) }
}

/// What was noted, as a replay gets it.
fn answers(notes: &Notes) -> Reads {
    let reads = Reads::recorded(vec![true]);
    for block in notes.take() {
        let mut reader = crate::record::code::Reader(&block);
        while !reader.0.is_empty() {
            let Some(Event::Read(read)) = Event::take(&mut reader) else { panic!("no answer") };
            reads.push(read);
        }
    }
    reads
}

fn noting() -> (Reads, Notes) {
    let notes = Notes::default();
    (Reads::noted(vec![true], notes.clone()), notes)
}

#[test]
fn what_was_noted_is_answered_in_order() {
    let (live, notes) = noting();
    let map = MapId(0);
    live.note_value(map, Some(&[1, 0, 0, 0]));
    live.note_value(map, None);
    live.note_result(map, -2);
    let replayed = answers(&notes);
    assert_eq!(replayed.value(map, 4), Some(vec![1, 0, 0, 0]));
    assert_eq!(replayed.value(map, 4), None);
    assert_eq!(replayed.result(map), -2);
    assert!(!replayed.is_astray());
    assert_eq!(replayed.result(map), 0);
    assert!(replayed.is_astray());
}

#[test]
fn clocks_say_what_they_said() {
    let (live, notes) = noting();
    assert_eq!([live.clock(|| 5), live.clock(|| u64::MAX)], [5, u64::MAX]);
    live.set_aside(true);
    assert_eq!(live.clock(|| 7), 7, "nobody will ask again");
    let replayed = answers(&notes);
    assert_eq!([replayed.clock(|| 1), replayed.clock(|| 1)], [5, u64::MAX]);
    assert!(!replayed.is_astray());
    assert_eq!((replayed.clock(|| 1), replayed.is_astray()), (0, true));
}

#[test]
fn another_question_goes_astray() {
    let (live, notes) = noting();
    live.note_result(MapId(0), 3);
    let replayed = answers(&notes);
    assert_eq!(replayed.value(MapId(0), 4), None);
    assert!(replayed.is_astray());
}

#[test]
fn whole_maps_in_parts() {
    for (value, merged) in [
        (Value::Count, Merged::Total(crate::decode::Num::Unsigned(7))),
        (Value::Avg { signed: false }, Merged::Mean { total: crate::decode::Num::Unsigned(9), count: 2 }),
    ] {
        let spec = spec(value);
        let elements: Vec<Element> =
            (0..9000u64).map(|key| Element { key: key.to_ne_bytes().to_vec(), value: merged.clone() }).collect();
        let (live, notes) = noting();
        live.note_elements(MapId(0), &spec, &elements);
        let replayed = answers(&notes);
        assert_eq!(replayed.snapshot(MapId(0), &spec).elements, elements);
        assert!(!replayed.is_astray());
    }
}

#[test]
fn parts_of_the_kernel_and_ours() {
    let mut spec = spec(Value::Count);
    let (live, _) = noting();
    assert!(live.concern_elements(&spec, MapId(0)) && live.concern(MapId(0)));
    live.set_aside(true);
    assert!(!live.concern(MapId(0)), "nobody will ask again what such a block asks");
    live.set_aside(false);
    spec.home = Home::Both;
    assert!(!live.concern_elements(&spec, MapId(0)) && live.concern(MapId(0)));
    assert!(!live.concern(MapId(1)) && !Reads::Live.concern(MapId(0)));
}
