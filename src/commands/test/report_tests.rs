use super::*;
use std::time::Duration;

fn reports() -> Vec<Report> {
    let outcome = |name: &str, verdict| Outcome { name: name.into(), verdict, took: Duration::from_millis(12) };
    vec![
        Report {
            script: "tcp/a".into(),
            outcomes: vec![
                outcome("a.pcap", Verdict::Passed),
                outcome("a.b.pcap", Verdict::Failed("--- a.b.expect\n-<x> & \u{1b}[31m\n+\"y\"".into())),
                outcome("a.test.probe", Verdict::Skipped("needs CAP_BPF # really".into())),
            ],
            coverage: Some(Err("it was ended".into())),
        },
        Report { script: "tcp/b".into(), outcomes: Vec::new(), coverage: None },
    ]
}

#[test]
fn text_is_for_people() {
    let text = text(&reports(), &["tcp/gone.expect".into()], false);
    let expected = "\
ok       tcp/a  a.pcap
FAILED   tcp/a  a.b.pcap
    --- a.b.expect
    -<x> & \\x1b[31m
    +\"y\"
skipped  tcp/a  a.test.probe
    needs CAP_BPF # really
                coverage is not known: it was ended
no fixture: tcp/b
fixtures without a script: tcp/gone.expect
1 passed, 1 failed, 1 skipped
";
    assert_eq!(text, expected);
}

#[test]
fn tap_is_version_14() {
    let expected = "\
TAP version 14
1..3
ok 1 - tcp/a a.pcap
not ok 2 - tcp/a a.b.pcap
  ---
  message: |
    --- a.b.expect
    -<x> & \\x1b[31m
    +\"y\"
  ...
ok 3 - tcp/a a.test.probe # SKIP needs CAP_BPF # really
";
    assert_eq!(tap(&reports(), &[]), expected);
}

#[test]
fn junit_is_xml_whatever_was_printed() {
    let text = junit(&reports());
    assert!(text.contains("<testsuites name=\"weftrace\" tests=\"3\" failures=\"1\" skipped=\"1\">"), "{text}");
    assert!(text.contains("<testcase classname=\"tcp/a\" name=\"a.pcap\" time=\"0.012\"/>"), "{text}");
    assert!(text.contains("-&lt;x&gt; &amp; \\x1b[31m\n+&quot;y&quot;</failure>"), "{text}");
    assert!(text.contains("<skipped message=\"needs CAP_BPF # really\"/>") && !text.contains("tcp/b"), "{text}");
}
