//! What can stand in for what, and what that asks.

use super::{Ask, kernel_fn as f, own, tracepoint as t};
use weftrace_artifact::program::ProgType;
use weftrace_lang::{hir::Provider, world::Feature};

/// A way that brings the same records as another.
pub(super) struct Substitute {
    /// As the plan and messages name it.
    pub(super) way: &'static str,
    pub(super) rank: Rank,
    /// None: it is not about this kind of target.
    pub(super) stand: fn(&Ask<'_>) -> Option<Stand>,
    /// All must hold; the first that doesn't is told. The kernel is asked last: that costs most.
    pub(super) needs: &'static [Need],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// Tried before what the script says: why. Only where the records are the same whatever happens.
    Cheaper(&'static str),
    /// The same where the script sets `attach = fast`; else only where what it says can't be attached.
    Fast(&'static str),
    /// Only where what the script says can't be attached.
    Instead,
}

/// What a target becomes.
pub(super) struct Stand {
    pub(super) provider: Provider,
    pub(super) prog: ProgType,
    /// Where the numbered arguments of the body are now; None: where they were.
    pub(super) words: Option<Words>,
    /// The frames of our own that a kernel stack begins with there.
    pub(super) frames: u8,
}

/// By number as the body has it.
pub(crate) type Words = Vec<Option<Word>>;

/// Where an argument is in another context, and how much of it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Its number there.
    pub(crate) at: u32,
    /// The argument's own width: above it the context may hold anything.
    pub(crate) bits: u32,
    pub(crate) signed: bool,
}

/// A precondition: why it isn't met.
pub(super) type Need = fn(&Ask<'_>, &Stand) -> Option<String>;

/// Trampolines are cheaper than kprobes, and yet not the first choice: where the kernel may be interrupted within a program, what
/// happens meanwhile on that CPU is not seen by it (counted as lost), and of several functions of one name only the first is found.
pub(super) const ROWS: &[Substitute] = &[
    Substitute {
        way: "fentry",
        rank: Rank::Fast("cheaper than a kprobe"),
        stand: f::fentry_for_kprobe,
        needs: &[f::is_one_function, f::asks_no_registers, f::has_types, f::has_its_arguments, fentry],
    },
    Substitute {
        way: "fexit",
        rank: Rank::Fast("cheaper than a kretprobe"),
        stand: f::fexit_for_kretprobe,
        needs: &[
            f::is_one_function,
            f::asks_no_registers,
            f::asks_no_kernel_stack,
            f::has_types,
            f::returns_a_number,
            fentry,
        ],
    },
    Substitute {
        way: "kprobe",
        rank: Rank::Instead,
        stand: f::kprobe_for_fentry,
        needs: &[f::asks_no_typed_pointer, f::has_its_arguments, kprobe],
    },
    Substitute {
        way: "kretprobe",
        rank: Rank::Instead,
        stand: f::kretprobe_for_fexit,
        needs: &[f::asks_no_typed_pointer, f::asks_no_arguments, kprobe],
    },
    Substitute {
        way: "tp_btf on all system calls",
        rank: Rank::Cheaper("attached at once, and detached at once, for all of them"),
        stand: t::syscall_for_tracepoint,
        needs: &[
            t::is_one_of_many,
            f::asks_no_registers,
            f::asks_no_kernel_stack,
            t::has_registers,
            t::has_tracepoint,
            current_task,
        ],
    },
    Substitute {
        way: "tp_btf",
        rank: Rank::Cheaper("cheaper than a perf tracepoint"),
        stand: t::tp_btf_for_tracepoint,
        needs: &[f::asks_no_registers, f::asks_no_kernel_stack, t::has_its_fields, t::has_tracepoint],
    },
];

fn fentry(ask: &Ask<'_>, _: &Stand) -> Option<String> {
    own::has(ask, Feature::Fentry).err()
}

/// Which program's calls are those of 32 bits is asked of it.
fn current_task(ask: &Ask<'_>, _: &Stand) -> Option<String> {
    own::has(ask, Feature::CurrentTask).err()
}

fn kprobe(ask: &Ask<'_>, _: &Stand) -> Option<String> {
    own::has(ask, Feature::Kprobe).err()
}
