//! The version of Go that made a program, and what follows from it.

use weftrace_lang::world::{GoAbi, GoRecovery};

/// `go1.19.8` → (1, 19); `X:` marks experiments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub minor: u32,
    /// Built with GOEXPERIMENT=noregabi.
    pub stack_abi: bool,
}

impl Version {
    /// None: no version that is known here (a development build).
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.split_whitespace().find_map(|word| word.strip_prefix("go1."))?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let minor = rest[..digits].parse().ok()?;
        Some(Self { minor, stack_abi: text.contains("noregabi") })
    }

    /// How compiled functions are called.
    pub fn abi(self, first: u32) -> GoAbi {
        if self.minor >= first && !self.stack_abi { GoAbi::Registers } else { GoAbi::Stack }
    }
}

/// Where members of the runtime's structs are on 64-bit machines: from this version on.
struct Offsets {
    from: u32,
    goid: u32,
    recovery: Option<GoRecovery>,
}

/// runtime/runtime2.go of each version; a test compares them with the debug information of a program made here.
const OFFSETS: &[Offsets] = &[
    Offsets { from: 9, goid: 152, recovery: None },
    Offsets { from: 19, goid: 152, recovery: Some(GoRecovery::InG(272)) },
    // 1.20 was not looked at: there its debug information says.
    Offsets { from: 20, goid: 152, recovery: None },
    Offsets { from: 21, goid: 152, recovery: Some(GoRecovery::InG(248)) },
    Offsets { from: 22, goid: 152, recovery: Some(in_panic(48)) },
    Offsets { from: 23, goid: 160, recovery: Some(in_panic(48)) },
    Offsets { from: 25, goid: 152, recovery: Some(in_panic(48)) },
    Offsets { from: 26, goid: 152, recovery: Some(in_panic(40)) },
    Offsets { from: 27, goid: 152, recovery: Some(in_panic(48)) },
];

/// `_panic` follows the stack and its two guards in all versions.
const fn in_panic(sp: u32) -> GoRecovery {
    GoRecovery::InPanic { panic: 32, sp }
}

/// The newest version whose structs were looked at.
const NEWEST: u32 = 27;

/// Whether the length in front of a type's name is a varint: two bytes before.
pub fn names_have_varints(version: Version) -> bool {
    version.minor >= 17
}

/// Offset of `goid` in runtime.g.
pub fn goid(version: Version) -> Option<u32> {
    row(version).map(|row| row.goid)
}

pub fn recovery(version: Version) -> Option<GoRecovery> {
    row(version).and_then(|row| row.recovery)
}

fn row(version: Version) -> Option<&'static Offsets> {
    OFFSETS.iter().rev().find(|row| row.from <= version.minor).filter(|_| version.minor <= NEWEST)
}
