//! Which end of a connection packets tell of: legs with `side=`, on a capture.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

/// At the server: a response that was lost, a SYN+ACK that was, and a client that stops reading.
const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/http/slow_requests.pcap");

/// Each leg for one end and for the other.
const SCRIPT: &str = r#"
import "std/http"; import "std/tcp";
join sides {
  from r = http.request(); total r.opened if r.first_on_conn, r.start; ids r.header["x-request-id"];
  zero_client = sum(tcp.zero_window.dur) by conn side=client; zero_server = sum(tcp.zero_window.dur) by conn side=server;
  loss_client = sum(tcp.loss.dur) by conn side=client; loss_server = sum(tcp.loss.dur) by conn side=server;
  bytes_client = sum(tcp.loss.dur) by bytes side=client; bytes_server = sum(tcp.loss.dur) by bytes side=server;
  syn_client = max(tcp.connect.dur) by conn since 10s side=client; syn_server = max(tcp.connect.dur) by conn since 10s side=server;
  shake_client = max(tcp.handshake.dur) by conn since 10s side=client;
  shake_server = max(tcp.handshake.dur) by conn since 10s side=server;
}
"#;

fn weftrace(args: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_weftrace")).args(args).output().expect("weftrace runs");
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{args:?}: {err}");
    (out, err)
}

#[test]
fn packets_tell_of_one_end() {
    let (out, _) = weftrace(&["run", "-q", "-f", "json", "--read", CAPTURE, "-e", SCRIPT]);
    let lines = out.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let results: Vec<_> = lines.filter(|line| line["type"] == "join_result").collect();
    let ms = |id: &str, leg: &str| {
        let result = results.iter().find(|result| result["data"]["id"] == id).unwrap();
        let leg = &result["data"]["legs"][leg];
        (leg["state"].as_str().unwrap().to_owned(), leg["value"].as_u64().map(|ns| (ns + 500_000) / 1_000_000))
    };
    let (value, none) = (|ms| ("value".to_owned(), Some(ms)), ("none".to_owned(), None));
    for (id, leg, took) in [
        ("reader-stalls", "zero", [value(1498), none.clone()]),
        ("response-lost", "loss", [none.clone(), value(624)]),
        ("response-lost", "bytes", [none.clone(), value(624)]),
        ("synack-lost", "syn", [value(1010), none.clone()]),
        ("synack-lost", "shake", [value(1010), none.clone()]),
    ] {
        assert_eq!(["client", "server"].map(|side| ms(id, &format!("{leg}_{side}"))), took, "{id} {leg}");
    }
}
