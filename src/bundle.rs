//! The scripts that ship with the binary, by name.

use weftrace_lang::{
    header::{self, Header},
    span::FileId,
};

/// (name, text)
pub type Script = (&'static str, &'static str);

macro_rules! bundled {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../scripts/", $name, ".probe")))),*]
    };
}

/// Sorted by name; `std/…` are modules for `import`.
pub const SCRIPTS: &[Script] = bundled![
    "dns/latency",
    "go/gc_pause",
    "go/goroutines",
    "go/layers",
    "go/poll_wait",
    "go/sched_latency",
    "http/errors",
    "http/latency",
    "http/requests",
    "http/slow_requests",
    "http/traces",
    "io/file_latency",
    "io/socket_latency",
    "sched/offcpu",
    "sched/runq",
    "std/go",
    "std/http",
    "std/http_sockets",
    "std/tcp_exchange",
    "std/otel",
    "std/sched",
    "std/tcp",
    "std/tls",
    "tcp/accept",
    "tcp/accept_queue",
    "tcp/connect",
    "tcp/connect_latency",
    "tcp/drops",
    "tcp/flows",
    "tcp/handshake",
    "tcp/life",
    "tcp/resets",
    "tcp/retransmit",
    "tcp/rtt",
    "tcp/sack",
    "tcp/summary",
    "tcp/syn_backlog",
    "tcp/top",
    "tcp/zero_window",
    "tls/handshake",
    "tls/handshake_stall",
];

pub fn find(name: &str) -> Option<&'static str> {
    SCRIPTS.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}

/// The header of a script; an empty one where there is none.
pub fn header(text: &str) -> Header {
    header::parse(text, FileId(0)).0.unwrap_or_default()
}
