//! The system calls that the helper may make: those of its requests, with the arguments that these have. Any other ends it.
//!
//! It holds capabilities to read everything, and its user may own files: so it opens for reading only, and can't be made to write, to
//! execute, to look into memory, to reach the network or to signal anybody.

use crate::kernel::sys;
use libc::c_long;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Is, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// What must be true of an argument: (which, of how many bits, how, what).
type Condition = (u8, Width, Is, u64);

/// The filter is in force from now on, for good.
pub(super) fn confine() -> Result<(), Error> {
    seccompiler::apply_filter(&program()?)
}

fn program() -> Result<BpfProgram, Error> {
    let mut rules = std::collections::BTreeMap::new();
    for (call, conditions) in allowed() {
        let all: Result<Vec<_>, _> =
            conditions.into_iter().map(|(n, width, is, value)| SeccompCondition::new(n, width, is, value)).collect();
        let all = all?;
        // A call without conditions has no rules.
        let rule = if all.is_empty() { Vec::new() } else { vec![SeccompRule::new(all)?] };
        rules.insert(call, rule);
    }
    let arch = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, arch)?.try_into()?)
}

/// Flags of open(2) of which a helper's files have none.
const WRITES: u64 =
    (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND | libc::O_TMPFILE & !libc::O_DIRECTORY) as u64;
const PRIVATE_MEMORY: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
const READ_WRITE: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;

/// Calls by number, and what their arguments must be. Those of several C libraries.
fn allowed() -> Vec<(c_long, Vec<Condition>)> {
    let reads_only = |flags| vec![(flags, Width::Dword, Is::MaskedEq(WRITES), libc::O_RDONLY as u64)];
    let mut all = vec![
        // Requests and answers.
        (libc::SYS_recvmsg, vec![]),
        (libc::SYS_sendmsg, vec![]),
        // Places, and files at them.
        (libc::SYS_openat, reads_only(2)),
        (libc::SYS_openat2, vec![(2, Width::Qword, Is::Eq, sys::in_root_address())]),
        (libc::SYS_fstat, vec![]),
        (libc::SYS_newfstatat, vec![]),
        (libc::SYS_statx, vec![]),
        (libc::SYS_pread64, vec![]),
        (libc::SYS_close, vec![]),
        // The standard library asks whether a descriptor is open before it closes it, where it is built to.
        (libc::SYS_fcntl, vec![(1, Width::Dword, Is::Eq, libc::F_GETFD as u64)]),
        // Memory of its own, where the kernel puts it: nothing that is there is replaced.
        (libc::SYS_brk, vec![]),
        (libc::SYS_mmap, vec![(2, Width::Dword, Is::Eq, READ_WRITE), (3, Width::Dword, Is::Eq, PRIVATE_MEMORY)]),
        (libc::SYS_mremap, vec![(3, Width::Dword, Is::Eq, libc::MREMAP_MAYMOVE as u64)]),
        (libc::SYS_munmap, vec![]),
        (libc::SYS_madvise, vec![]),
        (libc::SYS_restart_syscall, vec![]),
        (libc::SYS_exit_group, vec![]),
        (libc::SYS_exit, vec![]),
    ];
    // Of architectures that have these.
    let by_name =
        |name| weftrace_arch::HOST.syscalls().find(|(_, n)| *n == name).map(|(number, _)| c_long::from(number));
    all.extend(by_name("open").map(|open| (open, reads_only(1))));
    all.extend(["stat", "lstat"].into_iter().filter_map(by_name).map(|call| (call, vec![])));
    all
}
