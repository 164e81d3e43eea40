//! Exit codes, as documented in README.md and `weftrace --help`.

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Ran; Ctrl-C after a clean drain too.
    Ok,
    /// The script has errors.
    Script,
    /// The command line is wrong.
    Usage,
    /// A probe could not be attached, or a permission is missing.
    Attach,
    /// An alert fired, and nothing else went wrong.
    Alert,
    /// The input is damaged; what came before the damage was processed.
    Damaged,
    /// Output or packets that were to be kept could not be written.
    NotWritten,
    /// `exit(n)` in the script.
    Code(u8),
}

impl ExitStatus {
    pub fn code(self) -> i32 {
        match self {
            Self::Ok => 0,
            Self::Script => 1,
            Self::Usage => 2,
            Self::Attach => 3,
            Self::Alert => 4,
            Self::Damaged => 5,
            Self::NotWritten => 6,
            Self::Code(n) => i32::from(n),
        }
    }
}
