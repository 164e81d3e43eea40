//! Hand-written programs and their surroundings, shared by the kernel tests.
#![allow(clippy::print_stdout, reason = "tests say what they skip")]
#![allow(dead_code, reason = "each test file uses a part")]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use weftrace_artifact::map::MapId;
use weftrace_artifact::program::{MapReloc, ProgType, ProgramImage};
use weftrace_probes::kernel::caps::{CapSet, Capability};
use weftrace_probes::kernel::sys::{MapFd, MapParams, bpf_map_type};
use weftrace_probes::kernel::{Host, LoadError, Sources, load, program::TypedTarget};

pub const fn insn(opcode: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    opcode as u64 | (dst as u64) << 8 | (src as u64) << 12 | (off as u16 as u64) << 16 | (imm as u32 as u64) << 32
}

pub const EXIT: u64 = insn(0x95, 0, 0, 0, 0);
pub const RET0: u64 = insn(0xb7, 0, 0, 0, 0);

pub fn image(name: &str, prog_type: ProgType, insns: Vec<u64>, map_relocs: Vec<MapReloc>) -> ProgramImage {
    ProgramImage {
        name: name.into(),
        prog_type,
        insns,
        map_relocs,
        field_relocs: vec![],
        btf: vec![],
        func_info: vec![],
        line_info: vec![],
        spans: vec![],
        scratch_size: 0,
        frame_size: 0,
        twin: None,
    }
}

/// Adds 1 to element 0 of map 0 when run by the process `tgid` (0: any).
pub fn counter(prog_type: ProgType, tgid: u32) -> ProgramImage {
    let mut insns = Vec::new();
    if tgid != 0 {
        insns.push(insn(0x85, 0, 0, 0, 14)); // get_current_pid_tgid
        insns.push(insn(0x77, 0, 0, 0, 32)); // r0 >>= 32
        insns.push(insn(0x55, 0, 0, 9, tgid as i32)); // if r0 != tgid goto end
    }
    let lookup = insns.len() + 3;
    insns.extend([
        insn(0x62, 10, 0, -4, 0), // *(u32 *)(r10 - 4) = 0
        insn(0xbf, 2, 10, 0, 0),  // r2 = r10
        insn(0x07, 2, 0, 0, -4),  // r2 += -4
        insn(0x18, 1, 0, 0, 0),   // r1 = map
        0,
        insn(0x85, 0, 0, 0, 1), // map_lookup_elem
        insn(0x15, 0, 0, 2, 0), // if r0 == 0 goto end
        insn(0xb7, 1, 0, 0, 1), // r1 = 1
        insn(0xdb, 0, 1, 0, 0), // lock *(u64 *)(r0) += r1
        RET0,
        EXIT,
    ]);
    image("count", prog_type, insns, vec![MapReloc { insn: lookup as u32, map: MapId(0) }])
}

/// An array of one u64.
pub fn cell() -> MapFd {
    let kind = bpf_map_type::BPF_MAP_TYPE_ARRAY;
    MapFd::create(&MapParams { kind, key_size: 4, value_size: 8, max_entries: 1, flags: 0, name: "cell" })
        .expect("array map")
}

pub fn read(cell: &MapFd) -> u64 {
    let mut value = [0; 8];
    assert!(cell.lookup(&[0; 4], &mut value).expect("lookup"));
    u64::from_ne_bytes(value)
}

pub fn load_counter(host: &Host, prog_type: ProgType, tgid: u32, event: Option<&str>) -> (OwnedFd, MapFd) {
    let cell = cell();
    let image = counter(prog_type, tgid);
    let mut from = Sources::new(host, &[]);
    let target = event.map(|e| TypedTarget::RawTracepoint(e.to_owned()));
    from.target = target.as_ref();
    let program = load(&image, &[cell.as_fd().as_raw_fd()], &from).unwrap_or_else(|e: LoadError| panic!("{e}"));
    (program, cell)
}

/// Whether this process may load tracing programs; says SKIP if not.
pub fn privileged() -> bool {
    let missing = CapSet::effective().lacks(&[Capability::Bpf, Capability::Perfmon, Capability::DacReadSearch]);
    if let Some(capability) = missing {
        println!("SKIP {capability}");
    }
    missing.is_none()
}
