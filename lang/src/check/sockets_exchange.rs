//! What the kernel knows of a socket's exchange, where those that nobody keeps end there (lang/src/stdlib/sockets_passing*.bt): a tuple by socket. The texts call its
//! members and phases by the names below; `$was` is the element itself: what is written it is from then on.

use crate::hir::{PHASE_ANSWER_HELD, PHASE_HELD};

/// The members of `$was`, in their order, which the runtime goes by too (runtime/src/engine/sockets/passed.rs). Those that aren't named where it is written stay as they are.
const MEMBERS: [&str; 16] = [
    // One of PHASES.
    "phase", // Where both directions were before the request.
    "got", "sent", // How far the request came, and when.
    "came", "at",     // Exchanges that were passed over since something was told.
    "passed", // Whose call the request was.
    "pid", "tid", "comm", // Of the last response's head: what `__plain_response` found.
    "said", // When user space was told last that the socket speaks.
    "told", // How far the response has come, how much of it is left, when it began.
    "reached", "left", "began",
    // The request that waits, and the beginning of a response that goes on: as buf() has them.
    "head", "answer",
];

/// What is under way on a socket.
const PHASES: [(&str, u32); 8] = [
    // It isn't known.
    ("PHASE_UNSURE", 0),
    // Nothing is.
    ("PHASE_IDLE", 1),
    // A request waits here for its response; or that goes on.
    ("PHASE_HELD", PHASE_HELD),
    ("PHASE_ANSWER_HELD", PHASE_ANSWER_HELD),
    // A request was told; its response goes on.
    ("PHASE_TOLD", 3),
    ("PHASE_ANSWER_TOLD", 7),
    // What may become one request came, and nothing was sent since.
    ("PHASE_MAYBE", 5),
    // More came before what was asked had been answered, or bytes that nobody saw: which response is whose is not known any more, and nothing passed over.
    ("PHASE_LOST", 4),
];

/// Before the members that change, each `name = value;`.
const NEW: &str = "EXCHANGE {";

/// The text with places and numbers for these names.
pub(super) fn by_place(text: &str) -> String {
    let mut parts = text.split(NEW);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (members, rest) = part.split_once('}').unwrap_or((part, ""));
        out += &tuple(members);
        out += rest;
    }
    for (name, number) in PHASES {
        out = out.replace(name, &format!("(int64){number}"));
    }
    // Longer names first: none is taken for the beginning of another.
    let mut places: Vec<(usize, &str)> = MEMBERS.into_iter().enumerate().collect();
    places.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
    places.iter().fold(out, |out, (place, name)| out.replace(&format!("$was.{name}"), &format!("$was.{place}")))
}

fn tuple(members: &str) -> String {
    let named: Vec<(&str, &str)> =
        members.split(';').filter_map(|member| member.split_once('=')).map(|(n, v)| (n.trim(), v.trim())).collect();
    debug_assert!(named.iter().all(|(name, _)| MEMBERS.contains(name)), "a member that is none: {members}");
    let value = |member: &str| match named.iter().find(|(name, _)| *name == member) {
        Some((_, value)) => (*value).to_owned(),
        None => format!("$was.{member}"),
    };
    format!("({})", MEMBERS.map(value).join(", "))
}
