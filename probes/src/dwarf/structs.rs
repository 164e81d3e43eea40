//! Layouts of structs, classes and unions, and types by name.

use super::limits::{self, Exceeded};
use super::types::{is_declaration, number};
use super::units::{Entry, Node, Part, Value};
use super::{DebugInfo, DwarfError, Wanted};
use gimli::constants as c;
use std::rc::Rc;
use weftrace_lang::hir::{EnumDef, StructDef, StructField, Ty};

/// Nesting of structs by value: std::variant of many types is that deep.
pub(super) const MAX_NESTING: u32 = 64;
/// Members that a struct has with those of its members: whoever copies or prints it goes through all of them.
const MOST_MEMBERS: u32 = 1 << 14;
/// Names that are only declared are looked for through all types, which takes a sixth of what a question may cost: those of ordinary C++ programs are many, and
/// defined in other files.
const MOST_SEARCHES: u32 = 3;

/// What is left of these.
struct Bounds {
    room: u32,
    searches: u32,
}

impl DebugInfo {
    /// A struct by the name that [`Ty::Struct`] has, or by its own.
    pub fn struct_def(&self, name: &str) -> Result<Option<StructDef>, DwarfError> {
        self.answer(|| self.struct_named(name))
    }

    fn struct_named(&self, name: &str) -> Option<StructDef> {
        let bare = name.split_once('@').map_or(name, |(bare, _)| bare);
        let known = self.names.borrow().nodes.get(&self.qualified(bare)).cloned();
        let node = match known.filter(|n| !is_declaration(n)) {
            Some(node) => node,
            None => self.find(bare, Wanted::Struct)?,
        };
        if !self.within_bounds(&node, 0, &mut Bounds { room: MOST_MEMBERS, searches: MOST_SEARCHES }) {
            limits::give_up(Exceeded::Nesting);
            return None;
        }
        let entry = node.entry()?;
        let union = entry.tag() == c::DW_TAG_union_type;
        let size = number(&entry, c::DW_AT_byte_size).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let fields = Self::children(&node).iter().filter_map(|child| self.field(child, size)).collect();
        let go = self.go_type(&node, bare);
        Some(StructDef { name: self.qualified(bare), union, size, align: self.align(&node, 0), fields, go })
    }

    /// An enum by the name that [`Ty::Enum`] has, or by its own.
    pub fn enum_named(&self, name: &str) -> Result<Option<EnumDef>, DwarfError> {
        let bare = name.split_once('@').map_or(name, |(bare, _)| bare);
        self.answer(|| self.enum_def(&self.find(bare, Wanted::Enum)?, &self.qualified(bare)))
    }

    /// What a typedef stands for.
    pub fn typedef(&self, name: &str) -> Result<Option<Ty>, DwarfError> {
        self.answer(|| self.find(name, Wanted::Typedef).map(|node| self.ty(Some(&node))))
    }

    /// Whether a type has an end: no struct is within itself, none has more members than there may be.
    fn within_bounds(&self, node: &Node, nesting: u32, bounds: &mut Bounds) -> bool {
        let Some((mut node, _)) = self.peel(node.clone()) else { return true };
        // Others know a struct by its name.
        if is_declaration(&node)
            && let Some(name) = Self::scoped_name(&node)
            && bounds.searches > 0
        {
            bounds.searches -= 1;
            node = self.find(&name, Wanted::Struct).unwrap_or(node);
        }
        let Some(entry) = node.entry() else { return true };
        let inner = match entry.tag() {
            c::DW_TAG_array_type => self.target(&node, &entry, c::DW_AT_type).into_iter().collect(),
            c::DW_TAG_structure_type | c::DW_TAG_class_type | c::DW_TAG_union_type => self.by_value(&node),
            _ => return true,
        };
        let left = bounds.room.checked_sub(inner.len() as u32).filter(|_| nesting < MAX_NESTING);
        let Some(left) = left else { return false };
        bounds.room = left;
        inner.iter().all(|ty| self.within_bounds(ty, nesting + 1, bounds))
    }

    /// The types of a struct's members and base classes.
    fn by_value(&self, node: &Node) -> Vec<Node> {
        let types = Self::children(node).into_iter().filter_map(|child| {
            let entry = child.entry()?;
            let part = matches!(entry.tag(), c::DW_TAG_member | c::DW_TAG_inheritance);
            let part = part && entry.attr(c::DW_AT_external).is_none() && !is_declaration(&child);
            self.target(&child, &entry, c::DW_AT_type).filter(|_| part)
        });
        types.collect()
    }

    /// The definition of a type by its name: in the unit last looked at, then in all.
    fn find(&self, name: &str, wanted: Wanted) -> Option<Node> {
        let key = (name.to_owned(), wanted);
        if let Some(known) = self.found.borrow().get(&key) {
            return known.clone();
        }
        let near = self.near.borrow().clone();
        let look = |scoped: bool| {
            let near = near.as_ref().and_then(|part| self.find_in(part, name, wanted, scoped));
            near.or_else(|| self.units.all().find_map(|part| self.find_in(&part, name, wanted, scoped)))
        };
        // Scripts have no way to write `a::b`: the last part alone means the first type that has it.
        let found = look(true).or_else(|| if name.contains("::") { None } else { look(false) });
        self.found.borrow_mut().insert(key, found.clone());
        found
    }

    fn find_in(&self, part: &Rc<Part>, name: &str, wanted: Wanted, scoped: bool) -> Option<Node> {
        // The last part of a C++ name decides quickly about most entries.
        let last = last_part(name);
        let mut entries = part.unit.entries();
        while let Ok(Some(entry)) = entries.next_dfs() {
            let fits = match wanted {
                Wanted::Struct => {
                    matches!(entry.tag(), c::DW_TAG_structure_type | c::DW_TAG_class_type | c::DW_TAG_union_type)
                }
                Wanted::Enum => entry.tag() == c::DW_TAG_enumeration_type,
                Wanted::Typedef => entry.tag() == c::DW_TAG_typedef,
            };
            let named = entry.tag() == c::DW_TAG_typedef && wanted != Wanted::Typedef;
            if !(fits || named) || matches!(entry.attr_value(c::DW_AT_declaration), Some(Value::Flag(true))) {
                continue;
            }
            let Some(value) = entry.attr_value(c::DW_AT_name) else { continue };
            let same = part.dwarf.attr_string(&part.unit, value).is_ok_and(|r| {
                use gimli::Reader as _;
                r.to_slice().is_ok_and(|bytes| *bytes == *last.as_bytes())
            });
            if !same {
                continue;
            }
            let node = Node { part: part.clone(), offset: entry.offset() };
            if scoped && Self::scoped_name(&node).as_deref() != Some(name) {
                continue;
            }
            if !named {
                return Some(node);
            }
            // `typedef struct { … } Name`
            if let Some((target, _)) = self.peel(node)
                && let Some(entry) = target.entry()
                && entry.attr(c::DW_AT_name).is_none()
                && match wanted {
                    Wanted::Enum => entry.tag() == c::DW_TAG_enumeration_type,
                    _ => matches!(entry.tag(), c::DW_TAG_structure_type | c::DW_TAG_class_type | c::DW_TAG_union_type),
                }
            {
                return Some(target);
            }
        }
        None
    }

    /// A member or base class; None for what is no part of an object (static members, virtual bases, functions, types).
    fn field(&self, node: &Node, owner: u32) -> Option<StructField> {
        let entry = node.entry()?;
        let base = entry.tag() == c::DW_TAG_inheritance;
        let is_static = entry.attr(c::DW_AT_external).is_some() || is_declaration(node);
        if !(base || entry.tag() == c::DW_TAG_member) || is_static {
            return None;
        }
        let name = if base { String::new() } else { self.name(node).unwrap_or_default() };
        let target = self.target(node, &entry, c::DW_AT_type);
        let ty = self.ty(target.as_ref());
        let Some(width) = number(&entry, c::DW_AT_bit_size).and_then(|n| u32::try_from(n).ok()) else {
            return Some(StructField { name, ty, offset: place(&entry)?, bits: None });
        };
        let bytes = number(&entry, c::DW_AT_byte_size).and_then(|n| u32::try_from(n).ok());
        let declared = bytes.or_else(|| self.size(target.as_ref())).unwrap_or(4).clamp(1, 8).next_power_of_two();
        let bit = if let Some(bit) = number(&entry, c::DW_AT_data_bit_offset).and_then(|n| u32::try_from(n).ok()) {
            bit
        } else {
            // The older way: from the high end of the storage unit.
            let high = number(&entry, c::DW_AT_bit_offset).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
            (place(&entry)? * 8).checked_add((declared * 8).checked_sub(high.checked_add(width)?)?)?
        };
        let (offset, bytes, first) = crate::kernel::btf::storage(bit, width, declared, owner);
        let ty = match ty {
            Ty::Int { signed, .. } => Ty::Int { bits: (bytes * 8) as u8, signed },
            other => other,
        };
        Some(StructField { name, ty, offset, bits: Some((first as u8, width as u8)) })
    }

    /// Alignment in bytes; 1 for packed structs.
    pub(super) fn align(&self, node: &Node, nesting: u32) -> u32 {
        let Some((node, _)) = self.peel(node.clone()).filter(|_| nesting < MAX_NESTING) else { return 1 };
        let Some(entry) = node.entry() else { return 1 };
        if let Some(n) = number(&entry, c::DW_AT_alignment) {
            return u32::try_from(n).unwrap_or(1).clamp(1, 16);
        }
        let target = || self.target(&node, &entry, c::DW_AT_type);
        match entry.tag() {
            c::DW_TAG_array_type => target().map_or(1, |t| self.align(&t, nesting + 1)),
            c::DW_TAG_structure_type | c::DW_TAG_class_type | c::DW_TAG_union_type => {
                let mut align = 1;
                for child in Self::children(&node) {
                    let Some(member) = child.entry() else { continue };
                    let part = matches!(member.tag(), c::DW_TAG_member | c::DW_TAG_inheritance);
                    if !part || member.attr(c::DW_AT_bit_size).is_some() || member.attr(c::DW_AT_external).is_some() {
                        continue;
                    }
                    let own = self.target(&child, &member, c::DW_AT_type).map_or(1, |t| self.align(&t, nesting + 1));
                    // A member that isn't aligned: packed.
                    if place(&member).is_some_and(|at| at.is_multiple_of(own)) {
                        align = align.max(own);
                    }
                }
                let size = self.size(Some(&node)).unwrap_or(0);
                if size.is_multiple_of(align) { align } else { 1 }
            }
            _ => self.size(Some(&node)).unwrap_or(1).clamp(1, 16).next_power_of_two(),
        }
    }
}

/// Where a member is in its struct; None where that depends on the object (virtual bases).
fn place(entry: &Entry) -> Option<u32> {
    let Some(attribute) = entry.attr(c::DW_AT_data_member_location) else { return Some(0) };
    let number = match attribute.value() {
        // Before DWARF 3: an expression that adds a constant.
        Value::Exprloc(expression) => {
            let encoding = gimli::Encoding { address_size: 8, format: gimli::Format::Dwarf32, version: 4 };
            let mut operations = expression.operations(encoding);
            match operations.next() {
                Ok(Some(gimli::Operation::PlusConstant { value })) => value,
                _ => return None,
            }
        }
        _ => attribute.udata_value()?,
    };
    u32::try_from(number).ok()
}

/// `Name<a::b>` of `x::Name<a::b>`.
fn last_part(name: &str) -> &str {
    let head = name.find('<').unwrap_or(name.len());
    name[..head].rfind("::").map_or(name, |at| &name[at + 2..])
}
