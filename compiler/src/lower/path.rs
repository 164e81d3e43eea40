//! `path()`: the path that a struct path names.

use super::{
    cx::{Cx, R},
    mem::Mem,
};
use crate::ir::{Helper, Op, Space, Ty as IrTy, Value, ValueDef};
use weftrace_lang::{diag::Diagnostic, hir::Expr};

impl Cx<'_, '_> {
    /// Into a buffer first: the kernel writes a path from the end of it backwards, and what follows the NUL is not zeroed. Of a longer
    /// path the buffer has the end.
    pub(crate) fn path_of(&mut self, args: &[Expr], e: &Expr, dst: Mem, cap: u32, zeroed: bool) -> R<()> {
        let [path] = args else { return self.not_yet(e.span, "path() with these arguments") };
        if !self.kernel {
            return self.elsewhere(e.span, "path()");
        }
        let address = self.scalar(path)?;
        if !self.is_typed_member(address) {
            let d = Diagnostic::error("bad-argument", path.span, "the kernel does not know what this points to")
                .note("it names the path of what an argument of the probe holds, not of what variables keep across branches and loops")
                .note("not of what further pointers lead to either: those may be stale or null, and kernels before 6.11 would follow them unchecked")
                .write("a member of an argument: path(args.file.f_path), in iter:task_file path(ctx.file.f_path)");
            return Err(Box::new(d));
        }
        let buffer = self.temp(cap);
        self.fill(buffer, cap);
        let (to, len) = (self.addr(buffer), self.iconst(i64::from(cap)));
        let result = self.b.call(Helper::DPath, &[address, to, len]);
        self.note_read(result);
        self.warn_if_failed(Helper::DPath, result, e.span);
        if !zeroed {
            self.fill(dst, cap);
        }
        let (to, from) = (self.addr(dst), self.addr(buffer));
        let from = self.b.ptr_int(from);
        self.b.call(Helper::ReadKernelStr, &[to, len, from]);
        Ok(())
    }

    /// Whether the verifier will know the type: a member, by constant offsets, of what the context holds.
    fn is_typed_member(&self, mut value: Value) -> bool {
        let func = self.b.func();
        while let ValueDef::Inst(inst) = func.values[value.index()].def {
            match func.insts[inst.index()].op {
                Op::FieldOff { base, .. } => value = base,
                Op::Load { ptr, .. } => return self.b.ty(ptr) == IrTy::Ptr(Space::Ctx),
                _ => return false,
            }
        }
        false
    }
}
