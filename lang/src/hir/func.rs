//! Builtins that lower to code.

/// Builtin values and functions that lower to code (not asynchronous actions). Names, signatures, where valid, docs: `builtins::TABLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Func {
    Pid,
    Tid,
    Uid,
    Gid,
    Comm,
    /// `comm(pid)`: [the number, ids of bpf_task_from_pid and bpf_task_release]
    CommOf,
    Nsecs(Clock),
    Elapsed,
    Cpu,
    Rand,
    Ncpus,
    Curtask,
    Cgroup,
    /// The program's context
    Ctx,
    /// `func` of a kernel function: its address
    FuncIp,
    /// `func`: a string constant per target for now
    FuncName,
    ProbeName,
    KStack,
    UStack,
    DwStack,
    /// `len()` of a stack: how many frames it has.
    StackLen,
    /// `str(p[, n])`
    Str,
    /// `buf(p[, n])`
    Buf,
    /// `ntop([af,] addr)`
    Ntop,
    Macaddr,
    Ksym,
    Usym,
    Strftime,
    Bswap,
    Strlen,
    /// `strncmp(a, b, n)`: 0 if equal
    Strncmp,
    Strcontains,
    /// `conn(sk)`: the connection key of a kernel socket
    Conn,
    /// `bytes(sk, skb)`: the bytes of a segment that a kernel socket sends
    Bytes,
    /// `sock_cookie(sk)` / socket_cookie
    SockCookie,
    /// `path(p)`: [address of a struct path]
    Path,
    Username,
    /// kptr, uptr: change the space
    Kptr,
    Uptr,
    /// start of the program in boot ns (elapsed = nsecs - this)
    StartTime,
    Ppid,
    Signed,
    /// `uaddr("symbol")`: its argument is the name
    Uaddr,
    /// `strerror(n)` and its like
    NameOf(Names),
    Jiffies,
    NumaId,
    /// Whether the CPU ran a program, not the kernel.
    UserMode,
    /// Of the initial pid namespace, not ours.
    InitPid,
    InitTid,
    /// `pid(task)`, `tid(task)`: as our pid namespace numbers it; 0: it is in none that we see
    TaskNumber {
        process: bool,
    },
    /// `signal(n)`; or to the current thread alone
    Signal {
        thread: bool,
    },
    /// `override(n)`
    Override,
    /// `write_user(address, value, n)`: whether it was written
    WriteUser,
    /// `skboutput(file, skb, length, offset)`: [skb, length, offset, file]
    SkbOutput,
    /// `strstr(haystack, needle)`: index, or -1
    Strstr,
    /// `str_concat(a, b)`
    StrConcat,
    /// `memcmp(a, b, n)`: difference of the first bytes that differ
    Memcmp,
    /// Address of a per-CPU variable: [its own, that of `__per_cpu_offset`, cpu]
    PercpuAddress,
    /// `cgroup_path(id)`: the path is looked up when it is printed
    CgroupPath,
    /// `goid`
    Goid,
    /// How deep a call of a Go function is in its goroutine's stack.
    GoDepth,
    /// A Go string, or slice of bytes, as text: [the struct]
    GoText,
    /// The same as bytes: [the struct, at most so many]
    GoBytes,
    /// Name of the type that a Go interface holds: [the struct, whether it has no methods, distance of the types from the first code, offset
    /// of `mm` in task_struct, of `start_code` in mm_struct]
    GoTypeName,
    /// A register as the program had it when it entered the system call under way: [its name in the kernel's `struct pt_regs`, `regs[N]` of an array].
    CallRegister,
    /// A copy of a map's element, which is looked up once for what is written to it later in the block: [the element].
    Open,
    /// Whether a piece of user memory is one request of HTTP/1 and nothing else (1), or may be more than one (2): [address, length, the map's element that keeps it].
    PlainRequest,
    /// The status of the response of HTTP/1 that a piece of user memory begins, if its head is there and nothing follows it; else 0: [address, bytes that
    /// were sent, 0 or where the pieces are listed, what was said of the last one, the map's element that keeps it where more is to come]. Above the status: where the
    /// head ends, where the length is, and, by [`super::PLAIN_LEFT_AT`] bits, how much is to come.
    PlainResponse,
}

/// What numbers have names for: `weftrace_artifact::names`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Names {
    Errors,
    Signals,
    Syscalls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    Boot,
    Monotonic,
    Tai,
}
