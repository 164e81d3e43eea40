//! An artifact as an ELF object: bpftool (libbpf) loads it into this kernel, aya-obj reads it.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::ebpf_env::spec;
use weftrace_artifact::action::ActionId;
use weftrace_artifact::map::{Kind, MapId, MapSpec, Role};
use weftrace_artifact::plan::{Attach, ProbePlan, Unit, Way};
use weftrace_artifact::program::{FieldPath, ProgType};
use weftrace_artifact::{Artifact, Place};
use weftrace_compiler::ebpf::{self, Env, Features, ProbeId, Scratch, elf};
use weftrace_compiler::ir::builder::FunctionBuilder;
use weftrace_compiler::ir::{BinaryOp, Function, Helper, Mem, Size, Space, Target, Ty};

const SCRIPT: &str = "tracepoint:syscalls:sys_enter_read { @reads[pid] = count(); }\ninterval:s:1 { print(@reads); }\n";

fn maps() -> Vec<MapSpec> {
    let mut reads = spec(Role::Script, Kind::PercpuHash, 8, 8, 64);
    reads.name = "@reads".into();
    let mut anonymous = spec(Role::Script, Kind::Hash, 8, 8, 64);
    anonymous.name = "@".into();
    vec![
        reads,
        anonymous,
        spec(Role::Events, Kind::Ringbuf, 0, 0, 1 << 16),
        spec(Role::Losses, Kind::PercpuArray, 4, 8, 16),
        spec(Role::Scratch, Kind::PercpuArray, 4, 2048, 4),
    ]
}

fn function(name: &str, prog_type: ProgType, start: u32) -> Function {
    let place = Place { start, end: start + 10, ..Place::default() };
    let mut b = FunctionBuilder::new(name, Target::Kernel(prog_type), place);
    let ctx = b.ctx();
    let first = b.load(Mem::U64, ctx, 16);
    let path = FieldPath::Struct { name: "sock".into(), members: "__sk_common.skc_num".into() };
    let at = b.field_off(first, 14, &path);
    let (slot, big) = (b.slot(8, 8), b.slot(1024, 8));
    let (key, big) = (b.slot_addr(slot), b.slot_addr(big));
    let two = b.iconst(2);
    b.fill(key, 0, 8);
    b.fill(big, 0, 1024);
    b.call(Helper::ReadKernel, &[key, two, at]);
    for map in [MapId(0), MapId(1)] {
        let (found, missing) = (b.create_block(&[Ty::Ptr(Space::Map)]), b.create_block(&[]));
        b.lookup(map, key, found, missing);
        b.switch_to(found);
        let value = b.param(found, 0);
        let old = b.load(Mem::U64, value, 0);
        let new = b.binary_imm(BinaryOp::Iadd, old, 1);
        b.store(Size::B8, new, value, 0);
        b.jump(missing, &[]);
        b.switch_to(missing);
    }
    let done = b.create_block(&[]);
    let record = b.reserve_or(ActionId(0), 8, done);
    b.store(Size::B8, first, record, 0);
    b.submit(record);
    b.jump(done, &[]);
    b.switch_to(done);
    b.ret_zero();
    b.finish()
}

fn artifact() -> Artifact {
    let maps = maps();
    let sources = vec![("reads.probe".to_owned(), SCRIPT.to_owned())];
    let tracepoint = |event: &str| Way::Tracepoint { category: "syscalls".into(), event: event.into() };
    let interval = SCRIPT.find("interval").unwrap() as u32;
    // Two programs share a section, two a name.
    let parts = [
        ("sys_enter_read", ProgType::Tracepoint, 0, tracepoint("sys_enter_read")),
        ("sys_enter_read", ProgType::Tracepoint, 5, tracepoint("sys_enter_read")),
        ("interval:s:1", ProgType::PerfEvent, interval, Way::Interval { ns: 1_000_000_000 }),
        ("sys_exit", ProgType::RawTracepoint, 0, Way::RawTracepoint { event: "sys_exit".into() }),
    ];
    let mut artifact = Artifact { sources, maps, ..Artifact::default() };
    for (index, (name, prog_type, start, way)) in parts.into_iter().enumerate() {
        let probe = ProbeId::Constant(index as u32);
        let env = Env {
            actions: &[],
            maps: &artifact.maps,
            sources: &artifact.sources,
            program: index as u32,
            scratch: Scratch { first: index as u32, entries: 1 },
            probe,
            features: Features::default(),
        };
        let image = ebpf::compile(&function(name, prog_type, start), &env).unwrap();
        artifact.programs.push(image);
        artifact.probes.push(ProbePlan {
            name: name.into(),
            reason: String::new(),
            best: Attach::new(way, Unit::Kernel(index as u32)),
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
        });
    }
    artifact
}

#[test]
fn aya_reads_the_object() {
    let bytes = elf::object(&artifact()).unwrap();
    let object = aya_obj::Object::parse(&bytes).unwrap();
    let mut maps: Vec<_> = object.maps.keys().cloned().collect();
    maps.sort();
    assert_eq!(maps, ["at_", "at_reads", "events", "losses", "scratch"]);
    assert_eq!((object.maps["at_reads"].key_size(), object.maps["at_reads"].value_size()), (8, 8));
    assert_eq!(object.maps["events"].max_entries(), 1 << 16);
    let mut programs: Vec<_> = object.programs.keys().cloned().collect();
    programs.sort();
    assert_eq!(programs, ["interval_s_1", "sys_enter_read", "sys_enter_read_2", "sys_exit"]);
    assert!(object.btf.is_some() && object.btf_ext.is_some());
}

#[test]
fn the_license_is_the_settings() {
    let license = |artifact| {
        let bytes = elf::object(&artifact).unwrap();
        aya_obj::Object::parse(&bytes).unwrap().license.into_string().unwrap()
    };
    assert_eq!(license(artifact()), "GPL");
    let mut dual = artifact();
    dual.options.license = "Dual BSD/GPL".into();
    assert_eq!(license(dual), "Dual BSD/GPL");
}

/// A file system of our own for pins; gone with the guard.
struct BpfFs(PathBuf);

impl BpfFs {
    fn mount() -> Option<Self> {
        let dir = std::env::temp_dir().join(format!("weftrace-elf-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mounted = Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&dir).status().is_ok_and(|s| s.success());
        let guard = Self(dir);
        mounted.then_some(guard)
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).stderr(std::process::Stdio::null()).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn load_all(object: &Path, fs: &Path) -> Result<String, String> {
    let pins = fs.join("programs");
    let out =
        Command::new("bpftool").args(["prog", "loadall"]).args([object, &pins]).output().map_err(|e| e.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !out.status.success() {
        return Err(text(&out.stderr));
    }
    let mut listing = String::new();
    for name in ["sys_enter_read", "sys_enter_read_2", "interval_s_1", "sys_exit"] {
        let pin = pins.join(name);
        let out = Command::new("bpftool").args(["prog", "dump", "xlated", "pinned"]).arg(pin).output().unwrap();
        if !out.status.success() {
            return Err(format!("{name}: {}", text(&out.stderr)));
        }
        listing += &text(&out.stdout);
    }
    Ok(listing)
}

#[test]
fn bpftool_loads_the_object() {
    let available = Command::new("bpftool").arg("version").output().is_ok_and(|o| o.status.success());
    if !available || !support::kernel_exec::available() {
        println!("SKIP bpftool and bpf(2)");
        return;
    }
    let Some(fs) = BpfFs::mount() else {
        println!("SKIP mounting bpffs");
        return;
    };
    let object = fs.0.with_extension("o");
    std::fs::write(&object, elf::object(&artifact()).unwrap()).unwrap();
    let listing = load_all(&object, &fs.0);
    std::fs::remove_file(&object).unwrap();
    let listing = listing.unwrap();
    // The kernel knows functions and script lines.
    assert!(listing.contains("int sys_enter_read("), "{listing}");
    assert!(listing.contains("; interval:s:1 { print(@reads); }"), "{listing}");
}
