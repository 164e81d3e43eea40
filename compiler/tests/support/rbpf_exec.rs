//! Runs eBPF code in user space (rbpf's interpreter), with helpers over the interpreter's [`Host`].

#![allow(unsafe_code, reason = "helpers get addresses from interpreted code")]

use super::case::Case;
use super::ebpf_env::{OWN, PROBE, PROGRAM, SCRATCH, env, specs};
use super::{Executor, Outcome, retarget};
use std::cell::RefCell;
use weftrace_artifact::abi::LossSlot;
use weftrace_artifact::action::ActionId;
use weftrace_artifact::program::{ProgType, ProgramImage};
use weftrace_compiler::ebpf::{self, Features, insn};
use weftrace_compiler::ir::interp::host::{Host, Record};
use weftrace_compiler::ir::{Function, Target, Term};

const SLOTS: usize = LossSlot::COUNT as usize;

/// What stands for map 0's address in a register.
const MAP_HANDLE: u64 = 0x4d41_5000;

pub struct Rbpf;

impl Executor for Rbpf {
    fn name(&self) -> &'static str {
        "rbpf"
    }

    fn supports(&self, func: &Function, case: &Case) -> bool {
        !case.host().ctx.is_empty() && kernel_function(func).is_some()
    }

    fn run(&self, func: &Function, case: &Case) -> Result<Outcome, String> {
        let (func, actions) = with_own_actions(&kernel_function(func).ok_or("not for the kernel")?);
        let maps = specs(case);
        let features = Features { rbpf: true, ..Features::default() };
        let image = ebpf::compile(&func, &env(&maps, &[], features)).map_err(|e| e.to_string())?;
        let host = case.host();
        let mut ctx = host.ctx.clone();
        let state = State {
            first_own: host.maps.len(),
            scratch: vec![0xa5; SCRATCH as usize].into(),
            losses: vec![0u64; SLOTS * (PROGRAM as usize + 1)].into(),
            records: vec![],
            reserved: 0,
            actions,
            error: None,
            host,
        };
        STATE.with_borrow_mut(|s| *s = Some(state));
        let result = execute(&image, &mut ctx);
        let mut state = STATE.with_borrow_mut(Option::take).unwrap();
        let result = result?;
        state.error.take().map_or(Ok(()), Err)?;
        if state.records.iter().any(Option::is_some) {
            return Err("records are still open".into());
        }
        let first = SLOTS * PROGRAM as usize;
        if state.losses[..first].iter().any(|&n| n > 0) {
            return Err("another program's losses were counted".into());
        }
        state.host.losses.copy_from_slice(&state.losses[first..first + SLOTS]);
        Ok(Outcome::of(result, &state.host))
    }
}

/// The function as a raw tracepoint's program.
pub fn kernel_function(func: &Function) -> Option<Function> {
    retarget(func, Target::Kernel(ProgType::RawTracepoint))
}

/// Per reservation: its action and payload size.
pub type Actions = Vec<(u32, u32)>;

/// The function with reservation number n giving its record action n, since a record alone does not tell its payload's size
/// (and one action may come with several in these tests).
pub fn with_own_actions(func: &Function) -> (Function, Actions) {
    let mut func = func.clone();
    let mut actions = vec![];
    for block in &mut func.blocks {
        if let Term::Reserve { action, size, .. } = &mut block.term {
            actions.push((action.0, *size));
            *action = ActionId(actions.len() as u32 - 1);
        }
    }
    (func, actions)
}

fn execute(image: &ProgramImage, ctx: &mut [u8]) -> Result<u64, String> {
    let mut insns = image.insns.clone();
    for reloc in &image.map_relocs {
        let at = reloc.insn as usize;
        insns[at] = insns[at] & 0xfff | (MAP_HANDLE + u64::from(reloc.map.0)) << 32;
    }
    for word in &mut insns {
        // rbpf negates with overflow checks: multiply by -1 instead.
        if *word & 0xff == 0x87 {
            *word = *word & 0xf00 | 0x27 | 0xffff_ffff << 32;
        }
    }
    let code: Vec<u8> = insns.iter().flat_map(|w| w.to_le_bytes()).collect();
    let mut vm = rbpf::EbpfVmRaw::new(Some(&code)).map_err(|e| e.to_string())?;
    for &(number, helper) in HELPERS {
        vm.register_helper(number, helper).map_err(|e| e.to_string())?;
    }
    // Map values come and go: the interpreter and the kernel check accesses, this executor checks results.
    vm.register_allowed_memory(0..u64::MAX);
    vm.execute_program(ctx).map_err(|e| format!("{e}\n{}", ebpf::dump::disassemble(image, &[], &[])))
}

struct State {
    host: Host,
    /// Number of the first of the back end's own maps.
    first_own: usize,
    scratch: Box<[u8]>,
    losses: Box<[u64]>,
    /// Header and payload of each open reservation.
    records: Vec<Option<Box<[u8]>>>,
    reserved: u32,
    actions: Actions,
    error: Option<String>,
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

fn with<T>(f: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(|s| f(s.as_mut().expect("helpers only run inside execute")))
}

type Helper = fn(u64, u64, u64, u64, u64) -> u64;

const HELPERS: &[(u32, Helper)] = &[
    (1, map_lookup),
    (2, map_update),
    (3, map_delete),
    (5, |_, _, _, _, _| with(|s| s.host.clock(1))),
    (7, |_, _, _, _, _| with(|s| s.host.random())),
    (8, |_, _, _, _, _| with(|s| s.host.cpu.into())),
    (14, |_, _, _, _, _| with(|s| s.host.pid_tgid)),
    (15, |_, _, _, _, _| with(|s| s.host.uid_gid)),
    (16, |dst, capacity, _, _, _| {
        put(dst, &with(|s| s.host.comm(capacity as usize)));
        0
    }),
    (27, |_, _, _, _, _| with(|s| s.host.stack_id as u64)),
    (35, |_, _, _, _, _| with(|s| s.host.current_task)),
    (46, |socket, _, _, _, _| with(|s| s.host.cookies.get(&socket).copied().unwrap_or(0))),
    (67, |_, dst, len, _, _| {
        let frames = with(|s| s.host.stack.clone());
        let bytes: Vec<u8> = frames.iter().take(len as usize / 8).flat_map(|f| f.to_le_bytes()).collect();
        put(dst, &bytes);
        bytes.len() as u64
    }),
    (80, |_, _, _, _, _| with(|s| s.host.cgroup_id)),
    (112, |dst, len, address, _, _| read(dst, len, with(|s| Host::peek(&s.host.user, address, len as usize)))),
    (113, read_kernel),
    (114, |dst, len, address, _, _| read_str(dst, len, with(|s| Host::peek_str(&s.host.user, address, len as usize)))),
    (115, |dst, len, address, _, _| {
        read_str(dst, len, with(|s| Host::peek_str(&s.host.kernel, address, len as usize)))
    }),
    (173, |_, _, _, _, _| with(|s| s.host.func_ip)),
    (125, |_, _, _, _, _| with(|s| s.host.now)),
    (131, reserve),
    (132, submit),
    (133, |at, _, _, _, _| {
        take(at);
        0
    }),
    (158, |_, _, _, _, _| with(|s| s.host.current_task)),
    (175, |_, _, _, _, _| with(|s| s.host.task_registers)),
    (208, |_, _, _, _, _| with(|s| s.host.clock(11))),
    (ebpf::RBPF_MAP_LEN, |handle, _, _, _, _| with(|s| s.host.maps[map_number(handle)].len() as u64)),
    (ebpf::RBPF_MAP_AT, map_at),
    (ebpf::RBPF_MAP_CPU, map_cpu),
];

fn map_cpu(handle: u64, cpu: u64, key: u64, dst: u64, _: u64) -> u64 {
    let at = map_lookup(handle, key, 0, 0, 0);
    if cpu != 0 || at == 0 {
        return 0;
    }
    let size = with(|s| s.host.maps[map_number(handle)].value_size());
    put(dst, bytes(at, size));
    1
}

fn map_at(handle: u64, index: u64, key: u64, value: u64, _: u64) -> u64 {
    with(|s| {
        let found =
            s.host.maps[map_number(handle)].entries().nth(index as usize).map(|(k, v)| (k.to_vec(), v.to_vec()));
        let Some((k, v)) = found else { return 0 };
        put(key, &k);
        put(value, &v);
        1
    })
}

fn bytes<'a>(at: u64, len: u32) -> &'a [u8] {
    // SAFETY: the interpreter ran this case before without fault: the bytes are there.
    if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(at as *const u8, len as usize) } }
}

fn put(at: u64, bytes: &[u8]) {
    // SAFETY: as for `bytes`; the ranges do not overlap, since `bytes` was made by the helper.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) }
}

fn map_number(handle: u64) -> usize {
    (handle - MAP_HANDLE) as usize
}

fn map_lookup(handle: u64, key: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|s| {
        let number = map_number(handle);
        if let Some(own) = number.checked_sub(s.first_own) {
            let index = u32::from_le_bytes(bytes(key, 4).try_into().unwrap());
            return match OWN[own] {
                weftrace_artifact::map::Role::Losses => {
                    s.losses.get_mut(index as usize).map_or(0, |c| std::ptr::from_mut(c) as u64)
                }
                weftrace_artifact::map::Role::Scratch if index == PROGRAM => s.scratch.as_mut_ptr() as u64,
                _ => 0,
            };
        }
        let map = &mut s.host.maps[number];
        let element = map.lookup(bytes(key, map.key_size()));
        element.and_then(|e| map.value_mut(e)).map_or(0, |v| v.as_mut_ptr() as u64)
    })
}

fn map_update(handle: u64, key: u64, value: u64, flags: u64, _: u64) -> u64 {
    with(|s| {
        let map = &mut s.host.maps[map_number(handle)];
        let (key, value) = (bytes(key, map.key_size()).to_vec(), bytes(value, map.value_size()).to_vec());
        map.update(&key, &value, flags) as u64
    })
}

fn map_delete(handle: u64, key: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|s| {
        let map = &mut s.host.maps[map_number(handle)];
        map.delete(bytes(key, map.key_size())) as u64
    })
}

/// Kernel memory is what the case says, and, as in the kernel, the program's own memory.
fn read_kernel(dst: u64, len: u64, address: u64, _: u64, _: u64) -> u64 {
    let found =
        with(|s| Host::peek(&s.host.kernel, address, len as usize)).or_else(|| own_memory(address, len as usize));
    read(dst, len, found)
}

/// Bytes of this process; None where there are none.
fn own_memory(address: u64, len: usize) -> Option<Vec<u8>> {
    let mut out = vec![0u8; len];
    let local = libc::iovec { iov_base: out.as_mut_ptr().cast(), iov_len: len };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: len };
    // SAFETY: `local` is a buffer of `len` bytes; the kernel checks `remote`.
    let got = unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    (got == len as isize).then_some(out)
}

fn read(dst: u64, len: u64, found: Option<Vec<u8>>) -> u64 {
    if let Some(bytes) = found {
        put(dst, &bytes);
        return 0;
    }
    put(dst, &vec![0; len as usize]);
    -14i64 as u64
}

fn read_str(dst: u64, len: u64, found: Option<Vec<u8>>) -> u64 {
    let size = found.as_ref().map_or(0, Vec::len) as u64;
    match read(dst, len, found) {
        0 => size,
        error => error,
    }
}

/// Ring memory has old contents: 0xaa.
fn reserve(_: u64, size: u64, _: u64, _: u64, _: u64) -> u64 {
    with(|s| {
        if s.reserved >= s.host.ring_capacity {
            return 0;
        }
        s.reserved += 1;
        let mut record: Box<[u8]> = vec![0xaa; size as usize].into();
        let at = record.as_mut_ptr() as u64;
        s.records.push(Some(record));
        at
    })
}

fn take(at: u64) -> Option<Box<[u8]>> {
    with(|s| {
        let found = s.records.iter_mut().find(|r| r.as_ref().is_some_and(|r| r.as_ptr() as u64 == at));
        let record = found.and_then(Option::take);
        if record.is_none() {
            s.error = Some("not a reserved record".into());
        }
        record
    })
}

fn submit(at: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    let Some(record) = take(at) else { return 0 };
    with(|s| match parse_record(&record, &s.actions) {
        Ok((action, probe, time, payload)) => {
            if probe != PROBE || time != s.host.now {
                s.error.get_or_insert_with(|| format!("wrong header: probe {probe}, time {time}"));
            }
            s.host.records.push(Record { action: ActionId(action), payload });
        }
        Err(message) => s.error = Some(message),
    });
    0
}

/// (action, probe, time, payload); the padding after the payload must be zero.
pub fn parse_record(record: &[u8], actions: &Actions) -> Result<(u32, u32, u64, Vec<u8>), String> {
    let word = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
    let time = u64::from_le_bytes(record[8..16].try_into().unwrap());
    let &(action, size) = actions.get(word(0) as usize).ok_or_else(|| format!("no such action: {}", word(0)))?;
    let (payload, padding) = record[16..].split_at_checked(size as usize).ok_or("record too short")?;
    if padding.iter().any(|&b| b != 0) || padding.len() >= 8 {
        return Err(format!("padding {padding:02x?}"));
    }
    Ok((action, word(4), time, payload.to_vec()))
}

/// Every word of the program decodes.
pub fn decodes(image: &ProgramImage) -> bool {
    let mut at = 0;
    while at < image.insns.len() {
        let Some(insn) = insn::decode(&image.insns[at..]) else { return false };
        at += insn.units();
    }
    true
}
