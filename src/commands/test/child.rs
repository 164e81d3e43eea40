//! A run in a process of its own: it may take too long, print too much or crash, and the other tests go on.
//!
//! It leads a process group: when it has ended or is to end, whatever it started ends too. Since Ctrl-C reaches that group no more, it is passed on.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};
use weftrace_runtime::sys::{kill_group, pidfd_open, watch};

/// What a run may print.
const MOST: usize = 64 << 20;

pub(super) struct Ran {
    pub(super) out: Vec<u8>,
    pub(super) err: Vec<u8>,
    pub(super) took: Duration,
    pub(super) ended: Ended,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Code(i32),
    /// In words.
    Otherwise(String),
}

/// Why a run is waited for no longer.
enum Over {
    Ended,
    TooLong,
    Interrupted,
}

/// Where runs are made, one after the other.
pub(super) struct Runs {
    runtime: Runtime,
    /// Ctrl-C, `kill`, a terminal that is closed.
    signals: [Signal; 3],
    limit: Duration,
    /// One of the signals came: no more runs.
    pub(super) interrupted: bool,
}

impl Runs {
    /// `limit`: what a run may take.
    pub(super) fn new(limit: Duration) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let signals =
            [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
        drop(entered);
        Ok(Self { runtime, signals, limit, interrupted: false })
    }

    /// This program with these arguments: in UTC, without colours, and without what the environment would say to scripts.
    pub(super) fn weftrace(&mut self, args: &[OsString]) -> io::Result<Ran> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg0("weftrace").args(args).env("TZ", "UTC").env("NO_COLOR", "1");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BPFTRACE_") {
                command.env_remove(name);
            }
        }
        self.run(command)
    }

    fn run(&mut self, mut command: Command) -> io::Result<Ran> {
        let start = Instant::now();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let (mut out, mut err) = (Pipe::default(), Pipe::default());
        // The group is ended before the child is waited for: until then its number is its own, also where it has ended.
        let pipes = (child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from));
        let over = self.runtime.block_on(over(child.id(), pipes, (&mut out, &mut err), self.limit, &mut self.signals));
        kill_group(child.id());
        let (over, status) = (over?, child.wait()?);
        self.interrupted |= matches!(over, Over::Interrupted);
        let (out, err) = (out.rest(), err.rest());
        let ended = match over {
            Over::Interrupted => Ended::Otherwise("it was interrupted".into()),
            Over::TooLong => Ended::Otherwise(format!("it did not end within {} s", self.limit.as_secs_f64())),
            Over::Ended if out.len() > MOST => Ended::Otherwise(format!("it printed more than {} MiB", MOST >> 20)),
            Over::Ended => Ended::from(status),
        };
        Ok(Ran { out, err, took: start.elapsed(), ended })
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match status.code() {
            Some(code) => Self::Code(code),
            None => Self::Otherwise(format!("signal {} ended it", status.signal().unwrap_or(0))),
        }
    }
}

/// Reads what a child prints until it has ended, or is to.
async fn over(
    child: u32,
    (out, err): (Option<OwnedFd>, Option<OwnedFd>),
    read: (&mut Pipe, &mut Pipe),
    limit: Duration,
    [interrupt, terminate, hangup]: &mut [Signal; 3],
) -> io::Result<Over> {
    let pidfd = watch(pidfd_open(child as libc::pid_t)?.as_fd())?;
    let reading = async { tokio::join!(read.0.read(out), read.1.read(err)) };
    let ended = async {
        tokio::select! {
            ended = pidfd.readable() => ended.map(|_| Over::Ended),
            () = tokio::time::sleep(limit) => Ok(Over::TooLong),
            _ = interrupt.recv() => Ok(Over::Interrupted),
            _ = terminate.recv() => Ok(Over::Interrupted),
            _ = hangup.recv() => Ok(Over::Interrupted),
        }
    };
    tokio::pin!(ended);
    tokio::select! {
        // Reading begins first: what ended at once has printed something too.
        biased;
        _ = reading => ended.await,
        over = &mut ended => over,
    }
}

/// What comes out of a child.
#[derive(Default)]
struct Pipe {
    fd: Option<OwnedFd>,
    bytes: Vec<u8>,
}

impl Pipe {
    /// Reads on when it is too much, so that the process isn't held up; what is too much is not kept.
    async fn read(&mut self, pipe: Option<OwnedFd>) -> io::Result<()> {
        let Some(pipe) = pipe else { return Ok(()) };
        // For the rest: this may be given up at any await.
        self.fd = Some(pipe.as_fd().try_clone_to_owned()?);
        let mut receiver = Receiver::from_owned_fd(pipe)?;
        let mut piece = vec![0; 64 << 10];
        loop {
            match receiver.read(&mut piece).await? {
                0 => return Ok(()),
                n => self.keep(&piece[..n]),
            }
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = (MOST + 1).saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// All, with what was written before the end. Somebody who left the group may hold the pipe open: nobody waits for that.
    fn rest(mut self) -> Vec<u8> {
        let Some(mut pipe) = self.fd.take().map(File::from) else { return self.bytes };
        let mut piece = vec![0; 64 << 10];
        while self.bytes.len() <= MOST {
            match pipe.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => self.keep(&piece[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nothing more is there (it doesn't block).
                Err(_) => break,
            }
        }
        self.bytes
    }
}

#[cfg(test)]
#[path = "child_tests.rs"]
mod tests;
