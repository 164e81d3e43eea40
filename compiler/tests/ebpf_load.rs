//! This host's verifier must accept what the back end makes of every program type, and quote the script when it refuses.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

mod support;

use support::bpf_door::{self, Map};
use support::ebpf_env::{PROGRAM, SCRATCH, spec};
use weftrace_artifact::Place;
use weftrace_artifact::abi::LossSlot;
use weftrace_artifact::action::ActionId;
use weftrace_artifact::map::{Kind, MapId, MapSpec, Role};
use weftrace_artifact::program::{FieldPath, ProgType, ProgramImage, RelocSlot};
use weftrace_compiler::ebpf::{self, Env, Error, ErrorKind, Features, ProbeId, Scratch, dump};
use weftrace_compiler::ir::builder::FunctionBuilder;
use weftrace_compiler::ir::{BinaryOp, Cond, Function, Helper, Mem, Size, Space, Target, Ty, Value};

const SCRIPT: &str =
    "// what a script looks like\ntracepoint:a:b {\n  printf(\"%s\", args.name);\n  @[pid] = count();\n}\n";

fn maps() -> Vec<MapSpec> {
    vec![
        spec(Role::Script, Kind::PercpuHash, 8, 8, 64),
        spec(Role::Events, Kind::Ringbuf, 0, 0, 1 << 16),
        spec(Role::Losses, Kind::PercpuArray, 4, 8, LossSlot::COUNT * (PROGRAM + 1)),
        spec(Role::Scratch, Kind::PercpuArray, 4, SCRATCH, PROGRAM + 1),
        spec(Role::Stacks { frames: 127, build_id: false, second: false }, Kind::StackTrace, 4, 8 * 127, 64),
    ]
}

fn sources() -> Vec<(String, String)> {
    vec![("example.probe".into(), SCRIPT.into())]
}

fn compile(func: &Function, probe: ProbeId, features: Features) -> ProgramImage {
    let (maps, sources) = (maps(), sources());
    let env = Env {
        actions: &[],
        maps: &maps,
        sources: &sources,
        program: PROGRAM,
        scratch: Scratch { first: PROGRAM, entries: 1 },
        probe,
        features,
    };
    ebpf::compile(func, &env).unwrap_or_else(|e| panic!("{e}\n{func}"))
}

/// Loads the program; the verifier's log. None: no bpf(2) here.
fn load(image: &ProgramImage, btf_id: u32) -> Option<Result<String, String>> {
    if !support::kernel_exec::available() {
        return None;
    }
    let maps: Vec<Map> = maps().iter().map(|s| Map::create(s).unwrap()).collect();
    Some(bpf_door::load(image, &maps, btf_id).map(|(_, log)| log))
}

fn accepted(image: &ProgramImage, btf_id: u32) {
    if let Some(Err(log)) = load(image, btf_id) {
        panic!("{log}\n{}", dump::disassemble(image, &maps(), &sources()));
    }
}

fn place(line: &str) -> Place {
    let start = SCRIPT.find(line).unwrap() as u32;
    Place { start, end: start + line.len() as u32, ..Place::default() }
}

fn builder(prog_type: ProgType) -> FunctionBuilder {
    let mut b = FunctionBuilder::new("example", Target::Kernel(prog_type), place("tracepoint"));
    b.set_place(place("printf"));
    b
}

/// Hands over `words` and a string of 64 bytes at `text` in kernel memory.
fn print(b: &mut FunctionBuilder, text: Value, words: &[Value]) {
    let full = b.create_block(&[]);
    let size = 64 + 8 * words.len() as u32;
    let record = b.reserve_or(ActionId(1), size, full);
    let (capacity, string) = (b.iconst(64), b.ptr_add(record, 8 * words.len() as i32));
    let read = b.call(Helper::ReadKernelStr, &[string, capacity, text]);
    let failed = b.icmp_imm(Cond::Slt, read, 0);
    let (lost, go) = (b.create_block(&[]), b.create_block(&[]));
    b.brif(failed, lost, go);
    b.switch_to(lost);
    let slot = b.iconst(2);
    b.call(Helper::CountLoss, &[slot]);
    b.jump(go, &[]);
    b.switch_to(go);
    for (i, &word) in words.iter().enumerate() {
        b.store(Size::B8, word, record, 8 * i as i32);
    }
    b.submit(record);
    b.jump(full, &[]);
    b.switch_to(full);
}

/// `@[word] = count()`
fn count(b: &mut FunctionBuilder, word: Value) {
    b.set_place(place("@[pid]"));
    let slot = b.slot(8, 8);
    let key = b.slot_addr(slot);
    b.store(Size::B8, word, key, 0);
    let (found, missing) = (b.create_block(&[Ty::Ptr(Space::Map)]), b.create_block(&[]));
    let done = b.create_block(&[]);
    b.lookup(MapId(0), key, found, missing);
    b.switch_to(found);
    let value = b.param(found, 0);
    let old = b.load(Mem::U64, value, 0);
    let new = b.binary_imm(BinaryOp::Iadd, old, 1);
    b.store(Size::B8, new, value, 0);
    b.jump(done, &[]);
    b.switch_to(missing);
    let first = b.slot(8, 8);
    let (first, one, flags) = (b.slot_addr(first), b.iconst(1), b.iconst(0));
    b.store(Size::B8, one, first, 0);
    b.call_map(Helper::MapUpdate, MapId(0), &[key, first, flags]);
    b.jump(done, &[]);
    b.switch_to(done);
}

fn tracepoint() -> Function {
    let mut b = builder(ProgType::Tracepoint);
    let ctx = b.ctx();
    let path = FieldPath::Tracepoint {
        category: "sched".into(),
        event: "sched_process_exec".into(),
        field: "filename".into(),
    };
    // `__data_loc`: offset of the string in the record.
    let loc = b.load_field(Mem::U32, ctx, 8, &path);
    let offset = b.binary_imm(BinaryOp::Band, loc, 0xffff);
    let text = b.ptr_index(ctx, offset, 0xffff);
    let pid = b.call(Helper::PidTgid, &[]);
    let now = b.call(Helper::KtimeBoot, &[]);
    print(&mut b, text, &[pid, now]);
    print(&mut b, text, &[now]);
    let odd = b.load(Mem::U32, ctx, 18);
    let sum = b.iadd(odd, pid);
    count(&mut b, sum);
    b.ret_zero();
    b.finish()
}

#[test]
fn tracepoint_programs() {
    let image = compile(&tracepoint(), ProbeId::Constant(4), Features::default());
    accepted(&image, 0);
    let reloc = &image.field_relocs[0];
    assert_eq!((reloc.slot, reloc.compiled), (RelocSlot::Off, 8));
    assert_eq!((image.insns[reloc.insn as usize] >> 16) as i16, 8);
    // Both records carry the time that the script asked for: one call.
    let calls = image.insns.iter().filter(|&&w| w == 0x85 | 125 << 32).count();
    assert_eq!(calls, 1);
}

#[test]
fn a_cookie_names_the_probe() {
    let image = compile(&tracepoint(), ProbeId::Cookie, Features::default());
    accepted(&image, 0);
    assert_eq!(image.insns.iter().filter(|&&w| w == 0x85 | 174 << 32).count(), 2);
}

#[test]
fn newer_instructions_are_accepted() {
    let mut b = builder(ProgType::Tracepoint);
    let ctx = b.ctx();
    let x = b.load(Mem::U64, ctx, 8);
    let mut all = b.load(Mem::U64, ctx, 16);
    for divisor in [7, -3, 1 << 40, -1, 0] {
        let d = b.binary_imm(BinaryOp::Sdiv, x, divisor);
        let r = b.binary_imm(BinaryOp::Srem, x, divisor);
        let sum = b.iadd(d, r);
        all = b.bxor(all, sum);
    }
    all = b.unary(weftrace_compiler::ir::UnaryOp::Sext8, all);
    count(&mut b, all);
    b.ret_zero();
    let func = b.finish();
    let old = compile(&func, ProbeId::Constant(0), Features::default());
    let new = compile(&func, ProbeId::Constant(0), Features { cpu_v4: true, ..Features::default() });
    assert!(new.insns.len() < old.insns.len());
    accepted(&old, 0);
    if support::kernel_exec::available() && support::kernel_exec::kernel_before(6, 6) {
        println!("SKIP cpu v4: needs kernel 6.6");
        return;
    }
    accepted(&new, 0);
}

fn kernel_chain(prog_type: ProgType) -> Function {
    let mut b = builder(prog_type);
    let ctx = b.ctx();
    let socket = b.load(Mem::U64, ctx, 16);
    let path = FieldPath::Struct { name: "sock".into(), members: "__sk_common.skc_num".into() };
    let at = b.field_off(socket, 14, &path);
    let slot = b.slot(2, 2);
    let (to, len) = (b.slot_addr(slot), b.iconst(2));
    b.call(Helper::ReadKernel, &[to, len, at]);
    let port = b.load(Mem::U16, to, 0);
    let port = b.unary(weftrace_compiler::ir::UnaryOp::Bswap16, port);
    let flags = b.iconst(0);
    let stack = b.call_map(Helper::StackId, MapId(4), &[ctx, flags]);
    let comm = b.slot(16, 1);
    let (comm, sixteen) = (b.slot_addr(comm), b.iconst(16));
    b.call(Helper::Comm, &[comm, sixteen]);
    let name = b.load(Mem::U64, comm, 0);
    print(&mut b, socket, &[port, stack, name]);
    count(&mut b, port);
    b.ret_zero();
    b.finish()
}

#[test]
fn kprobe_and_perf_event_programs() {
    for prog_type in [ProgType::Kprobe, ProgType::PerfEvent] {
        let image = compile(&kernel_chain(prog_type), ProbeId::Constant(0), Features::default());
        accepted(&image, 0);
        let reloc = &image.field_relocs[0];
        assert_eq!((reloc.slot, reloc.compiled), (RelocSlot::Imm, 14));
    }
}

fn trace_type_id(event: &str) -> Option<u32> {
    let out =
        std::process::Command::new("bpftool").args(["btf", "dump", "file", "/sys/kernel/btf/vmlinux"]).output().ok()?;
    let wanted = format!("TYPEDEF 'btf_trace_{event}'");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let line = text.lines().find(|l| l.contains(&wanted))?;
    line.strip_prefix('[')?.split(']').next()?.parse().ok()
}

/// Arguments of `tp_btf` are typed pointers to the verifier; to the script they are numbers.
#[test]
fn btf_tracepoint_programs() {
    let Some(id) = trace_type_id("inet_sock_set_state") else {
        println!("SKIP bpftool and vmlinux BTF");
        return;
    };
    let mut b = builder(ProgType::TracingRawTp);
    let ctx = b.ctx();
    let socket = b.load(Mem::U64, ctx, 0);
    let state = b.load(Mem::U64, ctx, 16);
    let cookie = b.call(Helper::SocketCookie, &[socket]);
    let hash = b.binary_imm(BinaryOp::Imul, socket, 31);
    let mixed = b.bxor(hash, state);
    let nonzero = b.icmp_imm(Cond::Ugt, socket, 4096);
    let key = b.select(nonzero, mixed, cookie);
    count(&mut b, key);
    print(&mut b, socket, &[cookie, socket]);
    b.ret_zero();
    let image = compile(&b.finish(), ProbeId::Constant(0), Features::default());
    accepted(&image, id);
}

#[test]
fn socket_filter_programs() {
    let mut b = builder(ProgType::SocketFilter);
    let ctx = b.ctx();
    let len = b.load(Mem::U32, ctx, 0);
    count(&mut b, len);
    b.ret_zero();
    accepted(&compile(&b.finish(), ProbeId::Constant(0), Features::default()), 0);
}

#[test]
fn a_refusal_quotes_the_script() {
    let mut b = builder(ProgType::Tracepoint);
    let ctx = b.ctx();
    b.set_place(place("@[pid]"));
    let beyond = b.load(Mem::U64, ctx, 1 << 14);
    b.ret(beyond);
    let image = compile(&b.finish(), ProbeId::Constant(0), Features::default());
    let Some(result) = load(&image, 0) else { return };
    let log = result.expect_err("a load beyond the record");
    // Kernels from 6.10 on add `@ example.probe:4`.
    assert!(log.contains("; @[pid] = count();"), "{log}");
}

#[test]
fn spans_lead_back_to_the_script() {
    let image = compile(&tracepoint(), ProbeId::Constant(0), Features::default());
    assert_eq!(image.spans[0].0, 0);
    assert!(image.spans.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 != w[1].1));
    let text = dump::disassemble(&image, &maps(), &sources());
    assert!(text.contains("; printf(\"%s\", args.name); @ example.probe:3"), "{text}");
    assert!(text.contains("call ringbuf_reserve#131"), "{text}");
    assert!(text.contains("off = offset of sched:sched_process_exec.filename"), "{text}");
    assert!(support::rbpf_exec::decodes(&image));
}

#[test]
fn what_cannot_be_is_an_error() {
    let compile = |func: &Function, maps: &[MapSpec], max_insns: u32| -> Result<ProgramImage, Error> {
        let features = Features { max_insns, ..Features::default() };
        ebpf::compile(
            func,
            &Env {
                actions: &[],
                maps,
                sources: &[],
                program: 0,
                scratch: Scratch { first: 0, entries: 1 },
                probe: ProbeId::Constant(0),
                features,
            },
        )
    };
    let func = tracepoint();
    let error = compile(&func, &maps()[..1], 1 << 20).unwrap_err();
    assert_eq!(error.to_string(), "the program needs the map for events, and the artifact has none");
    assert_eq!(error.place, place("printf"));
    let error = compile(&func, &maps(), 10).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::TooLong { limit: 10, .. }));

    let mut b = FunctionBuilder::new("native", Target::Native, Place::default());
    b.ret_zero();
    assert_eq!(compile(&b.finish(), &maps(), 100).unwrap_err().kind, ErrorKind::NotKernel);

    let mut b = builder(ProgType::Tracepoint);
    let slots: Vec<_> = (0..5).map(|_| b.slot(8000, 8)).collect();
    // All are in use at once.
    for &slot in slots.iter().chain(&slots) {
        let p = b.slot_addr(slot);
        b.fill(p, 0, 8000);
    }
    b.ret_zero();
    let error = compile(&b.finish(), &maps(), 1 << 20).unwrap_err();
    assert_eq!(error.kind, ErrorKind::ScratchTooLarge { size: 40000 });
}
