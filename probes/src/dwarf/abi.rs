//! Where a function's parameters are at its entry, by the calling convention of C.
//!
//! x86-64: System V ABI 1.0, 3.2.3. aarch64: AAPCS64, 6.8. What is not an integer, pointer, small struct of such, or memory on the
//! stack is in floating-point registers, which probes don't see.

use super::DebugInfo;
use super::functions::by_reference;
use super::limits::{self, Exceeded};
use super::structs::MAX_NESTING;
use super::types::number;
use super::units::Node;
use gimli::constants as c;
use weftrace_arch::{Calls, HOST};
use weftrace_lang::world::ArgPlace;

/// Why a parameter can't be read.
pub(super) const IN_FLOAT: &str = "it is in a floating-point register, which probes don't see";

fn calls() -> &'static Calls {
    &HOST.calls
}

/// Registers of integer arguments.
fn registers() -> u32 {
    HOST.args.len() as u32
}

/// How a value is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Nothing,
    /// In so many integer registers.
    Integer(u32),
    /// In so many floating-point registers.
    Float(u32),
    /// One eightbyte of each.
    Mixed,
    /// By its address.
    Reference,
    /// On the stack.
    Memory,
}

/// Of one eightbyte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Eightbyte {
    None,
    Integer,
    Float,
}

/// Gives the parameters of one function their places, in order.
#[derive(Debug)]
pub(super) struct Arguments {
    integers: u32,
    floats: u32,
    stack: u32,
}

impl Arguments {
    /// `hidden`: the caller passes the address of the result.
    pub(super) fn new(hidden: bool) -> Self {
        let first = u32::from(hidden && calls().result_takes_a_register);
        Self { integers: first, floats: 0, stack: calls().stack }
    }

    pub(super) fn next(&mut self, class: Class, size: u32) -> ArgPlace {
        let float = || ArgPlace::Nowhere(IN_FLOAT.into());
        match class {
            Class::Nothing => ArgPlace::Nowhere("it takes no space: an empty struct".into()),
            Class::Integer(count) if self.integers + count <= registers() => {
                let first = self.integers;
                self.integers += count;
                ArgPlace::Registers { first, count }
            }
            Class::Reference if self.integers < registers() => {
                self.integers += 1;
                ArgPlace::Address { register: self.integers - 1 }
            }
            Class::Float(count) if self.floats + count <= calls().floats => {
                self.floats += count;
                float()
            }
            Class::Mixed if self.integers < registers() && self.floats < calls().floats => {
                self.integers += 1;
                self.floats += 1;
                ArgPlace::Nowhere("a part of it is in a floating-point register, which probes don't see".into())
            }
            Class::Reference => {
                let _ = self.on_stack(8);
                ArgPlace::Nowhere("only its address is on the stack".into())
            }
            Class::Integer(_) | Class::Float(_) | Class::Mixed | Class::Memory => self.on_stack(size),
        }
    }

    fn on_stack(&mut self, size: u32) -> ArgPlace {
        let offset = self.stack;
        self.stack = offset.saturating_add(size.next_multiple_of(8));
        ArgPlace::Stack { offset }
    }
}

impl DebugInfo {
    pub(super) fn classify(&self, node: Option<&Node>) -> Class {
        let Some((node, _)) = node.and_then(|n| self.peel(n.clone())) else { return Class::Nothing };
        let Some(entry) = node.entry() else { return Class::Nothing };
        let size = self.size(Some(&node)).unwrap_or(0);
        match entry.tag() {
            c::DW_TAG_base_type => match self.base(&node) {
                Some(base) if base.encoding == c::DW_ATE_float && size > 8 => {
                    if calls().long_double_in_register {
                        Class::Float(1)
                    } else {
                        Class::Memory
                    }
                }
                Some(base) if base.encoding == c::DW_ATE_float => Class::Float(1),
                Some(base) if base.encoding == c::DW_ATE_complex_float => match size {
                    0..=8 => Class::Float(1),
                    9..=16 => Class::Float(2),
                    _ => Class::Memory,
                },
                _ => Class::Integer(size.div_ceil(8).max(1)),
            },
            c::DW_TAG_structure_type | c::DW_TAG_class_type | c::DW_TAG_union_type => self.classify_struct(&node, size),
            _ => Class::Integer(1),
        }
    }

    fn classify_struct(&self, node: &Node, size: u32) -> Class {
        if by_reference(node) {
            return Class::Reference;
        }
        if size == 0 {
            return Class::Nothing;
        }
        if size > 16 {
            return if calls().large_by_reference { Class::Reference } else { Class::Memory };
        }
        let mut parts = [Eightbyte::None; 2];
        if !self.fill(node, 0, &mut parts, 0) {
            return Class::Memory;
        }
        match (parts[0], parts[1], size > 8) {
            (Eightbyte::Float, Eightbyte::Float, true) => Class::Float(2),
            (Eightbyte::Float, _, false) => Class::Float(1),
            (Eightbyte::Float, _, true) | (_, Eightbyte::Float, true) => Class::Mixed,
            (_, _, wide) => Class::Integer(if wide { 2 } else { 1 }),
        }
    }

    /// Marks what a type has in the two eightbytes; false: some member isn't aligned.
    fn fill(&self, node: &Node, at: u32, parts: &mut [Eightbyte; 2], nesting: u32) -> bool {
        if nesting >= MAX_NESTING {
            limits::give_up(Exceeded::Nesting);
            return false;
        }
        let Some((node, _)) = self.peel(node.clone()) else { return true };
        let Some(entry) = node.entry() else { return true };
        match entry.tag() {
            c::DW_TAG_structure_type | c::DW_TAG_class_type | c::DW_TAG_union_type => {
                Self::children(&node).iter().all(|child| {
                    let Some(member) = child.entry() else { return true };
                    let part = matches!(member.tag(), c::DW_TAG_member | c::DW_TAG_inheritance);
                    if !part || member.attr(c::DW_AT_external).is_some() {
                        return true;
                    }
                    let Some(ty) = self.target(child, &member, c::DW_AT_type) else { return true };
                    let offset = number(&member, c::DW_AT_data_member_location)
                        .or_else(|| number(&member, c::DW_AT_data_bit_offset).map(|bit| bit / 8))
                        .and_then(|n| u32::try_from(n).ok())
                        .unwrap_or(0);
                    self.fill(&ty, at.saturating_add(offset), parts, nesting + 1)
                })
            }
            c::DW_TAG_array_type => {
                let Some(elem) = self.target(&node, &entry, c::DW_AT_type) else { return true };
                let each = self.size(Some(&elem)).unwrap_or(1).max(1);
                let whole = self.size(Some(&node)).unwrap_or(0).min(16);
                (0..whole / each).all(|i| self.fill(&elem, at + i * each, parts, nesting + 1))
            }
            _ => {
                let float = self.base(&node).is_some_and(|b| b.encoding == c::DW_ATE_float);
                let class = if float { Eightbyte::Float } else { Eightbyte::Integer };
                let size = self.size(Some(&node)).unwrap_or(1).max(1);
                if let Some(part) = parts.get_mut((at / 8) as usize)
                    && *part != Eightbyte::Integer
                {
                    *part = class;
                }
                if size > 8
                    && let Some(part) = parts.get_mut((at / 8) as usize + 1)
                {
                    *part = class;
                }
                at.is_multiple_of(size.min(8).next_power_of_two())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_run_out() {
        if HOST.name != "x86_64" {
            return;
        }
        let mut a = Arguments::new(true);
        assert_eq!(a.next(Class::Integer(1), 4), ArgPlace::Registers { first: 1, count: 1 });
        assert!(matches!(a.next(Class::Float(1), 8), ArgPlace::Nowhere(_)));
        assert_eq!(a.next(Class::Integer(2), 16), ArgPlace::Registers { first: 2, count: 2 });
        assert_eq!(a.next(Class::Memory, 24), ArgPlace::Stack { offset: 8 });
        assert_eq!(a.next(Class::Reference, 8), ArgPlace::Address { register: 4 });
        // Two registers don't fit any more; one still does.
        assert_eq!(a.next(Class::Integer(2), 16), ArgPlace::Stack { offset: 32 });
        assert_eq!(a.next(Class::Integer(1), 8), ArgPlace::Registers { first: 5, count: 1 });
        assert_eq!(a.next(Class::Integer(1), 1), ArgPlace::Stack { offset: 48 });
    }
}
