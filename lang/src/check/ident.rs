//! Bare words and dotted paths: builtins, parameters, constants, packet fields, what joins name.

use super::cx::Checker;
use super::golang::Which;
use super::providers::ProviderKind;
use super::types::int_shape;
use super::value::Val;
use crate::ast::{self, ExprKind as A, Ident};
use crate::builtins::{self, class};
use crate::diag::Diagnostic;
use crate::hir::{ExprKind, Func, Ty};
use crate::span::Span;
use std::rc::Rc;

impl<'a> Checker<'a> {
    pub(crate) fn ident(&mut self, e: &'a ast::Expr, name: &'a str, span: Span) -> Val {
        if let Some((inner, frame)) = self.bound_expr(name) {
            return self.in_frame(frame, |c| c.place(inner));
        }
        if let Some(v) = self.join_name(name, span) {
            return v;
        }
        if let Some(m) = self.find_macro(name, &[]) {
            return self.expand(m, &[], span);
        }
        if let Some(n) = arg_number(name) {
            return self.arg_n(n, span);
        }
        if let Some(v) = self.exchange_value(name, span) {
            return v;
        }
        if let Some(row) = builtins::find(name).filter(|r| r.bare) {
            return self.builtin(row, name, &[], span);
        }
        if name == super::golang_watch::DEPTH && self.opts.hidden.contains(&span.file) {
            return Val::new(ExprKind::Call { func: Func::GoDepth, args: Vec::new() }, Ty::I64, span);
        }
        if let Some(v) = self.param_value(name, span) {
            return v;
        }
        if let Some(define) = self.items.defines.get(name) {
            return self.define(name, define, span);
        }
        if let Some((ty, value)) = self.enumerator(name) {
            let mut v = Val::new(ExprKind::Int(value), ty, span);
            v.lit = true;
            return v;
        }
        if let Some(n) = super::constants::find(name) {
            return Val::literal(i128::from(n), span);
        }
        // <syscall.h>
        let call = name.strip_prefix("__NR_").or_else(|| name.strip_prefix("SYS_"));
        if let Some(n) = call.and_then(|call| self.world.syscall(call)) {
            return Val::literal(i128::from(n), span);
        }
        if let Some(v) = self.path_expr(e) {
            return v;
        }
        self.unknown_ident(name, span);
        Val::error(span)
    }

    /// A `#define`: its replacement, where it is used.
    fn define(&mut self, name: &'a str, value: &'a ast::Expr, span: Span) -> Val {
        if self.defining.contains(&name) {
            self.error("macro-recursion", span, format!("#define {name} is made of itself"));
            return Val::error(span);
        }
        self.defining.push(name);
        let v = self.place(value);
        self.defining.pop();
        Val { e: crate::hir::Expr { span, ..v.e }, ..v }
    }

    fn unknown_ident(&mut self, name: &str, span: Span) {
        let mut d = Diagnostic::error("unknown-name", span, format!("no builtin, parameter or constant named {name}"));
        let bare = builtins::rows().map(|r| r.name);
        let params = self.items.params.iter().map(|p| p.name.text.as_str());
        let macros = self.items.macros.keys().copied();
        let near = crate::suggest::nearest(name, bare.chain(params).chain(macros), 3);
        if self.lookup(name).is_some() {
            d = d.write(format!("${name}"));
        } else if self.maps.maps.iter().any(|m| m.name == name) {
            d = d.write(format!("@{name}"));
        } else if builtins::find(name).is_some_and(|r| !r.bare) {
            d = d.write(builtins::find(name).map_or("", |r| r.signature));
        } else if !near.is_empty() {
            d = d.near(near.join(", "));
        } else if matches!(self.probe.kind(), ProviderKind::Span | ProviderKind::Log) {
            let what = self.probe.row.name;
            d = d.note(format!("fields there are: weftrace list '{what}:*'"));
        } else if matches!(self.probe.kind(), ProviderKind::Pcap | ProviderKind::Exchange) {
            d = d.note("packet fields there are: weftrace list 'pcap:*'");
        }
        self.report(self.add_withheld(d));
    }

    /// Names that are one thing as a whole: `tcp.analysis.retransmission`, `r.header`, `args.f`. None: not such a path.
    pub(crate) fn path_expr(&mut self, e: &'a ast::Expr) -> Option<Val> {
        let path = dotted(e)?;
        let root = path[0];
        if self.bound_expr(root.text).is_some() {
            return None;
        }
        if self.class() == class::JOIN
            && let Some(v) = self.join_path(&path, e.span)
        {
            return Some(v);
        }
        if root.text == "args" && path.len() > 1 && self.find_macro("args", &[]).is_none() {
            let v = self.args_field(path[1].ident?, path[1].span);
            return Some(self.rest_of(v, &path[2..], e.span));
        }
        if root.text == "retval" && path.len() > 1 && self.at_go_return() {
            let v = self.go_result(&Which::Name(path[1].ident?), path[1].span)?;
            return Some(self.rest_of(v, &path[2..], e.span));
        }
        if matches!(
            self.probe.kind(),
            ProviderKind::Pcap | ProviderKind::Exchange | ProviderKind::Span | ProviderKind::Log
        ) {
            return self.packet_path(&path, e.span);
        }
        // Only where nothing else has this name.
        let known = path.len() > 1 && self.items.params.iter().any(|p| p.name.text == root.text);
        let whole = path.len() > 1 || self.packets().iter().any(|(n, _)| n == root.text);
        if !known && builtins::find(root.text).is_none_or(|r| !r.bare) && self.is_packet_root(root.text) && whole {
            let name = path.iter().map(|p| p.text).collect::<Vec<_>>().join(".");
            let d = Diagnostic::error(
                "packet-field",
                e.span,
                format!("{name} is a packet's field: there is no packet here"),
            );
            let d = match self.like_packet_field(&name) {
                Some(own) => d.write(own).note(format!("or a packet block: pcap:any {{ … {name} … }}")),
                None => d.write(format!("pcap:any {{ … {name} … }}")),
            };
            self.report(d);
            return Some(Val::error(e.span));
        }
        None
    }

    /// What a tracepoint's record has for a packet's field.
    fn like_packet_field(&self, name: &str) -> Option<String> {
        const LIKE: &[(&str, &str, bool)] = &[
            ("ip.src", "saddr", true),
            ("ip.dst", "daddr", true),
            ("ipv6.src", "saddr_v6", true),
            ("ipv6.dst", "daddr_v6", true),
            ("tcp.srcport", "sport", false),
            ("tcp.dstport", "dport", false),
        ];
        let super::cx::ArgsCx::Trace(event) = &self.probe.args else { return None };
        let (_, field, address) = LIKE.iter().find(|(n, ..)| *n == name)?;
        event
            .fields
            .iter()
            .any(|f| f.name == *field)
            .then(|| if *address { format!("ntop(args.{field})") } else { format!("args.{field}") })
    }

    /// Plain members after a path's head.
    pub(crate) fn rest_of(&mut self, mut v: Val, rest: &[Part<'a>], span: Span) -> Val {
        for part in rest {
            let Some(ident) = part.ident else { return Val::error(span) };
            v = self.field_of(v, ident, part.span);
        }
        v
    }

    fn packets(&mut self) -> Rc<Vec<(String, Ty)>> {
        if self.packets.is_none() {
            self.packets = Some(Rc::new(self.world.packet_fields()));
        }
        self.packets.clone().unwrap_or_default()
    }

    /// What the block at hand can name.
    fn fields_here(&mut self) -> Rc<Vec<(String, Ty)>> {
        let other = match self.probe.kind() {
            ProviderKind::Span => "log.",
            ProviderKind::Log => "span.",
            _ => return self.packets(),
        };
        let table = self.world.telemetry_field_table().into_iter();
        Rc::new(table.filter(|f| !f.name.starts_with(other)).map(|f| (f.name, f.ty)).collect())
    }

    fn is_packet_root(&mut self, root: &str) -> bool {
        self.packets().iter().any(|(n, _)| n.split('.').next() == Some(root))
    }

    /// The longest prefix that is a packet field, then members of it.
    fn packet_path(&mut self, path: &[Part<'a>], span: Span) -> Option<Val> {
        let fields = self.fields_here();
        let is_root = |name: &str| fields.iter().any(|(n, _)| n.split('.').next() == Some(name));
        if !is_root(path[0].text) {
            return self.foreign_field(path, span);
        }
        for n in (1..=path.len()).rev() {
            let name = path[..n].iter().map(|p| p.text).collect::<Vec<_>>().join(".");
            if let Some((_, ty)) = fields.iter().find(|(f, _)| *f == name) {
                if !self.is_of_exchange(&name, span) {
                    return Some(Val::error(span));
                }
                // `http.request` is a field too, and what follows it here is a misspelt one, no member of it.
                if n < path.len() && int_shape(ty).is_some() {
                    break;
                }
                let v = Val::new(ExprKind::Packet(name), ty.clone(), path[n - 1].span);
                return Some(self.rest_of(v, &path[n..], span));
            }
        }
        let name = path.iter().map(|p| p.text).collect::<Vec<_>>().join(".");
        self.unknown_packet_field(&name, &fields, span);
        Some(Val::error(span))
    }

    /// Another kind of block's field: a packet's in a `span` block, a span's in a `pcap` block.
    fn foreign_field(&mut self, path: &[Part<'a>], span: Span) -> Option<Val> {
        let name = path.iter().map(|p| p.text).collect::<Vec<_>>().join(".");
        let telemetry = self.world.telemetry_field_table();
        let block = match path[0].text {
            root if path.len() < 2 || builtins::find(root).is_some_and(|r| r.bare) => return None,
            _ if telemetry.iter().any(|f| f.name == name) => {
                if path[0].text == "log" {
                    "log:*"
                } else {
                    "span:*"
                }
            }
            root if self.is_packet_root(root) => "pcap:any",
            _ => return None,
        };
        let here = self.probe.row.name;
        let d = Diagnostic::error("foreign-field", span, format!("{name} is not known in a {here} block"))
            .write(format!("{block} {{ … {name} … }}"))
            .note("what several blocks see is put together by a join: emit a stream in each");
        self.report(d);
        Some(Val::error(span))
    }

    fn unknown_packet_field(&mut self, name: &str, fields: &[(String, Ty)], span: Span) {
        let mut d = Diagnostic::error(
            "unknown-field",
            span,
            format!(
                "no {} field {name}",
                if self.probe.kind() == ProviderKind::Pcap { "packet" } else { self.probe.row.name }
            ),
        );
        let near = crate::suggest::nearest(name, fields.iter().map(|(n, _)| n.as_str()), 4);
        let inside: Vec<&str> =
            fields.iter().map(|(n, _)| n.as_str()).filter(|n| n.starts_with(&format!("{name}."))).take(8).collect();
        if !inside.is_empty() {
            d = d.near(inside.join(", "));
        } else if !near.is_empty() {
            d = d.near(near.join(", "));
        } else {
            // A wrong last word: what its layer has.
            let parent = name.rsplit_once('.').map_or(name, |(p, _)| p);
            let last = name.rsplit('.').next().unwrap_or(name);
            let mut layer: Vec<&str> =
                fields.iter().map(|(n, _)| n.as_str()).filter(|n| n.starts_with(&format!("{parent}."))).collect();
            layer.sort_by_key(|n| !n.ends_with(last));
            layer.truncate(6);
            if !layer.is_empty() {
                d = d.near(layer.join(", "));
            }
        }
        self.report(d);
    }

    pub(crate) fn positional(&mut self, n: u32, span: Span) -> Val {
        let text = match (n as usize).checked_sub(1).and_then(|i| self.opts.positional.get(i)) {
            Some(text) => text.clone(),
            // Missing: 0, or "" in str().
            None => return Val::literal(0, span),
        };
        match super::params::parse_number(&text) {
            Some(n) => Val::literal(n, span),
            None => Val::string(text, span),
        }
    }
}

/// One word of a dotted path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) text: &'a str,
    pub(crate) span: Span,
    /// None for the first word.
    pub(crate) ident: Option<&'a Ident>,
}

/// `a.b.c` of bare words only.
pub(crate) fn dotted(e: &ast::Expr) -> Option<Vec<Part<'_>>> {
    match &e.kind {
        A::Ident(name) => Some(vec![Part { text: name, span: e.span, ident: None }]),
        A::Field { base, name, .. } => {
            let mut path = dotted(base)?;
            path.push(Part { text: &name.text, span: e.span, ident: Some(name) });
            Some(path)
        }
        _ => None,
    }
}

/// 3 for `arg3`.
pub(crate) fn arg_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("arg")?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}
