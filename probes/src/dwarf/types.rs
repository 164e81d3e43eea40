//! Types in debug information → the language's types.

use super::DebugInfo;
use super::limits::{self, Exceeded};
use super::units::{Entry, Node, Value, text};
use gimli::constants as c;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use weftrace_lang::hir::{EnumDef, Space, Ty};

/// Chains of typedefs, qualifiers, pointers and arrays are never this long; malformed information may have a cycle.
pub(super) const MAX_DEPTH: u32 = 32;
/// Bytes of the names of namespaces and classes around the types of a unit: more than any has.
const MOST_SCOPES: usize = 256 << 20;

/// What of an array's element decides how it prints.
pub(super) struct Base {
    pub(super) bytes: u32,
    pub(super) encoding: gimli::DwAte,
}

impl DebugInfo {
    /// The node that an attribute refers to.
    pub(super) fn target(&self, node: &Node, entry: &Entry, at: gimli::DwAt) -> Option<Node> {
        self.units.follow(&node.part, &entry.attr_value(at)?)
    }

    /// A node's own text attribute.
    fn own_text(node: &Node, entry: &Entry, at: gimli::DwAt) -> Option<String> {
        let value = entry.attr_value(at)?;
        text(&node.part.dwarf.attr_string(&node.part.unit, value).ok()?)
    }

    /// A node's name, also by what it is an instance or the definition of.
    pub(super) fn name(&self, node: &Node) -> Option<String> {
        self.along(node, |node, entry| Self::own_text(node, entry, c::DW_AT_name))
    }

    /// The type that a node has, also by what it is an instance or the definition of.
    pub(super) fn type_of(&self, node: &Node) -> Option<Node> {
        self.along(node, |node, entry| self.target(node, entry, c::DW_AT_type))
    }

    /// The first answer of a node, its abstract origin, its declaration.
    pub(super) fn along<T>(&self, node: &Node, ask: impl Fn(&Node, &Entry) -> Option<T>) -> Option<T> {
        let mut node = node.clone();
        for _ in 0..MAX_DEPTH {
            let entry = node.entry()?;
            if let Some(found) = ask(&node, &entry) {
                return Some(found);
            }
            let origin = self.target(&node, &entry, c::DW_AT_abstract_origin);
            node = origin.or_else(|| self.target(&node, &entry, c::DW_AT_specification))?;
        }
        None
    }

    /// Through typedefs and qualifiers; with the name of the nearest typedef. None: void.
    pub(super) fn peel(&self, node: Node) -> Option<(Node, Option<String>)> {
        let (mut node, mut typedef) = (node, None);
        for _ in 0..MAX_DEPTH {
            let entry = node.entry()?;
            match entry.tag() {
                c::DW_TAG_typedef => typedef = typedef.or_else(|| Self::scoped_name(&node)),
                c::DW_TAG_const_type
                | c::DW_TAG_volatile_type
                | c::DW_TAG_restrict_type
                | c::DW_TAG_atomic_type
                | c::DW_TAG_immutable_type
                | c::DW_TAG_packed_type
                | c::DW_TAG_shared_type
                | c::DW_TAG_template_alias => {}
                // A stand-in for a type that has a unit of its own.
                _ => match self.target(&node, &entry, c::DW_AT_signature) {
                    Some(definition) => {
                        node = definition;
                        continue;
                    }
                    None => return Some((node, typedef)),
                },
            }
            node = self.target(&node, &entry, c::DW_AT_type)?;
        }
        None
    }

    /// Bytes that a value of the type has.
    pub(super) fn size(&self, node: Option<&Node>) -> Option<u32> {
        self.size_at(node, MAX_DEPTH)
    }

    fn size_at(&self, node: Option<&Node>, depth: u32) -> Option<u32> {
        let (node, _) = self.peel(node?.clone()).filter(|_| depth > 0)?;
        let entry = node.entry()?;
        if let Some(size) = number(&entry, c::DW_AT_byte_size) {
            return u32::try_from(size).ok();
        }
        match entry.tag() {
            c::DW_TAG_pointer_type | c::DW_TAG_reference_type | c::DW_TAG_rvalue_reference_type => {
                Some(u32::from(node.part.unit.encoding().address_size))
            }
            c::DW_TAG_array_type => {
                let elem = self.size_at(self.target(&node, &entry, c::DW_AT_type).as_ref(), depth - 1)?;
                Self::dimensions(&node).into_iter().try_fold(elem, u32::checked_mul)
            }
            c::DW_TAG_enumeration_type => self.size_at(self.target(&node, &entry, c::DW_AT_type).as_ref(), depth - 1),
            _ => None,
        }
    }

    /// A base type's size and encoding; None: no base type.
    pub(super) fn base(&self, node: &Node) -> Option<Base> {
        let entry = node.entry().filter(|e| e.tag() == c::DW_TAG_base_type)?;
        let Some(Value::Encoding(encoding)) = entry.attr_value(c::DW_AT_encoding) else { return None };
        Some(Base { bytes: self.size(Some(node))?, encoding })
    }

    /// Whether an array of the base type is a string, as one of C's `char` is. By its name where it is unsigned: `char` on
    /// processors where that has no sign is text, `unsigned char` (uint8_t) is a number.
    fn is_text(&self, node: &Node) -> bool {
        let Some(base) = self.base(node).filter(|b| b.bytes == 1) else { return false };
        match base.encoding {
            c::DW_ATE_signed_char | c::DW_ATE_UTF | c::DW_ATE_ASCII => true,
            c::DW_ATE_unsigned_char => self.name(node).is_some_and(|name| name.starts_with("char")),
            _ => false,
        }
    }

    /// The language's type; `node` None: void.
    pub(super) fn ty(&self, node: Option<&Node>) -> Ty {
        self.ty_at(node, MAX_DEPTH)
    }

    fn ty_at(&self, node: Option<&Node>, depth: u32) -> Ty {
        let Some((node, typedef)) = node.and_then(|n| self.peel(n.clone())).filter(|_| depth > 0) else {
            return Ty::Void;
        };
        let Some(entry) = node.entry() else { return Ty::Void };
        match entry.tag() {
            c::DW_TAG_base_type => match self.base(&node) {
                Some(base) => number_type(&base),
                None => Ty::Void,
            },
            c::DW_TAG_pointer_type | c::DW_TAG_reference_type | c::DW_TAG_rvalue_reference_type => {
                let to = self.ty_at(self.target(&node, &entry, c::DW_AT_type).as_ref(), depth - 1);
                Ty::Ptr { to: Box::new(to), space: Space::User }
            }
            c::DW_TAG_structure_type | c::DW_TAG_class_type | c::DW_TAG_union_type => {
                Ty::Struct(self.struct_name(&node, typedef.as_deref()))
            }
            c::DW_TAG_enumeration_type => {
                let (bits, signed) = self.enum_shape(&node, &entry);
                match Self::own_name(&node, typedef.as_deref()) {
                    Some(name) => Ty::Enum { name: self.qualified(&name), bits, signed },
                    None => Ty::Int { bits, signed },
                }
            }
            c::DW_TAG_array_type => {
                let elem = self.target(&node, &entry, c::DW_AT_type);
                let lengths = Self::dimensions(&node);
                // Each is a type around another.
                let Some(depth) = depth.checked_sub(1 + lengths.len() as u32) else {
                    limits::give_up(Exceeded::Nesting);
                    return Ty::Void;
                };
                let mut ty = self.ty_at(elem.as_ref(), depth);
                let is_char = elem.and_then(|e| self.peel(e)).is_some_and(|(e, _)| self.is_text(&e));
                for (i, len) in lengths.into_iter().rev().enumerate() {
                    ty = if i == 0 && is_char && len > 0 {
                        Ty::Str { cap: len }
                    } else {
                        Ty::Array { elem: Box::new(ty), len }
                    };
                }
                ty
            }
            c::DW_TAG_ptr_to_member_type => opaque(self.size(Some(&node)).unwrap_or(8)),
            // What only pointers point to: functions, `decltype(nullptr)`.
            _ => Ty::Void,
        }
    }

    /// Lengths, outermost first; 0 where they aren't known at compile time.
    pub(super) fn dimensions(node: &Node) -> Vec<u32> {
        let lengths = Self::children(node).into_iter().filter_map(|child| {
            let entry = child.entry().filter(|e| e.tag() == c::DW_TAG_subrange_type)?;
            let count = number(&entry, c::DW_AT_count);
            let upper = number(&entry, c::DW_AT_upper_bound).and_then(|n| n.checked_add(1));
            Some(count.or(upper).and_then(|n| u32::try_from(n).ok()).unwrap_or(0))
        });
        lengths.collect()
    }

    /// The direct children of a node.
    pub(super) fn children(node: &Node) -> Vec<Node> {
        let mut out = Vec::new();
        let Ok(mut tree) = node.part.unit.entries_tree(Some(node.offset)) else { return out };
        let Ok(root) = tree.root() else { return out };
        let mut children = root.children();
        while let Ok(Some(child)) = children.next() {
            out.push(Node { part: node.part.clone(), offset: child.entry().offset() });
        }
        out
    }

    fn enum_shape(&self, node: &Node, entry: &Entry) -> (u8, bool) {
        let under = self.target(node, entry, c::DW_AT_type).and_then(|n| self.peel(n)).and_then(|(n, _)| self.base(&n));
        let bytes = self.size(Some(node)).unwrap_or(4).clamp(1, 8).next_power_of_two();
        let signed = match under {
            Some(base) => is_signed(base.encoding),
            None => Self::variants(node).iter().any(|(_, v)| *v < 0),
        };
        ((bytes * 8) as u8, signed)
    }

    fn variants(node: &Node) -> Vec<(String, i64)> {
        let each = Self::children(node).into_iter().filter_map(|child| {
            let entry = child.entry().filter(|e| e.tag() == c::DW_TAG_enumerator)?;
            let value = entry.attr(c::DW_AT_const_value)?;
            let value = value.sdata_value().or_else(|| value.udata_value().map(|v| v as i64))?;
            Some((Self::own_text(&child, &entry, c::DW_AT_name)?, value))
        });
        each.collect()
    }

    pub(super) fn enum_def(&self, node: &Node, name: &str) -> Option<EnumDef> {
        let entry = node.entry().filter(|e| e.tag() == c::DW_TAG_enumeration_type)?;
        let (bits, signed) = self.enum_shape(node, &entry);
        Some(EnumDef { name: name.to_owned(), bits, signed, variants: Self::variants(node) })
    }

    // Names.

    /// A struct's or enum's own name, or that of the typedef that names it.
    fn own_name(node: &Node, typedef: Option<&str>) -> Option<String> {
        Self::scoped_name(node).or_else(|| typedef.map(str::to_owned))
    }

    /// `namespace::Class::Name`
    pub(super) fn scoped_name(node: &Node) -> Option<String> {
        let name = Self::own_text(node, &node.entry()?, c::DW_AT_name)?;
        let scopes = node.part.scopes.get_or_init(|| scopes(node));
        Some(match scopes.get(&node.offset.0) {
            Some(scope) => format!("{scope}{name}"),
            None => name,
        })
    }

    /// The name under which the language knows a struct: its own, the file's after an `@`. Several of one name that differ are
    /// told apart by a number.
    pub(super) fn struct_name(&self, node: &Node, typedef: Option<&str>) -> String {
        let number = node.number();
        if let Some(known) = self.names.borrow().by_node.get(&number) {
            return known.clone();
        }
        let full = match Self::own_name(node, typedef) {
            None => self.qualified(&format!("anon#{}:{:x}", number.0, number.1)),
            Some(name) if is_declaration(node) => self.qualified(&name),
            Some(name) => {
                let print = self.fingerprint(node);
                let mut names = self.names.borrow_mut();
                let same = names.by_name.entry(name.clone()).or_default();
                let at = same.iter().position(|(p, _)| *p == print).unwrap_or_else(|| {
                    same.push((print, node.clone()));
                    same.len() - 1
                });
                self.qualified(&if at == 0 { name } else { format!("{name}#{}", at + 1) })
            }
        };
        let mut names = self.names.borrow_mut();
        names.by_node.insert(number, full.clone());
        names.nodes.entry(full.clone()).or_insert_with(|| node.clone());
        full
    }

    pub(super) fn qualified(&self, name: &str) -> String {
        format!("{name}@{}", self.path)
    }

    /// Tells definitions of one name apart: size, and the members' names and places.
    fn fingerprint(&self, node: &Node) -> u64 {
        let mut hash = DefaultHasher::new();
        if let Some(entry) = node.entry() {
            number(&entry, c::DW_AT_byte_size).hash(&mut hash);
        }
        for child in Self::children(node) {
            let Some(entry) = child.entry() else { continue };
            if matches!(entry.tag(), c::DW_TAG_member | c::DW_TAG_inheritance) {
                Self::own_text(&child, &entry, c::DW_AT_name).hash(&mut hash);
                number(&entry, c::DW_AT_data_member_location).hash(&mut hash);
                number(&entry, c::DW_AT_data_bit_offset).hash(&mut hash);
                self.size(self.target(&child, &entry, c::DW_AT_type).as_ref()).hash(&mut hash);
            }
        }
        hash.finish()
    }
}

/// The constant of an attribute.
pub(super) fn number(entry: &Entry, at: gimli::DwAt) -> Option<u64> {
    entry.attr(at)?.udata_value()
}

pub(super) fn is_declaration(node: &Node) -> bool {
    node.entry().is_some_and(|e| matches!(e.attr_value(c::DW_AT_declaration), Some(Value::Flag(true))))
}

fn is_signed(encoding: gimli::DwAte) -> bool {
    matches!(encoding, c::DW_ATE_signed | c::DW_ATE_signed_char)
}

/// Integers as such; floating point, which the language has no numbers for, as its bytes.
fn number_type(base: &Base) -> Ty {
    match (base.encoding, base.bytes) {
        (c::DW_ATE_boolean, 1) => Ty::Bool,
        (c::DW_ATE_float | c::DW_ATE_complex_float | c::DW_ATE_imaginary_float | c::DW_ATE_decimal_float, n) => {
            opaque(n)
        }
        (encoding, n @ (1 | 2 | 4 | 8)) => Ty::Int { bits: (n * 8) as u8, signed: is_signed(encoding) },
        // __int128
        (_, n) if n > 0 && n.is_multiple_of(8) => Ty::Array { elem: Box::new(Ty::U64), len: n / 8 },
        (_, n) => opaque(n),
    }
}

fn opaque(bytes: u32) -> Ty {
    Ty::Array { elem: Box::new(Ty::U8), len: bytes }
}

/// The namespaces and classes around every type of a unit.
fn scopes(node: &Node) -> BTreeMap<usize, Rc<str>> {
    let (unit, dwarf) = (&node.part.unit, &node.part.dwarf);
    let mut out = BTreeMap::new();
    let Ok(mut entries) = unit.entries_raw(None) else { return out };
    let mut entry = Entry::null();
    // (depth, prefix for what is inside)
    let mut around: Vec<(isize, Rc<str>)> = Vec::new();
    let mut room = MOST_SCOPES;
    while !entries.is_empty() {
        match entries.read_entry(&mut entry) {
            Ok(true) => {}
            // The end of somebody's children.
            Ok(false) => continue,
            // What follows can't be told from it.
            Err(_) => break,
        }
        while around.last().is_some_and(|(depth, _)| *depth >= entry.depth()) {
            around.pop();
        }
        let prefix = around.last().map_or_else(|| Rc::from(""), |(_, p)| p.clone());
        let own = || {
            let value = entry.attr_value(c::DW_AT_name)?;
            text(&dwarf.attr_string(unit, value).ok()?)
        };
        let inner = match entry.tag() {
            c::DW_TAG_namespace => {
                Some(own().map_or_else(|| prefix.clone(), |name| format!("{prefix}{name}::").into()))
            }
            c::DW_TAG_structure_type
            | c::DW_TAG_class_type
            | c::DW_TAG_union_type
            | c::DW_TAG_enumeration_type
            | c::DW_TAG_typedef => {
                let inner = own().map(|name| format!("{prefix}{name}::").into());
                if !prefix.is_empty() {
                    out.insert(entry.offset().0, prefix);
                }
                inner
            }
            _ => None,
        };
        if let Some(inner) = inner.filter(|_| entry.has_children()) {
            let Some(left) = room.checked_sub(inner.len()) else {
                limits::give_up(Exceeded::Cost);
                break;
            };
            room = left;
            around.push((entry.depth(), inner));
        }
    }
    out
}
