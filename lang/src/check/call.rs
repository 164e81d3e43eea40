//! Calls: macros first, then the table of builtins.

use super::cx::Checker;
use super::value::Val;
use crate::ast::{self, Ident};
use crate::builtins::{self, Kind, Row, class};
use crate::diag::Diagnostic;
use crate::hir::{ExprKind, MapRef};
use crate::span::Span;

/// One use of a builtin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) row: &'static Row,
    /// As written: the name or an alias.
    pub(crate) name: &'a str,
    pub(crate) args: &'a [ast::Arg],
    pub(crate) span: Span,
    /// Nobody takes the value.
    pub(crate) dropped: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn arg(&self, i: usize) -> Option<&'a ast::Expr> {
        self.args.get(i).map(|a| &a.value)
    }
}

impl<'a> Checker<'a> {
    pub(crate) fn call(&mut self, name: &'a Ident, args: &'a [ast::Arg], span: Span, dropped: bool) -> Val {
        if let Some(m) = self.find_macro(&name.text, args) {
            return self.expand(m, args, span);
        }
        if let Some(own) = super::hidden::find(&name.text).filter(|_| self.opts.hidden.contains(&span.file)) {
            return own(self, args, span);
        }
        if let Some(row) = builtins::find(&name.text) {
            // A user's macro of the same name with other parameters is meant rather than a wrong number of arguments.
            let count_fits = (row.args.0..=row.args.1).contains(&args.len());
            if count_fits || !self.items.macros.contains_key(name.text.as_str()) {
                return self.builtin_call(Call { row, name: &name.text, args, span, dropped });
            }
        }
        if self.items.macros.contains_key(name.text.as_str()) {
            return self.wrong_macro_args(&name.text, args, span);
        }
        if let Some(f) = self.items.fns.iter().find(|f| f.name.text == name.text) {
            return self.call_function(f, args, span);
        }
        let known = builtins::rows()
            .map(|r| r.name)
            .chain(self.items.macros.keys().copied())
            .chain(self.items.fns.iter().map(|f| f.name.text.as_str()));
        let near = crate::suggest::nearest(&name.text, known, 3);
        let mut d = Diagnostic::error("unknown-function", name.span, format!("no function {}", name.text));
        if !near.is_empty() {
            d = d.near(near.join(", "));
        }
        self.report(d);
        Val::error(span)
    }

    pub(crate) fn builtin(&mut self, row: &'static Row, name: &'a str, args: &'a [ast::Arg], span: Span) -> Val {
        self.builtin_call(Call { row, name, args, span, dropped: false })
    }

    fn builtin_call(&mut self, call: Call<'a>) -> Val {
        let (row, span) = (call.row, call.span);
        if row.valid & self.class() == 0 {
            self.wrong_place(row, span);
            return Val::error(span);
        }
        if let Some(named) = call.args.iter().find_map(|a| a.name.as_ref()) {
            self.error("named-argument", named.span, format!("{} takes no arguments by name", call.name));
            return Val::error(span);
        }
        let (least, most) = row.args;
        if !(least..=most).contains(&call.args.len()) {
            let given = call.args.len();
            let wants = how_many(least, most);
            let d = Diagnostic::error("argument-count", span, format!("{} takes {wants}, {given} given", call.name))
                .write(row.signature);
            self.report(d);
            return Val::error(span);
        }
        self.rule_task_in_softirq(row.name, span);
        match &row.kind {
            Kind::Value(func, ty) => Val::new(ExprKind::Call { func: *func, args: Vec::new() }, ty.clone(), span),
            Kind::Checked(check) => check(self, &call),
        }
    }

    fn wrong_place(&mut self, row: &'static Row, span: Span) {
        let place = self.probe.name().to_owned();
        let mut d = Diagnostic::error("wrong-place", span, format!("{} is not known in {place}", row.name));
        d = match self.class() {
            _ if row.valid == class::PCAP => d.write(format!("pcap:any {{ … {} … }}", row.signature)),
            class::PCAP if matches!(row.name, "pid" | "comm") => d
                .write(format!("pkt.owner.{}", row.name))
                .note("no task runs here: a packet's owner is found by its socket"),
            class::PCAP => d.note("a packet belongs to no task: its owner is pkt.owner.pid, or found by a join"),
            class::EXCHANGE => {
                d.note("an exchange is told when it has ended: of the process there are pid, tid and comm")
            }
            class::TELEMETRY => {
                d.note("a span tells no task of this machine: join it with what the kernel or packets saw")
            }
            class::JOIN => d.note("a join's body runs after everything happened: emit the value where it is known"),
            class::TIMER => d.note("no function was entered here"),
            _ => d,
        };
        self.report(d);
    }

    /// An argument that must be a map without a key.
    pub(crate) fn map_arg(&mut self, e: &'a ast::Expr, what: &str) -> Option<MapRef> {
        let (e, frame) = self.peeled(e);
        match &e.kind {
            ast::ExprKind::Map { name, key: None } => self.in_frame(frame, |c| c.map_ref(name, e.span)),
            ast::ExprKind::Map { name, .. } => {
                let d = Diagnostic::error("not-a-map", e.span, format!("{what} wants the whole map"))
                    .write(format!("@{name}"));
                self.report(d);
                None
            }
            _ => {
                self.error("not-a-map", e.span, format!("{what} wants a map"));
                None
            }
        }
    }

    /// A map that something writes; reports one that nothing does.
    pub(crate) fn known_map_arg(&mut self, e: &'a ast::Expr, what: &str) -> Option<MapRef> {
        let map = self.map_arg(e, what)?;
        let info = self.map_info(map);
        if !info.written {
            let name = info.name.clone();
            self.undefined_map(&name, e.span);
        }
        Some(map)
    }

    /// A literal string argument.
    pub(crate) fn literal_text(&mut self, e: &'a ast::Expr, what: &str) -> Option<String> {
        let v = self.expr(e);
        if let Some(text) = v.text() {
            Some(text.to_owned())
        } else {
            if !v.is_error() {
                self.error("not-a-literal", e.span, format!("{what} is a string written out in quotes"));
            }
            None
        }
    }
}

/// `2 arguments`, `1 to 3 arguments`
pub(crate) fn how_many(least: usize, most: usize) -> String {
    match (least, most) {
        (0, 0) => "no arguments".to_owned(),
        (a, b) if a == b => format!("{a} argument{}", if a == 1 { "" } else { "s" }),
        (a, usize::MAX) => format!("{a} or more arguments"),
        (a, b) => format!("{a} to {b} arguments"),
    }
}
