//! Constants that C code has from headers as macros, where neither BTF nor we have headers. x86-64 and arm64 agree on all.

static CONSTANTS: &[(&str, i64)] = &[
    // <sys/socket.h>
    ("AF_UNSPEC", 0), ("AF_UNIX", 1), ("AF_LOCAL", 1), ("AF_INET", 2), ("AF_INET6", 10), ("AF_NETLINK", 16),
    ("AF_PACKET", 17), ("AF_VSOCK", 40), ("AF_XDP", 44), ("PF_INET", 2), ("PF_INET6", 10), ("SOL_SOCKET", 1), ("SOL_TCP", 6),
    // <linux/if_ether.h>
    ("ETH_P_IP", 0x0800), ("ETH_P_ARP", 0x0806), ("ETH_P_IPV6", 0x86dd), ("ETH_P_8021Q", 0x8100),
    // <linux/sched.h>
    ("TASK_RUNNING", 0), ("TASK_INTERRUPTIBLE", 1), ("TASK_UNINTERRUPTIBLE", 2), ("PF_KTHREAD", 0x0020_0000),
    ("CLONE_VM", 0x100), ("CLONE_FILES", 0x400), ("CLONE_THREAD", 0x10000),
    // <fcntl.h>
    ("O_RDONLY", 0), ("O_WRONLY", 1), ("O_RDWR", 2), ("O_ACCMODE", 3), ("O_CREAT", 0o100), ("O_EXCL", 0o200),
    ("O_TRUNC", 0o1000), ("O_APPEND", 0o2000), ("O_NONBLOCK", 0o4000), ("O_CLOEXEC", 0o2_000_000), ("AT_FDCWD", -100),
    // <sys/stat.h>
    ("S_IFMT", 0o170_000), ("S_IFSOCK", 0o140_000), ("S_IFREG", 0o100_000), ("S_IFDIR", 0o40_000),
    // <signal.h>
    ("SIGHUP", 1), ("SIGINT", 2), ("SIGQUIT", 3), ("SIGABRT", 6), ("SIGBUS", 7), ("SIGKILL", 9), ("SIGUSR1", 10),
    ("SIGSEGV", 11), ("SIGUSR2", 12), ("SIGPIPE", 13), ("SIGALRM", 14), ("SIGTERM", 15), ("SIGCHLD", 17), ("SIGCONT", 18),
    ("SIGSTOP", 19),
    // <errno.h>
    ("EPERM", 1), ("ENOENT", 2), ("EINTR", 4), ("EIO", 5), ("EBADF", 9), ("EAGAIN", 11), ("ENOMEM", 12), ("EACCES", 13),
    ("EFAULT", 14), ("EBUSY", 16), ("EEXIST", 17), ("EINVAL", 22), ("ENOSPC", 28), ("EPIPE", 32), ("ENOSYS", 38),
    ("EADDRINUSE", 98), ("ENETUNREACH", 101), ("ECONNABORTED", 103), ("ECONNRESET", 104), ("ENOTCONN", 107),
    ("ETIMEDOUT", 110), ("ECONNREFUSED", 111), ("EHOSTUNREACH", 113), ("EINPROGRESS", 115),
    // <limits.h>, <linux/const.h>
    ("INT_MAX", 0x7fff_ffff), ("UINT_MAX", 0xffff_ffff), ("PATH_MAX", 4096), ("NAME_MAX", 255),
    // TCP states, where BTF lacks the anonymous enum (include/net/tcp_states.h)
    ("TCP_ESTABLISHED", 1), ("TCP_SYN_SENT", 2), ("TCP_SYN_RECV", 3), ("TCP_FIN_WAIT1", 4), ("TCP_FIN_WAIT2", 5),
    ("TCP_TIME_WAIT", 6), ("TCP_CLOSE", 7), ("TCP_CLOSE_WAIT", 8), ("TCP_LAST_ACK", 9), ("TCP_LISTEN", 10),
    ("TCP_CLOSING", 11), ("TCP_NEW_SYN_RECV", 12), ("IPPROTO_ICMP", 1), ("IPPROTO_TCP", 6), ("IPPROTO_UDP", 17),
];

/// The value of a well-known constant.
pub(crate) fn find(name: &str) -> Option<i64> {
    CONSTANTS.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
}
