//! What people often write, and what they mean: one row each, pattern → advice.

use super::glob;
use crate::diag::{Diagnostic, Note};
use crate::span::Span;

/// A row's advice.
#[derive(Clone, Copy, Debug)]
enum Say {
    Write(&'static str),
    Note(&'static str),
}

impl Say {
    fn note(self) -> Note {
        match self {
            Self::Write(text) => Note::Write(text.into()),
            Self::Note(text) => Note::Note(text.into()),
        }
    }
}

/// Attach points that don't exist or aren't written so. Pattern: a glob over `provider:segments`.
static POINTS: &[(&str, &[Say])] = &[
    (
        "tracepoint:tcp:tcp_enter_loss",
        &[Say::Write("tracepoint:tcp:tcp_cong_state_set /args.cong_state == 4/ (entering loss recovery: TCP_CA_Loss)")],
    ),
    (
        "tracepoint:tcp:tcp_ack_snd",
        &[
            Say::Note(
                "ACKs as they arrive: tracepoint:tcp:tcp_probe; what they acknowledge: pcap:any { tcp.analysis.duplicate_ack, tcp.options.sack.count }",
            ),
            Say::Note("sending one: kprobe:__tcp_send_ack"),
        ],
    ),
    (
        "tracepoint:tcp:tcp_event_data_recv",
        &[
            Say::Note(
                "data reaching the reader: tracepoint:tcp:tcp_rcv_space_adjust; the function itself: kprobe:tcp_event_data_recv",
            ),
            Say::Write("pcap:any /tcp.analysis.zero_window/ (a receiver that announces no room)"),
        ],
    ),
    (
        "tracepoint:tcp:tcp_connect",
        &[Say::Write("tracepoint:sock:inet_sock_set_state /args.oldstate == TCP_SYN_SENT/")],
    ),
    ("tracepoint:tcp:tcp_zero_window*", &[Say::Write("pcap:any /tcp.analysis.zero_window/")]),
    (
        "*probe:*runtime.pollDesc.wait",
        &[
            Say::Note("Go's network poller is user code: it is in the program's file, not in the kernel"),
            Say::Write(
                "uprobe:PROGRAM:\"internal/poll.(*pollDesc).wait\" or uprobe:PROGRAM:\"internal/poll.runtime_pollWait\"",
            ),
        ],
    ),
    ("tracepoint:syscalls:sys_*_open", &[Say::Write("tracepoint:syscalls:sys_enter_openat (what libc calls)")]),
    ("kprobe:sys_*", &[Say::Write("tracepoint:syscalls:sys_enter_NAME (the kernel's own names are __x64_sys_NAME)")]),
];

/// Attach points that exist, and don't do what they are used for. (pattern, message, advice)
static WARNINGS: &[(&str, &str, &str, &[Say])] = &[(
    "kretprobe:tcp_v[46]_connect",
    "returns-early",
    "returns after sending the SYN, before the handshake ends",
    &[Say::Note(
        "to time the handshake: tracepoint:sock:inet_sock_set_state (SYN_SENT → ESTABLISHED), or run tcp/connect_latency",
    )],
)];

/// Members that are not what they seem. (member, advice)
static FIELDS: &[(&str, &[Say])] = &[(
    "skc_cookie",
    &[
        Say::Write("sock_cookie(args.sk)"),
        Say::Note("skc_cookie.counter is its number, and 0 until something asks for the cookie: sock_cookie() asks"),
        Say::Note("a number prints with %d"),
    ],
)];

/// Words in packet filters. (part of the filter, advice)
static FILTERS: &[(&str, &[Say])] = &[
    ("tcp-syn", &[Say::Write("tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0")]),
    ("tcp-ack", &[Say::Write("tcp[tcpflags] & tcp-ack != 0")]),
    ("tcp-fin", &[Say::Write("tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0")]),
    ("tcp-rst", &[Say::Write("tcp[tcpflags] & tcp-rst != 0")]),
];

/// What a filter of Wireshark's begins its names with.
const FAMILIES: &[&str] =
    &["eth.", "frame.", "ip.", "ipv6.", "tcp.", "udp.", "icmp.", "dns.", "http.", "tls.", "vlan."];

/// Tracepoints that run in softirq: the current task is whoever was interrupted.
static SOFTIRQ: &[&str] = &[
    "tracepoint:tcp:tcp_retransmit_skb",
    "tracepoint:tcp:tcp_retransmit_synack",
    "tracepoint:tcp:tcp_probe",
    "tracepoint:tcp:tcp_cong_state_set",
    "tracepoint:tcp:tcp_receive_reset",
    "tracepoint:tcp:tcp_bad_csum",
    "tracepoint:tcp:tcp_rcvbuf_grow",
    "tracepoint:sock:inet_sock_set_state",
    "tracepoint:net:netif_receive_skb*",
    "tracepoint:net:napi_*",
    "tracepoint:napi:*",
    "tracepoint:irq:softirq_*",
    "tracepoint:skb:kfree_skb",
    "rawtracepoint:*:tcp_retransmit_skb",
    "rawtracepoint:*:tcp_probe",
    "rawtracepoint:*:inet_sock_set_state",
    "kprobe:tcp_retransmit_skb",
    "kprobe:tcp_v[46]_rcv",
    "kprobe:tcp_rcv_established",
    "kprobe:tcp_rcv_state_process",
    "kprobe:tcp_ack",
];

fn add(mut d: Diagnostic, advice: &[Say]) -> Diagnostic {
    d.notes.extend(advice.iter().map(|s| s.note()));
    d
}

/// Adds what is known of an attach point that doesn't work.
pub(crate) fn for_point(d: Diagnostic, _provider: &str, written: &str) -> Diagnostic {
    match POINTS.iter().find(|(pattern, _)| glob::matches(pattern, written)) {
        Some((_, advice)) => add(d, advice),
        None => d,
    }
}

/// Warnings about an attach point that works.
pub(crate) fn warnings(_provider: &str, written: &str, span: Span) -> Vec<Diagnostic> {
    WARNINGS
        .iter()
        .filter(|(pattern, ..)| glob::matches(pattern, written))
        .map(|(_, code, what, advice)| add(Diagnostic::warning(code, span, format!("{written} {what}")), advice))
        .collect()
}

/// Adds what is known of a member.
pub(crate) fn for_field(d: Diagnostic, member: &str) -> Diagnostic {
    match FIELDS.iter().find(|(name, _)| *name == member) {
        Some((_, advice)) => add(d, advice),
        None => d,
    }
}

/// Adds what is known of a filter that libpcap refuses.
pub(crate) fn for_filter(d: Diagnostic, filter: &str) -> Diagnostic {
    let starts = |word: &str| FAMILIES.iter().any(|family| word.starts_with(family));
    if filter.split(|c: char| c.is_whitespace() || "()!".contains(c)).any(starts) {
        return d
            .note("names with dots (ip.src, tcp.flags.syn) belong into the predicate: pcap:any /tcp.flags.syn/ { … }");
    }
    match FILTERS.iter().find(|(part, _)| filter.contains(part)) {
        Some((_, advice)) => add(d, advice),
        None => d,
    }
}

/// A flag's name (`tcp-syn`) that stands alone in a filter, where nothing masks `tcp[tcpflags]` with it: where it is.
pub(crate) fn flag_as_number(filter: &str) -> Option<(usize, &'static str)> {
    const FLAGS: [&str; 8] = ["tcp-syn", "tcp-ack", "tcp-fin", "tcp-rst", "tcp-push", "tcp-urg", "tcp-ece", "tcp-cwr"];
    if filter.contains("tcpflags") || filter.contains("tcp[13]") {
        return None;
    }
    FLAGS.iter().filter_map(|f| filter.find(f).map(|at| (at, *f))).min()
}

/// Whether a probe runs in softirq.
pub(crate) fn in_softirq(probe: &str) -> bool {
    SOFTIRQ.iter().any(|pattern| glob::matches(pattern, probe))
}
