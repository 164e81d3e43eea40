//! Artifacts by hand, and writers that tests can look into.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(unsafe_code, reason = "asks for its own resource usage")]

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::{Mutex, MutexGuard},
};
use weftrace_artifact::{
    Artifact, Place,
    action::{Action, ActionKind, Conv, Piece, Spec},
    map::{Home, Kind, MapId, MapSpec, Role, Value},
    native::{Entry, NativeImage},
    plan::{Attach, ProbePlan, Unit, Way},
    program::{MapReloc, ProgType, ProgramImage},
    ty::{Field, Type},
};
use weftrace_runtime::sink::{Sink, TextSink};

/// Sessions of one test program share its signals: one at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[derive(Clone, Default)]
pub struct Shared(Rc<RefCell<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).expect("UTF-8")
    }
}

pub fn sink(out: &Shared, err: &Shared) -> Box<dyn Sink> {
    Box::new(TextSink::new(Box::new(out.clone()), Box::new(err.clone()), false))
}

pub fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|s| s.lines().any(|l| l.starts_with("Uid:\t0")))
}

pub fn map(name: &str, role: Role, kind: Kind, value_size: u32, max_entries: u32) -> MapSpec {
    let script = role == Role::Script;
    MapSpec {
        name: name.into(),
        role,
        kind,
        home: Home::Kernel,
        key: None,
        value: Value::Count,
        key_size: if kind == Kind::Ringbuf { 0 } else { 4 },
        value_size,
        max_entries,
        presence: script.then_some(8),
        ring: None,
        ttl: None,
        place: Place::default(),
    }
}

pub fn probe(name: &str, unit: Unit, way: Way) -> ProbePlan {
    ProbePlan {
        name: name.into(),
        reason: String::new(),
        best: Attach::new(way, unit),
        fallbacks: vec![],
        passed: vec![],
        session: None,
        place: Place::default(),
        wildcard: false,
        further: false,
        packet_needs: 0,
        asks: weftrace_artifact::packet::Asked::default(),
        emits: vec![],
        maps: vec![],
    }
}

pub fn action(kind: ActionKind, size: u32) -> Action {
    let args = if size == 8 { vec![Field { name: None, offset: 0, ty: Type::I64, bits: None }] } else { vec![] };
    Action { kind, args, size, place: Place::default() }
}

pub fn printf_text(text: &str) -> Action {
    action(ActionKind::Printf(vec![Piece::Text(text.into())]), 0)
}

pub fn printf_number() -> Action {
    let spec = Spec { conv: Conv::Signed, ..Spec::default() };
    action(ActionKind::Printf(vec![Piece::Arg { index: 0, spec }, Piece::Text("\n".into())]), 8)
}

/// A machine-code handler (x86-64) that writes a record of each action, without arguments.
fn handler(actions: &[u32]) -> Vec<u8> {
    let mut code = vec![
        0x53, 0x41, 0x54, 0x48, 0x83, 0xec, 0x08, // push rbx; push r12; sub rsp, 8
        0x48, 0x89, 0xfb, 0x4c, 0x8b, 0x27, // mov rbx, rdi; mov r12, [rdi]
    ];
    for action in actions {
        code.extend([
            0x48, 0x89, 0xdf, 0xbe, 0x10, 0x00, 0x00, 0x00, // mov rdi, rbx; mov esi, 16
            0x41, 0xff, 0x54, 0x24, 0x18, // call [r12 + 24]: RecordReserve
            0x48, 0x85, 0xc0, 0x74, 0x11, // test rax, rax; je next
            0xc7, 0x00, // mov dword [rax], action
        ]);
        code.extend(action.to_le_bytes());
        code.extend([
            0x48, 0x89, 0xc6, 0x48, 0x89, 0xdf, // mov rsi, rax; mov rdi, rbx
            0x41, 0xff, 0x54, 0x24, 0x20, // call [r12 + 32]: RecordSubmit
        ]);
    }
    code.extend([
        0x31, 0xc0, 0x48, 0x83, 0xc4, 0x08, // xor eax, eax; add rsp, 8
        0x41, 0x5c, 0x5b, 0xc3, // pop r12; pop rbx; ret
    ]);
    code
}

/// Handlers, each of which writes records of the actions given.
pub fn handlers(handlers: &[&[u32]]) -> NativeImage {
    let mut image = NativeImage { arch: "x86_64".into(), ..NativeImage::default() };
    for actions in handlers {
        image.entries.push(Entry { name: format!("{actions:?}"), offset: image.code.len() as u32 });
        image.code.extend(handler(actions));
        image.code.resize(image.code.len().next_multiple_of(16), 0xcc);
    }
    image
}

fn insn(op: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    u64::from(op) | u64::from(dst | (src << 4)) << 8 | u64::from(off as u16) << 16 | u64::from(imm as u32) << 32
}

/// Counts every run by key in map 0 (a per-CPU hash table, key 0), and again in map 1 (a per-CPU array).
pub fn hashing_program() -> ProgramImage {
    let mut image = counting_program(ProgType::Tracepoint);
    image.insns = vec![
        insn(0x62, 10, 0, -4, 0), // *(u32 *)(r10 - 4) = 0
        insn(0xbf, 2, 10, 0, 0),
        insn(0x07, 2, 0, 0, -4),
        insn(0x18, 1, 1, 0, 0), // r1 = map 1
        0,
        insn(0x85, 0, 0, 0, 1), // lookup
        insn(0x15, 0, 0, 3, 0),
        insn(0xb7, 1, 0, 0, 1),
        insn(0xdb, 0, 1, 0, 0), // lock *(u64 *)r0 += 1
        insn(0x7b, 0, 1, 8, 0), // it is set
        insn(0xbf, 2, 10, 0, 0),
        insn(0x07, 2, 0, 0, -4),
        insn(0x18, 1, 1, 0, 0), // r1 = map 0
        0,
        insn(0x85, 0, 0, 0, 1), // lookup
        insn(0x15, 0, 0, 3, 0), // if r0 == 0 goto new
        insn(0xb7, 1, 0, 0, 1),
        insn(0xdb, 0, 1, 0, 0),    // lock *(u64 *)r0 += 1
        insn(0x05, 0, 0, 9, 0),    // goto out
        insn(0x7a, 10, 0, -16, 1), // new: *(u64 *)(r10 - 16) = 1
        insn(0xbf, 2, 10, 0, 0),
        insn(0x07, 2, 0, 0, -4),
        insn(0xbf, 3, 10, 0, 0),
        insn(0x07, 3, 0, 0, -16),
        insn(0xb7, 4, 0, 0, 0),
        insn(0x18, 1, 1, 0, 0), // r1 = map 0
        0,
        insn(0x85, 0, 0, 0, 2), // update
        insn(0xb7, 0, 0, 0, 0), // out
        insn(0x95, 0, 0, 0, 0),
    ];
    let at = |insn, map| MapReloc { insn, map: MapId(map) };
    image.map_relocs = vec![at(3, 1), at(12, 0), at(25, 0)];
    image
}

/// Counts every run in map 0 (per CPU), then writes a record of action 0 with the payload `7`, or counts it as lost.
pub fn counting_program(prog_type: ProgType) -> ProgramImage {
    let mut insns = Vec::new();
    let mut map_relocs = Vec::new();
    let lookup = |map: u32, insns: &mut Vec<u64>, relocs: &mut Vec<MapReloc>| {
        insns.push(insn(0x62, 10, 0, -4, 0)); // *(u32 *)(r10 - 4) = 0
        insns.push(insn(0xbf, 2, 10, 0, 0)); // r2 = r10
        insns.push(insn(0x07, 2, 0, 0, -4)); // r2 += -4
        relocs.push(MapReloc { insn: insns.len() as u32, map: MapId(map) });
        insns.extend([insn(0x18, 1, 1, 0, 0), 0]); // r1 = map
        insns.push(insn(0x85, 0, 0, 0, 1)); // lookup
    };
    lookup(0, &mut insns, &mut map_relocs);
    insns.push(insn(0x15, 0, 0, 3, 0)); // if r0 == 0 skip
    insns.push(insn(0xb7, 1, 0, 0, 1)); // r1 = 1
    insns.push(insn(0xdb, 0, 1, 0, 0)); // lock *(u64 *)(r0 + 0) += r1
    insns.push(insn(0x7b, 0, 1, 8, 0)); // *(u64 *)(r0 + 8) = r1: it is set
    map_relocs.push(MapReloc { insn: insns.len() as u32, map: MapId(1) });
    insns.extend([insn(0x18, 1, 1, 0, 0), 0]); // r1 = ring
    insns.push(insn(0xb7, 2, 0, 0, 24));
    insns.push(insn(0xb7, 3, 0, 0, 0));
    insns.push(insn(0x85, 0, 0, 0, 131)); // ringbuf_reserve
    insns.push(insn(0x55, 0, 0, 10, 0)); // if r0 != 0 goto ok
    lookup(2, &mut insns, &mut map_relocs);
    insns.push(insn(0x15, 0, 0, 2, 0)); // if r0 == 0 goto out
    insns.push(insn(0xb7, 1, 0, 0, 1));
    insns.push(insn(0xdb, 0, 1, 0, 0)); // lost + 1
    insns.push(insn(0x05, 0, 0, 10, 0)); // goto out
    insns.push(insn(0xbf, 6, 0, 0, 0)); // ok: r6 = r0
    insns.push(insn(0x85, 0, 0, 0, 125)); // ktime_get_boot_ns
    insns.push(insn(0x7b, 6, 0, 8, 0));
    insns.push(insn(0x62, 6, 0, 0, 0)); // action 0
    insns.push(insn(0x62, 6, 0, 4, 0)); // probe 0
    insns.push(insn(0x7a, 6, 0, 16, 7)); // payload
    insns.push(insn(0xbf, 1, 6, 0, 0));
    insns.push(insn(0xb7, 2, 0, 0, 0));
    insns.push(insn(0x85, 0, 0, 0, 132)); // ringbuf_submit
    insns.push(insn(0x05, 0, 0, 0, 0));
    insns.push(insn(0xb7, 0, 0, 0, 0)); // out: r0 = 0
    insns.push(insn(0x95, 0, 0, 0, 0));
    ProgramImage {
        name: "count".into(),
        prog_type,
        insns,
        map_relocs,
        field_relocs: vec![],
        btf: vec![],
        func_info: vec![],
        line_info: vec![],
        spans: vec![],
        scratch_size: 0,
        frame_size: 8,
        twin: None,
    }
}

/// Counts and reports every getppid call of the host.
pub fn getppid_artifact(ring_bytes: u32) -> Artifact {
    let event = Way::Tracepoint { category: "syscalls".into(), event: "sys_enter_getppid".into() };
    Artifact {
        maps: vec![
            map("@n", Role::Script, Kind::PercpuArray, 16, 1),
            map("events", Role::Events, Kind::Ringbuf, 0, ring_bytes),
            map("losses", Role::Losses, Kind::PercpuArray, 8, 4),
        ],
        programs: vec![counting_program(ProgType::Tracepoint)],
        actions: vec![printf_number()],
        probes: vec![probe("tracepoint:syscalls:sys_enter_getppid", Unit::Kernel(0), event)],
        ..Artifact::default()
    }
}

/// (CPU time in µs, peak memory in KiB) of this process, without children.
pub fn usage() -> (u64, u64) {
    // SAFETY: all-zero is a valid rusage, which the call fills.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let us = |t: libc::timeval| t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64;
    (us(usage.ru_utime) + us(usage.ru_stime), usage.ru_maxrss as u64)
}
