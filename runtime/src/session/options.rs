//! What the command line decides about a run.

use crate::{
    alert::AlertTargets, engine::KeepOptions, metrics::MetricsOptions, otlp::OtlpOptions, record::RecordOptions,
    telemetry::TelemetryOptions,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// What is run by hand, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByHand {
    Tests,
    Benchmarks,
}

/// Defaults: live, until a signal.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// `--read`: packets come from these files, and nothing is asked of the kernel.
    pub read: Vec<PathBuf>,
    /// `--tls-keys`: secrets of TLS sessions, as programs log them.
    pub tls_keys: Option<PathBuf>,
    /// `--write`: where `capture()` keeps packets.
    pub keep: Option<KeepOptions>,
    /// Where applications send spans and log records to, if a block is at those.
    pub telemetry: TelemetryOptions,
    /// `-c`: program and arguments.
    pub command: Vec<OsString>,
    /// `-p`: the run ends with this process.
    pub pid: Option<u32>,
    /// `--netns`: packets are captured in this network namespace: a name of /run/netns, or a path. Without it, in that of `pid`.
    pub netns: Option<PathBuf>,
    /// `weftrace record`
    pub record: Option<RecordOptions>,
    /// `weftrace replay`: the only one of `read` is the recording of [`super::Session::replay`]; true: with the script that was recorded.
    pub replay: Option<bool>,
    /// `--early`: results are told twice where some of their sources are late, first without these.
    pub early: bool,
    /// `--lateness`: how long joins wait for a source's records: (its name or kind, ns).
    pub lateness: Vec<(String, u64)>,
    /// `--uncertainty`: how far a source's times may be from the true ones: (its name or kind, ns).
    pub uncertainty: Vec<(String, u64)>,
    /// Where the script's alerts go; none: beside the output.
    pub alerts: AlertTargets,
    /// `--metrics`: where the run's numbers are offered.
    pub metrics: Option<MetricsOptions>,
    /// `--otlp-metrics`, `--otlp-logs`: where they are sent.
    pub otlp: OtlpOptions,
    /// `--for`
    pub run_for: Option<Duration>,
    /// `--count`: end after so many printed events.
    pub count: Option<u64>,
    /// A probe that doesn't attach ends the run; otherwise it is told, and the others run.
    pub strict: bool,
    /// `--unsafe`
    pub allow_unsafe: bool,
    /// `--cost`: count runs and time.
    pub cost: bool,
    /// The output is a terminal: control characters in traced strings are shown as `\xNN`.
    pub terminal: bool,
    /// Headers and query strings are shown as they are.
    pub open: bool,
    /// How often joins without a result say so; None: never.
    pub heartbeat: Option<Duration>,
    /// Maps are printed at the end, if the script doesn't forbid it.
    pub print_maps: bool,
    /// `--test`, `--bench`: only these probes run, by hand.
    pub by_hand: Option<ByHand>,
    /// Probes that the command line leaves out, by index.
    pub left_out: BTreeSet<u32>,
    /// Probes that can't be attached, by index, and why: they are not tried.
    pub refused: BTreeMap<u32, String>,
    /// `--dry-run`: attach, but BEGIN does not run.
    pub dry_run: bool,
    /// Capabilities that nothing needs once everything is attached are given up, by this thread for good.
    pub shed_privileges: bool,
}

impl SessionOptions {
    /// The file of the network namespace in which packets are captured; None: our own.
    pub fn network(&self) -> Option<PathBuf> {
        match &self.netns {
            Some(path) if path.components().count() > 1 => Some(path.clone()),
            Some(name) => Some(Path::new("/run/netns").join(name)),
            None => self.pid.map(|pid| PathBuf::from(format!("/proc/{pid}/ns/net"))),
        }
    }

    /// Whether that is another one than ours; where it can't be seen, it is.
    pub fn enters_network(&self) -> bool {
        let inode = |path: &Path| path.metadata().ok().map(|m| m.ino());
        self.network().is_some_and(|path| {
            let its = inode(&path);
            its.is_none() || its != inode(Path::new("/proc/self/ns/net"))
        })
    }
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            read: Vec::new(),
            keep: None,
            telemetry: TelemetryOptions::default(),
            command: Vec::new(),
            tls_keys: None,
            pid: None,
            netns: None,
            record: None,
            replay: None,
            early: false,
            lateness: Vec::new(),
            uncertainty: Vec::new(),
            alerts: AlertTargets::default(),
            metrics: None,
            otlp: OtlpOptions::default(),
            run_for: None,
            count: None,
            strict: false,
            allow_unsafe: false,
            cost: false,
            terminal: false,
            open: false,
            heartbeat: None,
            print_maps: true,
            by_hand: None,
            left_out: BTreeSet::new(),
            refused: BTreeMap::new(),
            dry_run: false,
            shed_privileges: false,
        }
    }
}
