//! Functions by their address: parameters with their types and places, results.

use super::abi::Class;
use super::units::{Node, Part, Value};
use super::{DebugInfo, DwarfError};
use gimli::constants as c;
use std::rc::Rc;
use weftrace_lang::hir::Ty;
use weftrace_lang::world::{UserParam, UserProto};

impl DebugInfo {
    /// The function whose code begins at an address. `symbol`: its name in the symbol table.
    pub fn proto(&self, address: u64, symbol: &str) -> Result<Option<UserProto>, DwarfError> {
        self.answer(|| self.proto_at(address, symbol))?
    }

    fn proto_at(&self, address: u64, symbol: &str) -> Result<Option<UserProto>, DwarfError> {
        let Some(node) = self.function(address)? else { return Ok(None) };
        let name = self.name(&node).unwrap_or_else(|| symbol.to_owned());
        let ret = self.type_of(&node);
        let result = self.classify(ret.as_ref());
        let mut finder = self.finder(&node, address, symbol, result);
        let mut params = Vec::new();
        for child in Self::children(&node) {
            if child.entry().is_none_or(|e| e.tag() != c::DW_TAG_formal_parameter) {
                continue;
            }
            let ty = self.type_of(&child);
            let place = self.place(&mut finder, &child, ty.as_ref());
            let name = self.name(&child).unwrap_or_default();
            params.push(UserParam { name, ty: self.ty(ty.as_ref()), c_type: self.c_text(ty.as_ref()), place });
        }
        let ret_in_register = matches!(result, Class::Integer(1)) && !matches!(self.ty(ret.as_ref()), Ty::Struct(_));
        let ret_c_type = self.c_text(ret.as_ref());
        Ok(Some(UserProto {
            name,
            params,
            ret: self.ty(ret.as_ref()),
            ret_c_type,
            ret_in_register,
            go: false,
            results: Vec::new(),
        }))
    }

    /// The entry of the function whose code begins at an address.
    pub(super) fn function(&self, address: u64) -> Result<Option<Node>, DwarfError> {
        let Some(index) = self.units.at(address) else { return Ok(None) };
        let Some(part) = self.units.full(index) else {
            let missing = self.units.missing.borrow().clone().unwrap_or_default();
            return Err(DwarfError::SplitMissing(missing));
        };
        *self.near.borrow_mut() = Some(part.clone());
        Ok(function_at(&part, address))
    }
}

impl DebugInfo {
    /// The function or inlined call that a line's code at an address is of: what makes two places of one source line different. Of
    /// those around the address the one that is declared last before the line, in a file that `is_file` takes: a call that was
    /// inlined into the line is not a place of its own.
    pub(super) fn scope_at(&self, part: &Rc<Part>, address: u64, line: u32, is_file: &FileTest<'_>) -> Option<usize> {
        let mut best: Option<(u32, usize)> = None;
        let mut entries = part.unit.entries();
        while let Ok(Some(entry)) = entries.next_dfs() {
            if !matches!(entry.tag(), c::DW_TAG_inlined_subroutine | c::DW_TAG_subprogram) {
                continue;
            }
            let Ok(mut ranges) = part.dwarf.die_ranges(&part.unit, entry) else { continue };
            let mut around = false;
            while let Ok(Some(range)) = ranges.next() {
                around |= (range.begin..range.end).contains(&address);
            }
            if !around {
                continue;
            }
            let node = Node { part: part.clone(), offset: entry.offset() };
            let declared = self.declared(node).filter(|(part, file, _)| is_file(part, *file)).map_or(0, |(.., n)| n);
            let rank = if declared <= line { declared } else { 0 };
            // What is inside comes after what is around.
            if best.is_none_or(|(most, _)| rank >= most && rank > 0) {
                best = Some((rank, entry.offset().0));
            }
        }
        best.map(|(_, offset)| offset)
    }

    /// Where a function is declared: its unit, the number of the file there, the line.
    fn declared(&self, mut node: Node) -> Option<(Rc<Part>, u64, u32)> {
        /// From an inlined call to its function, from that to its declaration.
        const MOST_STEPS: usize = 8;
        for _ in 0..MOST_STEPS {
            let entry = node.entry()?;
            if let Some(line) = super::types::number(&entry, c::DW_AT_decl_line) {
                // An entry of an index, which `udata_value` doesn't give.
                let file = match entry.attr_value(c::DW_AT_decl_file) {
                    Some(Value::FileIndex(file)) => file,
                    _ => super::types::number(&entry, c::DW_AT_decl_file).unwrap_or(0),
                };
                return Some((node.part.clone(), file, u32::try_from(line).ok()?));
            }
            let next = entry.attr_value(c::DW_AT_abstract_origin).or(entry.attr_value(c::DW_AT_specification))?;
            node = self.units.follow(&node.part, &next)?;
        }
        None
    }
}

/// Whether the file of this number, in this unit, is the one that is asked for.
pub(super) type FileTest<'a> = dyn Fn(&Part, u64) -> bool + 'a;

/// The function that begins at an address.
fn function_at(part: &Rc<Part>, address: u64) -> Option<Node> {
    let mut entries = part.unit.entries();
    while let Ok(Some(entry)) = entries.next_dfs() {
        if entry.tag() != c::DW_TAG_subprogram {
            continue;
        }
        let low = match entry.attr_value(c::DW_AT_low_pc) {
            Some(value) => part.dwarf.attr_address(&part.unit, value).ok().flatten(),
            // Hot and cold parts: the entry is in the first.
            None if entry.attr(c::DW_AT_ranges).is_some() => {
                let entry_pc = entry.attr_value(c::DW_AT_entry_pc);
                let given = entry_pc.and_then(|v| part.dwarf.attr_address(&part.unit, v).ok().flatten());
                given.or_else(|| Some(part.dwarf.die_ranges(&part.unit, entry).ok()?.next().ok()??.begin))
            }
            None => None,
        };
        if low == Some(address) {
            return Some(Node { part: part.clone(), offset: entry.offset() });
        }
    }
    None
}

/// Whether a class is passed by reference whatever its size.
pub(super) fn by_reference(node: &Node) -> bool {
    let value = node.entry().and_then(|e| e.attr_value(c::DW_AT_calling_convention));
    matches!(value, Some(Value::CallingConvention(c::DW_CC_pass_by_reference)))
}
