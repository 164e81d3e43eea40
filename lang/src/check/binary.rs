//! Operators with two operands: folding of literals, promotion, comparison, pointers.

use super::cx::Checker;
use super::types::{Flex, int_shape, join, show};
use super::value::{Val, coerce};
use crate::ast;
use crate::diag::Diagnostic;
use crate::hir::{BinOp, Expr, ExprKind, Ty, UnOp};
use crate::span::Span;

pub(crate) fn symbol(op: BinOp) -> &'static str {
    match op {
        BinOp::Add => "+",
        BinOp::Sub => "-",
        BinOp::Mul => "*",
        BinOp::Div => "/",
        BinOp::Mod => "%",
        BinOp::BitAnd => "&",
        BinOp::BitOr => "|",
        BinOp::BitXor => "^",
        BinOp::Shl => "<<",
        BinOp::Shr => ">>",
        BinOp::Eq => "==",
        BinOp::Ne => "!=",
        BinOp::Lt => "<",
        BinOp::Le => "<=",
        BinOp::Gt => ">",
        BinOp::Ge => ">=",
        BinOp::LogAnd => "&&",
        BinOp::LogOr => "||",
        BinOp::Coalesce => "??",
    }
}

pub(crate) fn is_comparison(op: BinOp) -> bool {
    matches!(op, BinOp::Eq | BinOp::Ne | BinOp::Lt | BinOp::Le | BinOp::Gt | BinOp::Ge)
}

impl<'a> Checker<'a> {
    pub(crate) fn binary_expr(&mut self, op: BinOp, left: &'a ast::Expr, right: &'a ast::Expr, span: Span) -> Val {
        if self.tcpdump_words(op, left, right, span) {
            return Val::error(span);
        }
        if op == BinOp::Coalesce
            && let Some(one) = self.only_one(left, right)
        {
            return self.expr(one);
        }
        // What a leg doesn't know is no 0 there: `??` says what stands for it, a comparison is false.
        let told = is_comparison(op);
        let l = self.leg_told(told || op == BinOp::Coalesce, |c| c.expr(left));
        let r = self.leg_told(told, |c| c.expr(right));
        self.binary(op, l, r, span)
    }

    pub(crate) fn binary(&mut self, op: BinOp, l: Val, r: Val, span: Span) -> Val {
        let (l, r) = (self.agg_as_number(l), self.agg_as_number(r));
        if l.is_error() || r.is_error() {
            return Val::error(span);
        }
        match op {
            BinOp::LogAnd | BinOp::LogOr => self.logical(op, l, r, span),
            BinOp::Coalesce => self.coalesce(l, r, span),
            op if is_comparison(op) => self.compare(op, l, r, span),
            op => self.arithmetic(op, l, r, span),
        }
    }

    fn logical(&mut self, op: BinOp, l: Val, r: Val, span: Span) -> Val {
        let (l, r) = (self.truth(l), self.truth(r));
        if l.is_error() || r.is_error() {
            return Val::error(span);
        }
        let and = op == BinOp::LogAnd;
        if let (Some(a), Some(b)) = (l.int(), r.int()) {
            return Val::boolean(if and { a != 0 && b != 0 } else { a != 0 || b != 0 }, span);
        }
        Val::new(ExprKind::Logical { and, left: Box::new(l.e), right: Box::new(r.e) }, Ty::Bool, span)
    }

    fn coalesce(&mut self, l: Val, r: Val, span: Span) -> Val {
        // `tcp.flags.syn ?? 0`: a literal 0 or 1 is a bool here.
        let r = match (&l.e.ty, r.int()) {
            (Ty::Bool, Some(n @ (0 | 1))) => Val::boolean(n == 1, r.e.span),
            // `args.reason ?? 0` still prints by name.
            (Ty::Enum { .. }, Some(_)) => {
                let ty = l.e.ty.clone();
                let (left, right) = (Box::new(l.e), Box::new(coerce(r.e, &ty)));
                return Val::new(ExprKind::Coalesce { left, right }, ty, span);
            }
            _ => r,
        };
        let Some(open) = join(&l.open(), &r.open()) else {
            return self.mismatch("??", &l, &r, span);
        };
        let (left, right) = (Box::new(coerce(l.e, &open.ty)), Box::new(coerce(r.e, &open.ty)));
        Val::new(ExprKind::Coalesce { left, right }, open.ty, span)
    }

    fn mismatch(&mut self, op: &str, l: &Val, r: &Val, span: Span) -> Val {
        let (left, right) = (show(&l.e.ty), show(&r.e.ty));
        let mut d = Diagnostic::error("type-mismatch", span, format!("{op} does not go with {left} and {right}"));
        if l.e.span != r.e.span {
            d = d.other(l.e.span, left).other(r.e.span, right);
        }
        if matches!((&l.e.ty, &r.e.ty), (Ty::Str { .. }, Ty::Str { .. })) && op == "+" {
            d = d.note("strings are put together where they are printed: printf(\"%s%s\", a, b)");
        }
        let equality = matches!(op, "==" | "!=");
        if let Some(write) = self.text_at(l, r, op).or_else(|| self.text_at(r, l, op)).filter(|_| equality) {
            d = d.note("a pointer holds where a text begins: str() reads it").write(write);
        }
        for side in [l, r] {
            if let Some((name, text)) = self.positional_text_of(side) {
                d = d.note(format!("{name} is {text:?} on the command line: a text"));
            }
        }
        self.report(d);
        Val::error(span)
    }

    /// How an address is compared with a text: `str(address) == "text"`.
    fn text_at(&self, at: &Val, with: &Val, op: &str) -> Option<String> {
        let to_char = match &at.e.ty {
            Ty::Ptr { to, .. } => matches!(**to, Ty::Int { bits: 8, .. } | Ty::Void),
            // A register's content may be one.
            Ty::Int { bits: 64, .. } => matches!(&at.e.kind, ExprKind::Arg(_)),
            _ => false,
        };
        let short = |v: &Val, what: &str| {
            let text = self.sources.snippet(v.e.span);
            if text.is_empty() || text.len() > 40 { what.to_owned() } else { text.to_owned() }
        };
        let fits = to_char && matches!(with.e.ty, Ty::Str { .. });
        fits.then(|| format!("str({}) {op} {}", short(at, "…"), short(with, "…")))
    }

    /// `$1` whose text on the command line is no number, and that text.
    pub(crate) fn positional_text_of(&self, v: &Val) -> Option<(String, String)> {
        let name = self.sources.snippet(v.e.span);
        let is_number = name.strip_prefix('$').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        let text = v.text().filter(|_| is_number)?;
        Some((name.to_owned(), text.to_owned()))
    }

    fn arithmetic(&mut self, op: BinOp, l: Val, r: Val, span: Span) -> Val {
        if matches!(l.e.ty, Ty::Ptr { .. }) || matches!(r.e.ty, Ty::Ptr { .. }) {
            return self.pointer_arithmetic(op, l, r, span);
        }
        let (Some(ls), Some(rs)) = (int_shape(&l.e.ty), int_shape(&r.e.ty)) else {
            return self.mismatch(symbol(op), &l, &r, span);
        };
        if matches!(op, BinOp::Div | BinOp::Mod) && r.int() == Some(0) {
            self.error("division-by-zero", span, "division by zero");
            return Val::error(span);
        }
        if matches!((&l.e.ty, &r.e.ty), (Ty::Bool, Ty::Bool))
            && matches!(op, BinOp::BitAnd | BinOp::BitOr | BinOp::BitXor)
        {
            let (left, right) = (Box::new(l.e), Box::new(r.e));
            return Val::new(ExprKind::Binary { op, left, right }, Ty::Bool, span);
        }
        if let (Some(a), Some(b)) = (l.int(), r.int()) {
            return self.folded(op, a, b, span);
        }
        let signed = sign_of(op, (&l.flex, ls.1), (&r.flex, rs.1));
        let ty = Ty::Int { bits: 64, signed: signed || op == BinOp::Sub };
        if matches!(op, BinOp::Div | BinOp::Mod) && ls.1 != rs.1 && ls.0 == 64 && rs.0 == 64 && !l.lit && !r.lit {
            let d = Diagnostic::warning(
                "sign-mismatch",
                span,
                format!("{} of signed and unsigned: both are taken as signed", symbol(op)),
            )
            .write("(uint64) or (int64) in front of one of them");
            self.report(d);
        }
        let space = if l.space == crate::hir::Space::Unknown { r.space } else { l.space };
        let (left, right) = (Box::new(coerce(l.e, &ty)), Box::new(coerce(r.e, &ty)));
        Val::new(ExprKind::Binary { op, left, right }, ty, span).with_space(space)
    }

    /// Arithmetic on literals.
    fn folded(&mut self, op: BinOp, a: i128, b: i128, span: Span) -> Val {
        let Some(n) = fold(op, a, b) else {
            let message = if matches!(op, BinOp::Shl | BinOp::Shr) && !(0..64).contains(&b) {
                format!("a number has 64 bits: it cannot be shifted by {b}")
            } else {
                format!("the result of {a} {} {b} does not fit 64 bits", symbol(op))
            };
            let d = Diagnostic::error("overflow", span, message)
                .bpftrace("unable to fold literals due to overflow or underflow");
            self.report(d);
            return Val::error(span);
        };
        Val::literal(n, span)
    }

    fn pointer_arithmetic(&mut self, op: BinOp, l: Val, r: Val, span: Span) -> Val {
        let ptr_left = matches!(l.e.ty, Ty::Ptr { .. });
        let ok = match op {
            BinOp::Add => int_shape(if ptr_left { &r.e.ty } else { &l.e.ty }).is_some(),
            BinOp::Sub => ptr_left && int_shape(&r.e.ty).is_some(),
            _ => false,
        };
        if !ok {
            return self.mismatch(symbol(op), &l, &r, span);
        }
        let (ptr, count) = if ptr_left { (l, r) } else { (r, l) };
        if let Ty::Ptr { to, .. } = &ptr.e.ty
            && self.size_of(to).is_none()
        {
            let what = show(to);
            self.error("bad-type", span, format!("the size of {what} is not known: no arithmetic on its pointers"));
            return Val::error(span);
        }
        let mut count = coerce(count.e, &Ty::I64);
        if op == BinOp::Sub {
            count = match count.kind {
                ExprKind::Int(n) => Expr { kind: ExprKind::Int(n.wrapping_neg()), ..count },
                _ => Expr { span, ty: Ty::I64, kind: ExprKind::Unary { op: UnOp::Neg, expr: Box::new(count) } },
            };
        }
        let ty = ptr.e.ty.clone();
        Val::new(ExprKind::PtrAdd { ptr: Box::new(ptr.e), count: Box::new(count) }, ty, span)
    }

    pub(crate) fn compare(&mut self, op: BinOp, l: Val, r: Val, span: Span) -> Val {
        let equality = matches!(op, BinOp::Eq | BinOp::Ne);
        let equal = op == BinOp::Eq;
        if equality && let Some(v) = self.compare_address(&l, &r, equal, span) {
            return v;
        }
        let bytes = |n: u32| {
            Val::new(
                ExprKind::StrEq { left: Box::new(l.e.clone()), right: Box::new(r.e.clone()), len: n, equal },
                Ty::Bool,
                span,
            )
        };
        match (&l.e.ty, &r.e.ty) {
            (Ty::Str { cap }, Ty::Str { cap: other }) => match (l.text(), r.text()) {
                (Some(left), Some(right)) => Val::boolean(ordered(op, &c_text(left), &c_text(right)), span),
                _ if equality => bytes(*cap.min(other)),
                _ => {
                    let text = format!("strings are equal or not: {} does not order them", symbol(op));
                    self.error("bad-operand", span, text);
                    Val::error(span)
                }
            },
            (Ty::Inet, Ty::Inet) if equality => bytes(20),
            (Ty::Mac, Ty::Mac) if equality => bytes(6),
            // Not which of its ends is meant.
            (Ty::Conn, Ty::Conn) if equality => bytes(52),
            (Ty::ByteRanges, Ty::ByteRanges) if equality => bytes(192),
            (Ty::Flow, Ty::Flow) if equality => bytes(48),
            (Ty::Buf { cap }, Ty::Buf { cap: other }) if equality => bytes(*cap.min(other)),
            (Ty::Tuple(_), Ty::Tuple(_)) | (Ty::Record(_), Ty::Record(_)) if equality => {
                self.members_equal(&l, &r, equal, span)
            }
            (Ty::Array { elem, len }, same) if equality && l.e.ty == *same && int_shape(elem).is_some() => {
                let size = int_shape(elem).map_or(1, |s| u32::from(s.0) / 8);
                bytes(len.saturating_mul(size))
            }
            // Those that print alike have one number; of processes, the process counts too.
            (Ty::KStack { .. }, same) if equality && l.e.ty == *same => compare_words(op, l, r, span),
            (Ty::UStack { .. } | Ty::Usym, same) if equality && l.e.ty == *same => bytes(16),
            (Ty::DwStack { .. }, Ty::DwStack { .. }) => {
                let d = Diagnostic::error("bad-operand", span, "stacks of dw_ustack cannot be compared")
                    .note("they are unwound in user space, after the program has gone on")
                    .write("ustack, where the program keeps frame pointers");
                self.report(d);
                Val::error(span)
            }
            // The times, to the ns, whatever their formats leave of them.
            (Ty::Time { .. }, Ty::Time { .. }) if equality => compare_words(op, l, r, span),
            (Ty::Ptr { .. }, _) | (_, Ty::Ptr { .. }) => self.compare_pointers(op, l, r, span),
            (Ty::Ksym, Ty::Ksym | Ty::Int { .. }) | (Ty::Int { .. }, Ty::Ksym) => compare_words(op, l, r, span),
            (left, right) if int_shape(left).is_some() && int_shape(right).is_some() => {
                self.compare_ints(op, l, r, span)
            }
            _ => self.mismatch(symbol(op), &l, &r, span),
        }
    }

    fn compare_ints(&mut self, op: BinOp, l: Val, r: Val, span: Span) -> Val {
        if let (Some(a), Some(b)) = (l.int(), r.int()) {
            return Val::boolean(ordered(op, &a, &b), span);
        }
        let ((lb, ls), (rb, rs)) = (int_shape(&l.e.ty).unwrap_or((64, true)), int_shape(&r.e.ty).unwrap_or((64, true)));
        if matches!(l.e.ty, Ty::Bool) && matches!(r.e.ty, Ty::Bool) {
            return Val::new(ExprKind::Binary { op, left: Box::new(l.e), right: Box::new(r.e) }, Ty::Bool, span);
        }
        // Next to a signed number an unsigned one is taken as signed, as bpftrace does (C would do the opposite).
        let signed = match (ls, rs) {
            (a, b) if a == b => a,
            _ if l.flex == Flex::Yes => rs,
            _ if r.flex == Flex::Yes => ls,
            _ => true,
        };
        let mixed64 = signed && ((!ls && lb == 64) || (!rs && rb == 64));
        if mixed64 && !l.lit && !r.lit {
            let d = Diagnostic::warning(
                "sign-mismatch",
                span,
                format!(
                    "compares {} with {}: unsigned numbers from 2^63 on count as negative",
                    show(&l.e.ty),
                    show(&r.e.ty)
                ),
            )
            .write("(int64) in front of the unsigned one, if that is meant");
            self.report(d);
        }
        let ty = Ty::Int { bits: 64, signed };
        let (left, right) = (Box::new(coerce(l.e, &ty)), Box::new(coerce(r.e, &ty)));
        Val::new(ExprKind::Binary { op, left, right }, Ty::Bool, span)
    }

    fn compare_pointers(&mut self, op: BinOp, l: Val, r: Val, span: Span) -> Val {
        let pointer = |t: &Ty| matches!(t, Ty::Ptr { .. });
        let fine = |t: &Ty| pointer(t) || int_shape(t).is_some();
        if !fine(&l.e.ty) || !fine(&r.e.ty) {
            return self.mismatch(symbol(op), &l, &r, span);
        }
        if let (Ty::Ptr { to: a, .. }, Ty::Ptr { to: b, .. }) = (&l.e.ty, &r.e.ty)
            && a != b
            && **a != Ty::Void
            && **b != Ty::Void
        {
            let (a, b) = (show(a), show(b));
            self.warn("distinct-pointers", span, format!("compares a pointer to {a} with one to {b}"));
        }
        compare_words(op, l, r, span)
    }
}

/// As unsigned numbers of 64 bits.
fn compare_words(op: BinOp, l: Val, r: Val, span: Span) -> Val {
    let (left, right) = (Box::new(super::expr::as_u64(l.e)), Box::new(super::expr::as_u64(r.e)));
    Val::new(ExprKind::Binary { op, left, right }, Ty::Bool, span)
}

/// Signedness of an arithmetic result: signed if one operand is, literals adapting; shifts follow the left operand.
fn sign_of(op: BinOp, l: (&Flex, bool), r: (&Flex, bool)) -> bool {
    if matches!(op, BinOp::Shl | BinOp::Shr) {
        return l.1;
    }
    match (*l.0 == Flex::Yes, *r.0 == Flex::Yes) {
        (true, false) => r.1,
        (false, true) => l.1,
        _ => l.1 || r.1,
    }
}

/// Arithmetic on literals; None where it has no 64-bit result.
fn fold(op: BinOp, a: i128, b: i128) -> Option<i128> {
    let n = match op {
        BinOp::Add => a + b,
        BinOp::Sub => a - b,
        BinOp::Mul => a.checked_mul(b)?,
        BinOp::Div => a.checked_div(b)?,
        BinOp::Mod => a.checked_rem(b)?,
        BinOp::BitAnd => a & b,
        BinOp::BitOr => a | b,
        BinOp::BitXor => a ^ b,
        // A positive number has all 64 bits to move in.
        BinOp::Shl if (0..64).contains(&b) && a >= 0 => i128::from((a as u64).wrapping_shl(b as u32)),
        BinOp::Shl if (0..64).contains(&b) => i128::from((a as i64).wrapping_shl(b as u32)),
        BinOp::Shr if (0..64).contains(&b) => a >> b,
        _ => return None,
    };
    (i64::try_from(n).is_ok() || u64::try_from(n).is_ok()).then_some(n)
}

/// The bytes of a literal, which end where a string does.
fn c_text(text: &str) -> Vec<u8> {
    crate::syntax::string_bytes(text).into_iter().take_while(|b| *b != 0).collect()
}

fn ordered<T: PartialOrd>(op: BinOp, a: &T, b: &T) -> bool {
    match op {
        BinOp::Eq => a == b,
        BinOp::Ne => a != b,
        BinOp::Lt => a < b,
        BinOp::Le => a <= b,
        BinOp::Gt => a > b,
        _ => a >= b,
    }
}
