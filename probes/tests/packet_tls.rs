//! TLS: what is in clear against tshark, and what secrets open.
//!
//! data/tls_suites.pcap.gz has one connection each of OpenSSL's s_client and s_server for all kinds of cipher suites (the name is in
//! the request), a resumed session and a key update.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "tests")]

mod packet_support;

use packet_support::{captures, conn::Conn, strings::text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use weftrace_artifact::packet::{PacketView, layer};
use weftrace_probes::packet::source::Captures;
use weftrace_probes::packet::{ALL_NEEDS, Counters, Options, Pipeline, StreamLimits};

fn data(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data")).join(name)
}

/// Every presentation of a capture, without the packets that `skip` names.
fn each(path: &Path, keys: Option<&[u8]>, skip: &[u64], mut see: impl FnMut(&PacketView)) -> Counters {
    let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
    if let Some(keys) = keys {
        pipeline.add_secrets(keys);
    }
    let mut view = PacketView::default();
    let mut packets = Captures::new([path.to_owned()]);
    while let Some((packet, secrets)) = packets.next_with_secrets().unwrap() {
        for secrets in &secrets {
            pipeline.add_secrets(&secrets.data);
        }
        if skip.contains(&packet.number) {
            continue;
        }
        pipeline.process(&packet, &mut view);
        see(&view);
        while pipeline.next_part(&mut view).is_some() {
            see(&view);
        }
    }
    while pipeline.finish(&mut view).is_some() {
        see(&view);
    }
    pipeline.counters()
}

/// Targets of the exchanges that were seen whole, with what their connection says.
fn exchanges(keys: Option<&[u8]>, skip: &[u64]) -> Vec<(String, String, u16)> {
    let mut seen = Vec::new();
    each(&data("tls_suites.pcap.gz"), keys, skip, |view| {
        if view.layers & layer::HTTP_EXCHANGE != 0 && view.http.complete == 1 {
            assert_eq!(view.tls.decrypted, 1);
            seen.push((text(view.http.uri), text(view.tls.conn_server_name), view.tls.conn_suite));
        }
    });
    seen
}

#[test]
fn every_kind_of_suite_is_decrypted() {
    let keys = std::fs::read(data("tls_suites.keys")).unwrap();
    let seen = exchanges(Some(&keys), &[]);
    let suites: Vec<u16> = seen.iter().map(|(_, _, suite)| *suite).collect();
    assert_eq!(
        suites,
        [
            0x1301, 0x1302, 0x1303, 0x1304, 0x1305, 0xc02b, 0x009d, 0xcca9, 0xc0ac, 0xc0af, 0xc009, 0xc023, 0xc024,
            0xc00a, 0xc009, 0xc02b, 0xc02b, 0x1302
        ]
    );
    for (uri, name, _) in &seen {
        assert!(uri.starts_with("/f.txt?"), "{uri}");
        assert_eq!(name, "host.example");
    }
    assert_eq!(seen.last().unwrap().0, "/f.txt?update", "after a key update");
}

/// Where connections may hold nothing, nothing is read, and that is told.
#[test]
fn records_without_room_are_counted() {
    let keys = std::fs::read(data("tls_suites.keys")).unwrap();
    let refused = |held_bytes_total: usize| {
        let stream = StreamLimits { held_bytes_total, ..StreamLimits::default() };
        let mut pipeline = Pipeline::new(ALL_NEEDS, Options { stream, ..Options::default() });
        pipeline.add_secrets(&keys);
        let mut view = PacketView::default();
        let mut packets = Captures::new([data("tls_suites.pcap.gz")]);
        while let Some(packet) = packets.next_packet().unwrap() {
            pipeline.process(&packet, &mut view);
        }
        pipeline.counters().tls_refused
    };
    assert_eq!(refused(StreamLimits::default().held_bytes_total), 0);
    assert!(refused(0) > 100, "{}", refused(0));
}

#[test]
fn without_its_secrets_a_session_stays_closed() {
    assert!(exchanges(None, &[]).is_empty());
    let keys = std::fs::read_to_string(data("tls_suites.keys")).unwrap();
    // The secrets of others are of no use: each line's last digit changed.
    let mut wrong = String::new();
    for line in keys.lines().filter(|line| !line.starts_with('#')) {
        wrong += &line[..line.len() - 1];
        wrong += if line.ends_with('0') { "1\n" } else { "0\n" };
    }
    assert!(exchanges(Some(wrong.as_bytes()), &[]).is_empty());
}

#[test]
fn secrets_of_application_data_alone_are_enough() {
    let keys = std::fs::read_to_string(data("tls_suites.keys")).unwrap();
    let traffic: String =
        keys.lines().filter(|line| !line.contains("HANDSHAKE")).flat_map(|line| [line, "\n"]).collect();
    assert_eq!(exchanges(Some(traffic.as_bytes()), &[]).len(), 18);
}

/// A record that is lost takes nothing with it but itself: here each packet in turn is missing.
#[test]
fn after_a_lost_packet_the_others_are_read() {
    let keys = std::fs::read(data("tls_suites.keys")).unwrap();
    for lost in 1..=40 {
        let seen = exchanges(Some(&keys), &[lost]).len();
        assert!(seen >= 17, "without packet {lost}: {seen}");
    }
}

#[test]
fn handshakes_end_once() {
    let keys = std::fs::read(data("tls_suites.keys")).unwrap();
    for keys in [None, Some(&keys[..])] {
        let mut ended = Vec::new();
        each(&data("tls_suites.pcap.gz"), keys, &[], |view| {
            if view.layers & layer::TLS_HANDSHAKE_END != 0 {
                assert!(view.tls.handshake_ns >= view.tls.server_hello_ns && view.tls.server_hello_ns > 0);
                ended.push((view.tls.completed, view.tls.resumed));
            }
        });
        let good = ended.iter().filter(|&&(completed, _)| completed == 1).count();
        assert_eq!((good, ended.len()), (18, 18));
        assert_eq!(ended.iter().filter(|&&(_, resumed)| resumed == 1).count(), 1);
    }
}

/// A record of the client's in TLS 1.3, encrypted, of so many bytes of content.
fn protected(content: u16, tag: u16) -> Vec<u8> {
    let length = content + 1 + tag;
    [&[23, 3, 3][..], &length.to_be_bytes(), &vec![0x5a; usize::from(length)]].concat()
}

/// A hello of TLS 1.3 with this suite; the client offers it alone.
fn hello(client: bool, suite: [u8; 2]) -> Vec<u8> {
    let versions: &[u8] = if client { &[0, 43, 0, 3, 2, 3, 4] } else { &[0, 43, 0, 2, 3, 4] };
    let choice = if client { [&[0, 2][..], &suite, &[1, 0]].concat() } else { [&suite[..], &[0]].concat() };
    let extensions = [&(versions.len() as u16).to_be_bytes()[..], versions].concat();
    let body = [&[3, 3][..], &[7; 32], &[0], &choice, &extensions].concat();
    let kind = if client { 1 } else { 2 };
    let message = [&[kind, 0][..], &(body.len() as u16).to_be_bytes(), &body].concat();
    [&[22, 3, 3][..], &(message.len() as u16).to_be_bytes(), &message].concat()
}

/// TLS 1.3: a client that refuses the server's certificate answers with an alert in place of its Finished, of which its length alone can be read.
#[test]
fn an_encrypted_alert_is_no_finished() {
    const CHANGE: &[u8] = &[20, 3, 3, 0, 1, 1];
    let ended = |suite: [u8; 2], records: &[Vec<u8>]| {
        let mut conn = Conn::open();
        conn.send(0, &hello(true, suite));
        conn.send(1, &[hello(false, suite), protected(900, 16)].concat());
        conn.send(0, CHANGE);
        for record in records {
            conn.send(0, record);
        }
        let ended: Vec<_> = conn.views.iter().filter(|view| view.layers & layer::TLS_HANDSHAKE_END != 0).collect();
        ended.iter().map(|view| view.tls.completed).collect::<Vec<_>>()
    };
    for (suite, tag) in [([0x13, 1], 16), ([0x13, 2], 16), ([0x13, 5], 8)] {
        assert_eq!(ended(suite, &[protected(2, tag)]), [0], "{suite:?}: an alert");
        assert_eq!(ended(suite, &[protected(36, tag)]), [1], "{suite:?}: a Finished");
        assert_eq!(
            ended(suite, &[protected(4, tag), protected(52, tag)]),
            [1],
            "{suite:?}: the end of early data first"
        );
        assert!(ended(suite, &[protected(4, tag)]).is_empty(), "{suite:?}: and nothing behind it yet");
    }
}

/// A session of TLS 1.2 with DEFLATE (RFC 3749), the secrets in its file: what is encrypted isn't read, and isn't taken for what it is not.
#[test]
fn a_compressed_session_is_told_and_not_read() {
    let path = data("tls_deflate.pcapng.gz");
    let mut ended = Vec::new();
    let counted = each(&path, None, &[], |view| {
        assert_eq!(view.layers & layer::HTTP, 0);
        if view.layers & layer::TLS_HANDSHAKE_END != 0 {
            ended.push((view.tls.completed, view.tls.decrypted));
        }
    });
    assert_eq!((ended, counted.tls_compressed, counted.tls_malformed), (vec![(1, 0)], 1, 0));
}

/// Secrets that a program writes while it is watched may come after the server's Finished: the client's ends the handshake all the same,
/// at its own time.
#[test]
fn a_handshake_ends_with_the_clients_finished_whatever_could_be_read_before() {
    let keys = std::fs::read_to_string(data("tls_suites.keys")).unwrap();
    let is_late = |line: &&str| !line.starts_with("SERVER_HANDSHAKE_TRAFFIC_SECRET");
    let late: String = keys.lines().filter(is_late).flat_map(|line| [line, "\n"]).collect();
    let ended = |keys: &str| {
        let mut ended = Vec::new();
        each(&data("tls_suites.pcap.gz"), Some(keys.as_bytes()), &[], |view| {
            if view.layers & layer::TLS_HANDSHAKE_END != 0 {
                ended.push((view.number, view.tls.handshake_ns, view.tls.completed));
            }
        });
        ended
    };
    assert_eq!(ended(&late), ended(&keys));
}

/// Values of one frame: content types, handshake types, server names, descriptions of alerts.
type Frame = [Vec<String>; 4];

fn ours(path: &Path, keys: Option<&[u8]>) -> BTreeMap<u64, Frame> {
    let mut frames = BTreeMap::<u64, Frame>::new();
    each(path, keys, &[], |view| {
        if view.layers & layer::TLS == 0 {
            return;
        }
        let frame = frames.entry(view.number).or_default();
        let has = |bit: u64| view.layers & bit != 0;
        // A record with several messages is told with each of them.
        let kind = view.tls.content_type.to_string();
        if has(layer::TLS_CONTENT) && frame[0].last() != Some(&kind) {
            frame[0].push(kind);
        }
        if has(layer::TLS_HANDSHAKE) {
            frame[1].push(view.tls.handshake_type.to_string());
        }
        if has(layer::TLS_SERVER_NAME) {
            frame[2].push(text(view.tls.server_name));
        }
        if has(layer::TLS_ALERT) {
            frame[3].push(view.tls.alert_desc.to_string());
        }
    });
    frames.retain(|_, frame| frame.iter().any(|values| !values.is_empty()));
    frames
}

fn tsharks(path: &Path, keys: Option<&Path>) -> BTreeMap<u64, Frame> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=\u{1f}", "-e", "frame.number"]);
    for field in [
        "tls.record.content_type",
        "tls.handshake.type",
        "tls.handshake.extensions_server_name",
        "tls.alert_message.desc",
    ] {
        command.args(["-e", field]);
    }
    if let Some(keys) = keys {
        command.arg("-o").arg(format!("tls.keylog_file:{}", keys.display()));
    }
    let output = command.arg("-r").arg(path).output().expect("tshark runs");
    let mut frames = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut values = line.split('\t');
        let number = values.next().unwrap().parse().unwrap();
        let mut frame: Frame = std::array::from_fn(|_| {
            let value = values.next().unwrap_or_default();
            value.split('\u{1f}').filter(|value| !value.is_empty()).map(ToOwned::to_owned).collect()
        });
        frame[0].dedup();
        if frame.iter().any(|values| !values.is_empty()) {
            frames.insert(number, frame);
        }
    }
    frames
}

#[test]
fn frame_by_frame_as_tshark() {
    if std::env::var_os("WEFTRACE_TSHARK").is_none() {
        println!("SKIP WEFTRACE_TSHARK: not asked for");
        return;
    }
    let (suites, keys) = (data("tls_suites.pcap.gz"), data("tls_suites.keys"));
    let secrets = std::fs::read(&keys).unwrap();
    assert_eq!(ours(&suites, Some(&secrets)), tsharks(&suites, Some(&keys)));
    assert_eq!(ours(&suites, None), tsharks(&suites, None));
    let Some(dir) = captures() else { return };
    for line in std::fs::read_to_string(dir.join("truth.jsonl")).unwrap().lines() {
        let truth: serde_json::Value = serde_json::from_str(line).unwrap();
        if truth["counts"]["tls_client_hello"] != 0 {
            let path = dir.join(truth["file"].as_str().unwrap());
            assert_eq!(ours(&path, None), tsharks(&path, None), "{}", path.display());
        }
    }
}
