//! weftrace-runtime: runs an artifact. It loads, decodes, keeps maps, acts, joins, and writes to sinks; it prints nothing itself.
//!
//! - [`Session`] → [`Running`] → [`Outcome`]: one run.
//! - [`sink`]: where output goes, as text or NDJSON in bpftrace's shapes.
//! - [`decode`], [`text`], [`json`], [`format`], [`maps`]: values, pure.
//! - [`native`]: handlers compiled to machine code.
//! - [`sys`]: the kernel's event ring, the child of `-c`, clocks. [`losses`]: what was not delivered.
//! - `record`: a run's packets and events in a file, and back; `pcapng`: its blocks.
//! - `metrics`: the run's numbers for Prometheus. `otlp`: OpenTelemetry's protocol, as who sends.
//! - `alert`: alerts and their sinks; `client`: HTTP, as a client.
//! - [`join`]: records of all layers to one record per request, pure.
//!
//! Files with `unsafe`: those of `sys/`, and `native/{code,helpers,run}`.

mod alert;
mod client;
pub mod decode;
mod engine;
mod error;
pub mod format;
mod hash;
mod in_time;
pub mod join;
pub mod json;
pub mod losses;
pub mod maps;
mod metrics;
pub mod names;
pub mod native;
mod otlp;
mod pcapng;
mod record;
mod session;
pub mod sink;
pub mod stats;
pub mod style;
pub mod sys;
mod telemetry;
pub mod text;

pub use alert::{AlertCounts, AlertTargets, TargetError};
pub use engine::{KeepOptions, StopHandle, StreamConsumer};
pub use error::Error;
pub use metrics::{MetricsOptions, MetricsTls, SERIES};
pub use otlp::{Endpoint, OtlpOptions};
pub use record::{Passphrase, RecordOptions, Recorded, RecordingError, SealError, read_recording};
pub use session::{AttachFailure, ByHand, Ended, Outcome, Privileges, Running, Session, SessionOptions};
pub use telemetry::{LinePlace, TelemetryOptions};
