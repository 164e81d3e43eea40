//! `tcp/summary` counts in every capture of ../shared/captures what tshark counts there (truth.jsonl, made by tshark 4.0.17), and in
//! the large capture that is made of them, frame by frame.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests say what they skip")]

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Where the captures are: WEFTRACE_CAPTURES, or beside the repository.
fn captures() -> Option<PathBuf> {
    let set = std::env::var_os("WEFTRACE_CAPTURES").map(PathBuf::from);
    let path = set.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures"));
    path.join("truth.jsonl").is_file().then_some(path)
}

fn weftrace() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weftrace"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// The counts of `tcp/summary`, by name: one object, alone.
fn summary(file: &Path) -> BTreeMap<String, u64> {
    let output = weftrace()
        .args(["run", "scripts/tcp/summary.probe", "-f", "json", "--read"])
        .arg(file)
        .output()
        .expect("weftrace runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", file.display());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.lines().count(), 1, "{}: one object is expected: {text}", file.display());
    let object: Value = serde_json::from_str(&text).expect("JSON");
    let counts = object.as_object().expect("counts by name");
    counts.iter().map(|(name, n)| (name.clone(), n.as_u64().expect("a count"))).collect()
}

/// What differs from tshark's counts.
fn compare(name: &str, found: &BTreeMap<String, u64>, truth: &Value, wrong: &mut String) -> usize {
    let counts = truth.as_object().expect("counts by name");
    for (count, want) in counts {
        let have = found.get(count).copied();
        if want.as_u64() != have {
            writeln!(wrong, "{name}: {count} is {have:?}, tshark has {want}").unwrap();
        }
    }
    counts.len()
}

#[test]
fn counts_equal_tsharks() {
    let Some(captures) = captures() else {
        println!("SKIP captures");
        return;
    };
    let truth = fs::read_to_string(captures.join("truth.jsonl")).expect("readable");
    let mut wrong = String::new();
    let mut files = 0;
    for line in truth.lines() {
        let truth: Value = serde_json::from_str(line).expect("JSON");
        let name = truth["file"].as_str().expect("a file name");
        let found = summary(&captures.join(name));
        let compared = compare(name, &found, &truth["counts"], &mut wrong);
        assert!(compared >= 35, "{name}: only {compared} counts");
        files += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(files >= 30, "only {files} captures");
}

/// SHA-256 of text, by the system's tool.
fn digest(text: &str) -> String {
    let mut tool = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum");
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).split_whitespace().next().unwrap_or_default().to_owned()
}

/// Needs the capture that gen_big.py makes; `make bench` makes and names it.
#[test]
fn large_capture_equals_tsharks() {
    let (Some(captures), Some(big)) = (captures(), std::env::var_os("WEFTRACE_BIG_CAPTURE").map(PathBuf::from)) else {
        println!("SKIP WEFTRACE_BIG_CAPTURE");
        return;
    };
    let truth: Value = serde_json::from_slice(&fs::read(captures.join("big.truth.json")).unwrap()).unwrap();
    let mut wrong = String::new();
    let compared = compare("the large capture", &summary(&big), &truth["counts"], &mut wrong);
    assert!(compared >= 20, "only {compared} counts");

    // Frame by frame: the numbers of the frames that carry each flag, as a digest.
    let digests = truth["frame_list_sha256"].as_object().unwrap();
    let names: Vec<&str> = digests.keys().map(String::as_str).collect();
    let fields: Vec<String> = names.iter().map(|name| format!("tcp.analysis.{name}")).collect();
    let format = " %d".repeat(names.len());
    let program =
        format!("pcap:any /tcp.analysis.flags/ {{ printf(\"%lu{format}\\n\", frame.number, {}); }}", fields.join(", "));
    let mut run = weftrace()
        .args(["-q", "-e"])
        .arg(program)
        .arg("--read")
        .arg(&big)
        .stdout(Stdio::piped())
        .spawn()
        .expect("weftrace runs");
    let mut lists = vec![String::new(); names.len()];
    for line in BufReader::new(run.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        let frame = words.next().unwrap_or_default();
        for (list, set) in lists.iter_mut().zip(words) {
            if set == "1" {
                writeln!(list, "{frame}").unwrap();
            }
        }
    }
    assert!(run.wait().unwrap().success());
    for (name, list) in names.iter().zip(&lists) {
        let (have, want) = (digest(list), digests[*name].as_str().unwrap());
        if have != want {
            writeln!(wrong, "{name}: {} frames, not tshark's", list.lines().count()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// An exchange that is open when a capture ends is for the blocks whose filter its connection passed.
#[test]
fn an_open_exchange_is_for_who_wanted_its_connection() {
    let request = b"GET /open HTTP/1.1\r\n\r\n";
    let mut packet = vec![0; 12];
    packet.extend([8, 0, 0x45, 0]);
    packet.extend((40 + request.len() as u16).to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x9c, 0x40, 0x1f, 0x90]);
    packet.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    packet.extend(request);
    let mut capture = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1, 1, 0, packet.len() as u32, packet.len() as u32] {
        capture.extend(word.to_le_bytes());
    }
    capture.extend(packet);
    let path = std::env::temp_dir().join(format!("weftrace-open-{}.pcap", std::process::id()));
    fs::write(&path, capture).unwrap();
    let program = r#"pcap:any:"port 8080" /http.exchange/ { printf("%s %s\n", http.exchange.uri, conversation); }
        pcap:any:"port 9090" /http.exchange/ { printf("not %s\n", http.exchange.uri); }"#;
    let output = weftrace().args(["-q", "-e", program, "--read"]).arg(&path).output().unwrap();
    fs::remove_file(&path).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.trim_end(), "/open 10.0.0.1:40000 \u{2194} 10.0.0.2:8080", "{output:?}");
}

/// Paths without what differs from request to request, of HTTP/1 and HTTP/2, in blocks and in joins.
#[test]
fn routes_of_requests() {
    let keys = |capture: &str, script: &str| {
        let output = weftrace().args(["run", "-q", "--read", capture, "-e", script]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter(|line| line.starts_with('@')).map(str::to_owned).collect::<Vec<_>>()
    };
    let found = keys(
        "scripts/http/requests.pcap",
        "pcap:any /http.exchange/ { @[http.exchange.version, http.exchange.route] = count(); }",
    );
    for wanted in ["@[HTTP/1.1, /api/orders]: 1", "@[HTTP/2, /demo.Greeter/Ok]: 20"] {
        assert!(found.iter().any(|line| line == wanted), "no {wanted} in {found:#?}");
    }
    let script = "import \"std/http\"; join:slow_http { @[r.route] = count(); }";
    let found = keys("scripts/http/slow_requests.pcap", script);
    assert_eq!(found, ["@[/big]: 1", "@[/delay/{id}]: 3", "@[/small]: 44"]);
}

/// A capture of these frames, each of which was so long, one ms apart; `run` gets its path.
fn with_capture<T>(frames: &[(Vec<u8>, usize)], run: impl FnOnce(&Path) -> T) -> T {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let mut capture = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1]);
    for (i, (frame, len)) in frames.iter().enumerate() {
        capture.extend(words(&[1, 1000 * i as u32, frame.len() as u32, *len as u32]));
        capture.extend(frame);
    }
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("weftrace-frames-{}-{number}.pcap", std::process::id()));
    fs::write(&path, capture).unwrap();
    let result = run(&path);
    fs::remove_file(&path).unwrap();
    result
}

/// A segment from port 40000 to port 8080, or back.
fn segment(back: bool, (seq, ack): (u32, u32), payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((40 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1 + u8::from(back), 10, 0, 0, 2 - u8::from(back)]);
    let ports = if back { [0x1f, 0x90, 0x9c, 0x40] } else { [0x9c, 0x40, 0x1f, 0x90] };
    frame.extend(ports);
    frame.extend([seq, ack].map(u32::to_be_bytes).concat());
    frame.extend([0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    frame.extend(payload);
    frame
}

/// The lines that a script prints of a capture.
fn said(path: &Path, script: &str) -> Vec<String> {
    let output = weftrace().args(["-q", "-e", script, "--read"]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// An exchange that is open when a capture ends is no packet: blocks that read messages alone don't run for it.
#[test]
fn open_exchanges_are_no_packets() {
    let answered = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let asked = b"GET /open HTTP/1.1\r\nHost: h\r\n\r\n";
    let (from, to) = (1 + asked.len() as u32, 1 + answered.len() as u32);
    let frames = [segment(false, (1, 1), asked), segment(true, (1, from), answered), segment(false, (from, to), asked)]
        .map(|frame| (frame.clone(), frame.len()));
    with_capture(&frames, |path| {
        let counts = |read: &str| {
            said(path, &format!("pcap:any {{ @n = count(); @least = min(frame.len); @[{read}] = count(); }}"))
        };
        for read in ["http.response.code ?? 0", "http.request.method ?? \"\"", "http.host ?? \"\""] {
            let found = counts(read);
            assert!(found.contains(&"@n: 4".into()) && !found.contains(&"@least: 0".into()), "{read}: {found:?}");
        }
        // What reads exchanges is told of those that are open, however its condition goes on.
        let told = "{ printf(\"%s %d %s\\n\", http.exchange.uri, http.exchange.status, ip.dst); }";
        let open = ["/open 200 10.0.0.2", "/open 0 10.0.0.2"];
        for condition in ["http.exchange", "http.exchange.dur >= 0", "http.exchange && tcp.dstport == 8080"] {
            assert_eq!(said(path, &format!("pcap:any /{condition}/ {told}")), open, "{condition}");
        }
        assert_eq!(counts("http.exchange.uri ?? \"\"").iter().filter(|line| *line == "@n: 5").count(), 1);
    });
}

/// What a snap length cut off is absent in scripts, and what it left is there.
#[test]
fn fields_of_cut_headers() {
    let whole = segment(false, (1, 1), b"hello");
    let at = |bytes: usize| (whole[..bytes].to_vec(), whole.len());
    with_capture(&[40, 48, 50, 54].map(at), |path| {
        let script = r#"pcap:any { printf("%d %d %d %d %d %s\n", tcp.dstport, tcp.stream ?? 9, tcp.flags ?? 9,
            tcp.len ?? 9, tcp.urgent_pointer ?? 9, tcp.analysis.flags ?? true ? "maybe" : "no"); }"#;
        let found = said(path, script);
        assert_eq!(found[..2], ["8080 9 9 9 9 maybe", "8080 9 24 5 9 maybe"]);
        // The last is the same segment again.
        assert_eq!(found[2..], ["8080 0 24 5 9 no", "8080 0 24 5 0 maybe"]);
    });
}

/// A server that is not reached any more: what held the open request up is the loss that lasts, not the application. Blocks that read losses run for it, and
/// others that count packets don't.
#[test]
fn what_lasts_to_the_end_has_its_part_of_a_request() {
    let asked = b"GET /hole HTTP/1.1\r\nHost: h\r\n\r\n";
    let request = segment(false, (1, 1), asked);
    let mut frames = vec![(segment(true, (1, 1), b""), 54)];
    frames.extend(vec![(request.clone(), request.len()); 90]);
    with_capture(&frames, |path| {
        let script = r#"import "std/http"; import "std/tcp";
            join open { from r = http.request(); total r.start; loss = sum(tcp.loss.dur) by conn; blame loss; }
            join:open { printf("%s %d ms, loss %d ms: %s\n", r.path, total / 1ms, loss / 1ms, verdict); }
            pcap:any { @packets = count(); }
            pcap:any /tcp.stream == 0/ { @of_the_stream = count(); }
            pcap:any /tcp.repair.dur > 0/ { @losses = count(); }"#;
        let found = said(path, script);
        for wanted in
            ["/hole 89 ms, loss 89 ms: loss 89 ms (100%) exact", "@packets: 91", "@of_the_stream: 91", "@losses: 1"]
        {
            assert!(found.contains(&wanted.into()), "no {wanted} in {found:?}");
        }
    });
}

/// Joins go on with what has come, however few packets that are, and say the same as of the whole.
#[test]
fn a_pipe_that_trickles_has_its_results() {
    let script = r#"pcap:any { emit some.packet(pid = 1, n = frame.number, start = nsecs, end = nsecs); }
        join each { from r = some.packet(); }
        join:each { printf("%d\n", r.n); }"#;
    let frame = segment(false, (1, 1), b"hello");
    with_capture(&vec![(frame.clone(), frame.len()); 60], |path| {
        let capture = fs::read(path).unwrap();
        let mut child = weftrace()
            .args(["-q", "-e", script, "--read", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (told, said_so_far) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || from.lines().try_for_each(|line| told.send(line.unwrap())));
        let mut lines = Vec::new();
        // In pieces that end within a packet; of each what was over a ms before its last packet is told at once.
        for (piece, n) in capture.chunks(capture.len() / 3 + 1).zip([15, 35, 55]) {
            to.write_all(piece).unwrap();
            while lines.len() < n {
                let line = said_so_far.recv_timeout(std::time::Duration::from_secs(30));
                lines.push(line.unwrap_or_else(|_| panic!("no result of packet {n}, with more to come: {lines:?}")));
            }
        }
        drop(to);
        lines.extend(said_so_far);
        reader.join().unwrap().unwrap();
        assert!(child.wait().unwrap().success());
        lines.retain(|line| !line.is_empty());
        assert_eq!(lines, said(path, script));
        assert_eq!(lines[59], "60");
    });
}
