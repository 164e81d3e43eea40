//! Text → syntax tree, and back.
//!
//! Stages: `preprocess` (directives, conditionals) → `scan` (items, brackets, tokens) → the pest grammar, item by item →
//! `build` (tree). Where an item doesn't parse, `recover` parses its parts and `explain` says what is wrong.
//! Nothing here fails: [`parse`] returns the tree of what could be understood, and what is wrong.

mod build;
mod explain;
mod grammar;
mod header;
mod literal;
mod preprocess;
mod print;
mod recover;
mod scan;
mod strip;

use crate::ast::{AttachPoint, Expr, Item, Script};
use crate::diag::Diagnostic;
use crate::span::{FileId, Span};
use build::Builder;
use grammar::{Grammar, Rule};
use pest::Parser as _;
use scan::{ItemKind, RawItem, Source};

pub use header::parse_header;
pub use literal::string_bytes;
pub(crate) use literal::{DURATIONS, SIZES};
pub use preprocess::Defines;
pub use print::{format, print, print_expr, print_type};

/// How many findings are told; the rest is counted.
const MAX_DIAGS: usize = 200;

/// Longest text that is parsed: spans are 32 bits wide.
const MAX_TEXT: usize = 16 << 20;

/// Parses a script. The items keep the text's order; directives that a conditional leaves out are gone. Diagnostics come
/// in the order of their places. Where there are none of severity error, the tree is the whole script.
pub fn parse(text: &str, file: FileId) -> (Script, Vec<Diagnostic>) {
    parse_with(text, file, &mut Defines::default())
}

/// [`parse`], where names are `#define`d already; what the text defines is added to them.
pub fn parse_with(text: &str, file: FileId, defines: &mut Defines) -> (Script, Vec<Diagnostic>) {
    if text.len() > MAX_TEXT {
        let diag = Diagnostic::error("too-long", Span::new(file, 0, 0), "a script of more than 16 MiB");
        return (Script::default(), vec![diag]);
    }
    let pre = preprocess::preprocess(text, file, defines);
    let scan::Scan { items: raw_items, tokens, comments, diags } = scan::scan(&pre.text, file);
    let src = Source { text: &pre.text, file, tokens, comments };
    let mut builder = Builder::new(&src);
    let mut items = pre.items;
    for item in &items {
        if let Item::Define(define) = item {
            builder.values.insert(define.name.text.clone());
        }
    }
    for raw in &raw_items {
        items.extend(parse_item(&mut builder, raw, &diags));
    }
    items.sort_by_key(|item| item.span().start);
    let mut all = pre.diags;
    all.extend(diags);
    all.append(&mut builder.diags);
    all.extend(second_configs(&items));
    all.sort_by_key(|d| (d.span.start, d.span.end));
    all.dedup();
    if let Some(left) = all.len().checked_sub(MAX_DIAGS).filter(|left| *left > 0) {
        all.truncate(MAX_DIAGS);
        let span = all.last().map_or(Span::new(file, 0, 0), |d| d.span);
        all.push(Diagnostic::error("too-many", span, format!("{left} more findings follow")));
    }
    (Script { shebang: pre.shebang, items }, all)
}

/// Parses a text that is one expression, e.g. a parameter's value or a `#define`'s.
pub fn parse_expr(text: &str, file: FileId) -> (Option<Expr>, Vec<Diagnostic>) {
    parse_expr_of(text, file, &[])
}

/// [`parse_expr`], where some names are known to be values: `(a) - (b)` is no cast then.
pub fn parse_expr_of(text: &str, file: FileId, values: &[String]) -> (Option<Expr>, Vec<Diagnostic>) {
    if text.len() > MAX_TEXT {
        let diag = Diagnostic::error("too-long", Span::new(file, 0, 0), "an expression of more than 16 MiB");
        return (None, vec![diag]);
    }
    let scan = scan::scan_expr(text, file);
    let src = Source { text, file, tokens: scan.tokens, comments: scan.comments };
    let mut diags = scan.diags;
    if scan.items.iter().any(|i| i.broken || i.too_deep) {
        return (None, diags);
    }
    let mut builder = Builder::new(&src);
    builder.values.extend(values.iter().cloned());
    let expr = match Grammar::parse(Rule::only_expr, text) {
        Ok(mut pairs) => pairs.next().map(|p| builder.only_expr(p)),
        Err(e) => {
            let at = recover::position(&e);
            diags.push(explain::explain(&src, explain::Place::Expr, (0, text.len()), at));
            None
        }
    };
    diags.append(&mut builder.diags);
    (expr, diags)
}

/// Parses attach points alone, as `tracepoint:a:b, kprobe:c`. None: it is something else.
pub fn parse_attach_points(text: &str, file: FileId) -> Option<Vec<AttachPoint>> {
    let whole = format!("{text} {{ }}");
    let (script, diags) = parse(&whole, file);
    let mut items = script.items.into_iter();
    match (items.next(), items.next(), diags.is_empty()) {
        (Some(Item::Probe(probe)), None, true) if probe.predicate.is_none() => Some(probe.points),
        _ => None,
    }
}

fn parse_item(builder: &mut Builder<'_>, raw: &RawItem, scan_diags: &[Diagnostic]) -> Option<Item> {
    let rule = match raw.kind {
        ItemKind::Probe => Rule::item_probe,
        ItemKind::Config => Rule::item_config,
        ItemKind::Import => Rule::item_import,
        ItemKind::Param => Rule::item_param,
        ItemKind::MapDecl => Rule::item_map,
        ItemKind::Macro => Rule::item_macro,
        ItemKind::Fn => Rule::item_fn,
        ItemKind::Join => Rule::item_join,
        ItemKind::Alert => Rule::item_alert,
        ItemKind::CType => Rule::item_ctype,
        ItemKind::Typedef => Rule::item_typedef,
        ItemKind::Junk => return None,
    };
    if raw.too_deep {
        return None;
    }
    if !raw.broken {
        let text = builder.src.text.get(raw.start..raw.end)?;
        builder.base = raw.start;
        if let Ok(mut pairs) = Grammar::parse(rule, text) {
            return pairs.next().and_then(|p| builder.item(p));
        }
    }
    recover::item(builder, raw, rule, scan_diags)
}

/// bpftrace takes one config block.
fn second_configs(items: &[Item]) -> Vec<Diagnostic> {
    let mut configs = items.iter().filter_map(|i| if let Item::Config(c) = i { Some(c.span) } else { None });
    let Some(first) = configs.next() else { return Vec::new() };
    configs
        .map(|span| {
            Diagnostic::error("duplicate-config", span, "a script has one config block")
                .other(first, "the first is here")
        })
        .collect()
}

impl Item {
    /// The item's whole text.
    pub fn span(&self) -> Span {
        match self {
            Self::Include(i) => i.span,
            Self::Define(i) => i.span,
            Self::CType(i) => i.span,
            Self::Typedef(i) => i.span,
            Self::Config(i) => i.span,
            Self::Import(i) => i.span,
            Self::Param(i) => i.span,
            Self::MapDecl(i) => i.span,
            Self::Macro(i) => i.span,
            Self::Fn(i) => i.span,
            Self::Probe(i) => i.span,
            Self::Join(i) => i.span,
            Self::Alert(i) => i.span,
        }
    }
}

/// One fuzzing execution: any bytes parse without a panic, and what parses without an error comes back the same from its
/// printed text.
#[doc(hidden)]
pub fn fuzz_one(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (script, diags) = parse(&text, FileId::default());
    if diags.iter().any(|d| d.severity == crate::diag::Severity::Error) {
        // A partial tree prints too.
        let _ = print(&script);
        return;
    }
    let printed = print(&script);
    let (again, errors) = parse(&printed, FileId::default());
    assert!(errors.is_empty(), "printed text doesn't parse: {errors:?}\n--- from\n{text}\n--- printed\n{printed}");
    assert_eq!(script.without_spans(), again.without_spans(), "--- from\n{text}\n--- printed\n{printed}");
}

#[cfg(test)]
mod tests;
