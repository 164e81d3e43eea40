//! Exchanges that no join keeps are counted and passed over: by which scripts, and that nothing else changes.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};
use traced::{Tracer, printed, ready, text, weftrace};

const BLOCK: &str =
    "http:server:PORT { emit web.request(conn = tcp.conn, start = http.exchange.start, end = http.exchange.end,
  dur = http.exchange.dur, first_on_conn = http.exchange.first_on_conn, status = http.exchange.status,
  pid = pid, path = (string[64])http.exchange.uri); MORE }
interval:s:1 { emit tick.tock(path = \"a\", start = nsecs, end = nsecs, dur = nsecs - nsecs); }
join web { from r = web.request(FILTER); TOTAL LEG keep KEEP; timeout 30s; }
join:web { printf(\"%s %d\\n\", r.path, r.status); } LAST";

/// The script with some words replaced.
fn script(changes: &[(&str, &str)]) -> String {
    let usual = [
        ("MORE", ""),
        ("FILTER", ""),
        ("TOTAL", "total r.start;"),
        ("LEG", ""),
        ("KEEP", "total > 1h || r.status >= 500"),
        ("LAST", ""),
        ("PORT", "80"),
    ];
    changes.iter().chain(&usual).fold(BLOCK.to_owned(), |text, (word, with)| text.replace(word, with))
}

/// What the plan says of it.
fn passes(changes: &[(&str, &str)]) -> bool {
    let script = script(changes);
    let out = weftrace(&["dump", "--stage", "plan", "-e", &script]);
    let (plan, said) = (text(&out.stdout), text(&out.stderr));
    assert!(plan.contains("emits web.request"), "{script}\n{plan}{said}");
    plan.contains("passes over")
}

#[test]
fn only_where_nothing_else_would_change() {
    for keep in ["total > 1h", "r.dur >= 5ms", "5ms < total && r.path == \"/a\"", "(total > 1s && 1) || r.status > 499"]
    {
        assert!(passes(&[("KEEP", keep)]), "{keep}");
    }
    assert!(passes(&[("TOTAL", "total r.start - 5 if r.first_on_conn, r.start;")]));
    assert!(passes(&[(
        "MORE",
        "emit binding(conn = tcp.conn, pid = pid, start = http.exchange.start, end = http.exchange.end);"
    )]));
    // Of which its anchor says less, or that holds when the exchange is over.
    for binding in [
        "conn = tcp.conn, tid = tid, start = http.exchange.start, end = http.exchange.end",
        "conn = tcp.conn, pid = pid, start = http.exchange.start",
        "conn = tcp.conn, pid = pid, start = http.exchange.start, end = nsecs",
        "conn = tcp.conn, pid = pid, start = http.exchange.conn_opened, end = http.exchange.end",
    ] {
        assert!(!passes(&[("MORE", &format!("emit binding({binding});"))]), "{binding}");
    }
    // What came before an anchor is looked for by bindings of then.
    let looks = |since| {
        let bound = "emit binding(conn = tcp.conn, pid = pid, start = http.exchange.start, end = http.exchange.end);";
        let step = "interval:s:2 { emit binding.on(pid = (uint32)1, tid = (uint32)1); emit wait.for(tid = (uint32)1, dur = nsecs - nsecs); }";
        let leg = format!("wait = sum(wait.for.dur) by tid{since};");
        passes(&[("MORE", bound), ("LAST", step), ("LEG", &leg)])
    };
    assert!(looks("") && !looks(" since 10s"));
    for keep in [
        "total < 1h",
        "r.path == \"/a\"",
        "total > 1s || r.path == \"/a\"",
        "total >= 0",
        "app > 1s",
        "r.status == 500",
    ] {
        assert!(!passes(&[("KEEP", keep)]), "{keep}");
    }
    for (word, with) in [
        ("MORE", "@n = count();"),
        ("FILTER", "status = 500"),
        ("TOTAL", "total r.start - 5;"),
        ("LEG", "tick = sum(tick.tock.dur) by path;"),
        ("LAST", "join:web:late { @late = count(); }"),
        ("LAST", "join other { from r = tick.tock(); }"),
        ("dur = http.exchange.dur", "dur = http.exchange.start"),
        (
            "join web",
            "http:client { emit web.request2(conn = tcp.conn, start = nsecs, end = nsecs); } join w { from r = web.request2(); } join web",
        ),
    ] {
        assert!(!passes(&[(word, with)]), "{with}");
    }
}

/// Answers every request of a connection, `/bad` with 500.
fn serve(stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
    let mut stream = stream;
    let mut first = String::new();
    while let Some(Ok(line)) = lines.next() {
        if !line.is_empty() {
            first = if first.is_empty() { line } else { first };
            continue;
        }
        let status = if std::mem::take(&mut first).contains("/bad") { "500 Bad" } else { "200 OK" };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello").expect("sent");
    }
}

#[test]
fn what_is_kept_and_what_is_counted_stays() {
    if !ready("rawtracepoint") {
        println!("SKIP raw tracepoints");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(|| serve(stream)))));
    let port_text = port.to_string();
    let tracer = Tracer::start(&script(&[("PORT", &port_text)]), &["-f", "json"]);
    // The same, and every exchange is read.
    let late = ("LAST", "join:web:late { @late = count(); }");
    let reads_all = Tracer::start(&script(&[("PORT", &port_text), late]), &["-f", "json"]);
    for _ in 0..2 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        for i in 0..50 {
            let (path, status) = if i % 25 == 7 { ("bad", "500 Bad") } else { ("good", "200 OK") };
            write!(stream, "GET /{path}/{i} HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello");
            let mut got = vec![0; answer.len()];
            stream.read_exact(&mut got).expect("an answer");
            assert_eq!(text(&got), answer);
        }
    }
    let (lines, said) = tracer.end();
    let (all, said_of_all) = reads_all.end();
    assert_eq!(printed(&lines), printed(&all), "{said} {said_of_all}");
    assert_eq!(printed(&all).len(), 4, "{all:#?}");
    let told = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!((told("/bad/7 500"), told("/bad/32 500"), told("/good/")), (2, 2, 0), "{lines:#?} {said}");
    let summary = lines.iter().find(|line| line.contains("\"seen\"")).unwrap_or_else(|| panic!("{lines:#?} {said}"));
    for part in [
        "\"passed_over\": 94",
        "\"seen\": 100",
        "\"joined\": 100",
        "\"kept\": 4",
        "\"late\": 0",
        "\"orphans\": null",
        "\"lost\": 0",
    ] {
        assert!(summary.contains(part), "{part}: {summary} {said}");
    }
    let of_all = all.iter().find(|line| line.contains("\"seen\"")).unwrap_or_else(|| panic!("{all:#?} {said_of_all}"));
    for part in ["\"seen\": 100", "\"passed_over\": 0", "\"joined\": 100", "\"kept\": 4"] {
        assert!(of_all.contains(part), "{part}: {of_all} {said_of_all}");
    }
}

/// In captures, where a block at packets would tell joins of exchanges: the same is kept, and the same counted, as where another block
/// looks at each of them.
#[test]
fn exchanges_in_packets_are_passed_over_the_same() {
    const SCRIPT: &str = "import \"std/http\";
join web { from r = http.request(); total r.start; keep total > 100ms || r.status >= 500; timeout 30s; }
join:web { printf(\"%s %d %d\\n\", r.path, r.status, total); }";
    let summary = |lines: &[String], name: &str| {
        let line = lines.iter().find(|line| line.contains("\"seen\"")).unwrap_or_else(|| panic!("{lines:#?}"));
        let (_, rest) = line.split_once(&format!("\"{name}\": ")).unwrap_or_else(|| panic!("{name}: {line}"));
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().expect("a number")
    };
    let mut passed = 0;
    for capture in ["slow_requests.pcap", "errors.pcap"].map(|name| format!("scripts/http/{name}")).iter().chain(
        &["grpc.pcap", "pushes.pcap", "range.pcap", "upgrade.pcap", "tls.pcapng"]
            .map(|name| format!("probes/tests/http2/{name}")),
    ) {
        let path = format!("{}/{capture}", env!("CARGO_MANIFEST_DIR"));
        let run = |script: &str| {
            let out = weftrace(&["run", "-f", "json", "--read", &path, "-e", script]);
            text(&out.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let passing = run(SCRIPT);
        let reads_all = run(&format!("{SCRIPT}\njoin:web:late {{ @late = count(); }}"));
        assert_eq!(printed(&passing), printed(&reads_all), "{capture}");
        for name in ["seen", "joined", "kept", "late"] {
            assert_eq!(summary(&passing, name), summary(&reads_all, name), "{capture}: {name}");
        }
        assert_eq!(summary(&reads_all, "passed_over"), 0, "{capture}");
        passed += summary(&passing, "passed_over");
    }
    assert!(passed > 60, "only {passed}");
}
