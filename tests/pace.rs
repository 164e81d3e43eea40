//! When joins go on while a capture is read, and by which times their blocks count.

mod traced;

use std::{fs, path::PathBuf};
use traced::{folder, lines, text, weftrace};

/// Of the first packet, in whole seconds since the epoch: buckets of windows begin with it.
const BEGIN: u64 = 1_700_000_000;
const MS: u64 = 1_000_000;

/// A capture of datagrams, each so many ms after [`BEGIN`].
fn capture(name: &str, times: impl Iterator<Item = u64>) -> PathBuf {
    const RAW: u32 = 101;
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let mut frame = vec![0x45, 0, 0, 29, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    frame.extend([0x9c, 0x40, 0x1f, 0x90, 0, 9, 0, 0, b'x']);
    let mut bytes = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, RAW]);
    for ms in times {
        let (seconds, us) = (BEGIN + ms / 1000, 1000 * (ms % 1000));
        bytes.extend(words(&[seconds as u32, us as u32, frame.len() as u32, frame.len() as u32]));
        bytes.extend(&frame);
    }
    let path = folder().join(format!("pace-{name}-{}.pcap", std::process::id()));
    fs::write(&path, bytes).expect("writable");
    path
}

/// What a script prints of such a capture, without the summaries of its joins.
fn printed(name: &str, times: impl Iterator<Item = u64>, script: &str, more: &[&str]) -> Vec<String> {
    let path = capture(name, times);
    let read = ["run", "-q", "-e", script, "--read", path.to_str().expect("UTF-8")];
    let output = weftrace(&[&read[..], more].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    fs::remove_file(path).expect("there");
    let mut all = lines(&output.stdout);
    all.retain(|line| !line.contains(" kept of "));
    all
}

const EACH: &str = r"
pcap:any { emit some.packet(pid = 1, start = nsecs, end = nsecs); }
join each { from r = some.packet(); }
join:each { @n = count(); }
";

/// Ten packets a second: what intervals print is there by then.
#[test]
fn intervals_find_what_was_joined_before_them() {
    let script = format!("{EACH} interval:s:60 {{ print(@n); clear(@n); }} END {{ clear(@n); }}");
    let found = printed("slow", (0..1900).map(|i| i * 100), &script, &[]);
    assert_eq!(found, ["@n: 600", "@n: 600", "@n: 600"]);
}

/// Where packets stop for long joins have gone on before the next one comes, and intervals meanwhile know it.
#[test]
fn joins_go_on_while_no_packet_comes() {
    let asks =
        r#"interval:s:2 /@asked < 4/ { @asked++; printf("%d\n", rate(@n, 5s)); } END { clear(@n); clear(@asked); }"#;
    let times = (0..20).chain([100_000]);
    assert_eq!(printed("gap", times, &format!("{EACH} {asks}"), &[]), ["20", "20", "0", "0"]);
}

/// A request of 200 ms that ends at 4 s, and whose service goes on for 260 ms behind its answer.
fn with_spans(name: &str, asks: &str) -> Vec<String> {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let at = |ms: u64| BEGIN * 1000 * MS + ms * MS;
    let span = format!(
        r#"{{"trace_id": "{TRACE}", "span_id": "00f067aa0ba902b7", "name": "b", "service": "a", "start": {}, "end": {}}}"#,
        at(3850),
        at(4260)
    );
    let spans = folder().join(format!("pace-{name}-{}.spans", std::process::id()));
    fs::write(&spans, span + "\n").expect("writable");
    let script = format!(
        r#"import "std/otel";
        pcap:any /frame.number == 2001/ {{
          emit web.request(trace_id = "{TRACE}", start = nsecs - 200ms, end = nsecs);
        }}
        join web {{ from r = web.request(); handler = sum(app.span.dur) by trace_id; blame handler; }}
        join:web {{ @n = count(); printf("%s %d of %d ms\n", handler.state, handler.charged / 1ms, total / 1ms); }}
        {asks} END {{ clear(@n); }}"#
    );
    // Enough packets for joins to go on by their number alone, too.
    let found = printed(name, (0..7400).map(|i| 2 * i), &script, &["--spans", spans.to_str().expect("UTF-8")]);
    fs::remove_file(spans).expect("there");
    found
}

/// As live: spans are waited for that end later than the request, though they were in the file before it.
#[test]
fn a_recorded_span_that_ends_after_the_request() {
    assert_eq!(with_spans("spans", ""), ["value 150 of 200 ms"]);
}

/// The result comes six seconds after its request, as spans may; from then on it is in what the last seconds brought.
#[test]
fn what_a_late_join_counts_is_in_rates_from_then_on() {
    let asks = r#"interval:s:1 /@asked < 14/ { @asked++; printf("%d ", rate(@n, 2s)); } interval:s:14 { printf("\n"); } END { clear(@asked); }"#;
    assert_eq!(with_spans("rates", asks), ["0 0 0 0 0 0 0 0 0 0 value 150 of 200 ms", "1 1 0 0 "]);
}

/// One join's results, which wait for what is by another clock, are in time for another that reads them.
#[test]
fn a_join_waits_for_results_that_another_tells() {
    let script = r#"import "std/otel";
        pcap:any { emit some.packet(pid = (uint32)1, trace_id = "a", start = nsecs, end = nsecs); }
        join first { from r = some.packet(); spans = count(app.span) by trace_id; }
        join:first { emit its.result(pid = (uint32)1, start = r.start, end = r.end); }
        join second { from r = its.result(); all = count(some.packet) by pid; }
        join:second { @told[all.state] = count(); }
        join:second:late { @late = count(); }"#;
    let options = ["--spans", "/dev/null", "--uncertainty", "spans=200ms"];
    let found = printed("chain", (0..3000).map(|i| 10 * i), script, &options);
    assert_eq!(found, ["@told[value]: 3000"]);
}
