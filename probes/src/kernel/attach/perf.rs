//! What attaches through perf events: tracepoints, kprobes, uprobes, timers.

use super::error::{AttachError, Errno};
use super::{AttachOptions, Link};
use crate::kernel::host::Pmu;
use crate::kernel::sys::{self, AttachType, LinkTarget, PerfEvent, Period, SyscallError};
use crate::kernel::tracefs::TracefsError;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use weftrace_artifact::plan::{Rate, Way};

/// Every process; where the event belongs to no CPU (all but timers) it still must name one.
const ALL: i32 = -1;

pub(super) fn tracepoint(
    program: BorrowedFd<'_>,
    category: &str,
    event: &str,
    options: &AttachOptions<'_>,
) -> Result<Link, AttachError> {
    let what = format!("tracepoint:{category}:{event}");
    let id = options.host.tracefs().and_then(|fs| fs.id(category, event)).map_err(|e| match e {
        TracefsError::NoSuchEvent(_) => AttachError::no_such_event(what.clone()),
        other => AttachError::Tracefs { what: what.clone(), source: other },
    })?;
    let open = |cpu| sys::perf_event_open(&PerfEvent::Tracepoint { id }, ALL, cpu);
    let fd = open(first_cpu(options)).map_err(|e| Errno::new(what.clone(), e, options.host).open())?;
    tie(program, vec![fd], &what, options)
}

pub(super) fn kprobe(
    program: BorrowedFd<'_>,
    function: &str,
    module: Option<&str>,
    offset: u64,
    ret: bool,
    options: &AttachOptions<'_>,
) -> Result<Link, AttachError> {
    let full = module.map_or_else(|| function.to_owned(), |m| format!("{m}:{function}"));
    let plus = if offset == 0 { String::new() } else { format!("+{offset}") };
    let what = format!("{}:{full}{plus}", if ret { "kretprobe" } else { "kprobe" });
    let Some(pmu) = options.host.pmu(Pmu::Kprobe) else {
        return Err(AttachError::NotSupported {
            what,
            why: "this kernel was built without kprobes (CONFIG_KPROBES)".into(),
        });
    };
    let name = CString::new(full).map_err(|_| AttachError::no_such_event(what.clone()))?;
    let event = PerfEvent::Kprobe { pmu, ret, function: &name, offset };
    let fd = sys::perf_event_open(&event, ALL, first_cpu(options))
        .map_err(|e| Errno::new(what.clone(), e, options.host).kprobe())?;
    tie(program, vec![fd], &what, options)
}

pub(super) fn uprobe(program: BorrowedFd<'_>, way: &Way, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    let Way::Uprobe { path, offset, symbol, ret, pid, semaphore } = way else {
        return Err(AttachError::NotKernel { what: format!("{way:?}") });
    };
    let what = format!("{}:{path}:{symbol}", if *ret { "uretprobe" } else { "uprobe" });
    let Some(pmu) = options.host.pmu(Pmu::Uprobe) else {
        return Err(AttachError::NotSupported {
            what,
            why: "this kernel was built without uprobes (CONFIG_UPROBE_EVENTS)".into(),
        });
    };
    let file = CString::new(path.as_str()).map_err(|_| AttachError::no_such_event(what.clone()))?;
    let event = PerfEvent::Uprobe { pmu, ret: *ret, path: &file, offset: *offset, semaphore: *semaphore };
    let opened = match pid {
        Some(pid) => sys::perf_event_open(&event, *pid as i32, -1),
        None => sys::perf_event_open(&event, ALL, first_cpu(options)),
    };
    let fd = opened.map_err(|e| match (e.errno, pid) {
        (libc::ESRCH, Some(pid)) => AttachError::NoSuchProcess { pid: *pid },
        _ => Errno::new(what.clone(), e, options.host).uprobe(path),
    })?;
    tie(program, vec![fd], &what, options)
}

pub(super) fn timer(
    program: BorrowedFd<'_>,
    rate: Rate,
    cpus: &[u32],
    provider: &str,
    options: &AttachOptions<'_>,
) -> Result<Link, AttachError> {
    let (period, what) = match rate {
        Rate::PeriodNs(ns) => (Period::Ns(ns), format!("{provider}:ns:{ns}")),
        Rate::Hz(hz) => (Period::Hz(hz), format!("{provider}:hz:{hz}")),
    };
    if matches!(rate, Rate::PeriodNs(0) | Rate::Hz(0)) {
        return Err(AttachError::NoSuchEvent { what, remedy: "a timer's period must be more than 0".into() });
    }
    let mut events = Vec::with_capacity(cpus.len());
    for cpu in cpus {
        match sys::perf_event_open(&PerfEvent::CpuClock(period), ALL, *cpu as i32) {
            Ok(fd) => events.push(fd),
            // Went offline since we looked.
            Err(SyscallError { errno: libc::ENODEV, .. }) if cpus.len() > 1 => {}
            Err(e) => return Err(Errno::new(what, e, options.host).timer()),
        }
    }
    tie(program, events, &what, options)
}

fn first_cpu(options: &AttachOptions<'_>) -> i32 {
    options.host.online()[0] as i32
}

/// Ties the program to open events and starts those that opened stopped.
fn tie(
    program: BorrowedFd<'_>,
    events: Vec<OwnedFd>,
    what: &str,
    options: &AttachOptions<'_>,
) -> Result<Link, AttachError> {
    let mut links = Vec::with_capacity(2 * events.len());
    for event in &events {
        links.extend(tie_one(program, event.as_fd(), what, options)?);
        sys::perf_enable(event.as_fd()).map_err(|e| Errno::new(what.to_owned(), e, options.host).link())?;
    }
    links.extend(events);
    Ok(Link { fds: links })
}

/// A BPF link; before Linux 5.15 the program is set on the event itself, which then can't carry a cookie.
fn tie_one(
    program: BorrowedFd<'_>,
    event: BorrowedFd<'_>,
    what: &str,
    options: &AttachOptions<'_>,
) -> Result<Option<OwnedFd>, AttachError> {
    match sys::link_create(program, LinkTarget::Perf(event), AttachType::BPF_PERF_EVENT, options.cookie) {
        Ok(link) => Ok(Some(link)),
        Err(e) if e.errno == libc::EINVAL && options.cookie == 0 => sys::perf_set_bpf(event, program)
            .map(|()| None)
            .map_err(|e| Errno::new(what.to_owned(), e, options.host).link()),
        Err(e) => {
            let cookie = super::cookie_or(e, options, what);
            Err(cookie.unwrap_or_else(|| Errno::new(what.to_owned(), e, options.host).link()))
        }
    }
}
