//! Layers of every packet of a directory of captures against tshark: `WEFTRACE_TSHARK_DIR=DIR[:DIR]`. What tshark shows last of
//! each field is the innermost layer, which is what a script reads. Lists the differences by capture. tshark's output is kept in
//! `WEFTRACE_TSHARK_CACHE` if that names a directory. Made with tshark 4.0.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use weftrace_artifact::packet::{PacketView, layer, needs};
use weftrace_probes::packet::source::Captures;
use weftrace_probes::packet::{Options, Pipeline};

const FIELDS: [&str; 14] = [
    "frame.protocols",
    "frame.cap_len",
    "frame.time_epoch",
    "ip.src",
    "ip.dst",
    "ip.proto",
    "ipv6.src",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "vlan.id",
    "tcp.len",
];

fn ours(view: &PacketView) -> [String; 14] {
    let has = |bit| view.layers & bit != 0;
    let when = |there: bool, text: String| if there { text } else { String::new() };
    let v4 = |bytes: &[u8; 16]| Ipv4Addr::from([bytes[0], bytes[1], bytes[2], bytes[3]]).to_string();
    let v6 = |bytes: &[u8; 16]| Ipv6Addr::from(*bytes).to_string();
    [
        String::new(),
        view.cap_len.to_string(),
        format!("{}.{:09}", view.time_ns / 1_000_000_000, view.time_ns % 1_000_000_000),
        when(has(layer::IP), v4(&view.ip_src)),
        when(has(layer::IP), v4(&view.ip_dst)),
        when(has(layer::IP), view.ip_proto.to_string()),
        when(has(layer::IPV6), v6(&view.ipv6_src)),
        when(has(layer::IPV6), v6(&view.ipv6_dst)),
        when(has(layer::TCP), view.tcp_src_port.to_string()),
        when(has(layer::TCP), view.tcp_dst_port.to_string()),
        when(has(layer::UDP), view.udp_src_port.to_string()),
        when(has(layer::UDP), view.udp_dst_port.to_string()),
        when(has(layer::VLAN), view.vlan_id.to_string()),
        when(has(layer::TCP) && view.tcp_hdr_len >= 20, view.tcp_len.to_string()),
    ]
}

/// tshark's values of one packet: the last of each field, without those of packets quoted in ICMP errors, which are not traffic.
fn theirs(line: &str) -> Vec<String> {
    let columns: Vec<&str> = line.split('\t').collect();
    let protocols: Vec<&str> = columns[0].split(':').collect();
    let traffic = protocols.iter().position(|p| ["icmp", "icmpv6"].contains(p)).unwrap_or(protocols.len());
    let quoted = |wanted: &[&str]| protocols[traffic..].iter().filter(|p| wanted.contains(p)).count();
    let mut values: Vec<String> = columns
        .iter()
        .zip(FIELDS)
        .map(|(text, name)| {
            let all: Vec<&str> = text.split('\u{1f}').filter(|text| !text.is_empty()).collect();
            let family = name.split('.').next().unwrap();
            let left_out = match family {
                "ip" | "ipv6" | "tcp" | "udp" => quoted(&[family]),
                _ => 0,
            };
            let left_out = if all.len() > 1 || family == "tcp" || family == "udp" { left_out } else { 0 };
            all.get(all.len().wrapping_sub(left_out + 1)).map(|&text| text.to_owned()).unwrap_or_default()
        })
        .collect();
    values.resize(FIELDS.len(), String::new());
    values
}

fn tshark(capture: &Path) -> Option<String> {
    let cache = std::env::var_os("WEFTRACE_TSHARK_CACHE").map(|dir| {
        let folder = capture.parent().and_then(Path::file_name).unwrap_or_default();
        let name = format!("{}.tsv", capture.file_name().unwrap_or_default().to_string_lossy());
        PathBuf::from(dir).join(folder).join(name)
    });
    if let Some(text) = cache.as_ref().and_then(|cache| std::fs::read(cache).ok()) {
        return Some(String::from_utf8_lossy(&text).into_owned());
    }
    if std::env::var_os("WEFTRACE_TSHARK_CACHED_ONLY").is_some() {
        return None;
    }
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=\u{1f}", "-r"]).arg(capture);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark runs").stdout;
    if let Some(cache) = cache {
        std::fs::create_dir_all(cache.parent().unwrap()).unwrap();
        std::fs::write(cache, &output).unwrap();
    }
    Some(String::from_utf8_lossy(&output).into_owned())
}

fn captures(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            captures(&path, found);
        } else if path.extension().is_some_and(|e| !["tsv", "err", "tmp", "txt", "sh", "log"].iter().any(|no| e == *no))
        {
            found.push(path);
        }
    }
}

#[derive(Default)]
struct Differences {
    packets: u64,
    values: u64,
    /// By capture and field: how many, and the first.
    wrong: BTreeMap<(String, &'static str), (u64, String)>,
}

impl Differences {
    fn note(&mut self, file: &str, field: &'static str, what: impl FnOnce() -> String) {
        let entry = self.wrong.entry((file.to_owned(), field)).or_default();
        entry.0 += 1;
        if entry.1.is_empty() {
            entry.1 = what();
        }
    }

    fn compare(&mut self, path: &Path, truth: &str) {
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let file = format!("{folder}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        let mut pipeline = Pipeline::new(needs::HEADERS, Options::default());
        let mut view = PacketView::default();
        let mut packets = Captures::new([path.to_owned()]);
        let mut lines = truth.lines();
        loop {
            let packet = match packets.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(error) => {
                    if lines.next().is_some() {
                        self.note(&file, "packets", || error.to_string());
                    }
                    return;
                }
            };
            let Some(line) = lines.next() else {
                return self.note(&file, "packets", || format!("tshark has no packet {}", packet.number));
            };
            pipeline.process(&packet, &mut view);
            self.packets += 1;
            let theirs = theirs(line);
            for ((name, ours), theirs) in FIELDS.iter().zip(ours(&view)).zip(&theirs).skip(1) {
                self.values += 1;
                if ours != *theirs {
                    let protocols = &theirs_protocols(line);
                    self.note(&file, name, || {
                        format!(
                            "frame {}: {ours:?}, tshark has {theirs:?} in {protocols} (link {})",
                            view.number, packet.link.0
                        )
                    });
                }
            }
        }
        if lines.next().is_some() {
            self.note(&file, "packets", || format!("only {}", view.number));
        }
    }
}

fn theirs_protocols(line: &str) -> String {
    line.split('\t').next().unwrap_or_default().to_owned()
}

#[test]
fn a_directory_equals_tshark() {
    let Some(dirs) = std::env::var_os("WEFTRACE_TSHARK_DIR") else {
        println!("SKIP WEFTRACE_TSHARK_DIR: not asked for");
        return;
    };
    let mut differences = Differences::default();
    let mut files = 0;
    for dir in std::env::split_paths(&dirs) {
        let mut found = Vec::new();
        captures(&dir, &mut found);
        for path in found {
            if let Some(truth) = tshark(&path) {
                differences.compare(&path, &truth);
                files += 1;
            }
        }
    }
    for ((file, field), (count, first)) in &differences.wrong {
        println!("{file}: {field}: {count} differ; {first}");
    }
    let Differences { packets, values, wrong } = differences;
    println!(
        "{files} captures, {packets} packets, {values} values compared; {} fields of captures differ",
        wrong.len()
    );
}
