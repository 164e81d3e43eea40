//! Machine code in memory: writable, then executable, never both.
#![allow(unsafe_code, reason = "mmap and mprotect; turns offsets into functions")]

use std::{io, ptr};
use weftrace_artifact::native::{HandlerEnv, NativeImage};

/// A compiled handler.
pub(super) type Handler = unsafe extern "C" fn(*mut HandlerEnv, *const u8) -> u64;

#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    #[error("the artifact's handlers are for {0}, this machine is {arch}", arch = std::env::consts::ARCH)]
    OtherArch(String),
    #[error("handler {0} begins outside the code")]
    BadEntry(String),
    #[error("no executable memory: {0}")]
    Map(io::Error),
}

/// An image mapped read-only and executable.
#[derive(Debug)]
pub struct Code {
    at: *mut u8,
    len: usize,
    entries: Vec<u32>,
}

impl Code {
    /// Maps the code; None if there is none.
    pub fn map(image: &NativeImage) -> Result<Option<Self>, CodeError> {
        if image.code.is_empty() {
            return Ok(None);
        }
        if image.arch != std::env::consts::ARCH {
            return Err(CodeError::OtherArch(image.arch.clone()));
        }
        if let Some(bad) = image.entries.iter().find(|e| e.offset as usize >= image.code.len()) {
            return Err(CodeError::BadEntry(bad.name.clone()));
        }
        let len = image.code.len();
        // SAFETY: a new private mapping at an address of the kernel's choice.
        let at = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(ptr::null_mut(), len, access, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        if at == libc::MAP_FAILED {
            return Err(CodeError::Map(io::Error::last_os_error()));
        }
        let entries = image.entries.iter().map(|e| e.offset).collect();
        let code = Self { at: at.cast(), len, entries };
        // SAFETY: `at` is `len` writable bytes that nothing else uses.
        unsafe { ptr::copy_nonoverlapping(image.code.as_ptr(), code.at, len) };
        // SAFETY: the mapping made above.
        if unsafe { libc::mprotect(at, len, libc::PROT_READ | libc::PROT_EXEC) } != 0 {
            return Err(CodeError::Map(io::Error::last_os_error()));
        }
        flush_instructions(code.at, len);
        Ok(Some(code))
    }

    pub(super) fn handler(&self, entry: u32) -> Option<Handler> {
        let offset = *self.entries.get(entry as usize)? as usize;
        // SAFETY: the offset is inside the mapping (checked in `map`), which is executable and holds a function of this type there:
        // the compiler's promise for each entry of the image.
        Some(unsafe { std::mem::transmute::<*mut u8, Handler>(self.at.add(offset)) })
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `map`; handlers don't outlive their `Code`.
        unsafe { libc::munmap(self.at.cast(), self.len) };
    }
}

/// aarch64's instruction cache doesn't see stores by itself; x86-64's does.
#[cfg(target_arch = "aarch64")]
fn flush_instructions(at: *mut u8, len: usize) {
    unsafe extern "C" {
        fn __clear_cache(start: *mut libc::c_char, end: *mut libc::c_char);
    }
    // SAFETY: the bounds of the mapping.
    unsafe { __clear_cache(at.cast(), at.add(len).cast()) };
}

#[cfg(not(target_arch = "aarch64"))]
fn flush_instructions(_: *mut u8, _: usize) {}
