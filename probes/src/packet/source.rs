//! Where packets come from: capture files (pcap, pcapng) and live interfaces, and the filters of `pcap` blocks.

mod error;
mod files;
mod filter;
#[cfg(feature = "live")]
mod live;
#[cfg(feature = "live")]
mod netns;
mod pcap;
mod pcapng;
mod reader;

pub use error::{Damage, FilterError, SourceError};
pub use files::Captures;
pub use filter::BlockFilter;
#[cfg(feature = "live")]
pub use live::{Latency, LiveCounters, LiveOptions, LiveSource};
#[cfg(feature = "live")]
pub use netns::NetNs;
pub use reader::CaptureReader;
