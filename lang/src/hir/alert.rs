//! Alerts: the blocks that ask and tell are probes ([`super::Action::Alert`]); here is what becomes of what they tell.

use crate::span::Span;

#[derive(Clone, Debug)]
pub struct AlertDef {
    pub name: String,
    /// The condition as it was written.
    pub condition: String,
    /// Names of the keys that it is grouped by.
    pub group: Vec<String>,
    pub labels: Vec<(String, String)>,
    /// How long it must hold; 0: no longer than a moment.
    pub for_ns: u64,
    /// How often it is told again; None: once.
    pub every_ns: Option<u64>,
    /// Asked at events, which say nothing once they are over; otherwise by time.
    pub on_events: bool,
    pub sinks: Vec<SinkDef>,
    pub span: Span,
}

/// Where alerts go; a row of `builtins::sinks`.
#[derive(Clone, Debug)]
pub struct SinkDef {
    /// The row's name.
    pub kind: &'static str,
    /// A path or URL.
    pub at: Option<ValueFrom>,
    /// A token, or a key to sign with.
    pub secret: Option<ValueFrom>,
    pub span: Span,
}

/// Where a text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueFrom {
    Script(String),
    /// An environment variable.
    Env(String),
    /// The first line of a file.
    File(String),
}
