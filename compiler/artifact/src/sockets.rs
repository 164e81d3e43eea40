//! What the kernel's part of `http:` blocks tells (lang/src/stdlib/sockets.bt): streams of records, by name.

use crate::{Artifact, plan::ProbePlan};

/// Their losses' name.
pub const SOURCE: &str = "sockets";

/// Maps whose names begin so are ours: they are not printed.
pub const MAPS: &str = "@__sockets_";

/// A socket speaks something like HTTP: who its ends are.
pub const OPEN: &str = "__sockets.open";
/// What a system call moved, or a piece of it: few bytes, many bytes.
pub const SHORT: &str = "__sockets.short";
pub const LONG: &str = "__sockets.long";
/// A call that was told before it was made has ended: it moved so many bytes, or it isn't known how many (more than there can be), and the stream has come so far.
pub const WROTE: &str = "__sockets.wrote";
/// This side sends no more; or the socket is gone.
pub const END: &str = "__sockets.end";

/// Something moved bytes that no system call shows.
pub const UNSEEN: &str = "__sockets.unseen";
/// A message within TLS whose socket isn't known.
pub const UNBOUND: &str = "__sockets.unbound";

/// What a call moved, for exchanges by turns; the socket is gone.
pub const TURN: &str = "__sockets.turn";
pub const TURN_END: &str = "__sockets.turn_end";

/// Exchanges were passed over in the kernel: both directions are so far now. A request that waited there for its response, and what came of that, are told.
pub const PASSED: &str = "__sockets.passed";
pub const HELD: &str = "__sockets.held";
/// Maps of what is passed over: exchanges that took longer (ns, above [`STATUS_BITS`]), or have a status from the one below these bits on, are not; sockets on which one is under
/// way, with the request that waits and the beginning of a response that goes on; how many were passed over.
pub const BOUND: &str = "@__sockets_bound";
pub const STATUS_BITS: u32 = 16;
/// The first member of what is known of a socket's exchange, where a request waits in the kernel; and where what was sent of its response does, too.
pub const PHASE_HELD: u32 = 2;
pub const PHASE_ANSWER_HELD: u32 = 6;
pub const PASSING: &str = "@__sockets_passing";
pub const PASSED_OVER: &str = "@__sockets_passed";

/// All streams' names begin so.
const STREAMS: &str = "__sockets.";

/// Whether a probe is one of those that tell.
pub fn tells(probe: &ProbePlan, artifact: &Artifact) -> bool {
    let named = |id: &crate::action::StreamId| artifact.streams.get(id.0 as usize);
    probe.emits.iter().filter_map(named).any(|spec| spec.name.starts_with(STREAMS))
}
