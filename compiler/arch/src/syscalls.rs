//! System calls by number. A name is the kernel's, as in the tracepoints `syscalls:sys_enter_NAME` where they differ from the manual's.

pub(crate) mod aarch64;
pub(crate) mod x86_64;
