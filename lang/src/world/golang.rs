//! What a Go program's own tables say about its functions.

use serde::{Deserialize, Serialize};

/// How a Go function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GoAbi {
    /// ABIInternal since Go 1.17: the first words in registers, the goroutine in one of its own.
    Registers,
    /// ABI0: all words on the stack.
    Stack,
    /// Assembly: its declaration is in no table.
    Unknown,
}

/// A function of a Go program. Offsets are in the file, as uprobes want them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoFunction {
    /// As the program's own table has it.
    pub name: String,
    /// Its first instruction.
    pub start: u64,
    /// The first instruction that a call runs once: after the check of the stack's size, behind which the call may begin anew.
    pub entry: u64,
    /// The instructions that return.
    pub returns: Vec<u64>,
    /// Jumps to other functions instead of a call and a return.
    pub tails: Vec<u64>,
    /// Why the places where it returns can't be told, if so.
    pub unclear: Option<String>,
    /// The first instruction that counts is also that of a loop.
    pub looped: bool,
    pub abi: GoAbi,
    pub runtime: GoRuntime,
}

/// Where the runtime keeps what probes ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GoRuntime {
    /// `go1.19.8`; empty: the file doesn't say.
    pub version: String,
    /// From the thread pointer to the word that holds the current goroutine (x86-64).
    pub tls: i64,
    /// Of `goid` in runtime.g.
    pub goid: Option<u32>,
    /// Where a recovering goroutine keeps the stack pointer of the frame that goes on.
    pub recovery: Option<GoRecovery>,
}

/// A recovering goroutine's record of where it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GoRecovery {
    /// Until Go 1.21: this member of runtime.g.
    InG(u32),
    /// Since: the member of runtime._panic, to which the member `_panic` of runtime.g points.
    InPanic { panic: u32, sp: u32 },
}
