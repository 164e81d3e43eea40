//! Reading the verifier's log: where in the script, and why, in words.

use weftrace_artifact::Place;
use weftrace_artifact::program::ProgramImage;

/// A program that the verifier refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub program: String,
    /// The failing instruction, if the log tells.
    pub insn: Option<u32>,
    /// Where in the script that instruction comes from.
    pub place: Option<Place>,
    /// `file:line:column` of `place`.
    pub at: Option<String>,
    /// The verifier's last meaningful line, as it wrote it.
    pub line: String,
    /// The same in words, if it is one that we know.
    pub reason: Option<&'static str>,
    /// All that the verifier wrote.
    pub log: String,
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}: ")?,
            None => write!(f, "{}: ", self.program)?,
        }
        match self.reason {
            Some(reason) => write!(f, "the kernel's verifier refused this: {reason} (it says: {})", self.line),
            None => write!(f, "the kernel's verifier refused this: {}", self.line),
        }
    }
}

impl Rejection {
    pub(super) fn new(image: &ProgramImage, log: String, texts: &[(String, String)]) -> Self {
        let insn = failing_insn(&log);
        let place = insn.and_then(|insn| place_of(&image.spans, insn));
        let line = last_meaningful(&log).to_owned();
        let reason = explain(&line);
        Self { program: image.name.clone(), insn, place, at: place.and_then(|p| position(p, texts)), line, reason, log }
    }
}

/// The place of the run of instructions that `insn` lies in.
fn place_of(spans: &[(u32, Place)], insn: u32) -> Option<Place> {
    let after = spans.partition_point(|(first, _)| *first <= insn);
    spans.get(after.checked_sub(1)?).map(|(_, place)| *place)
}

fn position(place: Place, texts: &[(String, String)]) -> Option<String> {
    let (name, text) = texts.get(place.file as usize)?;
    let before = text.get(..place.start as usize)?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Some(format!("{name}:{line}:{column}"))
}

/// `12: (79) r2 = …`: the number.
fn insn_number(line: &str) -> Option<u32> {
    let (number, rest) = line.split_once(": (")?;
    rest.get(2..3).filter(|close| *close == ")")?;
    number.trim().parse().ok()
}

fn is_trailer(line: &str) -> bool {
    const STARTS: [&str; 6] =
        ["processed ", "verification time", "stack depth", "peak_states", "mark_precise", "max_states"];
    line.is_empty() || STARTS.iter().any(|start| line.starts_with(start))
}

/// The last instruction that the verifier looked at; errors of the checks before it name theirs in the text.
fn failing_insn(log: &str) -> Option<u32> {
    let line = last_meaningful(log);
    for mark in ["unreachable insn ", "from insn ", "at insn ", "last insn ", "insn "] {
        if let Some((_, rest)) = line.split_once(mark) {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            if let Ok(insn) = digits.parse() {
                return Some(insn);
            }
        }
    }
    log.lines().rev().find_map(insn_number)
}

/// The last line that says why, not where or how long.
fn last_meaningful(log: &str) -> &str {
    /// Comes in the middle of a line, behind the instruction that was one too many.
    const TOO_LARGE: &str = "BPF program is too large";
    if let Some(at) = log.rfind(TOO_LARGE) {
        return log[at..].lines().next().unwrap_or(TOO_LARGE);
    }
    let why = |line: &&str| {
        !is_trailer(line)
            && insn_number(line).is_none()
            && !line.starts_with(';')
            && !line.starts_with("from ")
            // About a context whose type has no size, of every program with type information.
            && !line.starts_with("arg#0 reference type")
            && !is_state(line)
    };
    let any = |line: &&str| !is_trailer(line);
    let mut lines = log.lines().map(str::trim).rev();
    lines.clone().find(why).or_else(|| lines.find(any)).unwrap_or("no reason given")
}

/// `0: R1=ctx() R10=fp0`: registers before an instruction.
fn is_state(line: &str) -> bool {
    line.split_once(": ").is_some_and(|(n, rest)| n.bytes().all(|b| b.is_ascii_digit()) && rest.starts_with('R'))
}

/// What the verifier writes (kernel/bpf/verifier.c) → what it means for a script. First match wins.
const WORDS: &[(&[&str], &str)] = &[
    (
        &["invalid bpf_context access"],
        "it reads a part of the event's context that this kernel does not give to programs",
    ),
    (
        &["program of this type cannot use helper", "unknown func", "invalid func"],
        "it uses a function that this kernel does not offer to probes of this kind",
    ),
    (
        // A callback where there are none: the loader counts one function less than the program has.
        &["number of funcs in func_info doesn't match number of subprogs"],
        "it goes through a map's elements, which this kernel does not offer to probes (Linux 5.13 does)",
    ),
    (&["map_value_or_null", "mem_or_null", "_or_null'"], "it uses a value that may not exist without having checked"),
    (
        // "The sequence of 8193 jumps is too complex.": one way through it has so many (BPF_COMPLEXITY_LIMIT_JMP_SEQ).
        &["BPF program is too large", "too many instructions", "The sequence of"],
        "it is too long, or has too many paths, for the kernel to check: fewer branches, or several blocks, would do",
    ),
    (&["infinite loop detected", "back-edge"], "it has a loop that the kernel can't prove to end"),
    (
        &["combined stack size", "stack limit", "invalid stack", "invalid write to stack", "invalid read from stack"],
        "it needs more than the 512 bytes of stack that programs have, or reads it before writing",
    ),
    (
        &[
            "min value is negative",
            "unbounded memory access",
            "outside of the allowed memory range",
            "outside of the map",
            "invalid access to map value",
            "invalid access to packet",
            "invalid access to memory",
        ],
        "it uses an index or length that the kernel can't prove to be within bounds",
    ),
    (&["!read_ok"], "it uses a register that has no value on some path"),
    (&["invalid mem access"], "it reads through something that is no valid pointer there"),
    (&["unreachable insn", "jump out of range", "last insn is not an exit"], "its code is malformed: a bug of ours"),
    (&["Unreleased reference", "reference leak"], "it keeps a ring record without handing it over: a bug of ours"),
    (&["leaks addr"], "it would show kernel addresses, which this process may not see"),
    (&["unknown opcode", "invalid BPF_"], "it uses an instruction that this kernel does not have"),
    (
        &["attach_btf_id", "is not a kernel function", "not a raw_tp"],
        "its event can't be attached by type information on this kernel",
    ),
];

/// A line of the verifier in words, if it is one that we know.
pub fn explain(line: &str) -> Option<&'static str> {
    WORDS.iter().find(|(marks, _)| marks.iter().any(|mark| line.contains(mark))).map(|(_, words)| *words)
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
