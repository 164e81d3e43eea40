//! Diagnostics are data; `src/` renders them (text, JSON) in one place.

pub mod kinds;

use crate::span::Span;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Warning,
    Error,
}

/// A line under the source excerpt, shown as `= KIND: text`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "text", rename_all = "lowercase")]
pub enum Note {
    /// What to write instead, ready to paste.
    Write(String),
    /// Why, or what to know besides.
    Note(String),
    /// Names that are close to what was typed.
    Near(String),
}

/// One finding about a script. `message` says what is wrong in the operator's words, `label` what
/// stands under the caret (may be empty), `notes` what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable kebab-case name of the kind of finding, e.g. `unknown-field`.
    pub code: &'static str,
    pub message: String,
    pub span: Span,
    pub label: String,
    /// Other places that matter, with what they show.
    pub others: Vec<(Span, String)>,
    pub notes: Vec<Note>,
    /// The macro calls through which the place was reached, innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expanded_from: Vec<Span>,
    /// bpftrace's words for the same finding, where tools read them; shown only under its name. Empty: it says nothing.
    #[serde(skip)]
    pub bpftrace: Option<String>,
}

impl Diagnostic {
    /// Whether it says no more than that this user may not look.
    pub fn is_refusal(&self) -> bool {
        matches!(self.code, "no-permission" | "could-not-tell")
    }

    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span,
            label: String::new(),
            others: Vec::new(),
            notes: Vec::new(),
            expanded_from: Vec::new(),
            bpftrace: None,
        }
    }

    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// bpftrace's words for it; those that begin with `ERROR: ` are shown without a place.
    #[must_use]
    pub fn bpftrace(mut self, text: impl Into<String>) -> Self {
        self.bpftrace = Some(text.into());
        self
    }

    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = text.into();
        self
    }

    #[must_use]
    pub fn other(mut self, span: Span, text: impl Into<String>) -> Self {
        self.others.push((span, text.into()));
        self
    }

    #[must_use]
    pub fn write(mut self, text: impl Into<String>) -> Self {
        self.notes.push(Note::Write(text.into()));
        self
    }

    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(Note::Note(text.into()));
        self
    }

    #[must_use]
    pub fn near(mut self, text: impl Into<String>) -> Self {
        self.notes.push(Note::Near(text.into()));
        self
    }
}
