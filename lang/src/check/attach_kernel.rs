//! Attach points in the kernel: tracepoints and functions.

use super::attach::{Fault, Found, Point, Resolved, bad, is_glob, missing, unanswered};
use super::cx::{ArgsCx, Checker};
use super::hints;
use super::providers::ProviderKind;
use crate::diag::Diagnostic;
use crate::hir::{Provider, Space};
use crate::world::Answer;

/// The kernel proper, where a module is named.
const VMLINUX: &str = "vmlinux";

impl Checker<'_> {
    pub(crate) fn tracepoint(&mut self, p: &Point<'_>) -> Resolved {
        let (category, event) = (p.text(0), p.text(1));
        if is_glob(category) || is_glob(event) {
            return self.tracepoint_glob(p);
        }
        match self.world.tracepoint(category, event) {
            Answer::Found(found) => {
                let mut f = tracepoint_target(p, category, event, false);
                f.args = ArgsCx::Trace(found);
                Ok(vec![f])
            }
            answer => {
                let what = format!("tracepoint {category}:{event}");
                Err(unanswered(answer, p.span, &what, |d| self.absent_tracepoint(d, p)))
            }
        }
    }

    fn tracepoint_glob(&mut self, p: &Point<'_>) -> Resolved {
        let (category, event) = (p.text(0), p.text(1));
        let names = match self.world.tracepoints(category, event) {
            Answer::Found(names) if !names.is_empty() => names,
            answer => {
                let what = format!("tracepoints {category}:{event}");
                return Err(unanswered(answer, p.span, &what, |d| self.absent_tracepoint(d, p)));
            }
        };
        let mut found = Vec::new();
        for name in names {
            let Some((category, event)) = name.split_once(':') else { continue };
            let mut f = tracepoint_target(p, category, event, true);
            if p.uses.any()
                && let Answer::Found(e) = self.world.tracepoint(category, event)
            {
                f.args = ArgsCx::Trace(e);
            }
            found.push(f);
        }
        Ok(found)
    }

    fn absent_tracepoint(&self, mut d: Diagnostic, p: &Point<'_>) -> Diagnostic {
        let (category, event) = (p.text(0), p.text(1));
        let kernel = self.kernel();
        d.message = if is_glob(category) || is_glob(event) {
            format!("no tracepoint matches {category}:{event} on this kernel ({kernel})")
        } else {
            format!("no tracepoint {category}:{event} on this kernel ({kernel})")
        };
        d = hints::for_point(d, p.row.name, &p.as_written());
        let same: Vec<String> = self.world.tracepoints(category, "*").found().unwrap_or_default();
        let event_names: Vec<&str> = same.iter().filter_map(|n| n.split_once(':').map(|x| x.1)).collect();
        let mut near: Vec<String> = crate::suggest::nearest(event, event_names.iter().copied(), 3)
            .iter()
            .map(|e| format!("{category}:{e}"))
            .collect();
        if same.is_empty() {
            let all: Vec<String> = self.world.tracepoints("*", "*").found().unwrap_or_default();
            let exact: Vec<String> =
                all.iter().filter(|n| n.split_once(':').is_some_and(|x| x.1 == event)).cloned().collect();
            let full = format!("{category}:{event}");
            near = if exact.is_empty() {
                crate::suggest::nearest(&full, all.iter().map(String::as_str), 3)
            } else {
                exact
            };
        }
        match (near.is_empty(), d.notes.is_empty(), same.is_empty()) {
            (false, ..) => d.near(near.join(", ")),
            (true, true, false) => {
                d.note(format!("weftrace list 'tracepoint:{category}:*' shows the {} there are", same.len()))
            }
            (true, true, true) => d.note("weftrace list 'tracepoint:*' shows what there is"),
            _ => d,
        }
    }

    pub(crate) fn raw_tracepoint(&mut self, p: &Point<'_>) -> Resolved {
        let (module, event) = match p.segments.len() {
            2 => (Some(p.text(0).to_owned()), p.text(1).to_owned()),
            _ => (None, p.text(0).to_owned()),
        };
        let mut names = if is_glob(&event) {
            match self.world.raw_tracepoints(&event) {
                Answer::Found(names) if !names.is_empty() => names,
                answer => {
                    let kernel = self.kernel();
                    return Err(unanswered(answer, p.span, &format!("raw tracepoints {event}"), |mut d| {
                        d.message = format!("no raw tracepoint matches {event} on this kernel ({kernel})");
                        d
                    }));
                }
            }
        } else {
            vec![event.clone()]
        };
        if let Some(module) = &module {
            names.retain(|name| self.in_module(module, name));
            if names.is_empty() {
                let message = format!("no raw tracepoint {event} in {module}");
                return Err(missing(Diagnostic::error("no-such-probe", p.span, message)));
            }
        }
        let wildcard = is_glob(&event);
        let mut found = Vec::new();
        for name in names {
            let mut f =
                p.found(p.named(&["vmlinux", &name]), Provider::RawTracepoint { event: name.clone() }, wildcard);
            if !wildcard || p.uses.any() {
                match self.world.raw_tracepoint(&name) {
                    Answer::Found(proto) => f.args = ArgsCx::Fn(proto),
                    answer if !wildcard => {
                        let what = format!("raw tracepoint {name}");
                        return Err(unanswered(answer, p.span, &what, |d| self.absent_raw(d, &name)));
                    }
                    _ => f.args = ArgsCx::Unknown,
                }
            }
            found.push(f);
        }
        Ok(found)
    }

    /// Whether a raw tracepoint is of a module, `vmlinux` being one: each has a function that calls what is attached to it.
    fn in_module(&self, module: &str, event: &str) -> bool {
        (super::glob::matches(module, VMLINUX) && self.world.raw_tracepoint(event).is_found())
            || ["__probestub_", "__traceiter_"].iter().any(|prefix| {
                self.world.typed_functions(&format!("{module}:{prefix}{event}")).found().is_some_and(|f| !f.is_empty())
            })
    }

    fn absent_raw(&self, mut d: Diagnostic, name: &str) -> Diagnostic {
        d.message = format!("no raw tracepoint {name} on this kernel ({})", self.kernel());
        let all = self.world.raw_tracepoints("*").found().unwrap_or_default();
        let near = crate::suggest::nearest(name, all.iter().map(String::as_str), 4);
        if near.is_empty() { d } else { d.near(near.join(", ")) }
    }

    pub(crate) fn kprobe(&mut self, p: &Point<'_>) -> Resolved {
        let (module, written) = match p.segments.len() {
            2 => (Some(p.text(0).to_owned()), p.text(1)),
            _ => (None, p.text(0)),
        };
        if let (None, Some(address)) = (&module, super::params::parse_number(written)) {
            return self.kprobe_address(p, address);
        }
        let ret = p.row.kind == ProviderKind::Kretprobe;
        let (function, offset) = function_and_offset(p, written, ret)?;
        let full = module.as_ref().map_or_else(|| function.clone(), |m| format!("{m}:{function}"));
        if is_glob(&full) {
            return self.kprobe_glob(p, &full, ret);
        }
        if let Some(module) = module.as_deref().filter(|m| *m != VMLINUX) {
            self.module_loaded(p, module)?;
        }
        let mut f = kprobe_target(p, module.as_deref(), &function, offset, ret, false);
        match self.world.kernel_function(&full) {
            Answer::Found(proto) => {
                self.function_support(p, &function)?;
                f.args = match proto {
                    _ if ret || offset != 0 => ArgsCx::None,
                    Some(proto) => ArgsCx::Fn(proto),
                    None => ArgsCx::Unknown,
                };
                Ok(vec![f])
            }
            Answer::NotThere if self.opts.unsafe_ok => {
                self.not_traceable(p, &function);
                f.args = ArgsCx::Unknown;
                Ok(vec![f])
            }
            answer => {
                let what = format!("kernel function {function}");
                if answer == Answer::NotThere {
                    self.not_traceable(p, &function);
                }
                Err(unanswered(answer, p.span, &what, |d| self.absent_function(d, p, &function)))
            }
        }
    }

    fn kprobe_glob(&mut self, p: &Point<'_>, full: &str, ret: bool) -> Resolved {
        match self.world.kernel_functions(full) {
            Answer::Found(names) if !names.is_empty() => Ok(names
                .iter()
                .map(|name| {
                    let (module, function) = match name.split_once(':') {
                        Some((module, function)) => (Some(module), function),
                        None => (None, name.as_str()),
                    };
                    let mut f = kprobe_target(p, module, function, 0, ret, true);
                    if p.uses.any() && !ret {
                        f.args = match self.world.kernel_function(name).found().flatten() {
                            Some(proto) => ArgsCx::Fn(proto),
                            None => ArgsCx::Unknown,
                        };
                    }
                    f
                })
                .collect()),
            answer => {
                let what = format!("kernel functions {full}");
                Err(unanswered(answer, p.span, &what, |d| self.absent_function(d, p, full)))
            }
        }
    }

    /// At an address: whatever is there.
    fn kprobe_address(&mut self, p: &Point<'_>, address: i128) -> Resolved {
        let Some(address) = u64::try_from(address).ok().filter(|a| *a > 0) else {
            return Err(bad(Diagnostic::error("bad-attach-point", p.span, format!("{address} is no address"))));
        };
        if !self.opts.unsafe_ok {
            let d = Diagnostic::error("unsafe", p.span, "a probe at an address may stop the kernel")
                .note("nothing tells whether an instruction begins there")
                .write(format!("--unsafe, or {}:FUNCTION+OFFSET", p.row.name));
            return Err(bad(d.bpftrace("Probing by address requires --unsafe")));
        }
        let ret = p.row.kind == ProviderKind::Kretprobe;
        let mut f = kprobe_target(p, None, "", address, ret, false);
        f.target.name = p.named(&[&address.to_string()]);
        f.args = ArgsCx::Unknown;
        Ok(vec![f])
    }

    fn module_loaded(&self, p: &Point<'_>, module: &str) -> Result<(), Fault> {
        match self.world.kernel_functions(&format!("{module}:*")) {
            Answer::Found(names) if names.is_empty() => {}
            Answer::NotThere => {}
            _ => return Ok(()),
        }
        let d = Diagnostic::error("no-such-probe", p.segment_span(0), format!("no module {module} is loaded"));
        Err(bad(d.bpftrace(format!("specified module {module} in probe {} is not loaded.", p.as_written()))))
    }

    /// bpftrace says so besides; ours is in the error.
    fn not_traceable(&mut self, p: &Point<'_>, function: &str) {
        let text =
            if self.opts.unsafe_ok { format!("{function} may not be there to be probed") } else { String::new() };
        self.report(Diagnostic::warning("not-traceable", p.span, text).bpftrace(format!(
            "{function} is not traceable (either non-existing, inlined, or marked as \"notrace\"); attaching to it will likely fail"
        )));
    }

    pub(crate) fn absent_function(&self, mut d: Diagnostic, p: &Point<'_>, function: &str) -> Diagnostic {
        d.message = format!("no kernel function {function} on this kernel ({})", self.kernel());
        d = hints::for_point(d, p.row.name, &p.as_written());
        let begin: String = function.chars().take(4).take_while(|c| !is_glob(&c.to_string())).collect();
        let all = self.world.kernel_functions(&format!("{begin}*")).found().unwrap_or_default();
        let near = crate::suggest::nearest(function, all.iter().map(String::as_str), 4);
        if near.is_empty() { d } else { d.near(near.join(", ")) }
    }
}

fn tracepoint_target(p: &Point<'_>, category: &str, event: &str, wildcard: bool) -> Found {
    let provider = Provider::Tracepoint { category: category.to_owned(), event: event.to_owned() };
    let mut f = p.found(p.named(&[category, event]), provider, wildcard);
    if category == "syscalls" {
        f.space = Space::User;
    }
    f
}

fn kprobe_target(p: &Point<'_>, module: Option<&str>, function: &str, offset: u64, ret: bool, wildcard: bool) -> Found {
    let plus = if offset == 0 { String::new() } else { format!("+{offset}") };
    let last = format!("{function}{plus}");
    let name = module.map_or_else(|| p.named(&[&last]), |m| p.named(&[m, &last]));
    let (function, module) = (function.to_owned(), module.map(str::to_owned));
    p.found(name, Provider::Kprobe { function, module, offset, ret }, wildcard)
}

fn function_and_offset(p: &Point<'_>, written: &str, ret: bool) -> Result<(String, u64), Fault> {
    let Some((function, offset)) = written.rsplit_once('+') else { return Ok((written.to_owned(), 0)) };
    if ret {
        return Err(bad(Diagnostic::error("bad-attach-point", p.span, "a return has no offset").write(p.row.shape)));
    }
    match super::params::parse_number(offset).and_then(|n| u64::try_from(n).ok()) {
        Some(n) => Ok((function.to_owned(), n)),
        None => Err(bad(Diagnostic::error("bad-attach-point", p.span, format!("{offset} is no offset")))),
    }
}
