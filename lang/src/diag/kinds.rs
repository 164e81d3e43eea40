//! Kinds of findings: [`Diagnostic::code`](super::Diagnostic::code) is one's name, its number is what people type.

mod table;

pub use table::KINDS;

/// One kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// `E0207`
    pub number: &'static str,
    /// `unknown-field`
    pub code: &'static str,
    /// What it means, and what to do.
    pub doc: &'static str,
}

/// The kind with a name.
pub fn by_code(code: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.code == code)
}

/// The kind that somebody asks for: `E0207`, `e207`, `unknown-field`.
pub fn find(text: &str) -> Option<&'static Kind> {
    let digits = text.strip_prefix(['E', 'e']).unwrap_or(text);
    let number = digits.parse::<u16>().ok().map(|n| format!("E{n:04}"));
    KINDS.iter().find(|kind| Some(kind.number) == number.as_deref() || kind.code == text)
}

#[cfg(test)]
#[path = "kinds_tests.rs"]
mod tests;
