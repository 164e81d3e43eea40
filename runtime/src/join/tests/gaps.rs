//! Stretches in which something is missing.

use super::*;
use crate::join::gaps::{Asked, Gaps, Losses};
use weftrace_artifact::ty::Field;

const WHY: Option<&str> = Some("evicted");

#[test]
fn what_grows_backwards_is_missing_from_its_begin() {
    let mut gaps = Gaps::default();
    gaps.add((100, 110), 1, None);
    gaps.add((200, 210), 1, WHY);
    gaps.add((50, 205), 1, WHY);
    // More than are kept apart: those that lie closest become one.
    for i in 0..300 {
        gaps.add((1000 + 10 * i, 1001 + 10 * i), 1, None);
    }
    assert_eq!(gaps.within((60, 70)), Some((3, WHY)));
    assert!(gaps.within((0, 49)).is_none() && gaps.within((4100, 5000)).is_none());
    let all = gaps.within((0, 10_000)).map(|(count, _)| count);
    assert_eq!(all, Some(303), "each is counted");
}

#[test]
fn what_is_over_is_forgotten_beside_what_lasts() {
    let mut gaps = Gaps::default();
    gaps.add((0, u64::MAX), 1, WHY);
    for i in 1..5 {
        gaps.add((10 * i, 10 * i), 1, None);
    }
    gaps.forget_before(40);
    assert_eq!(gaps.within((0, 100)), Some((2, WHY)));
}

/// However many of a result's streams a loss touches.
#[test]
fn a_loss_is_counted_once() {
    let mut losses = Losses::default();
    let within = |losses: &Losses, asked: &[StreamId], window| {
        losses
            .within(&asked.iter().map(|stream| Asked::within(*stream, window)))
            .map(|(lost, why)| (lost, why.map(str::to_owned)))
    };
    losses.add((10, 20), vec![LOSS, CONNECT], 5, None);
    losses.add((10, 20), vec![LOSS], 2, None);
    losses.add((30, 40), vec![CONNECT], 1, WHY);
    assert_eq!(within(&losses, &[LOSS, CONNECT], (0, 25)), Some((7, None)));
    assert_eq!(within(&losses, &[CONNECT], (0, 25)), Some((5, None)));
    assert_eq!(within(&losses, &[CONNECT, LOSS], (0, 35)), Some((7, Some("evicted".into()))));
    assert_eq!(within(&losses, &[REQUEST], (0, 100)), None);
    // What lasts is missing of one stream alone.
    losses.forget_before(25, &[CONNECT]);
    assert_eq!(within(&losses, &[LOSS], (0, 25)), None);
    assert_eq!(within(&losses, &[LOSS, CONNECT], (0, 25)), Some((5, None)));
    losses.forget_before(50, &[CONNECT]);
    assert_eq!(within(&losses, &[CONNECT], (0, 100)), Some((5, Some("evicted".into()))));
}

/// Of several streams that last it is one loss still, and merged with what passes it lasts.
#[test]
fn what_lasts_is_merged_and_lasts() {
    let mut losses = Losses::default();
    losses.add((10, 20), vec![LOSS, CONNECT, REQUEST], 5, None);
    for i in 0..300 {
        losses.add((30 + 2 * i, 31 + 2 * i), vec![CONNECT], 1, None);
    }
    losses.add((632, 640), vec![CONNECT], 0, Some("stalled"));
    losses.forget_before(700, &[CONNECT, REQUEST]);
    let since = |since| {
        let asked = [CONNECT, REQUEST].map(|stream| Asked { stream, window: (700, 800), since });
        losses.within(&asked.into_iter()).map(|(lost, _)| lost)
    };
    assert_eq!((since(5), since(700)), (Some(305), None));
    assert!(since(625).is_some_and(|lost| (1..=60).contains(&lost)), "{:?}", since(625));
}

#[test]
fn more_sets_of_streams_than_are_told_apart_touch_no_less() {
    let mut losses = Losses::default();
    for i in 0..200 {
        losses.add((10, 20), vec![StreamId(i), StreamId(1000 + i)], 1, None);
    }
    for i in 0..200 {
        let lost = losses.within(&[i, 1000 + i].into_iter().map(|i| Asked::within(StreamId(i), (15, 15))));
        assert!(lost.is_some_and(|(lost, _)| lost >= 1), "{i}");
    }
    let all = losses.within(&(0..2000).map(|i| Asked::within(StreamId(i), (15, 15))));
    assert_eq!(all, Some((200, None)));
}

/// What a join doesn't read it doesn't lack.
#[test]
fn losses_of_other_streams_are_none_of_a_joins() {
    let mut all = streams();
    all.push(StreamSpec { name: "other".into(), ..all[LOSS.0 as usize].clone() });
    let mut engine = Engine::new(spec(), &all);
    engine.lost((S, 2 * S), &[StreamId(3)], 5, None);
    assert_eq!(engine.summary().lost, 0);
    engine.lost((S, 2 * S), &[StreamId(3), LOSS], 2, None);
    assert_eq!(engine.summary().lost, 2);
}

/// A request whose end was not seen, while packets were lost, may have been over long before: what its total consists of isn't known.
#[test]
fn of_an_anchor_that_was_torn_nothing_is_the_applications() {
    let mut streams = streams();
    let end = streams[REQUEST.0 as usize].size;
    let field = Field { name: Some("complete".into()), offset: end, ty: Type::Bool, bits: None };
    streams[REQUEST.0 as usize].fields.push(field);
    streams[REQUEST.0 as usize].size = end + 8;
    let key = conn(7, 5000, (11, 22));
    let told = |complete: u8, lost: &[StreamId], at: u64| {
        let mut engine = Engine::new(spec(), &streams);
        engine.lost((at, at), lost, 3, None);
        let mut request = request(&key, "a", S, 2 * S, 3 * S, true);
        request.extend([complete, 0, 0, 0, 0, 0, 0, 0]);
        let mut out = Vec::new();
        engine.record(CONNECT, 2 * S, &span(&key, S), &mut Handlers, &mut |o| out.push(o));
        engine.record(REQUEST, 3 * S, &request, &mut Handlers, &mut |o| out.push(o));
        engine.flush(&mut Handlers, &mut |o| out.push(o));
        let result = results(out).remove(0);
        (result.legs[0].charged, result.app, result.unknown, result.torn)
    };
    assert_eq!(told(1, &[REQUEST], 2500 * MS), (S, S, 0, None), "seen whole");
    assert_eq!(told(0, &[REQUEST], 9 * S), (S, S, 0, None), "nothing was lost meanwhile");
    assert_eq!(told(0, &[REQUEST], 2500 * MS), (S, 0, S, Some(3)));
}
