//! Trials that only `doctor` makes: programs loaded and tied to something harmless, files looked at.

use super::{
    FILTER, FUNCTION, KPROBE, NOTHING, RAW, Readiness, TRACE, TRACING, done, first_cpu, from_btf, from_tracefs, helper,
    judge, loaded, own_entry, perf_refused, refused,
};
use crate::kernel::Host;
use crate::kernel::caps::{Capability, user_id};
use crate::kernel::host::Pmu;
use crate::kernel::sys::{
    self, AttachType, LinkTarget, MapFd, MapParams, PerfEvent, Period, ProgParams, SyscallError, TestRun, bpf_map_type,
    bpf_prog_type,
};
use crate::kernel::tracefs::{Tracefs, TracefsError};
use crate::symbols::kallsyms::{self, KallsymsError};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A program that does nothing, tied to an open event.
fn tie(event: &OwnedFd, kind: bpf_prog_type, host: &Host) -> Readiness {
    done(
        loaded(&ProgParams::new(kind, "try", &NOTHING), host)
            .and_then(|program| link(event.as_fd(), program.as_fd()).map_err(|e| refused(e, host, TRACING))),
    )
}

fn link(event: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), SyscallError> {
    let linked = sys::link_create(program, LinkTarget::Perf(event), AttachType::BPF_PERF_EVENT, 0).map(drop);
    linked.or_else(|_| sys::perf_set_bpf(event, program))
}

/// Opens an event and ties a program to it.
fn event(
    event: &PerfEvent<'_>,
    (pid, cpu): (i32, i32),
    kind: bpf_prog_type,
    needed: &[Capability],
    host: &Host,
) -> Readiness {
    match sys::perf_event_open(event, pid, cpu) {
        Ok(event) => tie(&event, kind, host),
        Err(e) => perf_refused(e, host, needed),
    }
}

pub(super) fn kprobe(host: &Host, ret: bool) -> Readiness {
    let Some(pmu) = host.pmu(Pmu::Kprobe) else {
        return Readiness::Unsupported("this kernel was built without kprobes (CONFIG_KPROBES)".into());
    };
    let probe = PerfEvent::Kprobe { pmu, ret, function: FUNCTION, offset: 0 };
    event(&probe, (-1, first_cpu(host)), KPROBE, TRACING, host)
}

pub(super) fn kprobe_session(host: &Host) -> Readiness {
    let params = ProgParams { newer_attach_type: sys::SESSION.0, ..ProgParams::new(KPROBE, "try", &NOTHING) };
    done(loaded(&params, host).and_then(|program| {
        let names = [FUNCTION.as_ptr()];
        let target = LinkTarget::KprobeMulti { names: &names, cookies: &[], ret: false };
        sys::link_create_as(program.as_fd(), target, sys::SESSION.0, 0).map_err(|e| refused(e, host, TRACING))
    }))
}

pub(super) fn fentry(host: &Host, exit: bool) -> Readiness {
    let btf = match host.btf() {
        Ok(btf) => btf,
        Err(e) => return from_btf(&e),
    };
    let Some(id) = btf.function_id(&FUNCTION.to_string_lossy()) else {
        return Readiness::CouldNotTell("the type information lacks the function to try".into());
    };
    let mut params = ProgParams::new(TRACE, "try", &NOTHING);
    params.expected_attach_type = Some(if exit { AttachType::BPF_TRACE_FEXIT } else { AttachType::BPF_TRACE_FENTRY });
    params.attach_btf_id = id;
    done(
        loaded(&params, host)
            .and_then(|prog| sys::raw_tracepoint_open(None, prog.as_fd(), 0).map_err(|e| refused(e, host, TRACING))),
    )
}

/// By a perf event, or, where that needs what isn't here, by a link.
pub(super) fn uprobe(host: &Host, ret: bool) -> Readiness {
    let by_event = uprobe_event(host, ret);
    if by_event != Readiness::Ready && uprobe_link(host, ret) == Readiness::Ready {
        return Readiness::Ready;
    }
    by_event
}

fn uprobe_event(host: &Host, ret: bool) -> Readiness {
    let Some(pmu) = host.pmu(Pmu::Uprobe) else {
        return Readiness::Unsupported("this kernel was built without uprobes (CONFIG_UPROBE_EVENTS)".into());
    };
    let (path, offset) = match own_entry() {
        Ok(found) => found,
        Err(not) => return not,
    };
    let probe = PerfEvent::Uprobe { pmu, ret, path: &path, offset, semaphore: 0 };
    let needed = [Capability::Bpf, Capability::Perfmon, Capability::SysAdmin];
    event(&probe, (std::process::id() as i32, -1), KPROBE, &needed, host)
}

fn uprobe_link(host: &Host, ret: bool) -> Readiness {
    let mut params = ProgParams::new(KPROBE, "try", &NOTHING);
    params.expected_attach_type = Some(AttachType::BPF_TRACE_UPROBE_MULTI);
    own_uprobe(&params, AttachType::BPF_TRACE_UPROBE_MULTI as u32, ret, host)
}

pub(super) fn uprobe_session(host: &Host) -> Readiness {
    let params = ProgParams { newer_attach_type: sys::SESSION.1, ..ProgParams::new(KPROBE, "try", &NOTHING) };
    own_uprobe(&params, sys::SESSION.1, false, host)
}

/// A link to the entry point of this very program, of this process only.
fn own_uprobe(params: &ProgParams<'_>, attach_type: u32, ret: bool, host: &Host) -> Readiness {
    let (path, offset) = match own_entry() {
        Ok(found) => found,
        Err(not) => return not,
    };
    done(loaded(params, host).and_then(|program| {
        let target = LinkTarget::UprobeMulti {
            path: &path,
            offsets: &[offset],
            cookies: &[],
            semaphores: &[],
            ret,
            pid: std::process::id(),
        };
        sys::link_create_as(program.as_fd(), target, attach_type, 0).map_err(|e| refused(e, host, TRACING))
    }))
}

/// The kernel says so in the description of its event.
pub(super) fn semaphores(host: &Host) -> Readiness {
    match std::fs::metadata("/sys/bus/event_source/devices/uprobe/format/ref_ctr_offset") {
        Ok(_) => Readiness::Ready,
        Err(_) if uprobe_link(host, false) == Readiness::Ready => Readiness::Ready,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Readiness::Unsupported("uprobes of this kernel have no counters (Linux 4.20)".into())
        }
        Err(e) => Readiness::CouldNotTell(e.to_string()),
    }
}

pub(super) fn timer(host: &Host) -> Readiness {
    let clock = PerfEvent::CpuClock(Period::Ns(1_000_000_000));
    event(&clock, (-1, first_cpu(host)), bpf_prog_type::BPF_PROG_TYPE_PERF_EVENT, TRACING, host)
}

pub(super) fn counter(host: &Host, hardware: bool) -> Readiness {
    // PERF_COUNT_SW_CONTEXT_SWITCHES, PERF_COUNT_HW_CPU_CYCLES
    let number = if hardware { 0 } else { 3 };
    let count = PerfEvent::Count { hardware, number, period: 1_000_000 };
    match event(&count, (-1, first_cpu(host)), bpf_prog_type::BPF_PROG_TYPE_PERF_EVENT, TRACING, host) {
        Readiness::Unsupported(_) => Readiness::Unsupported("this processor, or virtual machine, doesn't count".into()),
        other => other,
    }
}

/// At a variable of our own, in this process.
pub(super) fn watchpoint(host: &Host) -> Readiness {
    static WATCHED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let address = std::ptr::from_ref(&WATCHED) as u64;
    let point = PerfEvent::Breakpoint { address, len: 8, access: sys::HW_BREAKPOINT_W };
    let own = (std::process::id() as i32, -1);
    event(&point, own, bpf_prog_type::BPF_PROG_TYPE_PERF_EVENT, TRACING, host)
}

/// Over all tasks, or those of one process.
pub(super) fn iterator(host: &Host, pid: Option<u32>) -> Readiness {
    let btf = match host.btf() {
        Ok(btf) => btf,
        Err(e) => return from_btf(&e),
    };
    let Some(id) = btf.function_id("bpf_iter_task") else {
        return Readiness::Unsupported("the kernel has no iterator over tasks (Linux 5.8)".into());
    };
    let mut params = ProgParams::new(TRACE, "try", &NOTHING);
    params.expected_attach_type = Some(AttachType::BPF_TRACE_ITER);
    params.attach_btf_id = id;
    done(loaded(&params, host).and_then(|program| {
        sys::link_create(program.as_fd(), LinkTarget::Iter { pid }, AttachType::BPF_TRACE_ITER, 0)
            .map_err(|e| refused(e, host, TRACING))
    }))
}

/// A program on a packet socket that receives nothing.
pub(super) fn packet_filter(host: &Host) -> Readiness {
    let socket = match sys::packet_socket() {
        Ok(socket) => socket,
        Err(e) => return refused(e, host, &[Capability::NetRaw]),
    };
    done(loaded(&ProgParams::new(FILTER, "try", &NOTHING), host).and_then(|program| {
        sys::packet_filter(socket.as_fd(), program.as_fd()).map_err(|e| refused(e, host, &[Capability::Bpf]))
    }))
}

fn map(kind: bpf_map_type, key: u32, value: u32, host: &Host) -> Readiness {
    let params = MapParams { kind, key_size: key, value_size: value, max_entries: 16, flags: 0, name: "try" };
    judge(&MapFd::create(&params), host, &[Capability::Bpf])
}

pub(super) fn maps(host: &Host) -> Readiness {
    map(bpf_map_type::BPF_MAP_TYPE_PERCPU_HASH, 8, 8, host)
}

pub(super) fn stacks(host: &Host) -> Readiness {
    match map(bpf_map_type::BPF_MAP_TYPE_STACK_TRACE, 4, 64, host) {
        // bpf_get_stackid
        Readiness::Ready => helper(host, 27),
        other => other,
    }
}

/// bpf_task_pt_regs: where a user stack begins.
pub(super) fn task_registers(host: &Host) -> Readiness {
    helper(host, 175)
}

pub(super) fn run_by_hand(host: &Host) -> Readiness {
    done(loaded(&ProgParams::new(RAW, "try", &NOTHING), host).and_then(|program| {
        sys::prog_test_run(program.as_fd(), &TestRun::default()).map_err(|e| refused(e, host, TRACING))
    }))
}

pub(super) fn btf(host: &Host) -> Readiness {
    host.btf().map_or_else(|e| from_btf(&e), |_| Readiness::Ready)
}

pub(super) fn module_btf(host: &Host) -> Readiness {
    let there = std::fs::read_dir("/sys/kernel/btf")
        .map_or(0, |all| all.flatten().filter(|entry| entry.file_name() != "vmlinux").count());
    let read = host.module_btf().len();
    match (there, read) {
        (0, _) => Readiness::Unsupported("no module that is loaded has types".into()),
        (_, 0) => Readiness::CouldNotTell(format!("types of {there} modules are there and could not be read")),
        // Attaching takes them by their number.
        _ => {
            let ids = sys::object_ids(sys::ObjectKind::Btf);
            let opened = ids.and_then(|ids| ids.first().map_or(Ok(()), |id| sys::btf_by_id(*id).map(drop)));
            judge(&opened, host, &[Capability::SysAdmin])
        }
    }
}

pub(super) fn tracefs(host: &Host) -> Readiness {
    match host.tracefs().and_then(|fs| fs.list("sched", "*").map(drop)) {
        Ok(()) => Readiness::Ready,
        Err(e) => from_tracefs(&e, host),
    }
}

/// The list that tells which functions wildcards may match; without it those of kallsyms are tried.
pub(super) fn traceable(host: &Host) -> Readiness {
    match host.tracefs().and_then(Tracefs::traceable_functions) {
        Ok(_) => Readiness::Ready,
        Err(TracefsError::NotPermitted(_)) if host.caps().has(Capability::DacReadSearch) => {
            Readiness::NotPermitted { lacks: Vec::new(), why: "available_filter_functions can't be read".into() }
        }
        Err(e) => from_tracefs(&e, host),
    }
}

pub(super) fn kernel_symbols(host: &Host) -> Readiness {
    match kallsyms::address_of("_stext") {
        Ok(Some(_)) => Readiness::Ready,
        Ok(None) => Readiness::CouldNotTell("/proc/kallsyms has no _stext".into()),
        Err(KallsymsError::Hidden) => Readiness::NotPermitted {
            lacks: host.caps().lacks_all(&[Capability::Syslog]),
            why: "/proc/kallsyms shows no addresses (kernel.kptr_restrict)".into(),
        },
        Err(e) => Readiness::CouldNotTell(e.to_string()),
    }
}

/// Asked of processes that aren't ours, until one lets us: some are closed to everybody.
pub(super) fn processes(host: &Host) -> Readiness {
    const ENOUGH: usize = 64;
    let own = user_id();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Readiness::CouldNotTell("/proc can't be read".into()) };
    let others = entries.flatten().filter(|e| {
        let number = e.file_name().to_str().is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        number && (own == 0 || e.metadata().is_ok_and(|m| m.uid() != own))
    });
    let mut denied = None;
    for other in others.take(ENOUGH) {
        match std::fs::read(other.path().join("maps")) {
            // Threads of the kernel have none.
            Ok(text) if text.is_empty() => {}
            Ok(_) => return Readiness::Ready,
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => denied = Some(other.path()),
            Err(_) => {}
        }
    }
    match denied {
        Some(path) => Readiness::NotPermitted {
            lacks: host.caps().lacks_all(&[Capability::SysPtrace]),
            why: format!("{}/maps may not be read", path.display()),
        },
        None => Readiness::CouldNotTell("there is no process of another user to try".into()),
    }
}

pub(super) fn debug_files(_: &Host) -> Readiness {
    const PLACES: [&str; 2] = ["/usr/lib/debug", "/usr/local/lib/debug"];
    let any = |place: &&str| std::fs::read_dir(Path::new(place)).is_ok_and(|mut entries| entries.next().is_some());
    if PLACES.iter().any(any) {
        return Readiness::Ready;
    }
    Readiness::Unsupported("no separate debug information is installed (/usr/lib/debug)".into())
}
