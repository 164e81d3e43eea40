use super::*;
use crate::alert::worker::tests::{notice, target};

fn sender(kind: SinkKind) -> (Sender, Arc<Shared>) {
    let shared = Arc::new(Shared::default());
    (Sender::new(&target(kind), "s", Client::default(), Arc::clone(&shared)), shared)
}

/// Groups beyond what a sink with a memory keeps are no part of what it takes, and it is told.
#[test]
fn groups_beyond_its_memory() {
    for kind in [SinkKind::Alertmanager, SinkKind::Pushgateway] {
        let (mut sender, shared) = sender(kind);
        let many: Vec<Notice> = (0..REMEMBERED + 3).map(notice).collect();
        let taken: u64 = sender.posts(&many, true).iter().map(|post| post.count).sum();
        assert_eq!(taken, REMEMBERED as u64);
        // One that is known is no new one.
        assert_eq!(sender.posts(&many[..1], true).iter().map(|post| post.count).sum::<u64>(), 1);
        let said = &shared.news().said;
        assert!(
            said.len() == 1 && said[0].ends_with("more than 10000 groups: what fires beyond them is not sent"),
            "{said:?}"
        );
    }
}

fn why(kind: SinkKind, answer: &str) -> String {
    let answer = Answer::of(answer.as_bytes()).expect("an answer");
    judged(&target(kind), &answer).map_or_else(|failed| failed.why, |()| String::new())
}

/// What a receiver echoes of its address is not told, nor the part of it that is left where the answer is cut.
#[test]
fn secrets_are_not_echoed() {
    let body = |text: &str| format!("HTTP/1.1 404 x\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    assert_eq!(why(SinkKind::Webhook, &body("no /TOPSECRET here")), "it answers 404 (no (secret) here)");
    let long = why(SinkKind::Webhook, &body(&format!("{}TOPSECRET", "x".repeat(195))));
    assert!(!long.contains("TOP"), "{long}");
    let robot = "HTTP/1.1 200 OK\r\n\r\n{\"errcode\": 93000, \"errmsg\": \"invalid TOPSECRET\"}";
    assert_eq!(
        why(SinkKind::WeCom, robot),
        "it refuses: 93000 ({\"errcode\": 93000, \"errmsg\": \"invalid (secret)\"})"
    );
}
