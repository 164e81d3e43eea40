//! The join: one record per anchor, with what every other layer saw of it.
//!
//! Pure: the engine is a function of the records and of the watermarks it is given, never of arrival order or of a
//! clock, so that a recording gives the same output as the live run.
//!
//! - `engine`: records in, closing by watermark, `keep`; `anchors`: those that are open
//! - `store`: the legs' records until no anchor can want them any more, bounded
//! - `bindings`: what belongs together, and when
//! - `keys`: when two connection keys mean the same connection; `nodes`: keys as small numbers
//! - `epsilon`: how close events of two sources may be and still be concurrent
//! - `gaps`: what was lost or dropped
//! - `leg`: one leg's outcome for one anchor
//! - `verdict`: time by layer
//! - `result`, `summary`: what comes out, as data
//! - `show`: as text, as a waterfall, as JSON

mod anchors;
mod bindings;
mod calendar;
mod engine;
mod epsilon;
mod gaps;
pub(crate) mod keys;
mod leg;
mod nodes;
mod result;
mod setup;
pub mod show;
mod slab;
mod slowest;
mod store;
mod summary;
mod translations;
mod verdict;

pub use engine::{Engine, Evaluate, Output};
pub(crate) use epsilon::UNSAID_NS;
pub use leg::{LegOutcome, State, Via};
pub use result::{JoinResult, Status, ViewStorage};
pub use summary::Summary;

/// The `start` of a binding, or of a translation, that held from the beginning of what it ties, whenever that was.
pub(crate) const ALWAYS: u64 = 1;

#[cfg(test)]
mod tests;
