//! `alert` items.

use super::{Arg, AttachPoint, Expr, Ident};
use crate::span::Span;

/// `alert "name" clauses;`
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// The text in the quotes, with their place.
    pub name: Ident,
    pub clauses: Vec<AlertClause>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AlertClause {
    pub kind: AlertClauseKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum AlertClauseKind {
    /// `on join:slow_requests`: asked at each of these events, instead of by time.
    On(Vec<AttachPoint>),
    /// `when rate(@n[$peer], 10s) > 5`
    When(Expr),
    /// `for 30s`
    For(Expr),
    /// `to stderr, slack(env="TEAM_HOOK")`
    To(Vec<AlertSink>),
    /// `group by $peer`, `group by path = r.path`
    Group(Vec<GroupKey>),
    /// `every 5m`
    Every(Expr),
    /// `message "%s: %d", $peer, @n[$peer]`: the first is the format.
    Message(Vec<Expr>),
    /// `labels team = "net"`
    Labels(Vec<(Ident, Expr)>),
}

impl AlertClauseKind {
    /// The word that it begins with.
    pub fn word(&self) -> &'static str {
        match self {
            Self::On(_) => "on",
            Self::When(_) => "when",
            Self::For(_) => "for",
            Self::To(_) => "to",
            Self::Group(_) => "group",
            Self::Every(_) => "every",
            Self::Message(_) => "message",
            Self::Labels(_) => "labels",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct AlertSink {
    pub kind: Ident,
    pub args: Vec<Arg>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GroupKey {
    pub name: Option<Ident>,
    pub value: Expr,
}

/// `alert "name" group by path = r.path message "%s", r.path;` in a block: a group of an alert that is declared without `when`.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertTell {
    pub name: Ident,
    pub group: Vec<GroupKey>,
    /// The format and its values; empty: none was written.
    pub message: Vec<Arg>,
}

/// What an alert's blocks tell: never parsed, the checker makes them of [`Alert`].
#[derive(Clone, Debug, PartialEq)]
pub struct AlertStmt {
    /// Place among the script's alerts.
    pub alert: u32,
    /// None: every group that meets the condition has been told.
    pub told: Option<AlertTold>,
}

/// One group, and whether it meets the condition; without one it does.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertTold {
    pub when: Option<Expr>,
    pub keys: Vec<Expr>,
    /// The format and its values; empty: none was written.
    pub message: Vec<Arg>,
}
