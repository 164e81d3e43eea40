//! Program images → loaded programs.

mod log;
mod reloc;
mod typed;

pub use log::{Rejection, explain};
pub use typed::{TypedTarget, loaded_programs};

use super::caps::{self, Capability};
use super::host::Host;
use super::sys::{self, AttachType, ProgParams, SyscallError, TestRun, bpf_prog_type, errno_text};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use weftrace_artifact::Artifact;
use weftrace_artifact::program::{ProgType, ProgramImage};
use weftrace_lang::world::World;

/// Functions that one link holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Many {
    /// Linux 6.6
    Uprobes,
    /// Linux 5.18
    Kprobes,
    /// Entry and return: Linux 6.13
    UprobeSession,
    /// Entry and return: Linux 6.10
    KprobeSession,
}

impl Many {
    /// By number: the newer ones have no names here.
    pub(super) fn attach_type(self) -> u32 {
        match self {
            Self::Uprobes => AttachType::BPF_TRACE_UPROBE_MULTI as u32,
            Self::Kprobes => AttachType::BPF_TRACE_KPROBE_MULTI as u32,
            Self::UprobeSession => sys::SESSION.1,
            Self::KprobeSession => sys::SESSION.0,
        }
    }
}

/// What loading asks besides the image and the maps.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    pub host: &'a Host,
    /// What the kernel is told of the program's license.
    pub license: &'a str,
    /// The artifact's texts, to name the script's line when the verifier refuses.
    pub texts: &'a [(String, String)],
    /// Answers for field relocations. None: the program was compiled on this host, just now.
    pub relocate: Option<&'a dyn World>,
    /// What a typed program is for: its context's types are chosen when it is loaded.
    pub target: Option<&'a TypedTarget>,
    /// For many uprobes by one link ([`super::attach::uprobes`]).
    pub many: Option<Many>,
}

impl<'a> Sources<'a> {
    pub fn new(host: &'a Host, texts: &'a [(String, String)]) -> Self {
        Self { host, license: "GPL", texts, relocate: None, target: None, many: None }
    }

    /// For the programs of an artifact.
    pub fn of(host: &'a Host, artifact: &'a Artifact) -> Self {
        Self { license: &artifact.options.license, ..Self::new(host, &artifact.sources) }
    }
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    /// The verifier refused: see [`Rejection`]. By design.md's invariant 10, our bug.
    #[error("{0}")]
    Rejected(Box<Rejection>),
    /// `capability` None: this process has what is needed, and the kernel refuses all the same.
    #[error("{program}: not permitted to load {} programs{}", type_name(*prog_type), match capability { Some(c) => format!(" (it needs {c})"), None => ", though this process has the capabilities".into() })]
    NotPermitted { program: String, prog_type: ProgType, capability: Option<Capability> },
    #[error("{program}: this kernel has no {what}")]
    NotSupported { program: String, what: String },
    /// The running host's types differ from the compiling host's in a way that can't be patched.
    #[error("{program}: {what}")]
    Relocation { program: String, what: String },
    #[error("{program}: {}", errno_text(source.errno))]
    Failed { program: String, source: SyscallError },
}

/// As error messages name them.
pub fn type_name(prog_type: ProgType) -> &'static str {
    match prog_type {
        ProgType::Kprobe => "kprobe",
        ProgType::Tracepoint => "tracepoint",
        ProgType::RawTracepoint => "raw tracepoint",
        ProgType::PerfEvent => "perf event",
        ProgType::TracingRawTp => "tp_btf",
        ProgType::Fentry => "fentry",
        ProgType::Fexit => "fexit",
        ProgType::Iter => "iterator",
        ProgType::SocketFilter => "socket filter",
        ProgType::Xdp => "XDP",
    }
}

fn kernel_type(prog_type: ProgType) -> (bpf_prog_type, Option<AttachType>) {
    match prog_type {
        ProgType::Kprobe => (bpf_prog_type::BPF_PROG_TYPE_KPROBE, None),
        ProgType::Tracepoint => (bpf_prog_type::BPF_PROG_TYPE_TRACEPOINT, None),
        ProgType::RawTracepoint => (bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT, None),
        ProgType::PerfEvent => (bpf_prog_type::BPF_PROG_TYPE_PERF_EVENT, None),
        ProgType::TracingRawTp => (bpf_prog_type::BPF_PROG_TYPE_TRACING, Some(AttachType::BPF_TRACE_RAW_TP)),
        ProgType::Fentry => (bpf_prog_type::BPF_PROG_TYPE_TRACING, Some(AttachType::BPF_TRACE_FENTRY)),
        ProgType::Fexit => (bpf_prog_type::BPF_PROG_TYPE_TRACING, Some(AttachType::BPF_TRACE_FEXIT)),
        ProgType::Iter => (bpf_prog_type::BPF_PROG_TYPE_TRACING, Some(AttachType::BPF_TRACE_ITER)),
        ProgType::Xdp => (bpf_prog_type::BPF_PROG_TYPE_XDP, None),
        ProgType::SocketFilter => (bpf_prog_type::BPF_PROG_TYPE_SOCKET_FILTER, None),
    }
}

/// Loads a program. `map_fds` are the artifact's maps in its order.
pub fn load(image: &ProgramImage, map_fds: &[RawFd], from: &Sources<'_>) -> Result<OwnedFd, LoadError> {
    let insns = reloc::apply(image, map_fds, from.relocate)
        .map_err(|what| LoadError::Relocation { program: image.name.clone(), what })?;
    let (prog_type, expected_attach_type) = kernel_type(image.prog_type);
    let license = CString::new(from.license).map_err(|_| LoadError::Relocation {
        program: image.name.clone(),
        what: format!("{:?} is no license", from.license),
    })?;
    let mut params = ProgParams::new(prog_type, &image.name, &insns);
    params.license = &license;
    match from.many {
        Some(many) => params.newer_attach_type = many.attach_type(),
        None => params.expected_attach_type = expected_attach_type,
    }
    let typed = if image.prog_type.is_typed() { Some(typed::resolve(image, from)?) } else { None };
    if let Some(typed) = &typed {
        params.attach_btf_id = typed.id;
        params.attach_object = typed.object();
    }
    // BTF only serves messages and tools: a kernel that doesn't take ours runs the program without.
    let btf = if image.btf.is_empty() { None } else { sys::btf_load(&image.btf).ok() };
    if let Some(btf) = &btf {
        params.btf = Some(btf.as_fd());
        params.func_info = &image.func_info;
        params.line_info = &image.line_info;
    }
    match sys::prog_load(&params, None) {
        Ok(fd) => Ok(fd),
        Err(first) if first.errno == libc::EPERM => Err(not_permitted(image, from.host)),
        // Not the verifier, though it had its say before.
        Err(first) if [libc::EMFILE, libc::ENFILE].contains(&first.errno) => {
            Err(LoadError::Failed { program: image.name.clone(), source: first })
        }
        Err(first) => with_log(image, &params, first, from),
    }
}

fn not_permitted(image: &ProgramImage, host: &Host) -> LoadError {
    LoadError::NotPermitted {
        program: image.name.clone(),
        prog_type: image.prog_type,
        capability: host.caps().lacks(&caps::for_program(image.prog_type)),
    }
}

/// Loads again with a log, made larger until it fits.
fn with_log(
    image: &ProgramImage,
    params: &ProgParams<'_>,
    first: SyscallError,
    from: &Sources<'_>,
) -> Result<OwnedFd, LoadError> {
    /// UINT_MAX >> 8 is the most that all kernels take.
    const MAX: usize = 16 << 20;
    let mut size = 64 << 10;
    loop {
        let mut log = vec![0u8; size.min(MAX - 1)];
        let error = match sys::prog_load(params, Some(&mut log)) {
            // It was something that passed, as memory pressure.
            Ok(fd) => return Ok(fd),
            Err(e) if e.errno == libc::ENOSPC && size < MAX => {
                size *= 8;
                continue;
            }
            Err(e) => e,
        };
        log.truncate(log.iter().position(|b| *b == 0).unwrap_or(log.len()));
        let text = String::from_utf8_lossy(&log).into_owned();
        if text.trim().is_empty() {
            return Err(without_log(image, if error.errno == libc::ENOSPC { first } else { error }, from.host));
        }
        return Err(LoadError::Rejected(Box::new(Rejection::new(image, text, from.texts))));
    }
}

/// The kernel refused before its verifier had anything to say.
fn without_log(image: &ProgramImage, error: SyscallError, host: &Host) -> LoadError {
    let program = image.name.clone();
    match error.errno {
        libc::EPERM | libc::EACCES => not_permitted(image, host),
        libc::EINVAL => {
            LoadError::NotSupported { program, what: format!("programs of the type {}", type_name(image.prog_type)) }
        }
        libc::E2BIG => LoadError::NotSupported {
            program,
            what: format!("room for a program of {} instructions", image.insns.len()),
        },
        _ => LoadError::Failed { program, source: error },
    }
}

/// Runs a BEGIN or END program: a raw tracepoint program that no event calls.
pub fn run_once(program: BorrowedFd<'_>) -> Result<u32, SyscallError> {
    sys::prog_test_run(program, &TestRun::default()).map(|(returned, _)| returned)
}
