use super::{
    MAX_ATTRIBUTES, NotUnpacked, Record, Taken, bytes_of, fuzz_telemetry, inflate, json, left_out, lines, otlp,
    proto::Writer, without_their_trace,
};
use weftrace_artifact::telemetry::{Signal, has};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const START: u64 = 1_700_000_000_000_000_000;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect()
}

fn text_pair(w: &mut Writer, field: u32, key: &str, value: &str) {
    w.message(field, |pair| {
        pair.text(1, key);
        pair.message(2, |any| any.text(1, value));
    });
}

/// A request with one span whose parts `change` may replace. The resource stands behind its spans: nothing says that it can't.
fn request(change: impl Fn(&mut Writer)) -> Vec<u8> {
    let mut request = Writer::default();
    request.message(1, |group| {
        group.message(2, |scoped| {
            scoped.message(2, |span| {
                span.bytes(1, &bytes(TRACE));
                span.bytes(2, &bytes(SPAN));
                span.text(5, "GET /orders/:id");
                span.varint(6, 2);
                span.fixed64(7, START);
                span.fixed64(8, START + 2_000_000);
                text_pair(span, 9, "http.request.method", "GET");
                span.message(9, |pair| {
                    pair.text(1, "http.response.status_code");
                    pair.message(2, |any| any.varint(3, 200));
                });
                span.message(11, |event| event.text(2, "retry"));
                span.message(15, |status| {
                    status.text(2, "no stock");
                    status.varint(3, 2);
                });
                change(span);
            });
            scoped.message(1, |scope| scope.text(1, "flask"));
        });
        group.message(1, |resource| text_pair(resource, 1, "service.name", "checkout"));
    });
    request.0
}

fn check(record: &Record) {
    assert_eq!((record.trace_id.as_str(), record.span_id.as_str()), (TRACE, SPAN));
    assert_eq!((record.kind, record.status, record.status_message.as_str()), ("server", "error", "no stock"));
    assert_eq!((record.start, record.end), (START, START + 2_000_000));
    assert_eq!(record.name, "GET /orders/:id");
    assert_eq!(record.sender.service, "checkout");
    assert_eq!(record.attributes.get("http.request.method"), Some("GET"));
    assert_eq!(record.attributes.get("http.response.status_code"), Some("200"));
    assert_eq!(record.sender.resource.get("service.name"), Some("checkout"));
    let view = record.view((1, 2));
    assert_eq!(view.layers, has::HERE | has::TRACE | has::SPAN_ID | has::SERVICE);
    assert_eq!((view.start, view.end, view.duration), (1, 2, 2_000_000));
}

#[test]
fn a_span_by_each_of_the_three_ways() {
    let taken = otlp::request(Signal::Span, &request(|_| {}), 0).expect("a request");
    assert_eq!((taken.records.len(), taken.rejected), (1, 0));
    check(&taken.records[0]);
    assert_eq!((&*taken.records[0].scope, taken.records[0].events), ("flask", 1));

    let text = format!(
        r#"{{"resourceSpans": [{{"resource": {{"attributes": [{{"key": "service.name", "value": {{"stringValue": "checkout"}}}}]}},
        "scopeSpans": [{{"scope": {{"name": "flask"}}, "spans": [{{"traceId": "{}", "spanId": "{SPAN}", "name": "GET /orders/:id",
        "kind": 2, "startTimeUnixNano": "{START}", "endTimeUnixNano": {}, "events": [{{}}],
        "status": {{"code": "STATUS_CODE_ERROR", "message": "no stock"}},
        "attributes": [{{"key": "http.request.method", "value": {{"stringValue": "GET"}}}},
                       {{"key": "http.response.status_code", "value": {{"intValue": "200"}}}}]}}]}}]}}]}}"#,
        TRACE.to_uppercase(),
        START + 2_000_000
    );
    let taken = json::request(Signal::Span, text.as_bytes(), 0).expect("a request");
    assert_eq!(taken.records.len(), 1);
    check(&taken.records[0]);
    let mut by_line = Taken::default();
    lines::line(text.replace('\n', " ").as_bytes(), 0, &mut by_line);
    check(&by_line.records[0]);

    let mut taken = Taken::default();
    let line = format!(
        r#"{{"type": "span", "trace_id": "{TRACE}", "span_id": "{SPAN}", "name": "GET /orders/:id", "kind": "server",
        "service": "checkout", "resource": {{"service.name": "checkout"}}, "start": "2023-11-14T22:13:20Z", "duration_ns": 2000000,
        "status": "error", "status_message": "no stock",
        "attributes": {{"http.request.method": "GET", "http.response.status_code": 200}}}}"#
    );
    lines::line(line.as_bytes(), 0, &mut taken);
    assert_eq!(taken.why, None);
    check(&taken.records[0]);
}

/// Protobuf's JSON mapping has parsers take the names of the .proto files too.
#[test]
fn names_in_json_as_the_proto_files_have_them() {
    let spans = format!(
        r#"{{"resource_spans": [{{"resource": {{"attributes": [{{"key": "service.name", "value": {{"string_value": "checkout"}}}}]}},
        "scope_spans": [{{"scope": {{"name": "flask"}}, "spans": [{{"trace_id": "{TRACE}", "span_id": "{SPAN}", "name": "GET /orders/:id",
        "kind": 2, "start_time_unix_nano": "{START}", "end_time_unix_nano": {}, "events": [{{}}], "trace_state": "a=b", "parent_span_id": "{SPAN}",
        "status": {{"code": 2, "message": "no stock"}},
        "attributes": [{{"key": "http.request.method", "value": {{"string_value": "GET"}}}},
                       {{"key": "http.response.status_code", "value": {{"int_value": "200"}}}}]}}]}}]}}]}}"#,
        START + 2_000_000
    );
    let by_line = |text: &str| {
        let mut taken = Taken::default();
        lines::line(text.replace('\n', " ").as_bytes(), 0, &mut taken);
        taken
    };
    for taken in [json::request(Signal::Span, spans.as_bytes(), 0).expect("a request"), by_line(&spans)] {
        let [span] = &taken.records[..] else { panic!("one: {:?}", taken.why) };
        assert_eq!((span.trace_state.as_str(), span.parent_span_id.as_str()), ("a=b", SPAN));
        check(&Record { parent_span_id: String::new(), ..span.clone() });
    }
    let logs = format!(
        r#"{{"resource_logs": [{{"scope_logs": [{{"log_records": [{{"observed_time_unix_nano": 7, "severity_number": 9, "severity_text": "info",
        "trace_id": "{TRACE}", "event_name": "e", "body": {{"array_value": {{"values": [{{"bool_value": true}}, {{"double_value": 1.5}}]}}}}}}]}}]}}]}}"#
    );
    for taken in [json::request(Signal::Log, logs.as_bytes(), 0).expect("a request"), by_line(&logs)] {
        let [log] = &taken.records[..] else { panic!("one: {:?}", taken.why) };
        assert_eq!((log.start, log.severity, log.severity_text.as_str(), log.name.as_str()), (7, 9, "info", "e"));
        assert_eq!((log.trace_id.as_str(), log.body.as_str()), (TRACE, "[true,1.5]"));
    }
}

/// A message of something else tells of nobody knows how many spans.
#[test]
fn json_that_is_no_request_is_malformed() {
    let taken = |signal, text: &str| json::request(signal, text.as_bytes(), 0).map(|taken| taken.records.len());
    for nothing in ["{}", r#"{"resourceSpans": []}"#, r#"{"resourceSpans": null, "x": 1}"#] {
        assert_eq!(taken(Signal::Span, nothing).ok(), Some(0), "{nothing}");
    }
    for other in [r#"{"resourceLogs": []}"#, r#"{"spans": []}"#, r#"{"resourceSpans": {}}"#, r#"{"resourcespans": []}"#]
    {
        assert!(taken(Signal::Span, other).is_err(), "{other}");
    }
    assert!(taken(Signal::Log, r#"{"resourceSpans": []}"#).is_err());
}

/// What a log record belongs to isn't known where its trace id is none; where it has none, it belongs to no trace.
#[test]
fn log_records_that_lose_their_trace_id_are_known() {
    let of = |id: &str| {
        let mut taken = Taken::default();
        lines::line(format!(r#"{{"type": "log", "body": "x", "trace_id": "{id}"}}"#).as_bytes(), 5, &mut taken);
        assert_eq!((taken.records.len(), taken.rejected), (1, 0), "it is taken");
        (taken.records[0].trace_id.clone(), without_their_trace(&taken.records))
    };
    assert_eq!(of(TRACE), (TRACE.to_owned(), 0));
    for none in ["", &"0".repeat(32), "00000000-0000-0000-0000-000000000000", "-", "null", "N/A", "undefined"] {
        assert_eq!(of(none), (String::new(), 0), "{none}");
    }
    for wrong in ["1-5759e988-bd862e3fe1be46a994272793", &TRACE[1..], &TRACE[16..], "5208512171318403364"] {
        assert_eq!(of(wrong), (String::new(), 1), "{wrong}");
    }
}

/// A clock that is ahead by more than may be: both ends are put at the last time that may, and the span lasted as long as it says.
#[test]
fn a_span_that_ends_in_the_future_lasts_as_long() {
    let taken = otlp::request(Signal::Span, &request(|_| {}), 0).expect("a request");
    let times = |boot| {
        let view = taken.records[0].view(boot);
        (view.start, view.end, view.duration)
    };
    assert_eq!(times((9_000_000, 9_000_000)), (7_000_000, 9_000_000, 2_000_000));
    assert_eq!(times((1_000_000, 1_000_000)), (0, 1_000_000, 2_000_000));
    assert_eq!(times((0, 9_000_000)), (0, 9_000_000, 2_000_000), "a start before this machine's");
}

#[test]
fn what_is_no_span_is_refused_and_the_rest_taken() {
    type Change = fn(&mut Writer);
    let wrong: [(&str, Change); 4] = [
        ("a trace id is 16 bytes, not all zero", |span| span.bytes(1, &[0; 16])),
        ("a trace id is 16 bytes, not all zero", |span| span.bytes(1, &[7; 15])),
        ("a span id is 8 bytes, not all zero", |span| span.bytes(2, &[])),
        ("a span has a start, and ends no earlier", |span| span.fixed64(8, START - 1)),
    ];
    for (why, change) in wrong {
        let mut both = request(change);
        both.extend(request(|_| {}));
        let taken = otlp::request(Signal::Span, &both, 0).expect("a request");
        assert_eq!((taken.records.len(), taken.rejected, taken.why), (1, 1, Some(why)));
    }
    assert!(otlp::request(Signal::Span, b"\x0a\xff", 0).is_err());
    assert!(json::request(Signal::Span, b"[]", 0).is_err());
    let mut taken = Taken::default();
    for line in ["{", "[]", r#"{"type": "metric"}"#, r#"{"type": "span", "start": "yesterday"}"#, ""] {
        lines::line(line.as_bytes(), 0, &mut taken);
    }
    assert_eq!((taken.records.len(), taken.rejected), (0, 4));
}

#[test]
fn logs_have_a_time_and_perhaps_a_trace() {
    let mut request = Writer::default();
    request.message(1, |group| {
        group.message(2, |scoped| {
            scoped.message(2, |log| {
                log.fixed64(11, 5);
                log.varint(2, 17);
                log.message(5, |any| {
                    any.message(6, |list| {
                        text_pair(list, 1, "user", "a\"b");
                        list.message(1, |pair| {
                            pair.text(1, "n");
                            pair.message(2, |any| any.message(5, |l| l.message(1, |v| v.varint(2, 1))));
                        });
                    });
                });
                log.bytes(9, &bytes(TRACE));
            });
            scoped.message(2, |log| log.message(5, |any| any.text(1, "plain")));
        });
    });
    let taken = otlp::request(Signal::Log, &request.0, 77).expect("a request");
    let [first, second] = &taken.records[..] else { panic!("two records") };
    assert_eq!((first.start, first.body.as_str()), (5, r#"{"user":"a\"b","n":[true]}"#));
    assert_eq!((first.trace_id.as_str(), second.trace_id.as_str()), (TRACE, ""));
    assert_eq!((second.start, second.body.as_str()), (77, "plain"));
    let severity = first.view((0, 0)).severity_text;
    assert_eq!(severity.len, 5, "ERROR");
}

#[test]
fn hostile_sizes_and_depths_are_bounded() {
    let long = "x".repeat(100_000);
    let many = request(|span| {
        for i in 0..1000 {
            text_pair(span, 9, &format!("k{i}"), &long);
        }
    });
    let taken = otlp::request(Signal::Span, &many, 0).expect("a request");
    let attributes = &taken.records[0].attributes;
    assert!(attributes.packed.len() <= MAX_ATTRIBUTES);
    // Values are cut to 4096 bytes, of which eleven find room; the two that every request here has come before them.
    let kept = weftrace_artifact::headers::entries(&attributes.packed).count();
    assert_eq!((kept, attributes.left_out), (13, 1002 - 13));
    assert_eq!(left_out(&taken.records), 1002 - 13);
    // Lists within lists.
    let mut any = Writer::default();
    any.text(1, "deep");
    for _ in 0..200 {
        let mut outer = Writer::default();
        outer.message(5, |list| list.bytes(1, &any.0));
        any = outer;
    }
    let mut request = Writer::default();
    request.message(1, |group| group.message(2, |scoped| scoped.message(2, |log| log.bytes(5, &any.0))));
    let taken = otlp::request(Signal::Log, &request.0, 1).expect("a request");
    assert!(taken.records[0].body.contains('…'));
}

/// What records share counts once a message: without that a message of many spans would seem to take more than there is.
#[test]
fn memory_is_counted_with_what_is_shared() {
    let resource = "r".repeat(3000);
    let spans = |count: usize| {
        let mut request = Writer::default();
        request.message(1, |group| {
            group.message(1, |its| text_pair(its, 1, "service.name", &resource));
            group.message(2, |scoped| {
                scoped.message(1, |scope| scope.text(1, "a scope's name"));
                for _ in 0..count {
                    scoped.message(2, |log| log.message(5, |body| body.text(1, "four")));
                }
            });
        });
        otlp::request(Signal::Log, &request.0, 1).expect("a request").records
    };
    let (one, two) = (bytes_of(&spans(1)), bytes_of(&spans(2)));
    // The name of the service is there twice: as such, and as an attribute.
    assert!(one > 2 * resource.len() + "a scope's name".len());
    assert_eq!(two - one, spans(1)[0].own_bytes());
    assert!(two - one > 4 && two - one < 1000);
    let [first, second] = [spans(1), spans(1)];
    assert_eq!(bytes_of(&[first, second].concat()), 2 * one, "two messages share nothing");
}

#[test]
fn packed_messages() {
    use std::io::Write;
    let packed = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).and_then(|()| gzip.finish()).expect("memory")
    };
    let good = packed(b"four");
    assert_eq!(inflate(&good).as_deref(), Ok(&b"four"[..]));
    let mut damaged = good.clone();
    damaged[12] ^= 0xff;
    for wrong in [&damaged[..], &good[..good.len() - 3], b"plain", b""] {
        assert_eq!(inflate(wrong), Err(NotUnpacked::Damaged), "{wrong:?}");
    }
    assert_eq!(inflate(&packed(&vec![0; super::MAX_MESSAGE])).map(|out| out.len()), Ok(super::MAX_MESSAGE));
    assert_eq!(inflate(&packed(&vec![0; super::MAX_MESSAGE + 1])), Err(NotUnpacked::TooLong));
}

/// A value is the same text whether it came in protobuf or in JSON.
#[test]
fn values_by_both_ways() {
    type Write = fn(&mut Writer);
    let values: [(&str, Write, &str); 12] = [
        (r#"{"stringValue": "a\"b"}"#, |any| any.text(1, "a\"b"), "a\"b"),
        (r#"{"boolValue": true}"#, |any| any.varint(2, 1), "true"),
        (r#"{"intValue": "-5"}"#, |any| any.varint(3, (-5i64) as u64), "-5"),
        (r#"{"intValue": 7}"#, |any| any.varint(3, 7), "7"),
        (r#"{"doubleValue": 1.0}"#, |any| any.fixed64(4, 1f64.to_bits()), "1.0"),
        (r#"{"doubleValue": 1}"#, |any| any.fixed64(4, 1f64.to_bits()), "1.0"),
        (r#"{"doubleValue": 1e300}"#, |any| any.fixed64(4, 1e300f64.to_bits()), "1e+300"),
        (r#"{"doubleValue": "NaN"}"#, |any| any.fixed64(4, f64::NAN.to_bits()), "NaN"),
        (r#"{"doubleValue": "-Infinity"}"#, |any| any.fixed64(4, f64::NEG_INFINITY.to_bits()), "-Infinity"),
        (r#"{"bytesValue": "AP8="}"#, |any| any.bytes(7, &[0, 255]), "AP8="),
        (
            r#"{"arrayValue": {"values": [{"doubleValue": 2}, {"bytesValue": "AP8="}, {"doubleValue": "NaN"}, {}]}}"#,
            |any| {
                any.message(5, |list| {
                    list.message(1, |one| one.fixed64(4, 2f64.to_bits()));
                    list.message(1, |one| one.bytes(7, &[0, 255]));
                    list.message(1, |one| one.fixed64(4, f64::NAN.to_bits()));
                    list.message(1, |_| {});
                });
            },
            r#"[2.0,"AP8=","NaN",null]"#,
        ),
        (
            r#"{"kvlistValue": {"values": [{"key": "z", "value": {"intValue": "1"}}, {"key": "a", "value": {"stringValue": "b"}}]}}"#,
            |any| {
                any.message(6, |list| {
                    list.message(1, |pair| {
                        pair.text(1, "z");
                        pair.message(2, |value| value.varint(3, 1));
                    });
                    text_pair(list, 1, "a", "b");
                });
            },
            r#"{"z":1,"a":"b"}"#,
        ),
    ];
    for (as_json, write, want) in values {
        let mut by_protobuf = Writer::default();
        by_protobuf.message(1, |group| {
            group.message(2, |scoped| scoped.message(2, |log| log.message(5, write)));
        });
        let by_json = format!(r#"{{"resourceLogs": [{{"scopeLogs": [{{"logRecords": [{{"body": {as_json}}}]}}]}}]}}"#);
        let bodies = [
            otlp::request(Signal::Log, &by_protobuf.0, 1).expect("protobuf"),
            json::request(Signal::Log, by_json.as_bytes(), 1).expect("JSON"),
        ];
        assert_eq!(bodies.map(|taken| taken.records[0].body.clone()), [want, want], "{as_json}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        fuzz_telemetry(&bytes);
    }

    #[test]
    fn damaged_requests(at in 0usize..200, with in proptest::prelude::any::<u8>()) {
        let mut bytes = request(|_| {});
        let at = at % bytes.len();
        bytes[at] = with;
        fuzz_telemetry(&bytes);
        fuzz_telemetry(&bytes[..at]);
    }
}
