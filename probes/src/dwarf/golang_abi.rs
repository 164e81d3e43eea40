//! Where Go's parameters and results are, by its calling conventions (Go's abi-internal.md).

use super::abi::IN_FLOAT;
use weftrace_arch::HOST;
use weftrace_lang::world::{ArgPiece, ArgPlace, GoAbi};

/// The register's place in the convention; None: it holds no integers there.
pub(super) fn register(dwarf: u16) -> Option<u32> {
    let offset = HOST.dwarf.offsets.get(usize::from(dwarf))?;
    HOST.go.words.iter().position(|o| o == offset).map(|n| n as u32)
}

/// A number within a value, which takes a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) offset: u32,
    pub(super) size: u32,
    pub(super) float: bool,
}

/// What a type takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) size: u32,
    pub(super) align: u32,
    /// None: it is passed on the stack (arrays of several).
    pub(super) leaves: Option<Vec<Leaf>>,
}

/// Gives parameters, then results, their places in order.
#[derive(Debug)]
pub(super) struct Assign {
    abi: GoAbi,
    integers: u32,
    floats: u32,
    stack: u32,
}

impl Assign {
    pub(super) fn new(abi: GoAbi) -> Self {
        Self { abi, integers: 0, floats: 0, stack: 0 }
    }

    /// Results begin anew in registers, and on the stack behind the parameters.
    pub(super) fn results(&mut self) {
        (self.integers, self.floats) = (0, 0);
        self.stack = self.stack.next_multiple_of(8);
    }

    pub(super) fn next(&mut self, shape: &Shape) -> ArgPlace {
        if shape.size == 0 {
            return ArgPlace::Nowhere("it takes no space".into());
        }
        // In registers only as a whole.
        if let (GoAbi::Registers, Some(leaves)) = (self.abi, &shape.leaves) {
            let floats = leaves.iter().filter(|l| l.float).count() as u32;
            let integers = leaves.len() as u32 - floats;
            if self.integers + integers <= HOST.go.words.len() as u32 && self.floats + floats <= HOST.go.floats {
                self.floats += floats;
                return self.pieces(leaves);
            }
        }
        let offset = self.stack.next_multiple_of(shape.align.max(1));
        self.stack = offset.saturating_add(shape.size);
        ArgPlace::Stack { offset: HOST.go.stack.saturating_add(offset) }
    }

    fn pieces(&mut self, leaves: &[Leaf]) -> ArgPlace {
        let mut next = |leaf: &Leaf| {
            if leaf.float {
                return ArgPlace::Nowhere(IN_FLOAT.into());
            }
            self.integers += 1;
            ArgPlace::Registers { first: self.integers - 1, count: 1 }
        };
        let pieces =
            leaves.iter().map(|leaf| ArgPiece { offset: leaf.offset, size: leaf.size, place: next(leaf) }).collect();
        joined(pieces)
    }
}

/// A value of pieces, or that it can't be read.
pub(super) fn joined(pieces: Vec<ArgPiece>) -> ArgPlace {
    let missing = pieces.iter().find_map(|p| if let ArgPlace::Nowhere(why) = &p.place { Some(why) } else { None });
    match missing {
        Some(why) if pieces.len() == 1 => ArgPlace::Nowhere(why.clone()),
        Some(why) => ArgPlace::Nowhere(format!("of a part of it: {why}")),
        None => ArgPlace::Pieces(pieces),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(sizes: &[(u32, bool)]) -> Shape {
        let mut at = 0;
        let leaves = sizes.iter().map(|(size, float)| {
            let offset = u32::next_multiple_of(at, *size);
            at = offset + size;
            Leaf { offset, size: *size, float: *float }
        });
        let leaves = Some(leaves.collect());
        Shape { size: at.next_multiple_of(8), align: 8, leaves }
    }

    fn registers(place: &ArgPlace) -> Vec<u32> {
        let ArgPlace::Pieces(pieces) = place else { return Vec::new() };
        let each = pieces.iter().map(|p| if let ArgPlace::Registers { first, .. } = p.place { first } else { 99 });
        each.collect()
    }

    #[test]
    fn a_value_is_in_registers_as_a_whole_or_not_at_all() {
        let mut a = Assign::new(GoAbi::Registers);
        assert_eq!(registers(&a.next(&shape(&[(8, false), (8, false)]))), [0, 1]);
        assert!(matches!(a.next(&shape(&[(8, true)])), ArgPlace::Nowhere(_)));
        assert_eq!(registers(&a.next(&shape(&[(4, false), (4, false)]))), [2, 3]);
        // An array of several is never in registers, and takes none away.
        let array = Shape { size: 16, align: 8, leaves: None };
        assert_eq!(a.next(&array), ArgPlace::Stack { offset: 8 });
        // As many as x86-64 has.
        if HOST.go.words.len() == 9 {
            assert_eq!(registers(&a.next(&shape(&[(8, false); 4]))), [4, 5, 6, 7]);
            // Two no longer fit; one does.
            assert_eq!(a.next(&shape(&[(8, false); 2])), ArgPlace::Stack { offset: 24 });
            assert_eq!(registers(&a.next(&shape(&[(1, false)]))), [8]);
            assert_eq!(a.next(&shape(&[(8, false)])), ArgPlace::Stack { offset: 40 });
        }
        a.results();
        assert_eq!(registers(&a.next(&shape(&[(8, false)]))), [0]);
        assert!(matches!(a.next(&array), ArgPlace::Stack { .. }));
    }

    #[test]
    fn the_stack_convention() {
        let mut a = Assign::new(GoAbi::Stack);
        assert_eq!(a.next(&Shape { size: 1, align: 1, leaves: None }), ArgPlace::Stack { offset: 8 });
        assert_eq!(a.next(&shape(&[(8, false), (8, false)])), ArgPlace::Stack { offset: 16 });
        assert_eq!(a.next(&Shape { size: 1, align: 1, leaves: None }), ArgPlace::Stack { offset: 32 });
        a.results();
        assert_eq!(a.next(&Shape { size: 1, align: 1, leaves: None }), ArgPlace::Stack { offset: 40 });
    }
}
