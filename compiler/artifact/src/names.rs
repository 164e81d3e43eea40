//! Names of numbers that a script asks for while it runs: errors, signals, system calls.
//!
//! A program looks a name up in an array ([`crate::map::Role::Names`]) that the runtime fills before anything runs. It is there
//! only if the script asks by a number that is not written out.

mod errors;
mod signals;

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Bytes of every name, with its NUL: what a string of a script that holds one can take.
pub const NAME_CAP: u32 = 64;

/// What is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NameTable {
    /// `strerror(n)`: by errno, of either sign.
    Errors,
    /// `signal_name(n)`
    Signals,
    /// `syscall_name(n)`
    Syscalls,
}

impl NameTable {
    /// All names by number. The last is what every number beyond the table has.
    pub fn names(self) -> Vec<Cow<'static, str>> {
        match self {
            Self::Errors => {
                let name = |text: &&'static str| if text.is_empty() { "Unknown error" } else { *text };
                errors::ERRORS.iter().map(name).chain(["Unknown error"]).map(Cow::Borrowed).collect()
            }
            Self::Signals => {
                let mut names = vec![Cow::Borrowed("Unknown signal 0")];
                names.extend(signals::SIGNALS.iter().map(|s| Cow::Borrowed(*s)));
                // The C library keeps the first two of the real-time signals for itself.
                names.extend((32..34).map(|n| Cow::Owned(format!("Unknown signal {n}"))));
                names.extend((0..=30).map(|n| Cow::Owned(format!("Real-time signal {n}"))));
                names.push(Cow::Borrowed("N/A"));
                names
            }
            Self::Syscalls => {
                const NONE: Cow<'static, str> = Cow::Borrowed("Unknown syscall");
                let mut names = Vec::new();
                for (number, name) in weftrace_arch::HOST.syscalls() {
                    names.resize(number as usize, NONE);
                    names.push(Cow::Borrowed(name));
                }
                names.push(NONE);
                names
            }
        }
    }

    /// The name of a number that is known already.
    pub fn name(self, number: i64) -> Cow<'static, str> {
        let number = if self == Self::Errors { number.unsigned_abs() } else { number as u64 };
        let mut names = self.names();
        let at = names.len() - 1;
        names.swap_remove(usize::try_from(number).map_or(at, |n| n.min(at)))
    }

    /// Entries of the array.
    pub fn entries(self) -> u32 {
        self.names().len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_number() {
        let name = |t: NameTable, n| t.name(n).into_owned();
        assert_eq!(name(NameTable::Errors, 22), "Invalid argument");
        assert_eq!(name(NameTable::Errors, -2), "No such file or directory");
        assert_eq!(name(NameTable::Errors, 41), "Unknown error");
        assert_eq!(name(NameTable::Errors, i64::MIN), "Unknown error");
        assert_eq!(name(NameTable::Signals, 9), "Killed");
        assert_eq!(name(NameTable::Signals, 64), "Real-time signal 30");
        assert_eq!(name(NameTable::Signals, 65), "N/A");
        assert_eq!(name(NameTable::Signals, -1), "N/A");
        assert_eq!(name(NameTable::Syscalls, 1_000_000), "Unknown syscall");
        let (first, late) =
            if weftrace_arch::HOST.name == "x86_64" { ("read", "mseal") } else { ("io_setup", "mseal") };
        assert_eq!((name(NameTable::Syscalls, 0), name(NameTable::Syscalls, 462)), (first.into(), late.into()));
    }

    #[test]
    fn every_name_fits_with_its_nul() {
        for table in [NameTable::Errors, NameTable::Signals, NameTable::Syscalls] {
            assert!(table.names().iter().all(|n| n.len() < NAME_CAP as usize), "{table:?}");
        }
    }
}
