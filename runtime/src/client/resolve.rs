//! Names to addresses, in time. The C library's resolver knows no deadline: it asks on a thread of its own, which is given up if it must be.

use crate::in_time::left;
use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::Instant,
};

/// Threads that may be asking at once: with those that were given up, which end when the resolver does.
const MOST: usize = 16;

static ASKING: AtomicUsize = AtomicUsize::new(0);

/// One of them.
struct Asking(&'static AtomicUsize);

impl Asking {
    fn begin(all: &'static AtomicUsize) -> io::Result<Self> {
        let this = Self(all);
        if all.fetch_add(1, Relaxed) >= MOST {
            return Err(io::Error::other("too many names are being looked up that no name server answers"));
        }
        Ok(this)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A host's addresses.
pub(super) fn resolve(host: &str, port: u16, due: Instant) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let name = host.to_owned();
    let look = move || Ok((name.as_str(), port).to_socket_addrs()?.collect());
    in_time(&ASKING, due, look)?.ok_or_else(|| io::Error::other(format!("{host}: no name server answers in time")))?
}

/// None: it took too long.
fn in_time<T: Send + 'static>(
    all: &'static AtomicUsize,
    due: Instant,
    look: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let asking = Asking::begin(all)?;
    let (answer, answered) = sync_channel(1);
    let work = move || {
        // Whoever asked may have gone.
        let _ = answer.try_send(look());
        drop(asking);
    };
    thread::Builder::new().name("weftrace-names".into()).spawn(work)?;
    match answered.recv_timeout(left(due)?) {
        Ok(found) => Ok(Some(found)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("looking up a name failed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_resolver_that_hangs_is_given_up() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let hangs = || thread::sleep(Duration::from_secs(5));
        let begun = Instant::now();
        for _ in 0..MOST {
            let due = Instant::now() + Duration::from_millis(10);
            assert!(in_time(&ALL, due, hangs).is_ok_and(|found| found.is_none()));
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
        let full = in_time(&ALL, Instant::now() + Duration::from_secs(1), || 1).expect_err("all hang");
        assert!(full.to_string().contains("no name server"), "{full}");
        // They end when the resolver does.
        let due = Instant::now() + Duration::from_secs(20);
        while ALL.load(Relaxed) > 0 && Instant::now() < due {
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(in_time(&ALL, due, || 1).expect("asked"), Some(1));
        assert_eq!(resolve("::1", 5, due).expect("an address"), [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 5))]);
        assert!(resolve("localhost", 5, due).expect("a name").iter().all(|a| a.ip().is_loopback() && a.port() == 5));
    }
}
