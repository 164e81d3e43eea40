//! Functions, their prototypes, and raw tracepoints' arguments.

use super::raw::Btf;
use super::record::{Kind, Record};
use crate::symbols::glob::Glob;
use std::ops::ControlFlow;
use weftrace_lang::world::{FnProto, Param};

/// Typedef of a tracepoint's probe function (include/linux/tracepoint.h).
const RAW_PREFIX: &str = "btf_trace_";
/// Functions with the same parameters that, unlike the typedef, have names for them; newer kernels have the first (Linux 6.4).
const NAMED: [&str; 2] = ["__probestub_", "__traceiter_"];

impl Btf {
    /// Prototype of a function.
    pub fn function(&self, name: &str) -> Option<FnProto> {
        let func = self.find(name, &[Kind::Func])?;
        self.proto(func.word, name, 0)
    }

    /// Name of the function that a type is.
    pub fn function_name(&self, id: u32) -> Option<String> {
        let record = self.by_id(id).filter(|r| r.kind == Kind::Func)?;
        Some(self.name_of(&record).into_owned())
    }

    /// BTF id of a function, for fentry.
    pub fn function_id(&self, name: &str) -> Option<u32> {
        self.find(name, &[Kind::Func]).map(|r| r.id)
    }

    /// BTF id of a function that programs may call. Kernels since 6.10 mark those (`bpf_kfunc`); older ones mark none.
    pub fn kfunc_id(&self, name: &str) -> Option<u32> {
        let id = self.function_id(name)?;
        let (mut any, mut own) = (false, false);
        self.walk(|r| {
            if r.kind == Kind::DeclTag && self.bytes_at(r.name_off) == b"bpf_kfunc" {
                any = true;
                own |= r.word == id;
            }
            if own { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (own || !any).then_some(id)
    }

    /// Names of functions, sorted, each once.
    pub fn functions(&self, glob: &Glob) -> Vec<String> {
        self.names(Kind::Func, "", glob)
    }

    /// Functions with the numbers of their prototypes, sorted by name, each once.
    pub fn prototypes(&self, glob: &Glob) -> Vec<(String, u32)> {
        let mut out = Vec::new();
        self.walk(|r| {
            let name = if r.kind == Kind::Func { self.bytes_at(r.name_off) } else { &[] };
            if !name.is_empty() && glob.matches_bytes(name) {
                out.push((String::from_utf8_lossy(name).into_owned(), r.word));
            }
            ControlFlow::Continue(())
        });
        out.sort_unstable();
        out.dedup_by(|b, a| a.0 == b.0);
        out
    }

    /// Arguments of a raw tracepoint, without the hidden `void *__data`.
    pub fn raw_tracepoint(&self, event: &str) -> Option<FnProto> {
        let typedef = self.raw_tracepoint_id(event)?;
        let with_names = NAMED.iter().find_map(|prefix| self.find(&format!("{prefix}{event}"), &[Kind::Func]));
        let proto = match with_names {
            Some(func) => func.word,
            None => self.pointee(typedef)?.id,
        };
        self.proto(proto, event, 1)
    }

    /// The same as C writes them: `struct task_struct * prev`.
    pub fn raw_tracepoint_parameters(&self, event: &str) -> Option<Vec<String>> {
        let typedef = self.raw_tracepoint_id(event)?;
        let named = NAMED.iter().find_map(|prefix| self.proto_of(&format!("{prefix}{event}")));
        self.parameters(named.or_else(|| Some(self.pointee(typedef)?.id))?, 1, false)
    }

    /// BTF id of a raw tracepoint's typedef, for tp_btf.
    pub fn raw_tracepoint_id(&self, event: &str) -> Option<u32> {
        self.find(&format!("{RAW_PREFIX}{event}"), &[Kind::Typedef]).map(|r| r.id)
    }

    /// Names of raw tracepoints, sorted.
    pub fn raw_tracepoints(&self, glob: &Glob) -> Vec<String> {
        self.names(Kind::Typedef, RAW_PREFIX, glob)
    }

    fn pointee(&self, id: u32) -> Option<Record<'_>> {
        let ptr = self.peel(id).filter(|r| r.kind == Kind::Ptr)?;
        self.peel(ptr.word)
    }

    fn proto(&self, id: u32, name: &str, skip: usize) -> Option<FnProto> {
        let proto = self.by_id(id).filter(|r| r.kind == Kind::FuncProto)?;
        let params = (skip..proto.vlen)
            // A last parameter of type 0 without a name is `...`.
            .filter(|i| proto.extra(2 * i + 1) != 0)
            .map(|i| {
                let own = self.string(proto.extra(2 * i)).into_owned();
                Param {
                    name: if own.is_empty() { format!("arg{}", i - skip) } else { own },
                    ty: self.ty(proto.extra(2 * i + 1)),
                }
            })
            .collect();
        Some(FnProto { name: name.to_owned(), params, ret: self.ty(proto.word) })
    }

    fn names(&self, kind: Kind, prefix: &str, glob: &Glob) -> Vec<String> {
        let mut out = Vec::new();
        self.walk(|r| {
            if r.kind == kind {
                let rest = self.bytes_at(r.name_off).strip_prefix(prefix.as_bytes());
                if let Some(rest) = rest.filter(|rest| glob.matches_bytes(rest)) {
                    out.push(String::from_utf8_lossy(rest).into_owned());
                }
            }
            ControlFlow::Continue(())
        });
        out.sort_unstable();
        out.dedup();
        out
    }
}
