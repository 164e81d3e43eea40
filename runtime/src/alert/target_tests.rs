use super::*;

fn alert(kind: SinkKind, at: ValueFrom, secret: Option<ValueFrom>) -> AlertSpec {
    let sinks = vec![SinkSpec { kind, at: Some(at), secret, place: Place::default() }];
    AlertSpec { name: "a".into(), sinks, ..AlertSpec::default() }
}

fn env(name: &str) -> Option<String> {
    let text = match name {
        "HOOK" => "http://127.0.0.1/s/TOPSECRET\n",
        "PLAIN" => "http://h.example/s/TOPSECRET",
        "LINES" => "TOPSECRET\r\nX-Other: 1",
        _ => return None,
    };
    Some(text.to_owned())
}

fn variable(name: &str) -> ValueFrom {
    ValueFrom::Env(name.into())
}

fn why(alert: AlertSpec) -> String {
    AlertTargets::resolve("s", (&[alert], &[]), None, &env).expect_err("refused").text
}

#[test]
fn secrets_are_not_shown() {
    let alerts = [alert(SinkKind::Slack, variable("HOOK"), None), alert(SinkKind::Slack, variable("HOOK"), None)];
    let made = AlertTargets::resolve("s", (&alerts, &[]), None, &env).expect("resolved");
    assert_eq!((made.targets.len(), &made.of), (1, &vec![vec![0], vec![0]]));
    assert_eq!(made.targets[0].at.reveal(), "http://127.0.0.1/s/TOPSECRET");
    assert!(!format!("{made:?}").contains("TOPSECRET"));
    assert_eq!(made.targets[0].name, "slack (of HOOK)");
}

#[test]
fn what_is_missing_is_told() {
    let other = why(alert(SinkKind::Slack, variable("OTHER"), None));
    assert_eq!(other, "alert \"a\": slack: the environment variable OTHER isn't set");
    let file = why(alert(SinkKind::Slack, ValueFrom::File("/nowhere/x".into()), None));
    assert!(file.contains("/nowhere/x: No such file"), "{file}");
    let token = Some(variable("HOOK"));
    let plain = why(alert(SinkKind::Webhook, ValueFrom::Script("http://h.example/".into()), token.clone()));
    assert!(plain.contains("https only"), "{plain}");
    let near = alert(SinkKind::Webhook, ValueFrom::Script("http://127.0.0.1:1/".into()), token);
    assert!(AlertTargets::resolve("s", (&[near], &[]), None, &env).is_ok());
}

/// Sinks of the command line are every alert's, once each; what is wrong with one has no place in the script.
#[test]
fn more_sinks() {
    let own = alert(SinkKind::Slack, variable("HOOK"), None);
    let other = alert(SinkKind::File, ValueFrom::Script("f".into()), None);
    let more = own.sinks.clone();
    let made = AlertTargets::resolve("s", (&[own, other], &more), None, &env).expect("resolved");
    assert_eq!((made.targets.len(), &made.of), (2, &vec![vec![0], vec![1, 0]]));
    let missing = alert(SinkKind::Slack, variable("OTHER"), None);
    let plain = AlertSpec { sinks: Vec::new(), ..missing.clone() };
    let why = AlertTargets::resolve("s", (&[plain], &missing.sinks), None, &env).expect_err("refused");
    assert_eq!((why.place, why.text.as_str()), (None, "slack: the environment variable OTHER isn't set"));
}

/// Whoever reads a chat's address on the way can write there.
#[test]
fn chats_over_https_only() {
    for kind in [SinkKind::Slack, SinkKind::WeCom, SinkKind::DingTalk] {
        let why = why(alert(kind, variable("PLAIN"), None));
        assert!(why.ends_with("its address is a secret, which goes over https only, or to this machine"), "{why}");
        assert!(AlertTargets::resolve("s", (&[alert(kind, variable("HOOK"), None)], &[]), None, &env).is_ok());
    }
    // One whose address is none.
    assert!(
        AlertTargets::resolve("s", (&[alert(SinkKind::Webhook, variable("PLAIN"), None)], &[]), None, &env).is_ok()
    );
}

/// A token with a line's end would write headers of its own.
#[test]
fn secrets_are_one_line() {
    let near = ValueFrom::Script("http://127.0.0.1:1/".into());
    let why = why(alert(SinkKind::Webhook, near, Some(variable("LINES"))));
    assert!(
        why.ends_with("the environment variable LINES has a control character (\\r): it is one line of plain text"),
        "{why}"
    );
    assert!(!why.contains("TOPSECRET"));
}

/// A file of certificates that isn't one is told before anything has to be sent; where nothing goes over https nobody reads it.
#[test]
#[cfg(feature = "tls")]
fn certificates_are_read_at_the_start() {
    let file = std::env::temp_dir().join(format!("weftrace-no-certificates-{}", std::process::id()));
    let path = file.display().to_string();
    let hook = |scheme: &str| alert(SinkKind::Webhook, ValueFrom::Script(format!("{scheme}://127.0.0.1:1/")), None);
    let resolve =
        |scheme: &str| AlertTargets::resolve("s", (&[hook(scheme)], &[]), Some(&path), &env).map_err(|e| e.text);
    assert!(
        resolve("https").is_err_and(|why| why.contains("(--ca-file, SSL_CERT_FILE): ") && why.contains("No such file"))
    );
    for (text, wanted) in [
        ("no PEM\n", "no certificate in PEM form"),
        ("-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n", "no certificates in PEM form"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "can't be trusted"),
    ] {
        fs::write(&file, text).expect("written");
        let why = resolve("https").expect_err("refused");
        assert!(why.contains(&path) && why.contains(wanted), "{why}");
    }
    assert!(resolve("http").is_ok());
    let _ = fs::remove_file(&file);
}
