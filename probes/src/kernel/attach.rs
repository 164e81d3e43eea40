//! Attaching loaded programs to events.

mod error;
mod perf;

pub use error::AttachError;

use super::host::Host;
use super::sys::{self, AttachType, LinkTarget};
use error::Errno;
use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use weftrace_artifact::plan::Way;

/// How to attach.
#[derive(Clone, Copy, Debug)]
pub struct AttachOptions<'a> {
    /// What `bpf_get_attach_cookie` gives the program; 0 needs nothing of the kernel.
    pub cookie: u64,
    pub host: &'a Host,
}

impl<'a> AttachOptions<'a> {
    pub fn new(host: &'a Host) -> Self {
        Self { cookie: 0, host }
    }
}

/// An attachment. Dropping it detaches; so does the end of the process, however it ends.
#[derive(Debug)]
#[must_use = "dropping a link detaches its program"]
pub struct Link {
    /// BPF links before the perf events they sit on.
    fds: Vec<OwnedFd>,
}

impl Link {
    /// Descriptors held: 2 per perf event with a BPF link.
    pub fn descriptors(&self) -> usize {
        self.fds.len()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        close_all(std::mem::take(&mut self.fds));
    }
}

/// Detaches many at once. Closing a perf event waits for every CPU to leave it (~90 ms): the waits overlap.
pub fn detach_all(links: Vec<Link>) {
    close_all(links.into_iter().flat_map(|mut link| std::mem::take(&mut link.fds)).collect());
}

fn close_all(fds: Vec<OwnedFd>) {
    /// Up to 8 perf events with their links threads cost more than they save.
    const SERIAL: usize = 16;
    /// More threads don't help: half the wait is under one lock.
    const THREADS: usize = 20;
    if fds.len() <= SERIAL {
        return;
    }
    let share = fds.len().div_ceil(THREADS);
    let mut fds = fds.into_iter();
    std::thread::scope(|scope| {
        loop {
            let part: Vec<OwnedFd> = fds.by_ref().take(share).collect();
            if part.is_empty() {
                break;
            }
            // If no thread can be had the closure, and the part with it, is dropped here: closed all the same.
            let _ = std::thread::Builder::new().spawn_scoped(scope, move || drop(part));
        }
    });
}

/// Attaches one program one way. BEGIN and END programs don't attach: they are run by hand
/// ([`super::program::run_once`]); packets, joins and signals have no kernel program.
pub fn attach(program: BorrowedFd<'_>, way: &Way, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    match way {
        Way::Tracepoint { category, event } => perf::tracepoint(program, category, event, options),
        Way::RawTracepoint { event } => raw_tracepoint(program, event, options),
        Way::TracepointBtf { event } => tracepoint_btf(program, event, options),
        Way::Kprobe { function, module, offset, ret } => {
            perf::kprobe(program, function, module.as_deref(), *offset, *ret, options)
        }
        Way::Uprobe { .. } => perf::uprobe(program, way, options),
        Way::Profile { rate } => perf::timer(program, *rate, options.host.online(), "profile", options),
        Way::Interval { ns } => {
            let first = &options.host.online()[..1];
            perf::timer(program, weftrace_artifact::plan::Rate::PeriodNs(*ns), first, "interval", options)
        }
        Way::Begin | Way::End | Way::Pcap { .. } | Way::Join { .. } | Way::Signal { .. } => {
            Err(AttachError::NotKernel { what: format!("{way:?}") })
        }
    }
}

fn raw_tracepoint(program: BorrowedFd<'_>, event: &str, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    let what = format!("rawtracepoint:{event}");
    let name = CString::new(event).map_err(|_| AttachError::no_such_event(what.clone()))?;
    let fd = sys::raw_tracepoint_open(Some(&name), program, options.cookie)
        .map_err(|e| cookie_or(e, options, &what).unwrap_or_else(|| Errno::new(what, e, options.host).link()))?;
    Ok(Link { fds: vec![fd] })
}

fn tracepoint_btf(program: BorrowedFd<'_>, event: &str, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    let what = format!("tp_btf:{event}");
    let opened = if options.cookie == 0 {
        sys::raw_tracepoint_open(None, program, 0)
    } else {
        sys::link_create(program, LinkTarget::Tracing, AttachType::BPF_TRACE_RAW_TP, options.cookie)
    };
    let fd =
        opened.map_err(|e| cookie_or(e, options, &what).unwrap_or_else(|| Errno::new(what, e, options.host).link()))?;
    Ok(Link { fds: vec![fd] })
}

/// EINVAL where a cookie was asked for: this kernel has none here.
fn cookie_or(error: sys::SyscallError, options: &AttachOptions<'_>, what: &str) -> Option<AttachError> {
    (error.errno == libc::EINVAL && options.cookie != 0).then(|| AttachError::NotSupported {
        what: format!("a cookie on {what}"),
        why: "this kernel is older than cookies on such probes".into(),
    })
}
