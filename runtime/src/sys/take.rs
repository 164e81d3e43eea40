//! Reading and deleting one element as one operation.
#![allow(unsafe_code, reason = "bpf(2)'s BPF_MAP_LOOKUP_AND_DELETE_ELEM, which the probes' door lacks")]

use aya_obj::generated::{bpf_attr, bpf_cmd};
use std::os::fd::{AsFd, AsRawFd};
use weftrace_probes::kernel::sys::{MapFd, SyscallError};

/// Fills `value` with the element's last state and deletes it; false: there is none. Kernels before 5.14 look up, then delete.
pub(crate) fn lookup_and_delete(map: &MapFd, key: &[u8], value: &mut [u8]) -> Result<bool, SyscallError> {
    let call = "bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM)";
    if key.len() != map.key_size() || value.len() != map.value_bytes() {
        return Err(SyscallError { call, errno: libc::EINVAL });
    }
    // SAFETY: bpf_attr is a union of plain integers; all-zero is a value of it.
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    attr.__bindgen_anon_2.map_fd = map.as_fd().as_raw_fd() as u32;
    attr.__bindgen_anon_2.key = key.as_ptr() as u64;
    attr.__bindgen_anon_2.__bindgen_anon_1.value = value.as_mut_ptr() as u64;
    // SAFETY: key and value have the sizes the kernel reads and writes (checked above) and outlive the call.
    let got = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_MAP_LOOKUP_AND_DELETE_ELEM as libc::c_long,
            &raw mut attr,
            size_of::<bpf_attr>(),
        )
    };
    if got >= 0 {
        return Ok(true);
    }
    match std::io::Error::last_os_error().raw_os_error().unwrap_or(0) {
        libc::ENOENT => Ok(false),
        libc::EINVAL | libc::EOPNOTSUPP | 524 => Ok(map.lookup(key, value)? && map.delete(key)?),
        errno => Err(SyscallError { call, errno }),
    }
}
