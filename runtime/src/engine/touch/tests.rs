use super::*;
use weftrace_artifact::{Place, action::StreamSpec, plan::Attach};

fn probe(name: &str, kernel: bool, emits: &[u32], maps: &[u32]) -> ProbePlan {
    let way = if kernel {
        Way::RawTracepoint { event: name.into() }
    } else {
        Way::Pcap { interface: "any".into(), filter: None }
    };
    ProbePlan {
        name: name.into(),
        reason: String::new(),
        best: Attach::new(way, if kernel { Unit::Kernel(0) } else { Unit::Native(0) }),
        fallbacks: vec![],
        passed: vec![],
        session: None,
        place: Place::default(),
        wildcard: false,
        further: false,
        packet_needs: 0,
        asks: weftrace_artifact::packet::Asked::default(),
        emits: emits.iter().map(|s| StreamId(*s)).collect(),
        maps: maps.to_vec(),
    }
}

fn touch(probes: Vec<ProbePlan>) -> (Touch, Artifact) {
    let artifact = Artifact { streams: vec![StreamSpec::default(); 5], probes, ..Artifact::default() };
    (Touch::new(&artifact), artifact)
}

fn ids(streams: &[StreamId]) -> Vec<u32> {
    streams.iter().map(|s| s.0).collect()
}

#[test]
fn a_miss_touches_what_depends_on_the_probe() {
    // entry → @a → return → @b → later; alone has nothing to do with them.
    let (touch, _) = touch(vec![
        probe("entry", true, &[], &[0]),
        probe("later", true, &[2], &[1]),
        probe("alone", true, &[3], &[7]),
        probe("return", true, &[0], &[0, 1]),
    ]);
    for kind in [LossKind::Missed, LossKind::Recursion, LossKind::MapFull, LossKind::Read, LossKind::Nested] {
        assert_eq!(ids(&touch.streams("entry", kind)), [0, 2], "{kind:?}");
    }
    assert_eq!(ids(&touch.streams("alone", LossKind::Missed)), [3]);
    assert!(touch.matters(0));
    // What it printed was lost, not what others emit.
    assert_eq!(ids(&touch.streams("entry", LossKind::RingFull)), [] as [u32; 0]);
    assert_eq!(ids(&touch.streams("later", LossKind::RingFull)), [2]);
    assert_eq!(ids(&touch.streams("events", LossKind::Unread)), [0, 2, 3]);
    assert_eq!(ids(&touch.streams("records", LossKind::Malformed)), [0, 1, 2, 3, 4]);
    assert!(touch.streams("names", LossKind::Mappings).is_empty());
}

#[test]
fn packets_that_were_dropped_touch_the_blocks_on_their_source() {
    let mut probes =
        vec![probe("pcap:a", false, &[0], &[]), probe("pcap:a", false, &[1], &[]), probe("pcap:b", false, &[2], &[])];
    probes[0].packet_needs = needs::HTTP;
    probes[1].packet_needs = needs::SEGMENTS;
    let (mut touch, artifact) = touch(probes);
    touch.add_packets("pcap:any", &[0, 1], &artifact);
    assert_eq!(ids(&touch.streams("pcap:any", LossKind::Packets)), [0, 1]);
    assert_eq!(ids(&touch.streams("pcap:any", LossKind::Analysis("http_gaps"))), [0]);
    assert_eq!(ids(&touch.streams("pcap:any", LossKind::Analysis("segments"))), [1]);
    assert_eq!(ids(&touch.streams("pcap:any", LossKind::Analysis("fragments"))), [0, 1]);
    // A record lacks something that no stream has.
    assert!(ids(&touch.streams("pcap:any", LossKind::Analysis("attributes"))).is_empty());
    assert_eq!(ids(&touch.streams("pcap:a", LossKind::RingFull)), [0, 1]);
    // A log record without its trace is missed by what asks for logs.
    touch.add_packets("spans", &[0, 1], &artifact);
    touch.add_logs("spans", std::iter::once(1));
    assert_eq!(ids(&touch.streams("spans", LossKind::Analysis("untraced"))), [1]);
    assert_eq!(ids(&touch.streams("spans", LossKind::Unusable)), [0, 1]);
}

/// What a recording has of streams is its own: losses of the packets here touch the others alone.
#[test]
fn streams_of_a_recording_lack_nothing_that_other_blocks_miss() {
    let mut probes = vec![probe("pcap:a", false, &[0], &[]), probe("pcap:a", false, &[1], &[])];
    probes[0].packet_needs = needs::HTTP;
    let (mut touch, artifact) = touch(probes);
    touch.add_packets("pcap:any", &[0, 1], &artifact);
    assert!(touch.leave_out("pcap:any", |stream| stream == StreamId(0)));
    assert_eq!(ids(&touch.streams("pcap:any", LossKind::Packets)), [1]);
    assert!(touch.streams("pcap:any", LossKind::Analysis("http_gaps")).is_empty());
    // The script that was recorded: it has all.
    assert!(!touch.leave_out("pcap:any", |_| true));
    assert!(touch.streams("pcap:any", LossKind::Packets).is_empty());
}
