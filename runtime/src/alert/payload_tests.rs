use super::*;
use crate::alert::target::AlertTargets;
use weftrace_artifact::{
    Place,
    alert::{AlertSpec, SinkSpec, ValueFrom},
};

fn notice(message: &str) -> Notice {
    Notice {
        alert: 0,
        name: "slow".into(),
        state: State::Firing,
        labels: vec![("path".into(), "/a".into())],
        message: message.into(),
        condition: "total > 1s".into(),
        since: 1_700_000_000_000_000_000,
        time: 1_700_000_060_000_000_000,
        untold: 0,
        record: None,
    }
}

fn target(kind: SinkKind) -> Target {
    let sinks = vec![SinkSpec {
        kind,
        at: Some(ValueFrom::Script("http://127.0.0.1:1/x".into())),
        secret: None,
        place: Place::default(),
    }];
    let alert = AlertSpec { name: "a".into(), sinks, ..AlertSpec::default() };
    AlertTargets::resolve("s", (&[alert], &[]), None, &|_| None).expect("resolved").targets.remove(0)
}

fn sent(kind: SinkKind, notices: &[Notice]) -> Vec<(serde_json::Value, u64)> {
    let all = posts(&target(kind), "tcp/x", notices);
    all.iter().map(|post| (serde_json::from_slice(&post.body).expect("JSON"), post.count)).collect()
}

#[test]
fn nobody_is_mentioned() {
    let evil = notice("<!channel> <@U1> & \"quoted\" \\x");
    let slack = &sent(SinkKind::Slack, std::slice::from_ref(&evil))[0].0;
    let text = slack["text"].as_str().expect("text");
    assert!(text.contains("&lt;!channel&gt; &lt;@U1&gt; &amp; \"quoted\" \\x"), "{text}");
    assert_eq!((slack["mrkdwn"].as_bool(), slack["link_names"].as_bool()), (Some(false), Some(false)));
    for kind in [SinkKind::WeCom, SinkKind::DingTalk] {
        let body = &sent(kind, std::slice::from_ref(&evil))[0].0;
        assert_eq!(body["msgtype"], "text");
        assert!(!body["text"]["content"].as_str().expect("text").contains("<@"));
    }
    assert_eq!(sent(SinkKind::DingTalk, &[evil])[0].0["at"]["isAtAll"], false);
}

/// Each text is within its chat's limit, whatever is in it, and no notice is left out.
#[test]
fn texts_keep_the_limits() {
    let long = ["x", "é", "<", "&", "\\", "\"", "中"].map(|c| notice(&c.repeat(3000)));
    let many: Vec<Notice> = (0..300).map(|n| notice(&format!("number {n}"))).chain(long).collect();
    for (kind, at) in
        [(SinkKind::Slack, "/text"), (SinkKind::WeCom, "/text/content"), (SinkKind::DingTalk, "/text/content")]
    {
        let all = sent(kind, &many);
        assert_eq!(all.iter().map(|(_, count)| count).sum::<u64>(), many.len() as u64);
        for (body, _) in &all {
            let text = body.pointer(at).and_then(|t| t.as_str()).expect("text");
            assert!(text.len() <= limits(kind).0, "{kind:?}: {}", text.len());
            assert!(kind != SinkKind::DingTalk || body.to_string().len() <= 20_000);
            // No escape is cut in two.
            assert!(kind != SinkKind::Slack || text.matches('&').count() == text.matches(';').count(), "{text}");
        }
        assert!(all.len() < 40, "{kind:?}: {} requests", all.len());
    }
}

#[test]
fn objects_for_a_webhook() {
    let all = sent(SinkKind::Webhook, &vec![notice("m"); 100]);
    assert_eq!(all.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [64, 36]);
    assert_eq!((&all[0].0["script"], &all[0].0["alerts"][3]["message"]), (&"tcp/x".into(), &"m".into()));
}

#[test]
fn signed_for_dingtalk() {
    let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    // python3: base64(hmac_sha256(key, f"{ms}\n{key}")), then quoted
    assert_eq!(
        dingtalk_signature("SEC000", at),
        "timestamp=1700000000123&sign=sfIVrdfmjPzssgIjwXIb%2BNnWxgSLBOPLKTaeh8eheC0%3D"
    );
}

#[test]
fn alertmanager_and_pushgateway() {
    let gone = Notice { state: State::Resolved, labels: vec![("job".into(), "a\"b\\c".into())], ..notice("m") };
    let post = alertmanager("s", &[&notice("m"), &gone], 1_700_000_100_000_000_000);
    let list: serde_json::Value = serde_json::from_slice(&post.body).expect("JSON");
    assert_eq!(list[0]["labels"]["alertname"], "slow");
    assert_eq!(list[0]["endsAt"], "2023-11-14T22:19:00.000000000Z");
    assert_eq!(list[1]["endsAt"], "2023-11-14T22:15:00.000000000Z");
    let post = pushgateway("/metrics/job/weftrace", &[&notice("m"), &gone]);
    let text = String::from_utf8(post.body).expect("text");
    assert!(text.ends_with(
        "weftrace_alert_firing{alertname=\"slow\",path=\"/a\"} 1\nweftrace_alert_firing{alertname=\"slow\",exported_job=\"a\\\"b\\\\c\"} 0\n"
    ), "{text}");
    assert!(push_group("tcp/x", "h").starts_with("/metrics/job/weftrace/script@base64/dGNwL3g/instance@base64/"));
}

/// No label is there twice, whatever a script calls its keys.
#[test]
fn labels_of_the_pushgateways_own() {
    let labels = [("job", "a"), ("exported_job", "b"), ("script", "c")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let post = pushgateway("/x", &[&Notice { labels: labels.into(), ..notice("m") }]);
    let text = String::from_utf8(post.body).expect("text");
    let wanted = "exported_exported_job=\"a\",exported_job=\"b\",exported_script=\"c\"} 1\n";
    assert!(text.ends_with(wanted), "{text}");
}
