//! Packet blocks that run in the kernel count what the same blocks in user space count: the same live traffic, at the same moment.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod traced;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};
use traced::{Tracer, build, ip, ready, text, weftrace};

/// What both blocks do; `SIDE` begins the maps' names.
const BODY: &str = "
    @SIDE_ip[ip.src, ip.dst, ip.proto, ip.ttl, ip.len, ip.id, ip.dsfield, ip.flags, ip.frag_offset] = count();
    @SIDE_ip6[ipv6.src, ipv6.dst, ipv6.nxt, ipv6.hlim, ipv6.plen, ipv6.tclass] = count();
    @SIDE_eth[eth.src, eth.dst, eth.type, vlan.id, frame.interface_id] = count();
    @SIDE_tcp[tcp.srcport, tcp.dstport, tcp.seq_raw, tcp.ack_raw, tcp.len, tcp.hdr_len, tcp.flags] = count();
    @SIDE_tcp2[tcp.window_size_value, tcp.urgent_pointer, tcp.flags.syn, tcp.flags.push, ip.flags.df, ip.flags.mf] = count();
    @SIDE_udp[udp.srcport, udp.dstport, udp.length] = count();
    @SIDE_len[ip.proto] = sum(frame.len);
    @SIDE_hist[ip.proto] = hist(frame.len);
    @SIDE_stats[ip.proto] = stats(tcp.len);
    @SIDE_ends[ip.proto] = min(frame.len);
    @SIDE_port[tcp.srcport ?? udp.srcport]++;
    @SIDE_seen[tcp.dstport] = 1;
    if (tcp.flags.syn && !tcp.flags.ack) { @SIDE_if[1] = count(); }
    if (ip.src == 10.1.0.0/16) { @SIDE_if[2] = count(); } else if (ip.src != 10.1.0.0/16) { @SIDE_if[3] = count(); }
    if (udp.dstport > 53 || ipv6.src == \"2001:db8::1\") { $x = udp.length * 2; @SIDE_if[$x] = count(); }
";

/// The block twice: one for the kernel, one that asks for what only user space has.
fn script(device: &str, filter: &str) -> String {
    let block = |side: &str, predicate: &str| {
        format!("pcap:{device}{filter} {predicate} {{ {} }}\n", BODY.replace("SIDE", side))
    };
    format!("{}{}", block("kernel", ""), block("user", "/frame.number > 0/"))
}

/// Two namespaces and a cable; removed when dropped.
struct Net {
    name: String,
}

impl Net {
    /// None: it may not be made here.
    fn new(label: &str) -> Option<Self> {
        let net = Self { name: format!("wk{label}{}", std::process::id()) };
        let (a, b) = (net.end('a'), net.end('b'));
        let made = ip(&format!("netns add {a}"))
            && ip(&format!("netns add {b}"))
            && ip(&format!("-n {a} link set lo up"))
            && ip(&format!("-n {a} link add wire type veth peer name wire netns {b}"));
        if !made {
            println!("SKIP network namespaces");
            return None;
        }
        for end in [&a, &b] {
            // Nothing but what is sent by hand.
            net.inside(end, &["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"]);
            assert!(ip(&format!("-n {end} link set wire up")));
        }
        Some(net)
    }

    fn end(&self, end: char) -> String {
        format!("{}{end}", self.name)
    }

    fn inside(&self, end: &str, command: &[&str]) -> String {
        let out = Command::new("ip").args(["netns", "exec", end]).args(command).output().expect("ip runs");
        assert!(out.status.success(), "{command:?} in {} ({end}): {}", self.name, text(&out.stderr));
        text(&out.stdout)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for end in ['a', 'b'] {
            ip(&format!("netns del {}", self.end(end)));
        }
    }
}

/// What is needed: the program that sends, and a kernel that runs programs on packet sockets.
fn sender() -> Option<PathBuf> {
    if !ready("pcap in the kernel") || !ready("pcap live") {
        println!("SKIP programs on packet sockets");
        return None;
    }
    build("frames", "frames.c", &["-O1"])
}

/// What the maps of one side hold: name without the side → lines.
fn side(lines: &[String], side: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut at = None;
    for line in lines {
        if let Some(rest) = line.strip_prefix('@') {
            at = rest.strip_prefix(side).and_then(|r| r.strip_prefix('_')).map(|rest| {
                let (name, rest) = rest.split_at(rest.find(['[', ':']).unwrap_or(rest.len()));
                (name.to_owned(), rest.to_owned())
            });
        }
        // A histogram's lines belong to its key.
        if let Some((name, key)) = &at {
            let of = line.strip_prefix('@').map_or_else(|| format!("{key} {line}"), |_| key.clone());
            all.entry(name.clone()).or_default().insert(of);
        }
    }
    all
}

/// Packets in all, by the map of addresses.
fn total(maps: &BTreeMap<String, BTreeSet<String>>) -> u64 {
    let counts = maps.get("ip").into_iter().flatten().filter_map(|line| line.rsplit(": ").next()?.parse::<u64>().ok());
    counts.sum()
}

/// Runs the script in a namespace while frames are sent there or at the other end, and compares.
fn both_ways(net: &Net, (end, device, filter): (char, &str, &str), sending: &str, program: &Path) -> u64 {
    let script = script(device, filter);
    let tracer = Tracer::start(&script, &["--netns", &net.end(end)]);
    net.inside(&net.end('a'), &[&program.to_string_lossy(), sending, "50"]);
    // The run itself waits for the last packets sent by now.
    let (lines, said) = tracer.end();
    assert!(!said.contains("lost"), "{device} {filter}: {said}");
    let (kernel, user) = (side(&lines, "kernel"), side(&lines, "user"));
    assert!(!user.is_empty(), "{device} {filter}: {lines:?}");
    for (name, elements) in &user {
        let ours = kernel.get(name);
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
        let none = BTreeSet::new();
        let ours = ours.unwrap_or(&none);
        assert_eq!(only(ours, elements), only(elements, ours), "@{name} on {device} {filter}: kernel, user");
    }
    total(&kernel)
}

/// Frames of tests/programs/frames.c in one round.
const FRAMES: u64 = 40;

#[test]
fn the_kernel_counts_what_user_space_counts() {
    let Some(program) = sender() else { return };
    let Some(net) = Net::new("eq") else { return };
    let all = FRAMES * 50;
    // Arriving, leaving, on all devices (with the headers that those have), and where each packet is seen twice.
    for (end, device, sending) in
        [('b', "wire", "wire"), ('a', "wire", "wire"), ('b', "any", "wire"), ('a', "lo", "lo")]
    {
        let counted = both_ways(&net, (end, device, ""), sending, &program);
        assert_eq!(counted, all, "{device}: what was sent");
    }
    for filter in [
        "tcp",
        "vlan",
        "ip6 and udp",
        "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
        "ip[6:2] & 0x3fff != 0",
        "greater 70",
        "ip",
    ] {
        both_ways(&net, ('b', "wire", &format!(":\"{filter}\"")), "wire", &program);
    }
    both_ways(&net, ('b', "any", ":\"udp or icmp\""), "wire", &program);
}

#[test]
fn the_plan_says_where_and_why() {
    if !ready("pcap in the kernel") {
        println!("SKIP programs on packet sockets");
        return;
    }
    let plan = |script: &str| text(&weftrace(&["dump", "--stage", "plan", "-e", script]).stdout);
    let counted = plan("pcap:lo { @[ip.src] = count(); }");
    assert!(counted.starts_with("kernel  pcap:lo") && counted.contains("filters and counts headers only"), "{counted}");
    // What is known never to happen keeps nothing here.
    let quiet = plan(
        "param each = 0 \"print each\"; pcap:lo { @ = count(); if (each == 1) { printf(\"%d\\n\", ip.len); @last = ip.len; } }",
    );
    assert!(quiet.starts_with("kernel  pcap:lo"), "{quiet}");
    for (script, why) in [
        ("pcap:lo /tcp.analysis.retransmission/ { @ = count(); }", "tcp.analysis.retransmission is of flows"),
        ("pcap:lo { @[tcp.options.mss_val] = count(); }", "tcp.options.mss_val is of options"),
        ("pcap:lo { @[frame.time / 1000000000] = count(); }", "frame.time is of the capture"),
        ("pcap:lo { @[nsecs / 1000000000] = count(); }", "it calls a function, or asks for more than the packet"),
        ("pcap:lo { @last[ip.src] = tcp.dstport; }", "what @last is at last depends on the order of packets"),
        ("pcap:lo { @[ip.src] += ip.len; }", "@ is read and written packet by packet (sum() isn't)"),
        ("pcap:lo { printf(\"%d\\n\", ip.len); }", "it acts on single packets"),
        ("pcap:lo { @ = count(); } kprobe:do_nanosleep { printf(\"%d\\n\", (int64)@); }", "another block reads @"),
        ("config = { pcap_place = user } pcap:lo { @ = count(); }", "the setting pcap_place says so"),
    ] {
        let plan = plan(script);
        let row = plan.lines().find(|l| l.contains("pcap:lo")).unwrap_or_default();
        assert!(row.starts_with("user    pcap:lo") && row.contains(why), "{script}\n{plan}");
    }
    let read = text(&weftrace(&["dump", "--stage", "plan", "--read", "-e", "pcap:lo { @ = count(); }"]).stdout);
    assert!(read.starts_with("user"), "{read}");
}

/// Values are read over both sides of the kernel boundary.
#[test]
fn blocks_in_user_space_read_the_whole() {
    let Some(program) = sender() else { return };
    let Some(net) = Net::new("rd") else { return };
    let script = "pcap:wire { @c = count(); @by[ip.proto] = sum(frame.len); @n++; }
        pcap:wire /frame.number > 0/ { @u = count(); @uby[ip.proto] = sum(frame.len); }
        END {
            printf(\"%d %d\\n\", (int64)@c, (int64)@u);
            printf(\"%d %d\\n\", (int64)@by[17], (int64)@uby[17]);
            printf(\"%d\\n\", has_key(@by, 17));
            delete(@by, 17);
            printf(\"%d\\n\", has_key(@by, 17));
            for ($kv : @by) { if ($kv.0 == 6) { printf(\"%d %d\\n\", (int64)$kv.1, (int64)@uby[6]); } }
            print(@n);
            clear(@c); clear(@by); clear(@u); clear(@uby); clear(@n);
        }";
    let tracer = Tracer::start(script, &["--netns", &net.end('b')]);
    net.inside(&net.end('a'), &[&program.to_string_lossy(), "wire", "10"]);
    let (lines, said) = tracer.end();
    let same = |line: &str| line.split_once(' ').is_some_and(|(a, b)| a == b && a != "0");
    assert!(lines.len() >= 6 && same(&lines[0]) && same(&lines[1]) && same(&lines[4]), "{lines:?} {said}");
    assert_eq!([lines[2].as_str(), lines[3].as_str(), lines[5].as_str()], ["1", "0", "@n: 400"], "{lines:?} {said}");
}
