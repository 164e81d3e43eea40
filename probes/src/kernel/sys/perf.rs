#![allow(unsafe_code, reason = "perf_event_open(2) has no safe wrapper")]
//! perf events: the carriers of tracepoint, kprobe, uprobe and timer programs.

use super::SyscallError;
use aya_obj::generated::{PERF_EVENT_IOC_ENABLE, perf_event_attr};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// How often a timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Ns(u64),
    Hz(u64),
}

/// What to open. `pmu` is the number in /sys/bus/event_source/devices/NAME/type.
#[derive(Clone, Copy, Debug)]
pub enum PerfEvent<'a> {
    /// The id in tracefs.
    Tracepoint {
        id: u64,
    },
    Kprobe {
        pmu: u32,
        ret: bool,
        function: &'a CStr,
        offset: u64,
    },
    /// `offset` in the file; `semaphore`: file offset of a counter that the kernel raises while probed, 0: none.
    Uprobe {
        pmu: u32,
        ret: bool,
        path: &'a CStr,
        offset: u64,
        semaphore: u64,
    },
    /// A kernel function by its address.
    KprobeAt {
        pmu: u32,
        ret: bool,
        address: u64,
    },
    /// PERF_COUNT_SW_CPU_CLOCK
    CpuClock(Period),
    /// Every `period`-th of a counted event of PERF_TYPE_SOFTWARE or PERF_TYPE_HARDWARE.
    Count {
        hardware: bool,
        number: u64,
        period: u64,
    },
    /// A debug register; `access`: HW_BREAKPOINT_R, _W, _X.
    Breakpoint {
        address: u64,
        len: u64,
        access: u32,
    },
}

pub const HW_BREAKPOINT_R: u32 = 1;
pub const HW_BREAKPOINT_W: u32 = 2;
pub const HW_BREAKPOINT_X: u32 = 4;

const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_TYPE_HARDWARE: u32 = 0;
const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_TYPE_BREAKPOINT: u32 = 5;
/// Both PMUs' `format/retprobe` is config:0.
const RETPROBE: u64 = 1;
/// `format/ref_ctr_offset` of the uprobe PMU is config:32-63.
const REF_CTR_SHIFT: u32 = 32;

/// Opens an event. pid -1: every process (then a CPU is needed); cpu -1: wherever `pid` runs. Timers, counters and breakpoints open
/// stopped: [`perf_enable`] starts them; of a process they include the threads and children that it makes later.
pub fn perf_event_open(event: &PerfEvent<'_>, pid: i32, cpu: i32) -> Result<OwnedFd, SyscallError> {
    // SAFETY: perf_event_attr is plain integers: all-zero is a value of it.
    let mut attr: perf_event_attr = unsafe { std::mem::zeroed() };
    attr.size = size_of::<perf_event_attr>() as u32;
    attr.__bindgen_anon_1.sample_period = 1;
    match *event {
        PerfEvent::Tracepoint { id } => {
            attr.type_ = PERF_TYPE_TRACEPOINT;
            attr.config = id;
        }
        PerfEvent::Kprobe { pmu, ret, function, offset } => {
            attr.type_ = pmu;
            attr.config = if ret { RETPROBE } else { 0 };
            attr.__bindgen_anon_3.kprobe_func = function.as_ptr() as u64;
            attr.__bindgen_anon_4.probe_offset = offset;
        }
        PerfEvent::Uprobe { pmu, ret, path, offset, semaphore } => {
            attr.type_ = pmu;
            attr.config = if ret { RETPROBE } else { 0 } | (semaphore << REF_CTR_SHIFT);
            attr.__bindgen_anon_3.uprobe_path = path.as_ptr() as u64;
            attr.__bindgen_anon_4.probe_offset = offset;
        }
        PerfEvent::KprobeAt { pmu, ret, address } => {
            attr.type_ = pmu;
            attr.config = if ret { RETPROBE } else { 0 };
            attr.__bindgen_anon_4.kprobe_addr = address;
        }
        PerfEvent::Count { hardware, number, period } => {
            attr.type_ = if hardware { PERF_TYPE_HARDWARE } else { PERF_TYPE_SOFTWARE };
            attr.config = number;
            attr.__bindgen_anon_1.sample_period = period;
            attr.set_disabled(1);
            attr.set_inherit(u64::from(pid > 0));
        }
        PerfEvent::Breakpoint { address, len, access } => {
            attr.type_ = PERF_TYPE_BREAKPOINT;
            attr.bp_type = access;
            attr.__bindgen_anon_3.bp_addr = address;
            attr.__bindgen_anon_4.bp_len = len;
            attr.set_disabled(1);
            attr.set_inherit(u64::from(pid > 0));
        }
        PerfEvent::CpuClock(period) => {
            attr.type_ = PERF_TYPE_SOFTWARE;
            attr.config = 0;
            attr.set_disabled(1);
            attr.set_inherit(u64::from(pid > 0));
            match period {
                Period::Ns(ns) => attr.__bindgen_anon_1.sample_period = ns,
                Period::Hz(hz) => {
                    attr.set_freq(1);
                    attr.__bindgen_anon_1.sample_freq = hz;
                }
            }
        }
    }
    open(&mut attr, pid, cpu)
}

/// An event that counts nothing and records what is mapped to execute, and forks, on a CPU. `wake`: bytes in its ring that make it
/// readable.
pub(super) fn open_task_events(cpu: u32, wake: u32) -> Result<OwnedFd, SyscallError> {
    const PERF_COUNT_SW_DUMMY: u64 = 9;
    const PERF_SAMPLE_TIME: u64 = 1 << 2;
    // SAFETY: perf_event_attr is plain integers: all-zero is a value of it.
    let mut attr: perf_event_attr = unsafe { std::mem::zeroed() };
    attr.size = size_of::<perf_event_attr>() as u32;
    attr.type_ = PERF_TYPE_SOFTWARE;
    attr.config = PERF_COUNT_SW_DUMMY;
    attr.sample_type = PERF_SAMPLE_TIME;
    attr.set_sample_id_all(1);
    // One clock for all CPUs, so that their records can be put in order.
    attr.set_use_clockid(1);
    attr.clockid = libc::CLOCK_MONOTONIC;
    attr.set_mmap(1);
    attr.set_mmap2(1);
    attr.set_task(1);
    attr.set_watermark(1);
    attr.__bindgen_anon_2.wakeup_watermark = wake;
    open(&mut attr, -1, cpu as i32)
}

fn open(attr: &mut perf_event_attr, pid: i32, cpu: i32) -> Result<OwnedFd, SyscallError> {
    /// PERF_FLAG_FD_CLOEXEC
    const CLOEXEC: libc::c_ulong = 8;
    // SAFETY: attr is live and says its size; the strings it points to outlive the call.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, std::ptr::from_mut(attr), pid, cpu, -1, CLOEXEC) };
    if fd < 0 {
        return Err(SyscallError::last("perf_event_open"));
    }
    // SAFETY: the call returned a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// PERF_EVENT_IOC_ENABLE
pub fn perf_enable(event: BorrowedFd<'_>) -> Result<(), SyscallError> {
    // SAFETY: a live descriptor; this request takes no pointer.
    let got = unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_ENABLE as libc::Ioctl, 0) };
    if got < 0 { Err(SyscallError::last("ioctl(PERF_EVENT_IOC_ENABLE)")) } else { Ok(()) }
}
