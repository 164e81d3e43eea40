//! Top-level items.

use super::super::grammar::{Pair, Rule};
use super::Builder;
use crate::ast::{
    AttachPoint, Block, Config, ConfigValue, FnDef, Ident, Import, Item, Macro, MacroParam, MapDecl, Param, Probe,
    Segment,
};
use crate::diag::Diagnostic;

/// How many `else` probes may follow one another.
const MAX_ELSE: usize = 32;

impl Builder<'_> {
    /// The item inside an `item_*` pair.
    pub(in crate::syntax) fn item(&mut self, pair: Pair<'_>) -> Option<Item> {
        if pair.as_rule() == Rule::item_probe {
            return self.probes(pair).map(Item::Probe);
        }
        let inner = pair.into_inner().next()?;
        match inner.as_rule() {
            Rule::config => Some(Item::Config(self.config(inner))),
            Rule::import => self.import(inner).map(Item::Import),
            Rule::param => self.param(inner).map(Item::Param),
            Rule::map_decl => self.map_decl(inner).map(Item::MapDecl),
            Rule::macro_def => self.macro_def(inner).map(Item::Macro),
            Rule::fn_def => self.fn_def(inner).map(Item::Fn),
            Rule::join => self.join(inner).map(Item::Join),
            Rule::alert => self.alert(inner).map(Item::Alert),
            Rule::c_struct | Rule::c_enum => Some(Item::CType(self.c_type(inner))),
            Rule::typedef => self.typedef(inner).map(Item::Typedef),
            _ => None,
        }
    }

    /// `a {} else b {}`: the first, with the others inside.
    fn probes(&mut self, pair: Pair<'_>) -> Option<Probe> {
        let mut probes: Vec<Probe> = Vec::new();
        for inner in pair.into_inner().filter(|p| p.as_rule() == Rule::probe) {
            probes.push(self.probe(inner));
        }
        if probes.len() > MAX_ELSE {
            let text = format!("more than {MAX_ELSE} `else` probes in a row");
            self.diags.push(Diagnostic::error("too-long", probes[MAX_ELSE].span, text));
            probes.truncate(MAX_ELSE);
        }
        chain(probes)
    }

    fn probe(&mut self, pair: Pair<'_>) -> Probe {
        let span = self.span(&pair);
        let mut probe = Probe { points: Vec::new(), predicate: None, body: Block::default(), otherwise: None, span };
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::attach_list => probe.points = self.attach_list(inner),
                Rule::predicate => probe.predicate = self.predicate(inner),
                Rule::block => probe.body = self.block(inner, false),
                _ => {}
            }
        }
        probe
    }

    pub(in crate::syntax) fn predicate(&mut self, pair: Pair<'_>) -> Option<crate::ast::Expr> {
        let expr = pair.into_inner().find(|p| p.as_rule() == Rule::expr)?;
        Some(self.condition(expr))
    }

    pub(in crate::syntax) fn attach_list(&mut self, pair: Pair<'_>) -> Vec<AttachPoint> {
        pair.into_inner().map(|p| self.attach_point(p)).collect()
    }

    fn attach_point(&mut self, pair: Pair<'_>) -> AttachPoint {
        let span = self.span(&pair);
        let mut parts = pair.into_inner();
        let mut label = None;
        let mut provider = Ident { text: String::new(), span };
        if let Some(first) = parts.next() {
            let part = self.segment(&first);
            provider = Ident { text: part.text, span: part.span };
            let split = provider.text.find('=').filter(|at| !part.quoted && *at > 0 && at + 1 < provider.text.len());
            if let Some(at) = split {
                let start = part.span.start as usize;
                label = Some(Ident { text: provider.text[..at].to_owned(), span: self.src.span(start, start + at) });
                provider = Ident {
                    text: provider.text[at + 1..].to_owned(),
                    span: self.src.span(start + at + 1, part.span.end as usize),
                };
            }
        }
        let segments = parts.map(|p| self.segment(&p)).collect();
        AttachPoint { label, provider, segments, span }
    }

    /// Quotes removed; a backslash inside them keeps the next character as it is. With a `$1` outside the quotes the
    /// segment counts as unquoted, so that it is replaced.
    fn segment(&self, pair: &Pair<'_>) -> Segment {
        let raw = pair.as_str();
        let span = self.span(pair);
        if !raw.contains('"') {
            return Segment { text: raw.to_owned(), quoted: false, span };
        }
        let mut text = String::with_capacity(raw.len());
        let mut inside = false;
        let mut positional = false;
        let mut chars = raw.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' => inside = !inside,
                '\\' if inside => text.extend(chars.next()),
                c => {
                    positional |= c == '$' && !inside && chars.peek().is_some_and(char::is_ascii_digit);
                    text.push(c);
                }
            }
        }
        Segment { text, quoted: !positional, span }
    }

    fn config(&mut self, pair: Pair<'_>) -> Config {
        let span = self.span(&pair);
        let mut entries = Vec::new();
        for entry in pair.into_inner().filter(|p| p.as_rule() == Rule::config_entry) {
            let mut inner = entry.into_inner();
            let (Some(name), Some(value)) = (inner.next(), inner.find(|p| p.as_rule() != Rule::eq)) else { continue };
            let span = self.span(&value);
            let quoted = value.as_rule() == Rule::string;
            let text = if quoted { self.string(&value) } else { value.as_str().to_owned() };
            entries.push((self.ident(&name), ConfigValue { text, quoted, span }));
        }
        Config { entries, span }
    }

    fn import(&mut self, pair: Pair<'_>) -> Option<Import> {
        let span = self.span(&pair);
        let path = pair.into_inner().find(|p| p.as_rule() == Rule::string)?;
        Some(Import { path: self.string(&path), span })
    }

    fn param(&mut self, pair: Pair<'_>) -> Option<Param> {
        let span = self.span(&pair);
        let mut name = None;
        let mut default = None;
        let mut help = None;
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::ident => name = Some(self.ident(&inner)),
                Rule::expr => default = Some(self.expr(inner)),
                Rule::string => help = Some(self.string(&inner)),
                _ => {}
            }
        }
        let name = name?;
        self.values.insert(name.text.clone());
        Some(Param { name, default: default?, help, span })
    }

    fn map_decl(&mut self, pair: Pair<'_>) -> Option<MapDecl> {
        let span = self.span(&pair);
        let mut name = None;
        let mut kind = None;
        let mut args = Vec::new();
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::map_name => name = Some(self.sigil(&inner)),
                Rule::ident => kind = Some(self.ident(&inner)),
                Rule::call => args = self.args(inner),
                _ => {}
            }
        }
        Some(MapDecl { name: name?, kind: kind?, args, span })
    }

    fn macro_def(&mut self, pair: Pair<'_>) -> Option<Macro> {
        let span = self.span(&pair);
        let mut name = None;
        let mut params = Vec::new();
        let mut body = None;
        let mut added = Vec::new();
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::ident if name.is_none() => name = Some(self.ident(&inner)),
                Rule::ident => {
                    let param = self.ident(&inner);
                    if self.values.insert(param.text.clone()) {
                        added.push(param.text.clone());
                    }
                    params.push(MacroParam::Expr(param));
                }
                Rule::var => params.push(MacroParam::Var(self.sigil(&inner))),
                Rule::map_name => params.push(MacroParam::Map(self.sigil(&inner))),
                Rule::block => body = Some(self.block(inner, true)),
                _ => {}
            }
        }
        for name in added {
            self.values.remove(&name);
        }
        Some(Macro { name: name?, params, body: body?, span })
    }

    fn fn_def(&mut self, pair: Pair<'_>) -> Option<FnDef> {
        let span = self.span(&pair);
        let mut name = None;
        let mut params = Vec::new();
        let mut ret = None;
        let mut body = None;
        for inner in pair.into_inner() {
            match inner.as_rule() {
                Rule::ident => name = Some(self.ident(&inner)),
                Rule::fn_param => {
                    let mut parts = inner.into_inner();
                    let var = parts.next();
                    let ty = parts.find(|p| p.as_rule() == Rule::annotation);
                    if let (Some(var), Some(ty)) = (var, ty) {
                        params.push((self.sigil(&var), self.type_expr(ty)));
                    }
                }
                Rule::annotation => ret = Some(self.type_expr(inner)),
                Rule::block => body = Some(self.block(inner, false)),
                _ => {}
            }
        }
        Some(FnDef { name: name?, params, ret: ret?, body: body?, span })
    }
}

/// Nests a list of probes by `otherwise`, the first outermost.
pub(in crate::syntax) fn chain(mut probes: Vec<Probe>) -> Option<Probe> {
    let mut last = probes.pop()?;
    while let Some(mut before) = probes.pop() {
        before.otherwise = Some(Box::new(last));
        last = before;
    }
    Some(last)
}
