//! Attaching loaded programs to events.

mod error;
mod perf;
mod session;

pub use error::AttachError;
pub use session::{Ends, kprobe_session, uprobe_session};

use super::host::Host;
use super::sys::{self, AttachType, LinkTarget, SyscallError};
use error::Errno;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use weftrace_artifact::plan::Way;

/// How to attach.
#[derive(Clone, Copy, Debug)]
pub struct AttachOptions<'a> {
    /// What `bpf_get_attach_cookie` gives the program; 0 needs nothing of the kernel.
    pub cookie: u64,
    /// Counters, timers and watchpoints are about this process only.
    pub pid: Option<u32>,
    pub host: &'a Host,
}

impl<'a> AttachOptions<'a> {
    pub fn new(host: &'a Host) -> Self {
        Self { cookie: 0, pid: None, host }
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
    /// What another link holds already.
    pub fn shared() -> Self {
        Self { fds: Vec::new() }
    }

    /// Descriptors held: 2 per perf event with a BPF link.
    pub fn descriptors(&self) -> usize {
        self.fds.len()
    }

    /// Events that the kernel's kprobes missed before the program was asked; None: it has none.
    pub fn missed(&self) -> Option<u64> {
        self.fds.iter().filter_map(|fd| sys::missed_by_kprobes(fd.as_fd())).reduce(|a, b| a + b)
    }

    /// Opens an iterator's walk; reading it to the end runs the program once for each object.
    pub fn walk(&self) -> Result<File, SyscallError> {
        match self.fds.first() {
            Some(link) => sys::iter_create(link.as_fd()).map(File::from),
            None => Err(SyscallError { call: "bpf(BPF_ITER_CREATE)", errno: libc::EBADF }),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        close_all(std::mem::take(&mut self.fds));
    }
}

/// Detaches many at once. Taking a program from a perf event waits until no CPU and no task can be in it, and so does removing the
/// event: some 35 ms each (Linux 6.18, HZ 250). The first wait is shared by all who wait at the time; the second is under a lock of the
/// kernel, so that what remains is one wait an event (26 tracepoints: 1.75 s by one thread, 1.14 by 4, 1.07 by 20, 0.95 by 64; 2: 0.13 and
/// 0.08 s). The end of the process waits as long: it closes one descriptor after the other.
pub fn detach_all(links: Vec<Link>) {
    close_all(links.into_iter().flat_map(|mut link| std::mem::take(&mut link.fds)).collect());
}

fn close_all(fds: Vec<OwnedFd>) {
    /// One perf event and its link.
    const PAIR: usize = 2;
    const THREADS: usize = 16;
    if fds.len() <= PAIR {
        return;
    }
    let share = fds.len().div_ceil(THREADS).next_multiple_of(PAIR);
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
        Way::Syscall { ret, .. } => tracepoint_btf(program, Way::syscalls(*ret), options),
        Way::Kprobe { function, module, offset, ret } => {
            perf::kprobe(program, function, module.as_deref(), *offset, *ret, options)
        }
        Way::Uprobe { .. } => perf::uprobe(program, way, options),
        Way::Usdt { path, marker, sites, pid } => perf::marker(program, (path, marker), sites, *pid, options),
        Way::Profile { rate } => perf::profile(program, *rate, options),
        Way::Interval { ns } => {
            let first = &options.host.online()[..1];
            perf::timer(program, weftrace_artifact::plan::Rate::PeriodNs(*ns), (first, None), "interval", options)
        }
        Way::Counter { counter, period } => perf::counter(program, *counter, *period, options),
        Way::Watchpoint { address, len, access } => perf::watchpoint(program, *address, *len, *access, options),
        Way::Fentry { function, module, ret, .. } => fentry(program, function, module.as_deref(), *ret, options),
        Way::Iter { kind, pid } => iterator(program, kind, *pid, options),
        Way::Begin
        | Way::End
        | Way::Pcap { .. }
        | Way::Exchange { .. }
        | Way::Telemetry { .. }
        | Way::Join { .. }
        | Way::Signal { .. }
        | Way::Test { .. }
        | Way::Bench { .. } => Err(AttachError::NotKernel { what: format!("{way:?}") }),
    }
}

/// Many functions of one file, by one link (Linux 6.6).
#[derive(Clone, Debug)]
pub struct Uprobes<'a> {
    pub path: &'a str,
    pub ret: bool,
    pub pid: Option<u32>,
    /// (offset in the file, cookie)
    pub sites: Vec<(u64, u64)>,
    /// A site's counter in the file, 0: none; empty: none has one.
    pub semaphores: Vec<u64>,
}

/// Attaches a program that was loaded for many uprobes ([`super::program::Many::Uprobes`]).
pub fn uprobes(program: BorrowedFd<'_>, all: &Uprobes<'_>, host: &Host) -> Result<Link, AttachError> {
    let what = format!("{} functions of {}", all.sites.len(), all.path);
    let path = CString::new(all.path).map_err(|_| AttachError::no_such_event(what.clone()))?;
    let (offsets, cookies): (Vec<u64>, Vec<u64>) = all.sites.iter().copied().unzip();
    let target = LinkTarget::UprobeMulti {
        path: &path,
        offsets: &offsets,
        cookies: &cookies,
        semaphores: &all.semaphores,
        ret: all.ret,
        pid: all.pid.unwrap_or(0),
    };
    let fd = sys::link_create(program, target, AttachType::BPF_TRACE_UPROBE_MULTI, 0)
        .map_err(|e| Errno::new(what, e, host).uprobe(all.path))?;
    Ok(Link { fds: vec![fd] })
}

/// Many functions of the kernel, by one link.
#[derive(Clone, Debug)]
pub struct Kprobes<'a> {
    pub ret: bool,
    /// (name, cookie)
    pub functions: Vec<(&'a str, u64)>,
}

/// Attaches a program that was loaded for many kprobes ([`super::program::Many::Kprobes`]). One that can't be traced fails all.
pub fn kprobes(program: BorrowedFd<'_>, all: &Kprobes<'_>, host: &Host) -> Result<Link, AttachError> {
    let what = format!("{} functions of the kernel", all.functions.len());
    let names: Result<Vec<CString>, _> = all.functions.iter().map(|(name, _)| CString::new(*name)).collect();
    let names = names.map_err(|_| AttachError::no_such_event(what.clone()))?;
    let pointers: Vec<*const libc::c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let cookies: Vec<u64> = all.functions.iter().map(|(_, cookie)| *cookie).collect();
    let target = LinkTarget::KprobeMulti { names: &pointers, cookies: &cookies, ret: all.ret };
    let fd = sys::link_create(program, target, AttachType::BPF_TRACE_KPROBE_MULTI, 0)
        .map_err(|e| Errno::new(what, e, host).kprobe())?;
    Ok(Link { fds: vec![fd] })
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

fn fentry(
    program: BorrowedFd<'_>,
    function: &str,
    module: Option<&str>,
    ret: bool,
    options: &AttachOptions<'_>,
) -> Result<Link, AttachError> {
    let full = module.map_or_else(|| function.to_owned(), |m| format!("{m}:{function}"));
    let what = format!("{}:{full}", if ret { "fexit" } else { "fentry" });
    let opened = if options.cookie == 0 {
        sys::raw_tracepoint_open(None, program, 0)
    } else {
        let attach_type = if ret { AttachType::BPF_TRACE_FEXIT } else { AttachType::BPF_TRACE_FENTRY };
        sys::link_create(program, LinkTarget::Tracing, attach_type, options.cookie)
    };
    let fd =
        opened.map_err(|e| cookie_or(e, options, &what).unwrap_or_else(|| Errno::new(what, e, options.host).link()))?;
    Ok(Link { fds: vec![fd] })
}

/// Attached, not walked yet: [`Link::walk`].
fn iterator(
    program: BorrowedFd<'_>,
    kind: &str,
    pid: Option<u32>,
    options: &AttachOptions<'_>,
) -> Result<Link, AttachError> {
    let what = format!("iter:{kind}");
    let fd = sys::link_create(program, LinkTarget::Iter { pid }, AttachType::BPF_TRACE_ITER, 0)
        .map_err(|e| Errno::new(what, e, options.host).walk())?;
    Ok(Link { fds: vec![fd] })
}

/// EINVAL where a cookie was asked for: this kernel has none here.
fn cookie_or(error: sys::SyscallError, options: &AttachOptions<'_>, what: &str) -> Option<AttachError> {
    (error.errno == libc::EINVAL && options.cookie != 0).then(|| AttachError::NotSupported {
        what: format!("a cookie on {what}"),
        why: "this kernel is older than cookies on such probes".into(),
    })
}
