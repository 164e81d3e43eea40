#![allow(unsafe_code, reason = "bpf(2) has no safe wrapper")]
//! The bpf(2) call itself.

use super::SyscallError;
use super::host::want_locked_memory;
use aya_obj::generated::{bpf_attr, bpf_cmd};
use std::os::fd::{FromRawFd, OwnedFd};

/// How often a call that the kernel interrupted is repeated: BPF_PROG_LOAD gives EAGAIN when a signal is pending.
const RETRIES: u32 = 5;

/// All members zero, as the kernel wants unused ones.
pub(super) fn zeroed() -> bpf_attr {
    // SAFETY: bpf_attr is a union of structs of plain integers: all-zero bytes are a value of each.
    unsafe { std::mem::zeroed() }
}

/// Calls bpf(2). Pointers in `attr` must be valid for what `cmd` reads and writes: every caller in this folder builds them
/// from slices that it holds over the call.
pub(super) fn bpf(cmd: bpf_cmd, attr: &mut bpf_attr, call: &'static str) -> Result<u32, SyscallError> {
    for attempt in 0.. {
        // SAFETY: attr is a live bpf_attr of the size passed; the pointers in it are valid by this function's contract.
        let got = unsafe {
            libc::syscall(libc::SYS_bpf, cmd as libc::c_long, std::ptr::from_mut(attr), size_of::<bpf_attr>())
        };
        if got >= 0 {
            return Ok(got as u32);
        }
        let error = SyscallError::last(call);
        let counts = matches!(cmd, bpf_cmd::BPF_MAP_CREATE | bpf_cmd::BPF_PROG_LOAD);
        if error.errno == libc::EPERM && counts && want_locked_memory() {
            continue;
        }
        if !matches!(error.errno, libc::EAGAIN | libc::EINTR) || attempt >= RETRIES {
            return Err(error);
        }
    }
    unreachable!("the loop above returns")
}

/// For the commands that return a descriptor.
pub(super) fn bpf_fd(cmd: bpf_cmd, attr: &mut bpf_attr, call: &'static str) -> Result<OwnedFd, SyscallError> {
    let fd = bpf(cmd, attr, call)?;
    // SAFETY: the callers pass commands that return a new descriptor, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Copies a name as the kernel's BPF objects allow it: at most 15 of `[A-Za-z0-9_.]`, NUL-terminated.
pub(super) fn object_name(name: &str) -> [libc::c_char; 16] {
    let mut out = [0 as libc::c_char; 16];
    for (slot, byte) in out.iter_mut().take(15).zip(name.trim_start_matches('@').bytes()) {
        let keep = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        *slot = if keep { byte } else { b'_' } as libc::c_char;
    }
    out
}
