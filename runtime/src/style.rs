//! What writing values needs besides the bytes.

use crate::names::Names;
use weftrace_artifact::Options;

/// Settings and names shared by the text and JSON writers.
pub struct Style<'a> {
    pub names: &'a mut dyn Names,
    /// Integers are divided by it (`print(@m, top, div)`); 0 and 1: as they are.
    pub div: u32,
    /// Appended to strings that filled their space.
    pub trailer: &'a str,
    /// Strings of less space are as long as they are: C's arrays of characters need no NUL.
    pub trailer_from: u32,
    /// Control characters of strings that come from outside the script are shown as `\xNN`: the output is a terminal.
    pub escape: bool,
    /// Spaces before each line of a stack.
    pub indent: usize,
    /// Members of composite values are written without spaces: in the keys of JSON objects.
    pub compact: bool,
    /// Set when an integer was wider than its conversion in a format.
    pub cut: bool,
}

impl<'a> Style<'a> {
    pub fn new(names: &'a mut dyn Names) -> Self {
        Self { names, div: 1, trailer: "..", trailer_from: 0, escape: false, indent: 8, compact: false, cut: false }
    }

    /// As a script's options want strings.
    pub fn of(names: &'a mut dyn Names, options: &'a Options) -> Self {
        Self { trailer: &options.str_trunc_trailer, trailer_from: options.max_strlen, ..Self::new(names) }
    }

    /// The same with another divisor.
    pub fn divided(&mut self, div: u32) -> Style<'_> {
        Style { div, ..self.again() }
    }

    /// The same for a JSON object's keys: in one line, without spaces.
    pub fn compacted(&mut self) -> Style<'_> {
        Style { indent: 0, compact: true, ..self.again() }
    }

    fn again(&mut self) -> Style<'_> {
        let Self { div, trailer, trailer_from, escape, indent, compact, .. } = *self;
        Style { names: &mut *self.names, div, trailer, trailer_from, escape, indent, compact, cut: false }
    }
}
