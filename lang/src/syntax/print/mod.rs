//! The canonical text of a tree: what `weftrace fmt` writes.
//!
//! Two spaces of indentation, one statement a line, brackets only where the precedences need them. Parsing the printed
//! text gives the same tree. Comments are not in the tree, nor is what a conditional (`#if`) left out, nor how a number
//! was spelled: they are lost, unless the source text is at hand (`format.rs`).

mod alert;
mod expr;
mod format;
mod items;
mod stmt;
mod types;

use crate::ast::{Expr, Item, Script, TypeExpr};

/// A script's canonical text.
pub fn print(script: &Script) -> String {
    let mut p = Printer::default();
    if let Some(shebang) = &script.shebang {
        p.text(shebang);
        p.newline();
    }
    let mut last: Option<&Item> = None;
    for item in &script.items {
        if last.is_some_and(|last| !same_group(last, item)) || (last.is_none() && script.shebang.is_some()) {
            p.newline();
        }
        p.item(item);
        p.newline();
        last = Some(item);
    }
    p.out
}

pub use format::format;

/// One expression's canonical text.
pub fn print_expr(expr: &Expr) -> String {
    let mut p = Printer::default();
    p.expr(expr, 0);
    p.out
}

/// One type's canonical text.
pub fn print_type(ty: &TypeExpr) -> String {
    let mut p = Printer::default();
    p.ty(ty);
    p.out
}

/// One-line items of one kind stand together without an empty line.
fn same_group(a: &Item, b: &Item) -> bool {
    let line = |i: &Item| {
        matches!(i, Item::Include(_) | Item::Define(_) | Item::Import(_) | Item::Param(_) | Item::MapDecl(_))
    };
    line(a) && line(b) && std::mem::discriminant(a) == std::mem::discriminant(b)
}

#[derive(Default)]
struct Printer {
    out: String,
    indent: usize,
    /// What was written, for comments and the spelling of literals.
    source: Option<format::Written>,
}

impl Printer {
    fn text(&mut self, text: &str) {
        if self.out.is_empty() || self.out.ends_with('\n') {
            for _ in 0..self.indent {
                self.out.push_str("  ");
            }
        }
        self.out.push_str(text);
    }

    fn newline(&mut self) {
        self.out.push('\n');
    }

    /// `{`, what `inner` prints (lines, each ended), `}`; `{ }` where that is nothing.
    fn braces(&mut self, empty: bool, inner: impl FnOnce(&mut Self)) {
        if empty {
            self.text("{ }");
            return;
        }
        self.text("{");
        self.newline();
        self.indent += 1;
        inner(self);
        self.indent -= 1;
        self.text("}");
    }

    /// Items separated by commas.
    fn list<T>(&mut self, items: &[T], mut one: impl FnMut(&mut Self, &T)) {
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                self.text(", ");
            }
            one(self, item);
        }
    }
}
