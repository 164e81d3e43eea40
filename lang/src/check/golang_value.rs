//! Go's values: strings, slices, interfaces, maps, as what they mean and not as the structs that they are; the current goroutine.

use super::call::Call;
use super::cx::Checker;
use super::user::above_sp;
use super::value::{Val, cast, coerce};
use crate::diag::Diagnostic;
use crate::hir::{BinOp, Expr, ExprKind, Func, GoType, Provider, Space, StructDef, Ty};
use crate::span::Span;
use crate::world::{ArgPiece, ArgPlace};
use std::rc::Rc;

/// Why a value can't be read.
pub(super) fn unreadable(place: &ArgPlace) -> Option<String> {
    match place {
        ArgPlace::Nowhere(why) => Some(why.clone()),
        ArgPlace::Pieces(pieces) => pieces.iter().find_map(|p| unreadable(&p.place)),
        _ => None,
    }
}

/// A value in one piece again: a tuple that lies in memory as the value does.
pub(super) fn whole(pieces: &[ArgPiece], size: u32, span: Span) -> Expr {
    let byte = || Expr { kind: ExprKind::Int(0), ty: Ty::U8, span };
    let mut items: Vec<Expr> = Vec::new();
    let mut at = 0u32;
    for piece in pieces {
        let ty = Ty::Int { bits: (piece.size.clamp(1, 8) * 8) as u8, signed: false };
        // Members of a tuple are aligned to their size; what is between them is filled.
        while at.next_multiple_of(piece.size.max(1)) < piece.offset {
            items.push(byte());
            at += 1;
        }
        let kind = match &piece.place {
            ArgPlace::Registers { first, .. } => ExprKind::Arg(*first),
            ArgPlace::Stack { offset } => {
                let pointer = Ty::Ptr { to: Box::new(ty.clone()), space: Space::User };
                ExprKind::Deref(Box::new(cast(above_sp(*offset, span), pointer)))
            }
            _ => ExprKind::Int(0),
        };
        items.push(Expr { kind, ty, span });
        at = piece.offset + piece.size;
    }
    let most = pieces.iter().map(|p| p.size).max().unwrap_or(1).max(1);
    while at.next_multiple_of(most) < size {
        items.push(byte());
        at += 1;
    }
    let ty = Ty::Tuple(items.iter().map(|e| e.ty.clone()).collect());
    Expr { kind: ExprKind::Tuple(items), ty, span }
}

impl Checker<'_> {
    /// What a type of a Go program stands for.
    pub(crate) fn go_type(&mut self, ty: &Ty) -> Option<(Rc<StructDef>, GoType)> {
        let Ty::Struct(name) = ty else { return None };
        if !name.contains('@') {
            return None;
        }
        let def = self.struct_def(name)?;
        let go = def.go.clone()?;
        Some((def, go))
    }

    /// A Go value where it is used: text, bytes, the name of what an interface holds. Everything else as it is.
    pub(crate) fn go_value(&mut self, v: Val) -> Val {
        let Some((def, go)) = self.go_type(&v.e.ty) else { return v };
        let span = v.e.span;
        let (func, ty) = match go {
            GoType::String => (Func::GoText, Ty::Str { cap: self.config.max_strlen }),
            GoType::Slice if element(&def) == Some(&Ty::U8) => {
                (Func::GoBytes, Ty::Buf { cap: self.config.max_strlen.max(5) - 4 })
            }
            GoType::Any | GoType::Interface => return self.dynamic_type(v, &def),
            GoType::Slice | GoType::Counted(_) | GoType::Struct { .. } => return v,
        };
        Val::new(ExprKind::Call { func, args: vec![v.e] }, ty, span)
    }

    /// A member of a Go value as it lies in memory.
    fn part(base: Expr, def: &StructDef, name: &str) -> Option<Expr> {
        let field = def.fields.iter().find(|f| f.name == name)?;
        let span = base.span;
        let kind = ExprKind::Field { base: Box::new(base), name: name.to_owned(), offset: field.offset, bits: None };
        Some(Expr { kind, ty: super::places::in_space(field.ty.clone(), Space::User), span })
    }

    /// `len(s)` of a string, slice, map or channel. None: it is none of these.
    pub(crate) fn go_len(&mut self, v: &Val, span: Span) -> Option<Val> {
        if let Ty::Ptr { to, .. } = &v.e.ty {
            let (def, GoType::Counted(member)) = self.go_type(to)? else { return None };
            // A nil map has none.
            let place = self.deref_val(v.clone(), span);
            let count = Self::part(place.e, &def, &member)?;
            let nil = Expr { kind: ExprKind::Int(0), ty: v.e.ty.clone(), span };
            let kind = ExprKind::Binary { op: BinOp::Ne, left: Box::new(v.e.clone()), right: Box::new(nil) };
            let cond = Box::new(Expr { kind, ty: Ty::Bool, span });
            let none = Box::new(Expr { kind: ExprKind::Int(0), ty: Ty::I64, span });
            let kind = ExprKind::Cond { cond, then: Box::new(coerce(count, &Ty::I64)), otherwise: none };
            return Some(Val::new(kind, Ty::I64, span));
        }
        match self.go_type(&v.e.ty)? {
            (def, GoType::String | GoType::Slice) => {
                let len = Self::part(v.e.clone(), &def, "len")?;
                Some(Val::new(len.kind, Ty::I64, span))
            }
            _ => None,
        }
    }

    /// `s[i]` of a slice or string: beyond its end nothing is read, and that is told. None: it is neither.
    pub(crate) fn go_index(&mut self, base: &Val, index: &Val, span: Span) -> Option<Val> {
        let (def, member) = match self.go_type(&base.e.ty)? {
            (def, GoType::Slice) => (def, "array"),
            (def, GoType::String) => (def, "str"),
            _ => return None,
        };
        let first = Self::part(base.e.clone(), &def, member)?;
        let len = Self::part(base.e.clone(), &def, "len")?;
        let pointer = first.ty.clone();
        let at = coerce(index.e.clone(), &Ty::I64);
        let kind = ExprKind::PtrAdd { ptr: Box::new(first), count: Box::new(at.clone()) };
        let element = Box::new(Expr { kind, ty: pointer.clone(), span });
        let nothing = cast(Expr { kind: ExprKind::Int(0), ty: Ty::U64, span }, pointer.clone());
        let left = Box::new(cast(at, Ty::U64));
        let kind = ExprKind::Binary { op: BinOp::Lt, left, right: Box::new(cast(len, Ty::U64)) };
        let cond = Box::new(Expr { kind, ty: Ty::Bool, span });
        let kind = ExprKind::Cond { cond, then: element, otherwise: Box::new(nothing) };
        let v = Val::new(kind, pointer, span).with_space(Space::User);
        Some(self.deref_val(v, span))
    }

    /// `str(s)` and `buf(s)` of a Go string or slice of bytes, with at most `len` bytes. None: it is neither.
    pub(crate) fn go_bytes(&mut self, v: &Val, func: Func, ty: Ty, len: Option<Expr>) -> Option<Val> {
        match self.go_type(&v.e.ty)? {
            (_, GoType::String) => {}
            (def, GoType::Slice) if element(&def).is_some_and(|e| matches!(e, Ty::Int { bits: 8, .. })) => {}
            _ => return None,
        }
        let mut args = vec![v.e.clone()];
        args.extend(len);
        Some(Val::new(ExprKind::Call { func, args }, ty, v.e.span))
    }

    /// The name of the type that an interface holds.
    fn dynamic_type(&mut self, v: Val, def: &StructDef) -> Val {
        let span = v.e.span;
        let any = def.go == Some(GoType::Any);
        let path = self.probe.targets.iter().find_map(|t| match &t.provider {
            Provider::Uprobe { path, .. } => Some(path.clone()),
            _ => None,
        });
        // Names are kept as distances from the first of all types; where that is in a process, its first code tells.
        let types = path.and_then(|path| self.world.go_types(&path).found());
        let (Some(types), Some(mm), Some(start)) =
            (types, self.member("task_struct", "mm"), self.member("mm_struct", "start_code"))
        else {
            return v;
        };
        let number = |n: i64| Expr { kind: ExprKind::Int(n), ty: Ty::I64, span };
        let args = vec![
            v.e,
            number(i64::from(any)),
            number(types),
            number(i64::from(mm.offset)),
            number(i64::from(start.offset)),
        ];
        Val::new(ExprKind::Call { func: Func::GoTypeName, args }, Ty::Str { cap: TYPE_NAME }, span)
    }

    /// `v.Method` of an embedded struct: found through it, as Go does.
    pub(crate) fn go_promoted(&mut self, base: &Val, name: &str, span: Span) -> Option<Val> {
        /// Structs within structs.
        const DEEPEST: u32 = 8;
        let mut level = vec![base.clone()];
        // The least deep one is meant.
        for _ in 0..DEEPEST {
            let mut next = Vec::new();
            for v in level {
                let v = match &v.e.ty {
                    Ty::Ptr { .. } => self.deref_val(v, span),
                    _ => v,
                };
                let Some((def, GoType::Struct { embedded })) = self.go_type(&v.e.ty) else { continue };
                if let Some(found) = Self::part(v.e.clone(), &def, name) {
                    return Some(Val::new(found.kind, found.ty, span).with_space(Space::User));
                }
                for member in &embedded {
                    if let Some(inner) = Self::part(v.e.clone(), &def, member) {
                        next.push(Val::new(inner.kind, inner.ty, span).with_space(Space::User));
                    }
                }
            }
            level = next;
        }
        None
    }
}

/// Longest name of a type that is shown.
const TYPE_NAME: u32 = 128;

/// What a slice's elements are.
fn element(def: &StructDef) -> Option<&Ty> {
    match def.fields.iter().find(|f| f.name == "array").map(|f| &f.ty) {
        Some(Ty::Ptr { to, .. }) => Some(to),
        _ => None,
    }
}

/// `goid`
pub(crate) fn goid<'a>(c: &mut Checker<'a>, call: &Call<'a>) -> Val {
    const ELSEWHERE: &str =
        "the current goroutine is known in probes of a Go program's functions: uprobe:PROGRAM:main.main";
    const UNKNOWN: &str = "where this version of Go keeps it is not known here, and the program has no debug information that says it: built \
         without -ldflags=-w, and not stripped, it has";
    let place = c.probe.name().to_owned();
    let unknown = c.probe.targets.iter().find_map(|target| match &target.provider {
        Provider::Uprobe { go: Some(go), .. } if go.runtime.goid.is_some() => None,
        Provider::Uprobe { go: Some(_), .. } => Some(UNKNOWN),
        _ => Some(ELSEWHERE),
    });
    let unknown = unknown.or_else(|| c.probe.targets.is_empty().then_some(ELSEWHERE));
    if let (Some(why), false) = (unknown, matches!(c.probe.args, super::cx::ArgsCx::Ghost)) {
        let d = Diagnostic::error("no-goroutine", call.span, format!("{place} has no goid"));
        c.report(d.note(why));
        return Val::error(call.span);
    }
    Val::new(ExprKind::Call { func: Func::Goid, args: Vec::new() }, Ty::U64, call.span)
}
