//! Runs native code in this process, with helpers over the interpreter's [`Host`].

#![allow(unsafe_code, reason = "maps generated code executable and calls it")]

use super::case::Case;
use super::{Executor, Outcome, retarget};
use std::ffi::c_void;
use weftrace_artifact::abi::{LossSlot, RECORD_HEADER_SIZE};
use weftrace_artifact::action::ActionId;
use weftrace_artifact::headers;
use weftrace_artifact::native::{HandlerEnv, NativeHelper};
use weftrace_compiler::ir::interp::host::{Host, Record, copy_str};
use weftrace_compiler::ir::{Function, Target};
use weftrace_compiler::native;

/// Index of the probe that runs.
const PROBE: u32 = 7;

pub struct Native;

impl Executor for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn supports(&self, func: &Function, _: &Case) -> bool {
        retarget(func, Target::Native).is_some()
    }

    fn run(&self, func: &Function, case: &Case) -> Result<Outcome, String> {
        let func = retarget(func, Target::Native).ok_or("not for native code")?;
        // A second function in front: entries other than the first must work too.
        let image = native::compile(&[func.clone(), func]).map_err(|e| e.to_string())?;
        let code = Code::map(&image.code);
        let mut state = State { host: case.host(), records: vec![], error: None };
        for &(offset, region) in &case.pointers {
            let address = state.host.regions[region].as_ptr() as u64;
            state.host.ctx[offset..offset + 8].copy_from_slice(&address.to_le_bytes());
        }
        let subject = state.host.ctx.as_ptr();
        let now = state.host.now;
        // No map's value is known beforehand: every one is looked up.
        let scalars = [std::ptr::null_mut(); MAPS];
        let mut env = HandlerEnv {
            helpers: HELPERS.as_ptr().cast(),
            now,
            probe: PROBE,
            reserved: 0,
            scalars: scalars.as_ptr(),
            host: (&raw mut state).cast(),
        };
        // SAFETY: the code was made for this signature, and stays mapped until after the call; `env` and what it points to live longer.
        let result = unsafe { code.call(image.entries[1].offset, &raw mut env, subject) };
        if state.records.iter().any(Option::is_some) {
            return Err("records are still open".into());
        }
        state.error.take().map_or(Ok(()), Err)?;
        Ok(Outcome::of(result, &state.host))
    }
}

/// More maps than any case has.
const MAPS: usize = 256;

/// Executable memory.
struct Code {
    at: *mut c_void,
    len: usize,
}

impl Code {
    fn map(code: &[u8]) -> Self {
        let len = code.len().max(1);
        // SAFETY: a new anonymous mapping, written while writable and only executable afterwards.
        unsafe {
            let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let at = libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            std::ptr::copy_nonoverlapping(code.as_ptr(), at.cast(), code.len());
            assert_eq!(libc::mprotect(at, len, libc::PROT_READ | libc::PROT_EXEC), 0);
            Self { at, len }
        }
    }

    /// SAFETY: there must be a handler at `offset`, and the arguments must be what it expects.
    unsafe fn call(&self, offset: u32, env: *mut HandlerEnv, subject: *const u8) -> u64 {
        // SAFETY: as above.
        unsafe {
            let entry = self.at.add(offset as usize);
            let handler: extern "C" fn(*mut HandlerEnv, *const u8) -> u64 = std::mem::transmute(entry);
            handler(env, subject)
        }
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made.
        unsafe { libc::munmap(self.at, self.len) };
    }
}

struct State {
    host: Host,
    /// Header and payload of each reservation; None: submitted or discarded.
    records: Vec<Option<Box<[u8]>>>,
    error: Option<String>,
}

type Env = *mut HandlerEnv;

fn state<'a>(env: Env) -> &'a mut State {
    // SAFETY: `run` passed its own env.
    let host = unsafe { (*env).host };
    let state: *mut State = std::ptr::with_exposed_provenance_mut(host.expose_provenance());
    // SAFETY: `run` put it there; helpers run one at a time and give the reference up when they return.
    unsafe { &mut *state }
}

fn bytes<'a>(at: *const u8, len: u64) -> &'a [u8] {
    // SAFETY: the interpreter ran this case before without fault: the bytes are there.
    if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(at, len as usize) } }
}

fn put(at: *mut u8, bytes: &[u8]) {
    // SAFETY: as for `bytes`; the ranges do not overlap, since `bytes` was made by the helper.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) }
}

extern "C" fn map_lookup(env: Env, map: u64, key: *const u8) -> *mut u8 {
    let map = &mut state(env).host.maps[map as usize];
    let element = map.lookup(bytes(key, map.key_size().into()));
    element.and_then(|e| map.value_mut(e)).map_or(std::ptr::null_mut(), <[u8]>::as_mut_ptr)
}

extern "C" fn map_update(env: Env, map: u64, key: *const u8, value: *const u8, flags: u64) -> u64 {
    let map = &mut state(env).host.maps[map as usize];
    let (key, value) = (bytes(key, map.key_size().into()).to_vec(), bytes(value, map.value_size().into()).to_vec());
    map.update(&key, &value, flags) as u64
}

extern "C" fn map_delete(env: Env, map: u64, key: *const u8) -> u64 {
    let map = &mut state(env).host.maps[map as usize];
    map.delete(bytes(key, map.key_size().into())) as u64
}

extern "C" fn record_reserve(env: Env, size: u64) -> *mut u8 {
    let state = state(env);
    if state.records.len() >= state.host.ring_capacity as usize {
        return std::ptr::null_mut();
    }
    state.records.push(Some(vec![0; size as usize].into()));
    state.records.last_mut().unwrap().as_mut().unwrap().as_mut_ptr()
}

fn take(env: Env, at: *const u8) -> Box<[u8]> {
    let found = state(env).records.iter_mut().find(|r| r.as_ref().is_some_and(|r| r.as_ptr() == at));
    if let Some(record) = found.and_then(Option::take) {
        return record;
    }
    state(env).error = Some("not a reserved record".into());
    vec![0; RECORD_HEADER_SIZE as usize].into()
}

extern "C" fn record_submit(env: Env, at: *const u8) -> u64 {
    let record = take(env, at);
    let (head, payload) = record.split_at(RECORD_HEADER_SIZE as usize);
    let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
    let (action, probe) = (word(0), word(4));
    let time = u64::from_le_bytes(head[8..16].try_into().unwrap());
    let state = state(env);
    if probe != PROBE || time != state.host.now {
        state.error.get_or_insert_with(|| format!("wrong header: probe {probe}, time {time}"));
    }
    state.host.records.push(Record { action: ActionId(action), payload: payload.to_vec() });
    0
}

extern "C" fn record_discard(env: Env, at: *const u8) -> u64 {
    take(env, at);
    0
}

extern "C" fn count_loss(env: Env, slot: u64) -> u64 {
    let lost_ring = slot == LossSlot::Ring as u64;
    state(env).host.count_loss(slot);
    // A result that must not be used.
    if lost_ring { 77 } else { 78 }
}

extern "C" fn random(env: Env) -> u64 {
    state(env).host.random()
}

extern "C" fn pid_tgid(env: Env) -> u64 {
    state(env).host.pid_tgid
}

extern "C" fn uid_gid(env: Env) -> u64 {
    state(env).host.uid_gid
}

extern "C" fn cpu(env: Env) -> u64 {
    state(env).host.cpu.into()
}

extern "C" fn comm(env: Env, dst: *mut u8, capacity: u64) -> u64 {
    put(dst, &state(env).host.comm(capacity as usize));
    79
}

extern "C" fn clock_gettime(env: Env, id: u64) -> u64 {
    state(env).host.clock(id)
}

extern "C" fn copy_string(_: Env, dst: *mut u8, capacity: u64, src: *const u8, len: u64) -> u64 {
    let (out, used) = copy_str(capacity as usize, bytes(src, len));
    put(dst, &out);
    used as u64
}

extern "C" fn copy_headers(
    _: Env,
    dst: *mut u8,
    capacity: u64,
    packed: *const u8,
    len: u64,
    names: *const u8,
    names_len: u64,
) -> u64 {
    let mut out = vec![0; capacity as usize];
    let lost = headers::copy(&mut out, bytes(packed, len), bytes(names, names_len));
    put(dst, &out);
    lost
}

extern "C" fn header_get(
    _: Env,
    headers: *const u8,
    headers_len: u64,
    name: *const u8,
    name_len: u64,
    dst: *mut u8,
    capacity: u64,
) -> u64 {
    let Some(value) = headers::find(bytes(headers, headers_len), bytes(name, name_len)) else { return u64::MAX };
    let (out, used) = copy_str(capacity as usize, value);
    put(dst, &out);
    used as u64
}

extern "C" fn map_len(env: Env, map: u64) -> u64 {
    state(env).host.maps[map as usize].len() as u64
}

extern "C" fn packet_bytes(_: Env, _subject: *const u8, _which: u64, dst: *mut u8) -> u64 {
    put(dst, &[0; weftrace_artifact::abi::BYTES_KEY_SIZE as usize]);
    0
}

extern "C" fn packet_conn(env: Env, _subject: *const u8, _whose: u64, dst: *mut u8) -> u64 {
    state(env)
        .host
        .conn
        .is_some_and(|conn| {
            put(dst, &conn);
            true
        })
        .into()
}

extern "C" fn map_at(env: Env, map: u64, index: u64, key: *mut u8, value: *mut u8) -> u64 {
    let found = state(env).host.maps[map as usize].entries().nth(index as usize).map(|(k, v)| (k.to_vec(), v.to_vec()));
    found
        .is_some_and(|(k, v)| {
            put(key, &k);
            put(value, &v);
            true
        })
        .into()
}

/// There is one CPU, and one home.
extern "C" fn map_whole(env: Env, map: u64, part: u64, key: *const u8, dst: *mut u8) -> u64 {
    let map = &state(env).host.maps[map as usize];
    let key = bytes(key, map.key_size().into());
    let found = map.entries().find(|(k, _)| *k == key).map(|(_, v)| v.to_vec()).filter(|_| part == 0);
    found
        .is_some_and(|v| {
            put(dst, &v);
            true
        })
        .into()
}

/// Nobody wants examples.
extern "C" fn observe(_: Env, _map: u64, _key: *const u8, _value: u64, _signed: u64) -> u64 {
    0
}

extern "C" fn interrupted(env: Env) -> u64 {
    state(env).host.interrupted
}

/// Function pointers that never change.
struct Table([*const c_void; NativeHelper::COUNT]);

// SAFETY: addresses of functions.
unsafe impl Sync for Table {}

impl Table {
    fn as_ptr(&self) -> *const *const c_void {
        self.0.as_ptr()
    }
}

/// In the order of [`NativeHelper`].
static HELPERS: Table = Table([
    map_lookup as *const c_void,
    map_update as *const c_void,
    map_delete as *const c_void,
    record_reserve as *const c_void,
    record_submit as *const c_void,
    record_discard as *const c_void,
    count_loss as *const c_void,
    random as *const c_void,
    pid_tgid as *const c_void,
    uid_gid as *const c_void,
    cpu as *const c_void,
    comm as *const c_void,
    clock_gettime as *const c_void,
    copy_string as *const c_void,
    copy_headers as *const c_void,
    header_get as *const c_void,
    map_len as *const c_void,
    packet_conn as *const c_void,
    map_at as *const c_void,
    map_whole as *const c_void,
    packet_bytes as *const c_void,
    observe as *const c_void,
    interrupted as *const c_void,
]);
