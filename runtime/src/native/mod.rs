//! Native handlers: mapping their code, calling them, giving them maps and records.

mod code;
mod helpers;
mod host;
pub(crate) mod key_hash;
mod records;
mod run;
mod user_map;

pub use code::{Code, CodeError};
pub use host::NativeHost;
pub use run::Native;
pub use user_map::UserMap;
