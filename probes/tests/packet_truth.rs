//! Real captures: every count and every frame number must equal tshark's, as recorded in truth.jsonl.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::{captures, tally};
use serde_json::Value;
use std::fmt::Write;
use weftrace_artifact::packet::analysis;

const COUNTS: &[&str] = &[
    "packets",
    "truncated_packets",
    "vlan_packets",
    "tcp_packets",
    "tcp_ipv6_packets",
    "syn",
    "synack",
    "fin",
    "rst",
    "sack_packets",
    "sack_blocks",
    "syn_retransmission",
    "tcp_streams",
    "tls_client_hello",
    "tls_server_hello",
];

#[test]
fn counts_and_frames_equal_tshark() {
    let Some(dir) = captures() else { return };
    let truth = std::fs::read_to_string(dir.join("truth.jsonl")).unwrap();
    let mut wrong = String::new();
    let mut checked = 0;
    for line in truth.lines() {
        let truth: Value = serde_json::from_str(line).unwrap();
        let file = truth["file"].as_str().unwrap();
        let (found, _) = tally(&[dir.join(file)]);
        checked += 1;
        let mut names: Vec<&str> = COUNTS.to_vec();
        names.extend(analysis::NAMES.iter().map(|(_, name)| *name));
        names.extend(["http_requests", "http_responses"]);
        for name in names {
            let (want, have) = (truth["counts"][name].as_u64().unwrap_or(0), found.count(name));
            if want != have {
                writeln!(wrong, "{file}: {name} is {have}, tshark has {want}").unwrap();
            }
        }
        for (name, frames) in truth["frames"].as_object().unwrap() {
            let want: Vec<u64> = frames.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
            let have = found.frames.get(name).cloned().unwrap_or_default();
            if want != have {
                writeln!(wrong, "{file}: frames with {name} differ:\n  {have:?}\n  {want:?}").unwrap();
            }
        }
        messages(file, &truth, &found, &mut wrong);
        streams(file, &truth, &found, &mut wrong);
    }
    assert!(checked >= 30, "only {checked} captures");
    assert!(wrong.is_empty(), "{wrong}");
}

fn messages(file: &str, truth: &Value, found: &packet_support::Tally, wrong: &mut String) {
    for (key, have) in [("http_methods", &found.methods), ("http_codes", &found.codes)] {
        let none = serde_json::Map::new();
        let want = truth[key].as_object().unwrap_or(&none);
        let want: std::collections::BTreeMap<_, _> =
            want.iter().map(|(k, n)| (k.clone(), n.as_u64().unwrap())).collect();
        if want != *have {
            writeln!(wrong, "{file}: {key} {have:?}, tshark has {want:?}").unwrap();
        }
    }
}

fn streams(file: &str, truth: &Value, found: &packet_support::Tally, wrong: &mut String) {
    for stream in truth["streams"].as_array().unwrap() {
        let number = stream["stream"].as_u64().unwrap() as u32;
        let Some(have) = found.streams.get(&number) else {
            writeln!(wrong, "{file}: no stream {number}").unwrap();
            continue;
        };
        let mut differ = |what: &str, want: &Value, have: u64| {
            if want.as_u64() != Some(have) {
                writeln!(wrong, "{file}: stream {number}: {what} {have}, tshark has {want}").unwrap();
            }
        };
        differ("first frame", &stream["first_frame"], have.first_frame);
        differ("packets", &stream["packets"], have.packets);
        differ("bytes", &stream["bytes"], have.bytes);
        let flags: u64 = stream["flags"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        differ("flags", &flags.into(), have.flags.values().sum());
        for (what, have) in [("initial_rtt", have.initial_rtt), ("synack_ack_rtt", have.synack_ack_rtt)] {
            // Seconds, rounded to ns; a value that tshark did not print (no other analysis in those frames) is not compared.
            let Some(want) = stream[what].as_f64() else { continue };
            let want = (want * 1e9).round() as u64;
            if have != Some(want) {
                writeln!(wrong, "{file}: stream {number}: {what} {have:?}, tshark has {want}").unwrap();
            }
        }
    }
}
