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
        // One that is known is no new one, however often it comes.
        let twice = [many[0].clone(), many[0].clone()];
        assert_eq!(sender.posts(&twice, true).iter().map(|post| post.count).sum::<u64>(), 2);
        assert_eq!(sender.posts(&many[..1], true).iter().map(|post| post.count).sum::<u64>(), 1);
        let said = &shared.news().said;
        assert!(
            said.len() == 1 && said[0].ends_with("more than 10000 groups: what fires beyond them is not sent"),
            "{said:?}"
        );
    }
}

/// Each request counts what it is the first to have: that one of several is not taken is a loss.
#[test]
fn counted_where_they_are() {
    let (mut sender, _) = sender(SinkKind::Alertmanager);
    let many: Vec<Notice> = (0..1200).map(notice).collect();
    let counts = |posts: Vec<Post>| posts.iter().map(|post| post.count).collect::<Vec<_>>();
    assert_eq!(counts(sender.posts(&many, true)), [500, 500, 200]);
    // The last in the order of labels ("n" = "999"), and what is sent again.
    assert_eq!(counts(sender.posts(&many[999..1000], true)), [0, 0, 1]);
    assert_eq!(counts(sender.posts(&[], true)), [0, 0, 0]);
}

/// At a Pushgateway those that are over stay, at 0, as long as there is room.
#[test]
fn those_that_are_over_make_room() {
    let (mut sender, shared) = sender(SinkKind::Pushgateway);
    let over = |n| Notice { state: State::Resolved, ..notice(n) };
    let lines = |posts: &[Post]| posts.iter().flat_map(|post| post.body.iter()).filter(|b| **b == b'\n').count() - 2;
    assert_eq!(lines(&sender.posts(&[notice(0), over(1)], true)), 2);
    let many: Vec<Notice> = (2..REMEMBERED).map(over).collect();
    assert_eq!(lines(&sender.posts(&many, true)), REMEMBERED);
    assert_eq!(lines(&sender.posts(&[notice(REMEMBERED)], true)), 2);
    assert!(shared.news().said.is_empty());
}

/// What is sent again and not taken is told once.
#[test]
fn failures_of_what_is_sent_again() {
    let (mut sender, shared) = sender(SinkKind::Alertmanager);
    let post = |sender: &mut Sender, batch: &[Notice]| sender.posts(batch, true).remove(0);
    let first = post(&mut sender, &[notice(0)]);
    sender.failed(&first, "x".into(), true);
    assert_eq!(std::mem::take(&mut shared.news().said), ["alerts: alertmanager (of HOOK): 1 alert not sent: x"]);
    sender.failing = false;
    let again = post(&mut sender, &[]);
    (0..2).for_each(|_| drop(sender.failed(&again, "x".into(), true)));
    let said = std::mem::take(&mut shared.news().said);
    assert_eq!(said, ["alerts: alertmanager (of HOOK): what fires still was not sent again: x"]);
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
