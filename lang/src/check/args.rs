//! `args`, `argN`, `retval`: what a probe's event brings.

use super::cx::{ArgsCx, Checker};
use super::places::in_space;
use super::providers::ProviderKind;
use super::types::{is_char, show};
use super::value::Val;
use crate::abi;
use crate::ast::{self, Ident};
use crate::diag::Diagnostic;
use crate::hir::{ExprKind, Provider, Space, Ty};
use crate::span::Span;
use crate::world::{Answer, FnProto, TraceField, UsdtArg, UsdtPlace};
use weftrace_arch::HOST;

impl<'a> Checker<'a> {
    /// `args.name`
    pub(crate) fn args_field(&mut self, name: &'a Ident, span: Span) -> Val {
        match self.probe.args.clone() {
            ArgsCx::Trace(event) => {
                if let Some(field) = event.fields.iter().find(|f| f.name == name.text) {
                    self.trace_field(field, span)
                } else {
                    let owner = format!("tracepoint {}:{}", event.category, event.name);
                    let names: Vec<String> = event
                        .fields
                        .iter()
                        .filter(|f| !f.name.starts_with("common_"))
                        .map(|f| f.name.clone())
                        .collect();
                    self.unknown_name(&owner, name, &names);
                    Val::error(span)
                }
            }
            ArgsCx::Fn(proto) => {
                if let Some(i) = proto.params.iter().position(|p| p.name == name.text) {
                    self.fn_arg(&proto, i, span)
                } else {
                    if !self.field_of_tracepoint(&proto, name) {
                        let names: Vec<String> = proto.params.iter().map(|p| p.name.clone()).collect();
                        self.unknown_name(&signature(&proto, self.probe.row.name), name, &names);
                    }
                    Val::error(span)
                }
            }
            ArgsCx::User(proto) => {
                if let Some(param) = proto.params.iter().find(|p| p.name == name.text) {
                    self.user_arg(param, span)
                } else {
                    let names: Vec<String> = proto.params.iter().map(|p| p.name.clone()).collect();
                    self.unknown_name(&super::user::signature(&proto, self.probe.row.name), name, &names);
                    Val::error(span)
                }
            }
            ArgsCx::Join(join, event) => self.join_args_field(join, event, name, span),
            ArgsCx::None | ArgsCx::Ctx(_) | ArgsCx::Unknown | ArgsCx::Ghost | ArgsCx::Withheld(_) => {
                self.no_args(span);
                Val::error(span)
            }
        }
    }

    /// A function's argument that is none, but a field of the tracepoint of the same name: reports it.
    fn field_of_tracepoint(&mut self, proto: &FnProto, name: &Ident) -> bool {
        let Answer::Found(events) = self.world.tracepoints("*", &proto.name) else { return false };
        let has = |event: &&String| {
            let Some((category, event)) = event.split_once(':') else { return false };
            let found = self.world.tracepoint(category, event);
            matches!(found, Answer::Found(t) if t.fields.iter().any(|f| f.name == name.text))
        };
        let Some(event) = events.iter().find(has) else { return false };
        let owner = signature(proto, self.probe.row.name);
        let d = Diagnostic::error("unknown-field", name.span, format!("{owner} has no field {}", name.text))
            .note(format!("{} is a field of the tracepoint, not an argument of the function", name.text))
            .write(format!("tracepoint:{event} {{ … args.{} … }}", name.text));
        self.report(d);
        true
    }

    fn trace_field(&mut self, field: &TraceField, span: Span) -> Val {
        let space = self.probe.space;
        let ty = match &field.ty {
            Ty::Array { elem, .. } if field.data_loc && is_char(elem) => Ty::Str { cap: self.config.max_strlen },
            other => in_space(other.clone(), space),
        };
        let kind = ExprKind::TraceArg { field: field.name.clone(), offset: field.offset, data_loc: field.data_loc };
        Val::new(kind, ty, span).with_space(space)
    }

    /// `args` as a whole: a record of all of them.
    pub(crate) fn args_value(&mut self, span: Span) -> Val {
        let fields: Vec<(String, Val)> = match self.probe.args.clone() {
            ArgsCx::Trace(event) => event
                .fields
                .iter()
                .filter(|f| !f.name.starts_with("common_") && f.name != "__syscall_nr")
                .map(|f| (f.name.clone(), self.trace_field(f, span)))
                .collect(),
            ArgsCx::Fn(proto) => {
                (0..proto.params.len()).map(|i| (proto.params[i].name.clone(), self.fn_arg(&proto, i, span))).collect()
            }
            ArgsCx::User(proto) => self.all_user_args(&proto, span),
            ArgsCx::Join(join, event) => return self.join_args(join, event, span),
            ArgsCx::None | ArgsCx::Ctx(_) | ArgsCx::Unknown | ArgsCx::Ghost | ArgsCx::Withheld(_) => {
                self.no_args(span);
                return Val::error(span);
            }
        };
        let fields: Vec<(String, Val)> = fields.into_iter().map(|(n, v)| (n, self.go_value(decay(v)))).collect();
        let ty = Ty::Record(fields.iter().map(|(n, v)| (n.clone(), v.e.ty.clone())).collect());
        Val::new(ExprKind::Record(fields.into_iter().map(|(n, v)| (n, v.e)).collect()), ty, span)
    }

    /// Parameter `i`; where structs by value take several words, its first word.
    fn fn_arg(&self, proto: &FnProto, i: usize, span: Span) -> Val {
        let ty = in_space(proto.params[i].ty.clone(), Space::Kernel);
        let word = match self.probe.kind() {
            ProviderKind::Fentry | ProviderKind::Fexit => {
                proto.params[..i].iter().map(|p| self.argument_words(&p.ty)).sum()
            }
            ProviderKind::Kprobe => {
                let registers = abi::registers(HOST, &abi::sizes(self.world, proto));
                let register = registers.iter().position(|r| *r == Some((i, 0)));
                // Those that are not in registers are numbered after them, by their places in the prototype.
                register.unwrap_or(registers.len() + i) as u32
            }
            _ => i as u32,
        };
        Val::new(ExprKind::Arg(word), ty, span).with_space(Space::Kernel)
    }

    fn no_args(&mut self, span: Span) {
        let row = self.probe.row;
        let name = self.probe.name().to_owned();
        let d = Diagnostic::error("no-args", span, format!("{name} has no args"));
        let d = match self.probe.kind() {
            ProviderKind::Kretprobe => {
                d.note("at the return only `retval` is there; keep what you need at the entry: kprobe … { @x[tid] = args.NAME; }")
            }
            ProviderKind::Uretprobe => d.note("at the return only `retval` is there; keep what you need at the entry: @x[tid] = arg0"),
            ProviderKind::Uprobe => match &self.probe.args {
                ArgsCx::Withheld(why) => d.note(why.clone()).write("arg0, arg1, … with casts"),
                _ => d
                    .note("names of parameters are known at a function's first instruction, if its program has debug information (-g, a -dbg package, --debuginfo DIR)")
                    .write("arg0, arg1, … with casts"),
            },
            ProviderKind::Usdt => d.note("a marker's arguments have no names").write("arg0, arg1, …"),
            ProviderKind::Kprobe | ProviderKind::RawTracepoint => {
                d.note("its parameters are not known by name here (no BTF for it)").write("arg0, arg1, … with casts")
            }
            ProviderKind::Exchange => d.note("an exchange's fields have their own names: http.exchange.uri, ip.src, …"),
            ProviderKind::Span => d.note("a span's fields have their own names: span.name, span.attribute[\"…\"], …"),
            ProviderKind::Log => d.note("a log record's fields have their own names: log.body, log.severity, …"),
            ProviderKind::Pcap => d.note("a packet's fields have their own names: ip.src, tcp.srcport, …"),
            _ => d.note(format!("{} brings no data of its own", row.name)),
        };
        self.report(d);
    }

    /// `arg0`, `arg1` …
    pub(crate) fn arg_n(&mut self, n: u32, span: Span) -> Val {
        let row = self.probe.row;
        let most = if self.go().is_some() && row.argn > 0 { super::golang::MOST_WORDS } else { row.argn };
        if n >= most {
            let d = Diagnostic::error("no-args", span, format!("{} has no arg{n}", self.probe.name()));
            let d = match (&self.probe.args, row.argn) {
                (ArgsCx::Trace(event), _) => {
                    let names: Vec<&str> = event
                        .fields
                        .iter()
                        .map(|f| f.name.as_str())
                        .filter(|f| !f.starts_with("common_"))
                        .take(12)
                        .collect();
                    d.write(format!("args.NAME: {}", names.join(", ")))
                }
                (ArgsCx::Fn(proto), 0) => {
                    let names: Vec<&str> = proto.params.iter().map(|p| p.name.as_str()).collect();
                    d.write(format!("args.NAME: {}", names.join(", ")))
                }
                (_, 0) if row.retval => d.note("at the return only `retval` is there"),
                (_, 0) => d,
                (_, most) => d.note(format!("arguments in registers: arg0 to arg{}", most - 1)),
            };
            self.report(d);
            return Val::error(span);
        }
        if !self.go_arg_n(n, span) {
            return Val::error(span);
        }
        let space = self.probe.space;
        let ty = if self.probe.kind() == ProviderKind::Usdt { self.marker_arg(n, span) } else { Ty::U64 };
        Val::new(ExprKind::Arg(n), ty, span).with_space(space)
    }

    /// The type of a marker's argument: signed if it is so wherever the marker is. Where one has fewer arguments it is 0 there.
    fn marker_arg(&mut self, n: u32, span: Span) -> Ty {
        let sites = self.probe.targets.iter().filter_map(|t| match &t.provider {
            Provider::Usdt { sites, .. } => Some(sites),
            _ => None,
        });
        let all: Vec<&UsdtArg> = sites.flatten().filter_map(|s| s.args.get(n as usize)).collect();
        let unreadable = all.iter().find_map(|a| match &a.place {
            UsdtPlace::Unreadable(text) => Some(text.clone()),
            _ => None,
        });
        let signed = !all.is_empty() && all.iter().all(|a| a.signed);
        let missing = all.is_empty() && !self.probe.targets.is_empty();
        let name = self.probe.name().to_owned();
        if missing {
            self.error("no-args", span, format!("{name} has no arg{n}"));
            return Ty::Error;
        }
        if let Some(text) = unreadable {
            let d = Diagnostic::error("no-args", span, format!("arg{n} of {name} is where a program can't read it"))
                .note(format!("the file says `{text}`: floating point and vector registers are not handed over"));
            self.report(d);
            return Ty::Error;
        }
        if signed { Ty::I64 } else { Ty::U64 }
    }

    pub(crate) fn retval(&mut self, span: Span) -> Val {
        if !self.probe.row.retval {
            let mut d = Diagnostic::error("no-retval", span, format!("{} has no retval", self.probe.name()));
            d = match self.probe.kind() {
                ProviderKind::Kprobe => d.note("it fires at the entry; use kretprobe"),
                ProviderKind::Fentry => d.note("it fires at the entry; use fexit"),
                ProviderKind::Uprobe => d.note("it fires at the entry; use uretprobe"),
                ProviderKind::Tracepoint => match &self.probe.args {
                    ArgsCx::Trace(event) if event.fields.iter().any(|f| f.name == "ret") => d.write("args.ret"),
                    _ => d.note("a tracepoint returns nothing; a function's value is known at its return: kretprobe:FUNCTION { retval }"),
                },
                _ => d,
            };
            self.report(d);
            return Val::error(span);
        }
        if self.at_go_return() {
            return self.go_retval(span);
        }
        let space = self.probe.space;
        let ty = match (self.probe.kind(), &self.probe.args) {
            (ProviderKind::Fexit, ArgsCx::Fn(proto)) => in_space(proto.ret.clone(), Space::Kernel),
            (ProviderKind::Uretprobe, _) => self.user_retval().filter(Ty::is_int).unwrap_or(Ty::I64),
            _ => Ty::I64,
        };
        if ty == Ty::Void {
            let name = self.probe.name().to_owned();
            self.error("no-retval", span, format!("{name} has no retval: the function returns nothing"));
            return Val::error(span);
        }
        Val::new(ExprKind::Retval, ty, span).with_space(space)
    }

    /// `retval` where it is followed: a pointer, if the function's debug information says so. Alone it is a number.
    pub(crate) fn followed_retval(&mut self, e: &ast::Expr) -> Option<Val> {
        let is_retval = matches!(&e.kind, ast::ExprKind::Ident(name) if name == "retval");
        if !is_retval || self.probe.kind() != ProviderKind::Uretprobe || self.bound_expr("retval").is_some() {
            return None;
        }
        let ty = self.user_retval().filter(|ty| matches!(ty, Ty::Ptr { .. }))?;
        Some(Val::new(ExprKind::Retval, ty, e.span).with_space(Space::User))
    }
}

fn decay(mut v: Val) -> Val {
    if let Some(text) = super::ctypes::decayed(&v.e.ty) {
        v.e.ty = text;
    }
    v
}

/// `kprobe:tcp_v4_connect(sk: struct sock *, addr_len: int32)`
pub(crate) fn signature(proto: &FnProto, provider: &str) -> String {
    let params: Vec<String> = proto.params.iter().map(|p| format!("{}: {}", p.name, show(&p.ty))).collect();
    format!("{provider}:{}({})", proto.name, params.join(", "))
}
