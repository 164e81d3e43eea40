//! Connections that the kernel translates (NAT): one connection under two pairs of addresses.
//!
//! No script emits this stream: the runtime reads it from the kernel's table of connections. An artifact has it where a join goes by
//! connection.

use crate::{
    action::StreamSpec,
    ty::{Type, lay_out},
};

/// A binding by its name, but of a kind of its own: it leads from a connection to the same one.
pub const STREAM: &str = "binding.nat";

/// What its source is called, among sources and losses.
pub const SOURCE: &str = "nat";

/// `conn`: as its client addresses it; `translated`: as its server has it. `start`: when it was told of (1: it is older than the run), `end`: when
/// the kernel forgot it, else 0.
pub fn stream() -> StreamSpec {
    let fields = [("conn", Type::Conn), ("translated", Type::Conn), ("start", Type::U64), ("end", Type::U64)];
    let (fields, size) = lay_out(fields.into_iter().map(|(name, ty)| (Some(name.to_owned()), ty)));
    StreamSpec { name: STREAM.to_owned(), fields, size }
}
