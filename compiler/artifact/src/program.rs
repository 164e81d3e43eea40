//! eBPF programs as the kernel takes them, before map file descriptors are known.

use crate::{Place, map::MapId};
use serde::{Deserialize, Serialize};

/// Kernel program types that we load (names as in enum bpf_prog_type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProgType {
    Kprobe,
    Tracepoint,
    RawTracepoint,
    PerfEvent,
    /// BPF_PROG_TYPE_TRACING with BPF_TRACE_RAW_TP: `tp_btf`
    TracingRawTp,
    /// BPF_PROG_TYPE_TRACING with BPF_TRACE_FENTRY
    Fentry,
    /// BPF_PROG_TYPE_TRACING with BPF_TRACE_FEXIT
    Fexit,
    /// BPF_PROG_TYPE_TRACING with BPF_TRACE_ITER
    Iter,
    SocketFilter,
    /// For benchmarks: the kernel times its runs by hand.
    Xdp,
}

impl ProgType {
    /// The verifier knows the types of the context's pointers, and treats them as such.
    pub fn is_typed(self) -> bool {
        matches!(self, Self::TracingRawTp | Self::Fentry | Self::Fexit | Self::Iter)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProgramImage {
    /// At most 15 bytes reach the kernel.
    pub name: String,
    pub prog_type: ProgType,
    /// struct bpf_insn as u64 (little endian: opcode, dst | src << 4, i16 off, i32 imm).
    pub insns: Vec<u64>,
    pub map_relocs: Vec<MapReloc>,
    pub field_relocs: Vec<FieldReloc>,
    /// A BTF blob for this program (functions and line strings), with raw `struct bpf_func_info` and `bpf_line_info`
    /// records. Empty: load without.
    pub btf: Vec<u8>,
    pub func_info: Vec<u8>,
    pub line_info: Vec<u8>,
    /// First instruction of each run → place in the script; sorted by instruction.
    pub spans: Vec<(u32, Place)>,
    /// Bytes of this program's entry in the scratch map (0: none).
    pub scratch_size: u32,
    /// Bytes of frame used, for `dump`.
    pub frame_size: u32,
    /// Index of a second copy of this program, attached right behind it. The kernel passes over an event that comes in while a program
    /// runs on its CPU already (the recursion counter of __bpf_trace_run, kernel/trace/bpf_trace.c): the copy, which doesn't run
    /// then, handles what the first one didn't see, and nothing else.
    #[serde(default)]
    pub twin: Option<u32>,
}

impl ProgramImage {
    /// Whether it asks which of its attachments fired, by the cookie of each (Linux 5.15): others are attached without one.
    pub fn asks_cookie(&self) -> bool {
        /// `call` of a helper by its number: the source register is 0.
        const CALL: u64 = 0x85;
        /// bpf_get_attach_cookie
        const GET_ATTACH_COOKIE: u64 = 174;
        self.insns.iter().any(|insn| insn & 0xf0ff == CALL && insn >> 32 == GET_ATTACH_COOKIE)
    }
}

/// A 16-byte `ld_imm64` at instruction `insn` takes the map's fd (BPF_PSEUDO_MAP_FD).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapReloc {
    pub insn: u32,
    pub map: MapId,
}

/// An instruction whose offset or immediate depends on the host's layout of a kernel struct or tracepoint record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldReloc {
    pub insn: u32,
    pub slot: RelocSlot,
    pub path: FieldPath,
    /// What the compiling host answered; if the running host differs the loader patches the instruction.
    pub compiled: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RelocSlot {
    Off,
    Imm,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FieldPath {
    /// Byte offset of `members` joined by dots in a kernel struct: (`sock`, `__sk_common.skc_num`).
    Struct { name: String, members: String },
    /// Byte offset of a field in a tracepoint's record.
    Tracepoint { category: String, event: String, field: String },
    /// What packets of the socket begin with ([`crate::packet::kernel::LinkKind`]), known once it is open.
    LinkKind,
}
