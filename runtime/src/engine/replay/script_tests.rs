use super::*;
use crate::maps::tests::spec;
use weftrace_artifact::{
    Place,
    action::{Action, ActionKind, Piece},
    map::{MapId, Value},
    ty::{Field, Type},
};

fn printf(text: &str, args: usize) -> Action {
    let ty = Type::Int { bytes: 8, signed: false };
    let field = |n: usize| Field { name: None, ty: ty.clone(), offset: 8 * n as u32, bits: None };
    let kind = ActionKind::Printf(vec![Piece::Text(text.into())]);
    Action { kind, args: (0..args).map(field).collect(), size: 8 * args as u32, place: Place::default() }
}

fn exit() -> Action {
    Action { kind: ActionKind::Exit, ..printf("", 1) }
}

fn unwatch() -> Action {
    Action { kind: ActionKind::Unwatch, ..printf("", 1) }
}

fn script(actions: &[Action]) -> Artifact {
    Artifact { actions: actions.to_vec(), ..Artifact::default() }
}

#[test]
fn actions_are_found_again() {
    let recorded = signs(&script(&[printf("a", 1), printf("b", 1), exit(), unwatch()]));
    let own = |actions: &[Action]| own_actions(&recorded, &script(actions));
    assert_eq!(own(&[printf("a", 1), printf("b", 1), exit(), unwatch()]), [Some(0), Some(1), Some(2), None]);
    // In another order, with others between.
    assert_eq!(own(&[exit(), printf("b", 1), printf("c", 2), printf("a", 1)])[..3], [Some(3), Some(1), Some(0)]);
    // Another text is the same action, unless there are several that it could be.
    assert_eq!(own(&[printf("a", 1), printf("B", 1), exit()])[..3], [Some(0), Some(1), Some(2)]);
    assert_eq!(own(&[printf("x", 1), printf("b", 1), printf("y", 1)])[..3], [None, Some(1), None]);
    // Another layout is another action.
    assert_eq!(own(&[printf("a", 2), printf("b", 1)])[..2], [None, Some(1)]);
}

#[test]
fn maps_are_what_they_are_called() {
    let clear = |map: u32| Action { kind: ActionKind::Clear { map: MapId(map) }, args: Vec::new(), ..printf("", 0) };
    let map = |name: &str| MapSpec { name: name.into(), ..spec(None, Value::Count) };
    let recorded =
        Artifact { maps: vec![map("@a"), map("@b")], actions: vec![clear(0), clear(1)], ..Artifact::default() };
    let later = Artifact {
        maps: vec![map("@b"), map("@c"), map("@a")],
        actions: vec![clear(0), clear(2)],
        ..Artifact::default()
    };
    assert_eq!(own_actions(&signs(&recorded), &later), [Some(1), Some(0)]);
    let maps: Vec<_> = recorded.maps.iter().map(|spec| (spec.name.clone(), spec.key_size, spec.value_size)).collect();
    assert_eq!(own_maps(&maps, &later), [Some(2), Some(0)]);
}
