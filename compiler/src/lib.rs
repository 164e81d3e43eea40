//! weftrace-compiler: HIR → SSA IR → eBPF and native code, as an [`weftrace_artifact::Artifact`].
//!
//! Pure: no files, network, clock, processes or environment.
//!
//! `place` decides where each probe's body runs, `lower` turns it into IR, `opt` improves that, `ebpf` and `native` generate code.
//! `ir::interp` defines what the IR means: both back ends must agree with it.

mod attach;
pub mod driver;
pub mod ebpf;
#[doc(hidden)]
pub mod fuzz;
pub mod ir;
pub mod lower;
pub mod native;
pub mod opt;
pub mod place;
