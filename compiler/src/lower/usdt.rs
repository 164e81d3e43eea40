//! The traced program: arguments of static markers (constants, registers, memory of the process), addresses of its symbols.

use super::{
    cx::{Cx, R},
    mem::Remote,
};
use crate::ir::{BinaryOp, Helper, Value};
use weftrace_lang::{
    hir::{Expr, ExprKind as E, Provider, Ty},
    span::Span,
    world::{UsdtArg, UsdtPlace},
};

impl Cx<'_, '_> {
    /// `argN` at this function's place, as 64 bits; 0 where the place has fewer.
    pub(crate) fn marker_argument(&mut self, n: u32, span: Span) -> R<Value> {
        let Some(arg) = self.site.and_then(|s| s.args.get(n as usize)) else { return Ok(self.iconst(0)) };
        let bytes = u32::from(arg.size);
        match &arg.place {
            UsdtPlace::Constant(n) => {
                let n = self.iconst(*n);
                Ok(self.cut(n, arg))
            }
            UsdtPlace::Register { register, shift } => {
                let whole = self.register(i32::from(*register), span)?;
                let part =
                    if *shift == 0 { whole } else { self.b.binary_imm(BinaryOp::Lshr, whole, i64::from(*shift)) };
                Ok(self.cut(part, arg))
            }
            UsdtPlace::Memory { base, index, scale, offset } => {
                let mut address = self.iconst(*offset);
                for (register, times) in [(base, 1), (index, *scale)] {
                    let Some(register) = register else { continue };
                    let value = self.register(i32::from(*register), span)?;
                    let value =
                        if times == 1 { value } else { self.b.binary_imm(BinaryOp::Imul, value, i64::from(times)) };
                    address = self.b.binary(BinaryOp::Iadd, address, value);
                }
                let buffer = self.temp(8);
                self.read_remote(buffer, bytes, &Remote::new(address, true), span)?;
                Ok(self.load(bytes, arg.signed, buffer))
            }
            UsdtPlace::Unreadable(text) => self.not_yet(span, format!("the argument `{text}`")),
        }
    }

    /// `uaddr("symbol")`: the distance from the probe is in the file, where the probe is now the kernel tells.
    pub(crate) fn user_address(&mut self, args: &[Expr], span: Span) -> R<Value> {
        let [Expr { kind: E::Str(name), .. }] = args else { return self.not_yet(span, "uaddr() of this") };
        let mut places = 1;
        let (path, offset, ret) = match self.target.map(|t| &t.provider) {
            // Not at the function's first instruction.
            Some(Provider::Uprobe { path, go: Some(go), offset, .. }) => {
                places = go.places.len();
                (path, go.places.first().copied().unwrap_or(*offset), false)
            }
            Some(Provider::Uprobe { path, offset, ret, .. }) => (path, *offset, *ret),
            Some(Provider::Usdt { path, .. }) => (path, self.site.map_or(0, |s| s.file_offset), false),
            _ => return self.elsewhere(span, "an address of the traced program"),
        };
        let symbol = self.m.world.user_symbol(path, name).found();
        let here = self.m.world.user_address(path, offset).found();
        let (Some(symbol), Some(here)) = (symbol, here) else {
            return self.not_yet(span, format!("the address of {name} in {path}"));
        };
        if here.fixed {
            return Ok(self.iconst(symbol.address as i64));
        }
        if places > 1 {
            return self.not_yet(span, "uaddr() where a position-independent Go function returns at several places");
        }
        // At a return the instruction pointer is already the caller's.
        let probe = if ret {
            let ctx = self.b.ctx();
            self.b.call(Helper::FuncIp, &[ctx])
        } else {
            self.register(weftrace_arch::HOST.instruction_pointer.into(), span)?
        };
        Ok(self.b.binary_imm(BinaryOp::Iadd, probe, symbol.address.wrapping_sub(here.address) as i64))
    }

    /// The argument's own bits, extended by its sign.
    fn cut(&mut self, value: Value, arg: &UsdtArg) -> Value {
        if arg.size >= 8 {
            return value;
        }
        self.normalise(value, &Ty::Int { bits: arg.size * 8, signed: arg.signed })
    }
}
