//! TcpRetransSegs of each namespace against what `tcp/retransmit` counts.

use crate::{
    client::{self, Request},
    net::{Drop, Net, counter},
    server::{PORT, Server},
    watch::Watch,
    witness::Witness,
};
use std::{io, path::Path, thread, time::Duration};

/// Random loss, lost SYNs and lost SYN-ACKs, with GSO on and off: the identity of docs/tcp-retransmits.md must hold in both
/// namespaces.
pub fn retransmits(weftrace: &Path) -> io::Result<bool> {
    let mut right = true;
    for gso in [false, true] {
        right &= retransmits_seen(weftrace, gso)?;
    }
    Ok(right)
}

/// Runs in which something came where no program can see it say nothing of ours: they are told, and made again.
const MOST_UNSEEN: u32 = 8;
/// Segments that one call sends again at most, where the device takes many at once.
const MOST_AT_ONCE: u64 = 65536 / 536;

fn retransmits_seen(weftrace: &Path, gso: bool) -> io::Result<bool> {
    for _ in 0..MOST_UNSEEN {
        let witness = Witness::of("tcp/tcp_retransmit_skb").ok();
        let short = match retransmits_with(weftrace, gso)? {
            Told::Right => return Ok(true),
            Told::Wrong => return Ok(false),
            Told::Short(segments) => segments,
        };
        let unseen = witness.map_or(Ok(0), |witness| witness.within_init())? as u64;
        // No more than these can have been.
        if short > unseen * if gso { MOST_AT_ONCE } else { 1 } {
            return Ok(false);
        }
        println!(
            "{unseen} came while a thread of process 1 was on the processor, where this kernel runs no program: once more"
        );
    }
    Ok(false)
}

/// What was told beside the kernel's counters.
enum Told {
    Right,
    /// So many segments are missing, and nothing else is wrong.
    Short(u64),
    Wrong,
}

/// The kernel's counters of a namespace.
#[derive(Clone, Copy)]
struct Counters {
    /// Tcp RetransSegs.
    segments: u64,
    /// TcpExt TCPRetransFail: those that could not be sent, of the above.
    failed: u64,
}

impl Counters {
    fn read(namespace: &str) -> io::Result<Self> {
        let segments = counter(namespace, "Tcp", "RetransSegs")?;
        Ok(Self { segments, failed: counter(namespace, "TcpExt", "TCPRetransFail")? })
    }

    /// What was sent again since.
    fn sent_since(self, before: Self) -> u64 {
        (self.segments - before.segments) - (self.failed - before.failed)
    }
}

fn retransmits_with(weftrace: &Path, gso: bool) -> io::Result<Told> {
    let net = Net::new("r")?;
    net.gso(gso)?;
    let directory = std::env::temp_dir().join(format!("weftrace-lab-{}", std::process::id()));
    let server = Server::start(&net, &directory)?;
    let names = [net.client(), net.server()];
    let count = || -> io::Result<[Counters; 2]> { Ok([Counters::read(&names[0])?, Counters::read(&names[1])?]) };
    let before = count()?;
    let args = ["run", "tcp/retransmit", "--per_netns", "1"].map(String::from);
    let watch = Watch::start(weftrace, &args, false)?;
    traffic(&net)?;
    drop(server);
    net.clear()?;
    settle(&names)?;
    // A connection that waits longer than that for its timer can send once more while weftrace ends.
    let settled = count()?;
    let (out, err, clean) = watch.stop()?;
    let now = count()?;
    let (mut right, mut short) = (clean, 0);
    for (i, name) in names.iter().enumerate() {
        let said = said_segments(&out, netns_inode(name)?);
        let [least, most] = [settled[i], now[i]].map(|counters| counters.sent_since(before[i]));
        let failed = now[i].failed - before[i].failed;
        let late = if most > least { format!(", of them {} at the end", most - least) } else { String::new() };
        println!(
            "gso {gso:5}  {name:12} sent again {most:6}{late}  TCPRetransFail {failed:4}  tcp/retransmit {said:6}"
        );
        right &= said <= most && (said > 0 || name.starts_with("wc"));
        short += least.saturating_sub(said);
    }
    if !right || short > 0 {
        println!("{}", err.join("\n"));
    }
    let _ = std::fs::remove_dir_all(&directory);
    Ok(match (right, short) {
        (true, 0) => Told::Right,
        (true, short) => Told::Short(short),
        (false, _) => Told::Wrong,
    })
}

/// Waits until neither end has retransmitted for a while: what came after the last look would be in one count only.
fn settle(names: &[String; 2]) -> io::Result<()> {
    let read = || -> io::Result<[u64; 2]> {
        Ok([counter(&names[0], "Tcp", "RetransSegs")?, counter(&names[1], "Tcp", "RetransSegs")?])
    };
    let mut last = read()?;
    for _ in 0..10 {
        thread::sleep(Duration::from_millis(1500));
        let now = read()?;
        if now == last {
            return Ok(());
        }
        last = now;
    }
    Err(io::Error::other("retransmissions don't end"))
}

fn traffic(net: &Net) -> io::Result<()> {
    for port in 30000..30010u16 {
        net.arm(if port % 2 == 0 { Drop::Syn(1) } else { Drop::SynAck(1) }, port)?;
    }
    net.random_loss(3)?;
    let running: Vec<_> = (30000..30020u16)
        .map(|client_port| {
            let request = Request {
                id: format!("r{client_port}"),
                path: "/big".into(),
                client_port,
                server_port: PORT,
                stall: Duration::ZERO,
            };
            client::start(&net.client(), request)
        })
        .collect();
    for request in running {
        request.join().map_err(|_| io::Error::other("a client panicked"))??;
    }
    Ok(())
}

fn netns_inode(name: &str) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(crate::net::netns_path(name))?.ino())
}

/// `@segments[INODE]: N` of the maps printed at exit.
fn said_segments(lines: &[String], inode: u64) -> u64 {
    let prefix = format!("@segments[{inode}]: ");
    lines.iter().find_map(|line| line.strip_prefix(&prefix)).and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}
