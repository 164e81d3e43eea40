#![allow(unsafe_code, reason = "reads unions and structs that the kernel filled")]
//! Programs and BTF: loading, running by hand, information.

use super::SyscallError;
use super::attr::{bpf, bpf_fd, object_name, zeroed};
use aya_obj::generated::{bpf_attach_type, bpf_cmd, bpf_prog_info, bpf_prog_type};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Whose types [`ProgParams::attach_btf_id`] counts.
#[derive(Clone, Copy, Debug, Default)]
pub enum AttachObject<'a> {
    #[default]
    Vmlinux,
    /// A module's type information.
    Module(BorrowedFd<'a>),
    /// A loaded program, with its own type information.
    Program(BorrowedFd<'a>),
}

/// What to load.
#[derive(Clone, Copy, Debug)]
pub struct ProgParams<'a> {
    pub prog_type: bpf_prog_type,
    pub expected_attach_type: Option<bpf_attach_type>,
    /// One that is newer than the names of [`super::AttachType`], by number ([`super::SESSION`]); 0: the named one.
    pub newer_attach_type: u32,
    pub name: &'a str,
    /// Tracing helpers are for programs whose license goes with the kernel's only.
    pub license: &'a CStr,
    /// struct bpf_insn, see `weftrace_artifact::program`.
    pub insns: &'a [u64],
    /// BTF id of what a tracing program attaches to; 0: none.
    pub attach_btf_id: u32,
    pub attach_object: AttachObject<'a>,
    /// The program's own BTF with struct bpf_func_info and struct bpf_line_info records.
    pub btf: Option<BorrowedFd<'a>>,
    pub func_info: &'a [u8],
    pub line_info: &'a [u8],
}

impl<'a> ProgParams<'a> {
    pub fn new(prog_type: bpf_prog_type, name: &'a str, insns: &'a [u64]) -> Self {
        Self {
            prog_type,
            expected_attach_type: None,
            newer_attach_type: 0,
            name,
            license: c"GPL",
            insns,
            attach_btf_id: 0,
            attach_object: AttachObject::Vmlinux,
            btf: None,
            func_info: &[],
            line_info: &[],
        }
    }
}

/// sizeof(struct bpf_func_info)
const FUNC_INFO_SIZE: u32 = 8;
/// sizeof(struct bpf_line_info)
const LINE_INFO_SIZE: u32 = 16;

/// BPF_PROG_LOAD. With `log`, the verifier's text (level 1) goes into it as far as it fits, NUL-terminated; ENOSPC: it didn't fit.
pub fn prog_load(params: &ProgParams<'_>, log: Option<&mut [u8]>) -> Result<OwnedFd, SyscallError> {
    let mut attr = zeroed();
    attr.__bindgen_anon_3.prog_type = params.prog_type as u32;
    attr.__bindgen_anon_3.expected_attach_type =
        params.expected_attach_type.map_or(params.newer_attach_type, |t| t as u32);
    attr.__bindgen_anon_3.insn_cnt = params.insns.len() as u32;
    attr.__bindgen_anon_3.insns = params.insns.as_ptr() as u64;
    attr.__bindgen_anon_3.license = params.license.as_ptr() as u64;
    attr.__bindgen_anon_3.prog_name = object_name(params.name);
    attr.__bindgen_anon_3.attach_btf_id = params.attach_btf_id;
    match params.attach_object {
        AttachObject::Vmlinux => {}
        AttachObject::Module(fd) => {
            attr.__bindgen_anon_3.__bindgen_anon_1.attach_btf_obj_fd = fd.as_raw_fd() as u32;
        }
        AttachObject::Program(fd) => attr.__bindgen_anon_3.__bindgen_anon_1.attach_prog_fd = fd.as_raw_fd() as u32,
    }
    if let Some(btf) = params.btf {
        attr.__bindgen_anon_3.prog_btf_fd = btf.as_raw_fd() as u32;
        if !params.func_info.is_empty() {
            attr.__bindgen_anon_3.func_info_rec_size = FUNC_INFO_SIZE;
            attr.__bindgen_anon_3.func_info = params.func_info.as_ptr() as u64;
            attr.__bindgen_anon_3.func_info_cnt = params.func_info.len() as u32 / FUNC_INFO_SIZE;
        }
        if !params.line_info.is_empty() {
            attr.__bindgen_anon_3.line_info_rec_size = LINE_INFO_SIZE;
            attr.__bindgen_anon_3.line_info = params.line_info.as_ptr() as u64;
            attr.__bindgen_anon_3.line_info_cnt = params.line_info.len() as u32 / LINE_INFO_SIZE;
        }
    }
    if let Some(log) = log {
        attr.__bindgen_anon_3.log_level = 1;
        attr.__bindgen_anon_3.log_buf = log.as_mut_ptr() as u64;
        attr.__bindgen_anon_3.log_size = log.len() as u32;
    }
    bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr, "bpf(BPF_PROG_LOAD)")
}

/// BPF_BTF_LOAD, without a log.
pub fn btf_load(btf: &[u8]) -> Result<OwnedFd, SyscallError> {
    let mut attr = zeroed();
    attr.__bindgen_anon_7.btf = btf.as_ptr() as u64;
    attr.__bindgen_anon_7.btf_size = btf.len() as u32;
    bpf_fd(bpf_cmd::BPF_BTF_LOAD, &mut attr, "bpf(BPF_BTF_LOAD)")
}

/// A run by hand (BPF_PROG_TEST_RUN). Raw tracepoint programs take `context` (their argument words); socket filters take `data`
/// (a packet of at least 14 bytes).
#[derive(Debug, Default)]
pub struct TestRun<'a> {
    pub context: &'a [u8],
    pub data: &'a [u8],
    /// 0 means once. Must be 0 for raw tracepoints.
    pub repeat: u32,
}

/// Runs a program; returns (its return value, average ns of a run: 0 for raw tracepoints).
pub fn prog_test_run(prog: BorrowedFd<'_>, run: &TestRun<'_>) -> Result<(u32, u32), SyscallError> {
    let mut attr = zeroed();
    attr.test.prog_fd = prog.as_raw_fd() as u32;
    attr.test.repeat = run.repeat;
    attr.test.data_in = if run.data.is_empty() { 0 } else { run.data.as_ptr() as u64 };
    attr.test.data_size_in = run.data.len() as u32;
    attr.test.ctx_in = if run.context.is_empty() { 0 } else { run.context.as_ptr() as u64 };
    attr.test.ctx_size_in = run.context.len() as u32;
    bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr, "bpf(BPF_PROG_TEST_RUN)")?;
    // SAFETY: `test` is the member that was written above; the kernel fills its outputs.
    Ok(unsafe { (attr.test.retval, attr.test.duration) })
}

/// While the descriptor is open the kernel counts runs and their time in [`ProgInfo`] (about 30 ns an event).
pub fn enable_stats() -> Result<OwnedFd, SyscallError> {
    let mut attr = zeroed();
    // BPF_STATS_RUN_TIME
    attr.enable_stats.type_ = 0;
    bpf_fd(bpf_cmd::BPF_ENABLE_STATS, &mut attr, "bpf(BPF_ENABLE_STATS)")
}

/// What the kernel tells of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgInfo {
    pub id: u32,
    /// Runs and their total ns, while statistics are on.
    pub run_cnt: u64,
    pub run_time_ns: u64,
    /// Runs skipped because the program was already running on that CPU: lost events.
    pub recursion_misses: u64,
    /// Instructions the verifier looked at; 0 on kernels that don't tell.
    pub verified_insns: u32,
    /// Number of its type information; 0: none.
    pub btf_id: u32,
    /// Type of its main function there; 0: not known.
    pub main_type: u32,
}

/// BPF_OBJ_GET_INFO_BY_FD of a program.
pub fn prog_info(prog: BorrowedFd<'_>) -> Result<ProgInfo, SyscallError> {
    // SAFETY: bpf_prog_info is plain integers: all-zero is a value of it.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    // The first struct bpf_func_info: u32 insn_off, type_id.
    let mut main = [0u32; 2];
    info.nr_func_info = 1;
    info.func_info_rec_size = FUNC_INFO_SIZE;
    info.func_info = main.as_mut_ptr() as u64;
    let mut attr = zeroed();
    attr.info.bpf_fd = prog.as_raw_fd() as u32;
    attr.info.info_len = size_of::<bpf_prog_info>() as u32;
    attr.info.info = std::ptr::from_mut(&mut info) as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr, "bpf(BPF_OBJ_GET_INFO_BY_FD)")?;
    Ok(ProgInfo {
        id: info.id,
        run_cnt: info.run_cnt,
        run_time_ns: info.run_time_ns,
        recursion_misses: info.recursion_misses,
        verified_insns: info.verified_insns,
        btf_id: info.btf_id,
        main_type: main[1],
    })
}
