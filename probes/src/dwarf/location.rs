//! Where a function's parameters are at its first instruction: what the debug information says, and the calling convention where
//! it says nothing.
//!
//! The convention alone is not enough: Rust has none that is written down, and LLVM leaves parameters out of functions that
//! nothing outside calls, which moves the others, without a mark in the function's name.

use super::DebugInfo;
use super::abi::IN_FLOAT;
use super::abi::{Arguments, Class};
use super::types::number;
use super::units::{Entry, Node, Part, Value};
use gimli::constants as c;
use gimli::{Expression, Operation, Register};
use std::rc::Rc;
use weftrace_arch::HOST;
use weftrace_lang::world::ArgPlace;

/// What the information says of one parameter.
#[derive(Debug)]
pub(super) enum Said {
    /// Nothing about the entry.
    Nothing,
    /// It is in the frame, which the function's first instructions make: code that wasn't optimised.
    Frame,
    Place(ArgPlace),
}

/// How far a function's convention may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// C's, as anybody may call it.
    Convention,
    /// Only what the information says, since the compiler may have moved parameters.
    Information,
    /// The same, of Rust, whose parameters that the information has in the frame follow most of C's convention.
    Rust,
}

/// Finds the places of the parameters of one function, in order.
pub(super) struct Finder {
    trust: Trust,
    arguments: Arguments,
    low: u64,
    /// A parameter of which only Rust knows how it is passed: those after it are nowhere.
    lost: bool,
}

const MOVED: &str = "the compiler left it out of this function, or the debug information doesn't say where it is";
const RUST: &str = "how Rust passes such values is not told by the debug information of code that wasn't optimised";

impl DebugInfo {
    /// `symbol`: the function's name in the symbol table, which marks copies that GCC made.
    pub(super) fn finder(&self, node: &Node, low: u64, symbol: &str, result: Class) -> Finder {
        let changed = [".isra.", ".constprop.", ".part."].iter().any(|mark| symbol.contains(mark));
        let unit = unit_facts(&node.part);
        let local = node.entry().is_none_or(|e| !self.is_external(node, &e));
        let trust = match unit {
            (true, _) => Trust::Rust,
            (false, true) if local => Trust::Information,
            _ if changed => Trust::Information,
            _ => Trust::Convention,
        };
        let size = self.type_of(node).and_then(|t| self.size(Some(&t))).unwrap_or(0);
        // Results that Rust returns by a hidden pointer are those that two registers don't hold.
        let hidden = if trust == Trust::Rust { size > 16 } else { matches!(result, Class::Memory) };
        Finder { trust, arguments: Arguments::new(hidden), low, lost: false }
    }

    /// Whether code outside the unit may call it.
    fn is_external(&self, node: &Node, entry: &Entry) -> bool {
        let set = |e: &Entry| matches!(e.attr_value(c::DW_AT_external), Some(Value::Flag(true)));
        let declared = || {
            let next = entry.attr_value(c::DW_AT_abstract_origin).or(entry.attr_value(c::DW_AT_specification))?;
            self.units.follow(&node.part, &next)?.entry()
        };
        set(entry) || declared().is_some_and(|e| set(&e))
    }

    /// The place of the next parameter.
    pub(super) fn place(&self, finder: &mut Finder, param: &Node, ty: Option<&Node>) -> ArgPlace {
        let said = said(param, finder.low);
        let size = self.size(ty).unwrap_or(8);
        if finder.trust == Trust::Rust && matches!(said, Said::Frame) {
            return self.of_rust(finder, ty, size);
        }
        let usual = finder.arguments.next(self.classify(ty), size);
        match (said, finder.trust) {
            (Said::Place(place), _) => place,
            (_, Trust::Convention) | (Said::Frame, Trust::Information) => usual,
            (_, Trust::Information | Trust::Rust) => ArgPlace::Nowhere(MOVED.into()),
        }
    }

    /// A parameter of a Rust function that wasn't optimised: numbers, pointers, pairs of two words in registers, what is larger by
    /// its address. Of other small values only the compiler knows in which registers they are.
    fn of_rust(&self, finder: &mut Finder, ty: Option<&Node>, size: u32) -> ArgPlace {
        let class = match ty.map(|t| self.words(t, 0, 0)) {
            _ if finder.lost => None,
            _ if size == 0 => Some(Class::Nothing),
            _ if size > 16 => Some(Class::Reference),
            Some(Some(words)) => match (&*words, size) {
                ([(0, false)], 1..=8) => Some(Class::Integer(1)),
                ([(0, true)], 4 | 8) => Some(Class::Float(1)),
                ([(0, false), (8, false)], 16) => Some(Class::Integer(2)),
                _ => None,
            },
            _ => None,
        };
        if let Some(class) = class {
            return finder.arguments.next(class, size);
        }
        finder.lost = true;
        ArgPlace::Nowhere(RUST.into())
    }

    /// Scalars of a type: (offset, whether it is floating point). None: it has variants, arrays, or too many.
    fn words(&self, node: &Node, at: u32, nesting: u32) -> Option<Vec<(u32, bool)>> {
        const MAX_NESTING: u32 = 16;
        let (node, _) = self.peel(node.clone()).filter(|_| nesting < MAX_NESTING)?;
        let entry = node.entry()?;
        match entry.tag() {
            c::DW_TAG_structure_type => {
                let mut out = Vec::new();
                for child in Self::children(&node) {
                    let member = child.entry()?;
                    match member.tag() {
                        c::DW_TAG_variant_part => return None,
                        c::DW_TAG_member => {}
                        _ => continue,
                    }
                    let ty = self.target(&child, &member, c::DW_AT_type)?;
                    if self.size(Some(&ty)) == Some(0) {
                        continue;
                    }
                    let offset = number(&member, c::DW_AT_data_member_location).and_then(|n| u32::try_from(n).ok())?;
                    out.extend(self.words(&ty, at.checked_add(offset)?, nesting + 1)?);
                }
                out.sort_unstable();
                (out.len() <= 2).then_some(out)
            }
            c::DW_TAG_union_type | c::DW_TAG_array_type => None,
            _ => {
                let base = self.base(&node);
                // u128 is two words, in a way of its own.
                let wide = base.as_ref().is_some_and(|b| b.bytes > 8);
                (!wide).then(|| vec![(at, base.is_some_and(|b| b.encoding == c::DW_ATE_float))])
            }
        }
    }
}

/// (the unit is Rust's, LLVM made it)
fn unit_facts(part: &Rc<Part>) -> (bool, bool) {
    let mut entries = part.unit.entries();
    let Ok(Some(root)) = entries.next_dfs() else { return (false, false) };
    let rust = matches!(root.attr_value(c::DW_AT_language), Some(Value::Language(c::DW_LANG_Rust)));
    let producer = root.attr_value(c::DW_AT_producer).and_then(|v| part.dwarf.attr_string(&part.unit, v).ok());
    let producer = producer.and_then(|r| super::units::text(&r)).unwrap_or_default();
    (rust, producer.contains("clang") || producer.contains("LLVM"))
}

/// What is said of a parameter at its function's first instruction.
fn said(param: &Node, low: u64) -> Said {
    let Some(entry) = param.entry() else { return Said::Nothing };
    let Some(value) = entry.attr_value(c::DW_AT_location) else { return Said::Nothing };
    let part = &param.part;
    if let Value::Exprloc(expression) = value {
        return read(part, expression);
    }
    let Ok(Some(mut list)) = part.dwarf.attr_locations(&part.unit, value) else { return Said::Nothing };
    while let Ok(Some(row)) = list.next() {
        if (row.range.begin..row.range.end).contains(&low) {
            return read(part, row.data);
        }
    }
    Said::Nothing
}

/// An expression as a place.
fn read(part: &Rc<Part>, expression: Expression<super::sections::Reader>) -> Said {
    let nowhere = |why: &str| Said::Place(ArgPlace::Nowhere(why.into()));
    let mut operations = expression.operations(part.unit.encoding());
    // Registers, with the bytes of each that count; None: a part that was left out.
    let mut parts: Vec<(Option<Register>, u64)> = Vec::new();
    let mut last = None;
    while let Ok(Some(operation)) = operations.next() {
        match operation {
            Operation::Register { register } => last = Some(register),
            // At the entry the value that it had there is the one that it has.
            Operation::EntryValue { expression } => {
                let mut inner = Expression(expression).operations(part.unit.encoding());
                let Ok(Some(Operation::Register { register })) = inner.next() else { return nowhere(MOVED) };
                last = Some(register);
            }
            Operation::StackValue if last.is_some() => {}
            Operation::Piece { size_in_bits, .. } => parts.push((last.take(), size_in_bits / 8)),
            Operation::RegisterOffset { register, offset: 0, .. } => {
                return match integer(register) {
                    Some(register) if matches!(operations.next(), Ok(None)) => {
                        Said::Place(ArgPlace::Address { register })
                    }
                    _ => Said::Frame,
                };
            }
            Operation::FrameOffset { .. } | Operation::RegisterOffset { .. } | Operation::CallFrameCFA => {
                return Said::Frame;
            }
            _ => return nowhere("the compiler put a value of its own in its place"),
        }
    }
    if parts.is_empty() {
        return match last {
            Some(register) => in_registers(&[register]),
            None => Said::Nothing,
        };
    }
    if parts.iter().all(|(register, _)| register.is_none()) {
        return nowhere(MOVED);
    }
    let all: Option<Vec<Register>> = parts.iter().map(|(register, _)| *register).collect();
    match all {
        None => nowhere("the compiler left a part of it out of this function"),
        Some(_) if parts.iter().rev().skip(1).any(|(_, bytes)| *bytes != 8) => {
            nowhere("its parts are in halves of registers")
        }
        Some(all) => in_registers(&all),
    }
}

fn in_registers(all: &[Register]) -> Said {
    let numbers: Option<Vec<u32>> = all.iter().map(|r| integer(*r)).collect();
    let Some(numbers) = numbers else { return Said::Place(ArgPlace::Nowhere(IN_FLOAT.into())) };
    let first = numbers.first().copied().unwrap_or(0);
    let count = numbers.len() as u32;
    if numbers.iter().zip(first..).any(|(n, wanted)| *n != wanted) {
        return Said::Place(ArgPlace::Nowhere("its parts are in registers that don't follow each other".into()));
    }
    Said::Place(ArgPlace::Registers { first, count })
}

/// Which argument's register it is, by DWARF's numbers.
fn integer(register: Register) -> Option<u32> {
    let offset = HOST.dwarf.offsets.get(usize::from(register.0))?;
    HOST.args.iter().position(|o| o == offset).map(|i| i as u32)
}
