//! A lazy reader of the kernel's type information (BTF, Documentation/bpf/btf.rst).
//!
//! Nothing is parsed ahead: a lookup searches the string section for the name and the type section for the string's number;
//! one walk over the types (~1 ms for 126,000) remembers every 32nd one's position, by which numbers are looked up. After a few
//! lookups an index of names is made, so that large scripts don't search again and again. Module BTF (split BTF) continues the
//! numbering of vmlinux's.

mod c_text;
mod functions;
mod raw;
mod record;
mod types;

pub use c_text::Defined;
pub use raw::{Btf, BtfError};
pub use record::{Kind, Record};
pub(crate) use types::storage;

#[cfg(test)]
mod tests;
