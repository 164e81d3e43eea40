//! What this kernel can do, found by trying: the smallest program, event or link of each kind, closed again at once.

mod checks;
mod more;
mod report;
mod settings;

pub use checks::{CHECKS, Check, Group, all};
pub use report::{Report, report};
pub use settings::{Setting, settings};

use super::caps::Capability;
use super::host::{Host, Pmu};
use super::sys::{
    self, AttachType, LinkTarget, MapFd, MapParams, PerfEvent, Period, ProgParams, SyscallError, bpf_map_type,
    bpf_prog_type,
};
use crate::symbols::elf;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use weftrace_lang::world::Feature;

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// The kernel hasn't got it, and why we think so.
    Unsupported(String),
    /// The kernel would not let us. `lacks` empty: we have what is needed, and it refuses all the same.
    NotPermitted {
        lacks: Vec<Capability>,
        why: String,
    },
    CouldNotTell(String),
}

/// Tries one.
pub fn try_feature(feature: Feature, host: &Host) -> Readiness {
    match feature {
        Feature::Tracepoint => tracepoint(host),
        Feature::RawTracepoint => raw_tracepoint(host),
        Feature::TracepointBtf => tracepoint_btf(host),
        Feature::Kprobe => kprobe(host),
        Feature::KprobeMulti => kprobe_multi(host),
        Feature::Fentry => more::fentry(host, false),
        Feature::Uprobe => uprobe(host),
        Feature::UprobeMulti => uprobe_multi(host),
        Feature::PerfEvent => judge(
            &sys::perf_event_open(&PerfEvent::CpuClock(Period::Ns(1_000_000_000)), -1, first_cpu(host)),
            host,
            TRACING,
        ),
        Feature::PacketSocket => judge(&sys::packet_socket(), host, &[Capability::NetRaw]),
        Feature::PacketFilter => match more::maps(host) {
            Readiness::Ready => more::packet_filter(host),
            not => not,
        },
        Feature::Ringbuf => ringbuf(host),
        Feature::BpfLoop => helper(host, 181),
        Feature::AttachCookie => program(host, KPROBE, &call(174)),
        Feature::SocketCookie => socket_cookie(host),
        Feature::SignedDiv => program(host, FILTER, &SIGNED_DIV),
        Feature::IterOfProcess => more::iterator(host, Some(std::process::id())),
        Feature::AtomicFetch => program(host, KPROBE, &ATOMIC_FETCH),
        Feature::CurrentTask => helper(host, 158),
    }
}

const TRACING: &[Capability] = &[Capability::Bpf, Capability::Perfmon];
/// A tracepoint that every kernel has.
const EVENT: &str = "sched_process_exit";
/// A function that every kernel has, not inlined, and that nothing calls while we try.
const FUNCTION: &std::ffi::CStr = c"kernel_restart";

const KPROBE: bpf_prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE;
const RAW: bpf_prog_type = bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT;
const TRACE: bpf_prog_type = bpf_prog_type::BPF_PROG_TYPE_TRACING;
const FILTER: bpf_prog_type = bpf_prog_type::BPF_PROG_TYPE_SOCKET_FILTER;

/// One eBPF instruction.
pub(super) const fn insn(opcode: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    opcode as u64 | (dst as u64) << 8 | (src as u64) << 12 | (off as u16 as u64) << 16 | (imm as u32 as u64) << 32
}
/// r0 = imm
const fn ret(imm: i32) -> u64 {
    insn(0xb7, 0, 0, 0, imm)
}
const EXIT: u64 = insn(0x95, 0, 0, 0, 0);
const NOTHING: [u64; 2] = [ret(0), EXIT];

/// A helper that takes the context.
const fn call(helper: i32) -> [u64; 3] {
    [insn(0x85, 0, 0, 0, helper), ret(0), EXIT]
}

/// r0 = 6; r1 = -2; r0 s/= r1
const SIGNED_DIV: [u64; 4] = [ret(6), insn(0xb7, 1, 0, 0, -2), insn(0x3f, 0, 1, 1, 0), EXIT];

/// r1 = 0; *(u64 *)(r10 - 8) = r1; r1 = fetch_add(r10 - 8, r1)
const ATOMIC_FETCH: [u64; 5] =
    [insn(0xb7, 1, 0, 0, 0), insn(0x7b, 10, 1, -8, 0), insn(0xdb, 10, 1, -8, 1), ret(0), EXIT];

fn first_cpu(host: &Host) -> i32 {
    host.online()[0] as i32
}

/// A failure → what it says about the feature.
fn refused(error: SyscallError, host: &Host, needed: &[Capability]) -> Readiness {
    match error.errno {
        libc::EPERM | libc::EACCES => {
            Readiness::NotPermitted { lacks: host.caps().lacks_all(needed), why: error.to_string() }
        }
        // E2BIG: a part of the request that the kernel doesn't know.
        libc::EINVAL
        | libc::E2BIG
        | libc::ENOSYS
        | libc::EOPNOTSUPP
        | libc::ENOENT
        | libc::ENODEV
        | libc::EPROTONOSUPPORT
        | libc::EAFNOSUPPORT
        | 524 => Readiness::Unsupported(error.to_string()),
        _ => Readiness::CouldNotTell(error.to_string()),
    }
}

/// The same of a perf event: some kernels want more for those.
fn perf_refused(error: SyscallError, host: &Host, needed: &[Capability]) -> Readiness {
    let mut needed = needed.to_vec();
    if error.is_permission() && host.perf_events_need_admin() {
        needed.push(Capability::SysAdmin);
    }
    refused(error, host, &needed)
}

fn judge<T>(result: &Result<T, SyscallError>, host: &Host, needed: &[Capability]) -> Readiness {
    match result {
        Ok(_) => Readiness::Ready,
        Err(e) => refused(*e, host, needed),
    }
}

/// A program that only is loaded: whether the verifier knows what it uses. EACCES is the verifier's no, not a permission.
fn loaded(params: &ProgParams<'_>, host: &Host) -> Result<OwnedFd, Readiness> {
    sys::prog_load(params, None).map_err(|e| match e.errno {
        libc::EACCES => Readiness::Unsupported("the kernel's verifier doesn't know it".into()),
        _ => refused(e, host, TRACING),
    })
}

fn done<T>(result: Result<T, Readiness>) -> Readiness {
    result.map_or_else(|not| not, |_| Readiness::Ready)
}

/// Whether tracing programs load at all.
pub(super) fn can_load_tracing(host: &Host) -> bool {
    program(host, KPROBE, &NOTHING) == Readiness::Ready
}

fn program(host: &Host, prog_type: bpf_prog_type, insns: &[u64]) -> Readiness {
    done(loaded(&ProgParams::new(prog_type, "try", insns), host))
}

/// A helper is known if the verifier gets as far as looking at its (missing) arguments: EACCES; or if it needs none. It says EINVAL to unknown ones.
fn helper(host: &Host, number: i32) -> Readiness {
    let insns = [insn(0xb7, 1, 0, 0, 0), insn(0x85, 0, 0, 0, number), ret(0), EXIT];
    match sys::prog_load(&ProgParams::new(KPROBE, "try", &insns), None) {
        Err(e) if e.errno == libc::EACCES => Readiness::Ready,
        other => judge(&other, host, TRACING),
    }
}

fn tracepoint(host: &Host) -> Readiness {
    let id = match host.tracefs().and_then(|fs| fs.id("sched", EVENT)) {
        Ok(id) => id,
        Err(e) => return from_tracefs(&e, host),
    };
    let event = match sys::perf_event_open(&PerfEvent::Tracepoint { id }, -1, first_cpu(host)) {
        Ok(event) => event,
        Err(e) => return perf_refused(e, host, TRACING),
    };
    let params = ProgParams::new(bpf_prog_type::BPF_PROG_TYPE_TRACEPOINT, "try", &NOTHING);
    done(loaded(&params, host).and_then(|prog| {
        let linked =
            sys::link_create(prog.as_fd(), LinkTarget::Perf(event.as_fd()), AttachType::BPF_PERF_EVENT, 0).map(drop);
        linked.or_else(|_| sys::perf_set_bpf(event.as_fd(), prog.as_fd())).map_err(|e| refused(e, host, TRACING))
    }))
}

fn from_tracefs(error: &super::tracefs::TracefsError, host: &Host) -> Readiness {
    use super::tracefs::TracefsError as E;
    match error {
        E::NotPermitted(_) => {
            Readiness::NotPermitted { lacks: vec![Capability::DacReadSearch], why: error.to_string() }
        }
        // Then each run makes one of its own, if it may.
        E::NotMounted if !host.caps().has(Capability::SysAdmin) => Readiness::NotPermitted {
            lacks: vec![Capability::SysAdmin, Capability::DacReadSearch],
            why: "tracefs is not mounted; as root: mount -t tracefs tracefs /sys/kernel/tracing".into(),
        },
        E::NoSuchEvent(_) => Readiness::Unsupported(error.to_string()),
        E::NotMounted | E::Io(..) | E::Format(..) => Readiness::CouldNotTell(error.to_string()),
    }
}

fn raw_tracepoint(host: &Host) -> Readiness {
    let name = CString::new(EVENT).unwrap_or_default();
    done(
        loaded(&ProgParams::new(RAW, "try", &NOTHING), host).and_then(|prog| {
            sys::raw_tracepoint_open(Some(&name), prog.as_fd(), 0).map_err(|e| refused(e, host, TRACING))
        }),
    )
}

/// A tracing program at a raw tracepoint by type.
fn typed(host: &Host, event: &str, insns: &[u64]) -> Result<OwnedFd, Readiness> {
    let btf = host.btf().map_err(|e| from_btf(&e))?;
    let Some(id) = btf.raw_tracepoint_id(event) else {
        return Err(Readiness::Unsupported(format!("the type information has no tracepoint {event}")));
    };
    let mut params = ProgParams::new(TRACE, "try", insns);
    params.expected_attach_type = Some(AttachType::BPF_TRACE_RAW_TP);
    params.attach_btf_id = id;
    loaded(&params, host)
}

fn from_btf(error: &super::btf::BtfError) -> Readiness {
    use super::btf::BtfError as E;
    match error {
        E::Missing(_) => Readiness::Unsupported(error.to_string()),
        E::NotPermitted(_) => {
            Readiness::NotPermitted { lacks: vec![Capability::DacReadSearch], why: error.to_string() }
        }
        E::Io(..) | E::Malformed(_) => Readiness::CouldNotTell(error.to_string()),
    }
}

fn tracepoint_btf(host: &Host) -> Readiness {
    done(
        typed(host, EVENT, &NOTHING)
            .and_then(|prog| sys::raw_tracepoint_open(None, prog.as_fd(), 0).map_err(|e| refused(e, host, TRACING))),
    )
}

/// r1 = the tracepoint's struct sock *; bpf_get_socket_cookie(r1)
fn socket_cookie(host: &Host) -> Readiness {
    let insns = [insn(0x79, 1, 1, 0, 0), insn(0x85, 0, 0, 0, 46), ret(0), EXIT];
    done(typed(host, "tcp_destroy_sock", &insns))
}

fn kprobe(host: &Host) -> Readiness {
    let Some(pmu) = host.pmu(Pmu::Kprobe) else {
        return Readiness::Unsupported("this kernel was built without kprobes (CONFIG_KPROBES)".into());
    };
    let event = PerfEvent::Kprobe { pmu, ret: false, function: FUNCTION, offset: 0 };
    judge(&sys::perf_event_open(&event, -1, first_cpu(host)), host, TRACING)
}

fn kprobe_multi(host: &Host) -> Readiness {
    let mut params = ProgParams::new(KPROBE, "try", &NOTHING);
    params.expected_attach_type = Some(AttachType::BPF_TRACE_KPROBE_MULTI);
    done(loaded(&params, host).and_then(|prog| {
        let names = [FUNCTION.as_ptr()];
        sys::link_create(
            prog.as_fd(),
            LinkTarget::KprobeMulti { names: &names, cookies: &[], ret: false },
            AttachType::BPF_TRACE_KPROBE_MULTI,
            0,
        )
        .map_err(|e| refused(e, host, TRACING))
    }))
}

/// The entry point of this very program: it has run once and won't again.
fn own_entry() -> Result<(CString, u64), Readiness> {
    let path = std::path::Path::new("/proc/self/exe");
    let offset = elf::entry_offset(path).map_err(|e| Readiness::CouldNotTell(format!("own executable: {e}")))?;
    Ok((CString::new("/proc/self/exe").unwrap_or_default(), offset))
}

fn uprobe(host: &Host) -> Readiness {
    let Some(pmu) = host.pmu(Pmu::Uprobe) else {
        return Readiness::Unsupported("this kernel was built without uprobes (CONFIG_UPROBE_EVENTS)".into());
    };
    let (path, offset) = match own_entry() {
        Ok(found) => found,
        Err(not) => return not,
    };
    let event = PerfEvent::Uprobe { pmu, ret: false, path: &path, offset, semaphore: 0 };
    judge(&sys::perf_event_open(&event, std::process::id() as i32, -1), host, TRACING)
}

fn uprobe_multi(host: &Host) -> Readiness {
    let (path, offset) = match own_entry() {
        Ok(found) => found,
        Err(not) => return not,
    };
    let mut params = ProgParams::new(KPROBE, "try", &NOTHING);
    params.expected_attach_type = Some(AttachType::BPF_TRACE_UPROBE_MULTI);
    done(loaded(&params, host).and_then(|prog| {
        let target = LinkTarget::UprobeMulti {
            path: &path,
            offsets: &[offset],
            cookies: &[],
            semaphores: &[],
            ret: false,
            pid: std::process::id(),
        };
        sys::link_create(prog.as_fd(), target, AttachType::BPF_TRACE_UPROBE_MULTI, 0)
            .map_err(|e| refused(e, host, TRACING))
    }))
}

fn ringbuf(host: &Host) -> Readiness {
    let kind = bpf_map_type::BPF_MAP_TYPE_RINGBUF;
    let params = MapParams { kind, key_size: 0, value_size: 0, max_entries: 4096, flags: 0, name: "try" };
    judge(&MapFd::create(&params), host, &[Capability::Bpf])
}
