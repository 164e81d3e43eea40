//! Attach points by the kernel's type information: fentry, fexit, iterators.

use super::attach::{Fault, Found, Point, Resolved, bad, is_glob, missing, unanswered};
use super::cx::{ArgsCx, Checker};
use super::glob;
use super::providers::ProviderKind;
use crate::diag::Diagnostic;
use crate::hir::{Provider, Space, Ty};
use crate::world::{Answer, FnProto};

/// Prefix of an iterator's function, and of its context's struct.
const ITER_FN: &str = "bpf_iter_";
const ITER_STRUCT: &str = "bpf_iter__";
/// The word in a function's place that names BPF programs.
const BPF: &str = "bpf";

impl Checker<'_> {
    pub(crate) fn fentry(&mut self, p: &Point<'_>) -> Resolved {
        if p.text(0) == BPF && p.segments.len() > 1 {
            return self.fentry_bpf(p);
        }
        let (module, function) = match p.segments.len() {
            1 => (None, p.text(0).to_owned()),
            2 => (Some(p.text(0).to_owned()), p.text(1).to_owned()),
            _ => {
                let d = Diagnostic::error("bad-attach-point", p.span, format!("{} is not written so", p.row.name));
                return Err(bad(d.write(p.row.shape)));
            }
        };
        let written = module.as_ref().map_or_else(|| function.clone(), |m| format!("{m}:{function}"));
        if is_glob(&written) {
            return self.fentry_glob(p, &written);
        }
        match self.world.kernel_function(&written) {
            Answer::Found(Some(proto)) => {
                self.function_support(p, &function)?;
                Ok(vec![self.fentry_target(p, module, function, proto, false)])
            }
            Answer::Found(None) => {
                let d = Diagnostic::error("no-such-probe", p.span, format!("{written} has no type information"));
                Err(missing(d.write(format!("kprobe:{written} (arguments as arg0, arg1 …)"))))
            }
            answer => {
                let what = format!("kernel function {written}");
                Err(unanswered(answer, p.span, &what, |d| self.absent_function(d, p, &function)))
            }
        }
    }

    fn fentry_glob(&mut self, p: &Point<'_>, written: &str) -> Resolved {
        let names = match self.world.kernel_functions(written) {
            Answer::Found(names) if !names.is_empty() => names,
            answer => {
                let what = format!("kernel functions {written}");
                return Err(unanswered(answer, p.span, &what, |d| self.absent_function(d, p, written)));
            }
        };
        let mut found = Vec::new();
        for name in names {
            let Answer::Found(Some(proto)) = self.world.kernel_function(&name) else { continue };
            let (module, function) = match name.split_once(':') {
                Some((m, f)) => (Some(m.to_owned()), f.to_owned()),
                None => (None, name),
            };
            found.push(self.fentry_target(p, module, function, proto, true));
        }
        Ok(found)
    }

    fn fentry_target(
        &self,
        p: &Point<'_>,
        module: Option<String>,
        function: String,
        proto: FnProto,
        wildcard: bool,
    ) -> Found {
        let ret = p.row.kind == ProviderKind::Fexit;
        let name = p.named(&[module.as_deref().unwrap_or("vmlinux"), &function]);
        let slots = (0..proto.params.len()).map(|i| self.argument_words(&proto.params[i].ty)).sum();
        let mut f = p.found(name, Provider::Fentry { function, module, ret, bpf: None, slots }, wildcard);
        f.args = ArgsCx::Fn(proto);
        f
    }

    /// Words of the context that an argument takes: structs by value may take two.
    pub(crate) fn argument_words(&self, ty: &Ty) -> u32 {
        let Ty::Struct(name) = ty else { return 1 };
        self.world.kernel_struct(name).found().map_or(1, |s| s.size.div_ceil(8).max(1))
    }

    /// `fentry:bpf:PROGRAM`, `fentry:bpf:ID:PROGRAM`
    fn fentry_bpf(&mut self, p: &Point<'_>) -> Resolved {
        let (id, program) = if p.segments.len() == 2 {
            (None, p.text(1).to_owned())
        } else {
            let Some(id) = super::params::parse_number(p.text(1)).and_then(|n| u32::try_from(n).ok()) else {
                let message = format!("{} is no number of a BPF program", p.text(1));
                let d = Diagnostic::error("bad-attach-point", p.segment_span(1), message);
                return Err(bad(d.write(p.row.shape)));
            };
            (Some(id), p.text(2).to_owned())
        };
        let programs = match self.world.bpf_programs() {
            Answer::Found(all) => all,
            answer => return Err(unanswered(answer, p.span, "that BPF program", |d| d)),
        };
        let ret = p.row.kind == ProviderKind::Fexit;
        let wildcard = is_glob(&program);
        let found: Vec<Found> = programs
            .iter()
            .filter(|(n, name)| id.is_none_or(|id| id == *n) && glob::matches(&program, name))
            .map(|(n, name)| {
                let provider = Provider::Fentry { function: name.clone(), module: None, ret, bpf: Some(*n), slots: 1 };
                p.found(p.named(&[BPF, &n.to_string(), name]), provider, wildcard)
            })
            .collect();
        if found.is_empty() {
            let names: Vec<&str> = programs.iter().map(|(_, n)| n.as_str()).collect();
            let d = Diagnostic::error("no-such-probe", p.span, format!("no BPF program {program} is loaded"));
            let near = crate::suggest::nearest(&program, names.iter().copied(), 3);
            return Err(missing(if near.is_empty() { d } else { d.near(near.join(", ")) }));
        }
        Ok(found)
    }

    pub(crate) fn iterator(&mut self, p: &Point<'_>) -> Resolved {
        let wanted = p.text(0);
        if wanted.is_empty() {
            return Err(self.absent_iter(p));
        }
        if let Some(pin) = p.segments.get(1).filter(|s| !s.text.is_empty()) {
            let d = Diagnostic::error("not-supported", pin.span, "iterators are not pinned here")
                .note("what a probe prints is formatted by this process: who reads a pinned iterator later would see nothing")
                .write(p.named(&[wanted]));
            return Err(bad(d));
        }
        let kinds = if is_glob(wanted) {
            self.iterators(wanted)
        } else if self.world.kernel_struct(&format!("{ITER_STRUCT}{wanted}")).is_found() {
            vec![wanted.to_owned()]
        } else {
            Vec::new()
        };
        if kinds.is_empty() {
            return Err(self.absent_iter(p));
        }
        let wildcard = is_glob(wanted);
        Ok(kinds
            .into_iter()
            .map(|kind| {
                let name = p.named(&[&kind]);
                let object = Ty::Struct(format!("{ITER_STRUCT}{kind}"));
                let pid = self.walked_pid(&kind);
                let mut f = p.found(name, Provider::Iter { kind, pid }, wildcard);
                f.args = ArgsCx::Ctx(Ty::Ptr { to: Box::new(object), space: Space::Ctx });
                f
            })
            .collect())
    }

    /// Kinds of iterators that this kernel has: each has a function and a struct.
    pub(crate) fn iterators(&self, wanted: &str) -> Vec<String> {
        let functions = self.world.typed_functions(&format!("{ITER_FN}{wanted}")).found().unwrap_or_default();
        functions
            .iter()
            .filter_map(|f| f.strip_prefix(ITER_FN))
            .filter(|kind| self.world.kernel_struct(&format!("{ITER_STRUCT}{kind}")).is_found())
            .map(str::to_owned)
            .collect()
    }

    fn absent_iter(&self, p: &Point<'_>) -> Fault {
        let kind = p.text(0);
        let message = format!("no iterator {kind} on this kernel ({})", self.kernel());
        let d = Diagnostic::error("no-such-probe", p.span, message)
            .bpftrace(format!("iter {kind} not available for your kernel version."));
        let all = self.iterators("*");
        let near = crate::suggest::nearest(kind, all.iter().map(String::as_str), 4);
        let names = if near.is_empty() { all.iter().take(12).cloned().collect() } else { near };
        bad(if names.is_empty() { d } else { d.near(names.join(", ")) })
    }
}
