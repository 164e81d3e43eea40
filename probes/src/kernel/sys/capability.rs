#![allow(unsafe_code, reason = "capget(2), capset(2) and prctl(2) have no safe wrappers")]
//! Capabilities of the calling thread, and how to have fewer. They are a thread's own: threads that it makes later have the same.

use super::SyscallError;

/// The three sets of a thread; bits are numbers of linux/capability.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// _LINUX_CAPABILITY_VERSION_3: sets of 64 bits in two parts.
const VERSION: u32 = 0x2008_0522;

impl CapSets {
    /// Of this thread.
    pub fn get() -> Result<Self, SyscallError> {
        let mut header = Header { version: VERSION, pid: 0 };
        let mut parts = [Data::default(); 2];
        // SAFETY: both are live and laid out as the kernel has them; this version fills two parts.
        let got = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, parts.as_mut_ptr()) };
        if got < 0 {
            return Err(SyscallError::last("capget"));
        }
        let join = |of: fn(&Data) -> u32| u64::from(of(&parts[0])) | u64::from(of(&parts[1])) << 32;
        Ok(Self {
            effective: join(|d| d.effective),
            permitted: join(|d| d.permitted),
            inheritable: join(|d| d.inheritable),
        })
    }

    /// Makes them this thread's.
    pub fn set(self) -> Result<(), SyscallError> {
        let mut header = Header { version: VERSION, pid: 0 };
        let part = |shift: u32| Data {
            effective: (self.effective >> shift) as u32,
            permitted: (self.permitted >> shift) as u32,
            inheritable: (self.inheritable >> shift) as u32,
        };
        let parts = [part(0), part(32)];
        // SAFETY: both are live and laid out as the kernel has them; this version reads two parts.
        let got = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, parts.as_ptr()) };
        if got < 0 { Err(SyscallError::last("capset")) } else { Ok(()) }
    }
}

fn prctl(option: i32, argument: u64, second: u64, call: &'static str) -> Result<i32, SyscallError> {
    // SAFETY: the options used here take integers only.
    let got = unsafe { libc::prctl(option, argument, second, 0u64, 0u64) };
    if got < 0 { Err(SyscallError::last(call)) } else { Ok(got) }
}

/// Whether this kernel knows a capability (CAP_BPF: Linux 5.8).
pub fn knows_capability(number: u32) -> bool {
    prctl(libc::PR_CAPBSET_READ, number.into(), 0, "prctl(PR_CAPBSET_READ)").is_ok()
}

/// No program that this thread executes can have it again. Needs CAP_SETPCAP.
pub fn drop_from_bounding_set(number: u32) -> Result<(), SyscallError> {
    prctl(libc::PR_CAPBSET_DROP, number.into(), 0, "prctl(PR_CAPBSET_DROP)").map(drop)
}

/// Programs that this thread executes inherit none.
pub fn clear_ambient_set() -> Result<(), SyscallError> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0, "prctl(PR_CAP_AMBIENT)").map(drop)
}

/// What this thread executes never gains privileges by it: neither by set-user-ID nor by capabilities of files.
pub fn no_new_privileges() -> Result<(), SyscallError> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, "prctl(PR_SET_NO_NEW_PRIVS)").map(drop)
}

/// Being user 0 gives no capabilities any more, for good. Needs CAP_SETPCAP.
pub fn root_is_nobody() -> Result<(), SyscallError> {
    /// SECBIT_NOROOT and SECBIT_NO_SETUID_FIXUP, both locked.
    const BITS: u64 = 0b1111;
    prctl(libc::PR_SET_SECUREBITS, BITS, 0, "prctl(PR_SET_SECUREBITS)").map(drop)
}
