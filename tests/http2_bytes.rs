//! Of several streams of one HTTP/2 connection each has the losses of its own frames: beside nginx and h2load, a firewall that drops segments and
//! logs which, and tshark, which says what the connection carried where.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use traced::{Tracer, can_watch_sockets, ip, nginx::Nginx, ready, soon, text};

/// As the scripts and filters have it.
const PORT: u16 = 8443;
const FROM_SERVER: &str = "tcp.srcport==8443 && tcp.len>0";
const REQUESTS: usize = 60;
/// Four frames of a window of 8,191 bytes, which streams take in turns.
const BODY: usize = 30_000;
/// Data of the server's: one segment in so many is lost.
const LOSES: u32 = 60;

/// Two namespaces and a cable: the client's loses segments as they arrive.
struct Net {
    name: String,
}

impl Net {
    /// None: it can't be made here.
    fn new() -> Option<Self> {
        let net = Self { name: format!("wh{}", std::process::id()) };
        let (client, server) = (net.end('c'), net.end('s'));
        let made = ip(&format!("netns add {client}"))
            && ip(&format!("netns add {server}"))
            && ip(&format!("-n {client} link add wire type veth peer name wire netns {server}"));
        if !made {
            println!("SKIP network namespaces");
            return None;
        }
        for (end, address) in [(&client, "10.88.0.1/24"), (&server, "10.88.0.2/24")] {
            assert!(ip(&format!("-n {end} addr add {address} dev wire")));
            // What is one segment to TCP is one on the wire.
            assert!(ip(&format!("-n {end} link set wire gso_max_segs 1")));
            assert!(ip(&format!("-n {end} link set lo up")) && ip(&format!("-n {end} link set wire up")));
        }
        let rules = format!(
            "table ip faults {{\n chain arrives {{\n type filter hook prerouting priority raw;
             tcp sport {PORT} meta length > 1000 numgen inc mod {LOSES} == 20 log group 5 drop\n }}\n}}"
        );
        let fire = net.inside('c', "nft").arg(rules).output();
        if !fire.is_ok_and(|out| out.status.success()) {
            println!("SKIP nft");
            return None;
        }
        Some(net)
    }

    fn end(&self, end: char) -> String {
        format!("{}{end}", self.name)
    }

    fn inside(&self, end: char, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.end(end), program]);
        command
    }

    /// Writes what arrives at an interface into a file, until it is dropped. None: there is no tcpdump.
    fn captures(&self, end: char, interface: &str, file: &Path) -> Option<Capture> {
        let mut command = self.inside(end, "tcpdump");
        command
            .args(["--immediate-mode", "-B", "32768", "-U", "-s", "0", "-i", interface, "-w"])
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("ip runs");
        // Its header is written once it listens.
        soon(|| size(file) >= 24).then(|| Capture { child, file: file.to_owned() })
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for end in ['c', 's'] {
            ip(&format!("netns del {}", self.end(end)));
        }
    }
}

struct Capture {
    child: Child,
    file: PathBuf,
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |m| m.len())
}

impl Capture {
    /// Once all that has come by is in the file.
    fn end(mut self) {
        let grows = || {
            let before = size(&self.file);
            thread::sleep(Duration::from_millis(200));
            size(&self.file) != before
        };
        assert!(soon(|| !grows()), "it goes on");
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|s| s.success()));
        self.child.wait().expect("it ends");
    }
}

/// tshark's fields of the packets that a filter names, one list for each.
fn tshark(file: &Path, more: &[&str], fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    let port = format!("tcp.port=={PORT},http2");
    command.args(["-n", "-r"]).arg(file).args(["-d", &port]).args(more).args(["-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let out = command.output().expect("tshark runs");
    assert!(out.status.success(), "{}", text(&out.stderr));
    text(&out.stdout).lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// What the server sent, put together by sequence numbers.
fn sent_by_server(file: &Path) -> Vec<u8> {
    let mut stream = Vec::new();
    for packet in tshark(file, &["-Y", FROM_SERVER], &["tcp.seq", "tcp.payload"]) {
        let at = packet[0].parse::<usize>().expect("a number") - 1;
        let byte = |i: usize| u8::from_str_radix(&packet[1][2 * i..2 * i + 2], 16).expect("hex");
        let bytes: Vec<u8> = (0..packet[1].len() / 2).map(byte).collect();
        assert!(at <= stream.len(), "the capture lacks nothing");
        let known = bytes.len().min(stream.len() - at);
        stream.extend(&bytes[known..]);
    }
    stream
}

/// By stream, the bytes of its frames counted from 1; frames that touch are one.
fn frames(stream: &[u8]) -> BTreeMap<u32, Vec<Range<u64>>> {
    let mut all: BTreeMap<u32, Vec<Range<u64>>> = BTreeMap::new();
    let mut at = 0;
    while let Some(&[a, b, c, kind, _, d, e, f, g]) = stream.get(at..).and_then(|rest| rest.first_chunk::<9>()) {
        let end = at + 9 + u32::from_be_bytes([0, a, b, c]) as usize;
        let range = at as u64 + 1..end as u64 + 1;
        let of = u32::from_be_bytes([d, e, f, g]);
        if matches!(kind, 0 | 1 | 3 | 9) {
            match all.entry(of).or_default() {
                runs if runs.last().is_some_and(|last| last.end == range.start) => {
                    runs.last_mut().expect("one").end = range.end;
                }
                runs => runs.push(range),
            }
        }
        at = end;
    }
    assert_eq!(at, stream.len(), "whole frames");
    all
}

/// Requests by what they ask for: the bytes of their responses.
struct Truth {
    responses: BTreeMap<String, Vec<Range<u64>>>,
    /// Bytes of the server's that were sent again, and that the firewall dropped.
    again: Vec<Range<u64>>,
    dropped: Vec<Range<u64>>,
    /// Of the server.
    isn: u32,
}

impl Truth {
    fn of(sent: &Path, dropped: &Path) -> Self {
        let of_streams = frames(&sent_by_server(sent));
        let frames = ["http2.streamid", "http2.type", "http2.headers.path"];
        let mut responses = BTreeMap::new();
        for packet in &tshark(sent, &["-Y", "http2.headers.path"], &frames) {
            let [streams, kinds, paths] = [0, 1, 2].map(|i| packet[i].split(',').collect::<Vec<_>>());
            // Those with heads: they all ask.
            let of_heads = streams.iter().zip(&kinds).filter(|(_, kind)| **kind == "1");
            let streams: Vec<u32> = of_heads.map(|(stream, _)| stream.parse().expect("a number")).collect();
            assert_eq!(streams.len(), paths.len(), "{packet:?}");
            responses.extend(streams.iter().zip(paths).map(|(s, path)| (path.to_owned(), of_streams[s].clone())));
        }
        let mut again = Vec::new();
        let mut sent_to = 0;
        let numbers =
            |fields: &[String]| fields.iter().map(|f| f.parse::<u64>().expect("a number")).collect::<Vec<_>>();
        for packet in tshark(sent, &["-Y", FROM_SERVER], &["tcp.seq", "tcp.len"]) {
            let [seq, len] = numbers(&packet)[..] else { panic!("{packet:?}") };
            if seq < sent_to {
                again.push(seq..seq + len);
            }
            sent_to = sent_to.max(seq + len);
        }
        let first = tshark(sent, &["-Y", FROM_SERVER, "-c", "100"], &["tcp.seq", "tcp.seq_raw"]);
        let [seq, raw] = numbers(&first[0])[..] else { panic!("{first:?}") };
        let isn = raw - seq;
        let dropped = tshark(dropped, &["-Y", FROM_SERVER], &["tcp.seq_raw", "tcp.len"]);
        let place = |packet: &Vec<String>| {
            let [raw, len] = numbers(packet)[..] else { panic!("{packet:?}") };
            let seq = u64::from((raw as u32).wrapping_sub(isn as u32));
            seq..seq + len
        };
        Self { responses, again, dropped: dropped.iter().map(place).collect(), isn: isn as u32 }
    }

    /// When the kernel told of bytes of a request's response that were sent again, by its own lines.
    fn told_at<'l>(&'l self, path: &str, lines: &'l [String]) -> impl Iterator<Item = u64> + 'l {
        let runs = self.responses[path].clone();
        let sent = lines.iter().filter_map(|line| line.strip_prefix("sent "));
        let numbers = sent.map(|line| line.split(' ').map(|n| n.parse::<u64>().expect("a number")).collect::<Vec<_>>());
        numbers.filter_map(move |told| {
            let [from, to] = [told[1], told[2]].map(|seq| u64::from((seq as u32).wrapping_sub(self.isn)));
            runs.iter().any(|run| meet(run, &(from..to))).then_some(told[0])
        })
    }

    /// The requests that have bytes of theirs among these.
    fn hit<'a>(&'a self, lost: &'a [Range<u64>], own: impl Fn(&[Range<u64>]) -> Vec<Range<u64>>) -> BTreeSet<&'a str> {
        let is_hit = |runs: &Vec<Range<u64>>| own(runs).iter().any(|run| lost.iter().any(|l| meet(run, l)));
        self.responses.iter().filter(|(_, runs)| is_hit(runs)).map(|(path, _)| path.as_str()).collect()
    }
}

fn meet(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Requests as the server's packets show them.
const BY_PACKETS: &str = r#"import "std/http"; import "std/tcp";
join seen { from r = http.request(port=8443); again = count(tcp.retransmit) by bytes; loss = count(tcp.loss) by bytes; }
join:seen {
  printf("%s again %s %s\n", r.path, again.state, again.via);
  printf("%s loss %s %s\n", r.path, loss.state, loss.via);
}"#;

/// The same at the sockets of both sides. What is sent again after the server's last call for a response is its client's alone. (Linux 6.18 tells of
/// what it would have sent again too: EBUSY, of a segment that is still on its way out.)
const BY_SOCKETS: &str = r#"import "std/http_sockets"; import "std/tcp";
tracepoint:tcp:tcp_retransmit_skb /args.sport == 8443 && (args.err ?? 0) == 0/ {
  $cb = (struct tcp_skb_cb *)&((struct sk_buff *)args.skbaddr).cb;
  printf("sent %llu %u %u\n", nsecs, $cb.seq, $cb.end_seq);
}
http:client:8443 {
  emit asked.request(bytes = http.exchange.bytes, start = http.exchange.start, end = http.exchange.end, path = (string[64])http.exchange.uri);
}
join served { from r = http.request(port=8443); again = count(tcp.retransmit) by bytes; }
join asked { from r = asked.request(); again = count(tcp.retransmit) by bytes; }
join:served { printf("%s served %s %s\n", r.path, again.state, again.via); }
join:asked { printf("%s asked %s %s %llu\n", r.path, again.state, again.via, r.end); }"#;

/// By request: state and how it was found, of the lines of a leg.
fn legs<'a>(lines: &'a [String], leg: &str) -> BTreeMap<&'a str, (&'a str, &'a str)> {
    let words = lines.iter().map(|line| line.split(' ').collect::<Vec<_>>());
    let mine = lines.iter().zip(words).filter(|(_, words)| words.get(1) == Some(&leg));
    mine.map(|(_, words)| (words[0], (words[2], words.get(3).copied().unwrap_or_default()))).collect()
}

/// When the client had all of a response.
fn ends(lines: &[String]) -> BTreeMap<&str, u64> {
    let words = lines.iter().map(|line| line.split(' ').collect::<Vec<_>>());
    let asked = words.filter(|words| words.get(1) == Some(&"asked"));
    asked.map(|words| (words[0], words[4].parse().expect("a time"))).collect()
}

fn hits<'a>(legs: &BTreeMap<&'a str, (&'a str, &'a str)>) -> BTreeSet<&'a str> {
    legs.iter().filter(|(_, (state, _))| *state == "value").map(|(path, _)| *path).collect()
}

fn server(net: &Net) -> Option<Nginx> {
    let home = Nginx::home(&format!("nginx-{}", net.name));
    fs::write(home.join("www/mid"), vec![b'm'; BODY]).expect("a file");
    let listens = format!("server {{ listen 10.88.0.2:{PORT} http2; root HOME/www; }}");
    Nginx::start_by(net.inside('s', "nginx"), home, &listens)
}

/// Asks on one connection, ten at once, with windows of 8 kB for each. None: there is no h2load.
fn ask(net: &Net) -> Option<()> {
    let urls = (0..REQUESTS).map(|i| format!("http://10.88.0.2:{PORT}/mid?{i}"));
    let n = REQUESTS.to_string();
    let mut load = net.inside('c', "h2load");
    let out =
        load.args(["-n", &n, "-c", "1", "-m", "10", "-w", "13", "-W", "30"]).args(urls).output().expect("ip runs");
    if !out.status.success() {
        println!("SKIP h2load");
        return None;
    }
    let told = text(&out.stdout);
    assert!(told.contains(&format!("{REQUESTS} succeeded")), "{told}");
    Some(())
}

fn files(net: &Net) -> [PathBuf; 2] {
    ["sent", "dropped"].map(|name| {
        let file = traced::folder().join(format!("{}-{name}.pcap", net.name));
        let _ = fs::remove_file(&file);
        file
    })
}

/// What is sent again once the client has all of a response is none of its exchange's any more; all else is.
fn as_the_kernel_tells(
    truth: &Truth,
    again: &BTreeSet<&str>,
    (lines, asked): (&[String], &BTreeMap<&str, (&str, &str)>),
    said: &str,
) {
    // Our block and that of std/tcp are run one after the other.
    const BESIDE_NS: i64 = 200_000;
    let (told, ends) = (hits(asked), ends(lines));
    let told_by = |slack: i64| -> BTreeSet<&str> {
        let by = |path: &&str| truth.told_at(path, lines).any(|at| at <= ends[path].saturating_add_signed(slack));
        truth.responses.keys().map(String::as_str).filter(by).collect()
    };
    assert_eq!(told_by(i64::MAX), *again, "{lines:#?} {said}");
    let [sure, perhaps] = [-BESIDE_NS, BESIDE_NS].map(told_by);
    assert!(sure.is_subset(&told) && told.is_subset(&perhaps), "{sure:?} {told:?} {perhaps:?} {lines:#?} {said}");
}

#[test]
fn streams_have_the_losses_of_their_own_frames() {
    if !can_watch_sockets() || !ready("pcap live") {
        return;
    }
    let Some(net) = Net::new() else { return };
    let Some(_server) = server(&net) else { return };
    let [sent, dropped_file] = files(&net);
    let captures = [net.captures('s', "wire", &sent), net.captures('c', "nflog:5", &dropped_file)];
    let [Some(at_server), Some(at_firewall)] = captures else {
        println!("SKIP tcpdump");
        return;
    };
    let packets = Tracer::start(BY_PACKETS, &["--netns", &net.end('s')]);
    let sockets = Tracer::start(BY_SOCKETS, &[]);
    let done = ask(&net);
    at_server.end();
    at_firewall.end();
    let ((of_packets, said), (of_sockets, said_too)) = (packets.end(), sockets.end());
    if done.is_none() || Command::new("tshark").arg("-v").output().is_err() {
        println!("SKIP tshark");
        return;
    }
    let truth = Truth::of(&sent, &dropped_file);
    assert_eq!(truth.responses.len(), REQUESTS);
    assert!(
        truth.dropped.len() >= 10 && truth.again.len() >= truth.dropped.len(),
        "{:?} {:?}",
        truth.dropped,
        truth.again
    );
    let own = |runs: &[Range<u64>]| runs.to_vec();
    let from_first_to_last =
        |runs: &[Range<u64>]| std::iter::once(runs[0].start..runs[runs.len() - 1].end).collect::<Vec<_>>();
    let again = truth.hit(&truth.again, own);
    // Else nothing would be told apart.
    let around = truth.hit(&truth.again, from_first_to_last);
    assert!(around.len() >= again.len() + 10, "{} of {}", again.len(), around.len());
    let [by_packets, lost] = ["again", "loss"].map(|leg| legs(&of_packets, leg));
    let [served, asked] = ["served", "asked"].map(|leg| legs(&of_sockets, leg));
    assert_eq!(hits(&by_packets), again, "{of_packets:#?} {said}");
    as_the_kernel_tells(&truth, &again, (&of_sockets, &asked), &said_too);
    // What is sent again just before it is acknowledged is taken for lost, as nobody can say yet that it wasn't.
    let (dropped, told) = (truth.hit(&truth.dropped, own), hits(&lost));
    assert!(dropped.is_subset(&told) && told.is_subset(&again), "{dropped:?} {told:?} {again:?} {said}");
    let at_server = hits(&served);
    assert!(at_server.is_subset(&again) && !at_server.is_empty(), "{at_server:?} {again:?} {said_too}");
    for found in [by_packets, served, asked, lost] {
        assert_eq!(found.len(), REQUESTS, "{said} {said_too}");
        let sure = |(state, via): &(&str, &str)| matches!((*state, *via), ("value", "range") | ("none", ""));
        assert!(found.values().all(sure), "{found:?}");
    }
    for file in [sent, dropped_file] {
        fs::remove_file(file).expect("it is there");
    }
}
