//! Texts of HTTP as scripts have them: headers that find no room where they are copied, and what is longer than strings are.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{fmt::Write as _, path::PathBuf, process::Command};

/// A capture of one connection with these requests and their answers; gone with this.
struct Capture(PathBuf);

impl Capture {
    fn of(name: &str, requests: &[String]) -> Self {
        Self::answered(name, requests, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    }

    fn answered(name: &str, requests: &[String], answer: &[u8]) -> Self {
        let mut bytes = Vec::new();
        for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 101] {
            bytes.extend(word.to_le_bytes());
        }
        let mut seq = [1000u32, 5000];
        let mut time = 0;
        let mut packet = |from: usize, flags: u8, payload: &[u8]| {
            let ack = if flags == 2 { 0 } else { seq[1 - from] };
            let mut ip = vec![0x45, 0];
            ip.extend((40 + payload.len() as u16).to_be_bytes());
            ip.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1 + from as u8, 10, 0, 0, 2 - from as u8]);
            let ports = [40_000u16, 80];
            ip.extend([ports[from], ports[1 - from]].into_iter().flat_map(u16::to_be_bytes));
            ip.extend([seq[from], ack].into_iter().flat_map(u32::to_be_bytes));
            ip.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
            ip.extend(payload);
            time += 10;
            for word in [1_000_000, time * 1000, ip.len() as u32, ip.len() as u32] {
                bytes.extend(word.to_le_bytes());
            }
            bytes.extend(ip);
            seq[from] += payload.len() as u32 + u32::from(flags & 3 != 0);
        };
        packet(0, 2, b"");
        packet(1, 18, b"");
        for request in requests {
            packet(0, 24, request.as_bytes());
            packet(1, 24, answer);
            packet(0, 16, b"");
        }
        let path = std::env::temp_dir().join(format!("weftrace-http-values-{}-{name}.pcap", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    /// What a script prints, and what is said of losses.
    fn run(&self, script: &str) -> (String, String) {
        self.with(&["-e", script])
    }

    fn with(&self, args: &[&str]) -> (String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weftrace"));
        let output = command.arg("run").arg("--read").arg(&self.0).args(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), text(&output.stderr))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A request with 20 headers of 120 bytes before what else it has.
fn filled(more: &str) -> String {
    let mut text = "GET /a HTTP/1.1\r\nHost: h\r\n".to_owned();
    for i in 0..20 {
        write!(text, "x-fill-{i}: {}\r\n", "f".repeat(110)).unwrap();
    }
    text + more + "\r\n"
}

const JOIN: &str = r#"import "std/http";
    join j { from r = http.request(); ids r.header["X-Request-Id"]; keep true; }
    join:j { printf("id=[%s] length=%d other=[%s]\n", id, strlen(r.header["x-request-id"]), r.header["other"] ?? "none"); }"#;

/// Names that the script reads are kept before all others.
#[test]
fn an_id_behind_many_headers_is_joined() {
    let capture = Capture::of("id", &[filled("x-request-id: 7f-1\r\nother: o\r\n"), filled("X-Request-ID: 7f-2\r\n")]);
    let (printed, said) = capture.run(JOIN);
    assert!(printed.contains("id=[7f-1] length=4 other=[o]\nid=[7f-2] length=4 other=[none]\n"), "{printed}");
    assert!(!said.contains("lost") && !printed.contains("lost"), "{printed}{said}");
}

/// What finds no room even so is told.
#[test]
fn an_id_without_room_is_a_loss() {
    let long = format!("x-request-id: {}\r\n", "i".repeat(1500));
    let (printed, said) = Capture::of("lost", &[filled(&long), filled("x-request-id: 7f-2\r\n")]).run(JOIN);
    assert!(printed.contains("id=[] length=0 other=[none]\nid=[7f-2] "), "{printed}");
    assert!((printed + &said).contains("lost 1 headers that the script reads"), "{said}");
}

/// Values are as long as strings are, and what is cut shows it, printed and as a key.
#[test]
fn long_values_are_not_taken_for_others() {
    let request = |last: char, len: usize| {
        format!("GET /{}{last} HTTP/1.1\r\nx-long: {}{last}\r\n\r\n", "u".repeat(len), "v".repeat(len))
    };
    let script = r#"pcap:any /http.exchange/ {
        @by[http.exchange.header["x-long"]] = count();
        printf("%s\n", http.exchange.uri);
        if (http.exchange.header["x-long"] == "v") { printf("same\n"); } }"#;
    let (printed, _) = Capture::of("long", &[request('1', 600), request('2', 600)]).run(script);
    for last in ['1', '2'] {
        assert!(printed.contains(&format!("/{}{last}\n", "u".repeat(600))), "{printed}");
        assert!(printed.contains(&format!("@by[{}{last}]: 1\n", "v".repeat(600))), "{printed}");
    }
    let cut = Capture::of("cut", &[request('1', 1100), request('2', 1100)]);
    let (printed, _) = cut.run(script);
    assert!(printed.contains(&format!("/{}..\n", "u".repeat(1023))), "{printed}");
    assert!(printed.contains(&format!("@by[{}..]: 2\n", "v".repeat(1024))), "{printed}");
    // Strings may be longer: then all of it is there.
    let (printed, _) = cut.run(&format!("config = {{ max_strlen = 2048 }} {script}"));
    assert!(printed.contains(&format!("@by[{}2]: 1\n", "v".repeat(1100))), "{printed}");
}

/// A response that can't be read is none that failed, nor a missing one.
#[test]
fn unreadable_responses_are_no_failures() {
    let request = "GET /stream HTTP/1.0\r\nHost: h\r\n\r\n".to_owned();
    let (printed, said) = Capture::answered("icy", &[request], b"ICY 200 OK\r\n\r\nmp3").with(&["http/errors"]);
    assert!(!printed.contains("/stream"), "{printed}");
    assert!(said.contains("lost 1 HTTP messages (not as RFC 9112 has them"), "{said}");
}
