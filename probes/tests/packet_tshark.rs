//! Field by field against tshark, on demand: `WEFTRACE_TSHARK=1`. Made with tshark 4.0, whose last occurrence of a field is the
//! innermost layer's.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod packet_support;

use packet_support::{captures, strings};
use std::process::Command;
use weftrace_artifact::packet::{FIELDS, FieldRow, FieldType, PacketView, Read, field};
use weftrace_probes::packet::source::Captures;
use weftrace_probes::packet::{ALL_NEEDS, Options, Pipeline};

/// Fields whose text in tshark's output can be compared.
const NAMES: &[&str] = &[
    "frame.len",
    "frame.cap_len",
    "eth.src",
    "eth.dst",
    "vlan.id",
    "ip.src",
    "ip.dst",
    "ip.proto",
    "ip.ttl",
    "ip.len",
    "ip.id",
    "ip.dsfield",
    "ip.flags.df",
    "ip.flags.mf",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.nxt",
    "ipv6.hlim",
    "udp.srcport",
    "udp.dstport",
    "udp.length",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq",
    "tcp.seq_raw",
    "tcp.ack",
    "tcp.ack_raw",
    "tcp.len",
    "tcp.hdr_len",
    "tcp.flags",
    "tcp.flags.syn",
    "tcp.window_size_value",
    "tcp.window_size",
    "tcp.window_size_scalefactor",
    "tcp.stream",
    "tcp.urgent_pointer",
    "tcp.options.mss_val",
    "tcp.options.wscale.shift",
    "tcp.options.timestamp.tsval",
    "tcp.options.timestamp.tsecr",
    "tcp.options.sack.count",
    "tcp.analysis.duplicate_ack_num",
    "tcp.analysis.ack_rtt",
    "tcp.analysis.rto",
    "tcp.analysis.bytes_in_flight",
    "http.request.method",
    "http.request.uri",
    "http.request.version",
    "http.response.code",
    "http.response.phrase",
    "http.host",
    "dns.id",
    "dns.flags.response",
    "dns.count.queries",
    "dns.count.answers",
    "dns.count.auth_rr",
    "dns.count.add_rr",
    "icmp.type",
    "icmp.code",
    "icmp.ident",
    "icmp.seq",
    "icmpv6.type",
    "icmpv6.code",
    "icmpv6.echo.sequence_number",
];

/// Read from the view as generated code would, as the numbers and texts that tshark prints; "" if absent.
fn value(view: &PacketView, row: &FieldRow) -> String {
    if view.layers & row.layers != row.layers || view.known & row.known != row.known {
        return String::new();
    }
    // The value by its name: the offsets are the table's own test.
    let number = |n: u64| n.to_string();
    match (row.name, row.read) {
        (_, Read::Str(_)) => strings::text(strings::at(view, row)),
        (_, Read::Bytes(_)) => {
            let bytes = strings::raw(
                view,
                row,
                match row.ty {
                    FieldType::Mac => 6,
                    FieldType::Ipv4 => 4,
                    _ => 16,
                },
            );
            match row.ty {
                FieldType::Mac => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"),
                FieldType::Ipv4 => std::net::Ipv4Addr::from(<[u8; 4]>::try_from(bytes).unwrap()).to_string(),
                _ => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap()).to_string(),
            }
        }
        (_, Read::Known(mask)) => number(u64::from(view.known & mask != 0)),
        (_, Read::Layer(mask)) => number(u64::from(view.layers & mask != 0)),
        (_, Read::Bit(at, mask)) => {
            let word = u32::from_ne_bytes(strings::raw_at(view, at, 4).try_into().unwrap());
            number(u64::from(word & mask != 0))
        }
        ("tcp.window_size_scalefactor", Read::Load(_)) => view.tcp_window_factor.to_string(),
        (_, Read::Load(at)) => {
            let width = match row.ty {
                FieldType::U8 => 1,
                FieldType::U16 => 2,
                FieldType::U64 | FieldType::Time => 8,
                _ => 4,
            };
            let mut word = [0; 8];
            word[..width].copy_from_slice(&strings::raw_at(view, at, width));
            number(u64::from_le_bytes(word))
        }
        (_, Read::Conn(_) | Read::More(_) | Read::ByteRanges(_)) => String::new(),
    }
}

/// tshark's text in our form: hexadecimal to decimal, seconds to ns, truth values to 0 and 1.
fn normal(row: &FieldRow, text: &str) -> String {
    let last = text.rsplit('\u{1f}').next().unwrap_or_default();
    if let Some(hex) = last.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok()) {
        return hex.to_string();
    }
    if ["tcp.analysis.ack_rtt", "tcp.analysis.rto"].contains(&row.name) && !last.is_empty() {
        let (seconds, fraction) = last.split_once('.').unwrap();
        return (seconds.parse::<u64>().unwrap() * 1_000_000_000 + fraction.parse::<u64>().unwrap()).to_string();
    }
    match last {
        "True" => "1".into(),
        "False" => "0".into(),
        other => other.into(),
    }
}

#[test]
fn fields_equal_tshark() {
    if std::env::var_os("WEFTRACE_TSHARK").is_none() {
        println!("SKIP WEFTRACE_TSHARK: not asked for");
        return;
    }
    let Some(dir) = captures() else { return };
    let rows: Vec<_> = NAMES.iter().map(|name| field(name).unwrap_or_else(|| panic!("no field {name}"))).collect();
    let mut wrong = std::collections::BTreeMap::<String, (u64, String)>::new();
    let mut compared = 0_u64;
    for line in std::fs::read_to_string(dir.join("truth.jsonl")).unwrap().lines() {
        let truth: serde_json::Value = serde_json::from_str(line).unwrap();
        let file = truth["file"].as_str().unwrap();
        let path = dir.join(file);
        let mut command = Command::new("tshark");
        command.args(["-n", "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=\u{1f}", "-r"]).arg(&path);
        for row in &rows {
            command.args(["-e", row.name]);
        }
        let output = command.output().expect("tshark runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut pipeline = Pipeline::new(ALL_NEEDS, Options::default());
        let mut view = PacketView::default();
        let mut packets = Captures::new([path]);
        for line in text.lines() {
            let (packet, secrets) = packets.next_with_secrets().unwrap().expect("as many packets as tshark");
            for secrets in &secrets {
                pipeline.add_secrets(&secrets.data);
            }
            pipeline.process(&packet, &mut view);
            for (row, want) in rows.iter().zip(line.split('\t')) {
                let (have, want_one) = (value(&view, row), normal(row, want));
                compared += 1;
                if have != want_one && !excused(file, &view, row.name, want, &have) {
                    let entry = wrong.entry(format!("{file} {}", row.name)).or_default();
                    entry.0 += 1;
                    if entry.1.is_empty() {
                        entry.1 = format!("frame {}: {have:?}, tshark has {want:?}", view.number);
                    }
                }
            }
            while pipeline.next_part(&mut view).is_some() {}
        }
    }
    println!("{compared} values compared");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Where tshark's output is about something else.
fn excused(file: &str, view: &PacketView, name: &str, want: &str, have: &str) -> bool {
    let is_http = name.starts_with("http.");
    // Several messages end in the frame: the first is in the view, the others are parts.
    let first_of_many = is_http && want.split('\u{1f}').next() == Some(have);
    // tshark takes bytes ahead of a hole at once; here they wait until the hole is known to stay.
    let ahead = is_http
        && [("tcptrace-http.dmp", 706), ("zeek-erspan.pcap", 244), ("zeek-erspan.pcap", 260)]
            .contains(&(file, view.number));
    // The packet quoted in an ICMP error is not dissected.
    let quoted =
        view.ip_proto == 1 && (want.contains('\u{1f}') || name.starts_with("tcp.") || name.starts_with("dns."));
    // Frames cut short inside a header: tshark shows what comes before the cut.
    let cut = file == "zeek-cisco-fabric-path.pcap";
    // An empty SACK option, on which tshark stops.
    let empty_sack = file == "suricata-verify-tcp-empty-sack-tcp-opt.pcap" && view.number == 24;
    first_of_many || ahead || quoted || cut || empty_sack
}

/// A view that is used again says of every packet what a new one says: nothing of an earlier packet shows through.
#[test]
fn views_can_be_used_again() {
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/tcp");
    let mut files: Vec<_> = std::fs::read_dir(scripts).unwrap().flatten().map(|entry| entry.path()).collect();
    if let Some(dir) = captures() {
        files.extend(std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()));
    }
    let endings = ["pcap", "pcapng", "dmp"];
    files.retain(|path| path.extension().is_some_and(|ending| endings.iter().any(|e| ending == *e)));
    files.sort();
    let mut again = PacketView::default();
    let mut pipelines = [(); 2].map(|()| Pipeline::new(ALL_NEEDS, Options::default()));
    let mut packets = 0;
    for file in &files {
        let mut captures = Captures::new([file.clone()]);
        while let Ok(Some(packet)) = captures.next_packet() {
            let mut new = PacketView::default();
            let [first, second] = &mut pipelines;
            first.process(&packet, &mut again);
            second.process(&packet, &mut new);
            loop {
                assert_eq!(again.layers, new.layers, "{}: frame {}", file.display(), new.number);
                for row in FIELDS {
                    let (have, want) = (value(&again, row), value(&new, row));
                    assert_eq!(have, want, "{}: frame {}: {}", file.display(), new.number, row.name);
                }
                let more = first.next_part(&mut again);
                assert_eq!(more, second.next_part(&mut new));
                if more.is_none() {
                    break;
                }
            }
            packets += 1;
        }
    }
    assert!(packets > 500, "only {packets} packets");
}
