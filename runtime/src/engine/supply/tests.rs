use super::*;
use weftrace_artifact::{
    Place,
    action::StreamSpec,
    join::{LegAgg, LegSpec, Side},
    plan::Attach,
};

const A: StreamId = StreamId(0);
const B: StreamId = StreamId(1);
const C: StreamId = StreamId(2);
const S: u64 = 1_000_000_000;

fn probe(way: Way, unit: Unit, emits: &[StreamId]) -> ProbePlan {
    ProbePlan {
        name: "p".into(),
        reason: String::new(),
        best: Attach::new(way, unit),
        fallbacks: vec![],
        passed: vec![],
        session: None,
        place: Place::default(),
        wildcard: false,
        further: false,
        packet_needs: 0,
        asks: weftrace_artifact::packet::Asked::default(),
        emits: emits.to_vec(),
        maps: vec![],
    }
}

fn join(anchor: StreamId, legs: &[StreamId]) -> JoinSpec {
    let leg = |stream: &StreamId| LegSpec {
        name: "leg".into(),
        stream: *stream,
        agg: LegAgg::Count,
        value: None,
        interval: None,
        duration: false,
        keys: vec![],
        since_ns: None,
        side: Side::Any,
        off: false,
        place: Place::default(),
    };
    JoinSpec {
        name: "j".into(),
        anchor,
        start_offset: 0,
        end_offset: 0,
        filter: None,
        total: vec![],
        ids: vec![],
        legs: legs.iter().map(leg).collect(),
        blame: vec![],
        keep: Keep::All,
        max_anchors: 1,
        max_bytes: 1,
        timeout_ns: 1,
        place: Place::default(),
    }
}

/// The kernel emits A, packets B, the first join's blocks C.
fn supply(joins: Vec<JoinSpec>) -> (Supply, SourceId) {
    let raw = Way::RawTracepoint { event: "e".into() };
    let on = weftrace_artifact::plan::JoinEvent::Result;
    let artifact = Artifact {
        streams: vec![StreamSpec::default(); 3],
        joins,
        probes: vec![probe(raw, Unit::Kernel(0), &[A]), probe(Way::Join { join: 0, on }, Unit::Native(0), &[C])],
        ..Artifact::default()
    };
    let mut supply = Supply::new(&artifact);
    let packets = supply.add("pcap:any", "packets", S / 10, [B].into());
    (supply, packets)
}

#[test]
fn a_join_waits_for_its_own_sources_only() {
    let (mut supply, packets) = supply(vec![join(A, &[A]), join(A, &[B])]);
    supply.mark(BLOCKS, 10 * S, None);
    supply.mark(KERNEL, 9 * S, None);
    supply.mark(packets, 5 * S, None);
    assert_eq!(supply.watermark(0), 9 * S - KERNEL_LATENESS_NS);
    assert_eq!(supply.watermark(1), 5 * S - S / 10);
    assert_eq!(supply.all(), 5 * S - S / 10);
    assert!(supply.set_lateness("packets", S) && !supply.set_lateness("nothing", S));
    assert_eq!(supply.watermark(1), 4 * S);
}

#[test]
fn how_sure_the_times_of_two_streams_are() {
    let (mut supply, packets) = supply(vec![join(A, &[B])]);
    assert!(supply.take_changed() && !supply.take_changed());
    assert_eq!((supply.apart(A, A), supply.apart(B, B)), (0, 0), "each by one clock");
    assert_eq!(supply.apart(A, B), CLOCK_NS + PACKETS_NS);
    // What the readings of both clocks leave open is told in steps.
    for (width, step) in [(25_001, 30_000), (29_000, 30_000), (30_000, 30_000), (31_000, 40_000), (0, 0)] {
        supply.read_clocks(width);
        assert_eq!(supply.apart(B, A), CLOCK_NS + PACKETS_NS + step, "{width}");
    }
    assert!(supply.take_changed());
    supply.read_clocks(0);
    assert!(!supply.take_changed());
    assert!(supply.set_uncertainty("packets", 7) && !supply.set_uncertainty("nothing", 7));
    supply.read_clocks(1_000_000);
    assert_eq!(supply.apart(A, B), CLOCK_NS + 7, "as was said");
    // Two sources feed one stream: the least sure pair counts.
    supply.feed(KERNEL, [B]);
    assert_eq!((supply.apart(A, B), supply.apart(B, B), supply.apart(A, A)), (CLOCK_NS + 7, CLOCK_NS + 7, 0));
    // Recordings say it themselves; those that don't were made when it was one and the same for all.
    supply.replay();
    let recorded = supply.add_recorded("more");
    supply.feed(recorded, [C]);
    assert_eq!((supply.apart(A, A), supply.apart(A, B), supply.apart(A, C)), (UNSAID_NS, UNSAID_NS, UNSAID_NS));
    for source in [BLOCKS, KERNEL, packets, recorded] {
        supply.say_uncertainty(source, 100);
    }
    supply.read_clocks(1_000_000);
    assert_eq!((supply.apart(A, A), supply.apart(A, B), supply.apart(A, C)), (0, 200, 200));
}

/// What a join's blocks emit has times of what the join reads.
#[test]
fn a_joins_records_are_no_surer_than_what_it_reads() {
    let (mut supply, packets) = supply(vec![join(A, &[B]), join(C, &[A])]);
    assert_eq!((supply.apart(C, A), supply.apart(C, C)), (PACKETS_NS + CLOCK_NS, 0));
    supply.say_uncertainty(packets, S);
    assert_eq!((supply.apart(C, A), supply.apart(B, C)), (S + CLOCK_NS, 2 * S));
    // The command line knows better.
    assert!(supply.set_uncertainty("join:j", 7));
    assert_eq!(supply.apart(C, A), 7 + CLOCK_NS);
}

#[test]
fn what_is_under_way_holds_a_source_back_for_a_while() {
    let (mut supply, packets) = supply(vec![join(B, &[])]);
    supply.mark(BLOCKS, 60 * S, None);
    supply.mark(packets, 20 * S, Some(15 * S));
    assert_eq!(supply.watermark(0), 15 * S);
    supply.mark(packets, 40 * S, Some(15 * S));
    assert_eq!(supply.watermark(0), 30 * S);
    supply.mark(packets, 40 * S, None);
    assert_eq!(supply.watermark(0), 40 * S - S / 10);
}

#[test]
fn a_join_that_another_feeds_comes_after_it() {
    let (mut supply, _) = supply(vec![join(A, &[]), join(C, &[])]);
    supply.mark(BLOCKS, 10 * S, None);
    supply.mark(KERNEL, 10 * S, None);
    assert_eq!(supply.watermark(1), 0);
    supply.joined(0, 8 * S);
    assert_eq!(supply.watermark(1), 8 * S - JOIN_LATENESS_NS);
    // One that feeds itself doesn't wait for itself.
    let (mut supply, _) = super::tests::supply(vec![join(C, &[])]);
    supply.mark(BLOCKS, 10 * S, None);
    assert_eq!(supply.watermark(0), 10 * S);
}

#[test]
fn records_that_came_late_are_waited_for_from_then_on() {
    let (mut supply, _) = supply(vec![join(A, &[])]);
    supply.mark(BLOCKS, 10 * S, None);
    supply.mark(KERNEL, 10 * S, None);
    supply.came_from(0, 10 * S - 5_000_000);
    assert_eq!(supply.watermark(0), 10 * S - KERNEL_LATENESS_NS);
    supply.came_from(0, 10 * S - 50_000_000);
    assert_eq!(supply.watermark(0), 10 * S - 100_000_000);
    supply.came_from(0, 1);
    assert_eq!(supply.watermark(0), 9 * S, "bounded");
    // A join's block emits of old times by its nature.
    supply.came_from(1, 1);
}

#[test]
fn a_source_that_stands_still_is_left_out_and_taken_in_again() {
    let (mut supply, packets) = supply(vec![join(A, &[B])]);
    let mut seen = Vec::new();
    supply.mark(packets, S, None);
    for now in 1..=6 {
        supply.mark(BLOCKS, now * S, None);
        supply.mark(KERNEL, now * S, None);
        assert_eq!(supply.stalls(now * S, &mut seen), []);
        assert_eq!(supply.watermark(0), S - S / 10);
    }
    supply.mark(BLOCKS, 7 * S, None);
    supply.mark(KERNEL, 7 * S, None);
    let stall = |now, change| Stall { source: packets, interval: (S - S / 10, now), change };
    assert_eq!(supply.stalls(7 * S, &mut seen), [stall(7 * S, Change::Begins)]);
    assert_eq!(supply.watermark(0), 7 * S - KERNEL_LATENESS_NS);
    supply.mark(KERNEL, 8 * S, None);
    assert_eq!(supply.stalls(8 * S, &mut seen), [stall(8 * S, Change::GoesOn)]);
    supply.mark(packets, 8 * S, None);
    assert_eq!(supply.stalls(9 * S, &mut seen).iter().map(|s| s.change).collect::<Vec<_>>(), [Change::Ends]);
    assert_eq!(supply.watermark(0), 7 * S.min(8 * S - S / 10));
}

/// One that is known to have gone isn't waited for.
#[test]
fn a_source_that_has_gone_is_left_out_at_once() {
    let (mut supply, packets) = supply(vec![join(A, &[B])]);
    let mut seen = Vec::new();
    for source in [packets, BLOCKS, KERNEL] {
        supply.mark(source, S, None);
    }
    assert_eq!(supply.stalls(S, &mut seen), []);
    supply.set_gone(packets, true);
    let stall = |now, change| Stall { source: packets, interval: (S - S / 10, now), change };
    assert_eq!(supply.stalls(S + 1, &mut seen), [stall(S + 1, Change::Begins)]);
    assert_eq!(supply.stalls(S + 2, &mut seen), [stall(S + 2, Change::GoesOn)]);
    supply.set_gone(packets, false);
    supply.mark(packets, 2 * S, None);
    assert_eq!(supply.stalls(2 * S, &mut seen).iter().map(|s| s.change).collect::<Vec<_>>(), [Change::Ends]);
}

/// Live a watermark goes back when it is learned how late a source can be, or when something is found to be under way. A replay that took the
/// newest for it would close joins that waited live.
#[test]
fn a_recorded_watermark_may_have_gone_back() {
    let joins = || vec![join(A, &[A, B])];
    let ((mut live, packets), (mut replay, its)) = (supply(joins()), supply(joins()));
    replay.replay();
    let steps: [(u64, Option<u64>, Option<u64>); 4] =
        [(10, None, None), (20, Some(19), None), (30, None, Some(12)), (40, None, None)];
    for (now, late, hold) in steps {
        live.mark(BLOCKS, now * S, None);
        live.mark(KERNEL, now * S, None);
        live.mark(packets, now * S, hold.map(|s| s * S));
        if let Some(late) = late {
            live.came_from(0, late * S);
        }
        for (source, own) in [(BLOCKS, BLOCKS), (KERNEL, KERNEL), (packets, its)] {
            replay.set_mark(own, live.get(source).expect("there").watermark());
        }
        assert_eq!(replay.watermark(0), live.watermark(0), "at {now}");
    }
}
