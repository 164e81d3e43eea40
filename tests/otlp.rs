//! `--otlp-metrics` and `--otlp-logs`: what a collector gets that reads with OpenTelemetry's own messages, and what is told of what it doesn't take.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]
#![allow(clippy::float_cmp, reason = "whole numbers")]

#[path = "otel/python.rs"]
mod python;

use python::{Collector, python};
use serde_json::Value;
use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// Requests with a traceparent, on the wire.
const TRACED: &str = "scripts/http/traces.pcap";

fn weftrace(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weftrace"))
        .args(args)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .stdin(Stdio::null())
        .output()
        .expect("weftrace runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The metrics of a name, in the order in which they came.
fn named<'a>(all: &'a [Value], name: &str) -> Vec<&'a Value> {
    all.iter().filter(|part| part["signal"] == "metrics" && part["name"] == name).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

fn attribute(part: &Value, name: &str) -> Option<String> {
    let found = part["attributes"].as_array()?.iter().find(|pair| pair["key"] == name)?;
    found["value"].as_object()?.values().next().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
}

/// Each kind of map as OpenTelemetry has it, again and again and once more at the end; a collector that is busy is asked again.
#[test]
fn maps_as_metrics() {
    let Some(python) = python() else { return };
    let collector = Collector::start(&python, &["503"]);
    let program = r#"
        begin { @lat["a\"b"] = hist(0); @lat["a\"b"] = hist(5); @lat["a\"b"] = hist(1000); @fine = hist(100, 3); @lin = lhist(15, 0, 30, 10);
            @mean = avg(10); @mean = avg(20); @low = min(-5); @huge = max(18446744073709551615); @text = "t"; }
        interval:200ms { @ticks = count(); if (@n++ == 20) { exit(); } }
        end { @last = count(); }"#;
    let args = ["run", "-q", "--otlp-metrics", &collector.url, "--otlp-every", "1s", "-e", program];
    let output = weftrace(&args);
    let said = text(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let all = collector.end();
    assert!(all.iter().all(|part| part["signal"] == "metrics"));
    let resource = &all[0]["resource"];
    assert!(resource["service.name"] == "weftrace" && resource["weftrace.script"] == "-e", "{resource}");
    // Counters only grow, from one start on.
    let ticks = named(&all, "weftrace_map_ticks");
    assert!(ticks.len() >= 3, "{ticks:?}");
    let points: Vec<&Value> = ticks.iter().map(|metric| &metric["sum"]["dataPoints"][0]).collect();
    assert!(points.is_sorted_by(|a, b| number(&a["asInt"]) <= number(&b["asInt"])), "{points:?}");
    assert!(points.is_sorted_by(|a, b| number(&a["timeUnixNano"]) < number(&b["timeUnixNano"])), "{points:?}");
    assert!(points.iter().all(|point| point["startTimeUnixNano"] == points[0]["startTimeUnixNano"]));
    let sum = &ticks[0]["sum"];
    assert!(
        sum["aggregationTemporality"] == "AGGREGATION_TEMPORALITY_CUMULATIVE" && sum["isMonotonic"] == true,
        "{sum}"
    );
    assert!(number(&points[points.len() - 1]["asInt"]) >= 20.0, "{points:?}");
    // What END counted is in the last.
    assert_eq!(named(&all, "weftrace_map_last").len(), 1);
    // 0 is in the zeros; 5 in (4, 8] and 1000 in (512, 1024]: OTLP's 2 and 9.
    let lat = &named(&all, "weftrace_map_lat")[0]["exponentialHistogram"]["dataPoints"][0];
    assert_eq!(
        (lat["count"].as_str(), lat["zeroCount"].as_str(), lat.get("scale")),
        (Some("3"), Some("1"), None),
        "{lat}"
    );
    assert_eq!((attribute(lat, "key").as_deref(), lat.get("sum")), (Some("a\"b"), None), "{lat}");
    let positive = &lat["positive"];
    assert_eq!(positive["offset"], 2);
    assert_eq!(positive["bucketCounts"], serde_json::json!(["1", "0", "0", "0", "0", "0", "0", "1"]));
    let fine = &named(&all, "weftrace_map_fine")[0]["exponentialHistogram"]["dataPoints"][0];
    // 100 is in [96, 104): the middle of its numbers lies in (98.7, 107.6], which is number 53.
    assert_eq!((fine["scale"].as_i64(), fine["positive"]["offset"].as_i64()), (Some(3), Some(53)), "{fine}");
    let lin = &named(&all, "weftrace_map_lin")[0]["histogram"]["dataPoints"][0];
    assert_eq!(lin["explicitBounds"], serde_json::json!([-1.0, 9.0, 19.0, 29.0]), "{lin}");
    assert_eq!(lin["bucketCounts"], serde_json::json!(["0", "0", "1", "0", "0"]), "{lin}");
    let mean = &named(&all, "weftrace_map_mean")[0]["summary"]["dataPoints"][0];
    assert_eq!((mean["count"].as_str(), number(&mean["sum"])), (Some("2"), 30.0), "{mean}");
    assert_eq!(named(&all, "weftrace_map_low")[0]["gauge"]["dataPoints"][0]["asInt"], "-5");
    assert!(number(&named(&all, "weftrace_map_huge")[0]["gauge"]["dataPoints"][0]["asDouble"]) > 1.8e19);
    assert!(named(&all, "weftrace_map_text").is_empty() && !named(&all, "weftrace_events").is_empty());
    assert!(named(&all, "weftrace_scrapes").is_empty(), "nobody can ask");
    assert!(!named(&all, "weftrace_probe_runs").is_empty());
}

/// What was cleared counts from then on.
#[test]
fn maps_that_begin_anew() {
    let Some(python) = python() else { return };
    let collector = Collector::start(&python, &[]);
    let program =
        "interval:100ms { @a = count(); @b = count(); if (@t++ == 15) { clear(@a); } if (@t == 30) { exit(); } }";
    let output = weftrace(&["run", "-q", "--otlp-metrics", &collector.url, "--otlp-every", "1s", "-e", program]);
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let all = collector.end();
    let begins = |name: &str| -> Vec<f64> {
        named(&all, name).iter().map(|m| number(&m["sum"]["dataPoints"][0]["startTimeUnixNano"])).collect()
    };
    let (a, b) = (begins("weftrace_map_a"), begins("weftrace_map_b"));
    assert!(b.iter().all(|begin| *begin == b[0]) && a[0] == b[0], "{a:?} {b:?}");
    assert!(a[a.len() - 1] > a[0] + 1e9, "{a:?}");
}

/// Requests on the wire that name a trace are examples of what is counted of them.
#[test]
fn exemplars_of_packets() {
    let Some(python) = python() else { return };
    let collector = Collector::start(&python, &[]);
    let program = "pcap:any:\"tcp\" /http.exchange/ { @n = count(); @ms = lhist((http.exchange.end - http.exchange.start) / 1ms, 0, 1000, 100); }";
    let output = weftrace(&["run", "-q", "--read", TRACED, "--otlp-metrics", &collector.url, "-e", program]);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    let all = collector.end();
    let sum = &named(&all, "weftrace_map_n")[0]["sum"]["dataPoints"][0]["exemplars"][0];
    assert_eq!((sum["asInt"].as_str(), sum["traceId"].as_str().map(str::len)), (Some("1"), Some(32)), "{sum}");
    assert_eq!(sum["spanId"].as_str().map(str::len), Some(16), "{sum}");
    let point = &named(&all, "weftrace_map_ms")[0]["histogram"]["dataPoints"][0];
    assert!(point["exemplars"].as_array().is_some_and(|all| all.iter().any(|e| e["traceId"] == TRACE)), "{point}");
}

/// Alerts, printed results and lines; values of headers and queries stay here, as in any output.
#[test]
fn alerts_results_and_lines_as_logs() {
    let Some(python) = python() else { return };
    let collector = Collector::start(&python, &["503"]);
    let program = r#"
        import "std/http";
        join j { from r = http.request(); ids r.trace_id; }
        join:j { print(args); printf("%s ", r.method); printf("%s\tdone\n", r.path); @n = count(); }
        alert "many" on join:j when 1 group by r.method message "%s took %d", r.path, total to stderr labels team = "net";
        begin { print(7); errorf("it went wrong"); printf("\x1b[2Jx\nno end"); }"#;
    let output = weftrace(&["run", "-q", "--read", TRACED, "--otlp-logs", &collector.url, "-e", program]);
    let said = text(&output.stderr);
    assert!(!said.contains("were not taken"), "{said}");
    let all = collector.end();
    let body = |part: &Value| part["body"]["stringValue"].as_str().unwrap_or_default().to_owned();
    let of = |name: &str| -> Vec<&Value> { all.iter().filter(|part| part["eventName"] == name).collect() };
    let lines: Vec<(String, &str)> =
        of("weftrace.line").into_iter().map(|l| (body(l), l["severityText"].as_str().unwrap_or_default())).collect();
    for expected in [("7", "INFO"), ("it went wrong", "ERROR"), ("\\x1b[2Jx", "INFO")] {
        assert!(lines.contains(&(expected.0.to_owned(), expected.1)), "{expected:?} {lines:?}");
    }
    // Two printf make a line, whose tab stays.
    assert!(lines.iter().any(|(line, _)| line.contains("GET /") && line.ends_with("\tdone")), "{lines:?}");
    let results = of("weftrace.join_result");
    assert!(!results.is_empty() && results.iter().all(|r| r["severityNumber"] == "SEVERITY_NUMBER_INFO"), "{all:?}");
    let traced = results.iter().find(|r| r["traceId"] == TRACE).unwrap_or_else(|| panic!("{results:?}"));
    assert_eq!(attribute(traced, "weftrace.join").as_deref(), Some("j"));
    assert!(attribute(traced, "http.request.method").is_some() && attribute(traced, "weftrace.total_ns").is_some());
    let alerts = of("weftrace.alert");
    let first = alerts.first().unwrap_or_else(|| panic!("{all:?}"));
    assert_eq!((first["severityText"].as_str(), attribute(first, "team").as_deref()), (Some("WARN"), Some("net")));
    assert_eq!(attribute(first, "weftrace.alert.state").as_deref(), Some("firing"));
    assert!(body(first).starts_with("ALERT  many  ") && first["traceId"].is_string(), "{first}");
    assert!(all.iter().all(|part| number(&part["timeUnixNano"]) > 1e18), "{all:?}");
}

/// What follows the `?` of a path stays here, unless it is asked for.
#[test]
fn query_strings_in_logs() {
    let Some(python) = python() else { return };
    let program = "import \"std/http\"; join j { from r = http.request(); } join:j { print(args); }";
    for (option, shown) in [("-q", false), ("--no-redact", true)] {
        let collector = Collector::start(&python, &[]);
        let capture = "scripts/http/errors.pcap";
        weftrace(&["run", option, "--read", capture, "--otlp-logs", &collector.url, "-e", program]);
        let all = serde_json::to_string(&collector.end()).expect("JSON");
        assert!(all.contains("/api/orders?") && all.contains("id=7") == shown, "{option}: {all}");
    }
}

/// What is refused or can't be sent is counted, and told the first time too.
#[test]
fn what_is_not_taken_is_told() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let url = format!("http://127.0.0.1:{port}");
    let program = "begin { printf(\"a\\nb\\n\"); @n = count(); exit(); }";
    let output = weftrace(&["run", "-q", "--otlp-logs", &url, "--otlp-metrics", &url, "-e", program]);
    let said = text(&output.stderr);
    assert!(said.contains(&format!("--otlp-logs {url}/v1/logs: 2 of 2 records were not taken: ")), "{said}");
    assert!(said.contains("--otlp-metrics") && said.contains(" points were not taken: "), "{said}");
    let Some(python) = python() else { return };
    let collector = Collector::start(&python, &["partial"]);
    let program = "begin { printf(\"a\\nb\\n\"); } interval:3s { exit(); }";
    let output = weftrace(&["run", "-q", "--otlp-logs", &collector.url, "-e", program]);
    let said = text(&output.stderr);
    assert!(said.contains("records are not taken: not this one"), "{said}");
    assert!(said.contains("1 of 3 records were not taken: not this one"), "{said}");
    let got = collector.end();
    assert!(got.iter().any(|part| part["body"]["stringValue"] == "a"), "{got:?}");
}

#[test]
fn addresses_that_are_wrong() {
    for (args, why) in [
        (["--otlp-metrics", "https://collector"], "https is not spoken here"),
        (["--otlp-logs", "http://127.0.0.1:4318/v1/traces"], "is for something else; write http://127.0.0.1:4318"),
        (["--otlp-every", "5s"], "--otlp-metrics"),
        (["--metrics-series", "5"], "--otlp-metrics"),
    ] {
        let output = weftrace(&["run", args[0], args[1], "-e", "begin { exit(); }"]);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(why), "{args:?} {}", text(&output.stderr));
    }
    let often = ["run", "--otlp-metrics", "http://h", "--otlp-every", "10ms", "-e", "begin { exit(); }"];
    let said = text(&weftrace(&often).stderr);
    assert!(said.contains("too often; write 1s or more"), "{said}");
}

/// Nothing is sent of a run that only looks.
#[test]
fn a_dry_run_sends_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("settable");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let file = std::env::temp_dir().join(format!("weftrace-otlp-dry-{}", std::process::id()));
    let path = file.display().to_string();
    weftrace(&[
        "run",
        "-o",
        &path,
        "--dry-run",
        "--otlp-metrics",
        &url,
        "--otlp-logs",
        &url,
        "-e",
        "interval:1s { @ = count(); }",
    ]);
    assert!(listener.accept().is_err());
    let _ = fs::remove_file(file);
}
