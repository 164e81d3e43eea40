//! Actions: records that user space acts on.

use super::{
    control::has_effect,
    cx::{Cx, R},
    layout::{in_register, width},
    maps::map_id,
    mem::{Mem, Remote},
};
use crate::{
    ir::{BinaryOp, Cond, Value},
    place::{
        printed,
        walk::{self, Node},
    },
};
use weftrace_artifact::{
    action::{self, ActionId, ActionKind, Conv, StreamId},
    ty::Type,
};
use weftrace_lang::{
    hir::{self, Action, BinOp, Expr, ExprKind as E, StreamRef, Ty},
    span::Span,
    syntax::string_bytes,
};

/// `join()`: at most this many strings of this many bytes.
const JOIN_STRINGS: u32 = 16;
const JOIN_CAP: u32 = 256;

impl Cx<'_, '_> {
    pub(crate) fn action(&mut self, action: &Action, args: &[Expr], span: Span) -> R<()> {
        let kind = match action {
            Action::Printf(f) => ActionKind::Printf(pieces(f)),
            Action::Log { level, format } => ActionKind::Log { level: log_level(*level), format: pieces(format) },
            Action::PrintValue => ActionKind::PrintValue,
            Action::PrintJoin => ActionKind::PrintJoin,
            Action::PrintMapValue { map } => return self.print_element(*map, args, span),
            Action::PrintMap { map, top, div } => {
                return self.send(ActionKind::PrintMap { map: map_id(*map), top: *top, div: *div }, span);
            }
            Action::Clear { map } => return self.send(ActionKind::Clear { map: map_id(*map) }, span),
            Action::Zero { map } => return self.send(ActionKind::Zero { map: map_id(*map) }, span),
            Action::Time { fmt } => return self.send(ActionKind::Time { fmt: fmt.clone() }, span),
            Action::Exit => return self.exit(args, span),
            Action::Join { separator } => return self.join_strings(separator, args, span),
            Action::Capture(comment) => {
                self.m.packet_needs |= weftrace_artifact::packet::needs::PAYLOAD;
                ActionKind::Capture { comment: comment.as_ref().map(pieces) }
            }
            Action::Cat(f) => ActionKind::Cat(pieces(f)),
            Action::System(f) => ActionKind::System(pieces(f)),
            Action::Unwatch => ActionKind::Unwatch,
            Action::Alert { alert, keys, message } => {
                ActionKind::Alert { alert: *alert, keys: *keys, message: message.as_ref().map(pieces) }
            }
            Action::AlertLooked { alert } => ActionKind::AlertLooked { alert: *alert },
        };
        self.send_args(kind, args, span)
    }

    /// A record without arguments.
    pub(crate) fn send(&mut self, kind: ActionKind, span: Span) -> R<()> {
        self.send_args(kind, &[], span)
    }

    fn send_args(&mut self, kind: ActionKind, args: &[Expr], span: Span) -> R<()> {
        let mut types = Vec::with_capacity(args.len());
        for a in args {
            types.push(self.layout(&a.ty, a.span)?);
        }
        let id = self.m.action(kind, types, span);
        let tys: Vec<Ty> = args.iter().map(|a| a.ty.clone()).collect();
        self.record(id, &args.iter().collect::<Vec<_>>(), &tys)
    }

    /// `emit stream(…)`
    pub(crate) fn emit(&mut self, stream: StreamRef, fields: &[Expr], span: Span) -> R<()> {
        let id = self.m.emit_action(StreamId(stream.0), span);
        let tys: Vec<Ty> = self.m.program.streams[stream.index()].fields.iter().map(|(_, t)| t.clone()).collect();
        self.record(id, &fields.iter().collect::<Vec<_>>(), &tys)
    }

    /// Reserves a record, writes the arguments as `tys`, and sends it. Numbers are computed before the record is reserved; what lives in
    /// memory is written straight into it, unless some argument changes what another reads.
    fn record(&mut self, id: ActionId, args: &[&Expr], tys: &[Ty]) -> R<()> {
        enum Ready {
            Number(Value),
            Copied(Mem),
            Direct,
        }
        let effects = args.iter().any(|a| has_effect(a) || may_warn(a));
        let mut ready = Vec::with_capacity(args.len());
        for (a, ty) in args.iter().zip(tys) {
            ready.push(if in_register(ty) {
                Ready::Number(self.scalar_as(a, ty)?)
            } else if effects {
                let size = self.size_of(ty, a.span)?;
                let m = self.temp(size);
                self.into(a, m, ty, false)?;
                Ready::Copied(m)
            } else {
                Ready::Direct
            });
        }
        let done = self.block();
        let record = self.reserve_or(id, done);
        let offsets: Vec<u32> = self.m.actions[id.0 as usize].args.iter().map(|f| f.offset).collect();
        for (((a, ty), ready), offset) in args.iter().zip(tys).zip(ready).zip(offsets) {
            let dst = record.at(offset);
            match ready {
                Ready::Number(v) => self.store(width(ty).0, v, dst),
                Ready::Copied(m) => {
                    let size = self.size_of(ty, a.span)?;
                    self.copy(dst, m, size);
                }
                Ready::Direct => self.into(a, dst, ty, true)?,
            }
        }
        self.b.submit(record.ptr);
        self.jump(done);
        self.start(done);
        Ok(())
    }

    /// `print(@m[k])`: the key, and the value unless it is an aggregate, which user space adds up over the CPUs.
    fn print_element(&mut self, map: hir::MapRef, args: &[Expr], span: Span) -> R<()> {
        let aggregate = matches!(self.m.program.maps[map.index()].value, Ty::Agg(_));
        let has_key = self.m.program.maps[map.index()].key.is_some();
        if let (Some(probe), Some(key)) = (self.probe, args.first())
            && printed::sends_value(self.m.program, probe, map)
            && !key.ty.holds_sample()
        {
            return self.print_read(map, key, span);
        }
        let keep = if aggregate { usize::from(has_key) } else { args.len() };
        let args = &args[..keep.min(args.len())];
        if let Some(key) = args.first().filter(|key| has_key && key.ty.holds_sample()) {
            return Self::not_answered(key.span);
        }
        // The key as the map has it, so that user space can look it up.
        let mut tys: Vec<Ty> = args.iter().map(|a| a.ty.clone()).collect();
        if let (Some(key), Some(first)) = (&self.m.program.maps[map.index()].key, tys.first_mut()) {
            *first = key.clone();
        }
        let mut types = Vec::with_capacity(tys.len());
        for (ty, a) in tys.iter().zip(args) {
            types.push(self.layout(ty, a.span)?);
        }
        let id = self.m.action(ActionKind::PrintMapValue { map: map_id(map) }, types, span);
        self.record(id, &args.iter().collect::<Vec<_>>(), &tys)
    }

    /// The same of an aggregate's element that the block may delete before user space comes to the record: the value goes with it, as one CPU's part.
    fn print_read(&mut self, map: hir::MapRef, key: &Expr, span: Span) -> R<()> {
        let def = &self.m.program.maps[map.index()];
        let (Ty::Agg(agg), Some(key_ty)) = (&def.value, &def.key) else {
            return self.not_yet(span, "this map's value as numbers");
        };
        let size = self.m.maps[map.index()].value.size();
        let at = self.key(map, Some(key), span)?;
        let value = self.temp(size);
        if let Some((number, _)) = self.windowed(map, at) {
            self.store(8, number, value);
        } else if self.in_parts(map) {
            let (whole, _) = self.over_cpus(map, at, agg, span)?;
            self.copy(value, whole, size);
        } else {
            self.fill(value, size);
            let absent = self.block();
            let found = self.lookup_live_or(map, at, absent);
            self.copy(value, Mem::new(found, 0), size);
            self.jump(absent);
            self.start(absent);
        }
        let parts = [(Mem::new(at, 0), self.size_of(key_ty, key.span)?), (value, size)];
        let words = Type::Array { elem: Box::new(Type::U64), len: size / 8 };
        let types = [self.layout(key_ty, key.span)?, words];
        let id = self.m.action(ActionKind::PrintMapValue { map: map_id(map) }, types, span);
        let done = self.block();
        let record = self.reserve_or(id, done);
        let offsets: Vec<u32> = self.m.actions[id.0 as usize].args.iter().map(|f| f.offset).collect();
        for ((from, size), offset) in parts.into_iter().zip(offsets) {
            self.copy(record.at(offset), from, size);
        }
        self.b.submit(record.ptr);
        self.jump(done);
        self.start(done);
        Ok(())
    }

    /// Sends the code; the rest of the probe does not run.
    fn exit(&mut self, args: &[Expr], span: Span) -> R<()> {
        let id = self.m.action(ActionKind::Exit, [Type::I64], span);
        let zero = Expr { kind: E::Int(0), ty: Ty::I64, span };
        let code = args.first().unwrap_or(&zero);
        self.record(id, &[code], &[Ty::I64])?;
        self.leave();
        Ok(())
    }

    /// `join(argv)`: strings until a null pointer.
    fn join_strings(&mut self, separator: &str, args: &[Expr], span: Span) -> R<()> {
        let Some(argv) = args.first() else { return self.not_yet(span, "join() without an array") };
        let cap = self.m.program.config.max_strlen.clamp(1, JOIN_CAP);
        let ty = Type::Array { elem: Box::new(Type::Str { cap }), len: JOIN_STRINGS };
        let id = self.m.action(ActionKind::Join { separator: separator.to_owned() }, [ty], span);
        let user = match &argv.ty {
            Ty::Ptr { space, .. } => self.is_user(*space),
            _ => false,
        };
        let base = self.scalar(argv)?;
        let full = self.block();
        let record = self.reserve_or(id, full);
        let done = self.block();
        let size = self.iconst(i64::from(cap));
        for i in 0..JOIN_STRINGS {
            let at = self.b.binary_imm(BinaryOp::Iadd, base, i64::from(i) * 8);
            let pointer = self.temp(8);
            let from = Remote::new(at, user);
            self.read_remote(pointer, 8, &from, span)?;
            let pointer = self.load(8, false, pointer);
            let next = self.block();
            let is_null = self.b.icmp_imm(Cond::Eq, pointer, 0);
            self.brif(is_null, done, next);
            self.start(next);
            let string = Remote::new(pointer, user);
            self.read_remote_str(record.at(i * cap), size, &string, span)?;
        }
        self.jump(done);
        self.start(done);
        self.b.submit(record.ptr);
        self.jump(full);
        self.start(full);
        Ok(())
    }
}

/// Divisions send a record of their own when they warn.
fn may_warn(e: &Expr) -> bool {
    walk::any(e, |n| matches!(n, Node::Expr(Expr { kind: E::Binary { op: BinOp::Div | BinOp::Mod, .. }, .. })))
}

fn log_level(level: hir::LogLevel) -> action::LogLevel {
    match level {
        hir::LogLevel::Error => action::LogLevel::Error,
        hir::LogLevel::Warning => action::LogLevel::Warning,
        hir::LogLevel::Debug => action::LogLevel::Debug,
    }
}

fn pieces(format: &hir::Format) -> Vec<action::Piece> {
    format
        .pieces
        .iter()
        .map(|p| match p {
            hir::Piece::Text(t) => action::Piece::Text(string_bytes(t)),
            hir::Piece::Arg { index, spec } => action::Piece::Arg { index: *index, spec: convert_spec(spec) },
        })
        .collect()
}

fn convert_spec(s: &hir::Spec) -> action::Spec {
    action::Spec {
        minus: s.minus,
        zero: s.zero,
        plus: s.plus,
        space: s.space,
        alternate: s.alternate,
        width: s.width,
        precision: s.precision,
        conv: match s.conv {
            'u' => Conv::Unsigned,
            'o' => Conv::Octal,
            'x' => Conv::HexLower,
            'X' => Conv::HexUpper,
            'c' => Conv::Char,
            'p' => Conv::Pointer,
            's' => Conv::Str,
            'r' => Conv::Buf,
            'R' => Conv::BufHex,
            'H' => Conv::BufHexSpaced,
            'g' => Conv::Gfp,
            _ => Conv::Signed,
        },
        length: s.length,
    }
}
