//! Does what a plan says to all requests of a time, and logs it: the truth beside the client's and the service's logs.

use super::{
    host::Host,
    plan::{CPU_PERIOD_MS, Cause, Plan, SHORT, Window},
};
use crate::{
    net::{Net, done_inside, ip, until},
    sys,
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    thread,
    time::{Duration, Instant},
};

/// The second address of the client's side, whose connections never get beyond a SYN.
const FILLER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 99);
/// More than the short backlog of nginx holds.
const FILLERS: u16 = 40;

/// What was done, and when, CLOCK_BOOTTIME ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    pub cause: Cause,
    pub begin: u64,
    pub end: u64,
}

/// Prepares the router and the server for a plan's faults.
pub fn prepare(net: &Net, plan: &Plan) -> io::Result<()> {
    super::drops::arm(net)?;
    if plan.windows.iter().any(|window| window.cause == Cause::Backlog) {
        ip(&format!("-n {} addr add {FILLER}/24 dev eth0", net.client()))?;
        net.nft("add rule inet faults forward ip daddr 10.0.1.99 tcp flags & (syn|ack) == syn|ack counter drop\n")?;
        // A half-open connection is given up when its first timer of a second ends.
        let control =
            "echo 0 > /proc/sys/net/ipv4/tcp_synack_retries; echo 4096 > /proc/sys/net/ipv4/tcp_max_syn_backlog";
        crate::net::ip_netns(&net.server(), &["sh", "-c", control])?;
    }
    Ok(())
}

/// Goes through the plan's windows; `start`: its time 0.
pub fn play(net: &Net, host: &Host, windows: &[Window], start: Instant) -> io::Result<Vec<Done>> {
    let mut log = Vec::new();
    for window in windows {
        thread::sleep((start + Duration::from_secs_f64(window.at)).saturating_duration_since(Instant::now()));
        let begin = sys::boot();
        match window.cause {
            Cause::Backlog => fill(net)?,
            // The service logs the pause itself.
            Cause::Gc => host.ask(&format!("/gc?ms={}", window.ms))?,
            Cause::Cpu => starve(host, window.ms)?,
            _ => {}
        }
        if window.cause != Cause::Gc {
            log.push(Done { cause: window.cause, begin, end: sys::boot() });
        }
    }
    Ok(log)
}

/// Fills the short backlog with half-open connections, and waits until the server gave them up.
fn fill(net: &Net) -> io::Result<()> {
    let sockets = done_inside(&net.client(), || {
        let to = SockAddr::from(SocketAddrV4::new(crate::net::SERVER.parse().map_err(io::Error::other)?, SHORT));
        let open = |_| -> io::Result<Socket> {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            socket.set_nonblocking(true)?;
            socket.bind(&SockAddr::from(SocketAddrV4::new(FILLER, 0)))?;
            match socket.connect(&to) {
                Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
                _ => Ok(socket),
            }
        };
        (0..FILLERS).map(open).collect::<io::Result<Vec<_>>>()
    })?;
    // Their own retransmissions would come a second later.
    thread::sleep(Duration::from_millis(900));
    drop(sockets);
    done_inside(&net.server(), || until(Duration::from_secs(5), "the backlog is empty", || Ok(half_open()? == 0)))
}

/// How many connections of the filler wait for their handshake's end, in the calling thread's namespace (proc(5): addresses as they lie in
/// memory, state 3 is SYN_RECV).
fn half_open() -> io::Result<usize> {
    let filler = format!("{:08X}:", u32::from_ne_bytes(FILLER.octets()));
    let text = std::fs::read_to_string("/proc/thread-self/net/tcp")?;
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    Ok(words.filter(|words| words.len() > 3 && words[2].starts_with(&filler) && words[3] == "03").count())
}

/// The service works for its own sake, and gets 4 % of one processor.
fn starve(host: &Host, ms: u64) -> io::Result<()> {
    let period = CPU_PERIOD_MS * 1000;
    let (begin, before) = (Instant::now(), host.cgroup.used_us()?);
    host.cgroup.quota(Some((period / 25, period)))?;
    let asked = host.ask(&format!("/burn?ms={ms}"));
    thread::sleep(Duration::from_millis(ms));
    let (took, used) = (begin.elapsed().as_micros() as u64, host.cgroup.used_us()? - before);
    host.cgroup.quota(None)?;
    asked?;
    // The first and the last period may be cut, and each CPU may finish a slice of 5 ms.
    if used > took / 10 {
        return Err(io::Error::other(format!("the quota was not kept: {used} of {took} us")));
    }
    Ok(())
}
