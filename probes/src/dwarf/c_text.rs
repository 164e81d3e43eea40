//! Types as C writes them.

use super::DebugInfo;
use super::types::MAX_DEPTH;
use super::units::Node;
use gimli::constants as c;
use std::cell::Cell;

/// Types that a text is made of, parameters of functions that are pointed to among them: what is longer nobody reads.
const MOST_TYPES: u32 = 512;
/// Names of templates may be long.
pub(super) const MOST_TEXT: usize = 64 << 10;

const UNKNOWN: &str = "<unknown type>";

/// How far a text may still go, down and in all.
#[derive(Clone, Copy)]
struct Room<'a> {
    depth: u32,
    types: &'a Cell<u32>,
}

impl Room<'_> {
    /// One type further down; None: it has gone far enough.
    fn down(self) -> Option<Self> {
        self.types.set(self.types.get().checked_sub(1)?);
        Some(Self { depth: self.depth.checked_sub(1)?, ..self })
    }
}

impl DebugInfo {
    /// Without spaces before the `*`: `const char*`.
    pub(super) fn c_text(&self, node: Option<&Node>) -> String {
        let types = Cell::new(MOST_TYPES);
        let text = self.c_text_at(node, Room { depth: MAX_DEPTH, types: &types });
        text.filter(|text| text.len() <= MOST_TEXT).unwrap_or_else(|| UNKNOWN.into())
    }

    fn c_text_at(&self, node: Option<&Node>, room: Room<'_>) -> Option<String> {
        let Some(node) = node else { return Some("void".into()) };
        let (room, entry) = (room.down()?, node.entry()?);
        let inner = self.target(node, &entry, c::DW_AT_type);
        let to = || self.c_text_at(inner.as_ref(), room);
        let tagged = |word: &str| format!("{word} {}", Self::scoped_name(node).unwrap_or_else(|| "<anonymous>".into()));
        Some(match entry.tag() {
            c::DW_TAG_base_type | c::DW_TAG_typedef | c::DW_TAG_unspecified_type => {
                Self::scoped_name(node).unwrap_or_else(|| UNKNOWN.into())
            }
            c::DW_TAG_pointer_type => {
                let function = inner.as_ref().and_then(Node::entry).filter(|e| e.tag() == c::DW_TAG_subroutine_type);
                match (function, &inner) {
                    (Some(function), Some(node)) => {
                        let result = self.target(node, &function, c::DW_AT_type);
                        format!("{} (*)({})", self.c_text_at(result.as_ref(), room)?, self.parameters(node, room)?)
                    }
                    _ => format!("{}*", to()?),
                }
            }
            c::DW_TAG_reference_type => format!("{}&", to()?),
            c::DW_TAG_rvalue_reference_type => format!("{}&&", to()?),
            c::DW_TAG_structure_type => tagged("struct"),
            c::DW_TAG_class_type => tagged("class"),
            c::DW_TAG_union_type => tagged("union"),
            c::DW_TAG_enumeration_type => tagged("enum"),
            c::DW_TAG_const_type => qualified_text("const", &to()?),
            c::DW_TAG_volatile_type => qualified_text("volatile", &to()?),
            c::DW_TAG_restrict_type => format!("{} restrict", to()?),
            c::DW_TAG_atomic_type => format!("_Atomic {}", to()?),
            c::DW_TAG_array_type => {
                let lengths = Self::dimensions(node).into_iter();
                to()? + &lengths.map(|n| if n == 0 { "[]".into() } else { format!("[{n}]") }).collect::<String>()
            }
            c::DW_TAG_subroutine_type => format!("{} ({})", to()?, self.parameters(node, room)?),
            _ => UNKNOWN.into(),
        })
    }

    fn parameters(&self, function: &Node, room: Room<'_>) -> Option<String> {
        let each = Self::children(function).into_iter().filter_map(|child| {
            let entry = child.entry()?;
            match entry.tag() {
                c::DW_TAG_formal_parameter => {
                    Some(self.c_text_at(self.target(&child, &entry, c::DW_AT_type).as_ref(), room))
                }
                c::DW_TAG_unspecified_parameters => Some(Some("...".into())),
                _ => None,
            }
        });
        Some(each.collect::<Option<Vec<_>>>()?.join(", "))
    }
}

/// `const` goes before what it qualifies, but after a pointer.
fn qualified_text(word: &str, to: &str) -> String {
    if to.ends_with('*') { format!("{to} {word}") } else { format!("{word} {to}") }
}
