use super::*;

fn made(text: &str) -> (SinkKind, Option<ValueFrom>, Option<ValueFrom>) {
    let sink = sink(text).expect("a sink");
    (sink.kind, sink.at, sink.secret)
}

fn why(text: &str) -> String {
    sink(text).expect_err("refused")
}

fn env(name: &str) -> ValueFrom {
    ValueFrom::Env(name.into())
}

fn given(text: &str) -> ValueFrom {
    ValueFrom::Script(text.into())
}

#[test]
fn sinks_as_they_are_written() {
    assert_eq!(made("stderr"), (SinkKind::Stderr, None, None));
    assert_eq!(made("file=a,b=c.ndjson"), (SinkKind::File, Some(given("a,b=c.ndjson")), None));
    assert_eq!(
        made("alertmanager=http://127.0.0.1:9093"),
        (SinkKind::Alertmanager, Some(given("http://127.0.0.1:9093")), None)
    );
    assert_eq!(made("slack"), (SinkKind::Slack, Some(env("WEFTRACE_SLACK_WEBHOOK")), None));
    assert_eq!(made("slack=env:TEAM"), (SinkKind::Slack, Some(env("TEAM")), None));
    assert_eq!(made("wecom=file:/etc/hook").1, Some(ValueFrom::File("/etc/hook".into())));
    assert_eq!(
        made("dingtalk,key_env=K"),
        (SinkKind::DingTalk, Some(env("WEFTRACE_DINGTALK_WEBHOOK")), Some(env("K")))
    );
    let (kind, at, secret) = made("webhook=https://h.example/?a=1,b=2,token_file=/run/token");
    assert_eq!((kind, at), (SinkKind::Webhook, Some(given("https://h.example/?a=1,b=2"))));
    assert_eq!(secret, Some(ValueFrom::File("/run/token".into())));
}

/// Command lines are read by everybody: no secret stands in one.
#[test]
fn secrets_are_elsewhere() {
    let slack = why("slack=https://hooks.slack.com/services/T/B/TOPSECRET");
    assert!(
        slack.ends_with("write slack=env:NAME, slack=file:PATH, or slack alone (WEFTRACE_SLACK_WEBHOOK)"),
        "{slack}"
    );
    assert!(why("webhook=https://a:TOPSECRET@h.example/").contains("write webhook=env:NAME"));
    let token = why("alertmanager=http://127.0.0.1:9093,token=TOPSECRET");
    assert_eq!(token, "a secret doesn't stand on a command line; write token_env=NAME or token_file=PATH");
    for why in [slack, token] {
        assert!(!why.contains("TOPSECRET"), "{why}");
    }
}

#[test]
fn labels_are_names_and_texts() {
    assert_eq!(label("instance=web-3:a=b"), Ok(("instance".into(), "web-3:a=b".into())));
    for wrong in ["instance", "=x", "9a=x", "a-b=x", "alertname=x", "a=x\ny"] {
        assert!(label(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    assert_eq!(why("slak"), "alerts can't be sent to `slak`; there is slack");
    assert!(why("mail=a@b").starts_with("alerts can't be sent to `mail`; there is stderr, file, webhook"));
    assert_eq!(why("file"), "`file` doesn't say where; write file=PATH");
    assert!(why("webhook=here").starts_with("`here` is no address; write webhook=http://HOST:PORT"));
    assert_eq!(why("stderr=x"), "stderr takes nothing");
    assert_eq!(why("slack=env:X,token_env=T"), "slack has no option token_env");
}
