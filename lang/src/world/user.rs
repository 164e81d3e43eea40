//! Facts of programs and libraries.

use serde::{Deserialize, Serialize};

/// A function in an executable or library.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSymbol {
    /// The file that was found for what the script wrote.
    pub path: String,
    /// That file as probes' names show it: as written, where a path was written. Empty: as `path`.
    #[serde(default)]
    pub shown: String,
    pub name: String,
    /// Where the name was asked for as C++ or Rust has it.
    #[serde(default)]
    pub demangled: Option<String>,
    /// As C++ or Rust write it, where the name was asked for as the symbol table has it.
    #[serde(default)]
    pub written: Option<String>,
    /// The name is Rust's.
    #[serde(default)]
    pub rust: bool,
    /// It only chooses one of several functions when the program is loaded (IFUNC).
    #[serde(default)]
    pub chooser: bool,
    /// As the file gives it; of a position-independent one, relative to where it is loaded.
    #[serde(default)]
    pub address: u64,
    /// Offset in the file, as uprobes want it.
    pub file_offset: u64,
    pub size: u64,
}

impl UserSymbol {
    /// The file as probes' names show it.
    pub fn file(&self) -> &str {
        if self.shown.is_empty() { &self.path } else { &self.shown }
    }

    /// What `func` is; `readable`: C++ and Rust names as their languages write them.
    pub fn func(&self, readable: bool) -> &str {
        let written = self.written.as_ref().filter(|_| readable);
        self.demangled.as_ref().or(written).unwrap_or(&self.name)
    }
}

/// An address in an executable or library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPlace {
    pub path: String,
    /// As in [`UserSymbol`].
    pub shown: String,
    /// Offset in the file, as uprobes want it.
    pub file_offset: u64,
    /// The file has no format that we know: the address is the offset.
    pub flat: bool,
    /// The function that it lies in; None: the file names none there.
    pub function: Option<UserSymbol>,
}

/// Where a place of a file is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserAddress {
    /// As the file counts addresses.
    pub address: u64,
    /// The file is always loaded where it says; else all of its addresses move by the same distance.
    pub fixed: bool,
}

/// A static marker of a program or library (USDT), with every place where the compiler put it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsdtProbe {
    /// The file to probe.
    pub path: String,
    /// As in [`UserSymbol`].
    pub shown: String,
    /// Its first name: systemtap's "provider".
    pub namespace: String,
    pub name: String,
    pub sites: Vec<UsdtSite>,
}

/// One place of a marker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsdtSite {
    /// Offset in the file, as uprobes want it.
    pub file_offset: u64,
    /// File offset of the counter that says whether anybody looks; 0: none.
    pub semaphore: u64,
    pub args: Vec<UsdtArg>,
}

/// Where an argument of a marker is when it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsdtArg {
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    pub signed: bool,
    pub place: UsdtPlace,
}

/// Registers are named by their offset in the registers that uprobe programs get (struct pt_regs).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UsdtPlace {
    Constant(i64),
    /// The register, shifted right by `shift` bits (`%ah`: 8).
    Register {
        register: u16,
        shift: u8,
    },
    /// `offset + base + index * scale` in the process's memory.
    Memory {
        base: Option<u16>,
        index: Option<u16>,
        scale: u8,
        offset: i64,
    },
    /// As the file writes it: nothing that a program can read (a vector register).
    Unreadable(String),
}
