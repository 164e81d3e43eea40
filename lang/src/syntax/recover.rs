//! When an item doesn't parse: its head and its statements are parsed one by one, so that each finding stands alone.

use super::build::{Builder, chain};
use super::explain::{Place, explain};
use super::grammar::{Grammar, Rule};
use super::scan::{ItemKind, Kind, RawItem, Source};
use crate::ast::{Block, Item, Join, JoinClause, Probe, Stmt};
use crate::diag::Diagnostic;
use pest::Parser as _;

/// How many findings one item may give.
const MAX_FINDINGS: usize = 20;

/// Where pest got stuck.
pub(super) fn position(e: &pest::error::Error<Rule>) -> usize {
    match e.location {
        pest::error::InputLocation::Pos(at) => at,
        pest::error::InputLocation::Span((at, _)) => at,
    }
}

struct Recovery<'b, 'a> {
    builder: &'b mut Builder<'a>,
    src: &'a Source<'a>,
    /// Places that the scan has told about: nothing more is said of the statements that hold them.
    told: Vec<(usize, usize)>,
    findings: usize,
}

pub(super) fn item(builder: &mut Builder<'_>, raw: &RawItem, rule: Rule, scan_diags: &[Diagnostic]) -> Option<Item> {
    let told = scan_diags
        .iter()
        .map(|d| (d.span.start as usize, d.span.end as usize))
        .filter(|(start, _)| *start >= raw.start && *start <= raw.end)
        .collect();
    let src = builder.src;
    let mut recovery = Recovery { builder, src, told, findings: 0 };
    match raw.kind {
        ItemKind::Probe => recovery.probes(raw.start, raw.end).map(Item::Probe),
        ItemKind::Macro | ItemKind::Fn => recovery.with_body(raw, rule),
        ItemKind::Join => recovery.join(raw),
        _ => {
            recovery.parse_or_explain(rule, raw.start, raw.end, Place::Item(raw.kind), None);
            None
        }
    }
}

/// Brace groups in a region: where the inner text begins and ends.
type Groups = Vec<(usize, usize)>;

impl Recovery<'_, '_> {
    fn is_told(&self, start: usize, end: usize) -> bool {
        self.told.iter().any(|(at, _)| *at >= start && *at < end.max(start + 1))
    }

    fn is_punct(&self, index: usize, text: &str) -> bool {
        self.src.tokens.get(index).is_some_and(|t| t.kind == Kind::Punct && self.src.word(*t) == text)
    }

    /// Index of the `}` for the `{` at `open`, or `last`.
    fn closing(&self, open: usize, last: usize) -> usize {
        let mut depth = 0usize;
        for index in open..last {
            if self.is_punct(index, "{") {
                depth += 1;
            } else if self.is_punct(index, "}") {
                depth -= 1;
                if depth == 0 {
                    return index;
                }
            }
        }
        last
    }

    fn start_of(&self, index: usize, or: usize) -> usize {
        self.src.tokens.get(index).map_or(or, |t| t.start.min(or))
    }

    /// Parses `start..end` by `rule`; on failure explains, unless the scan has. `hidden` are the groups to leave out.
    fn parse_or_explain(
        &mut self,
        rule: Rule,
        start: usize,
        end: usize,
        place: Place,
        hidden: Option<&Groups>,
    ) -> bool {
        let Some(text) = self.src.text.get(start..end) else { return false };
        let text = match hidden {
            Some(groups) => blank(text, start, groups),
            None => text.to_owned(),
        };
        self.builder.base = start;
        match Grammar::parse(rule, &text) {
            Ok(mut pairs) => {
                if let Some(pair) = pairs.next() {
                    self.builder.keep(pair);
                }
                true
            }
            Err(e) => {
                let told = match hidden {
                    Some(groups) => self.told.iter().any(|(at, _)| {
                        *at >= start && *at < end && !groups.iter().any(|(from, to)| at >= from && at < to)
                    }),
                    None => self.is_told(start, end),
                };
                if !told && self.findings < MAX_FINDINGS {
                    self.findings += 1;
                    let diag = explain(self.src, place, (start, end), start + position(&e));
                    self.builder.diags.push(diag);
                }
                false
            }
        }
    }

    fn probes(&mut self, start: usize, end: usize) -> Option<Probe> {
        let last = self.src.tokens.partition_point(|t| t.start < end);
        let mut at = self.src.token_at(start);
        let mut probes = Vec::new();
        while at < last {
            let open = (at..last).find(|i| self.is_punct(*i, "{")).unwrap_or(last);
            let head = (self.start_of(at, end), self.start_of(open, end));
            let close = self.closing(open, last);
            let mut probe = Probe {
                points: Vec::new(),
                predicate: None,
                body: Block::default(),
                otherwise: None,
                span: self.src.span(head.0, self.start_of(close, end)),
            };
            if self.parse_or_explain(Rule::only_head, head.0, head.1, Place::Head, None) {
                (probe.points, probe.predicate) = self.builder.kept_head();
            }
            if open < last {
                let inner = (head.1 + 1, self.start_of(close, end));
                probe.body = self.block(inner.0, inner.1.max(inner.0));
            }
            probes.push(probe);
            at = close + 1;
            if self.src.tokens.get(at).is_some_and(|t| self.src.word(*t) == "else") {
                at += 1;
            } else {
                break;
            }
        }
        if at < last && !self.is_told(self.start_of(at, end), end) {
            let place = (self.start_of(at, end), end);
            let diag = explain(self.src, Place::Head, place, place.0);
            self.builder.diags.push(diag);
        }
        chain(probes)
    }

    fn block(&mut self, start: usize, end: usize) -> Block {
        let stmts = self.stmts(start, end);
        Block { stmts, tail: None, span: self.src.span(start.saturating_sub(1), (end + 1).min(self.src.text.len())) }
    }

    /// A macro or function: its head without the body, and the body's statements.
    fn with_body(&mut self, raw: &RawItem, rule: Rule) -> Option<Item> {
        let groups = self.groups(raw.start, raw.end);
        let mut stmts = Vec::new();
        for (start, end) in &groups {
            stmts.extend(self.stmts(*start, *end));
        }
        if !self.parse_or_explain(rule, raw.start, raw.end, Place::Item(raw.kind), Some(&groups)) {
            return None;
        }
        let mut item = self.builder.kept_item()?;
        match &mut item {
            Item::Macro(m) => m.body.stmts = stmts,
            Item::Fn(f) => f.body.stmts = stmts,
            _ => {}
        }
        Some(item)
    }

    fn join(&mut self, raw: &RawItem) -> Option<Item> {
        let groups = self.groups(raw.start, raw.end);
        let head =
            self.parse_or_explain(Rule::item_join, raw.start, raw.end, Place::Item(ItemKind::Join), Some(&groups));
        let item = if head { self.builder.kept_item() } else { None };
        let mut clauses: Vec<JoinClause> = Vec::new();
        for (start, end) in groups.into_iter().take(1) {
            for (start, end) in self.regions(start, end, false) {
                if self.parse_or_explain(Rule::only_clauses, start, end, Place::Clause, None) {
                    clauses.extend(self.builder.kept_clauses());
                }
            }
        }
        match item {
            Some(Item::Join(join)) => Some(Item::Join(Join { clauses, ..join })),
            _ => None,
        }
    }

    /// The outermost `{ … }` between two places: their inner texts.
    fn groups(&self, start: usize, end: usize) -> Groups {
        let last = self.src.tokens.partition_point(|t| t.start < end);
        let mut at = self.src.token_at(start);
        let mut groups = Vec::new();
        while at < last {
            if self.is_punct(at, "{") {
                let close = self.closing(at, last);
                groups.push((self.src.tokens[at].end, self.start_of(close, end).max(self.src.tokens[at].end)));
                at = close;
            }
            at += 1;
        }
        groups
    }

    /// Cuts a block's text into statements: at `;`, and after the `}` of `if`, loops and blocks.
    fn regions(&self, start: usize, end: usize, blocks: bool) -> Vec<(usize, usize)> {
        let last = self.src.tokens.partition_point(|t| t.start < end);
        let mut at = self.src.token_at(start);
        let mut regions = Vec::new();
        let mut first = at;
        let mut depth = 0usize;
        while at < last {
            let token = self.src.tokens[at];
            let word = self.src.word(token);
            let mut ends = false;
            if token.kind == Kind::Punct {
                match word {
                    "{" | "(" | "[" => depth += 1,
                    "}" | ")" | "]" => depth = depth.saturating_sub(1),
                    _ => {}
                }
                let next = self.src.tokens.get(at + 1).filter(|_| at + 1 < last).map_or("", |t| self.src.word(*t));
                ends = depth == 0
                    && (word == ";"
                        || (blocks && word == "}" && self.is_block_like(first) && next != "else" && next != ";"));
            }
            at += 1;
            if ends {
                regions.push((self.start_of(first, end), token.end));
                first = at;
            }
        }
        if first < last {
            regions.push((self.start_of(first, end), end));
        }
        regions
    }

    fn is_block_like(&self, index: usize) -> bool {
        let word = self.src.tokens.get(index).map_or("", |t| self.src.word(*t));
        matches!(word, "if" | "else" | "while" | "for" | "unroll" | "{" | "elif" | "elseif" | "elsif" | "switch" | "do")
    }

    fn stmts(&mut self, start: usize, end: usize) -> Vec<Stmt> {
        let mut stmts = Vec::new();
        let mut todo = self.regions(start, end, true);
        todo.reverse();
        while let Some((start, end)) = todo.pop() {
            if self.findings >= MAX_FINDINGS {
                break;
            }
            let groups = self.groups(start, end);
            let hidden = if groups.is_empty() { None } else { Some(&groups) };
            let whole = self.src.text.get(start..end).unwrap_or("");
            if hidden.is_some() && !self.is_told(start, end) && Grammar::parse(Rule::only_stmts, whole).is_ok() {
                self.parse_or_explain(Rule::only_stmts, start, end, Place::Stmt, None);
                stmts.extend(self.builder.kept_stmts());
                continue;
            }
            let before = self.builder.diags.len();
            if self.parse_or_explain(Rule::only_stmts, start, end, Place::Stmt, hidden) {
                stmts.extend(self.builder.kept_stmts());
            } else if let Some(diag) = self.builder.diags.get(before).filter(|d| d.code == "missing-semicolon") {
                // What follows the missing `;` is a statement of its own.
                let from = self.src.text[diag.span.end as usize..end].trim_start();
                let from = end - from.len();
                if from > start {
                    todo.push((from, end));
                    continue;
                }
            }
            for (start, end) in groups {
                self.stmts(start, end);
            }
        }
        stmts
    }
}

/// `text` (which begins at `base`) with the insides of `groups` blanked.
fn blank(text: &str, base: usize, groups: &Groups) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for (start, end) in groups {
        let range = start.saturating_sub(base)..end.saturating_sub(base).min(bytes.len());
        for byte in bytes.get_mut(range).unwrap_or_default() {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
