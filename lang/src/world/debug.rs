//! What programs' debug information says.

use super::UserSymbol;
use crate::hir::Ty;
use serde::{Deserialize, Serialize};

/// Where a user function's parameter is at the function's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArgPlace {
    /// Registers of integer arguments, by their place in the calling convention: one, or two for 9 to 16 bytes.
    Registers { first: u32, count: u32 },
    /// The value's address is in the register.
    Address { register: u32 },
    /// Bytes above the stack pointer.
    Stack { offset: u32 },
    /// In pieces, in the order of their offsets in the value: Go's structs, strings and slices.
    Pieces(Vec<ArgPiece>),
    /// Where no probe can read it, and why: a floating-point register.
    Nowhere(String),
}

/// A part of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArgPiece {
    /// In the value.
    pub offset: u32,
    /// Bytes: 1, 2, 4 or 8.
    pub size: u32,
    /// [`ArgPlace::Registers`] of one register, or [`ArgPlace::Stack`].
    pub place: ArgPlace,
}

/// A named parameter of a user function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserParam {
    pub name: String,
    pub ty: Ty,
    /// As C writes it: `const char*`.
    pub c_type: String,
    pub place: ArgPlace,
}

/// A function of a program or library, by its debug information.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserProto {
    pub name: String,
    pub params: Vec<UserParam>,
    pub ret: Ty,
    /// As C writes it; empty for Go.
    pub ret_c_type: String,
    /// Whether the result's register holds all of it.
    pub ret_in_register: bool,
    /// Written in Go.
    #[serde(default)]
    pub go: bool,
    /// Of Go: in order; those without a name have an empty one.
    #[serde(default)]
    pub results: Vec<UserParam>,
}

/// Code of a source line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLines {
    /// Where its statements begin: once for each function that has a copy of it.
    pub found: Vec<UserSymbol>,
    /// The source file, by the debug information; None: no file is called so.
    pub file: Option<String>,
    /// Files that the name may mean, if there are several.
    pub ambiguous: Vec<String>,
    /// Lines near it that have code, where it has none.
    pub near: Vec<u32>,
}
