//! Why something could not be attached, in the operator's words.

use crate::kernel::caps::Capability;
use crate::kernel::host::Host;
use crate::kernel::sys::{SyscallError, errno_text};
use crate::kernel::tracefs::TracefsError;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    #[error("this kernel can't do {what}: {why}")]
    NotSupported { what: String, why: String },
    /// `capability` None: this process has what is needed, and the kernel refuses all the same.
    #[error("{what}: not permitted{}", needs(*capability))]
    NotPermitted { what: String, capability: Option<Capability> },
    #[error("{what} does not exist on this host")]
    NoSuchEvent { what: String, remedy: String },
    #[error("there is no process {pid}")]
    NoSuchProcess { pid: u32 },
    #[error("{what}: {source}")]
    Tracefs { what: String, source: TracefsError },
    #[error("{what} is not attached to the kernel")]
    NotKernel { what: String },
    #[error("{what} could not be attached: {why}")]
    Failed { what: String, why: String, source: SyscallError },
}

fn needs(capability: Option<Capability>) -> String {
    match capability {
        Some(capability) => format!(" (it needs {capability})"),
        None => ", though this process has the capabilities it needs (lockdown, a container's seccomp filter or the kernel's own policy)".into(),
    }
}

impl AttachError {
    pub(super) fn no_such_event(what: String) -> Self {
        let provider = what.split(':').next().unwrap_or_default();
        let remedy = format!("`weftrace list '{provider}:*'` shows what there is");
        Self::NoSuchEvent { what, remedy }
    }

    /// The reason alone, for who reads beside it which probe it is about.
    pub fn why(&self) -> String {
        match self {
            Self::NotSupported { why, .. } | Self::Failed { why, .. } => why.clone(),
            Self::NotPermitted { capability, .. } => format!("not permitted{}", needs(*capability)),
            Self::NoSuchEvent { .. } => "it does not exist on this host".into(),
            Self::NoSuchProcess { .. } => self.to_string(),
            Self::Tracefs { source, .. } => source.to_string(),
            Self::NotKernel { .. } => "it is not attached to the kernel".into(),
        }
    }

    /// What the operator can do.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::NotSupported { .. } => Some("`weftrace doctor` shows what works here".into()),
            Self::NotPermitted { capability: Some(capability), .. } => {
                Some(format!("run as root, or give the process {capability}"))
            }
            Self::NoSuchEvent { remedy, .. } => Some(remedy.clone()),
            Self::Tracefs { source, .. } => source.remedy().map(str::to_owned),
            Self::Failed { source, .. } if source.errno == libc::EMFILE => {
                Some("raise the limit of open files (ulimit -n), or attach to fewer probes".into())
            }
            Self::NotPermitted { .. } | Self::NoSuchProcess { .. } | Self::NotKernel { .. } | Self::Failed { .. } => {
                None
            }
        }
    }
}

/// A failed call on the way to attaching `what`; the methods know which errno means what at which step.
pub(super) struct Errno<'a> {
    what: String,
    source: SyscallError,
    host: &'a Host,
}

impl<'a> Errno<'a> {
    pub(super) fn new(what: String, source: SyscallError, host: &'a Host) -> Self {
        Self { what, source, host }
    }

    fn permission(self) -> AttachError {
        let needed = [Capability::Perfmon, Capability::Bpf];
        AttachError::NotPermitted { what: self.what, capability: self.host.caps().lacks(&needed) }
    }

    /// Opening a perf event: some kernels want CAP_SYS_ADMIN for it, all do for uprobes.
    fn perf_permission(self, uprobe: bool) -> AttachError {
        let mut needed = vec![Capability::Perfmon, Capability::Bpf];
        if uprobe || self.host.perf_events_need_admin() {
            needed.push(Capability::SysAdmin);
        }
        AttachError::NotPermitted { what: self.what, capability: self.host.caps().lacks(&needed) }
    }

    fn failed(self, why: &str) -> AttachError {
        let why = if why.is_empty() { errno_text(self.source.errno) } else { why.to_owned() };
        AttachError::Failed { what: self.what, why, source: self.source }
    }

    /// perf_event_open of a tracepoint.
    pub(super) fn open(self) -> AttachError {
        match self.source.errno {
            libc::EPERM | libc::EACCES => self.perf_permission(false),
            libc::ENOENT | libc::EINVAL => AttachError::no_such_event(self.what),
            _ => self.failed(""),
        }
    }

    /// perf_event_open of the kprobe PMU (kernel: trace_kprobe.c, kprobes.c).
    pub(super) fn kprobe(self) -> AttachError {
        match self.source.errno {
            libc::EPERM | libc::EACCES => self.perf_permission(false),
            libc::ENOENT => AttachError::NoSuchEvent {
                what: self.what,
                remedy: "the function may be inlined, of a module that isn't loaded, or named otherwise on this kernel"
                    .into(),
            },
            libc::EADDRNOTAVAIL => self.failed("several functions of the kernel have this name"),
            libc::EINVAL => self.failed("the kernel doesn't let this function (or offset in it) be probed"),
            libc::EILSEQ => self.failed("the offset is in the middle of an instruction"),
            _ => self.failed(""),
        }
    }

    /// perf_event_open of the uprobe PMU (kernel: trace_uprobe.c, uprobes.c).
    pub(super) fn uprobe(self, path: &str) -> AttachError {
        match self.source.errno {
            libc::EPERM | libc::EACCES => self.perf_permission(true),
            libc::ENOENT => AttachError::NoSuchEvent { what: self.what, remedy: format!("there is no file {path}") },
            libc::EINVAL => self.failed("the file isn't a regular executable, or the offset is beyond its end"),
            libc::ENOTSUP | 524 => self.failed("the kernel can't probe this instruction"),
            libc::EIO => self.failed("the file's file system can't be probed, or the offset is beyond its end"),
            _ => self.failed(""),
        }
    }

    /// perf_event_open of a software event.
    pub(super) fn timer(self) -> AttachError {
        match self.source.errno {
            libc::EPERM | libc::EACCES => self.perf_permission(false),
            libc::EINVAL => self.failed("the rate is above kernel.perf_event_max_sample_rate"),
            _ => self.failed(""),
        }
    }

    /// perf_event_open of a breakpoint.
    pub(super) fn watchpoint(self) -> AttachError {
        match self.source.errno {
            libc::EPERM | libc::EACCES => self.perf_permission(false),
            libc::ENOSPC => self.failed("all of the processor's debug registers are in use"),
            libc::EINVAL => self.failed("the address is not a multiple of the length, or the kernel forbids it"),
            libc::ENOENT | libc::EOPNOTSUPP => {
                AttachError::NotSupported { what: self.what, why: "this kernel or processor has no watchpoints".into() }
            }
            _ => self.failed(""),
        }
    }

    /// A link to an iterator.
    pub(super) fn walk(self) -> AttachError {
        match self.source.errno {
            // Older kernels don't know the words of the request that say whose tasks.
            libc::E2BIG => AttachError::NotSupported {
                what: self.what,
                why: "this kernel walks over the tasks of all processes only (of one: Linux 6.1)".into(),
            },
            libc::ESRCH => self.failed("there is no such process"),
            _ => self.link(),
        }
    }

    /// Tying a program to an open event.
    pub(super) fn link(self) -> AttachError {
        match self.source.errno {
            libc::EPERM => self.permission(),
            // The verifier doesn't know a record's length; the kernel compares here.
            libc::EACCES => self.failed("the program reads beyond the end of the event's record"),
            libc::ENOENT => AttachError::no_such_event(self.what),
            libc::EEXIST => self.failed("the event already has this program"),
            libc::E2BIG => self.failed("the event already has as many programs as the kernel allows (64)"),
            libc::EINVAL => self.failed("the program's type doesn't fit the event"),
            _ => self.failed(""),
        }
    }
}
