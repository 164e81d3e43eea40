//! Which segments the router dropped, and when the same bytes got through: its own log, by the kernel's packet logging.

use crate::{net::Net, sys};
use std::{
    collections::BTreeMap,
    fmt::Write,
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A hole in what the client got: from the first drop to the copy that passed, CLOCK_BOOTTIME ns, by the client's port.
pub type Holes = BTreeMap<u16, Vec<(u64, u64)>>;

/// The nflog group of what is dropped. Its times are those of reading it: late on a busy machine.
const DROPPED: u16 = 5;

/// A request marked AF11 has the last segment of its answer lost three times (`seen`: its own retransmission is no second request).
pub fn arm(net: &Net) -> io::Result<()> {
    let end = "tcp flags & (psh|syn) == psh";
    let mut text = String::from(
        "table inet accuracy {\n  set seen { typeof tcp sport . tcp sequence; size 65535; flags dynamic; }\n",
    );
    let mut chain = format!(
        "    ip saddr 10.0.1.7 ip dscp af11 {end} tcp sport . tcp sequence != @seen add @seen {{ tcp sport . tcp sequence }} \
         add @lose3 {{ tcp sport }}\n"
    );
    for n in 1..=3 {
        let _ = writeln!(text, "  set lose{n} {{ type inet_service; size 65535; flags dynamic; }}");
        let next = if n > 1 { format!("add @lose{} {{ tcp dport }} ", n - 1) } else { String::new() };
        let _ = writeln!(
            chain,
            "    ip daddr 10.0.1.7 {end} tcp dport @lose{n} {next}delete @lose{n} {{ tcp dport }} \
             log group {DROPPED} queue-threshold 1 counter drop"
        );
    }
    let _ = writeln!(text, "  chain forward {{\n    type filter hook forward priority 1;\n{chain}  }}\n}}");
    net.nft(&text)
}

/// Listens to the router: what it drops, what comes to it from the server, and what leaves it for the client. Ended when dropped.
pub struct Drops([(Child, thread::JoinHandle<Vec<Segment>>); 3]);

/// Of a response: when it was seen (wall time, ns), the client's port, its first byte and the one behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    at: u64,
    port: u16,
    seq: u32,
    end: u32,
}

impl Drops {
    pub fn listen(net: &Net) -> io::Result<Self> {
        Ok(Self([listen(net, &format!("nflog:{DROPPED}"))?, listen(net, "rs")?, listen(net, "rc")?]))
    }

    /// Ends it: the holes of each connection.
    pub fn stop(mut self) -> io::Result<Holes> {
        let offset = wall_behind_boot();
        let mut heard = Vec::new();
        for (child, lines) in &mut self.0 {
            sys::signal(child.id(), libc::SIGINT)?;
            child.wait()?;
            let lines = std::mem::replace(lines, thread::spawn(Vec::new));
            heard.push(lines.join().map_err(|_| io::Error::other("a listening thread panicked"))?);
        }
        Ok(holes(&heard[0], &heard[1], &heard[2], offset))
    }
}

impl Drop for Drops {
    fn drop(&mut self) {
        for (child, _) in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// tcpdump of all of the server's packets, into a file; ended when dropped.
pub struct Capture(Child);

pub fn capture(net: &Net, file: &Path) -> io::Result<Capture> {
    let file = file.to_string_lossy();
    tcpdump(&net.server(), &["-q", "-n", "-Z", "root", "-i", "any", "-w", &file]).map(Capture)
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = sys::signal(self.0.id(), libc::SIGINT);
        let _ = self.0.wait();
    }
}

/// What to take from wall time for CLOCK_BOOTTIME.
fn wall_behind_boot() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    wall - sys::boot()
}

/// From the time a dropped segment came to the router to that at which its first byte left it.
fn holes(dropped: &[Segment], came: &[Segment], left: &[Segment], offset: u64) -> Holes {
    let by_port = |segments: &[Segment]| {
        let mut ports: BTreeMap<u16, Vec<Segment>> = BTreeMap::new();
        for segment in segments {
            ports.entry(segment.port).or_default().push(*segment);
        }
        ports
    };
    let (came, left) = (by_port(came), by_port(left));
    let (mut holes, mut copies) = (Holes::new(), BTreeMap::new());
    for lost in dropped {
        // The first copies are those that were dropped.
        let copy: &mut usize = copies.entry((lost.port, lost.seq)).or_default();
        let mut same = came.get(&lost.port).into_iter().flatten().filter(|c| c.seq == lost.seq);
        let from = same.nth(*copy).map_or(lost.at, |c| c.at);
        *copy += 1;
        let covers = |s: &&Segment| s.at >= from && lost.seq.wrapping_sub(s.seq) < s.end.wrapping_sub(s.seq);
        let until = left.get(&lost.port).into_iter().flatten().filter(covers).map(|s| s.at).min().unwrap_or(from);
        holes.entry(lost.port).or_default().push((from.saturating_sub(offset), until.saturating_sub(offset)));
    }
    holes
}

/// The last segments of responses.
const FILTER: &str = "src host 10.0.3.7 and tcp[tcpflags] & tcp-push != 0";

fn listen(net: &Net, device: &str) -> io::Result<(Child, thread::JoinHandle<Vec<Segment>>)> {
    let mut args = vec!["-l", "-n", "-S", "-tt", "-i", device];
    args.extend((!device.starts_with("nflog")).then_some(FILTER));
    let mut child = tcpdump(&net.router(), &args)?;
    let out = child.stdout.take().expect("piped");
    let lines =
        thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).filter_map(|l| segment(&l)).collect());
    Ok((child, lines))
}

/// tcpdump in a namespace, once it listens.
fn tcpdump(namespace: &str, args: &[&str]) -> io::Result<Child> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, "tcpdump"]).args(args);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (ready, listening) = mpsc::channel();
    let errors = child.stderr.take().expect("piped");
    thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            if line.contains("listening on") {
                let _ = ready.send(());
            }
        }
    });
    if listening.recv_timeout(Duration::from_secs(10)).is_err() {
        let _ = child.kill();
        let _ = child.wait();
        return Err(io::Error::other(format!("tcpdump {} does not listen", args.join(" "))));
    }
    Ok(child)
}

/// `1795919065.025196 IP 10.0.3.7.8080 > 10.0.1.7.34567: Flags [P.], seq 17:22, ack …`
fn segment(line: &str) -> Option<Segment> {
    let mut words = line.split_whitespace();
    let (seconds, micros) = words.next()?.split_once('.')?;
    let at = seconds.parse::<u64>().ok()? * 1_000_000_000 + micros.parse::<u64>().ok()? * 1000;
    let to = line.split(" > ").nth(1)?.split(':').next()?;
    let port = to.rsplit('.').next()?.parse().ok()?;
    let (seq, end) = line.split("seq ").nth(1)?.split(',').next()?.split_once(':')?;
    Some(Segment { at, port, seq: seq.parse().ok()?, end: end.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_tcpdump() {
        let line =
            "1795919065.025196 IP 10.0.3.7.8080 > 10.0.1.7.34567: Flags [P.], seq 17:22, ack 5, win 501, length 5";
        let want = Segment { at: 1_795_919_065_025_196_000, port: 34567, seq: 17, end: 22 };
        assert_eq!(segment(line), Some(want));
        assert_eq!(segment("1795919065.025196 IP6 nothing of ours"), None);
    }

    #[test]
    fn a_hole_ends_when_its_bytes_get_through() {
        let segment = |at, port, seq, end| Segment { at, port, seq, end };
        let came = [segment(100, 7, 1, 50), segment(300, 7, 1, 50), segment(310, 7, 50, 60), segment(900, 7, 1, 60)];
        // Read late.
        let dropped = [segment(290, 7, 1, 50), segment(880, 7, 1, 50), segment(880, 7, 50, 60)];
        let left = [segment(150, 8, 1, 50), segment(901, 7, 1, 60), segment(950, 7, 60, 70)];
        assert_eq!(holes(&dropped, &came, &left, 0)[&7], [(100, 901), (300, 901), (310, 901)]);
    }
}
