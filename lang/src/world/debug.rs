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
    /// Where no probe can read it, and why: a floating-point register.
    Nowhere(String),
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
    /// As C writes it.
    pub ret_c_type: String,
    /// Whether the result's register holds all of it.
    pub ret_in_register: bool,
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
