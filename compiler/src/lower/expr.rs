//! Expressions whose value is held in a register, and conditions.

use super::{
    cx::{Cx, R, VarHome},
    layout::{in_register, width},
    mem::Mem,
};
use crate::{
    ir::{BinaryOp, Block, Cond, UnaryOp, Value},
    place::walk::known,
};
use weftrace_artifact::action::Warning;
use weftrace_lang::{
    hir::{BinOp, Expr, ExprKind as E, Func, Ty, UnOp, VarRef},
    span::Span,
};

impl Cx<'_, '_> {
    /// The value of an expression that fits a register, as its type holds it.
    pub(crate) fn scalar(&mut self, e: &Expr) -> R<Value> {
        self.at(e.span, |cx| cx.scalar_inner(e))
    }

    fn scalar_inner(&mut self, e: &Expr) -> R<Value> {
        match &e.kind {
            E::Int(i) => Ok(self.iconst(*i)),
            E::Var(v) => match self.var_home(*v) {
                Some(VarHome::Ssa(variable)) => Ok(self.read_var(variable)),
                _ => self.load_expr(e, None),
            },
            E::MapGet { map, key } => self.map_get(*map, key.as_deref(), e),
            E::HasKey { map, key } => self.map_has(*map, key),
            E::Rate { map, key, window_ns } => self.rate(*map, key.as_deref(), *window_ns, e.span),
            E::MapLen(map) => Ok(self.map_len(*map)),
            E::IncMap { map, key, delta, prefix } => self.map_inc(*map, key.as_deref(), *delta, *prefix, e.span),
            E::IncVar { var, delta, prefix } => self.var_inc(*var, *delta, *prefix, e),
            E::Unary { op, expr } => self.unary(*op, expr, &e.ty),
            E::Binary { op, left, right } => self.binary(*op, left, right, e),
            E::Logical { .. } | E::StrEq { .. } | E::NetMatch { .. } => {
                self.merge(|cx, a, b| cx.branch(e, a, b), |cx| Ok(cx.iconst(1)), |cx| Ok(cx.iconst(0)))
            }
            E::Cond { cond, then, otherwise } => self.merge(
                |cx, a, b| cx.branch(cond, a, b),
                |cx| cx.scalar_as(then, &e.ty),
                |cx| cx.scalar_as(otherwise, &e.ty),
            ),
            E::Coalesce { left, right } => self.coalesce(left, right, &e.ty),
            E::Cast(inner) => self.cast(inner, e),
            E::PtrAdd { ptr, count } => self.pointer_add(ptr, count),
            E::AddrOf(inner) => self.address_of(inner),
            E::Call { func, args } => self.call_scalar(*func, args, e),
            E::Field { bits, .. } => self.load_expr(e, *bits),
            E::Index { base, index } => self.load_element(e, base, index),
            E::Deref(_) | E::TupleField { .. } | E::LegField { .. } | E::Anchor { .. } => self.load_expr(e, None),
            E::TraceArg { .. } | E::Arg(_) | E::Retval | E::Reg { .. } => self.context_value(e),
            E::Packet(name) => self.packet_scalar(name, e.span),
            E::LegValue { leg } => self.leg_value(*leg, e.span),
            E::JoinPart(part) => self.join_number(*part, e.span),
            E::LegPart { leg, part } => self.leg_number(*leg, *part, e.span),
            E::Block(block) => self.block_value(block, |cx, tail| cx.scalar_as(tail, &e.ty)),
            E::Bytes(_) | E::Str(_) | E::Tuple(_) | E::Record(_) | E::Header { .. } => {
                self.not_yet(e.span, "this value as a number")
            }
        }
    }

    /// `$x++`
    fn var_inc(&mut self, var: VarRef, delta: i64, prefix: bool, e: &Expr) -> R<Value> {
        let ty = self.var_ty(var);
        let (bytes, signed) = width(&ty);
        let more = |cx: &mut Self, old| {
            let new = cx.b.binary_imm(BinaryOp::Iadd, old, delta);
            cx.normalise(new, &ty)
        };
        let (old, new) = match self.var_home(var) {
            Some(VarHome::Ssa(variable)) if in_register(&ty) => {
                let old = self.read_var(variable);
                let new = more(self, old);
                self.set_var(variable, new);
                (old, new)
            }
            Some(VarHome::Slot(slot)) if in_register(&ty) => {
                let m = Mem::new(self.b.slot_addr(slot), 0);
                let old = self.load(bytes, signed, m);
                let new = more(self, old);
                self.store(bytes, new, m);
                (old, new)
            }
            _ => return self.not_yet(e.span, "counting in this variable"),
        };
        Ok(if prefix { new } else { old })
    }

    /// The value converted to another register type.
    pub(crate) fn scalar_as(&mut self, e: &Expr, ty: &Ty) -> R<Value> {
        if !in_register(&e.ty) {
            return self.cast(e, &Expr { kind: E::Int(0), ty: ty.clone(), span: e.span });
        }
        let v = self.scalar(e)?;
        Ok(self.convert(v, &e.ty, ty))
    }

    /// An integer conversion; nothing to do where every value of `from` is one of `to`.
    pub(crate) fn convert(&mut self, v: Value, from: &Ty, to: &Ty) -> Value {
        let ((fb, fs), (tb, ts)) = (width(from), width(to));
        let keeps = match (from, to) {
            (Ty::Bool, _) => true,
            (_, Ty::Bool) => false,
            _ => (fs == ts && fb <= tb) || (!fs && ts && fb < tb) || tb == 8,
        };
        if keeps { v } else { self.normalise(v, to) }
    }

    fn load_expr(&mut self, e: &Expr, bits: Option<(u8, u8)>) -> R<Value> {
        let Some(place) = self.place(e)? else {
            return self.not_yet(e.span, "this value");
        };
        self.with_temps(|cx| cx.load_place(&place, &e.ty, bits, read_span(e)))
    }

    fn unary(&mut self, op: UnOp, inner: &Expr, ty: &Ty) -> R<Value> {
        if op == UnOp::Not {
            if in_register(&inner.ty) {
                let v = self.scalar(inner)?;
                return Ok(self.b.icmp_imm(Cond::Eq, v, 0));
            }
            return self.merge(|cx, a, b| cx.branch(inner, a, b), |cx| Ok(cx.iconst(0)), |cx| Ok(cx.iconst(1)));
        }
        let v = self.scalar(inner)?;
        Ok(match op {
            UnOp::BitNot => {
                let v = self.b.unary(UnaryOp::Bnot, v);
                self.normalise(v, ty)
            }
            UnOp::Neg => {
                let v = self.b.unary(UnaryOp::Ineg, v);
                self.normalise(v, ty)
            }
            UnOp::Plus | UnOp::Not => v,
            UnOp::Deref | UnOp::AddrOf => return self.not_yet(inner.span, "this operator"),
        })
    }

    fn binary(&mut self, op: BinOp, left: &Expr, right: &Expr, e: &Expr) -> R<Value> {
        if let Some(cond) = comparison(op, &left.ty, &right.ty) {
            let present = self.present(left, right);
            let a = self.scalar(left)?;
            let b = self.scalar(right)?;
            let result = self.b.icmp(cond, a, b);
            return Ok(match present {
                Some(p) => self.b.binary(BinaryOp::Band, p, result),
                None => result,
            });
        }
        let a = self.scalar(left)?;
        let b = self.scalar(right)?;
        let signed = width(&left.ty).1;
        let op = match op {
            BinOp::Add => BinaryOp::Iadd,
            BinOp::Sub => BinaryOp::Isub,
            BinOp::Mul => BinaryOp::Imul,
            BinOp::BitAnd => BinaryOp::Band,
            BinOp::BitOr => BinaryOp::Bor,
            BinOp::BitXor => BinaryOp::Bxor,
            BinOp::Shl => BinaryOp::Shl,
            BinOp::Shr if signed => BinaryOp::Ashr,
            BinOp::Shr => BinaryOp::Lshr,
            BinOp::Div | BinOp::Mod => {
                let v = self.divide(op == BinOp::Div, width(&e.ty).1, (a, b), right, e)?;
                return Ok(self.normalise(v, &e.ty));
            }
            _ => return self.not_yet(e.span, "this operator"),
        };
        let v = self.b.binary(op, a, b);
        Ok(self.normalise(v, &e.ty))
    }

    /// `x / 0` and `x % 0` give 1 and a warning, as bpftrace has it.
    fn divide(&mut self, div: bool, signed: bool, (a, b): (Value, Value), right: &Expr, e: &Expr) -> R<Value> {
        let op = match (div, signed) {
            (true, true) => BinaryOp::Sdiv,
            (true, false) => BinaryOp::Udiv,
            (false, true) => BinaryOp::Srem,
            (false, false) => BinaryOp::Urem,
        };
        if matches!(right.kind, E::Int(i) if i != 0) {
            return Ok(self.b.binary(op, a, b));
        }
        self.merge(
            |cx, then, otherwise| {
                let is_zero = cx.b.icmp_imm(Cond::Eq, b, 0);
                cx.brif(is_zero, then, otherwise);
                Ok(())
            },
            |cx| {
                cx.warn(Warning::DivisionByZero, e.span);
                Ok(cx.iconst(1))
            },
            |cx| Ok(cx.b.binary(op, a, b)),
        )
    }

    fn cast(&mut self, inner: &Expr, e: &Expr) -> R<Value> {
        if in_register(&inner.ty) {
            let v = self.scalar(inner)?;
            return Ok(self.convert(v, &inner.ty, &e.ty));
        }
        // Bytes as a number: the first ones, in host order.
        self.with_temps(|cx| {
            let have = cx.size_of(&inner.ty, inner.span)?;
            let (want, signed) = width(&e.ty);
            let bytes = [8, 4, 2, 1].into_iter().find(|n| *n <= want && *n <= have).unwrap_or(1);
            let m = cx.memory_of(inner)?;
            Ok(cx.load(bytes, signed, m))
        })
    }

    fn pointer_add(&mut self, ptr: &Expr, count: &Expr) -> R<Value> {
        let size = match &ptr.ty {
            Ty::Ptr { to, .. } => self.size_of(to, ptr.span).unwrap_or(1),
            _ => 1,
        };
        let p = self.scalar(ptr)?;
        let n = self.scalar(count)?;
        let n = self.b.binary_imm(BinaryOp::Imul, n, i64::from(size));
        Ok(self.b.iadd(p, n))
    }

    fn address_of(&mut self, inner: &Expr) -> R<Value> {
        if let E::MapGet { map, key } = &inner.kind {
            return self.map_address(*map, key.as_deref(), inner.span);
        }
        match self.place(inner)? {
            Some(super::mem::Place::Remote(r)) => Ok(self.remote_addr(&r)),
            Some(super::mem::Place::Direct(m)) if self.is_lasting(m) => {
                let at = self.addr(m);
                Ok(self.b.ptr_int(at))
            }
            _ => self.not_yet(inner.span, "the address of this"),
        }
    }

    // Conditions.

    /// Sends the run to `then` if the expression is true, else to `otherwise`.
    pub(crate) fn branch(&mut self, e: &Expr, then: Block, otherwise: Block) -> R<()> {
        self.at(e.span, |cx| cx.branch_inner(e, then, otherwise))
    }

    fn branch_inner(&mut self, e: &Expr, then: Block, otherwise: Block) -> R<()> {
        match &e.kind {
            // What is known decides by itself: the other side is not lowered, so that nothing is computed for it.
            E::Logical { and, left, right } if known(left).is_some() => {
                if known(left) == Some(*and) {
                    return self.branch(right, then, otherwise);
                }
                self.jump(if *and { otherwise } else { then });
                Ok(())
            }
            E::Logical { and, left, right } => {
                let middle = self.block();
                if *and {
                    self.branch(left, middle, otherwise)?;
                } else {
                    self.branch(left, then, middle)?;
                }
                self.start(middle);
                self.branch(right, then, otherwise)
            }
            E::Unary { op: UnOp::Not, expr } => self.branch(expr, otherwise, then),
            E::Binary { op, left, right } if comparison(*op, &left.ty, &right.ty).is_some() => {
                self.guard(left, right, otherwise);
                let a = self.scalar(left)?;
                let b = self.scalar(right)?;
                let cond = comparison(*op, &left.ty, &right.ty).unwrap_or(Cond::Eq);
                let result = self.b.icmp(cond, a, b);
                self.brif(result, then, otherwise);
                Ok(())
            }
            E::StrEq { left, right, len, equal } => {
                self.guard(left, right, otherwise);
                let (same, differs) = if *equal { (then, otherwise) } else { (otherwise, then) };
                self.with_temps(|cx| cx.branch_equal(left, right, *len, same, differs))
            }
            E::NetMatch { addr, family, net, prefix, equal } => {
                let (inside, outside) = if *equal { (then, otherwise) } else { (otherwise, then) };
                self.with_temps(|cx| cx.branch_in_net(addr, (*family, net, *prefix), (inside, outside), otherwise))
            }
            E::Int(i) => {
                self.jump(if *i != 0 { then } else { otherwise });
                Ok(())
            }
            _ => {
                let v = self.truth(e)?;
                self.brif(v, then, otherwise);
                Ok(())
            }
        }
    }

    /// Not 0 if the value counts as true: a number other than 0, a string that is not empty.
    fn truth(&mut self, e: &Expr) -> R<Value> {
        if in_register(&e.ty) {
            return self.scalar(e);
        }
        match e.ty {
            Ty::Str { .. } => self.with_temps(|cx| {
                let m = cx.memory_of(e)?;
                Ok(cx.load(1, false, m))
            }),
            _ => self.not_yet(e.span, "this value as a condition"),
        }
    }

    /// A comparison with an absent packet field is false: goes to `absent` then.
    fn guard(&mut self, left: &Expr, right: &Expr, absent: Block) {
        if let Some(present) = self.present(left, right) {
            let go_on = self.block();
            self.brif(present, go_on, absent);
            self.start(go_on);
        }
    }

    /// The function's arguments of a builtin, as registers.
    pub(crate) fn arg(&mut self, args: &[Expr], index: usize, func: Func, e: &Expr) -> R<Value> {
        match args.get(index) {
            Some(a) => self.scalar(a),
            None => self.not_yet(e.span, format!("{func:?} without arguments")),
        }
    }
}

/// The IR's condition for a comparison of operands of these types.
fn comparison(op: BinOp, left: &Ty, right: &Ty) -> Option<Cond> {
    let signed =
        width(left).1 && width(right).1 || width(left).1 && width(right).0 < 8 || width(right).1 && width(left).0 < 8;
    Some(match (op, signed) {
        (BinOp::Eq, _) => Cond::Eq,
        (BinOp::Ne, _) => Cond::Ne,
        (BinOp::Lt, true) => Cond::Slt,
        (BinOp::Le, true) => Cond::Sle,
        (BinOp::Gt, true) => Cond::Sgt,
        (BinOp::Ge, true) => Cond::Sge,
        (BinOp::Lt, false) => Cond::Ult,
        (BinOp::Le, false) => Cond::Ule,
        (BinOp::Gt, false) => Cond::Ugt,
        (BinOp::Ge, false) => Cond::Uge,
        _ => return None,
    })
}

/// The place of a read: from the pointer on, without the brackets around it.
fn read_span(e: &Expr) -> Span {
    let mut at = e;
    while let E::Field { base, .. } = &at.kind {
        at = base;
    }
    match &at.kind {
        E::Deref(pointer) if !std::ptr::eq(at, e) && e.span.contains(pointer.span) => {
            Span { start: pointer.span.start, ..e.span }
        }
        _ => e.span,
    }
}
