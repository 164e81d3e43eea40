//! weftrace as a child process: waits until it is attached, keeps what it prints, ends it with SIGINT.

use std::{
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

pub struct Watch {
    child: Child,
    out: thread::JoinHandle<Vec<String>>,
    err: thread::JoinHandle<Vec<String>>,
}

/// The notice that weftrace prints once its probes are attached, if the environment asks for it.
const ATTACHED: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

impl Watch {
    /// Starts weftrace and waits until its probes are attached. `echo`: its output goes to ours too.
    pub fn start(weftrace: &Path, args: &[String], echo: bool) -> io::Result<Self> {
        let mut child = Command::new(weftrace)
            .args(args)
            .env(ATTACHED, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", weftrace.display())))?;
        let (attached, ready) = mpsc::channel();
        let out = collect(child.stdout.take().expect("piped"), echo, attached.clone(), false);
        let err = collect(child.stderr.take().expect("piped"), echo, attached, true);
        let mut watch = Self { child, out, err };
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if ready.recv_timeout(Duration::from_millis(50)).is_ok() {
                return Ok(watch);
            }
            if watch.child.try_wait()?.is_some() || Instant::now() > until {
                let _ = watch.child.kill();
                let _ = watch.child.wait();
                let said = watch.err.join().unwrap_or_default().join("\n");
                return Err(io::Error::other(format!("weftrace did not attach its probes:\n{said}")));
            }
        }
    }

    /// Ends it as Ctrl-C would; returns its stdout and stderr lines and whether it exited with 0.
    pub fn stop(mut self) -> io::Result<(Vec<String>, Vec<String>, bool)> {
        crate::sys::signal(self.child.id(), libc::SIGINT)?;
        let status = self.child.wait()?;
        let out = self.out.join().unwrap_or_default();
        let err = self.err.join().unwrap_or_default();
        Ok((out, err, status.success()))
    }
}

fn collect(
    from: impl io::Read + Send + 'static,
    echo: bool,
    attached: mpsc::Sender<()>,
    stderr: bool,
) -> thread::JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let mut lines = Vec::new();
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if line.contains(ATTACHED) {
                let _ = attached.send(());
                continue;
            }
            match (echo, stderr) {
                (true, true) => eprintln!("{line}"),
                (true, false) => println!("{line}"),
                (false, _) => {}
            }
            lines.push(line);
        }
        lines
    })
}
