//! What is too large for a program: values as a whole, and what `unroll` makes of its body.

use super::cx::Checker;
use super::expansion;
use super::types::show;
use crate::diag::Diagnostic;
use crate::hir::{Block, Ty};
use crate::span::Span;

/// Bytes of a variable, a key or anything else that is handled as a whole: the compiler addresses no more in one piece.
const LARGEST_VALUE: u32 = 1 << 20;

/// Statements and operands that the copies of all unrolled bodies of a probe have. The compiler's time grows with their square: so
/// many take seconds.
const MOST_UNROLLED: u64 = 30_000;

impl Checker<'_> {
    /// Makes sure that a value which is copied or printed whole can be, and that what is inside it is known too.
    pub(crate) fn need_whole(&mut self, ty: &Ty, span: Span) {
        self.need_layout(ty);
        self.is_small_enough(ty, span);
    }

    /// Whether a value of the type fits into a program; reports one that doesn't.
    pub(crate) fn is_small_enough(&mut self, ty: &Ty, span: Span) -> bool {
        let Some(bytes) = self.bytes(ty).filter(|n| *n > u64::from(LARGEST_VALUE)) else { return true };
        let text = format!("{} has {bytes} bytes: a value has at most {LARGEST_VALUE} (1 MiB)", show(ty));
        let d = Diagnostic::error("bad-type", span, text);
        let d = match ty {
            Ty::Str { .. } => d.write(format!("string[{LARGEST_VALUE}] or less")),
            Ty::Array { elem, .. } => match self.bytes(elem).filter(|n| (1..=u64::from(LARGEST_VALUE)).contains(n)) {
                Some(each) => d.write(format!("{}[{}] or less", show(elem), u64::from(LARGEST_VALUE) / each)),
                None => d,
            },
            _ => d,
        };
        self.report(d.note(
            "of what lies in memory, a member or an element is read by itself: $pointer->member, $pointer->array[5]",
        ));
        false
    }

    /// Bytes of a type, however many; None: not known, or beyond all numbers.
    fn bytes(&mut self, ty: &Ty) -> Option<u64> {
        match ty {
            Ty::Array { elem, len } => Some(self.bytes(elem)?.saturating_mul(u64::from(*len))),
            Ty::Tuple(items) => items.iter().try_fold(0, |sum: u64, t| Some(sum.saturating_add(self.bytes(t)?))),
            Ty::Record(items) => items.iter().try_fold(0, |sum: u64, (_, t)| Some(sum.saturating_add(self.bytes(t)?))),
            other => self.size_of(other).map(u64::from),
        }
    }

    /// `unroll (count) { … }`: whether its copies still fit; `before` is what unrolling had made in front of the body.
    pub(crate) fn may_unroll(&mut self, count: u32, body: &mut Block, before: u64, span: Span) -> bool {
        let once = expansion::size(body).saturating_add(self.unrolled);
        let all = once.saturating_mul(u64::from(count)).saturating_add(before);
        if all <= MOST_UNROLLED {
            self.unrolled = all;
            return true;
        }
        // One finding for the innermost that is too much: what is around it makes it no worse.
        self.unrolled = before;
        let text = format!(
            "this unroll() would make {all} statements and operands: all copies of a probe may have {MOST_UNROLLED}"
        );
        let d = Diagnostic::error("macro-limit", span, text)
            .note("a loop that counts is there once")
            .write(format!("for ($i : 0..{count}) {{ … }}"));
        self.report(d);
        false
    }
}
