//! A lazy reader of the kernel's type information (BTF, Documentation/bpf/btf.rst).
//!
//! Nothing is parsed ahead: a lookup finds the name in the string section and walks the type section once (~0.5 ms for
//! 126,000 types), remembering only every 32nd type's position. After a few lookups an index of names is made, so that wildcards
//! and large scripts don't walk again and again. Module BTF (split BTF) continues the numbering of vmlinux's.

mod functions;
mod raw;
mod types;

pub use raw::{Btf, BtfError, Kind, Record};

#[cfg(test)]
mod tests;
