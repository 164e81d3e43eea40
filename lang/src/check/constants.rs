//! Constants that C code has from headers as macros, where neither BTF nor we have headers. x86-64 and arm64 agree on all.

static CONSTANTS: &[(&str, i64)] = &[
    // <sys/socket.h>
    ("AF_UNSPEC", 0),
    ("AF_UNIX", 1),
    ("AF_LOCAL", 1),
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("AF_VSOCK", 40),
    ("AF_XDP", 44),
    ("PF_INET", 2),
    ("PF_INET6", 10),
    ("SOL_SOCKET", 1),
    ("SOL_TCP", 6),
    // <linux/if_ether.h>
    ("ETH_P_IP", 0x0800),
    ("ETH_P_ARP", 0x0806),
    ("ETH_P_IPV6", 0x86dd),
    ("ETH_P_8021Q", 0x8100),
    // <linux/sched.h>
    ("TASK_RUNNING", 0),
    ("TASK_INTERRUPTIBLE", 1),
    ("TASK_UNINTERRUPTIBLE", 2),
    ("PF_KTHREAD", 0x0020_0000),
    ("CLONE_VM", 0x100),
    ("CLONE_FILES", 0x400),
    ("CLONE_THREAD", 0x10000),
    // <fcntl.h>
    ("O_RDONLY", 0),
    ("O_WRONLY", 1),
    ("O_RDWR", 2),
    ("O_ACCMODE", 3),
    ("O_CREAT", 0o100),
    ("O_EXCL", 0o200),
    ("O_TRUNC", 0o1000),
    ("O_APPEND", 0o2000),
    ("O_NONBLOCK", 0o4000),
    ("O_CLOEXEC", 0o2_000_000),
    ("AT_FDCWD", -100),
    // <sys/stat.h>
    ("S_IFMT", 0o170_000),
    ("S_IFSOCK", 0o140_000),
    ("S_IFREG", 0o100_000),
    ("S_IFDIR", 0o40_000),
    // Other names of some of ERRORS and SIGNALS.
    ("EWOULDBLOCK", 11),
    ("EDEADLOCK", 35),
    ("ENOTSUP", 95),
    ("SIGIOT", 6),
    ("SIGPOLL", 29),
    ("SIGCLD", 17),
    // <limits.h>, <linux/const.h>
    ("INT_MAX", 0x7fff_ffff),
    ("UINT_MAX", 0xffff_ffff),
    ("PATH_MAX", 4096),
    ("NAME_MAX", 255),
    // TCP states, where BTF lacks the anonymous enum (include/net/tcp_states.h)
    ("TCP_ESTABLISHED", 1),
    ("TCP_SYN_SENT", 2),
    ("TCP_SYN_RECV", 3),
    ("TCP_FIN_WAIT1", 4),
    ("TCP_FIN_WAIT2", 5),
    ("TCP_TIME_WAIT", 6),
    ("TCP_CLOSE", 7),
    ("TCP_CLOSE_WAIT", 8),
    ("TCP_LAST_ACK", 9),
    ("TCP_LISTEN", 10),
    ("TCP_CLOSING", 11),
    ("TCP_NEW_SYN_RECV", 12),
    ("IPPROTO_ICMP", 1),
    ("IPPROTO_TCP", 6),
    ("IPPROTO_UDP", 17),
];

/// <errno.h>, from 1 on; `-` where there is none.
static ERRORS: &str = "EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST \
    EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM \
    ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP - ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG \
    EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT - EBFONT ENOSTR ENODATA ETIME ENOSR ENONET \
    ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG \
    ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE \
    EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE \
    EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN \
    ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL \
    EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD \
    ENOTRECOVERABLE ERFKILL EHWPOISON";

/// <signal.h>, from 1 on, without `SIG`.
static SIGNALS: &str = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG \
    XCPU XFSZ VTALRM PROF WINCH IO PWR SYS";

/// The value of a well-known constant.
pub(crate) fn find(name: &str) -> Option<i64> {
    let known = CONSTANTS.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    known.or_else(|| position(ERRORS, name)).or_else(|| position(SIGNALS, name.strip_prefix("SIG")?))
}

/// The number of a signal by its name, with or without `SIG`.
pub(crate) fn signal(name: &str) -> Option<i64> {
    find(&format!("SIG{}", name.strip_prefix("SIG").unwrap_or(name)))
}

fn position(names: &str, name: &str) -> Option<i64> {
    names.split(' ').position(|n| n == name && n != "-").map(|i| i as i64 + 1)
}
