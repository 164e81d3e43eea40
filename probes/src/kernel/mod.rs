//! The kernel as a source of events: what it offers, how to load programs, how to attach them.
//!
//! - [`sys`]: the one door for system calls.
//! - [`host`]: facts that several parts ask for, each read once, none before it is asked for.
//! - [`btf`], [`tracefs`]: what the kernel says about its types and tracepoints.
//! - [`maps`], [`program`], [`attach`]: from an artifact to something that runs. Everything is owned by descriptors: dropping
//!   detaches, and so does kill -9. Nothing is pinned.
//! - [`caps`], [`feature`]: what this process may do and what this kernel can, found by trying.

pub mod attach;
pub mod btf;
pub mod caps;
pub mod cpus;
pub mod feature;
pub mod host;
pub mod maps;
pub mod printk;
pub mod program;
pub mod sys;
pub mod tracefs;

pub use attach::{
    AttachError, AttachOptions, Ends, Kprobes, Link, Uprobes, attach, detach_all, kprobe_session, kprobes,
    uprobe_session, uprobes,
};
pub use host::Host;
pub use maps::{MapError, create_maps};
pub use program::{LoadError, Rejection, Sources, load};
