//! What attaches through perf events: tracepoints, kprobes, uprobes, timers.

use super::error::{AttachError, Errno};
use super::{AttachOptions, Link};
use crate::kernel::host::Pmu;
use crate::kernel::sys::{self, AttachType, LinkTarget, PerfEvent, Period, SyscallError};
use crate::kernel::tracefs::TracefsError;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use weftrace_artifact::plan::{Access, Counter, Rate, Site, Way};

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
    // The kernel's own functions are not in a module to it.
    let module = module.filter(|m| *m != "vmlinux");
    let full = module.map_or_else(|| function.to_owned(), |m| format!("{m}:{function}"));
    let plus = if offset == 0 { String::new() } else { format!("+{offset}") };
    let what = format!("{}:{full}{plus}", if ret { "kretprobe" } else { "kprobe" });
    let Some(pmu) = options.host.pmu(Pmu::Kprobe) else {
        return Err(AttachError::NotSupported {
            what,
            why: "this kernel was built without kprobes (CONFIG_KPROBES)".into(),
        });
    };
    if function.is_empty() {
        return kprobe_at(program, pmu, offset, ret, options);
    }
    let name = CString::new(full).map_err(|_| AttachError::no_such_event(what.clone()))?;
    let event = PerfEvent::Kprobe { pmu, ret, function: &name, offset };
    let fd = sys::perf_event_open(&event, ALL, first_cpu(options))
        .map_err(|e| Errno::new(what.clone(), e, options.host).kprobe())?;
    tie(program, vec![fd], &what, options)
}

/// At an address of the kernel's code.
fn kprobe_at(
    program: BorrowedFd<'_>,
    pmu: u32,
    address: u64,
    ret: bool,
    options: &AttachOptions<'_>,
) -> Result<Link, AttachError> {
    let what = format!("{}:{address:#x}", if ret { "kretprobe" } else { "kprobe" });
    let event = PerfEvent::KprobeAt { pmu, ret, address };
    let fd = sys::perf_event_open(&event, ALL, first_cpu(options))
        .map_err(|e| Errno::new(what.clone(), e, options.host).kprobe())?;
    tie(program, vec![fd], &what, options)
}

pub(super) fn uprobe(program: BorrowedFd<'_>, way: &Way, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    let Way::Uprobe { path, offset, symbol, ret, pid, semaphore, more } = way else {
        return Err(AttachError::NotKernel { what: format!("{way:?}") });
    };
    let what = format!("{}:{path}:{symbol}", if *ret { "uretprobe" } else { "uprobe" });
    let open = |offset: &u64| {
        let site = Site { offset: *offset, semaphore: *semaphore };
        open_uprobe(path, site, *ret, *pid, &what, options)
    };
    let events: Result<Vec<_>, _> = std::iter::once(offset).chain(more).map(open).collect();
    tie(program, events?, &what, options)
}

/// A static marker: a uprobe at each of its places. Its counter, if it has one, is raised by the kernel while they are there.
pub(super) fn marker(
    program: BorrowedFd<'_>,
    (path, marker): (&str, &str),
    sites: &[Site],
    pid: Option<u32>,
    options: &AttachOptions<'_>,
) -> Result<Link, AttachError> {
    let what = format!("usdt:{path}:{marker}");
    let events: Result<Vec<_>, _> =
        sites.iter().map(|site| open_uprobe(path, *site, false, pid, &what, options)).collect();
    tie(program, events?, &what, options)
}

fn open_uprobe(
    path: &str,
    site: Site,
    ret: bool,
    pid: Option<u32>,
    what: &str,
    options: &AttachOptions<'_>,
) -> Result<OwnedFd, AttachError> {
    let Some(pmu) = options.host.pmu(Pmu::Uprobe) else {
        return Err(AttachError::NotSupported {
            what: what.to_owned(),
            why: "this kernel was built without uprobes (CONFIG_UPROBE_EVENTS)".into(),
        });
    };
    // The event's config has 32 bits for it.
    if site.semaphore > u64::from(u32::MAX) {
        return Err(AttachError::NotSupported {
            what: what.to_owned(),
            why: "its semaphore is more than 4 GiB into the file".into(),
        });
    }
    let file = CString::new(path).map_err(|_| AttachError::no_such_event(what.to_owned()))?;
    let event = PerfEvent::Uprobe { pmu, ret, path: &file, offset: site.offset, semaphore: site.semaphore };
    let opened = match pid {
        Some(pid) => sys::perf_event_open(&event, pid as i32, -1),
        None => sys::perf_event_open(&event, ALL, first_cpu(options)),
    };
    opened.map_err(|e| match (e.errno, pid) {
        (libc::ESRCH, Some(pid)) => AttachError::NoSuchProcess { pid },
        _ => Errno::new(what.to_owned(), e, options.host).uprobe(path),
    })
}

pub(super) fn profile(program: BorrowedFd<'_>, rate: Rate, options: &AttachOptions<'_>) -> Result<Link, AttachError> {
    timer(program, rate, (options.host.online(), options.pid), "profile", options)
}

pub(super) fn timer(
    program: BorrowedFd<'_>,
    rate: Rate,
    (cpus, pid): (&[u32], Option<u32>),
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
    let events = on_cpus(&PerfEvent::CpuClock(period), cpus, pid).map_err(|e| match (e.errno, pid) {
        (libc::ESRCH, Some(pid)) => AttachError::NoSuchProcess { pid },
        _ => Errno::new(what.clone(), e, options.host).timer(),
    })?;
    tie(program, events, &what, options)
}

/// An event on each CPU.
fn on_cpus(event: &PerfEvent<'_>, cpus: &[u32], pid: Option<u32>) -> Result<Vec<OwnedFd>, SyscallError> {
    let mut events = Vec::with_capacity(cpus.len());
    for cpu in cpus {
        match sys::perf_event_open(event, pid.map_or(ALL, |p| p as i32), *cpu as i32) {
            Ok(fd) => events.push(fd),
            // Went offline since we looked.
            Err(SyscallError { errno: libc::ENODEV, .. }) if cpus.len() > 1 => {}
            Err(e) => return Err(e),
        }
    }
    Ok(events)
}

pub(super) fn counter(
    program: BorrowedFd<'_>,
    counter: Counter,
    period: u64,
    options: &AttachOptions<'_>,
) -> Result<Link, AttachError> {
    let (hardware, number) = match counter {
        Counter::Software(number) => (false, number),
        Counter::Hardware(number) => (true, number),
    };
    let what = format!("{} event {number}", if hardware { "hardware" } else { "software" });
    let event = PerfEvent::Count { hardware, number, period };
    let events = on_cpus(&event, options.host.online(), options.pid).map_err(|e| match (e.errno, options.pid) {
        (libc::ESRCH, Some(pid)) => AttachError::NoSuchProcess { pid },
        (libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV, _) => AttachError::NotSupported {
            what: what.clone(),
            why: "this processor (or virtual machine) doesn't count it".into(),
        },
        _ => Errno::new(what.clone(), e, options.host).timer(),
    })?;
    tie(program, events, &what, options)
}

pub(super) fn watchpoint(
    program: BorrowedFd<'_>,
    address: u64,
    len: u64,
    access: Access,
    options: &AttachOptions<'_>,
) -> Result<Link, AttachError> {
    let what = format!("watchpoint:{address:#x}");
    let bits = [
        (access.read, sys::HW_BREAKPOINT_R),
        (access.write, sys::HW_BREAKPOINT_W),
        (access.execute, sys::HW_BREAKPOINT_X),
    ];
    let access = bits.iter().filter(|(on, _)| *on).fold(0, |all, (_, bit)| all | bit);
    // The kernel wants a long's length there.
    let len = if access == sys::HW_BREAKPOINT_X { size_of::<libc::c_long>() as u64 } else { len };
    let event = PerfEvent::Breakpoint { address, len, access };
    // Of a process each thread that it has now has an event of its own; later ones inherit.
    let places: Vec<(i32, i32)> = match options.pid {
        Some(pid) => threads(pid)?.into_iter().map(|tid| (tid, -1)).collect(),
        None => options.host.online().iter().map(|cpu| (ALL, *cpu as i32)).collect(),
    };
    let mut events = Vec::with_capacity(places.len());
    let mut failed = None;
    for (pid, cpu) in places {
        match sys::perf_event_open(&event, pid, cpu) {
            Ok(fd) => events.push(fd),
            // A thread that has ended, or a CPU that went offline.
            Err(e) if matches!(e.errno, libc::ESRCH | libc::ENODEV) => failed = failed.or(Some(e)),
            Err(e) => return Err(Errno::new(what, e, options.host).watchpoint()),
        }
    }
    if let (true, Some(e)) = (events.is_empty(), failed) {
        return Err(Errno::new(what, e, options.host).watchpoint());
    }
    tie(program, events, &what, options)
}

fn threads(pid: u32) -> Result<Vec<i32>, AttachError> {
    let dir = std::fs::read_dir(format!("/proc/{pid}/task")).map_err(|_| AttachError::NoSuchProcess { pid })?;
    Ok(dir.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect())
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
