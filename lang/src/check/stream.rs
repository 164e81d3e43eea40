//! Streams: typed records that blocks emit and joins read. The first emit gives the fields, all others must agree.

use super::cx::{ArgsCx, Checker};
use super::ident::Part;
use super::keys;
use super::types::{Open, int_shape, join, show};
use super::value::{Val, coerce};
use crate::ast::{self, Ident};
use crate::diag::Diagnostic;
use crate::hir::{ExprKind, StmtKind, StreamDef, StreamRef, Ty};
use crate::span::Span;

#[derive(Clone, Debug)]
pub(crate) struct StreamInfo {
    pub(crate) name: String,
    pub(crate) fields: Vec<(String, Open)>,
    pub(crate) span: Span,
    /// Some attached probe emits it.
    pub(crate) fed: bool,
    /// All that emit it are switched off by an empty flag.
    pub(crate) off: bool,
    /// Where its `conn` is of neither end, as packets have it.
    pub(crate) endless: Option<Span>,
}

/// All streams, in order of first appearance.
#[derive(Debug, Default)]
pub(crate) struct StreamTable {
    pub(crate) streams: Vec<StreamInfo>,
}

impl StreamTable {
    pub(crate) fn find(&self, name: &str) -> Option<StreamRef> {
        self.streams.iter().position(|s| s.name == name).map(|i| StreamRef(i as u32))
    }

    pub(crate) fn get(&self, stream: StreamRef) -> &StreamInfo {
        &self.streams[stream.index()]
    }

    pub(crate) fn defs(&self) -> Vec<StreamDef> {
        self.streams
            .iter()
            .map(|s| StreamDef {
                name: s.name.clone(),
                fields: s
                    .fields
                    .iter()
                    .map(|(n, o)| (n.clone(), if o.ty == Ty::Error { Ty::I64 } else { o.ty.clone() }))
                    .collect(),
                span: s.span,
            })
            .collect()
    }
}

/// Fields that mean the same in every stream. Times and durations are ns since boot.
fn fixed_type(field: &str) -> Option<Ty> {
    match field {
        "start" | "end" | "dur" => Some(Ty::U64),
        _ => keys::row_named(field).filter(|key| key.firm).map(|key| key.ty.clone()),
    }
}

/// A packet's connection, as both ends see it.
fn is_endless(value: &Val) -> bool {
    matches!(&value.e.kind, ExprKind::Packet(field) if field == "tcp.conn")
}

impl<'a> Checker<'a> {
    /// `emit name(field=e, …)`
    pub(crate) fn emit(&mut self, stream: &'a Ident, fields: &'a [(Ident, ast::Expr)]) -> Option<StmtKind> {
        if stream.text == keys::NAT {
            let text = format!("the records of {} are read from the kernel's table of connections", stream.text);
            self.report(Diagnostic::error("own-stream", stream.span, text).write("emit binding.mine(…)"));
            return None;
        }
        let mut values: Vec<(&'a Ident, Val)> = Vec::new();
        for (name, e) in fields {
            if values.iter().any(|(n, _)| n.text == name.text) {
                // The parser has said so.
                continue;
            }
            let v = self.expr(e);
            let v = self.agg_as_number(v);
            let v = self.field_value(name, v);
            self.is_small_enough(&v.e.ty, v.e.span);
            values.push((name, v));
        }
        let endless = values.iter().find(|(n, v)| n.text == "conn" && is_endless(v)).map(|(_, v)| v.e.span);
        let fed = !matches!(self.probe.args, ArgsCx::Ghost);
        let off = self.off.contains(&self.probe.span);
        let Some(at) = self.streams.find(&stream.text) else {
            let fields = values.iter().map(|(n, v)| (n.text.clone(), v.open())).collect();
            let (name, span) = (stream.text.clone(), stream.span);
            self.streams.streams.push(StreamInfo { name, fields, span, fed, off, endless });
            self.changed = true;
            return None;
        };
        let info = &mut self.streams.streams[at.index()];
        info.fed |= fed;
        info.off &= off;
        info.endless = info.endless.or(endless);
        self.same_fields(at, &values, stream.span)?;
        let mut out = Vec::new();
        for i in 0..self.streams.get(at).fields.len() {
            let (name, old) = self.streams.get(at).fields[i].clone();
            let (_, v) = values.iter().find(|(n, _)| n.text == name)?;
            let Some(joined) = join(&old, &v.open()) else {
                let first = self.streams.get(at).span;
                let d = Diagnostic::error(
                    "type-mismatch",
                    v.e.span,
                    format!("{}.{name} is {}, this is {}", stream.text, show(&old.ty), show(&v.e.ty)),
                )
                .other(first, "first emitted here");
                self.report(d);
                return None;
            };
            if joined != old {
                self.streams.streams[at.index()].fields[i].1 = joined.clone();
                self.changed = true;
            }
            let e = coerce(v.e.clone(), &joined.ty);
            out.push(e);
        }
        Some(StmtKind::Emit { stream: at, fields: out })
    }

    /// A field's value, with the type that its name asks for.
    fn field_value(&mut self, name: &Ident, v: Val) -> Val {
        if v.is_error() {
            // Of a probe that is not attached little is known; what the name says is.
            let by_name = || keys::row_named(&name.text).map(|key| key.ty.clone()).filter(|ty| int_shape(ty).is_some());
            return match fixed_type(&name.text).or_else(by_name) {
                Some(ty) => Val::new(v.e.kind, ty, v.e.span),
                None => v,
            };
        }
        if matches!(v.e.ty, Ty::Void | Ty::KStack { .. } | Ty::UStack { .. } | Ty::DwStack { .. } | Ty::Time { .. }) {
            self.error("bad-field", v.e.span, format!("a stream cannot carry {}", show(&v.e.ty)));
            return Val::error(v.e.span);
        }
        if name.text == "conn" && v.e.ty != Ty::Conn {
            let d =
                Diagnostic::error("bad-field", v.e.span, format!("conn is a connection, this is {}", show(&v.e.ty)))
                    .write("conn=conn(sk) in the kernel, conn=tcp.conn for packets");
            self.report(d);
            return Val::error(v.e.span);
        }
        match fixed_type(&name.text) {
            Some(ty) if int_shape(&v.e.ty).is_some() => {
                let e = coerce(v.e, &ty);
                Val { flex: super::types::Flex::No, ..Val::new(e.kind, e.ty, e.span) }
            }
            Some(Ty::Conn) => v,
            Some(_) => {
                self.error("bad-field", v.e.span, format!("{} is a number, this is {}", name.text, show(&v.e.ty)));
                Val::error(v.e.span)
            }
            // Such a name may mean something else: as an integer it is the key.
            None => match keys::row_named(&name.text) {
                Some(key) if int_shape(&key.ty).is_some() && int_shape(&v.e.ty).is_some() => {
                    let e = coerce(v.e, &key.ty);
                    Val { flex: super::types::Flex::No, ..Val::new(e.kind, e.ty, e.span) }
                }
                _ => v,
            },
        }
    }

    fn same_fields(&mut self, at: StreamRef, values: &[(&Ident, Val)], span: Span) -> Option<()> {
        let info = self.streams.get(at);
        let has: Vec<&str> = info.fields.iter().map(|(n, _)| n.as_str()).collect();
        let missing: Vec<&str> = has.iter().copied().filter(|n| !values.iter().any(|(v, _)| v.text == *n)).collect();
        let extra: Vec<&str> = values.iter().map(|(n, _)| n.text.as_str()).filter(|n| !has.contains(n)).collect();
        if missing.is_empty() && extra.is_empty() {
            return Some(());
        }
        let mut d =
            Diagnostic::error("stream-fields", span, format!("all emits of {} must have the same fields", info.name))
                .other(info.span, format!("first emitted here, with {}", has.join(", ")));
        if !missing.is_empty() {
            d = d.note(format!("missing here: {}", missing.join(", ")));
        }
        if !extra.is_empty() {
            d = d.note(format!("only here: {}", extra.join(", ")));
        }
        if keys::is_binding(&info.name) {
            d = d.write(format!("another binding has a name of its own: emit {}.mine(…)", info.name));
        }
        self.report(d);
        None
    }

    /// The field that the first words of a path name (`conn.opened` may be a field `conn_opened`), and how many words.
    pub(crate) fn stream_field(&self, stream: StreamRef, path: &[Part<'_>]) -> Option<(String, Ty, usize)> {
        let fields = &self.streams.get(stream).fields;
        for n in (1..=path.len()).rev() {
            let words: Vec<&str> = path[..n].iter().map(|p| p.text).collect();
            let named = [words.join("."), words.join("_")];
            if let Some((name, open)) = fields.iter().find(|(f, _)| named.contains(f)) {
                // `conn.opened` where the record has `conn` and `opened`: what a record says of its connection.
                let own = path.get(n).filter(|_| open.ty == Ty::Conn && n == 1);
                if let Some((name, open)) = own.and_then(|own| fields.iter().find(|(f, _)| f == own.text)) {
                    return Some((name.clone(), open.ty.clone(), 2));
                }
                return Some((name.clone(), open.ty.clone(), n));
            }
        }
        None
    }

    pub(crate) fn unknown_stream(&self, code: &'static str, name: &str, span: Span, message: String) -> Diagnostic {
        let mut d = Diagnostic::error(code, span, message);
        let known: Vec<&str> = self.items.streams.keys().map(String::as_str).collect();
        let near = crate::suggest::nearest(name, known.iter().copied(), 3);
        if !near.is_empty() {
            d = d.near(near.join(", "));
        } else if known.is_empty() {
            d = d.note("no probe emits any stream: import a module (import \"std/http\") or write an `emit`");
        } else {
            d = d.note(format!("streams here: {}", known.join(", ")));
        }
        d
    }

    /// A field of the anchor or of a leg's record.
    pub(crate) fn record_field(
        &mut self,
        stream: &str,
        path: &[Part<'a>],
        span: Span,
        make: impl FnOnce(String) -> ExprKind,
    ) -> Val {
        let Some(at) = self.streams.find(stream) else { return Val::error(span) };
        let Some((field, ty, used)) = self.stream_field(at, path) else {
            if let Some(ident) = path.first().and_then(|p| p.ident) {
                let names: Vec<String> = self.streams.get(at).fields.iter().map(|(n, _)| n.clone()).collect();
                self.unknown_name(&format!("the stream {stream}"), ident, &names);
            }
            return Val::error(span);
        };
        let v = Val::new(make(field), ty, span);
        self.rest_of(v, &path[used..], span)
    }
}
