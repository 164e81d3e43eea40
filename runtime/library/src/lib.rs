//! weftrace-library: libraries of scripts that other people keep in git repositories.
//!
//! - [`Manifest`] (`weftrace.toml`): what a library is called, and what a project wants.
//! - [`Lock`] (`weftrace.lock`): which commit each library is, and the digest of its files.
//! - [`Project`]: a folder with a manifest; adds, updates, fetches, vendors and reads libraries.
//!
//! Nothing of a library is ever run here, and its files are read only after their digest was found to be the lock's. The crate knows no
//! language and prints nothing. The one program that it starts is `git` ([`git`]).

mod error;
pub mod git;
mod load;
mod lock;
mod manifest;
mod names;
mod project;
mod resolve;
mod tree;

pub use error::Error;
pub use load::{Libraries, Library, LoadError};
pub use lock::{Lock, Locked};
pub use manifest::{Dependency, LibraryInfo, Manifest};
pub use names::{is_name, split_rev};
pub use project::{Caller, Change, LOCK, MANIFEST, Project};
pub use tree::Tree;

/// What an operation gives.
pub type Result<T> = std::result::Result<T, Error>;
