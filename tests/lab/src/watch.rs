//! weftrace as a child process: waits until it is attached, keeps what it prints, ends it with SIGINT.

use crate::net::until;
use std::{
    io::{self, BufRead, BufReader},
    mem,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

/// Ended when dropped.
pub struct Watch {
    child: Child,
    out: Lines,
    err: Lines,
}

/// The notice that weftrace prints once its probes are attached, if the environment asks for it.
const ATTACHED: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

impl Watch {
    /// Starts weftrace and waits until its probes are attached. `echo`: its output goes to ours too.
    pub fn start(weftrace: &Path, args: &[String], echo: bool) -> io::Result<Self> {
        Self::of(Command::new(weftrace).args(args), echo)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", weftrace.display())))
    }

    /// The same with a command that becomes weftrace.
    pub fn of(command: &mut Command, echo: bool) -> io::Result<Self> {
        Self::that_says(ATTACHED, command, echo)
    }

    /// The same with a peer, which is attached once it says this.
    pub fn that_says(mark: &'static str, command: &mut Command, echo: bool) -> io::Result<Self> {
        let mut child =
            command.env(ATTACHED, "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (attached, ready) = mpsc::channel();
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let out = Lines::collect(out, (mark, attached.clone()), move |line| {
            if echo {
                println!("{line}");
            }
        });
        let err = Lines::collect(err, (mark, attached), move |line| {
            if echo {
                eprintln!("{line}");
            }
        });
        let mut watch = Self { child, out, err };
        let due = Instant::now() + Duration::from_secs(30);
        loop {
            if ready.recv_timeout(Duration::from_millis(50)).is_ok() {
                return Ok(watch);
            }
            if watch.child.try_wait()?.is_some() || Instant::now() > due {
                watch.end();
                let said = watch.err.taken().join("\n");
                return Err(io::Error::other(format!("weftrace did not attach its probes:\n{said}")));
            }
        }
    }

    /// Waits until it has printed so many lines of those that are `wanted`, but no longer than `most`.
    pub fn printed(&self, count: usize, most: Duration, wanted: impl Fn(&str) -> bool) {
        let (mut found, mut read) = (0, 0);
        let enough = || {
            let lines = self.out.lock();
            found += lines[read..].iter().filter(|line| wanted(line)).count();
            read = lines.len();
            Ok(found >= count)
        };
        // What is missing then is the judge's to tell.
        let _ = until(most, "lines", enough);
    }

    /// Ends it as Ctrl-C would; returns its stdout and stderr lines and whether it exited with 0, or with 4: an alert fired.
    pub fn stop(mut self) -> io::Result<(Vec<String>, Vec<String>, bool)> {
        crate::sys::signal(self.child.id(), libc::SIGINT)?;
        let status = self.child.wait()?;
        Ok((self.out.taken(), self.err.taken(), matches!(status.code(), Some(0 | 4))))
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

/// The lines of a pipe, as a thread reads them.
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Lines {
    fn collect(
        from: impl io::Read + Send + 'static,
        (mark, attached): (&'static str, mpsc::Sender<()>),
        echo: impl Fn(&str) + Send + 'static,
    ) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let mine = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                if line.contains(mark) {
                    let _ = attached.send(());
                    continue;
                }
                echo(&line);
                mine.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { lines, reader: Some(reader) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, once the pipe is closed.
    fn taken(&mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        mem::take(&mut *self.lock())
    }
}
