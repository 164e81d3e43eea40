use super::*;
use crate::join::{LegOutcome, Status};
use weftrace_artifact::{
    action::StreamSpec,
    ty::{Type, lay_out},
};

fn result(peer: usize) -> JoinResult {
    let (fields, size) = lay_out([(Some("server".to_owned()), Type::Str { cap: 16 })]);
    let stream = StreamSpec { name: "s".into(), fields, size };
    let mut anchor = format!("peer-{peer}").into_bytes();
    anchor.resize(16, 0);
    let legs: Vec<LegOutcome> = Vec::new();
    JoinResult::new((stream.into(), anchor.into()), (0, 10), legs, (10, 0), Status::Closed)
}

/// Whoever asks is one of very many: they are counted all the same.
#[test]
fn peers_beyond_those_that_are_named_are_told() {
    let mut summary = Summary::default();
    for peer in (0..MAX_PEERS).chain([7]) {
        summary.kept(&result(peer));
    }
    assert_eq!(summary.text("j"), "j: 1,025 kept of 0: app 1,025 (peer peer-7: 2). Lost: 0.");
    for peer in MAX_PEERS..MAX_PEERS + 1_500 {
        summary.kept(&result(peer));
    }
    let expected = "j: 2,525 kept of 0: app 2,525 (peer peer-7: 2, others than the first 1,024: 1,500). Lost: 0.";
    assert_eq!(summary.text("j"), expected);
    let all = summary.by_layer();
    let layer = &all[0];
    assert_eq!(layer.peers.iter().map(|(_, n)| n).sum::<u64>() + layer.other_peers, layer.count);
}

/// Without `keep` all that there was is kept, slow or not, whatever the join is called.
#[test]
fn what_is_kept_is_slow_where_the_join_chooses() {
    let mut summary = Summary { seen: 1, ..Summary::default() };
    summary.kept(&result(7));
    assert!(summary.text("slow_http").starts_with("slow_http: 1 kept of 1: "));
    assert!(summary.heartbeat("slow_http").contains("1 kept so far"));
    summary.chooses = true;
    assert!(summary.text("slow_http").starts_with("slow_http: 1 slow of 1: "));
    assert!(summary.heartbeat("slow_http").contains("1 slow so far"));
}
