//! TcpRetransSegs of each namespace against what `tcp/retransmit` counts.

use crate::{
    client::{self, Request},
    net::{Drop, Net, counter},
    server::{PORT, Server},
    watch::Watch,
};
use std::{io, path::Path, thread, time::Duration};

/// Random loss, lost SYNs and lost SYN-ACKs, with GSO on and off: the identity of docs/tcp-retransmits.md must hold in both
/// namespaces.
pub fn retransmits(weftrace: &Path) -> io::Result<bool> {
    /// A perf tracepoint passes over what comes in while any other such program runs on its CPU, or while somebody uses a map by a system
    /// call: now and then one. What is wrong shows each time.
    const TRIES: usize = 3;
    let mut right = true;
    for gso in [false, true] {
        let mut equal = false;
        for _ in 0..TRIES {
            equal = once(weftrace, gso)?;
            if equal {
                break;
            }
        }
        right &= equal;
    }
    Ok(right)
}

fn once(weftrace: &Path, gso: bool) -> io::Result<bool> {
    let mut right = true;
    let net = Net::new("r")?;
    net.gso(gso)?;
    let directory = std::env::temp_dir().join(format!("weftrace-lab-{}", std::process::id()));
    let server = Server::start(&net, &directory)?;
    let names = [net.client(), net.server()];
    let count = |name: &str| -> io::Result<[u64; 2]> {
        Ok([counter(name, "Tcp", "RetransSegs")?, counter(name, "TcpExt", "TCPRetransFail")?])
    };
    let before = [count(&names[0])?, count(&names[1])?];
    let args = ["run", "tcp/retransmit", "--per_netns", "1"].map(String::from);
    let watch = Watch::start(weftrace, &args, false)?;
    traffic(&net)?;
    drop(server);
    net.clear()?;
    settle(&names)?;
    let (out, err, clean) = watch.stop()?;
    // What the kernel passed over while another program ran is told, but not whose it was.
    let mut told = told_missed(&err);
    for (name, before) in names.iter().zip(before) {
        // Those that could not be sent are in the kernel's count, and in one of their own.
        let now = count(name)?;
        let [kernel, failed] = [now[0] - before[0], now[1] - before[1]];
        let inode = netns_inode(name)?;
        let said = said_segments(&out, inode);
        println!(
            "gso {gso:5}  {name:12} TcpRetransSegs {kernel:6}  TCPRetransFail {failed:4}  tcp/retransmit {said:6}"
        );
        let missed = kernel.saturating_sub(said + failed);
        if said + failed > kernel || missed > told || kernel == 0 && name.starts_with("ws") {
            right = false;
            println!("{}", err.join("\n"));
        }
        told = told.saturating_sub(missed);
    }
    if !clean {
        println!("{}", err.join("\n"));
        right = false;
    }
    let _ = std::fs::remove_dir_all(&directory);
    Ok(right)
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

/// Of the retransmissions' tracepoint: `WARNING: lost N …`.
fn told_missed(err: &[String]) -> u64 {
    let ours = err.iter().filter(|line| line.contains("tcp_retransmit_skb"));
    ours.filter_map(|line| line.split_once("lost ")?.1.split(' ').next()?.parse::<u64>().ok()).sum()
}

/// `@segments[INODE]: N` of the maps printed at exit.
fn said_segments(lines: &[String], inode: u64) -> u64 {
    let prefix = format!("@segments[{inode}]: ");
    lines.iter().find_map(|line| line.strip_prefix(&prefix)).and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}
