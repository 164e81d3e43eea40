//! Runs eBPF code in this host's kernel: a raw tracepoint's program by BPF_PROG_TEST_RUN.

use super::bpf_door::{self, Map};
use super::case::Case;
use super::ebpf_env::{OWN, PROBE, PROGRAM, RING, env, spec, specs};
use super::rbpf_exec::{Actions, kernel_function, parse_record, with_own_actions};
use super::{Executor, FUEL, Outcome};
use std::sync::{Mutex, OnceLock};
use weftrace_artifact::abi::LossSlot;
use weftrace_artifact::action::ActionId;
use weftrace_artifact::map::{Kind, MapId, Role};
use weftrace_compiler::ebpf::{self, Features, dump};
use weftrace_compiler::ir::interp::{
    self,
    host::{self, Host, Record},
};
use weftrace_compiler::ir::{
    Block, BlockData, Dest, Function, Helper, Inst, InstData, Op, Size, Slot, SlotData, Space, SpanId, Term, Ty, Value,
    ValueData, ValueDef,
};

/// Arguments of a raw tracepoint: at most 12 words.
const MAX_CTX: usize = 96;

pub struct Kernel;

impl Executor for Kernel {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn supports(&self, func: &Function, case: &Case) -> bool {
        let host = case.host();
        let plain =
            |m: &host::Map| matches!(m.shape.kind, Kind::Hash | Kind::Array | Kind::PercpuHash | Kind::PercpuArray);
        available()
            && !host.ctx.is_empty()
            && host.ctx.len() <= MAX_CTX
            && host.maps.iter().all(plain)
            && kernel_function(func)
                .is_some_and(|f| answers_are_known(&f) && loads_are_aligned(&f) && ring_suffices(&f, case))
    }

    fn run(&self, func: &Function, case: &Case) -> Result<Outcome, String> {
        run(func, case, Features::default())
    }
}

/// The same with the instructions of kernel 6.6 (cpu v4).
pub struct KernelV4;

impl Executor for KernelV4 {
    fn name(&self) -> &'static str {
        "kernel with cpu v4"
    }

    fn supports(&self, func: &Function, case: &Case) -> bool {
        !kernel_before(6, 6) && Kernel.supports(func, case)
    }

    fn run(&self, func: &Function, case: &Case) -> Result<Outcome, String> {
        run(func, case, Features { cpu_v4: true, ..Features::default() })
    }
}

/// Whether this host's kernel is older.
pub fn kernel_before(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap()) < (major, minor)
}

fn run(func: &Function, case: &Case, features: Features) -> Result<Outcome, String> {
    let (func, actions) = with_own_actions(&kernel_function(func).ok_or("not for the kernel")?);
    let mut specs = specs(case);
    let result_map = specs.len() as u32;
    specs.push(spec(Role::Script, Kind::Array, 4, 8, 1));
    let func = with_result_in_map(&func, MapId(result_map));
    let image = ebpf::compile(&func, &env(&specs, &[], features)).map_err(|e| e.to_string())?;
    let maps: Vec<Map> =
        specs.iter().map(|s| Map::create(s).map_err(|e| format!("{s:?}: {e}"))).collect::<Result<_, _>>()?;
    let mut host = case.host();
    for (map, kernel) in host.maps.iter().zip(&maps) {
        for (key, value) in map.entries() {
            kernel.update(key, value).map_err(|e| e.to_string())?;
        }
    }
    let program = bpf_door::load_quietly(&image, &maps)
        .map_err(|e| format!("{e}\n{func}\n{}", dump::disassemble(&image, &specs, &[])))?;
    let walked = program.walked();
    note_walked(image.insns.len() as u64, walked);
    if walked > WALKED_LIMIT {
        return Err(format!("the verifier walked {walked} instructions: too near to the million at which it gives up"));
    }
    let mut ctx = host.ctx.clone();
    ctx.resize(MAX_CTX, 0);
    let low = program.test_run(&ctx).map_err(|e| e.to_string())?;
    if low != 0 {
        return Err(format!("the program gave {low}, not 0: a look-up failed"));
    }
    collect(&actions, &mut host, &maps, result_map as usize)
}

/// Instructions walked from which on a program counts as nearly refused.
const WALKED_LIMIT: u64 = 700_000;

/// The most instructions that the verifier walked for a program, and for each of the program's own.
static WALKED: Mutex<(u64, u64)> = Mutex::new((0, 0));

fn note_walked(len: u64, walked: u64) {
    let mut most = WALKED.lock().unwrap();
    *most = (most.0.max(walked), most.1.max(walked / len.max(1)));
}

pub fn most_walked() -> (u64, u64) {
    *WALKED.lock().unwrap()
}

pub fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let available = bpf_door::available();
        if !available {
            println!("SKIP kernel executor: needs bpf(2)");
        }
        available
    })
}

/// What the program left behind.
fn collect(actions: &Actions, host: &mut Host, maps: &[Map], result_map: usize) -> Result<Outcome, String> {
    for (map, kernel) in host.maps.iter_mut().zip(maps) {
        let mut after = host::Map::new(map.shape);
        for key in kernel.keys() {
            let value = kernel.get(&key).ok_or("an element vanished")?;
            after.update(&key, &value, 0);
        }
        *map = after;
    }
    let own = |role: Role| &maps[host.maps.len() + OWN.iter().position(|&r| r == role).unwrap()];
    let mut records = vec![];
    for record in bpf_door::drain(own(Role::Events), RING as usize) {
        let (action, probe, time, payload) = parse_record(&record, actions)?;
        if probe != PROBE || time == 0 {
            return Err(format!("wrong header: probe {probe}, time {time}"));
        }
        records.push(Record { action: ActionId(action), payload });
    }
    let number = |bytes: Vec<u8>| u64::from_le_bytes(bytes.try_into().unwrap());
    for slot in 0..LossSlot::COUNT {
        let key = (LossSlot::COUNT * PROGRAM + slot).to_le_bytes();
        host.losses[slot as usize] = own(Role::Losses).get(&key).map(number).ok_or("no losses")?;
    }
    host.records = records;
    let result = maps[result_map].get(&[0; 4]).map(number).ok_or("no result")?;
    Ok(Outcome::of(result, host))
}

/// Helpers whose answer depends on the machine, or on memory that the case describes, cannot be compared.
fn answers_are_known(func: &Function) -> bool {
    let known = |op: &Op| match op {
        Op::Call { helper, .. } => {
            matches!(
                helper,
                Helper::MapUpdate
                    | Helper::MapDelete
                    | Helper::CountLoss
                    | Helper::MapLen
                    | Helper::MapAt
                    | Helper::MapCpu
            )
        }
        _ => true,
    };
    func.blocks.iter().flat_map(|b| &b.insts).all(|i| known(&func.insts[i.index()].op))
}

/// The kernel allows only aligned loads from the context, at constant offsets.
fn loads_are_aligned(func: &Function) -> bool {
    func.insts.iter().all(|i| match i.op {
        Op::Load { mem, ptr, offset, .. } if func.value_type(ptr) == Ty::Ptr(Space::Ctx) => {
            ptr == func.blocks[0].params[0] && offset % mem.bytes() as i32 == 0
        }
        Op::Copy { src, .. } => func.value_type(src) != Ty::Ptr(Space::Ctx),
        _ => true,
    })
}

/// The case's limit on records does not matter: the kernel's ring counts bytes.
fn ring_suffices(func: &Function, case: &Case) -> bool {
    let mut host = case.host();
    interp::run(func, &mut host, FUEL).is_ok() && host.losses[0] == 0 || !func.blocks.iter().any(reserves)
}

fn reserves(block: &BlockData) -> bool {
    matches!(block.term, Term::Reserve { .. })
}

/// The function with its 64-bit result stored in element 0 of `map`, since the kernel tells only 32 bits of it.
/// It returns 0, or 1 if the look-up fails.
fn with_result_in_map(func: &Function, map: MapId) -> Function {
    let mut func = func.clone();
    func.slots.push(SlotData { size: 4, align: 4 });
    let slot = Slot(func.slots.len() as u32 - 1);
    for block in 0..func.blocks.len() {
        let Term::Return(result) = func.blocks[block].term else { continue };
        let key = add(&mut func, block, Op::SlotAddr { slot, offset: 0 }, Some(Ty::Ptr(Space::Stack))).unwrap();
        let zero = add(&mut func, block, Op::Iconst(0), Some(Ty::I64)).unwrap();
        add(&mut func, block, Op::Store { size: Size::B4, value: zero, ptr: key, offset: 0 }, None);
        let found = push_block(&mut func, true);
        let missing = push_block(&mut func, false);
        let dest = |block: usize| Dest { block: Block(block as u32), args: vec![] };
        func.blocks[block].term = Term::Lookup { map, key, found: dest(found), missing: dest(missing) };
        let at = func.blocks[found].params[0];
        add(&mut func, found, Op::Store { size: Size::B8, value: result, ptr: at, offset: 0 }, None);
        finish(&mut func, found, 0);
        finish(&mut func, missing, 1);
    }
    func
}

fn finish(func: &mut Function, block: usize, result: i64) {
    let value = add(func, block, Op::Iconst(result), Some(Ty::I64)).unwrap();
    func.blocks[block].term = Term::Return(value);
}

fn push_block(func: &mut Function, with_value: bool) -> usize {
    let block = func.blocks.len();
    let mut params = vec![];
    if with_value {
        func.values.push(ValueData { ty: Ty::Ptr(Space::Map), def: ValueDef::Param(Block(block as u32), 0) });
        params.push(Value(func.values.len() as u32 - 1));
    }
    func.blocks.push(BlockData { params, insts: vec![], term: Term::None, term_span: SpanId(0) });
    block
}

fn add(func: &mut Function, block: usize, op: Op, ty: Option<Ty>) -> Option<Value> {
    let inst = Inst(func.insts.len() as u32);
    let result = ty.map(|ty| {
        func.values.push(ValueData { ty, def: ValueDef::Inst(inst) });
        Value(func.values.len() as u32 - 1)
    });
    func.insts.push(InstData { op, result, span: SpanId(0) });
    func.blocks[block].insts.push(inst);
    result
}
