//! The table of helpers that IR can call: one row holds name, arguments, purity, and how each back end provides it.

use weftrace_artifact::native::NativeHelper;

/// What a helper's argument is, in order. `Map` is not a value but the call's `map`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    Map,
    /// The program's context (entry parameter).
    Ctx,
    Int,
    /// A kernel or user address, or one within the context (tracepoint records hold strings).
    Address,
    /// Address to read from: stack, map, record or data, as far as the row's other arguments say.
    In,
    /// Address to write to: stack, map or record.
    Out,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Helper {
    /// () → CLOCK_BOOTTIME ns. Native: the event's time.
    KtimeBoot,
    /// () → CLOCK_MONOTONIC ns
    KtimeMono,
    /// () → CLOCK_TAI ns
    KtimeTai,
    /// () → tgid << 32 | tid
    PidTgid,
    /// () → gid << 32 | uid
    UidGid,
    /// (dst, capacity) → 0
    Comm,
    /// () → cpu number
    Cpu,
    /// () → u32
    Random,
    /// () → address of task_struct
    CurrentTask,
    /// () → cgroup v2 id
    CgroupId,
    /// (dst, len, address) → 0 or negative; zeroes dst on failure
    ReadKernel,
    ReadUser,
    /// (dst, capacity, address) → length with NUL, or negative
    ReadKernelStr,
    ReadUserStr,
    /// (ctx, map, flags) → id or negative
    StackId,
    /// (ctx, dst, len, flags) → bytes written or negative: the stack itself
    GetStack,
    /// () → the current task, as a pointer that the kernel trusts
    CurrentTaskBtf,
    /// (task) → address of the task's user registers
    TaskRegisters,
    /// (map, key, value, flags) → 0 or negative
    MapUpdate,
    /// (map, key) → 0 or negative
    MapDelete,
    /// (ctx) → index of the probe that fired
    ProbeIndex,
    /// (ctx) → address of the probe, also where its function returns
    FuncIp,
    /// (socket address) → cookie (BTF-typed programs)
    SocketCookie,
    /// (slot): count a loss ([`weftrace_artifact::abi::LossSlot`])
    CountLoss,
    /// Native: (dst, capacity, src, len) → length; NUL-terminated, rest zeroed
    CopyStr,
    /// Native: (dst, capacity, headers, headers length, names, names length) → how many of these names found no room: [`weftrace_artifact::headers::copy`]
    CopyHeaders,
    /// Native: (headers, headers length, name, name length, dst, capacity) → length or -1
    HeaderGet,
    /// Native: (subject, whose, dst: a ConnKey) → 1 or 0
    PacketConn,
    /// Native: (subject, which bytes, dst: a BytesKey) → 1 or 0
    PacketBytes,
    /// Native: (map) → elements
    MapLen,
    /// Native: (clock id) → ns
    ClockGettime,
    /// Native: (map, index, key, value) → 1 and copies of the element's bytes, or 0 past the last; index 0 takes a snapshot
    MapAt,
    /// () → the kernel's count of timer ticks
    Jiffies,
    /// () → NUMA node
    NumaId,
    /// (device, inode, dst, 8) → 0 or negative; dst: u32 tid, u32 tgid in that pid namespace
    NsPidTgid,
    /// (number) → 0 or negative: to the current process
    SendSignal,
    /// The same, to the current thread
    SendSignalThread,
    /// (ctx, value) → 0: the traced function does not run and returns the value
    OverrideReturn,
    /// (user address, src, len) → 0 or negative
    WriteUser,
    /// (map, cpu, key, dst) → 1 and a copy of that CPU's value of a per-CPU map's element, or 0 if there is no such element or CPU.
    /// Native: of an aggregate there is one part, number 0: the value over all CPUs and both sides of the kernel boundary
    MapCpu,
    /// (number, kfunc id) → address of the task's task_struct, which must be released; 0 if there is none
    TaskFromPid,
    /// (task from [`Self::TaskFromPid`], kfunc id)
    TaskRelease,
    /// (address, id of a struct's type, kfunc id) → the address, which the verifier takes for that of such a struct: [`Self::ReadTyped`] may read there,
    /// whatever is there. It costs nothing.
    CastTyped,
    /// (address, dst, capacity) → length with NUL, or negative: the path of a struct path, which is a member of what an argument of
    /// a BTF-typed program points to. What follows the NUL is undefined; of a longer path dst may hold the end.
    DPath,
    /// (address, offset, bytes) → the number there, zero-extended; 0 if it can't be read: what is at an offset from a member of what an
    /// argument of a BTF-typed program points to, the current task, or [`Self::CastTyped`]. A load, not a call. Offset and bytes (1, 2, 4, 8) are constants.
    ReadTyped,
    /// (dst, 16, where a task has its name) → 0: [`Self::Comm`] by loads, in a third of its time.
    TaskComm,
    /// (ctx, offset, dst, len) → 0 or negative, and dst zeroed: bytes of a packet (socket filters)
    SkbLoad,
    /// Native: (map, key, value, signed): the value is counted in the map
    Observe,
    /// Native: () → 0, or that the run is to end and loops are to be left: 1 of the first one, which tells it, then 2
    Interrupted,
}

#[derive(Clone, Copy, Debug)]
pub struct HelperRow {
    pub helper: Helper,
    /// In the text form.
    pub name: &'static str,
    pub args: &'static [Arg],
    /// No effect and, within one run of the program, always the same result: may be shared or dropped.
    pub pure: bool,
    /// Kernel helper number (include/uapi/linux/bpf.h); None: not available, or expanded by the back end (`count_loss`).
    pub bpf: Option<u32>,
    pub native: Option<NativeHelper>,
    /// A kernel function called by the id of its type, a constant, which is the last argument.
    pub kfunc: Option<&'static str>,
}

use Arg::{Address, Ctx, In, Int, Map, Out};

const fn row(
    helper: Helper,
    name: &'static str,
    args: &'static [Arg],
    pure: bool,
    bpf: Option<u32>,
    native: Option<NativeHelper>,
) -> HelperRow {
    HelperRow { helper, name, args, pure, bpf, native, kfunc: None }
}

const fn kfunc(helper: Helper, name: &'static str, args: &'static [Arg], kfunc: &'static str) -> HelperRow {
    HelperRow { kfunc: Some(kfunc), ..row(helper, name, args, false, None, None) }
}

/// In the order of [`Helper`].
pub static HELPERS: &[HelperRow] = &[
    row(Helper::KtimeBoot, "ktime_boot", &[], false, Some(125), None),
    row(Helper::KtimeMono, "ktime_mono", &[], false, Some(5), None),
    row(Helper::KtimeTai, "ktime_tai", &[], false, Some(208), None),
    row(Helper::PidTgid, "pid_tgid", &[], true, Some(14), Some(NativeHelper::PidTgid)),
    row(Helper::UidGid, "uid_gid", &[], true, Some(15), Some(NativeHelper::UidGid)),
    row(Helper::Comm, "comm", &[Out, Int], false, Some(16), Some(NativeHelper::Comm)),
    row(Helper::Cpu, "cpu", &[], true, Some(8), Some(NativeHelper::Cpu)),
    row(Helper::Random, "random", &[], false, Some(7), Some(NativeHelper::Random)),
    row(Helper::CurrentTask, "current_task", &[], true, Some(35), None),
    row(Helper::CgroupId, "cgroup_id", &[], true, Some(80), None),
    row(Helper::ReadKernel, "read_kernel", &[Out, Int, Address], false, Some(113), None),
    row(Helper::ReadUser, "read_user", &[Out, Int, Address], false, Some(112), None),
    row(Helper::ReadKernelStr, "read_kernel_str", &[Out, Int, Address], false, Some(115), None),
    row(Helper::ReadUserStr, "read_user_str", &[Out, Int, Address], false, Some(114), None),
    row(Helper::StackId, "stack_id", &[Ctx, Map, Int], false, Some(27), None),
    row(Helper::GetStack, "get_stack", &[Ctx, Out, Int, Int], false, Some(67), None),
    row(Helper::CurrentTaskBtf, "current_task_btf", &[], true, Some(158), None),
    row(Helper::TaskRegisters, "task_registers", &[Int], true, Some(175), None),
    row(Helper::MapUpdate, "map_update", &[Map, In, In, Int], false, Some(2), Some(NativeHelper::MapUpdate)),
    row(Helper::MapDelete, "map_delete", &[Map, In], false, Some(3), Some(NativeHelper::MapDelete)),
    row(Helper::ProbeIndex, "probe_index", &[Ctx], true, None, None),
    row(Helper::FuncIp, "func_ip", &[Ctx], true, Some(173), None),
    row(Helper::SocketCookie, "socket_cookie", &[Int], false, Some(46), None),
    row(Helper::CountLoss, "count_loss", &[Int], false, None, Some(NativeHelper::CountLoss)),
    row(Helper::CopyStr, "copy_str", &[Out, Int, In, Int], false, None, Some(NativeHelper::CopyStr)),
    row(
        Helper::CopyHeaders,
        "copy_headers",
        &[Out, Int, In, Int, In, Int],
        false,
        None,
        Some(NativeHelper::CopyHeaders),
    ),
    row(Helper::HeaderGet, "header_get", &[In, Int, In, Int, Out, Int], false, None, Some(NativeHelper::HeaderGet)),
    row(Helper::PacketConn, "packet_conn", &[Ctx, Int, Out], false, None, Some(NativeHelper::PacketConn)),
    row(Helper::PacketBytes, "packet_bytes", &[Ctx, Int, Out], false, None, Some(NativeHelper::PacketBytes)),
    row(Helper::MapLen, "map_len", &[Map], false, None, Some(NativeHelper::MapLen)),
    row(Helper::ClockGettime, "clock_gettime", &[Int], false, None, Some(NativeHelper::ClockGettime)),
    row(Helper::MapAt, "map_at", &[Map, Int, Out, Out], false, None, Some(NativeHelper::MapAt)),
    row(Helper::Jiffies, "jiffies", &[], false, Some(118), None),
    row(Helper::NumaId, "numa_id", &[], true, Some(42), None),
    row(Helper::NsPidTgid, "ns_pid_tgid", &[Int, Int, Out, Int], false, Some(120), None),
    row(Helper::SendSignal, "send_signal", &[Int], false, Some(109), None),
    row(Helper::SendSignalThread, "send_signal_thread", &[Int], false, Some(117), None),
    row(Helper::OverrideReturn, "override_return", &[Ctx, Int], false, Some(58), None),
    row(Helper::WriteUser, "write_user", &[Int, In, Int], false, Some(36), None),
    row(Helper::MapCpu, "map_cpu", &[Map, Int, In, Out], false, Some(195), Some(NativeHelper::MapWhole)),
    kfunc(Helper::TaskFromPid, "task_from_pid", &[Int, Int], "bpf_task_from_pid"),
    kfunc(Helper::TaskRelease, "task_release", &[Int, Int], "bpf_task_release"),
    HelperRow { pure: true, ..kfunc(Helper::CastTyped, "cast_typed", &[Int, Int, Int], "bpf_rdonly_cast") },
    row(Helper::DPath, "d_path", &[Int, Out, Int], false, Some(147), None),
    row(Helper::ReadTyped, "read_typed", &[Int, Int, Int], true, None, None),
    row(Helper::TaskComm, "task_comm", &[Out, Int, Int], false, None, None),
    row(Helper::SkbLoad, "skb_load", &[Ctx, Int, Out, Int], false, Some(26), None),
    row(Helper::Observe, "observe", &[Map, In, Int, Int], false, None, Some(NativeHelper::Observe)),
    row(Helper::Interrupted, "interrupted", &[], false, None, Some(NativeHelper::Interrupted)),
];

impl Helper {
    /// Whether the verifier knows the type of what the result points to, in any program.
    pub fn gives_type(self) -> bool {
        matches!(self, Self::CurrentTaskBtf | Self::TaskRegisters | Self::CastTyped)
    }

    pub fn row(self) -> &'static HelperRow {
        &HELPERS[self as usize]
    }
}
