//! What records hold is told as it is, and in one order.

use super::*;
use crate::decode::Num;

#[test]
fn values_have_the_sign_of_their_type() {
    let fields = [("conn", Type::Conn), ("by", Type::Int { bytes: 2, signed: true })];
    let (fields, size) = lay_out(fields.into_iter().map(|(n, t)| (Some(n.to_owned()), t)));
    let mut all = streams();
    all[LOSS.0 as usize] = StreamSpec { name: "change".into(), fields, size };
    let at = IntAt { offset: CONN_KEY_SIZE, size: 2, signed: true };
    let least = |signed| {
        let value = Some(IntAt { signed, ..at });
        let change = LegSpec { value, duration: false, ..leg("change", LOSS, LegAgg::Min, None) };
        let mut engine = Engine::new(JoinSpec { legs: vec![change], blame: Vec::new(), ..spec() }, &all);
        let mut out = Vec::new();
        let key = conn(7, 5000, (11, 22));
        for by in [3i16, -2] {
            let payload = [key.to_bytes().to_vec(), by.to_ne_bytes().to_vec()].concat();
            engine.record(LOSS, 1500 * MS, &payload, &mut Handlers, &mut |o| out.push(o));
        }
        engine.record(REQUEST, 2 * S, &request(&key, "a", S, S, 2 * S, true), &mut Handlers, &mut |o| out.push(o));
        engine.flush(&mut Handlers, &mut |o| out.push(o));
        results(out).remove(0).legs.remove(0).state
    };
    assert_eq!((least(true), least(false)), (State::Value(-2), State::Value(3)));
}

/// All 64 bits are the number's, in what is compared and in what is told.
#[test]
fn large_unsigned_values_are_large() {
    let told = |agg, signed| {
        let value = Some(IntAt { offset: CONN_KEY_SIZE, size: 8, signed });
        let leg = LegSpec { value, duration: false, ..leg("n", LOSS, agg, None) };
        let key = conn(7, 5000, (11, 22));
        let records = [
            (LOSS, 1500 * MS, span(&key, 0xffff_ffff_ffff_fff0)),
            (LOSS, 1600 * MS, span(&key, 4)),
            (REQUEST, 2 * S, request(&key, "a", S, S, 2 * S, true)),
        ];
        let r = only(JoinSpec { legs: vec![leg], blame: Vec::new(), ..spec() }, &records);
        let text = r.text.lines().nth(2).expect("three lines").split(" | ").next().expect("a leg").trim().to_owned();
        (text, r.legs[0].value())
    };
    let said = |n: u64| (format!("n {n}"), Some(Num::Unsigned(n)));
    assert_eq!(told(LegAgg::Max, false), said(0xffff_ffff_ffff_fff0));
    assert_eq!(told(LegAgg::Min, false), said(4));
    assert_eq!(told(LegAgg::Avg, false), said(0x7fff_ffff_ffff_fffa));
    assert_eq!(
        [told(LegAgg::Max, true).0, told(LegAgg::Min, true).0, told(LegAgg::Avg, true).0],
        ["n 4", "n -16", "n -6"]
    );
}

/// Several legs that read one stream, each in its own way.
#[test]
fn a_record_without_a_key_is_counted_once() {
    let none = ConnKey::default();
    let legs = [LegAgg::Sum, LegAgg::Count, LegAgg::Max].into_iter().enumerate();
    let legs = legs.map(|(i, agg)| LegSpec { value: None, duration: i == 0, ..leg("n", LOSS, agg, None) }).collect();
    let mut engine = Engine::new(JoinSpec { legs, blame: Vec::new(), ..spec() }, &streams());
    for n in 0..3 {
        engine.record(LOSS, S + n, &span(&none, 5), &mut Handlers, &mut |_| {});
    }
    assert_eq!(engine.summary().keyless, 3);
}

#[test]
fn a_field_of_the_anchor_is_told_with_its_sign() {
    let mut r = only(spec(), &[(REQUEST, 2 * S, request(&conn(7, 5000, (1, 2)), "a", S, S, 2 * S, true))]);
    let int = |bytes, signed| Type::Int { bytes, signed };
    let fields = [("i8", int(1, true)), ("u8", int(1, false)), ("i64", int(8, true)), ("u64", int(8, false))];
    let (fields, size) = lay_out(fields.into_iter().map(|(n, t)| (Some(n.to_owned()), t)));
    r.anchor = vec![0xff; size as usize].into();
    r.stream = StreamSpec { name: "s".into(), fields, size }.into();
    assert_eq!(["i8", "u8", "i64", "u64"].map(|name| r.field(name)), ["-1", "255", "-1", "18446744073709551615"]);
}

/// A replay is the same to the byte: what is told at once is told in an order that doesn't depend on the run.
#[test]
fn orphans_of_one_time_come_in_the_same_order_in_every_run() {
    let fields = [("id", Type::Str { cap: 16 }), ("n", Type::U64)];
    let (fields, size) = lay_out(fields.into_iter().map(|(n, t)| (Some(n.to_owned()), t)));
    let mut all = streams();
    all[LOSS.0 as usize] = StreamSpec { name: "by_id".into(), fields, size };
    let at = KeyAt { offset: 0, pid: None, cap: 16 };
    let by_id = LegSpec {
        keys: vec![LegKey { kind: KeyKind::Id, leg: Some(at), anchor: None }],
        value: None,
        ..leg("by_id", LOSS, LegAgg::Count, None)
    };
    let record = |n: u64| {
        let mut out = vec![0; size as usize];
        let id = format!("id-{}", n / 2);
        out[..id.len()].copy_from_slice(id.as_bytes());
        out[16..24].copy_from_slice(&n.to_ne_bytes());
        out
    };
    let order = |arrival: &mut dyn Iterator<Item = u64>| {
        let mut engine = Engine::new(JoinSpec { legs: vec![by_id.clone()], blame: Vec::new(), ..spec() }, &all);
        let mut out = Vec::new();
        for n in arrival {
            engine.record(LOSS, S, &record(n), &mut Handlers, &mut |o| out.push(o));
        }
        engine.flush(&mut Handlers, &mut |o| out.push(o));
        let payload = |o: Output| if let Output::Orphan { payload, .. } = o { payload } else { unreachable!() };
        out.into_iter().map(payload).collect::<Vec<_>>()
    };
    let first = order(&mut (0..40));
    assert_eq!(first.len(), 40);
    assert_eq!(order(&mut (0..40)), first);
    assert_eq!(order(&mut (0..40).rev()), first);
}

#[test]
fn orphans_are_told() {
    let out = run(spec(), &[(LOSS, S, span(&conn(7, 5000, (1, 2)), MS))], |_| {});
    assert!(matches!(out[..], [Output::Orphan { leg: 1, .. }]));
}

/// A record is no orphan of the legs that used it, however many legs read it in the same way.
#[test]
fn orphans_of_many_legs_are_those_of_each() {
    let key = conn(7, 5000, (11, 22));
    // Some see what was 5 s before the anchor.
    let sees = |n: usize| n % 3 == 1 || n == 32 || n == 64;
    let leg = |n: usize| leg(&format!("leg{n}"), LOSS, LegAgg::Sum, sees(n).then_some(10 * S));
    let spec = JoinSpec { legs: (0..70).map(leg).collect(), blame: Vec::new(), total: Vec::new(), ..spec() };
    let records = [(LOSS, S, span(&key, 10 * MS)), (REQUEST, 7 * S, request(&key, "a", 0, 6 * S, 7 * S, false))];
    let out = run(spec, &records, |_| {});
    let mut orphans: Vec<usize> = out
        .iter()
        .filter_map(|o| if let Output::Orphan { leg, .. } = o { Some(*leg as usize) } else { None })
        .collect();
    orphans.sort_unstable();
    assert_eq!(orphans, (0..70).filter(|n| !sees(*n)).collect::<Vec<_>>());
    let result = results(out).remove(0);
    for (n, leg) in result.legs.iter().enumerate() {
        let expected = if sees(n) { State::Value((10 * MS) as i64) } else { State::None };
        assert_eq!(leg.state, expected, "{n}");
    }
}
