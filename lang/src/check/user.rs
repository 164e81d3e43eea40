//! What a program's debug information says: parameters of its functions, its types, its source lines.

use super::attach::{Point, Resolved, bad, missing, unanswered};
use super::cx::{ArgsCx, Checker};
use super::value::Val;
use crate::ast::Segment;
use crate::diag::Diagnostic;
use crate::hir::{BinOp, EnumDef, Expr, ExprKind, Provider, Space, StructDef, Ty};
use crate::span::Span;
use crate::world::{Answer, ArgPlace, UserParam, UserProto};
use std::rc::Rc;

impl Checker<'_> {
    /// What `args` is at a place of a program, for a body that uses it.
    pub(crate) fn user_args(&self, p: &Point<'_>, path: &str, offset: u64) -> ArgsCx {
        if !p.uses.any() || p.row.retval {
            return ArgsCx::None;
        }
        match self.world.user_proto(path, offset) {
            Answer::Found(mut proto) => {
                for param in &mut proto.params {
                    param.ty = self.own_types(param.ty.clone());
                }
                ArgsCx::User(Rc::new(proto))
            }
            Answer::NotThere => ArgsCx::None,
            Answer::NotPermitted(why) | Answer::CouldNotTell(why) => ArgsCx::Withheld(why),
        }
    }

    /// `args.name` of a user function.
    pub(crate) fn user_arg(&mut self, param: &UserParam, span: Span) -> Val {
        let space = self.probe.space;
        if param.ty == Ty::Void {
            self.error(
                "no-args",
                span,
                format!("args.{} is of a type that is not known here: {}", param.name, param.c_type),
            );
            return Val::error(span);
        }
        let ty = param.ty.clone();
        let pointer = Ty::Ptr { to: Box::new(ty.clone()), space: Space::User };
        let at = |address: Expr| {
            let pointer = Expr { kind: ExprKind::Cast(Box::new(address)), ty: pointer.clone(), span };
            ExprKind::Deref(Box::new(pointer))
        };
        let register = |n: u32| Expr { kind: ExprKind::Arg(n), ty: Ty::U64, span };
        let kind = match &param.place {
            ArgPlace::Registers { first, count: 1 } if ty.is_scalar() => ExprKind::Arg(*first),
            ArgPlace::Registers { first, count } => {
                let parts: Vec<Expr> = (0..*count).map(|i| register(first + i)).collect();
                let whole = Ty::Tuple(vec![Ty::U64; parts.len()]);
                ExprKind::Cast(Box::new(Expr { kind: ExprKind::Tuple(parts), ty: whole, span }))
            }
            ArgPlace::Address { register: n } => at(register(*n)),
            ArgPlace::Stack { offset } => at(above_sp(*offset, span)),
            ArgPlace::Pieces(pieces) => {
                let whole = super::golang_value::whole(pieces, self.size_of(&ty).unwrap_or(0), span);
                // One piece that fills the type.
                match whole.kind {
                    ExprKind::Tuple(mut items) if items.len() == 1 && ty.is_scalar() => {
                        ExprKind::Cast(Box::new(items.swap_remove(0)))
                    }
                    _ => ExprKind::Cast(Box::new(whole)),
                }
            }
            ArgPlace::Nowhere(why) => {
                let of = if self.at_go_return() { "retval" } else { "args" };
                let d =
                    Diagnostic::error("no-args", span, format!("{of}.{} cannot be read", param.name)).note(why.clone());
                self.report(d);
                return Val::error(span);
            }
        };
        Val::new(kind, ty, span).with_space(space)
    }

    /// All parameters that can be read, for `args` as a whole.
    pub(crate) fn all_user_args(&mut self, proto: &UserProto, span: Span) -> Vec<(String, Val)> {
        let mut out = Vec::new();
        for param in &proto.params {
            let unread = match &param.place {
                ArgPlace::Nowhere(why) => Some(why.clone()),
                _ if param.ty == Ty::Void => Some(format!("its type is not known here: {}", param.c_type)),
                _ => None,
            };
            match unread {
                Some(why) => self.warn("no-args", span, format!("args leaves out {}: {why}", param.name)),
                None if param.name.is_empty() => {}
                None => out.push((param.name.clone(), self.user_arg(param, span))),
            }
        }
        out
    }

    /// The type of `retval`, where all functions of the probe agree about it and a register holds it whole.
    pub(crate) fn user_retval(&self) -> Option<Ty> {
        let mut found = None;
        for target in &self.probe.targets {
            let Provider::Uprobe { path, offset, ret: true, .. } = &target.provider else { return None };
            let proto = self.world.user_proto(path, *offset).found()?;
            let ty = self.own_types(proto.ret);
            if !proto.ret_in_register || found.as_ref().is_some_and(|known| *known != ty) {
                return None;
            }
            found = Some(ty);
        }
        found
    }

    /// The program that the probe is in.
    fn user_path(&self) -> Option<&str> {
        self.probe.targets.iter().find_map(|t| match &t.provider {
            Provider::Uprobe { path, .. } | Provider::Usdt { path, .. } => Some(path.as_str()),
            _ => None,
        })
    }

    /// The name under which a struct is known in this probe: the script's own, else that of the probed program, else as it is.
    pub(crate) fn struct_here(&mut self, name: &str) -> String {
        if self.is_own(name) {
            return name.to_owned();
        }
        let Some(path) = self.user_path().map(str::to_owned) else { return name.to_owned() };
        match self.world.user_struct(&path, name) {
            Answer::Found(def) => def.name,
            _ => name.to_owned(),
        }
    }

    /// An enum of the probed program.
    pub(crate) fn enum_here(&mut self, name: &str) -> Option<EnumDef> {
        if self.is_own(name) || self.types.enums.contains_key(name) {
            return None;
        }
        self.world.user_enum(self.user_path()?, name).found()
    }

    /// What a typedef of the probed program stands for.
    pub(crate) fn typedef_here(&mut self, name: &str) -> Option<Ty> {
        if self.is_own(name) {
            return None;
        }
        let ty = self.world.user_typedef(self.user_path()?, name).found()?;
        Some(self.own_types(ty))
    }

    /// Layout of a program's struct, by its name with the file's path.
    pub(crate) fn user_struct(&mut self, name: &str) -> Option<StructDef> {
        let (_, path) = name.split_once('@')?;
        let mut def = self.world.user_struct(path, name).found()?;
        name.clone_into(&mut def.name);
        for field in &mut def.fields {
            field.ty = self.own_types(field.ty.clone());
        }
        Some(def)
    }

    /// Variants of an enum that is printed: of a program's, by its name with the file's path, or of the kernel's.
    pub(crate) fn need_enum(&mut self, name: &str) {
        if name.is_empty() || self.types.enums.contains_key(name) {
            return;
        }
        let found = match name.split_once('@') {
            Some((_, path)) => self.world.user_enum(path, name),
            None => self.world.kernel_enum(name),
        };
        if let Answer::Found(def) = found {
            self.types.enums.insert(name.to_owned(), def);
        }
    }

    /// Whether the script itself defines a type of this name.
    fn is_own(&self, name: &str) -> bool {
        self.items.ctypes.iter().any(|c| c.name() == Some(name))
    }

    /// A program's type as the script sees it: what the script defines itself takes the place of the program's.
    fn own_types(&self, ty: Ty) -> Ty {
        match ty {
            Ty::Struct(name) => match name.split_once('@') {
                Some((bare, _)) if self.is_own(bare) => Ty::Struct(bare.to_owned()),
                _ => Ty::Struct(name),
            },
            Ty::Ptr { to, space } => Ty::Ptr { to: Box::new(self.own_types(*to)), space },
            Ty::Array { elem, len } => Ty::Array { elem: Box::new(self.own_types(*elem)), len },
            other => other,
        }
    }

    /// `uprobe:BINARY@FILE:LINE[:COLUMN]`
    pub(crate) fn source_line(&mut self, p: &Point<'_>) -> Resolved {
        let (binary, file) = p.text(0).rsplit_once('@').unwrap_or((p.text(0), ""));
        let (binary, file) = (binary.to_owned(), file.to_owned());
        let number = |i: usize| super::params::parse_number(p.text(i)).and_then(|n| u32::try_from(n).ok());
        let (Some(line), Some(column)) =
            (number(1).filter(|n| *n > 0), if p.segments.len() > 2 { number(2) } else { Some(0) })
        else {
            let wrong = Diagnostic::error("bad-attach-point", p.span, "after the source file comes a line's number")
                .write(format!("{}:BINARY@FILE:LINE[:COLUMN]", p.row.name));
            return Err(bad(wrong));
        };
        if p.row.retval {
            let d = Diagnostic::error("bad-attach-point", p.span, "a line does not return: uretprobe takes a function")
                .write(format!("uprobe:{}", p.text(0)));
            return Err(bad(d));
        }
        let place = format!("{file}:{line}");
        match self.world.user_lines(&binary, &file, line, column) {
            Answer::Found(lines) if lines.ambiguous.len() > 1 => {
                let d = Diagnostic::error(
                    "bad-attach-point",
                    p.segment_span(0),
                    format!("{file} may mean several source files"),
                )
                .near(lines.ambiguous.join(", "))
                .note("write more of its path");
                Err(bad(d))
            }
            Answer::Found(lines) if !lines.found.is_empty() => Ok(lines
                .found
                .into_iter()
                .map(|s| {
                    let name = p.named(&[&format!("{}@{file}", s.file()), p.text(1)]);
                    let name = if column > 0 { format!("{name}:{column}") } else { name };
                    let args = self.user_args(p, &s.path, s.file_offset);
                    let provider = Provider::Uprobe {
                        go: self.go_line(&s.path, s.file_offset),
                        symbol: s.func(self.config.is_on("cpp_demangle")).to_owned(),
                        path: s.path,
                        offset: s.file_offset,
                        ret: false,
                        pid: self.traced_pid(),
                    };
                    let mut found = p.found(name, provider, false);
                    found.args = args;
                    found
                })
                .collect()),
            Answer::Found(lines) => Err(missing(no_code(p, &binary, &file, line, &lines))),
            answer => Err(unanswered(answer, p.span, &place, |mut d| {
                d.message = format!("no program or library {binary}");
                d
            })),
        }
    }
}

/// A source line without code, or a source file that isn't there.
fn no_code(p: &Point<'_>, binary: &str, file: &str, line: u32, lines: &crate::world::SourceLines) -> Diagnostic {
    let d = match &lines.file {
        Some(full) => Diagnostic::error("no-such-probe", p.span, format!("no code at {file}:{line} in {binary}"))
            .note(format!("the source file is {full}")),
        None => Diagnostic::error("no-such-probe", p.segment_span(0), format!("no source file {file} in {binary}")),
    };
    if lines.near.is_empty() {
        return d;
    }
    let near: Vec<String> = lines.near.iter().map(|n| format!("{file}:{n}")).collect();
    d.near(near.join(", "))
}

/// How names of source files end.
const SOURCES: &[&str] = &[
    ".c", ".cc", ".cpp", ".cxx", ".c++", ".C", ".h", ".hh", ".hpp", ".hxx", ".inc", ".ipp", ".m", ".mm", ".rs", ".go",
    ".S", ".s", ".f90", ".zig", ".d", ".swift",
];

/// The stack pointer plus so many bytes.
pub(crate) fn above_sp(offset: u32, span: Span) -> Expr {
    let sp = Expr { kind: ExprKind::Reg { offset: weftrace_arch::HOST.stack_pointer.into() }, ty: Ty::U64, span };
    let above = Expr { kind: ExprKind::Int(i64::from(offset)), ty: Ty::U64, span };
    let kind = ExprKind::Binary { op: BinOp::Add, left: Box::new(sp), right: Box::new(above) };
    Expr { kind, ty: Ty::U64, span }
}

/// Whether the first part of an attach point is `BINARY@FILE`; a path may have an `@` in a directory's name.
pub(crate) fn is_source_line(text: &str) -> bool {
    text.rsplit('/').next().is_some_and(|name| name.contains('@'))
        || (text.contains('@') && SOURCES.iter().any(|end| text.ends_with(end)))
}

/// `BINARY:FILE:LINE[:COLUMN]`, the last part in quotes or not, as `BINARY@FILE:LINE[:COLUMN]`.
pub(crate) fn quoted_source_line<'p>(p: &Point<'p>) -> Option<Point<'p>> {
    let parts: Vec<&str> = p.segments.iter().skip(1).flat_map(|s| s.text.split(':')).collect();
    let (file, numbers) = parts.split_first()?;
    let is_source = SOURCES.iter().any(|end| file.strip_suffix(end).is_some_and(|stem| !stem.is_empty()));
    let numeric = |n: &&str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    if !is_source || !matches!(numbers.len(), 1 | 2) || !numbers.iter().all(numeric) {
        return None;
    }
    let segment = |text: String, i: usize| Segment { text, quoted: false, span: p.segment_span(i) };
    let mut segments = vec![segment(format!("{}@{file}", p.text(0)), 0)];
    let last = p.segments.len() - 1;
    segments.extend(numbers.iter().map(|n| segment((*n).to_owned(), last)));
    Some(Point { row: p.row, segments, span: p.span, uses: p.uses, optional: p.optional })
}

/// `uprobe:main(int argc, char** argv)`
pub(crate) fn signature(proto: &UserProto, provider: &str) -> String {
    let one = |p: &UserParam| {
        if proto.go { format!("{} {}", p.name, p.c_type) } else { format!("{} {}", p.c_type, p.name) }
    };
    let params: Vec<String> = proto.params.iter().map(one).collect();
    format!("{provider}:{}({})", proto.name, params.join(", "))
}
