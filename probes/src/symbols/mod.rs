//! Names for addresses, addresses for names: executables and libraries, the kernel, running processes.
//!
//! Not by blazesym: it maps files (one that is truncated meanwhile kills us) and opens them itself, while ours come as descriptors from the helper
//! process, and of processes that have ended. It doesn't unwind nor know arguments either, so gimli would stay, and it would come on
//! top with half a megabyte (docs/architecture.md).

mod archive;
pub(crate) mod debug_file;
pub mod elf;
pub mod find;
pub mod glob;
pub mod golang;
mod images;
pub mod instructions;
pub mod kallsyms;
mod ldcache;
mod loaded;
mod mapped;
mod minidebug;
mod perfmap;
pub mod process;
pub mod stapsdt;
mod table;
pub mod wanted;
mod watch;

pub use elf::{ElfError, Function};
pub use find::{Binary, FindError};
pub use kallsyms::{KernelSymbol, KernelSymbols};
pub use process::{ProcessSymbols, Unwound, UserFrame};
pub use watch::Watch;

/// A symbol as people write it: Rust names demangled, without the hash; everything else as it is.
pub fn demangle(name: &str) -> std::borrow::Cow<'_, str> {
    if !(name.starts_with("_R") || name.starts_with("_ZN")) {
        return name.into();
    }
    match rustc_demangle::try_demangle(name) {
        Ok(demangled) => format!("{demangled:#}").into(),
        Err(_) => name.into(),
    }
}

/// A symbol as its language writes it; C++ with the types of its parameters.
pub fn demangle_all(name: &str) -> std::borrow::Cow<'_, str> {
    let plain = demangle(name);
    if plain != name || !name.starts_with("_Z") {
        return plain;
    }
    cpp_demangle::Symbol::new(name).ok().and_then(|s| s.demangle().ok()).map_or(plain, Into::into)
}
