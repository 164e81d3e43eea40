//! How sure it is that a leg's record belongs to its anchor, where bindings lead to it.

use super::*;

/// A leg by the connection, whose records have none: what matches is the process, which others use too.
#[test]
fn what_goes_by_a_process_is_no_surer_than_that() {
    let key = conn(7, 5000, (11, 22));
    let mut spec = bound_spec();
    spec.legs[1].keys = vec![LegKey { kind: KeyKind::Conn, leg: None, anchor: at(REQUEST, "conn") }];
    spec.legs[0].keys = vec![LegKey { kind: KeyKind::Conn, leg: None, anchor: at(REQUEST, "conn") }];
    let found = outcomes(
        spec,
        &[
            tie(Tie { conn: Some(key), pid: 40, goroutine: 9, start: S / 2, ..Tie::default() }),
            pause(40, 20 * MS, 1700 * MS),
            poll(9, 40, 100 * MS, 1500 * MS),
            (REQUEST, 2 * S, request(&key, "a", S, S, 2 * S, true)),
        ],
    );
    assert_eq!((&found[1].state, found[1].via, found[1].key), (&value(20), Via::Overlap, "pid"));
    assert_eq!((&found[0].state, found[0].via, found[0].key), (&value(100), Via::Exact, "conn"));
}
