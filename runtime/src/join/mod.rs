//! The join: one record per anchor, with what every other layer saw of it.
//!
//! Pure: the engine is a function of the records and of the watermarks it is given, never of arrival order or of a
//! clock, so that a recording gives the same output as the live run.
//!
//! - `engine`: open anchors, closing by watermark, `keep`
//! - `store`: the legs' records until no anchor can want them any more, bounded
//! - `keys`: when two connection keys mean the same connection
//! - `leg`: one leg's outcome for one anchor
//! - `verdict`: time by layer
//! - `result`, `summary`: what comes out, as data and as text

mod engine;
mod keys;
mod leg;
mod result;
mod store;
mod summary;
mod verdict;

pub use engine::{Engine, Evaluate, Output};
pub use leg::{LegOutcome, State, Via};
pub use result::{JoinResult, Status, ViewStorage};
pub use summary::Summary;

#[cfg(test)]
mod tests;
