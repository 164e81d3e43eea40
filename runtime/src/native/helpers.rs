//! The functions that handlers call, in the order of [`NativeHelper`].
//!
//! Generated code passes valid pointers: the IR's verifier and the code generator see to it that sizes match the map's,
//! the slot's and the packet's.
#![allow(unsafe_code, reason = "called from generated code with raw pointers")]
#![allow(
    clippy::cast_ptr_alignment,
    reason = "the environment's host is a NativeHost, whose address went through *mut u8"
)]

use super::host::NativeHost;
use crate::sys;
use std::slice::{from_raw_parts, from_raw_parts_mut};
use weftrace_artifact::{
    abi::{BytesKey, ConnKey},
    headers,
    map::MapId,
    native::{HandlerEnv, NativeHelper},
    packet::{PacketBytes, PacketEnd, PacketView},
};
use weftrace_probes::packet::{bytes_key, conn_key};

/// # Safety
/// `env` must be the environment that [`super::Native`] made for the running handler.
unsafe fn host<'a>(env: *mut HandlerEnv) -> &'a mut NativeHost {
    // SAFETY: `host` is set to a live NativeHost, which nothing else uses while a handler runs.
    unsafe { &mut *(*env).host.cast::<NativeHost>() }
}

/// # Safety
/// `ptr` must be readable for `len` bytes; null counts as empty.
unsafe fn bytes<'a>(ptr: u64, len: u64) -> &'a [u8] {
    // SAFETY: by this function's contract.
    if ptr == 0 { &[] } else { unsafe { from_raw_parts(ptr as *const u8, len as usize) } }
}

/// # Safety
/// `ptr` must be writable for `len` bytes; null counts as empty.
unsafe fn bytes_mut<'a>(ptr: u64, len: u64) -> &'a mut [u8] {
    // SAFETY: by this function's contract.
    if ptr == 0 { &mut [] } else { unsafe { from_raw_parts_mut(ptr as *mut u8, len as usize) } }
}

unsafe extern "C" fn map_lookup(env: *mut HandlerEnv, map: u64, key: u64) -> u64 {
    // SAFETY: the environment and a key of the map's size, by the code generator.
    let (host, map) = unsafe { (host(env), MapId(map as u32)) };
    // SAFETY: as above.
    let key = unsafe { bytes(key, host.key_size(map) as u64) };
    host.lookup(map, key).map_or(0, |p| p as u64)
}

unsafe extern "C" fn map_update(env: *mut HandlerEnv, map: u64, key: u64, value: u64, flags: u64) -> u64 {
    // SAFETY: the environment, by the code generator.
    let (host, map) = unsafe { (host(env), MapId(map as u32)) };
    // SAFETY: a key and a value of the map's sizes, by the code generator.
    let (key, value) = unsafe { (bytes(key, host.key_size(map) as u64), bytes(value, host.value_size(map) as u64)) };
    host.update(map, key, value, flags) as u64
}

unsafe extern "C" fn map_delete(env: *mut HandlerEnv, map: u64, key: u64) -> u64 {
    // SAFETY: the environment, by the code generator.
    let (host, map) = unsafe { (host(env), MapId(map as u32)) };
    // SAFETY: a key of the map's size, by the code generator.
    let key = unsafe { bytes(key, host.key_size(map) as u64) };
    host.delete(map, key) as u64
}

unsafe extern "C" fn record_reserve(env: *mut HandlerEnv, size: u64) -> u64 {
    // SAFETY: the environment, by the code generator.
    unsafe { host(env) }.reserve(size as usize).map_or(0, |p| p as u64)
}

unsafe extern "C" fn record_submit(env: *mut HandlerEnv, record: u64) -> u64 {
    // SAFETY: the environment, by the code generator.
    unsafe { host(env) }.records.submit(record as *const u64);
    0
}

unsafe extern "C" fn record_discard(env: *mut HandlerEnv, record: u64) -> u64 {
    // SAFETY: the environment, by the code generator.
    unsafe { host(env) }.records.discard(record as *const u64);
    0
}

unsafe extern "C" fn count_loss(env: *mut HandlerEnv, slot: u64) -> u64 {
    // SAFETY: the environment, by the code generator.
    unsafe { host(env) }.count_loss(slot);
    0
}

unsafe extern "C" fn random(env: *mut HandlerEnv) -> u64 {
    // SAFETY: the environment, by the code generator.
    u64::from(unsafe { host(env) }.next_random())
}

unsafe extern "C" fn pid_tgid(_: *mut HandlerEnv) -> u64 {
    // SAFETY: gettid takes nothing and can't fail.
    let tid = unsafe { libc::gettid() };
    (u64::from(std::process::id()) << 32) | tid as u64
}

unsafe extern "C" fn uid_gid(_: *mut HandlerEnv) -> u64 {
    // SAFETY: both calls take nothing and can't fail.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    (u64::from(gid) << 32) | u64::from(uid)
}

unsafe extern "C" fn cpu(_: *mut HandlerEnv) -> u64 {
    // SAFETY: takes nothing.
    unsafe { libc::sched_getcpu() }.max(0) as u64
}

unsafe extern "C" fn comm(_: *mut HandlerEnv, dst: u64, capacity: u64) -> u64 {
    // SAFETY: a slot of `capacity` bytes, by the code generator.
    let dst = unsafe { bytes_mut(dst, capacity) };
    dst.fill(0);
    let name = std::fs::read("/proc/thread-self/comm").unwrap_or_default();
    let name = name.strip_suffix(b"\n").unwrap_or(&name);
    let n = name.len().min(dst.len().saturating_sub(1));
    dst[..n].copy_from_slice(&name[..n]);
    0
}

/// The event's own time is in the environment; who calls this wants the clock's.
unsafe extern "C" fn clock_gettime(env: *mut HandlerEnv, clock: u64) -> u64 {
    // SAFETY: the environment, by the code generator.
    let host = unsafe { host(env) };
    if host.recorded && clock == libc::CLOCK_BOOTTIME as u64 {
        return host.now;
    }
    i32::try_from(clock).map_or(0, |clock| host.store.reads.clock(|| sys::now(clock)))
}

unsafe extern "C" fn copy_str(_: *mut HandlerEnv, dst: u64, capacity: u64, src: u64, len: u64) -> u64 {
    // SAFETY: a destination of `capacity` and a source of `len` bytes that don't overlap, by the code generator.
    let (dst, src) = unsafe { (bytes_mut(dst, capacity), bytes(src, len)) };
    put_str(dst, src)
}

/// Copies what fits, always NUL-terminates, zeroes the rest; returns the length. NULs within are copied (packed headers have
/// them); readers of a string stop at the first.
fn put_str(dst: &mut [u8], src: &[u8]) -> u64 {
    let n = src.len().min(dst.len().saturating_sub(1));
    dst[..n].copy_from_slice(&src[..n]);
    dst[n..].fill(0);
    n as u64
}

unsafe extern "C" fn copy_headers(
    _: *mut HandlerEnv,
    dst: u64,
    capacity: u64,
    packed: u64,
    len: u64,
    names: u64,
    names_len: u64,
) -> u64 {
    // SAFETY: a destination, packed headers and names of these lengths, by the code generator; the first overlaps none.
    let (dst, packed, names) = unsafe { (bytes_mut(dst, capacity), bytes(packed, len), bytes(names, names_len)) };
    headers::copy(dst, packed, names)
}

unsafe extern "C" fn header_get(
    env: *mut HandlerEnv,
    headers: u64,
    headers_len: u64,
    name: u64,
    name_len: u64,
    dst: u64,
    capacity: u64,
) -> u64 {
    // SAFETY: packed headers, a name and a slot of these lengths, by the code generator.
    let (headers, name, dst) =
        unsafe { (bytes(headers, headers_len), bytes(name, name_len), bytes_mut(dst, capacity)) };
    if let Some(value) = headers::find(headers, name) {
        let len = put_str(dst, value);
        // SAFETY: the environment, by the code generator.
        if unsafe { host(env) }.hides_secrets {
            crate::record::redact::hide(name, &mut dst[..len as usize]);
        }
        return len;
    }
    dst.fill(0);
    u64::MAX
}

unsafe extern "C" fn map_len(env: *mut HandlerEnv, map: u64) -> u64 {
    // SAFETY: the environment, by the code generator.
    unsafe { host(env) }.len(MapId(map as u32))
}

unsafe extern "C" fn packet_conn(_: *mut HandlerEnv, subject: u64, whose: u64, dst: u64) -> u64 {
    if subject == 0 || dst == 0 {
        return 0;
    }
    let whose = PacketEnd::ALL.into_iter().find(|w| *w as u64 == whose);
    // SAFETY: the subject of a packet handler is a PacketView, and the slot has a ConnKey's size, by the code generator.
    let (view, dst) = unsafe { (&*(subject as *const PacketView), dst as *mut ConnKey) };
    let key = whose.and_then(|whose| conn_key(view, whose));
    // SAFETY: as above; the slot may be unaligned for u32 loads.
    unsafe { dst.write_unaligned(key.unwrap_or_default()) };
    u64::from(key.is_some())
}

unsafe extern "C" fn packet_bytes(_: *mut HandlerEnv, subject: u64, which: u64, dst: u64) -> u64 {
    if subject == 0 || dst == 0 {
        return 0;
    }
    let which = PacketBytes::ALL.into_iter().find(|w| *w as u64 == which);
    // SAFETY: the subject of a packet handler is a PacketView, and the slot has a BytesKey's size, by the code generator.
    let (view, dst) = unsafe { (&*(subject as *const PacketView), dst as *mut BytesKey) };
    let key = which.and_then(|which| bytes_key(view, which));
    // SAFETY: as above; the slot may be unaligned.
    unsafe { dst.write_unaligned(key.unwrap_or_default()) };
    u64::from(key.is_some())
}

unsafe extern "C" fn map_at(env: *mut HandlerEnv, map: u64, index: u64, key: u64, value: u64) -> u64 {
    // SAFETY: the environment, by the code generator.
    let (host, map) = unsafe { (host(env), MapId(map as u32)) };
    let sizes = (host.key_size(map) as u64, host.value_size(map) as u64);
    // SAFETY: a key and a value of the map's sizes, by the code generator.
    let (key, value) = unsafe { (bytes_mut(key, sizes.0), bytes_mut(value, sizes.1)) };
    u64::from(host.element(map, index as usize, key, value))
}

unsafe extern "C" fn map_whole(env: *mut HandlerEnv, map: u64, part: u64, key: u64, dst: u64) -> u64 {
    // SAFETY: the environment, by the code generator.
    let (host, map) = unsafe { (host(env), MapId(map as u32)) };
    let sizes = (host.key_size(map) as u64, host.value_size(map) as u64);
    // SAFETY: a key and a value of the map's sizes, by the code generator.
    let (key, dst) = unsafe { (bytes(key, sizes.0), bytes_mut(dst, sizes.1)) };
    u64::from(part == 0 && host.whole(map, key, dst))
}

unsafe extern "C" fn observe(env: *mut HandlerEnv, map: u64, key: u64, value: u64, signed: u64) -> u64 {
    // SAFETY: the environment, by the code generator.
    let (host, map) = unsafe { (host(env), MapId(map as u32)) };
    // SAFETY: a key of the map's size, by the code generator.
    let key = unsafe { bytes(key, host.key_size(map) as u64) };
    host.observe(map, key, if signed == 0 { i128::from(value) } else { i128::from(value as i64) });
    0
}

unsafe extern "C" fn interrupted(_: *mut HandlerEnv) -> u64 {
    sys::interrupt::leave_loop()
}

/// Function pointers as generated code reads them.
#[repr(transparent)]
pub(super) struct HelperTable([*const u8; NativeHelper::COUNT]);

// SAFETY: constant addresses of functions.
unsafe impl Sync for HelperTable {}

impl HelperTable {
    pub(super) fn as_ptr(&self) -> *const *const u8 {
        self.0.as_ptr()
    }
}

/// One row per [`NativeHelper`], in its order.
pub(super) static TABLE: HelperTable = HelperTable([
    map_lookup as *const u8,
    map_update as *const u8,
    map_delete as *const u8,
    record_reserve as *const u8,
    record_submit as *const u8,
    record_discard as *const u8,
    count_loss as *const u8,
    random as *const u8,
    pid_tgid as *const u8,
    uid_gid as *const u8,
    cpu as *const u8,
    comm as *const u8,
    clock_gettime as *const u8,
    copy_str as *const u8,
    copy_headers as *const u8,
    header_get as *const u8,
    map_len as *const u8,
    packet_conn as *const u8,
    map_at as *const u8,
    map_whole as *const u8,
    packet_bytes as *const u8,
    observe as *const u8,
    interrupted as *const u8,
]);

#[cfg(test)]
mod tests;
