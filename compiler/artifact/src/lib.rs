//! weftrace-artifact: the hand-over between the compiler and what runs programs, as plain data.
//!
//! Probes and runtime depend on this crate and never on the compiler: eBPF instructions with their
//! relocations, native handlers, map specifications, event layouts, the attach plan, the action
//! table and the instruction → span table. Everything here is serialisable, so an artifact can be
//! built on one host and run on another.

pub mod abi;
pub mod action;
pub mod alert;
pub mod headers;
pub mod join;
pub mod map;
pub mod names;
pub mod nat;
pub mod native;
pub mod packet;
pub mod plan;
pub mod program;
pub mod sockets;
pub mod telemetry;
pub mod ty;

use serde::{Deserialize, Serialize};

/// A compiled script.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Artifact {
    pub maps: Vec<map::MapSpec>,
    pub programs: Vec<program::ProgramImage>,
    pub handlers: native::NativeImage,
    pub actions: Vec<action::Action>,
    pub streams: Vec<action::StreamSpec>,
    pub joins: Vec<join::JoinSpec>,
    #[serde(default)]
    pub alerts: Vec<alert::AlertSpec>,
    pub probes: Vec<plan::ProbePlan>,
    /// Blocks that tell joins of exchanges most of which no join keeps.
    #[serde(default)]
    pub passing: Vec<join::Passing>,
    /// Analyses the packet blocks need ([`packet::Needs`] bits).
    pub packet_needs: u32,
    /// Where macros are called: [`Place::expansion`] numbers them from 1.
    #[serde(default)]
    pub expansions: Vec<Place>,
    /// Source texts, so that errors at load time can quote the script: (name, text).
    pub sources: Vec<(String, String)>,
    pub options: Options,
}

/// A place in one of [`Artifact::sources`], in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    pub file: u32,
    pub start: u32,
    pub end: u32,
    /// The macro call through which the place is seen: [`Artifact::expansions`], from 1; 0: none.
    #[serde(default)]
    pub expansion: u32,
}

/// Settings of the script's config block that the runtime obeys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    pub print_maps_on_exit: bool,
    /// Bytes of the kernel → user event ring; a power of two of at least a page.
    pub ring_bytes: u32,
    /// bpftrace's stack_mode: how stacks print.
    pub stack_mode: ty::StackMode,
    /// Appended to strings that did not fit.
    pub str_trunc_trailer: String,
    /// Bytes of the longest string that a script reads: one that fills them was cut.
    pub max_strlen: u32,
    /// Stacks show source files, lines and inlined functions where debug information has them.
    pub show_debug_info: bool,
    /// C++ names are shown as C++ writes them.
    pub cpp_demangle: bool,
    /// Only stacks of these processes are unwound by `.eh_frame`; None: of any.
    #[serde(default)]
    pub unwound: Option<Vec<u32>>,
    /// Addresses of processes get names when they print: what is mapped where is worth watching.
    #[serde(default)]
    pub user_names: bool,
    /// Bytes of a file that `cat()` shows.
    #[serde(default = "usual_cat_bytes")]
    pub max_cat_bytes: u32,
    /// What the kernel is told of the programs' license.
    #[serde(default = "usual_license")]
    pub license: String,
    /// As JSON, what is printed stands alone.
    #[serde(default)]
    pub plain_json: bool,
    /// Seed of the packets' `community_id`.
    #[serde(default)]
    pub community_id_seed: u16,
    /// How packets are captured live.
    #[serde(default)]
    pub capture: Capture,
}

/// How packets are captured from a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// Also what is for other machines.
    pub promiscuous: bool,
    /// Bytes kept of each packet; 0: all.
    pub snaplen: u32,
    /// Bytes of the buffer that the kernel fills.
    pub buffer_bytes: u32,
}

impl Default for Capture {
    fn default() -> Self {
        Self { promiscuous: false, snaplen: 0, buffer_bytes: 8 << 20 }
    }
}

fn usual_cat_bytes() -> u32 {
    Options::default().max_cat_bytes
}

fn usual_license() -> String {
    Options::default().license
}

impl Default for Options {
    fn default() -> Self {
        Self {
            print_maps_on_exit: true,
            ring_bytes: 256 * 1024,
            stack_mode: ty::StackMode::Bpftrace,
            str_trunc_trailer: "..".into(),
            max_strlen: 0,
            show_debug_info: true,
            cpp_demangle: true,
            max_cat_bytes: 10 * 1024,
            unwound: None,
            user_names: false,
            license: "GPL".into(),
            capture: Capture::default(),
            plain_json: false,
            community_id_seed: 0,
        }
    }
}
