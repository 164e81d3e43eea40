//! What writing values needs besides the bytes.

use crate::names::Names;

/// Settings and names shared by the text and JSON writers.
pub struct Style<'a> {
    pub names: &'a mut dyn Names,
    /// Integers are divided by it (`print(@m, top, div)`); 0 and 1: as they are.
    pub div: u32,
    /// Appended to strings that filled their space.
    pub trailer: &'a str,
    /// Control characters of strings that come from outside the script are shown as `\xNN`: the output is a terminal.
    pub escape: bool,
    /// Spaces before each line of a stack.
    pub indent: usize,
    /// Set when an integer was wider than its conversion in a format.
    pub cut: bool,
}

impl<'a> Style<'a> {
    pub fn new(names: &'a mut dyn Names) -> Self {
        Self { names, div: 1, trailer: "..", escape: false, indent: 8, cut: false }
    }

    /// The same with another divisor.
    pub fn divided(&mut self, div: u32) -> Style<'_> {
        let (trailer, escape, indent) = (self.trailer, self.escape, self.indent);
        Style { names: &mut *self.names, div, trailer, escape, indent, cut: false }
    }

    /// The same with another indentation of stacks.
    pub fn indented(&mut self, indent: usize) -> Style<'_> {
        let (div, trailer, escape) = (self.div, self.trailer, self.escape);
        Style { names: &mut *self.names, div, trailer, escape, indent, cut: false }
    }
}
