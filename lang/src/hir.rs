//! The typed program: names resolved, types known, constants folded where the language demands it.
//! Produced by `check::analyze`, consumed by the compiler's `place` and `lower`.

mod alert;
mod body;
mod func;
mod join;
mod program;
mod ty;

pub use crate::ast::{BinOp, UnOp};
pub use alert::*;
pub use body::*;
pub use func::*;
pub use join::*;
pub use program::*;
pub use ty::*;
