//! Three network namespaces, client – router – server, and a router that drops chosen segments.
//!
//! Drops are made in the router, so that both ends see true loss. A drop is keyed by the client's port and applies to the first
//! copies only, so that each fault has a known size.

use crate::sys;
use std::{
    fmt::Write as _,
    io,
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

pub const CLIENT: &str = "10.0.1.7";
pub const SERVER: &str = "10.0.3.7";

/// What the router drops of one connection, told by the client's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// The first so many SYNs (at most 3).
    Syn(u32),
    /// The first so many copies of a segment that ends the server's response (at most 3).
    Response(u32),
    /// The first so many SYN-ACKs.
    SynAck(u32),
}

impl Drop {
    fn parts(self) -> (&'static str, u32) {
        match self {
            Self::Syn(n) => ("syn", n),
            Self::Response(n) => ("response", n),
            Self::SynAck(n) => ("synack", n),
        }
    }
}

/// The namespaces; removed when dropped.
pub struct Net {
    suffix: String,
}

fn run(program: &str, args: &[&str]) -> io::Result<()> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} {}: {}", args.join(" "), said.trim())))
}

/// `ip`, with its words between single blanks.
pub(crate) fn ip(line: &str) -> io::Result<()> {
    run("ip", &line.split(' ').collect::<Vec<_>>())
}

impl Net {
    /// Makes the namespaces. Needs CAP_SYS_ADMIN and CAP_NET_ADMIN.
    pub fn new(label: &str) -> io::Result<Self> {
        let net = Self { suffix: format!("{label}{}", std::process::id()) };
        let (c, r, s) = (net.client(), net.router(), net.server());
        for name in [&c, &r, &s] {
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        for (end, device, address, gateway) in [(&c, "rc", CLIENT, "10.0.1.254"), (&s, "rs", SERVER, "10.0.3.254")] {
            ip(&format!("-n {end} link add eth0 type veth peer name {device} netns {r}"))?;
            ip(&format!("-n {end} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {r} addr add {gateway}/24 dev {device}"))?;
            ip(&format!("-n {end} link set eth0 up"))?;
            ip(&format!("-n {r} link set {device} up"))?;
            ip(&format!("-n {end} route add default via {gateway}"))?;
        }
        ip_netns(&r, &["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])?;
        // A cookie would answer the SYN that a full backlog must drop.
        ip_netns(&s, &["sh", "-c", "echo 0 > /proc/sys/net/ipv4/tcp_syncookies"])?;
        net.rules()?;
        Ok(net)
    }

    pub fn client(&self) -> String {
        format!("wc{}", self.suffix)
    }
    pub fn router(&self) -> String {
        format!("wr{}", self.suffix)
    }
    pub fn server(&self) -> String {
        format!("ws{}", self.suffix)
    }

    /// Whether segments are sent one a packet (off) or as the device allows.
    pub fn gso(&self, on: bool) -> io::Result<()> {
        let segments = if on { 65535 } else { 1 };
        for name in [self.client(), self.server()] {
            ip(&format!("-n {name} link set dev eth0 gso_max_segs {segments}"))?;
        }
        Ok(())
    }

    /// Every client port in a set loses the first copy and moves to the next lower set.
    fn rules(&self) -> io::Result<()> {
        let mut text = String::from("table inet faults {\n");
        let mut chain = String::new();
        for (name, matches, port) in [
            ("syn", "tcp flags & (syn|ack) == syn", "dport"),
            ("synack", "tcp flags & (syn|ack) == syn|ack", "sport"),
            ("response", "tcp flags & (psh|syn) == psh", "sport"),
        ] {
            // SYNs travel from the client, the others to it.
            let port = if port == "dport" { "sport" } else { "dport" };
            for n in 1..=3 {
                let _ = writeln!(text, "  set {name}{n} {{ type inet_service; size 4096; flags dynamic; }}");
                let next = if n > 1 { format!("add @{name}{} {{ tcp {port} }} ", n - 1) } else { String::new() };
                let _ = writeln!(
                    chain,
                    "    {matches} tcp {port} @{name}{n} {next}delete @{name}{n} {{ tcp {port} }} counter drop"
                );
            }
        }
        let _ = writeln!(text, "  chain forward {{\n    type filter hook forward priority 0;\n{chain}  }}\n}}");
        self.nft(&text)
    }

    /// Arms a drop for the connection from `client_port`.
    pub fn arm(&self, drop: Drop, client_port: u16) -> io::Result<()> {
        let (name, n) = drop.parts();
        self.nft(&format!("add element inet faults {name}{n} {{ {client_port} }}\n"))
    }

    /// Drops so many of 100 TCP packets, at random, in both directions.
    pub fn random_loss(&self, percent: u32) -> io::Result<()> {
        self.nft(&format!(
            "add rule inet faults forward meta l4proto tcp numgen random mod 100 < {percent} counter drop\n"
        ))
    }

    /// Ends all drops.
    pub fn clear(&self) -> io::Result<()> {
        self.nft("flush chain inet faults forward\n")
    }

    pub(crate) fn nft(&self, script: &str) -> io::Result<()> {
        use std::io::Write;
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.router(), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().expect("piped").write_all(script.as_bytes())?;
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("nft: {}\n{script}", String::from_utf8_lossy(&output.stderr).trim())))
    }
}

pub(crate) fn ip_netns(name: &str, command: &[&str]) -> io::Result<()> {
    let mut args = vec!["netns", "exec", name];
    args.extend(command);
    run("ip", &args)
}

impl std::ops::Drop for Net {
    fn drop(&mut self) {
        for name in [self.client(), self.router(), self.server()] {
            // Nothing can be done about a namespace that will not go.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

/// Where a named namespace can be entered.
pub fn netns_path(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// Runs `work` on a thread in a namespace.
pub fn inside<T: Send + 'static>(
    namespace: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> thread::JoinHandle<io::Result<T>> {
    let path = netns_path(namespace);
    thread::spawn(move || {
        sys::enter_netns(&path)?;
        work()
    })
}

/// The same, and waits for it.
pub fn done_inside<T: Send + 'static>(
    namespace: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    inside(namespace, work).join().map_err(|_| io::Error::other("a thread panicked"))?
}

/// Asks again and again until it is so, and fails with what it is if that takes longer than `most`.
pub fn until(most: Duration, what: &str, mut so: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let due = Instant::now() + most;
    while !so()? {
        if Instant::now() > due {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what}: not within {most:?}")));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Connects to an address of the calling thread's namespace as soon as somebody listens there.
pub fn connected(address: &str, port: u16) -> io::Result<TcpStream> {
    let mut stream = None;
    until(Duration::from_secs(20), &format!("listening on {address}:{port}"), || {
        stream = TcpStream::connect((address, port)).ok();
        Ok(stream.is_some())
    })?;
    stream.ok_or_else(|| io::Error::other("no stream"))
}

/// Waits until somebody listens on a port of a namespace. `logs`: files that say why not.
pub fn listening(namespace: &str, port: u16, logs: &[PathBuf]) -> io::Result<()> {
    done_inside(namespace, move || connected("127.0.0.1", port).map(drop)).map_err(|error| {
        let said: String = logs.iter().map(|log| std::fs::read_to_string(log).unwrap_or_default()).collect();
        io::Error::new(error.kind(), format!("{error}\n{said}"))
    })
}

/// A counter of `nstat` in a namespace, as `/proc/net/{snmp,netstat}` has it.
pub fn counter(namespace: &str, group: &str, name: &str) -> io::Result<u64> {
    let file = if group == "TcpExt" { "netstat" } else { "snmp" };
    let output = Command::new("ip").args(["netns", "exec", namespace, "cat", &format!("/proc/net/{file}")]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with(&format!("{group}:"))).collect();
    let [names, values] = lines[..] else { return Err(io::Error::other("no such group")) };
    names
        .split(' ')
        .zip(values.split(' '))
        .find(|(n, _)| *n == name)
        .and_then(|(_, v)| v.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no counter {group}.{name}")))
}
