//! System calls by number. A name is the kernel's, as in the tracepoints `syscalls:sys_enter_NAME` where they differ from the manual's.

pub(crate) mod aarch64;
pub(crate) mod x86_64;

/// From this number on every architecture has the same ones.
const SINCE_424: (u32, &str) = (
    424,
    "pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount \
     fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr \
     quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret process_mrelease \
     futex_waitv set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue \
     statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat \
     listxattrat removexattrat open_tree_attr file_getattr file_setattr",
);
