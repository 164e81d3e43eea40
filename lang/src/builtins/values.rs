//! Values: what is written as a bare word.

use super::{
    Row,
    class::{ANY, EXCHANGE, KERNEL, PROGRAM, USER},
};
use crate::check::{call_kernel as k, call_value as c, golang_value as g};
use crate::hir::{Clock, Func, Ty};

pub(super) static ROWS: &[Row] = &[
    Row::special(
        "pid",
        "pid, pid(curr_ns|init), pid(task)",
        1,
        PROGRAM | EXCHANGE,
        c::pid,
        "Process id of the current task (thread group id) or of another, as weftrace's pid namespace numbers it, or the initial one.",
    ),
    Row::special(
        "tid",
        "tid, tid(curr_ns|init), tid(task)",
        1,
        PROGRAM | EXCHANGE,
        c::tid,
        "Thread id of the current task or of another.",
    ),
    Row::value("uid", Func::Uid, Ty::U32, PROGRAM, "User id of the current task."),
    Row::value("gid", Func::Gid, Ty::U32, PROGRAM, "Group id of the current task."),
    Row::value("username", Func::Username, Ty::Username, PROGRAM, "Name of the current user, looked up when printed."),
    Row::special(
        "comm",
        "comm, comm(pid)",
        1,
        PROGRAM | EXCHANGE,
        c::comm,
        "Name of the current thread, or of a process by its number: at most 15 characters.",
    ),
    Row::special("ppid", "ppid, ppid(task)", 1, PROGRAM, c::task_field, "Process id of the parent."),
    Row::special("pcomm", "pcomm, pcomm(task)", 1, PROGRAM, c::task_field, "Name of the parent."),
    Row::special(
        "leader_tid",
        "leader_tid, leader_tid(task)",
        1,
        PROGRAM,
        c::task_field,
        "Thread id of the group leader.",
    ),
    Row::special(
        "leader_comm",
        "leader_comm, leader_comm(task)",
        1,
        PROGRAM,
        c::task_field,
        "Name of the group leader.",
    ),
    Row::special(
        "nsecs",
        "nsecs, nsecs(boot|monotonic|tai|sw_tai)",
        1,
        ANY,
        c::nsecs,
        "Nanoseconds since boot, suspends included.",
    ),
    Row::value("elapsed", Func::Elapsed, Ty::U64, ANY, "Nanoseconds since the script started."),
    Row::value("cpu", Func::Cpu, Ty::U32, PROGRAM, "Number of the current CPU."),
    Row::value("numaid", Func::NumaId, Ty::U32, PROGRAM, "NUMA node of the current CPU."),
    Row::value("ncpus", Func::Ncpus, Ty::U64, ANY, "Number of CPUs."),
    Row::value("rand", Func::Rand, Ty::U32, PROGRAM, "A random number."),
    Row::value("cgroup", Func::Cgroup, Ty::U64, PROGRAM, "Cgroup id of the current task."),
    Row::special("curtask", "curtask", 0, PROGRAM, c::curtask, "The current task, a struct task_struct *."),
    Row::value("jiffies", Func::Jiffies, Ty::U64, PROGRAM, "The kernel's count of timer ticks."),
    Row::special("usermode", "usermode", 0, PROGRAM, k::usermode, "1 if the CPU ran a program, 0 if the kernel."),
    Row::special("func", "func", 0, KERNEL | USER, c::func, "Name of the traced function."),
    Row::special("probe", "probe", 0, ANY, c::probe, "Full name of the probe."),
    Row::special(
        "probetype",
        "probetype",
        0,
        ANY,
        c::probetype,
        "The provider's name, as a literal; `special` in begin and end.",
    ),
    Row::special("retval", "retval", 0, KERNEL | USER, c::retval, "Value that the traced function returns."),
    Row::special("args", "args, args.NAME", 0, ANY, c::args, "The probe's arguments, by name."),
    Row::special(
        "ctx",
        "ctx",
        0,
        PROGRAM,
        c::ctx,
        "The program's context: read its members, as `ctx.task` or by a cast to a struct's pointer.",
    ),
    Row::special("kstack", "kstack, kstack([mode, ]limit)", 2, PROGRAM, c::kstack, "Kernel stack."),
    Row::special("ustack", "ustack, ustack([mode, ]limit)", 2, PROGRAM, c::ustack, "User stack."),
    Row::special(
        "dw_ustack",
        "dw_ustack, dw_ustack([mode, ]limit)",
        2,
        PROGRAM,
        c::dw_ustack,
        "User stack of a program without frame pointers: unwound by its .eh_frame.",
    ),
    Row::special("cpid", "cpid", 0, ANY, c::cpid, "Process id of the command started by -c."),
    Row::special("has_cpid", "has_cpid", 0, ANY, c::has_cpid, "Whether a command was started by -c."),
    Row::value("start_time", Func::StartTime, Ty::U64, ANY, "When the script started: ns since boot."),
    Row::special(
        "default_str_length",
        "default_str_length",
        0,
        ANY,
        c::default_str_length,
        "Capacity of str() without a length.",
    ),
    Row::special("config", "config, config.NAME", 0, ANY, c::config, "The settings that hold, as a record."),
    Row::special(
        "goid",
        "goid",
        0,
        ANY,
        g::goid,
        "Number of the current goroutine, in probes of a Go program's functions.",
    ),
];

/// The clock named by `nsecs(NAME)`.
pub(crate) fn clock(name: &str) -> Option<Clock> {
    Some(match name {
        "boot" => Clock::Boot,
        "monotonic" => Clock::Monotonic,
        "tai" | "sw_tai" => Clock::Tai,
        _ => return None,
    })
}
