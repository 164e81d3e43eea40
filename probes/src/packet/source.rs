//! Where packets come from: capture files (pcap, pcapng) and live interfaces, and the filters of `pcap` blocks.

mod compressed;
mod error;
mod files;
mod filter;
#[cfg(feature = "live")]
pub mod in_kernel;
mod keylog;
#[cfg(feature = "live")]
mod live;
#[cfg(feature = "live")]
mod netns;
mod pcap;
mod pcapng;
#[cfg(feature = "live")]
mod place;
mod reader;

pub use error::{Damage, FilterError, SourceError};
pub use files::{Captures, first_packet_time};
pub use filter::{BlockFilter, union};
pub use keylog::KeyLog;
#[cfg(feature = "live")]
pub use live::{Latency, LiveCounters, LiveOptions, LiveSource};
#[cfg(feature = "live")]
pub use netns::NetNs;
pub use pcapng::{Drops, Secrets};
#[cfg(feature = "live")]
pub use place::Place;
pub use reader::{CaptureReader, Found};
