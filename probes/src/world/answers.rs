//! Errors of the parts → answers, with what the operator needs to know.

use crate::kernel::Host;
use crate::kernel::btf::{Btf, BtfError};
use crate::kernel::sys::{self, AttachType, ProgParams, bpf_prog_type};
use crate::kernel::tracefs::TracefsError;
use crate::symbols::kallsyms::KallsymsError;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use weftrace_lang::world::Answer;

pub(super) fn from_btf<T>(error: &BtfError) -> Answer<T> {
    match error {
        BtfError::NotPermitted(_) => Answer::NotPermitted(error.to_string()),
        BtfError::Missing(_) | BtfError::Io(..) | BtfError::Malformed(_) => Answer::CouldNotTell(error.to_string()),
    }
}

pub(super) fn from_tracefs<T>(result: Result<T, TracefsError>) -> Answer<T> {
    let error = match result {
        Ok(found) => return Answer::Found(found),
        Err(error) => error,
    };
    let text = match error.remedy() {
        Some(remedy) => format!("{error}; {remedy}"),
        None => error.to_string(),
    };
    match error {
        TracefsError::NoSuchEvent(_) => Answer::NotThere,
        TracefsError::NotPermitted(_) => Answer::NotPermitted(text),
        TracefsError::NotMounted | TracefsError::Io(..) | TracefsError::Format(..) => Answer::CouldNotTell(text),
    }
}

pub(super) fn from_kallsyms<T>(error: &KallsymsError) -> Answer<T> {
    match error {
        KallsymsError::Hidden => Answer::NotPermitted(error.to_string()),
        KallsymsError::Io(_) | KallsymsError::List(_) => Answer::CouldNotTell(error.to_string()),
    }
}

/// An id of something in the kernel's own types, not in a module's.
pub(super) fn id(host: &Host, look: impl Fn(&Btf) -> Option<u32>) -> Answer<u32> {
    match host.btf() {
        Ok(btf) => look(btf).map_or(Answer::NotThere, Answer::Found),
        Err(e) => from_btf(&e),
    }
}

/// Whether programs of a provider may call a kernel function: the verifier says so before it looks at the arguments.
pub(super) fn kfunc_allowed(id: u32, provider: &str, host: &Host) -> Answer<bool> {
    use bpf_prog_type as T;
    let kind = match provider {
        "tracepoint" => T::BPF_PROG_TYPE_TRACEPOINT,
        "kprobe" | "kretprobe" | "uprobe" | "uretprobe" | "usdt" => T::BPF_PROG_TYPE_KPROBE,
        "interval" | "profile" | "software" | "hardware" | "watchpoint" => T::BPF_PROG_TYPE_PERF_EVENT,
        "fentry" | "fexit" | "iter" => T::BPF_PROG_TYPE_TRACING,
        _ => T::BPF_PROG_TYPE_RAW_TRACEPOINT,
    };
    // call kfunc; r0 = 0; exit
    let insns = [0x85 | 2 << 12 | u64::from(id) << 32, 0xb7, 0x95];
    let mut params = ProgParams::new(kind, "kfunc", &insns);
    if kind == T::BPF_PROG_TYPE_TRACING {
        // Any event of that type will do.
        params.expected_attach_type = Some(AttachType::BPF_TRACE_RAW_TP);
        params.attach_btf_id = host.btf().ok().and_then(|b| b.raw_tracepoint_id("sched_process_exit")).unwrap_or(0);
    }
    let mut log = vec![0u8; 16 << 10];
    match sys::prog_load(&params, Some(&mut log)) {
        Ok(_) => Answer::Found(true),
        Err(e) => {
            let text = String::from_utf8_lossy(&log);
            let text = text.trim_end_matches('\0');
            if e.errno == libc::EPERM || text.is_empty() {
                return Answer::CouldNotTell(e.to_string());
            }
            // "JIT is required for calling kernel function", "JIT does not support calling kernel function".
            Answer::Found(!text.contains("is not allowed") && !text.contains("JIT "))
        }
    }
}

/// The id of a cgroup is the inode number of its directory.
pub(super) fn cgroup_id(path: &Path) -> Answer<u64> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Answer::Found(found.ino()),
        Ok(_) => Answer::NotThere,
        Err(e) if e.kind() == ErrorKind::NotFound => Answer::NotThere,
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Answer::NotPermitted(e.to_string()),
        Err(e) => Answer::CouldNotTell(e.to_string()),
    }
}

/// Device and inode of this process's pid namespace, unless it is the initial one.
pub(super) fn pid_namespace() -> Option<(u64, u64)> {
    /// PROC_PID_INIT_INO (include/linux/proc_ns.h)
    const INITIAL: u64 = 0xefff_fffc;
    let found = std::fs::metadata("/proc/self/ns/pid").ok()?;
    (found.ino() != INITIAL).then(|| (found.dev(), found.ino()))
}

/// Names of network interfaces of this network namespace, sorted.
pub(super) fn interfaces(dir: &Path) -> Answer<Vec<String>> {
    match std::fs::read_dir(dir) {
        Ok(entries) => {
            // Plain files there (bonding_masters) aren't interfaces.
            let links = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_symlink()));
            let mut names: Vec<String> = links.filter_map(|e| e.file_name().into_string().ok()).collect();
            names.sort_unstable();
            Answer::Found(names)
        }
        Err(e) => Answer::CouldNotTell(format!("{}: {e}", dir.display())),
    }
}

/// `module:function`
pub(super) fn split_module(name: &str) -> (Option<&str>, &str) {
    name.split_once(':').map_or((None, name), |(module, function)| (Some(module), function))
}
