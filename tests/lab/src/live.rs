//! Live packets: what was sent against what weftrace handled and lost, and a bridge that shows every segment several times.

use crate::net::{connected, counter, done_inside, inside, ip};
use crate::sys::FrameSocket;
use crate::watch::Watch;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Network namespaces of ours, removed when dropped.
struct Spaces(Vec<String>);

impl Spaces {
    fn new(names: &[&str]) -> io::Result<Self> {
        let spaces = Self(names.iter().map(|name| format!("wl{name}{}", std::process::id())).collect());
        for name in &spaces.0 {
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        Ok(spaces)
    }
}

impl Drop for Spaces {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

/// A number behind `prefix` at the beginning of a line.
fn number(lines: &[String], prefix: &str) -> u64 {
    let rest = lines.iter().find_map(|line| line.strip_prefix(prefix));
    rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Of the server behind the bridge.
const SERVER: &str = "10.67.0.2";
const FLOWS: usize = 512;
const BATCH: usize = 64;

/// One small segment of data of each of many connections, in turn.
struct Segments {
    seq: Vec<u32>,
    next: usize,
}

impl Segments {
    /// Ethernet, IPv4, TCP and 6 bytes: 60 bytes, the least that Ethernet has.
    fn frame(&mut self) -> Vec<u8> {
        let flow = self.next % FLOWS;
        self.next += 1;
        let seq = self.seq[flow];
        self.seq[flow] = seq.wrapping_add(6);
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend([0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 66, 0, 1, 10, 66, 0, 2]);
        frame.extend((10_000 + flow as u16).to_be_bytes());
        frame.extend(9_u16.to_be_bytes());
        frame.extend(seq.to_be_bytes());
        frame.extend([0, 0, 0, 1, 0x50, 0x10, 4, 0, 0, 0, 0, 0]);
        frame.extend(*b"weft\r\n");
        frame
    }
}

/// How many were sent, and how long it took.
fn send(rate: u64, seconds: u64) -> io::Result<(u64, Duration)> {
    let mut socket = FrameSocket::open("v0")?;
    let mut segments = Segments { seq: (0..FLOWS as u32).map(|flow| flow * 1_000_003).collect(), next: 0 };
    let began = Instant::now();
    let mut sent = 0_u64;
    while sent < rate * seconds {
        let mut frames: Vec<_> = (0..BATCH).map(|_| segments.frame()).collect();
        while !frames.is_empty() {
            match socket.send(&frames) {
                Ok(n) => {
                    sent += n as u64;
                    frames.drain(..n);
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => thread::yield_now(),
                Err(error) => return Err(error),
            }
        }
        let due = Duration::from_nanos(sent * 1_000_000_000 / rate);
        while began.elapsed() < due {
            std::hint::spin_loop();
        }
    }
    Ok((sent, began.elapsed()))
}

/// Small segments at a rate through an analysing script: the sender's count is what the script handled, what the kernel dropped and
/// what was lost by us. With a buffer too small for the rate too: packets must be lost there, and told.
pub fn flood(weftrace: &Path, rate: u64, seconds: u64) -> io::Result<bool> {
    let spaces = Spaces::new(&["f"])?;
    let name = &spaces.0[0];
    ip(&format!("-n {name} link add v0 type veth peer name v1"))?;
    ip(&format!("-n {name} link set v0 up"))?;
    ip(&format!("-n {name} link set v1 up"))?;
    let program = "pcap:v0:\"tcp dst port 9\" { @handled = count(); @by[tcp.srcport] = sum(tcp.len); \
                   if (tcp.analysis.retransmission || tcp.analysis.lost_segment) { @marked = count(); } } END { clear(@by) }";
    let mut good = true;
    for buffer in ["8M", "64k"] {
        let args = ["-e", program, "--netns", name, "--packet-buffer", buffer].map(str::to_owned);
        let watch = Watch::start(weftrace, &args, false)?;
        let (sent, took) = done_inside(name, move || send(rate, seconds))?;
        let (out, err, ended_well) = watch.stop()?;
        let handled = number(&out, "@handled: ");
        let totals: Vec<&String> = err.iter().filter(|line| !line.contains("in the last")).collect();
        let lost: u64 = totals.iter().map(|line| number(std::slice::from_ref(line), "WARNING: lost ")).sum();
        let told = err.iter().any(|line| line.contains("in the last"));
        println!(
            "buffer {buffer}: {sent} sent in {:.2} s ({:.0} a second): {handled} handled + {lost} lost = {}; {}",
            took.as_secs_f64(),
            sent as f64 / took.as_secs_f64(),
            handled + lost,
            if told { "losses told while it ran" } else { "no losses told while it ran" },
        );
        if !ended_well || handled + lost != sent {
            println!("  not equal. It said:\n  {}\n  {}", out.join("\n  "), err.join("\n  "));
            good = false;
        }
        if buffer == "64k" && lost == 0 {
            println!("  nothing was lost, so that telling it was not tried");
            good = false;
        }
        // What was lost shows as gaps, and nothing else does.
        if lost == 0 && number(&out, "@marked: ") > 0 {
            println!("  {} segments marked, without a loss", number(&out, "@marked: "));
            good = false;
        }
        if lost > 0 && seconds >= 3 && !told {
            println!("  {lost} lost, but not told while it ran");
            good = false;
        }
    }
    Ok(good)
}

/// A client and a server behind a bridge, captured on all its devices: each segment is seen several times. The kernel says how many
/// were retransmitted; so must weftrace live. tshark, of the same packets in a file, says what it looks like without the interfaces.
pub fn bridge(weftrace: &Path) -> io::Result<bool> {
    let spaces = Spaces::new(&["c", "b", "s"])?;
    let [client, bridge, server] = &spaces.0[..] else { return Ok(false) };
    ip(&format!("-n {bridge} link add br0 type bridge"))?;
    ip(&format!("-n {bridge} link set br0 up"))?;
    for (end, device, address) in [(client, "pc", "10.67.0.1"), (server, "ps", SERVER)] {
        ip(&format!("-n {end} link add eth0 type veth peer name {device} netns {bridge}"))?;
        ip(&format!("-n {end} addr add {address}/24 dev eth0"))?;
        ip(&format!("-n {end} link set eth0 up"))?;
        ip(&format!("-n {bridge} link set {device} master br0"))?;
        ip(&format!("-n {bridge} link set {device} up"))?;
    }
    let program = "pcap:any:\"tcp port 5001\" { @packets = count(); @on[frame.interface_id] = count(); \
                   if (tcp.analysis.retransmission) { @again[frame.interface_id] = count(); } \
                   if (tcp.analysis.duplicate_ack || tcp.analysis.out_of_order) { @odd = count(); } } END { clear(@on) }";
    let file = std::env::temp_dir().join(format!("weftrace-bridge-{}.pcap", std::process::id()));
    let mut tcpdump = tcpdump(bridge, &file);
    let watch = Watch::start(weftrace, &["-e", program, "--netns", bridge].map(str::to_owned), false)?;
    talk(client, server)?;
    let (out, err, ended_well) = watch.stop()?;
    if let Some(tcpdump) = &mut tcpdump {
        crate::sys::signal(tcpdump.id(), libc::SIGINT)?;
        tcpdump.wait()?;
    }
    let kernel = counter(client, "Tcp", "RetransSegs")? + counter(server, "Tcp", "RetransSegs")?;
    let (packets, odd) = (number(&out, "@packets: "), number(&out, "@odd: "));
    // Each device of the bridge sees a segment that was really sent again (a busy machine makes them), so by device they are no more.
    let again =
        out.iter().filter(|line| line.starts_with("@again[")).filter_map(|line| line.rsplit(' ').next()?.parse().ok());
    let again: u64 = again.max().unwrap_or(0);
    let theirs = tshark(&file);
    if theirs.is_none() {
        println!("SKIP tshark");
    }
    let _ = std::fs::remove_file(&file);
    let shown = theirs.map_or_else(|| "not asked".to_owned(), |n| n.to_string());
    println!(
        "bridge: {packets} packets on any; retransmissions by the kernel {kernel}, by weftrace {again} on one device, by tshark in a file {shown}"
    );
    let good =
        ended_well && packets > 100 && again <= kernel && (odd == 0 || kernel > 0) && theirs.is_none_or(|n| n > kernel);
    if !good {
        println!("  not as it should be. It said:\n  {}\n  {}", out.join("\n  "), err.join("\n  "));
    }
    Ok(good)
}

/// tcpdump on all devices of a namespace, once it listens; None: there is none.
fn tcpdump(namespace: &str, file: &Path) -> Option<Child> {
    let mut tcpdump = Command::new("ip")
        .args(["netns", "exec", namespace, "tcpdump", "-U", "-i", "any", "-w"])
        .arg(file)
        .arg("tcp port 5001")
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut said = BufReader::new(tcpdump.stderr.take()?).lines().map_while(Result::ok);
    let listens = said.any(|line| line.contains("listening on"));
    // What it says at its end has to go somewhere.
    thread::spawn(move || said.for_each(drop));
    listens.then_some(tcpdump)
}

/// A few connections from one namespace to another.
fn talk(client: &str, server: &str) -> io::Result<()> {
    let serve = inside(server, || {
        let listener = TcpListener::bind((SERVER, 5001))?;
        for _ in 0..8 {
            let (mut stream, _) = listener.accept()?;
            let mut request = [0; 64];
            let _ = stream.read(&mut request)?;
            stream.write_all(&vec![7; 200_000])?;
        }
        Ok(())
    });
    done_inside(client, || {
        for _ in 0..8 {
            let mut stream = connected(SERVER, 5001)?;
            stream.write_all(b"please")?;
            io::copy(&mut stream, &mut io::sink())?;
        }
        Ok(())
    })?;
    serve.join().expect("the server")?;
    Ok(())
}

/// Retransmissions that tshark sees in a file; None: there is no tshark, or no file.
fn tshark(file: &Path) -> Option<u64> {
    let output = Command::new("tshark")
        .args(["-n", "-Y", "tcp.analysis.retransmission", "-T", "fields", "-e", "frame.number", "-r"])
        .arg(file)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    (output.status.success() && file.exists()).then(|| String::from_utf8_lossy(&output.stdout).lines().count() as u64)
}
