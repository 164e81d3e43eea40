//! A run in a process of its own: it may take too long, print too much or crash, and the other tests go on.

use std::{
    ffi::OsString,
    io::{self, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a run may print.
const MOST: u64 = 64 << 20;
/// How often it is looked whether it ended.
const PATIENCE: Duration = Duration::from_millis(5);

pub(super) struct Ran {
    pub(super) out: Vec<u8>,
    pub(super) err: Vec<u8>,
    pub(super) took: Duration,
    pub(super) ended: Ended,
}

pub(super) enum Ended {
    Code(i32),
    /// In words.
    Otherwise(String),
}

/// This program with these arguments: in UTC, without colours, and without what the environment would say to scripts.
pub(super) fn weftrace(args: &[OsString], limit: Duration) -> io::Result<Ran> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0("weftrace").args(args).env("TZ", "UTC").env("NO_COLOR", "1");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BPFTRACE_") {
            command.env_remove(name);
        }
    }
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (out, err) = (thread::spawn(move || read(out)), thread::spawn(move || read(err)));
    let status = wait(&mut child, limit)?;
    let took = start.elapsed();
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    let ended = match status {
        None => Ended::Otherwise(format!("it did not end within {} s", limit.as_secs_f64())),
        Some(_) if out.len() as u64 > MOST => Ended::Otherwise(format!("it printed more than {} MiB", MOST >> 20)),
        Some(status) => match status.code() {
            Some(code) => Ended::Code(code),
            None => Ended::Otherwise(format!("signal {} ended it", status.signal().unwrap_or(0))),
        },
    };
    Ok(Ran { out, err, took, ended })
}

/// Reads on when it is too much, so that the process isn't held up; what is too much is not kept.
fn read(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.by_ref().take(MOST + 1).read_to_end(&mut bytes);
        let _ = io::copy(&mut pipe, &mut io::sink());
    }
    bytes
}

/// None: it took too long, and was ended.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(PATIENCE);
    }
}
