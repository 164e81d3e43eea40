//! `a.x ?? b`, where this kernel has no x: fields of its events and members of its structs come and go with the version.

use super::cx::{ArgsCx, Checker};
use crate::ast::{self, ExprKind as A};
use crate::hir::Ty;
use crate::world::Answer;

/// Fields that tracepoints of sockets have on one kernel or another, however near `saddr` is to `skaddr`.
const OFTEN: [&str; 8] = ["skaddr", "skbaddr", "saddr", "daddr", "sport", "dport", "saddr_v6", "daddr_v6"];

impl<'a> Checker<'a> {
    /// The one of `left ?? right` that this kernel has, where it lacks the other.
    pub(super) fn only_one(&mut self, left: &'a ast::Expr, right: &'a ast::Expr) -> Option<&'a ast::Expr> {
        if self.is_absent(left, right) {
            return Some(right);
        }
        self.is_absent(right, left).then_some(left)
    }

    /// Whether this is `args.NAME` of a tracepoint, or a member of a kernel's struct, that this kernel has none of. Not where one has nearly this
    /// name: that is a slip of the pen, unless the other side names it.
    fn is_absent(&mut self, e: &'a ast::Expr, other: &ast::Expr) -> bool {
        let A::Field { base, name, .. } = &e.kind else { return false };
        let Some(names) = self.names_in(base) else { return false };
        let named = match &other.kind {
            A::Field { name, .. } => names.contains(&name.text),
            _ => false,
        };
        let all = || names.iter().map(String::as_str);
        let slip = || !OFTEN.contains(&name.text.as_str()) && !crate::suggest::nearest(&name.text, all(), 1).is_empty();
        !names.contains(&name.text) && (named || !slip())
    }

    /// The fields of the event, or the members of the kernel's struct, that this is or points to. None: it is neither.
    fn names_in(&mut self, base: &'a ast::Expr) -> Option<Vec<String>> {
        if let (A::Ident(of), ArgsCx::Trace(event)) = (&base.kind, &self.probe.args)
            && of == "args"
        {
            return Some(event.fields.iter().map(|f| f.name.clone()).collect());
        }
        // Packets' fields have dots too.
        let mut root = base;
        while let A::Field { base, .. } = &root.kind {
            root = base;
        }
        if matches!(&root.kind, A::Ident(of) if !["args", "ctx", "curtask", "retval"].contains(&of.as_str())) {
            return None;
        }
        let of = match self.quietly(|c| c.place(base)).e.ty {
            Ty::Ptr { to, .. } => *to,
            ty => ty,
        };
        let Ty::Struct(owner) = of else { return None };
        // One of the script's own is as the script says.
        let Answer::Found(kernels) = self.world.kernel_struct(&owner) else { return None };
        (*self.struct_def(&owner)? == kernels).then(|| self.member_names(&owner))
    }
}
