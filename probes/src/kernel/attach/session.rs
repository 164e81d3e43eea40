//! Sessions: a function's entry and its return by one link (kernel functions Linux 6.10, programs' 6.13).
//!
//! The kernel runs one program at both ends. Ours are two, so the link's own does no more than go to the one whose turn it is. Each is
//! loaded for sessions ([`Many::KprobeSession`], [`Many::UprobeSession`]).

use super::{AttachError, Host, Kprobes, Link, Uprobes, error::Errno};
use crate::kernel::{
    feature::insn,
    program::Many,
    sys::{self, LinkTarget, MapFd, MapParams, ProgParams, SyscallError, Update, bpf_map_type, bpf_prog_type},
};
use std::{
    ffi::CString,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

/// The kernel's function that tells which end it is.
const IS_RETURN: &str = "bpf_session_is_return";

/// The programs of both ends.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    pub entry: BorrowedFd<'a>,
    pub ret: BorrowedFd<'a>,
}

/// Attaches both ends to functions of one file.
pub fn uprobe_session(ends: Ends<'_>, all: &Uprobes<'_>, host: &Host) -> Result<Link, AttachError> {
    let what = format!("a session on {} functions of {}", all.sites.len(), all.path);
    let path = CString::new(all.path).map_err(|_| AttachError::no_such_event(what.clone()))?;
    let offsets: Vec<u64> = all.sites.iter().map(|(offset, _)| *offset).collect();
    let target = LinkTarget::UprobeMulti {
        path: &path,
        offsets: &offsets,
        cookies: &[],
        semaphores: &all.semaphores,
        ret: false,
        pid: all.pid.unwrap_or(0),
    };
    session(ends, Many::UprobeSession, target, host).map_err(|e| Errno::new(what, e, host).uprobe(all.path))
}

/// Attaches both ends to functions of the kernel. One that can't be traced fails all.
pub fn kprobe_session(ends: Ends<'_>, all: &Kprobes<'_>, host: &Host) -> Result<Link, AttachError> {
    let what = format!("a session on {} functions of the kernel", all.functions.len());
    let names: Result<Vec<CString>, _> = all.functions.iter().map(|(name, _)| CString::new(*name)).collect();
    let names = names.map_err(|_| AttachError::no_such_event(what.clone()))?;
    let pointers: Vec<*const libc::c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let target = LinkTarget::KprobeMulti { names: &pointers, cookies: &[], ret: false };
    session(ends, Many::KprobeSession, target, host).map_err(|e| Errno::new(what, e, host).kprobe())
}

fn session(ends: Ends<'_>, what: Many, target: LinkTarget<'_>, host: &Host) -> Result<Link, SyscallError> {
    let attach_type = what.attach_type();
    // As long as it is open the table keeps its programs.
    let table = MapFd::create(&MapParams {
        kind: bpf_map_type::BPF_MAP_TYPE_PROG_ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: 2,
        flags: 0,
        name: "session",
    })?;
    let program = switch(&table, attach_type, host)?;
    for (end, program) in [(0u32, ends.entry), (1, ends.ret)] {
        table.update(&end.to_ne_bytes(), &program.as_raw_fd().to_ne_bytes(), Update::Any)?;
    }
    let link = sys::link_create_as(program.as_fd(), target, attach_type, 0)?;
    Ok(Link { fds: vec![link, table.into()] })
}

/// The link's program: `tail_call(ctx, table, bpf_session_is_return(ctx))`. It gives 0, so that the kernel comes back at the return.
fn switch(table: &MapFd, attach_type: u32, host: &Host) -> Result<OwnedFd, SyscallError> {
    /// Instructions: BPF_ALU64 | BPF_MOV with a register, BPF_AND with a number, BPF_LD | BPF_DW | BPF_IMM, BPF_CALL, BPF_EXIT.
    const MOVE: u8 = 0xbf;
    const AND: u8 = 0x57;
    const LOAD: u8 = 0x18;
    const SET: u8 = 0xb7;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    /// In the source register's place: a map's descriptor, a kernel function's type.
    const MAP_FD: u8 = 1;
    const KFUNC: u8 = 2;
    const TAIL_CALL: i32 = 12;
    let missing = || SyscallError { call: IS_RETURN, errno: libc::EOPNOTSUPP };
    let is_return = host.btf().ok().and_then(|btf| btf.kfunc_id(IS_RETURN)).ok_or_else(missing)?;
    let insns = [
        insn(MOVE, 6, 1, 0, 0),
        // Its argument on newer kernels; on older ones it has none.
        insn(CALL, 0, KFUNC, 0, is_return as i32),
        insn(MOVE, 3, 0, 0, 0),
        insn(AND, 3, 0, 0, 1),
        insn(MOVE, 1, 6, 0, 0),
        insn(LOAD, 2, MAP_FD, 0, table.as_fd().as_raw_fd()),
        insn(0, 0, 0, 0, 0),
        insn(CALL, 0, 0, 0, TAIL_CALL),
        insn(SET, 0, 0, 0, 0),
        insn(EXIT, 0, 0, 0, 0),
    ];
    let params = ProgParams {
        newer_attach_type: attach_type,
        ..ProgParams::new(bpf_prog_type::BPF_PROG_TYPE_KPROBE, "session", &insns)
    };
    sys::prog_load(&params, None)
}
