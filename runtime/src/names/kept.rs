//! Stacks that were unwound here and are keys of maps: each once.

use super::Unwound;
use std::{collections::HashMap, rc::Rc};
use weftrace_artifact::abi::{StackSample, UNWOUND_STACKS};

/// Different stacks that are kept.
const MOST: usize = 1 << 17;

/// Frames, leaf first; why there are no more.
type Stack = (Rc<[u64]>, Cut);

/// Why an unwound stack has no more frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cut {
    Whole,
    /// The copy of the stack ends.
    Copy,
    /// There is no unwind information.
    Unknown,
}

impl Cut {
    /// `copied`: bytes of the stack that there were.
    pub(crate) fn of(found: &Unwound, copied: usize) -> Self {
        let all = (StackSample::PIECE * StackSample::PIECES) as usize;
        match found {
            Unwound { beyond: true, .. } if copied == all => Self::Copy,
            Unwound { unknown: true, .. } => Self::Unknown,
            _ => Self::Whole,
        }
    }

    pub(crate) fn why(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Copy => Some("only 16384 bytes of the stack were copied"),
            Self::Unknown => Some("no unwind information for the last frame"),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    ids: HashMap<Stack, u32>,
    all: Vec<Stack>,
}

impl Kept {
    /// The stack's id; None: there is no room. `copied`: bytes of it that there were.
    pub(super) fn keep(&mut self, found: Unwound, copied: usize) -> Option<i64> {
        let cut = Cut::of(&found, copied);
        let stack: Stack = (found.frames.into(), cut);
        let index = match self.ids.get(&stack) {
            Some(index) => *index,
            None if self.all.len() >= MOST => return None,
            None => {
                let index = self.all.len() as u32;
                self.all.push(stack.clone());
                self.ids.insert(stack, index);
                index
            }
        };
        Some(i64::from(index | UNWOUND_STACKS))
    }

    fn get(&self, id: i64) -> Option<&Stack> {
        let id = u32::try_from(id).ok().filter(|id| id & UNWOUND_STACKS != 0)?;
        self.all.get((id & !UNWOUND_STACKS) as usize)
    }

    pub(super) fn frames(&self, id: i64) -> Option<&[u64]> {
        self.get(id).map(|(frames, _)| &**frames)
    }

    pub(super) fn cut(&self, id: i64) -> Option<&'static str> {
        self.get(id)?.1.why()
    }
}

const _: () = assert!(StackSample::PIECE * StackSample::PIECES == 16384);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stack_is_kept_once() {
        let mut kept = Kept::default();
        let stack = |frames: &[u64], unknown| Unwound { frames: frames.to_vec(), beyond: false, unknown };
        let a = kept.keep(stack(&[1, 2], false), 0).expect("room");
        let b = kept.keep(stack(&[1, 2, 3], false), 0).expect("room");
        let c = kept.keep(stack(&[1, 2], true), 0).expect("room");
        assert_eq!(kept.keep(stack(&[1, 2], false), 0), Some(a));
        assert!(a != b && b != c && a != c);
        assert_eq!((kept.frames(b), kept.cut(b)), (Some(&[1, 2, 3][..]), None));
        assert_eq!((kept.frames(c), kept.cut(c).is_some()), (Some(&[1, 2][..]), true));
        for other in [-14, 0, 5, i64::from(1u32 << 30), a + 1000] {
            assert_eq!(kept.frames(other), None);
        }
    }
}
