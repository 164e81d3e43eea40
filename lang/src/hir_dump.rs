//! The typed program as text: for `weftrace dump --stage hir` and file tests. Every conversion is shown.

use crate::check::{operator, type_name};
use crate::hir::{
    Action, AlertDef, Block, Expr, ExprKind, Format, JoinDef, Keep, MapDef, Piece, ProbeDef, Program, Stmt, StmtKind,
};
use std::fmt::Write as _;

/// The whole program. Lines are stable: order of appearance, no addresses.
pub fn dump(p: &Program) -> String {
    let mut d = Dump { p, out: String::new(), depth: 0, vars: Vec::new() };
    for flag in &p.params {
        d.line(&format!("param {}: {} = {}", flag.name, type_name(&flag.ty), flag.default));
    }
    for m in &p.maps {
        d.map(m);
    }
    for s in &p.streams {
        let fields: Vec<String> = s.fields.iter().map(|(n, t)| format!("{n}: {}", type_name(t))).collect();
        d.line(&format!("stream {}({})", s.name, fields.join(", ")));
    }
    for j in &p.joins {
        d.join(j);
    }
    for alert in &p.alerts {
        d.alert(alert);
    }
    for probe in &p.probes {
        d.probe(probe);
    }
    d.out
}

struct Dump<'p> {
    p: &'p Program,
    out: String,
    depth: usize,
    /// Names of the current probe's variables.
    vars: Vec<String>,
}

impl Dump<'_> {
    fn line(&mut self, text: &str) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn inside(&mut self, f: impl FnOnce(&mut Self)) {
        self.depth += 1;
        f(self);
        self.depth -= 1;
    }

    fn map(&mut self, m: &MapDef) {
        let key = m.key.as_ref().map_or(String::new(), |k| format!("[{}]", type_name(k)));
        let kind = m.kind.map_or(String::new(), |k| format!(" {k:?}({})", m.max_entries));
        let ttl = m.ttl_ns.map_or(String::new(), |ns| format!(" ttl {ns}"));
        let ring = m.ring.map_or(String::new(), |r| {
            format!(" {}window {} by {}", if r.only { "" } else { "and " }, r.window, r.bucket)
        });
        self.line(&format!("map @{}{key}: {}{kind}{ttl}{ring}", m.name, type_name(&m.value)));
    }

    fn join(&mut self, j: &JoinDef) {
        self.vars = Vec::new();
        let anchor = &self.p.streams[j.anchor.index()].name;
        self.line(&format!("join {} from {anchor}", j.name));
        self.inside(|d| {
            if let Some(f) = &j.filter {
                let f = d.expr(f);
                d.line(&format!("filter {f}"));
            }
            for (at, cond) in &j.total {
                let (at, cond) = (d.expr(at), cond.as_ref().map_or(String::new(), |c| format!(" if {}", d.expr(c))));
                d.line(&format!("total {at}{cond}"));
            }
            for id in &j.ids {
                let id = d.expr(id);
                d.line(&format!("id {id}"));
            }
            for l in &j.legs {
                let stream = &d.p.streams[l.stream.index()].name;
                let field = l.field.as_deref().map_or(String::new(), |f| format!(".{f}"));
                let since = l.since_ns.map_or(String::new(), |n| format!(" since {n}"));
                let text = format!(
                    "leg {}: {} = {:?}({stream}{field}) by {}{since} side {:?}{}",
                    l.name,
                    type_name(&l.ty),
                    l.agg,
                    l.by.join(" else "),
                    l.side,
                    if l.off { " off" } else { "" }
                );
                d.line(&text);
            }
            let blame: Vec<&str> = j.blame.iter().map(|b| j.legs[*b as usize].name.as_str()).collect();
            d.line(&format!("blame {}", blame.join(", ")));
            let keep = match &j.keep {
                Keep::All => "all".to_owned(),
                Keep::If(e) => d.expr(e),
                Keep::Slowest { count, per_ns } => format!("slowest {count} per {per_ns}"),
            };
            d.line(&format!("keep {keep}"));
            d.line(&format!("limit {}, {}; timeout {}", j.max_anchors, j.max_bytes, j.timeout_ns));
        });
    }

    fn alert(&mut self, a: &AlertDef) {
        let when = if a.condition.is_empty() { "told by blocks".into() } else { format!("when {}", a.condition) };
        self.line(&format!("alert {:?} {when}", a.name));
        self.inside(|d| {
            let on = if a.on_events { "events" } else { "time" };
            d.line(&format!("by {on} group [{}] for {} every {:?}", a.group.join(", "), a.for_ns, a.every_ns));
            for (name, value) in &a.labels {
                d.line(&format!("label {name} = {value:?}"));
            }
            for s in &a.sinks {
                d.line(&format!("to {} {:?} {:?}", s.kind, s.at, s.secret));
            }
        });
    }

    fn probe(&mut self, probe: &ProbeDef) {
        self.vars = probe.vars.iter().enumerate().map(|(i, v)| format!("${}.{i}", v.name)).collect();
        let names: Vec<&str> = probe.targets.iter().map(|t| t.name.as_str()).collect();
        self.line(&format!("probe {}", names.join(", ")));
        self.inside(|d| {
            for (i, v) in probe.vars.iter().enumerate() {
                d.line(&format!("var {}: {}", d.vars[i].clone(), type_name(&v.ty)));
            }
            if let Some(p) = &probe.predicate {
                let p = d.expr(p);
                d.line(&format!("where {p}"));
            }
            d.stmts(&probe.body);
        });
    }

    fn block(&mut self, b: &Block) {
        self.inside(|d| d.stmts(b));
    }

    fn stmts(&mut self, b: &Block) {
        for s in &b.stmts {
            self.stmt(s);
        }
        if let Some(tail) = &b.tail {
            let tail = self.expr(tail);
            self.line(&format!("=> {tail}"));
        }
    }

    fn stmt(&mut self, s: &Stmt) {
        let text = match &s.kind {
            StmtKind::Expr(e) => self.expr(e),
            StmtKind::SetVar { var, value } => format!("{} = {}", self.var(var.index()), self.expr(value)),
            StmtKind::SetMap { map, key, value } => {
                format!("{} = {}", self.element(map.index(), key.as_ref()), self.expr(value))
            }
            StmtKind::Aggregate { map, key, arg } => {
                let arg = arg.as_ref().map_or(String::new(), |a| self.expr(a));
                format!("{} <- ({arg})", self.element(map.index(), key.as_ref()))
            }
            StmtKind::AddMap { map, key, delta } => format!("{} += {delta}", self.element(map.index(), key.as_ref())),
            StmtKind::DeleteMap { map, key } => format!("delete {}", self.element(map.index(), key.as_ref())),
            StmtKind::If { .. }
            | StmtKind::While { .. }
            | StmtKind::ForRange { .. }
            | StmtKind::ForMap { .. }
            | StmtKind::Scope { .. }
            | StmtKind::Unroll { .. } => {
                return self.compound(&s.kind);
            }
            StmtKind::Break => "break".into(),
            StmtKind::Continue => "continue".into(),
            StmtKind::Return => "return".into(),
            StmtKind::Leave => "leave".into(),
            StmtKind::Action { action, args } => format!("{}({})", self.action(action), self.list(args)),
            StmtKind::Emit { stream, fields } => {
                format!("emit {}({})", self.p.streams[stream.index()].name, self.list(fields))
            }
        };
        self.line(&text);
    }

    fn compound(&mut self, kind: &StmtKind) {
        match kind {
            StmtKind::If { cond, then, otherwise } => {
                let cond = self.expr(cond);
                self.line(&format!("if {cond}"));
                self.block(then);
                if let Some(b) = otherwise {
                    self.line("else");
                    self.block(b);
                }
            }
            StmtKind::While { cond, body } => {
                let cond = self.expr(cond);
                self.line(&format!("while {cond}"));
                self.block(body);
            }
            StmtKind::ForRange { var, from, to, body } => {
                let text = format!("for {} : {} .. {}", self.var(var.index()), self.expr(from), self.expr(to));
                self.line(&text);
                self.block(body);
            }
            StmtKind::ForMap { var, map, body } => {
                let text = format!("for {} : {}", self.var(var.index()), self.element(map.index(), None));
                self.line(&text);
                self.block(body);
            }
            StmtKind::Scope { body } => {
                self.line("function");
                self.block(body);
            }
            StmtKind::Unroll { count, body } => {
                self.line(&format!("unroll {count}"));
                self.block(body);
            }
            _ => {}
        }
    }

    fn action(&self, a: &Action) -> String {
        match a {
            Action::Printf(f) => format!("printf {}", format_text(f)),
            Action::Log { level, format } => format!("log {level:?} {}", format_text(format)),
            Action::PrintValue => "print".into(),
            Action::PrintJoin => "print join".into(),
            Action::PrintMapValue { map } => format!("print element @{}", self.p.maps[map.index()].name),
            Action::PrintMap { map, top, div } => {
                format!("print map @{} top {top} div {div}", self.p.maps[map.index()].name)
            }
            Action::Clear { map } => format!("clear @{}", self.p.maps[map.index()].name),
            Action::Zero { map } => format!("zero @{}", self.p.maps[map.index()].name),
            Action::Time { fmt } => format!("time {fmt:?}"),
            Action::Exit => "exit".into(),
            Action::Join { separator } => format!("join {separator:?}"),
            Action::Capture(None) => "capture".into(),
            Action::Capture(Some(f)) => format!("capture {}", format_text(f)),
            Action::Cat(f) => format!("cat {}", format_text(f)),
            Action::System(f) => format!("system {}", format_text(f)),
            Action::Unwatch => "unwatch".into(),
            Action::Alert { alert, keys, message } => {
                let message = message.as_ref().map_or(String::new(), |f| format!(" {}", format_text(f)));
                format!("alert {alert} by {keys}{message}")
            }
            Action::AlertLooked { alert } => format!("alert {alert} looked"),
        }
    }

    fn var(&self, i: usize) -> String {
        self.vars.get(i).cloned().unwrap_or_else(|| format!("$?{i}"))
    }

    fn element(&self, map: usize, key: Option<&Expr>) -> String {
        let name = &self.p.maps[map].name;
        key.map_or(format!("@{name}"), |k| format!("@{name}[{}]", self.expr(k)))
    }

    fn list(&self, items: &[Expr]) -> String {
        items.iter().map(|i| self.expr(i)).collect::<Vec<_>>().join(", ")
    }

    fn expr(&self, e: &Expr) -> String {
        match &e.kind {
            ExprKind::Int(n) => format!("{n}:{}", type_name(&e.ty)),
            ExprKind::Str(s) => format!("{s:?}"),
            ExprKind::Var(v) => self.var(v.index()),
            ExprKind::MapGet { map, key } => self.element(map.index(), key.as_deref()),
            ExprKind::Rate { map, key, window_ns } => {
                format!("rate({}, {window_ns})", self.element(map.index(), key.as_deref()))
            }
            ExprKind::HasKey { map, key } => format!("has_key {}", self.element(map.index(), Some(key))),
            ExprKind::MapLen(m) => format!("len @{}", self.p.maps[m.index()].name),
            ExprKind::Unary { op, expr } => format!("{}({})", op.symbol(), self.expr(expr)),
            ExprKind::Binary { op, left, right } => {
                format!("({} {} {})", self.expr(left), operator(*op), self.expr(right))
            }
            ExprKind::Logical { and, left, right } => {
                format!("({} {} {})", self.expr(left), if *and { "&&" } else { "||" }, self.expr(right))
            }
            ExprKind::StrEq { left, right, len, equal } => {
                format!("({} {}[{len}] {})", self.expr(left), if *equal { "==" } else { "!=" }, self.expr(right))
            }
            ExprKind::Cond { cond, then, otherwise } => {
                format!("({} ? {} : {})", self.expr(cond), self.expr(then), self.expr(otherwise))
            }
            ExprKind::Coalesce { left, right } => format!("({} ?? {})", self.expr(left), self.expr(right)),
            ExprKind::Cast(inner) => format!("({}){}", typed(e), self.expr(inner)),
            ExprKind::Tuple(items) => format!("({})", self.list(items)),
            ExprKind::Record(items) => {
                let items: Vec<String> = items.iter().map(|(n, i)| format!("{n}={}", self.expr(i))).collect();
                format!("({})", items.join(", "))
            }
            ExprKind::Call { func, args } => format!("{func:?}({}):{}", self.list(args), type_name(&e.ty)),
            ExprKind::Block(b) => self.inline_block(b),
            ExprKind::IncVar { var, delta, prefix } => step(&self.var(var.index()), *delta, *prefix),
            ExprKind::IncMap { map, key, delta, prefix } => {
                step(&self.element(map.index(), key.as_deref()), *delta, *prefix)
            }
            _ => self.leaf(e),
        }
    }

    fn leaf(&self, e: &Expr) -> String {
        let ty = type_name(&e.ty);
        match &e.kind {
            ExprKind::Field { base, name, offset, bits } => {
                let bits = bits.map_or(String::new(), |(at, n)| format!(":{at}+{n}"));
                format!("{}.{name}@{offset}{bits}:{ty}", self.expr(base))
            }
            ExprKind::Deref(p) => format!("*({})", self.expr(p)),
            ExprKind::Index { base, index } => format!("{}[{}]", self.expr(base), self.expr(index)),
            ExprKind::PtrAdd { ptr, count } => format!("({} +ptr {})", self.expr(ptr), self.expr(count)),
            ExprKind::TupleField { base, index } => format!("{}.{index}", self.expr(base)),
            ExprKind::AddrOf(p) => format!("&({})", self.expr(p)),
            ExprKind::TraceArg { field, offset, data_loc } => {
                format!("args.{field}@{offset}{}:{ty}", if *data_loc { " data_loc" } else { "" })
            }
            ExprKind::Arg(n) => format!("arg{n}:{ty}"),
            ExprKind::Retval => format!("retval:{ty}"),
            ExprKind::Reg { offset } => format!("reg@{offset}"),
            ExprKind::Packet(name) => format!("{name}:{ty}"),
            ExprKind::Header { headers, name } => format!("{}[{name:?}]", self.expr(headers)),
            ExprKind::Anchor { field } => format!("anchor.{field}:{ty}"),
            ExprKind::LegValue { leg } => format!("leg{leg}:{ty}"),
            ExprKind::LegPart { leg, part } => format!("leg{leg}.{part:?}"),
            ExprKind::LegField { leg, field } => format!("leg{leg}.{field}:{ty}"),
            ExprKind::JoinPart(part) => format!("{part:?}"),
            ExprKind::Bytes(b) => format!("{b:?}"),
            ExprKind::NetMatch { addr, family, net, prefix, equal } => {
                let n = if *family == 2 { 4 } else { 16 };
                format!("({} {} {:?}/{prefix})", self.expr(addr), if *equal { "in" } else { "not in" }, &net[..n])
            }
            _ => String::new(),
        }
    }

    /// A block expression on one line.
    fn inline_block(&self, b: &Block) -> String {
        let mut inner = Dump { p: self.p, out: String::new(), depth: 0, vars: self.vars.clone() };
        inner.stmts(b);
        let lines: Vec<&str> = inner.out.lines().map(str::trim).collect();
        format!("{{ {} }}", lines.join("; "))
    }
}

/// A cast's type; pointers with where they point.
fn typed(e: &Expr) -> String {
    match &e.ty {
        crate::hir::Ty::Ptr { space, .. } => format!("{}@{space:?}", type_name(&e.ty)),
        other => type_name(other),
    }
}

fn step(place: &str, delta: i64, prefix: bool) -> String {
    if prefix { format!("({place} += {delta})") } else { format!("({place} then += {delta})") }
}

fn format_text(f: &Format) -> String {
    let mut out = String::new();
    for piece in &f.pieces {
        match piece {
            Piece::Text(t) => out.push_str(&t.replace('%', "%%")),
            Piece::Arg { spec, .. } => {
                out.push('%');
                for (on, c) in
                    [(spec.minus, '-'), (spec.plus, '+'), (spec.space, ' '), (spec.alternate, '#'), (spec.zero, '0')]
                {
                    if on {
                        out.push(c);
                    }
                }
                if let Some(w) = spec.width {
                    let _ = write!(out, "{w}");
                }
                if let Some(p) = spec.precision {
                    let _ = write!(out, ".{p}");
                }
                if let Some(n) = spec.length {
                    out.push_str(match n {
                        1 => "hh",
                        2 => "h",
                        _ => "l",
                    });
                }
                out.push_str(match spec.conv {
                    'R' => "rx",
                    'H' => "rh",
                    'g' => "gr",
                    _ => "",
                });
                if !matches!(spec.conv, 'R' | 'H' | 'g') {
                    out.push(spec.conv);
                }
            }
        }
    }
    format!("{out:?}")
}
