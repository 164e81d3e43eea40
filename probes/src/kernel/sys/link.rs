#![allow(unsafe_code, reason = "ioctl(2) has no safe wrapper")]
//! Links: what ties a loaded program to an event.

use super::SyscallError;
use super::attr::{bpf_fd, zeroed};
use aya_obj::generated::{PERF_EVENT_IOC_SET_BPF, bpf_attach_type, bpf_cmd};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

pub use aya_obj::generated::bpf_attach_type as AttachType;

/// enum of linux/bpf.h
const BPF_F_KPROBE_MULTI_RETURN: u32 = 1;
const BPF_F_UPROBE_MULTI_RETURN: u32 = 1;

/// What [`link_create`] ties to.
#[derive(Clone, Copy, Debug)]
pub enum LinkTarget<'a> {
    /// A perf event (tracepoint, kprobe, uprobe, timer).
    Perf(BorrowedFd<'a>),
    /// What the program was loaded for (`attach_btf_id`).
    Tracing,
    /// An iterator (`attach_btf_id`); of the tasks of one process, if it is given.
    Iter { pid: Option<u32> },
    /// kprobe_multi by names: pointers to NUL-terminated strings; with a cookie for each (or none); `ret`: where they return.
    KprobeMulti { names: &'a [*const libc::c_char], cookies: &'a [u64], ret: bool },
    /// uprobe_multi: file offsets in one file, with a cookie for each (or none) and the offset of a counter (or none: 0) that the kernel
    /// raises while it is probed; `ret`: where functions return; pid 0: every process.
    UprobeMulti { path: &'a CStr, offsets: &'a [u64], cookies: &'a [u64], semaphores: &'a [u64], ret: bool, pid: u32 },
}

/// Attach types of entry and return in one: of kprobes (Linux 6.10) and uprobes (6.13).
pub const SESSION: (u32, u32) = (56, 57);

/// BPF_LINK_CREATE. The link lives as long as the descriptor.
pub fn link_create(
    prog: BorrowedFd<'_>,
    target: LinkTarget<'_>,
    attach_type: bpf_attach_type,
    cookie: u64,
) -> Result<OwnedFd, SyscallError> {
    link_create_as(prog, target, attach_type as u32, cookie)
}

/// The same by the number of the attach type.
pub fn link_create_as(
    prog: BorrowedFd<'_>,
    target: LinkTarget<'_>,
    attach_type: u32,
    cookie: u64,
) -> Result<OwnedFd, SyscallError> {
    let mut attr = zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = prog.as_raw_fd() as u32;
    attr.link_create.attach_type = attach_type;
    // union bpf_iter_link_info: u32 tid, pid, pid_fd for tasks
    let mut tasks = [0u32; 4];
    match target {
        LinkTarget::Perf(fd) => {
            attr.link_create.__bindgen_anon_2.target_fd = fd.as_raw_fd() as u32;
            attr.link_create.__bindgen_anon_3.perf_event.bpf_cookie = cookie;
        }
        LinkTarget::Tracing => attr.link_create.__bindgen_anon_3.tracing.cookie = cookie,
        LinkTarget::Iter { pid: None } => {}
        LinkTarget::Iter { pid: Some(pid) } => {
            tasks[1] = pid;
            attr.link_create.__bindgen_anon_3.__bindgen_anon_1.iter_info = tasks.as_ptr() as u64;
            attr.link_create.__bindgen_anon_3.__bindgen_anon_1.iter_info_len = size_of_val(&tasks) as u32;
        }
        LinkTarget::KprobeMulti { names, cookies, ret } => {
            if !cookies.is_empty() {
                attr.link_create.__bindgen_anon_3.kprobe_multi.cookies = cookies.as_ptr() as u64;
            }
            attr.link_create.__bindgen_anon_3.kprobe_multi.flags = if ret { BPF_F_KPROBE_MULTI_RETURN } else { 0 };
            attr.link_create.__bindgen_anon_3.kprobe_multi.cnt = names.len() as u32;
            attr.link_create.__bindgen_anon_3.kprobe_multi.syms = names.as_ptr() as u64;
        }
        LinkTarget::UprobeMulti { path, offsets, cookies, semaphores, ret, pid } => {
            debug_assert!(cookies.is_empty() || cookies.len() == offsets.len());
            if cookies.len() == offsets.len() {
                attr.link_create.__bindgen_anon_3.uprobe_multi.cookies = cookies.as_ptr() as u64;
            }
            if semaphores.len() == offsets.len() {
                attr.link_create.__bindgen_anon_3.uprobe_multi.ref_ctr_offsets = semaphores.as_ptr() as u64;
            }
            attr.link_create.__bindgen_anon_3.uprobe_multi.flags = if ret { BPF_F_UPROBE_MULTI_RETURN } else { 0 };
            attr.link_create.__bindgen_anon_3.uprobe_multi.path = path.as_ptr() as u64;
            attr.link_create.__bindgen_anon_3.uprobe_multi.offsets = offsets.as_ptr() as u64;
            attr.link_create.__bindgen_anon_3.uprobe_multi.cnt = offsets.len() as u32;
            attr.link_create.__bindgen_anon_3.uprobe_multi.pid = pid;
        }
    }
    bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr, "bpf(BPF_LINK_CREATE)")
}

/// BPF_ITER_CREATE: a file whose reading walks the objects.
pub fn iter_create(link: BorrowedFd<'_>) -> Result<OwnedFd, SyscallError> {
    let mut attr = zeroed();
    attr.iter_create.link_fd = link.as_raw_fd() as u32;
    bpf_fd(bpf_cmd::BPF_ITER_CREATE, &mut attr, "bpf(BPF_ITER_CREATE)")
}

/// BPF_RAW_TRACEPOINT_OPEN. `name` None: a tracing program at the event it was loaded for. A cookie needs Linux 6.10; 0 works everywhere.
pub fn raw_tracepoint_open(name: Option<&CStr>, prog: BorrowedFd<'_>, cookie: u64) -> Result<OwnedFd, SyscallError> {
    let mut attr = zeroed();
    attr.raw_tracepoint.name = name.map_or(0, |n| n.as_ptr() as u64);
    attr.raw_tracepoint.prog_fd = prog.as_raw_fd() as u32;
    attr.raw_tracepoint.cookie = cookie;
    bpf_fd(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr, "bpf(BPF_RAW_TRACEPOINT_OPEN)")
}

/// The way before BPF_LINK_CREATE took perf events (Linux 5.15): the program stays until the event is closed.
pub fn perf_set_bpf(event: BorrowedFd<'_>, prog: BorrowedFd<'_>) -> Result<(), SyscallError> {
    // SAFETY: both are live descriptors; this request takes the program's as an integer.
    let got = unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_SET_BPF as libc::Ioctl, prog.as_raw_fd()) };
    if got < 0 { Err(SyscallError::last("ioctl(PERF_EVENT_IOC_SET_BPF)")) } else { Ok(()) }
}
