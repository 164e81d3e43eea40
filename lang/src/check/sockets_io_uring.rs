//! Where operations of io_uring on TCP sockets are counted: what it moves passes no system call, so that it did is all that is known.

use crate::diag::Diagnostic;
use crate::hir::Ty;
use crate::span::Span;
use crate::world::{Answer, World};

const TEXT: &str = include_str!("../stdlib/sockets_io_uring.bt");

/// Blocks at the events of io_uring that there are; where they don't say whose operations they tell of there are none, which is said.
pub(super) fn blocks(world: &dyn World, span: Span, diags: &mut Vec<Diagnostic>) -> String {
    text(world).unwrap_or_else(|| {
        diags.push(not_seen(span));
        String::new()
    })
}

/// The blocks. None: the events don't say whose operations they tell of.
fn text(world: &dyn World) -> Option<String> {
    let block = |event: &str, request: &str, without: &str| {
        TEXT.replace("EVENT", event).replace("REQUEST", request).replace("WITHOUT", without)
    };
    if !is_there(world, "io_uring_complete") {
        return Some(String::new());
    }
    if !names_request(world, "io_uring_complete") {
        // Linux 5.10, 5.15: where an operation begins, and where one that had to wait goes on.
        let events = ["io_uring_submit_sqe", "io_uring_task_run"];
        let told = events.iter().all(|event| is_there(world, event) && names_request(world, event));
        return told.then(|| events.map(|event| block(event, "arg1", "0")).concat());
    }
    // What goes on and on is told apart by a flag, whose number differs by kernel; where there is none (before Linux 6.0) nothing does.
    let flag = match world.kernel_enumerator("REQ_F_APOLL_MULTISHOT_BIT") {
        Answer::Found((_, bit)) => Some(format!("($req.flags & ((uint64)1 << {bit})) == 0")),
        _ => None,
    };
    let once = flag.as_ref().map_or(String::new(), |flag| format!("{flag} && "));
    let mut text = block("io_uring_complete", "arg1", &format!("{once}(int64)$req.cqe.res <= 0"));
    for event in ["io_uring_poll_arm", "io_uring_task_add"] {
        if let Some(flag) = flag.as_ref().filter(|_| is_there(world, event)) {
            text += &block(event, "args.req", flag);
        }
    }
    Some(text)
}

/// What there is to say where no event tells.
fn not_seen(span: Span) -> Diagnostic {
    let message = "what io_uring moves on sockets is not seen on this kernel, nor counted";
    Diagnostic::warning("unsupported-here", span, message)
        .note("its events don't say which socket an operation is on: legs on what a program moves so say none")
}

fn is_there(world: &dyn World, event: &str) -> bool {
    matches!(world.raw_tracepoints(event), Answer::Found(names) if !names.is_empty())
}

/// Whether an event's second argument is the request. (A host that doesn't tell of arguments is taken for a new one.)
fn names_request(world: &dyn World, event: &str) -> bool {
    match world.raw_tracepoint(event) {
        Answer::Found(event) => event.params.get(1).is_some_and(|p| matches!(p.ty, Ty::Ptr { .. })),
        _ => true,
    }
}

#[cfg(test)]
#[path = "sockets_io_uring_tests.rs"]
mod tests;
