//! What a question about a file may cost. Debug information is others' to write: types that are within themselves, or in each other so often
//! that nobody lives to see all of it, calls inlined into each other deeper than any stack.
//!
//! All that is known of a file is read from it, by us, by gimli, by addr2line. So reads are what is counted, where they are made: when a
//! question has had its share, reading fails, and with it the question as a whole. Nothing that was made of a part is given out.

use gimli::{Error, Result};
use std::cell::Cell;

/// Reads that a question may make, and more for each byte of the file's sections. A search for a name through all types of a large program makes
/// two for three bytes.
const READS: u64 = 2 << 20;
const READS_PER_BYTE: u64 = 4;
/// So many bytes at once count as one read more.
const BYTES_PER_READ: u64 = 64;
/// Bytes of the stack that a question may use. Threads have 2 MiB.
const STACK: usize = 1 << 20;

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Exceeded {
    #[error("a type in it is within itself, or more of its types or calls are within each other than any program has")]
    Nesting,
    #[error("its debug information leads in circles: it is damaged, or was made to")]
    Cost,
}

/// The question that is being answered.
struct Question {
    /// Where the stack was when it was asked; 0: none is asked.
    stack: Cell<usize>,
    reads: Cell<u64>,
    /// Reads that a question may make whatever the size of its file.
    most: Cell<u64>,
    exceeded: Cell<Option<Exceeded>>,
}

thread_local! {
    static QUESTION: Question =
        const { Question { stack: Cell::new(0), reads: Cell::new(0), most: Cell::new(READS), exceeded: Cell::new(None) } };
}

/// About how much of the stack is used.
#[inline]
fn stack() -> usize {
    let here = 0u8;
    (&raw const here).addr()
}

/// Answers a question about a file whose sections have so many bytes. One within another is a part of it.
pub(super) fn within<T>(bytes: u64, ask: impl FnOnce() -> T) -> std::result::Result<T, Exceeded> {
    let outermost = QUESTION.with(|question| question.stack.get() == 0);
    if !outermost {
        return exceeded_or(ask());
    }
    QUESTION.with(|question| {
        question.stack.set(stack());
        question.reads.set(question.most.get().saturating_add(bytes.saturating_mul(READS_PER_BYTE)));
        question.exceeded.set(None);
    });
    let _end = End;
    exceeded_or(ask())
}

fn exceeded_or<T>(answer: T) -> std::result::Result<T, Exceeded> {
    QUESTION.with(|question| question.exceeded.get()).map_or(Ok(answer), Err)
}

/// Ends the question, also where it panics.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        QUESTION.with(|question| question.stack.set(0));
    }
}

/// Fewer reads than that, which short inputs of fuzzers make.
pub(super) fn set_reads(most: u64) {
    QUESTION.with(|question| question.most.set(most));
}

/// More was opened to answer it.
pub(super) fn opened(bytes: u64) {
    QUESTION.with(|question| {
        let more = bytes.saturating_mul(READS_PER_BYTE);
        question.reads.set(question.reads.get().saturating_add(more));
    });
}

/// The question can't be answered.
pub(super) fn give_up(why: Exceeded) {
    QUESTION.with(|question| question.exceeded.set(question.exceeded.get().or(Some(why))));
}

/// So many bytes are about to be read.
#[inline]
pub(super) fn read(bytes: usize) -> Result<()> {
    QUESTION.with(|question| {
        let asked = question.stack.get();
        if asked == 0 {
            return Ok(());
        }
        let left = question.reads.get().checked_sub(1 + bytes as u64 / BYTES_PER_READ);
        let Some(left) = left else {
            give_up(Exceeded::Cost);
            return Err(Error::Io);
        };
        if asked.abs_diff(stack()) >= STACK {
            give_up(Exceeded::Nesting);
        }
        if question.exceeded.get().is_some() {
            return Err(Error::Io);
        }
        question.reads.set(left);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(n: u32) -> Result<u32> {
        read(0)?;
        Ok(deep(n + 1)?.wrapping_add(n))
    }

    #[test]
    fn a_question_ends() {
        assert_eq!(read(1 << 40), Ok(()), "nothing is asked");
        assert_eq!(within(0, || (0..READS).all(|_| read(0).is_ok())), Ok(true));
        assert_eq!(within(0, || (0..=READS).all(|_| read(0).is_ok())), Err(Exceeded::Cost));
        assert_eq!(within(0, || read(usize::MAX)), Err(Exceeded::Cost));
        assert_eq!(within(1, || (0..READS + READS_PER_BYTE).all(|_| read(0).is_ok())), Ok(true));
        assert_eq!(within(0, || deep(0)), Err(Exceeded::Nesting), "and not by the end of the stack");
        assert_eq!(within(0, || within(0, || give_up(Exceeded::Nesting))), Err(Exceeded::Nesting));
        assert_eq!(within(0, || read(8)), Ok(Ok(())), "the next begins anew");
    }
}
