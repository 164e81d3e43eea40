//! The flags that a text declares, without checking it: for `--help` and lists.

use super::walk;
use crate::ast;

/// A flag as a text declares it: by `param`, or by a getopt() with constant arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    pub name: String,
    /// What it takes: `N`, `TIME`, `TEXT`; empty: a switch.
    pub takes: &'static str,
    /// As written.
    pub default: String,
    pub help: String,
}

/// All flags of a text, each once, in its order.
pub fn flags(script: &ast::Script, text: &str) -> Vec<Flag> {
    let mut found: Vec<Flag> = Vec::new();
    let mut add = |name: &str, default: Option<&ast::Expr>, help: &str| {
        if found.iter().any(|f| f.name == name) {
            return;
        }
        let written = default.map(|e| text.get(e.span.start as usize..e.span.end as usize).unwrap_or_default());
        let takes = match default.map(|e| &e.kind) {
            None | Some(ast::ExprKind::Bool(_)) => "",
            Some(ast::ExprKind::Str(_)) => "TEXT",
            Some(ast::ExprKind::Duration(_)) => "TIME",
            Some(ast::ExprKind::Size(_)) => "SIZE",
            Some(_) => "N",
        };
        let default = written.unwrap_or("false").to_owned();
        found.push(Flag { name: name.to_owned(), takes, default, help: help.to_owned() });
    };
    for item in &script.items {
        if let ast::Item::Param(p) = item {
            add(&p.name.text, Some(&p.default), p.help.as_deref().unwrap_or_default());
        }
    }
    walk::script(script, &mut |e| {
        let ast::ExprKind::Call { name, args } = &e.kind else { return };
        let literal = |at: usize| match args.get(at).map(|a| &a.value.kind) {
            Some(ast::ExprKind::Str(text)) => Some(text.as_str()),
            _ => None,
        };
        // getopt("name"[, default[, "help"]])
        if name.text == "getopt"
            && let Some(flag) = literal(0)
        {
            add(flag, args.get(1).map(|a| &a.value), literal(2).unwrap_or_default());
        }
    });
    found
}
