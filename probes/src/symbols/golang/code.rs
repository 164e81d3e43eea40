//! A compiled Go function's instructions: where a call has passed the stack check, where it returns.
//!
//! One file per architecture ([`super::x86`], [`super::aarch64`]) decodes; what the instructions mean to a probe is decided here.

/// What one instruction does, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Computes or compares: the registers that it writes, as bits (x86-64: the processor's numbers).
    Plain {
        writes: u32,
    },
    /// Anything else that goes on behind itself.
    Other,
    /// A conditional jump.
    Branch(u64),
    Jump(u64),
    /// A jump to where a register or memory says.
    JumpAnywhere,
    Call,
    Return,
    /// Nothing goes on behind it: a trap.
    Trap,
    /// No instruction.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) address: u64,
    pub(super) next: u64,
    pub(super) kind: Kind,
}

/// Decodes the instruction at an address of a function's code; None: beyond its end.
pub(super) trait Decode {
    fn at(&self, address: u64) -> Option<Instruction>;
    /// The function's first address, and the one behind its last.
    fn range(&self) -> (u64, u64);
    /// Registers, as [`Kind::Plain`] has them, that hold nothing at a function's entry.
    fn scratch(&self) -> u32;
}

/// Where probes go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// After the stack check.
    pub entry: u64,
    pub returns: Vec<u64>,
    /// Jumps to other functions.
    pub tails: Vec<u64>,
    /// Why the returns can't be told.
    pub unclear: Option<String>,
    /// A jump goes back to `entry`: a probe there fires at each turn.
    pub looped: bool,
}

/// Instructions of a stack check, at most.
const MOST_CHECK: u32 = 16;
/// Instructions of the piece that calls for a larger stack: it saves and restores all arguments.
const MOST_GROW: u32 = 96;

/// Looks over a function. `in_registers`: its arguments may be in registers; `assembly`: it was not compiled.
pub(super) fn places(code: &impl Decode, in_registers: bool, assembly: bool) -> Places {
    let (start, end) = code.range();
    let mut out = Places { entry: after_check(code, in_registers), ..Places::default() };
    let mut at = start;
    while let Some(i) = code.at(at) {
        let outside = |to: u64| to < start || to >= end;
        match i.kind {
            Kind::Return => out.returns.push(at),
            Kind::Jump(to) if outside(to) => out.tails.push(at),
            // Compiled code jumps so within a switch; assembly also to other functions.
            Kind::JumpAnywhere if assembly => out.tails.push(at),
            Kind::Branch(to) if outside(to) => {
                out.unclear.get_or_insert_with(|| format!("it may leave by a conditional jump at {at:#x}"));
            }
            // Back to the first instruction goes also what made the stack larger.
            Kind::Jump(to) | Kind::Branch(to) if to == out.entry && to != start => out.looped = true,
            Kind::Jump(to) | Kind::Branch(to) if to == start && out.entry == start => out.looped = true,
            Kind::Unknown => {
                out.unclear.get_or_insert_with(|| format!("the instruction at {at:#x} is not known here"));
                break;
            }
            _ => {}
        }
        at = i.next;
    }
    out
}

/// The first instruction that a call runs once. Growing the stack begins the function anew at its first instruction: so it is the one
/// behind the check. What a check writes must hold nothing, so that all arguments are still in place behind it.
fn after_check(code: &impl Decode, in_registers: bool) -> u64 {
    let (start, end) = code.range();
    let (mut at, mut entry, mut written) = (start, start, 0);
    for _ in 0..MOST_CHECK {
        let Some(i) = code.at(at) else { break };
        match i.kind {
            Kind::Plain { writes } => {
                written |= writes;
                at = i.next;
            }
            Kind::Branch(to) if grows(code, to) => {
                at = i.next;
                entry = at;
            }
            // Older compilers: over the piece that grows.
            Kind::Branch(to) if (start..end).contains(&to) && grows(code, i.next) => {
                at = to;
                entry = at;
            }
            _ => break,
        }
        if in_registers && written & !code.scratch() != 0 {
            break;
        }
    }
    entry
}

/// Whether the piece at an address calls for a larger stack and begins the function anew.
fn grows(code: &impl Decode, mut at: u64) -> bool {
    let (start, _) = code.range();
    let mut called = false;
    for _ in 0..MOST_GROW {
        let Some(i) = code.at(at) else { return false };
        match i.kind {
            Kind::Jump(to) => return called && to == start,
            Kind::Call if called => return false,
            Kind::Call => called = true,
            Kind::Plain { .. } | Kind::Other => {}
            _ => return false,
        }
        at = i.next;
    }
    false
}
