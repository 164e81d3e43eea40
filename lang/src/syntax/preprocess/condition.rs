//! `#if`'s expressions.

use crate::ast::{Arg, BinOp, Expr, ExprKind, UnOp};
use crate::span::FileId;
use std::cell::Cell;
use std::collections::HashMap;

/// How many `#define`s may lead to one another.
const MAX_CHAIN: u32 = 16;

/// How many parts of conditions are looked at: `#define A B+B`, `#define B C+C` … would take for ever.
const MAX_STEPS: u32 = 10_000;

struct Evaluator<'d> {
    defines: &'d HashMap<String, String>,
    steps: Cell<u32>,
}

/// The value of a condition; an unknown name is 0, as in C.
pub(super) fn evaluate(text: &str, defines: &HashMap<String, String>) -> Result<i64, String> {
    let (expr, diags) = crate::syntax::parse_expr(&with_parens(text), FileId::default());
    let evaluator = Evaluator { defines, steps: Cell::new(0) };
    match expr {
        Some(expr) if diags.is_empty() => evaluator.value(&expr, 0),
        _ => Err(format!("`{}` can't be evaluated as a condition", text.trim())),
    }
}

/// `defined X` as `defined(X)`.
fn with_parens(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(at) = rest.find("defined") {
        let (before, after) = rest.split_at(at + "defined".len());
        out.push_str(before);
        let trimmed = after.trim_start();
        let len = trimmed.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        rest = after;
        if len > 0 && after.starts_with(char::is_whitespace) {
            out.push('(');
            out.push_str(&trimmed[..len]);
            out.push(')');
            rest = &trimmed[len..];
        }
    }
    out.push_str(rest);
    out
}

impl Evaluator<'_> {
    fn value(&self, expr: &Expr, depth: u32) -> Result<i64, String> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > MAX_STEPS {
            return Err("this condition is too long".into());
        }
        let of = |e: &Expr| self.value(e, depth);
        match &expr.kind {
            ExprKind::Int { value, .. } => Ok(*value as i64),
            ExprKind::Bool(b) => Ok(i64::from(*b)),
            ExprKind::Ident(name) => self.name(name, depth),
            ExprKind::Call { name, args } => self.call(&name.text, args, depth),
            ExprKind::Unary { op, expr } => Ok(match op {
                UnOp::Not => i64::from(of(expr)? == 0),
                UnOp::Neg => of(expr)?.wrapping_neg(),
                UnOp::BitNot => !of(expr)?,
                UnOp::Plus => of(expr)?,
                UnOp::Deref | UnOp::AddrOf => return Err("pointers have no value before the program runs".into()),
            }),
            ExprKind::Ternary { cond, then, otherwise } => {
                let c = of(cond)?;
                if c == 0 { of(otherwise) } else { then.as_ref().map_or(Ok(c), |t| of(t)) }
            }
            ExprKind::Binary { op, left, right } => binary(*op, of(left)?, of(right)?),
            _ => Err("only numbers, names, `defined(NAME)` and operators can stand in a condition".into()),
        }
    }

    fn name(&self, name: &str, depth: u32) -> Result<i64, String> {
        let Some(text) = self.defines.get(name) else {
            if name == "LINUX_VERSION_CODE" {
                return Err("the kernel's version isn't known here".into());
            }
            return Ok(0);
        };
        if depth >= MAX_CHAIN {
            return Err(format!("`{name}` is defined by itself"));
        }
        let (expr, diags) = crate::syntax::parse_expr(text, FileId::default());
        match expr {
            Some(expr) if diags.is_empty() => self.value(&expr, depth + 1),
            _ => Err(format!("`{name}` is defined as `{text}`, which is no number")),
        }
    }

    fn call(&self, name: &str, args: &[Arg], depth: u32) -> Result<i64, String> {
        let part = |arg: &Arg| self.value(&arg.value, depth);
        match (name, args) {
            ("defined", [Arg { value: Expr { kind: ExprKind::Ident(name), .. }, .. }]) => {
                Ok(i64::from(self.defines.contains_key(name)))
            }
            ("KERNEL_VERSION", [a, b, c]) => {
                Ok(part(a)?.wrapping_shl(16).wrapping_add(part(b)?.wrapping_shl(8)).wrapping_add(part(c)?.min(255)))
            }
            _ => Err(format!("`{name}(…)` can't stand in a condition")),
        }
    }
}

fn binary(op: BinOp, a: i64, b: i64) -> Result<i64, String> {
    Ok(match op {
        BinOp::Add => a.wrapping_add(b),
        BinOp::Sub => a.wrapping_sub(b),
        BinOp::Mul => a.wrapping_mul(b),
        BinOp::Div => a.checked_div(b).ok_or("division by zero")?,
        BinOp::Mod => a.checked_rem(b).ok_or("division by zero")?,
        BinOp::BitAnd => a & b,
        BinOp::BitOr => a | b,
        BinOp::BitXor => a ^ b,
        BinOp::Shl => a.wrapping_shl(b as u32),
        BinOp::Shr => a.wrapping_shr(b as u32),
        BinOp::Eq => i64::from(a == b),
        BinOp::Ne => i64::from(a != b),
        BinOp::Lt => i64::from(a < b),
        BinOp::Le => i64::from(a <= b),
        BinOp::Gt => i64::from(a > b),
        BinOp::Ge => i64::from(a >= b),
        BinOp::LogAnd => i64::from(a != 0 && b != 0),
        BinOp::LogOr => i64::from(a != 0 || b != 0),
        BinOp::Coalesce => return Err("`??` can't stand in a condition".into()),
    })
}
