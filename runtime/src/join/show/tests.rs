use super::{Facts, Shown, container, escaped, json, line, record, target, trace_id, waterfall};
use crate::{
    join::{
        leg::{LegOutcome, State, Via},
        result::{JoinResult, Status},
        summary::Summary,
    },
    names::NoNames,
    style::Style,
};
use weftrace_artifact::{
    abi::ConnKey,
    action::StreamSpec,
    headers,
    ty::{Type, lay_out},
};

const MS: u64 = 1_000_000;

fn leg(name: &str, state: State, charged: u64, intervals: Vec<(u64, u64)>) -> LegOutcome {
    let matched = matches!(state, State::Value(_));
    LegOutcome {
        name: name.into(),
        state,
        signed: false,
        via: Via::Exact,
        key: if matched { "conn" } else { "" },
        count: u32::from(matched),
        lost: 0,
        charged,
        approximate: false,
        duration: true,
        off: false,
        unseen_before: false,
        unled: false,
        intervals,
    }
}

fn stream() -> StreamSpec {
    let fields = [
        ("status", Type::U32),
        ("method", Type::Str { cap: 8 }),
        ("path", Type::Str { cap: 64 }),
        ("server", Type::Inet),
        ("header", Type::Headers),
    ];
    let (fields, size) = lay_out(fields.into_iter().map(|(n, t)| (Some(n.to_owned()), t)));
    StreamSpec { name: "http.request".into(), fields, size }
}

fn packed(all: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in all {
        headers::push(&mut out, name.as_bytes(), value.as_bytes());
    }
    out
}

fn anchor(stream: &StreamSpec, path: &str) -> Box<[u8]> {
    let mut out = vec![0; stream.size as usize];
    let mut put = |name: &str, bytes: &[u8]| {
        let at = stream.field(name).expect("a field").offset as usize;
        out[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put("status", &200u32.to_ne_bytes());
    put("method", b"GET");
    put("path", path.as_bytes());
    put("server", &[2, 0, 0, 0, 10, 0, 3, 7]);
    put("header", &packed(&[("X-Request-ID", "order-7"), ("Authorization", "Bearer s3cret")]));
    out.into()
}

/// A request of 1 s: 450 ms of connecting, the last 150 ms of them within a retransmission's stall of 300 ms.
pub(crate) fn result(path: &str) -> JoinResult {
    let stream = stream();
    let anchor = anchor(&stream, path);
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    JoinResult {
        join: "slow".into(),
        status: Status::Closed,
        begin: 1000 * MS,
        end: 2000 * MS,
        ids: vec![("x-request-id".into(), "order-7".into()), ("traceparent".into(), traceparent.into())],
        legs: vec![
            leg("count", State::Value(3), 0, Vec::new()),
            leg("syn", State::Value(450 * MS as i64), 450 * MS, vec![(1000 * MS, 1450 * MS)]),
            leg("loss", State::Value(300 * MS as i64), 150 * MS, vec![(1300 * MS, 1600 * MS)]),
            leg("zwin", State::None, 0, Vec::new()),
            leg("gc", State::Unknown("lost 3".into()), 0, Vec::new()),
        ],
        blame: vec![1, 2, 3, 4],
        app: 0,
        unknown: 400 * MS,
        torn: None,
        conn: Some(ConnKey { family: 2, proto: 6, ..ConnKey::default() }),
        stream: stream.into(),
        anchor,
        text: String::new(),
    }
}

pub(crate) fn facts() -> Facts {
    Facts {
        wall: (1_700_000_000_000_000_000, 1_700_000_001_000_000_000),
        community_id: Some("1:LQU9".into()),
        container: None,
        sources: ["tcp.retransmit", "tcp.connect", "tcp.loss", "tcp.zero_window", "go.gc_pause"]
            .map(String::from)
            .into(),
        open: false,
    }
}

fn counted(mut result: JoinResult) -> JoinResult {
    result.legs[0].duration = false;
    result
}

#[test]
fn a_line_says_what_it_was_and_hides_the_query() {
    let result = counted(result("/pay?card=4111"));
    let text = line::text(&Shown { result: &result, facts: &facts() });
    let head = "order-7  GET /pay?[redacted] -> 10.0.3.7  1000 ms  200  \
                traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01  community_id=1:LQU9";
    let rest = "\n  verdict  syn 450 ms (45%) exact\n  syn 450 | loss 150 | zwin none | gc unknown (lost 3) | count 3 | \
                app 0 | unknown 400\n  via: syn exact(conn) · loss exact(conn) · count exact(conn) · lost in window: 0";
    assert_eq!(text, format!("{head}{rest}"));
}

#[test]
fn a_waterfall_draws_each_layer_on_one_scale() {
    let result = counted(result("/small"));
    let shown = Shown { result: &result, facts: &facts() };
    let drawn = waterfall::draw(&shown, waterfall::Look { colour: false, width: 60 });
    let rows: Vec<&str> = drawn.lines().skip(1).collect();
    assert_eq!(
        rows,
        [
            "  verdict  syn 450 ms (45%) exact",
            "                0               1000 ms",
            "  syn      450 ▕██████████▏            ▏ exact(conn)",
            "  loss     150 ▕      ░░░░████         ▏ exact(conn)",
            "  zwin    none",
            "  gc      unknown (lost 3)",
            "  count      3  exact(conn)",
            "  app        0",
            "  unknown  400 ▕             ▏█████████▏",
        ]
    );
}

#[test]
fn colour_is_asked_for_and_reset() {
    let result = result("/small");
    let shown = Shown { result: &result, facts: &facts() };
    let plain = waterfall::draw(&shown, waterfall::Look { colour: false, width: 80 });
    assert!(!plain.contains('\x1b'));
    let colour = waterfall::draw(&shown, waterfall::Look { colour: true, width: 80 });
    assert_eq!(colour.matches("\x1b[0m").count() * 2, colour.matches('\x1b').count(), "each colour ends");
    let mut stripped = colour;
    while let Some(from) = stripped.find('\x1b') {
        let to = from + stripped[from..].find('m').expect("a whole sequence") + 1;
        stripped.replace_range(from..to, "");
    }
    assert_eq!(stripped, plain);
}

fn as_json(shown: &Shown<'_>) -> serde_json::Value {
    let mut out = Vec::new();
    json::write(&mut out, shown, &mut Style::new(&mut NoNames));
    serde_json::from_slice(&out).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out)))
}

#[test]
fn json_has_the_documented_fields() {
    let result = counted(result("/pay?card=4111"));
    let value = as_json(&Shown { result: &result, facts: &facts() });
    assert_eq!(value["schema"], 1);
    assert_eq!(value["begin"], "2023-11-14T22:13:20.000000000Z");
    assert_eq!(value["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(value["verdict"]["layer"], "syn");
    assert_eq!(value["legs"]["loss"]["intervals"], serde_json::json!([[300_000_000, 600_000_000]]));
    assert_eq!(value["legs"]["gc"]["state"], "unknown");
    assert_eq!(value["legs"]["gc"]["reason"], "lost 3");
    assert_eq!(value["legs"]["gc"]["value"], serde_json::Value::Null);
    assert_eq!(value["legs"]["syn"]["source"], "tcp.connect");
    let charged: u64 = value["legs"].as_object().expect("legs").values().filter_map(|l| l["charged_ns"].as_u64()).sum();
    let rest = value["app_ns"].as_u64().expect("a number") + value["unknown_ns"].as_u64().expect("a number");
    assert_eq!(charged + rest, value["total_ns"].as_u64().expect("a number"));
}

#[test]
fn secrets_are_shown_only_if_allowed() {
    let result = result("/pay?card=4111");
    let mut facts = facts();
    let closed = as_json(&Shown { result: &result, facts: &facts });
    assert_eq!(closed["anchor"]["path"], "/pay?[redacted]");
    assert_eq!(closed["anchor"]["header"]["Authorization"], "[redacted]");
    assert_eq!(closed["anchor"]["header"]["X-Request-ID"], "order-7", "it names the trace");
    facts.open = true;
    let open = as_json(&Shown { result: &result, facts: &facts });
    assert_eq!(open["anchor"]["path"], "/pay?card=4111");
    assert_eq!(open["anchor"]["header"]["Authorization"], "Bearer s3cret");
}

#[test]
fn text_from_requests_moves_no_cursor() {
    assert_eq!(escaped("a\x1b[2Jb\nc\u{9b}d\u{202e}é"), "a\\x1b[2Jb\\x0ac\\x9bd\\u{202e}é");
    let result = result("/\x1b]0;title\x07");
    let shown = Shown { result: &result, facts: &facts() };
    let drawn = waterfall::draw(&shown, waterfall::Look { colour: false, width: 80 });
    assert!(!drawn.contains('\x1b') && drawn.contains("/\\x1b]0;title\\x07"), "{drawn}");
}

#[test]
fn ids_of_traces_and_containers() {
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(trace_id(id).as_deref(), Some(id));
    assert_eq!(trace_id(&format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase())).as_deref(), Some(id));
    assert_eq!(trace_id(&format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32))), None);
    assert_eq!(trace_id("order-7"), None);
    let long = "a".repeat(64);
    assert_eq!(container(&format!("0:/system.slice/docker-{long}.scope")), Some(long));
    assert_eq!(container("0:/user.slice"), None);
}

/// A script may say that anything is the container.
#[test]
fn containers_are_any_text() {
    let result = result("/small");
    for (container, shown) in [
        ("0123456789abcdef", "container=0123456789ab  "),
        ("häßliches-ß-und-mehr", "container=häßliches-ß-  "),
        ("\u{1f600}\x1b[2J", "container=\u{1f600}\\x1b[2J  "),
        ("ß", "container=ß  "),
    ] {
        let facts = Facts { container: Some(container.into()), ..facts() };
        let head = line::head(&Shown { result: &result, facts: &facts });
        assert!(head.contains(shown), "{head}");
    }
}

#[test]
fn targets_lose_queries_and_passwords() {
    for (text, shown) in [
        ("/a?b=c?d", "/a?[redacted]"),
        ("/a#b", "/a#[redacted]"),
        ("/a?", "/a?"),
        ("/@user/a", "/@user/a"),
        ("http://user:SECRET@host/x", "http://host/x"),
        ("https://SECRET@host:8080/x?y=z", "https://host:8080/x?[redacted]"),
        ("//user:SECRET@host/x", "//host/x"),
        ("http://user:SECRET@", "http://"),
        ("http://us\u{e9}r:S\u{e9}CRET@h\u{f6}st/x", "http://h\u{f6}st/x"),
        // Cut: of what is behind the colon nobody knows that it is no password.
        ("http://user:SECR", "http://"),
        ("http://host:8080", "http://host:8080"),
        // What should have been written otherwise.
        ("http://user:pa/SECRET@host/x", "http://host/x"),
        ("http://user:S?CRET@host/x", "http://[redacted]"),
        ("//a:b/c", "//a:b/c"),
        ("http://[::1]", "http://[::1]"),
        ("http://host/a@b", "http://host/a@b"),
        ("", ""),
    ] {
        assert_eq!(target::closed("url", text), shown, "{text}");
    }
    assert_eq!(target::closed("query", "a=b"), "[redacted]");
    assert_eq!(target::closed("query", "?a=b"), "?[redacted]");
    assert_eq!(target::closed("query", ""), "");
    assert!(["path", "referer", "query"].iter().all(|name| target::is_target(name)) && !target::is_target("name"));
    let result = result("http://user:SECRET@host/x");
    let facts = facts();
    let shown = Shown { result: &result, facts: &facts };
    assert!(line::head(&shown).contains("GET http://host/x ->"), "{}", line::head(&shown));
    assert_eq!(as_json(&shown)["anchor"]["path"], "http://host/x");
}

/// As its type has it: a double holds no such number.
#[test]
fn a_value_of_64_bits_has_all_of_them() {
    let mut result = counted(result("/small"));
    result.legs[0].state = State::Value(-16);
    let value = |result: &JoinResult| as_json(&Shown { result, facts: &facts() })["legs"]["count"]["value"].clone();
    assert_eq!(value(&result), "18446744073709551600");
    result.legs[0].signed = true;
    assert_eq!(value(&result), -16);
}

/// JSON that has a member twice is read in as many ways as there are readers.
#[test]
fn a_header_that_was_sent_twice_stands_once() {
    let mut result = result("/small");
    let at = result.stream.field("header").expect("a field").offset as usize;
    let twice =
        packed(&[("x-request-id", "first"), ("x-a", "b"), ("x-request-id", "second"), ("X-Request-Id", "third")]);
    result.anchor[at..at + twice.len()].copy_from_slice(&twice);
    let facts = facts();
    let mut out = Vec::new();
    json::write(&mut out, &Shown { result: &result, facts: &facts }, &mut Style::new(&mut NoNames));
    let text = String::from_utf8_lossy(&out).into_owned();
    assert_eq!(text.to_lowercase().matches("\"x-request-id\": \"").count(), 1, "{text}");
    assert!(text.contains("\"x-request-id\": \"first\", \"x-a\": \"[redacted]\""), "{text}");
}

/// `print(args)` of an orphan: as `lang` makes it, all fields but headers in a layout of its own.
#[test]
fn records_that_are_printed_whole_lose_queries() {
    let stream = stream();
    let fields = stream.fields.iter().filter(|f| f.ty != Type::Headers);
    let (fields, size) = lay_out(fields.map(|f| (f.name.clone(), f.ty.clone())));
    let ty = Type::Record { fields, size };
    let bytes = |path: &str| anchor(&stream, path)[..size as usize].to_vec();
    let written = |ty: &Type, bytes: &[u8]| {
        let (mut text, mut json) = (Vec::new(), Vec::new());
        crate::text::write_value(&mut text, ty, bytes, &mut Style::new(&mut NoNames));
        crate::json::write_value(&mut json, ty, bytes, &mut Style::new(&mut NoNames));
        [text, json].map(|out| String::from_utf8(out).expect("text"))
    };
    let (closed, short) = record::redacted(&stream, &ty, &bytes("/pay?card=4111")).expect("has a query");
    let [text, json] = written(&closed, &short);
    assert_eq!(text, "{ .status = 200, .method = GET, .path = /pay?[redacted], .server = 10.0.3.7 }");
    assert_eq!(json, r#"{"status": 200, "method": "GET", "path": "/pay?[redacted]", "server": "10.0.3.7"}"#);
    // It fills its space, and a longer text takes its place.
    let long = format!("/?{}", "s".repeat(62));
    let (closed, short) = record::redacted(&stream, &ty, &bytes(&long)).expect("has a query");
    assert!(written(&closed, &short)[0].contains(".path = /?[redacted], "));
    assert!(record::redacted(&stream, &ty, &bytes("/small")).is_none(), "nothing to hide");
    // What the script made itself is its own.
    let (own, size) = lay_out([(Some("path".to_owned()), Type::Str { cap: 64 })]);
    assert!(record::redacted(&stream, &Type::Record { fields: own, size }, b"/pay?card=4111").is_none());
}

#[test]
fn a_summary_answers_and_a_heartbeat_reassures() {
    let mut summary = Summary::of(&weftrace_artifact::join::Keep::If(0));
    (summary.seen, summary.closed) = (48_210, 48_205);
    assert_eq!(summary.heartbeat("slow"), "slow: 48,210 seen, 48,205 joined, none slow. Lost: 0.");
    let result = result("/small");
    for _ in 0..3 {
        summary.kept(&result);
    }
    assert_eq!(summary.text("slow"), "slow: 3 slow of 48,210: syn 3 (peer 10.0.3.7: 3). Lost: 0.");
    assert_eq!(summary.text("all"), "all: 3 kept of 48,210: syn 3 (peer 10.0.3.7: 3). Lost: 0.");
}
