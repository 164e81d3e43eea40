//! Keys: the fields of a stream by which records find each other.

use crate::hir::Ty;

/// A field that is a key by its name (and, of those that may mean something else, by its type).
#[derive(Debug)]
pub struct KeyRow {
    pub name: &'static str,
    pub ty: Ty,
    /// The field is always of this type; else a field of another type is no key, or an id.
    pub firm: bool,
    /// What gives it, for hints.
    pub from: &'static str,
}

const fn row(name: &'static str, ty: Ty, firm: bool, from: &'static str) -> KeyRow {
    KeyRow { name, ty, firm, from }
}

/// weftrace_artifact::join::KEYS has what they mean to a join; compiler/tests/lower/keys.rs holds both against each other.
#[rustfmt::skip]
pub static KEYS: &[KeyRow] = &[
    row("conn", Ty::Conn, true, "conn = conn($sk) in the kernel, conn = tcp.conn of packets"),
    row("bytes", Ty::ByteRanges, false, "bytes = bytes($sk, $skb) in the kernel, bytes = tcp.bytes or http.exchange.bytes of packets"),
    row("pid", Ty::U32, true, "pid = pid"),
    row("tid", Ty::U32, true, "tid = tid"),
    row("goroutine", Ty::U64, false, "goroutine = goid, with pid = pid"),
    row("cgroup", Ty::U64, false, "cgroup = cgroup"),
    row("file", Ty::U64, false, "file = (uint64)$file, the address of a struct file"),
    row("socket", Ty::U64, false, "socket = (uint64)$sk, the address of a struct sock"),
    row("cookie", Ty::U64, false, "cookie = sock_cookie($sk)"),
];

pub(crate) fn row_named(name: &str) -> Option<&'static KeyRow> {
    KEYS.iter().find(|k| k.name == name)
}

/// Whether a field of this name and type is a key. Strings are ids, whatever their name.
pub fn is_key(name: &str, ty: &Ty) -> bool {
    matches!(ty, Ty::Conn | Ty::ByteRanges) || row_named(name).is_some_and(|row| row.ty == *ty)
}

/// Streams of this name, and those whose name begins with it and a dot, say what belongs together.
pub fn is_binding(stream: &str) -> bool {
    stream.strip_prefix("binding").is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Connections that the kernel translates: no script tells of them. weftrace_artifact::nat has what its records are.
pub const NAT: &str = "binding.nat";

/// Bindings between a leg's key and its anchor's, at most.
pub const MAX_STEPS: usize = 4;
