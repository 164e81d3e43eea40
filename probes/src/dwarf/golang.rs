//! Go's functions and types in debug information.

use super::abi::IN_FLOAT;
use super::golang_abi::{Assign, Leaf, Shape, joined, register};
use super::limits::{self, Exceeded};
use super::sections::Reader;
use super::structs::MAX_NESTING;
use super::types::number;
use super::units::{Node, Value};
use super::{DebugInfo, DwarfError};
use gimli::constants as c;
use gimli::{Expression, Operation};
use weftrace_arch::HOST;
use weftrace_lang::hir::{GoType, Space, Ty};
use weftrace_lang::world::{ArgPiece, ArgPlace, GoAbi, UserParam, UserProto};

/// Attributes of Go's own (cmd/internal/dwarf).
const DW_AT_GO_KIND: gimli::DwAt = gimli::DwAt(0x2900);
const DW_AT_GO_EMBEDDED: gimli::DwAt = gimli::DwAt(0x2903);
/// Kinds of package reflect.
const KIND_SLICE: u64 = 23;
const KIND_STRING: u64 = 24;
/// More than any value in registers has.
const MAX_LEAVES: usize = 64;

impl DebugInfo {
    /// What a struct stands for, if its unit was written in Go.
    pub(super) fn go_type(&self, node: &Node, name: &str) -> Option<GoType> {
        if !is_go(node) {
            return None;
        }
        let entry = node.entry()?;
        match number(&entry, DW_AT_GO_KIND) {
            Some(KIND_STRING) => return Some(GoType::String),
            Some(KIND_SLICE) => return Some(GoType::Slice),
            _ => {}
        }
        Some(match name {
            "runtime.iface" => GoType::Interface,
            "runtime.eface" => GoType::Any,
            _ if name.starts_with("hchan<") => GoType::Counted("qcount".into()),
            // Since Go 1.24, and before.
            _ if name.starts_with("map<") => GoType::Counted("used".into()),
            _ if name.starts_with("hash<") => GoType::Counted("count".into()),
            _ => {
                let embedded = Self::children(node).into_iter().filter_map(|child| {
                    let member = child.entry().filter(|e| e.tag() == c::DW_TAG_member)?;
                    let marked = match member.attr_value(DW_AT_GO_EMBEDDED)? {
                        Value::Flag(set) => set,
                        _ => number(&member, DW_AT_GO_EMBEDDED)? != 0,
                    };
                    self.name(&child).filter(|_| marked)
                });
                GoType::Struct { embedded: embedded.collect() }
            }
        })
    }

    /// A Go function whose code begins at an address: its parameters where they are at `pc`, its results where they are at its end.
    pub fn go_proto(&self, address: u64, pc: u64, abi: GoAbi) -> Result<Option<UserProto>, DwarfError> {
        self.answer(|| self.go_proto_at(address, pc, abi))?
    }

    fn go_proto_at(&self, address: u64, pc: u64, abi: GoAbi) -> Result<Option<UserProto>, DwarfError> {
        let Some(node) = self.function(address)?.filter(is_go) else { return Ok(None) };
        let mut assign = Assign::new(abi);
        let (mut params, mut outs) = (Vec::new(), Vec::new());
        for child in Self::children(&node) {
            if child.entry().is_none_or(|e| e.tag() != c::DW_TAG_formal_parameter) {
                continue;
            }
            let list = if self.is_result(&child) { &mut outs } else { &mut params };
            // What a closure keeps is told twice.
            let name = self.name(&child);
            if name.is_none() || !list.iter().any(|known: &Node| self.name(known) == name) {
                list.push(child);
            }
        }
        // By the convention, and by what the compiler says about this instruction.
        let both: Vec<(ArgPlace, Option<ArgPlace>)> = params
            .iter()
            .map(|p| {
                let shape = self.type_of(p).map_or_else(none, |ty| self.shape(&ty));
                (assign.next(&shape), Self::place_at(p, pc, &shape))
            })
            .collect();
        // Parameters without a name take registers and aren't told: then only what the compiler says holds.
        let complete = both.iter().all(|(ours, said)| said.as_ref().is_none_or(|said| said == ours));
        let unsure = || ArgPlace::Nowhere("where it is isn't known: the function has parameters without a name".into());
        let place = |(ours, said): (ArgPlace, Option<ArgPlace>)| match said {
            Some(said) => said,
            None if complete => ours,
            None => unsure(),
        };
        let params: Vec<UserParam> = params.iter().zip(both).map(|(p, both)| self.go_param(p, place(both))).collect();
        assign.results();
        let results = outs.iter().map(|p| {
            let shape = self.type_of(p).map_or_else(none, |ty| self.shape(&ty));
            let place = match assign.next(&shape) {
                ArgPlace::Stack { .. } if !complete => Self::place_at(p, pc, &shape).unwrap_or_else(unsure),
                place => place,
            };
            let mut result = self.go_param(p, place);
            // `~r0`: the compiler's own.
            if result.name.starts_with('~') {
                result.name.clear();
            }
            result
        });
        let results = results.collect();
        let name = self.name(&node).unwrap_or_default();
        let (ret, ret_c_type) = (Ty::Void, String::new());
        Ok(Some(UserProto { name, params, ret, ret_c_type, ret_in_register: false, go: true, results }))
    }

    fn go_param(&self, node: &Node, place: ArgPlace) -> UserParam {
        let ty = self.type_of(node);
        let place = match place {
            ArgPlace::Stack { .. } if ty.as_ref().is_none_or(|ty| self.shape(ty).size == 0) => {
                ArgPlace::Nowhere("it takes no space".into())
            }
            place => place,
        };
        UserParam {
            name: self.name(node).unwrap_or_default(),
            c_type: ty.as_ref().and_then(|ty| self.name(ty)).unwrap_or_else(|| "?".into()),
            ty: ty.map_or(Ty::Void, |ty| self.go_ty(&ty)),
            place,
        }
    }

    /// A function is a pointer to its code and what it has kept.
    fn go_ty(&self, node: &Node) -> Ty {
        let function =
            self.peel(node.clone()).and_then(|(n, _)| n.entry()).is_some_and(|e| e.tag() == c::DW_TAG_subroutine_type);
        if function { Ty::Ptr { to: Box::new(Ty::Void), space: Space::User } } else { self.ty(Some(node)) }
    }

    fn is_result(&self, node: &Node) -> bool {
        let flag = self.along(node, |_, entry| entry.attr_value(c::DW_AT_variable_parameter));
        matches!(flag, Some(Value::Flag(true)))
    }

    /// What a type takes, by its structure.
    fn shape(&self, node: &Node) -> Shape {
        let mut leaves = Vec::new();
        let (size, align, registers) = self.fill_shape(node, 0, &mut leaves, 0);
        Shape { size, align, leaves: registers.then_some(leaves) }
    }

    /// Adds the numbers of a type that begins `at`: (size, alignment, whether registers can hold it).
    fn fill_shape(&self, node: &Node, at: u32, leaves: &mut Vec<Leaf>, nesting: u32) -> (u32, u32, bool) {
        let unknown = (8, 8, false);
        if nesting >= MAX_NESTING {
            limits::give_up(Exceeded::Nesting);
            return unknown;
        }
        let Some((node, _)) = self.peel(node.clone()) else { return unknown };
        let Some(entry) = node.entry() else { return unknown };
        let mut leaf = |size: u32, float: bool, offset: u32| {
            leaves.push(Leaf { offset, size, float });
            leaves.len() <= MAX_LEAVES
        };
        let size = self.size(Some(&node)).unwrap_or(8);
        match entry.tag() {
            c::DW_TAG_base_type => match self.base(&node).map(|b| b.encoding) {
                Some(c::DW_ATE_complex_float) => {
                    let half = size / 2;
                    let both = leaf(half, true, at) && leaf(half, true, at.saturating_add(half));
                    (size, half.clamp(1, 8), both)
                }
                encoding => (size, size.clamp(1, 8), leaf(size, encoding == Some(c::DW_ATE_float), at)),
            },
            c::DW_TAG_structure_type => {
                let (mut align, mut registers) = (1, true);
                for child in Self::children(&node) {
                    let Some(member) = child.entry().filter(|e| e.tag() == c::DW_TAG_member) else { continue };
                    let Some(ty) = self.target(&child, &member, c::DW_AT_type) else { continue };
                    let offset = number(&member, c::DW_AT_data_member_location).and_then(|n| u32::try_from(n).ok());
                    let offset = at.saturating_add(offset.unwrap_or(0));
                    let (_, its, fits) = self.fill_shape(&ty, offset, leaves, nesting + 1);
                    align = align.max(its);
                    registers &= fits;
                }
                (size, align, registers)
            }
            c::DW_TAG_array_type => {
                let Some(elem) = self.target(&node, &entry, c::DW_AT_type) else { return unknown };
                let before = leaves.len();
                let (each, align, fits) = self.fill_shape(&elem, at, leaves, nesting + 1);
                match size.checked_div(each) {
                    Some(1) => (size, align, fits),
                    count => {
                        leaves.truncate(before);
                        let none = count.is_none_or(|count| count == 0);
                        (if none { 0 } else { size }, align, none)
                    }
                }
            }
            // Pointers, functions: what has no size of its own is an address.
            _ => (8, 8, leaf(8, false, at)),
        }
    }

    /// Where a variable is at an instruction, as the compiler says. None: it doesn't say.
    fn place_at(node: &Node, pc: u64, shape: &Shape) -> Option<ArgPlace> {
        let entry = node.entry()?;
        let value = entry.attr_value(c::DW_AT_location)?;
        let part = &node.part;
        let expression = match value {
            Value::Exprloc(expression) => expression,
            other => {
                let mut list = part.dwarf.attr_locations(&part.unit, other).ok()??;
                loop {
                    let entry = list.next().ok()??;
                    if (entry.range.begin..entry.range.end).contains(&pc) {
                        break entry.data;
                    }
                }
            }
        };
        place_of(&expression, part.unit.encoding(), shape)
    }
}

/// A type that takes nothing.
fn none() -> Shape {
    Shape { size: 0, align: 1, leaves: Some(Vec::new()) }
}

/// Whether a node's unit was written in Go.
fn is_go(node: &Node) -> bool {
    let mut entries = node.part.unit.entries();
    let Ok(Some(root)) = entries.next_dfs() else { return false };
    matches!(root.attr_value(c::DW_AT_language), Some(Value::Language(c::DW_LANG_Go)))
}

/// Registers, and memory counted from the frame's address; whole or in pieces. None: it says nothing, or what isn't known here.
fn place_of(expression: &Expression<Reader>, encoding: gimli::Encoding, shape: &Shape) -> Option<ArgPlace> {
    let mut operations = expression.clone().operations(encoding);
    let (mut pieces, mut last, mut at): (Vec<ArgPiece>, Option<ArgPlace>, u32) = (Vec::new(), None, 0);
    let stack = |offset: i64| {
        u32::try_from(offset.checked_add(HOST.go.frame.into())?).ok().map(|offset| ArgPlace::Stack { offset })
    };
    while let Some(operation) = operations.next().ok()? {
        match operation {
            Operation::Register { register: number } => {
                let place = register(number.0).map(|first| ArgPlace::Registers { first, count: 1 });
                last = Some(place.unwrap_or_else(|| ArgPlace::Nowhere(IN_FLOAT.into())));
            }
            Operation::FrameOffset { offset } => last = stack(offset),
            Operation::CallFrameCFA => last = stack(0),
            Operation::Piece { size_in_bits, .. } => {
                let bytes = u32::try_from(size_in_bits / 8).ok()?;
                let gone = || ArgPlace::Nowhere("the compiler keeps it nowhere at the entry".into());
                let place = last.take().unwrap_or_else(gone);
                pieces.push(ArgPiece { offset: at, size: bytes, place });
                at = at.checked_add(bytes)?;
            }
            _ => return None,
        }
    }
    match (last, pieces.is_empty()) {
        (Some(ArgPlace::Registers { first, .. }), true) => {
            let leaf = shape.leaves.as_ref().and_then(|l| l.first()).copied()?;
            let place = ArgPlace::Registers { first, count: 1 };
            Some(ArgPlace::Pieces(vec![ArgPiece { offset: leaf.offset, size: leaf.size, place }]))
        }
        (last, true) => last,
        (_, false) => {
            // What fills up a struct is nowhere, and nothing.
            let is_leaf = |offset| shape.leaves.iter().flatten().any(|l: &Leaf| l.offset == offset);
            pieces.retain(|p| !matches!(p.place, ArgPlace::Nowhere(_)) || is_leaf(p.offset));
            Some(together(pieces))
        }
    }
}

/// Pieces that lie one behind the other on the stack are one place.
fn together(pieces: Vec<ArgPiece>) -> ArgPlace {
    let first = pieces.first().and_then(|p| if let ArgPlace::Stack { offset } = p.place { Some(offset) } else { None });
    match first {
        Some(offset) if pieces.iter().all(|p| p.place == ArgPlace::Stack { offset: offset + p.offset }) => {
            ArgPlace::Stack { offset }
        }
        _ => joined(pieces),
    }
}
