#![allow(unsafe_code, reason = "reads structs that the kernel filled")]
//! Objects that are loaded already: programs and type information of others, by their numbers.

use super::SyscallError;
use super::attr::{bpf, bpf_fd, zeroed};
use aya_obj::generated::{bpf_btf_info, bpf_cmd};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Program,
    Btf,
}

/// Numbers of all objects of a kind, in order.
pub fn object_ids(kind: ObjectKind) -> Result<Vec<u32>, SyscallError> {
    let (cmd, call) = match kind {
        ObjectKind::Program => (bpf_cmd::BPF_PROG_GET_NEXT_ID, "bpf(BPF_PROG_GET_NEXT_ID)"),
        ObjectKind::Btf => (bpf_cmd::BPF_BTF_GET_NEXT_ID, "bpf(BPF_BTF_GET_NEXT_ID)"),
    };
    let mut ids = Vec::new();
    let mut last = 0;
    loop {
        let mut attr = zeroed();
        attr.__bindgen_anon_6.__bindgen_anon_1.start_id = last;
        match bpf(cmd, &mut attr, call) {
            // SAFETY: the member that was written above; the kernel fills `next_id`.
            Ok(_) => last = unsafe { attr.__bindgen_anon_6.next_id },
            Err(e) if e.errno == libc::ENOENT => return Ok(ids),
            Err(e) => return Err(e),
        }
        ids.push(last);
    }
}

/// BPF_PROG_GET_FD_BY_ID
pub fn program_by_id(id: u32) -> Result<OwnedFd, SyscallError> {
    let mut attr = zeroed();
    attr.__bindgen_anon_6.__bindgen_anon_1.prog_id = id;
    bpf_fd(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut attr, "bpf(BPF_PROG_GET_FD_BY_ID)")
}

/// BPF_BTF_GET_FD_BY_ID
pub fn btf_by_id(id: u32) -> Result<OwnedFd, SyscallError> {
    let mut attr = zeroed();
    attr.__bindgen_anon_6.__bindgen_anon_1.btf_id = id;
    bpf_fd(bpf_cmd::BPF_BTF_GET_FD_BY_ID, &mut attr, "bpf(BPF_BTF_GET_FD_BY_ID)")
}

/// Type information that is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BtfInfo {
    /// `vmlinux`, a module's name; empty for programs.
    pub name: String,
    pub kernel: bool,
    pub bytes: Vec<u8>,
}

/// BPF_OBJ_GET_INFO_BY_FD of type information; with `bytes` the types themselves too.
pub fn btf_info(btf: BorrowedFd<'_>, bytes: bool) -> Result<BtfInfo, SyscallError> {
    /// Larger ones aren't asked for.
    const MAX: u32 = 64 << 20;
    let mut name = [0u8; 64];
    let ask = |data: &mut [u8], name: &mut [u8]| {
        // SAFETY: bpf_btf_info is plain integers: all-zero is a value of it.
        let mut info: bpf_btf_info = unsafe { std::mem::zeroed() };
        info.name = name.as_mut_ptr() as u64;
        info.name_len = name.len() as u32;
        if !data.is_empty() {
            info.btf = data.as_mut_ptr() as u64;
            info.btf_size = data.len() as u32;
        }
        let mut attr = zeroed();
        attr.info.bpf_fd = btf.as_raw_fd() as u32;
        attr.info.info_len = size_of::<bpf_btf_info>() as u32;
        attr.info.info = std::ptr::from_mut(&mut info) as u64;
        bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr, "bpf(BPF_OBJ_GET_INFO_BY_FD)")?;
        Ok::<_, SyscallError>((info.btf_size, info.kernel_btf != 0))
    };
    let (size, kernel) = ask(&mut [], &mut name)?;
    let mut data = if bytes { vec![0; size.min(MAX) as usize] } else { Vec::new() };
    if bytes {
        ask(&mut data, &mut name)?;
    }
    let text = CStr::from_bytes_until_nul(&name).map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(BtfInfo { name: text, kernel, bytes: data })
}

/// Events that the kernel's own part of a link's kprobes didn't see: it was in one already, or more calls were under way than it keeps
/// returns for. 0 also where a kernel before 6.7 doesn't tell. None: no link of kprobes.
pub fn missed_by_kprobes(link: BorrowedFd<'_>) -> Option<u64> {
    // enum bpf_link_type, enum bpf_perf_event_type
    const PERF_EVENT: u32 = 7;
    const KPROBE_MULTI: u32 = 8;
    const KPROBES: std::ops::RangeInclusive<u32> = 3..=4;
    // struct bpf_link_info, in words; its aya_obj form is older than what is asked for.
    let mut info = [0u64; 16];
    let mut attr = zeroed();
    attr.info.bpf_fd = link.as_raw_fd() as u32;
    attr.info.info_len = size_of_val(&info) as u32;
    attr.info.info = info.as_mut_ptr() as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr, "bpf(BPF_OBJ_GET_INFO_BY_FD)").ok()?;
    // u32 type, id, prog_id; then kprobe_multi: u64 addrs, u32 count, flags, u64 missed; or perf_event: u32 type,
    // kprobe: u64 name, u32 name_len, offset, u64 addr, missed
    let at = match info[0] as u32 {
        KPROBE_MULTI => 4,
        PERF_EVENT if KPROBES.contains(&(info[2] as u32)) => 6,
        _ => return None,
    };
    Some(info[at])
}
