//! weftrace-lang: script text → AST → typed HIR.
//!
//! Pure: no files, network, clock, processes or environment. What the host knows comes in through
//! [`world::World`]. Parsing and checking never fail: they return `(T, Vec<Diagnostic>)`.
//! pest's types stay inside `syntax/`.

pub mod abi;
pub mod ast;
pub mod builtins;
pub mod check;
pub mod coverage;
pub mod diag;
pub mod format;
pub mod header;
pub mod hir;
pub mod hir_dump;
pub mod recorded;
pub mod span;
pub mod suggest;
pub mod syntax;
pub mod world;
