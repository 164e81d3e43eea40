//! weftrace-probes: every source of events.
//!
//! - [`catalog`]: everything there is to probe, by pattern, for listings.
//! - [`conntrack`]: connections that the kernel translates (NAT).
//! - [`dwarf`]: types, parameters and source lines of programs, by their debug information.
//! - [`kernel`]: what the kernel offers, loading programs, attaching them.
//! - `packet`: captures, live and from files.
//! - [`privilege`]: what of the privileges is needed, giving up the rest, and the helper process.
//! - [`symbols`]: names for addresses, addresses for names.
//! - [`world`]: the facts of this host, as the checker and the compiler ask for them.
//!
//! This crate knows neither the syntax tree nor the intermediate code, and prints nothing.

pub mod catalog;
pub mod conntrack;
pub mod dwarf;
pub mod kernel;
pub mod privilege;
pub mod symbols;
pub mod telemetry;
pub mod world;

pub mod packet;
