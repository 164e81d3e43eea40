//! The one door to the kernel: bpf(2), perf_event_open(2), ioctl(2), mmap(2), setns(2), the mount calls,
//! netlink, capabilities and the helper process.
//!
//! Every function returns owned descriptors (close-on-exec) or a [`SyscallError`]. Nothing here knows scripts, plans or maps'
//! meanings. The files of this folder are the only ones of `kernel` with `unsafe`.

mod attr;
mod capability;
mod device;
mod helper;
mod host;
mod link;
mod map;
mod netlink;
mod object;
mod perf;
mod prog;
mod task_events;

pub use capability::{
    CapSets, clear_ambient_set, drop_from_bounding_set, knows_capability, no_new_privileges, root_is_nobody,
};
pub use device::{BoundDevice, be_promiscuous, bind_to_device, bound_device, device_of_socket};
pub use helper::{Forked, end_child, exit_now, fork_with_channel, in_root_address, place_in_root, receive, send};
pub use host::{
    Classic, Mapping, clock_boottime, clock_thread_cpu, device_index, enter_namespace, network_namespace,
    packet_filter, packet_socket, private_tracefs, refuse_all, socket_filter, want_descriptors,
};
pub use link::{
    AttachType, LinkTarget, SESSION, iter_create, link_create, link_create_as, perf_set_bpf, raw_tracepoint_open,
};
pub use map::{Batch, BatchCursor, MapFd, MapParams, Update};
pub use netlink::{Netlink, Received};
pub use object::{BtfInfo, ObjectKind, btf_by_id, btf_info, missed_by_kprobes, object_ids, program_by_id};
pub use perf::{HW_BREAKPOINT_R, HW_BREAKPOINT_W, HW_BREAKPOINT_X, PerfEvent, Period, perf_enable, perf_event_open};
pub use prog::{
    AttachObject, ProgInfo, ProgParams, TestRun, btf_load, enable_stats, prog_info, prog_load, prog_test_run,
};
pub use task_events::{TaskEvents, readable, wait_readable};

pub use aya_obj::generated::{bpf_attach_type, bpf_map_type, bpf_prog_type};

/// A system call that failed: which, and `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {}", errno_text(*errno))]
pub struct SyscallError {
    /// As in the manual: `bpf(BPF_PROG_LOAD)`, `perf_event_open`.
    pub call: &'static str,
    pub errno: i32,
}

impl SyscallError {
    /// The last error of this thread.
    pub(crate) fn last(call: &'static str) -> Self {
        Self { call, errno: std::io::Error::last_os_error().raw_os_error().unwrap_or(0) }
    }

    /// EPERM or EACCES.
    pub fn is_permission(self) -> bool {
        matches!(self.errno, libc::EPERM | libc::EACCES)
    }
}

/// `Operation not permitted`, without Rust's `(os error 1)`.
pub fn errno_text(errno: i32) -> String {
    // 524: ENOTSUPP, kernel-internal, but it escapes from several BPF paths; libc has no text for it.
    if errno == 524 {
        return "Operation not supported".into();
    }
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    match text.rfind(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
