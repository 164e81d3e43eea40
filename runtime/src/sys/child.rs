//! The program of `-c CMD`: made before anything is attached, started after, so that nothing of it is missed.
#![allow(unsafe_code, reason = "fork, exec and pidfd_open")]

use std::{
    ffi::{CString, OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

/// A child that waits for [`Child::start`].
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    pidfd: OwnedFd,
    /// Writing a byte starts it; closing without kills it.
    gate: Option<File>,
    /// Carries errno if the program could not be executed.
    failed: Option<File>,
    status: Option<i32>,
}

#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    #[error("an empty command")]
    Empty,
    #[error("there is no program {0}")]
    NotFound(String),
    #[error("{0} could not be started: {1}")]
    Start(String, io::Error),
}

impl Child {
    /// Forks a child that will become `command` (program and arguments; the program is searched in PATH).
    pub fn prepare(command: &[OsString]) -> Result<Self, ChildError> {
        let program = command.first().ok_or(ChildError::Empty)?;
        let name = program.to_string_lossy().into_owned();
        let path = find_program(program).ok_or_else(|| ChildError::NotFound(name.clone()))?;
        let start = |e: io::Error| ChildError::Start(name.clone(), e);
        let c_string = |s: &OsStr| CString::new(s.as_bytes()).map_err(|e| start(e.into()));
        let path = c_string(path.as_os_str())?;
        let args = command.iter().map(|a| c_string(a)).collect::<Result<Vec<_>, _>>()?;
        let mut argv: Vec<*const libc::c_char> = args.iter().map(|a| a.as_ptr()).collect();
        argv.push(std::ptr::null());
        let (wait, gate) = pipe().map_err(start)?;
        let (failed, tell) = pipe().map_err(start)?;
        // SAFETY: the child calls only async-signal-safe functions on memory prepared before.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => Err(start(io::Error::last_os_error())),
            0 => {
                drop(gate);
                become_program(&wait, &tell, &path, &argv)
            }
            pid => {
                let pidfd = pidfd_open(pid).map_err(start)?;
                Ok(Self { pid, pidfd, gate: Some(gate), failed: Some(failed), status: None })
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid as u32
    }

    /// Lets it execute its program; returns when it has.
    pub fn start(&mut self) -> Result<(), ChildError> {
        let (Some(mut gate), Some(mut failed)) = (self.gate.take(), self.failed.take()) else { return Ok(()) };
        let start = |e| ChildError::Start(String::from("the command"), e);
        gate.write_all(&[1]).map_err(start)?;
        let mut errno = [0; 4];
        match failed.read(&mut errno).map_err(start)? {
            0 => Ok(()),
            _ => Err(start(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))),
        }
    }

    /// Its wait status, once it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        if self.status.is_none() {
            let mut status = 0;
            // SAFETY: our own child and a live integer.
            if unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) } == self.pid {
                self.status = Some(status);
            }
        }
        self.status
    }
}

impl AsFd for Child {
    /// Readable when the child has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Child {
    /// Ends a child that is still running (SIGTERM), as bpftrace does.
    fn drop(&mut self) {
        self.gate = None;
        if self.ended().is_none() {
            // SAFETY: our own child, which has not been waited for, so that its pid is still its own.
            unsafe {
                libc::kill(self.pid, libc::SIGTERM);
                libc::waitpid(self.pid, std::ptr::null_mut(), libc::WNOHANG);
            }
        }
    }
}

/// In the child: waits for the parent's byte, then executes.
fn become_program(wait: &File, tell: &File, path: &CString, argv: &[*const libc::c_char]) -> ! {
    use std::os::fd::AsRawFd;
    let mut byte = 0u8;
    // SAFETY: only async-signal-safe calls on live memory; `argv` ends with null; _exit doesn't return.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let n = libc::read(wait.as_raw_fd(), (&raw mut byte).cast(), 1);
        if n == 1 {
            libc::execv(path.as_ptr(), argv.as_ptr());
            let errno = *libc::__errno_location();
            libc::write(tell.as_raw_fd(), (&raw const errno).cast(), 4);
        }
        libc::_exit(127)
    }
}

/// (read, write), close-on-exec.
fn pipe() -> io::Result<(File, File)> {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both are new and owned by nobody else.
    unsafe { Ok((File::from_raw_fd(fds[0]), File::from_raw_fd(fds[1]))) }
}

/// A descriptor that becomes readable when the process ends (Linux 5.3).
pub fn pidfd_open(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: integers only; a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: new, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Ends (SIGKILL) all of a process group. `leader`: a child that began it and was not waited for, so that its number is still its own.
pub fn kill_group(leader: u32) {
    // A group 0 would be our own, and 1 everybody.
    if let Some(group) = libc::pid_t::try_from(leader).ok().filter(|group| *group > 1) {
        // SAFETY: integers only.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
}

/// The file that a shell would execute.
fn find_program(program: &OsStr) -> Option<PathBuf> {
    let runs = |path: &Path| {
        let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return false };
        // SAFETY: a NUL-terminated path.
        path.is_file() && unsafe { libc::access(name.as_ptr(), libc::X_OK) } == 0
    };
    if program.as_bytes().contains(&b'/') {
        let path = PathBuf::from(program);
        return runs(&path).then_some(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from_vec(b"/usr/local/bin:/usr/bin:/bin".to_vec()));
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| runs(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(child: &mut Child) -> i32 {
        for _ in 0..500 {
            if let Some(status) = child.ended() {
                return status;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("still running");
    }

    #[test]
    fn runs_only_when_started() {
        let mut child = Child::prepare(&["sh".into(), "-c".into(), "exit 7".into()]).expect("sh");
        std::thread::sleep(std::time::Duration::from_millis(30));
        assert_eq!(child.ended(), None);
        child.start().expect("started");
        assert_eq!(libc::WEXITSTATUS(wait(&mut child)), 7);
    }

    #[test]
    fn errors_name_the_program() {
        let error = Child::prepare(&["no-such-program-here".into()]).expect_err("not there");
        assert_eq!(error.to_string(), "there is no program no-such-program-here");
        let dir = std::env::temp_dir().join(format!("weftrace-child-{}", std::process::id()));
        std::fs::write(&dir, "not a program").expect("written");
        std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("permissions");
        let mut child = Child::prepare(&[dir.clone().into()]).expect("a file that looks like one");
        let error = child.start().expect_err("no program");
        assert!(error.to_string().contains("Exec format error"), "{error}");
        std::fs::remove_file(dir).expect("removed");
    }
}
