//! Go's functions: where their probes stand, what they return, what goes wrong with them.

use super::attach::{Fault, Found, Point, bad};
use super::cx::{ArgsCx, Checker};
use super::golang_value;
use super::golang_watch;
use super::value::Val;
use super::walk;
use crate::ast;
use crate::diag::Diagnostic;
use crate::hir::{Expr, ExprKind, GoPlaces, Provider, Target, Ty};
use crate::span::Span;
use crate::world::{Answer, GoAbi, GoFunction, UserParam, UserProto};

/// Words of Go's calling convention: arg0 to arg8 in registers (x86-64), or on the stack.
pub(crate) const MOST_WORDS: u32 = weftrace_arch::THIS.go.words.len() as u32;

impl Checker<'_> {
    /// Where the probes of a function go, if it is Go's: a call has passed the stack check there, or returns.
    pub(crate) fn go_places(
        &mut self,
        p: &Point<'_>,
        path: &str,
        offset: u64,
        wildcard: bool,
    ) -> Result<Option<GoPlaces>, Fault> {
        let f = match self.world.go_function(path, offset) {
            Answer::Found(f) => f,
            Answer::NotThere => return Ok(None),
            Answer::NotPermitted(why) | Answer::CouldNotTell(why) => {
                let message = format!("{path} is a Go program whose functions cannot be looked into");
                // The kernel's return probes put an address on the stack, and Go moves stacks.
                if p.row.retval {
                    let d = Diagnostic::error("go-program", p.span, message).note(why);
                    return Err(bad(d.note("a return probe without that would break the program")));
                }
                let d = Diagnostic::warning("go-program", p.span, message).note(why);
                self.report(d.note("a call that grows the stack is counted twice, goid is not known"));
                return Ok(None);
            }
        };
        if p.row.retval {
            return go_returns(p, f).map(Some);
        }
        if f.start != offset {
            return Ok(Some(within(&f, offset)));
        }
        if f.looped && !wildcard {
            let message = format!("the first instruction of {} is that of a loop", f.name);
            self.report(Diagnostic::warning("go-loop", p.span, message).note("the probe fires at each turn of it"));
        }
        Ok(Some(GoPlaces { places: vec![f.entry], tails: false, abi: f.abi, runtime: f.runtime }))
    }

    /// The targets that an attach point of an added probe means.
    pub(crate) fn watched(&self, p: &Point<'_>) -> Option<Vec<Found>> {
        let watch = self.watch.filter(|_| self.opts.hidden.contains(&p.span.file))?;
        let targets = match p.text(0) {
            golang_watch::ENTRIES => &watch.entries,
            golang_watch::RETURNS => &watch.returns,
            _ => return None,
        };
        let found = |t: &Target| Found { target: t.clone(), row: p.row, args: ArgsCx::None, space: p.row.space };
        Some(targets.iter().map(found).collect())
    }

    /// Warns where a return looks for what the entry kept under the thread's number.
    pub(crate) fn go_pairs_by_thread(&mut self, probe: &ast::Probe) {
        if !self.at_go_return() {
            return;
        }
        let mut found = None;
        walk::block(&probe.body, &mut |e| {
            if let ast::ExprKind::Map { key: Some(key), .. } = &e.kind {
                let tid = key.iter().find(|k| matches!(&k.kind, ast::ExprKind::Ident(name) if name == "tid"));
                found = found.or(tid.map(|k| k.span));
            }
        });
        if let Some(span) = found {
            let message = "a goroutine may return on another thread than it was called on";
            let d = Diagnostic::warning("go-thread", span, message).write("goid");
            self.report(d.note("what an entry kept under tid is another goroutine's by then, or not there"));
        }
    }

    /// Of a source line.
    pub(crate) fn go_line(&self, path: &str, offset: u64) -> Option<GoPlaces> {
        let f = self.world.go_function(path, offset).found()?;
        Some(within(&f, offset))
    }

    /// Whether the probe is at the return of a Go function.
    pub(crate) fn at_go_return(&self) -> bool {
        self.probe.row.retval && self.go().is_some()
    }

    /// The first target's places, if it is Go's.
    pub(crate) fn go(&self) -> Option<&GoPlaces> {
        self.probe.targets.iter().find_map(|t| match &t.provider {
            Provider::Uprobe { go, .. } => go.as_ref(),
            _ => None,
        })
    }

    /// What the function returns, where all functions of the probe agree about it.
    fn go_results(&self) -> Result<Vec<UserParam>, String> {
        const NO_INFORMATION: &str =
            "the program has no debug information about it (built with -ldflags=-w, or stripped)";
        let mut found: Option<UserProto> = None;
        for target in &self.probe.targets {
            let Provider::Uprobe { path, offset, .. } = &target.provider else { continue };
            let proto = match self.world.user_proto(path, *offset) {
                Answer::Found(proto) => proto,
                Answer::NotThere => return Err(NO_INFORMATION.into()),
                Answer::NotPermitted(why) | Answer::CouldNotTell(why) => return Err(why),
            };
            if found.as_ref().is_some_and(|known| known.results != proto.results) {
                return Err("the functions of this probe return different things".into());
            }
            found = Some(proto);
        }
        Ok(found.map(|proto| proto.results).unwrap_or_default())
    }

    /// `retval`: the result; of several, a record of all that can be read.
    pub(crate) fn go_retval(&mut self, span: Span) -> Val {
        if self.tail_jump(span) {
            return Val::error(span);
        }
        let results = match self.go_results() {
            Ok(results) => results,
            Err(why) => return self.raw_result(&why, span),
        };
        match &results[..] {
            [] => {
                let name = self.probe.name().to_owned();
                self.error("no-retval", span, format!("{name} has no retval: the function returns nothing"));
                Val::error(span)
            }
            [one] => self.user_arg(&named(one, 0), span),
            several => {
                let mut fields: Vec<(String, Expr)> = Vec::new();
                for (i, result) in several.iter().enumerate() {
                    let result = named(result, i);
                    if let Some(why) = unreadable(&result) {
                        self.warn("no-retval", span, format!("retval leaves out {}: {why}", result.name));
                        continue;
                    }
                    let v = self.user_arg(&result, span);
                    let v = self.go_value(v);
                    fields.push((result.name, v.e));
                }
                let ty = Ty::Record(fields.iter().map(|(n, e)| (n.clone(), e.ty.clone())).collect());
                Val::new(ExprKind::Record(fields), ty, span)
            }
        }
    }

    /// `retval.err`, `retval.0`: one of several. None: there is one result, whose member it is.
    pub(crate) fn go_result(&mut self, which: &Which<'_>, span: Span) -> Option<Val> {
        if !self.at_go_return() || self.bound_expr("retval").is_some() {
            return None;
        }
        if self.tail_jump(span) {
            return Some(Val::error(span));
        }
        let results = match self.go_results() {
            Ok(results) => results,
            Err(why) => {
                let place = self.probe.name().to_owned();
                let d = Diagnostic::error("no-retval", span, format!("the results of {place} are not known"));
                self.report(
                    d.note(why).note("the first words of what it returns: reg(\"ax\"), reg(\"bx\"), reg(\"cx\")"),
                );
                return Some(Val::error(span));
            }
        };
        let names: Vec<String> = results.iter().enumerate().map(|(i, r)| named(r, i).name).collect();
        let found = match which {
            Which::Number(n) => usize::try_from(*n).ok().filter(|n| *n < results.len()),
            Which::Name(name) => names.iter().position(|n| n == name.text.as_str()),
        };
        match (found, which) {
            (Some(i), _) => Some(self.user_arg(&named(&results[i], i), span)),
            // A member of the one result.
            (None, Which::Name(_)) if results.len() == 1 => None,
            (None, Which::Number(n)) => {
                let has = results.len();
                self.error("no-retval", span, format!("no result {n}: it returns {has}, counted from 0"));
                Some(Val::error(span))
            }
            (None, Which::Name(name)) => {
                let place = format!("the result of {}", self.probe.name());
                self.unknown_name(&place, name, &names);
                Some(Val::error(span))
            }
        }
    }

    /// Without debug information: the first word.
    fn raw_result(&mut self, why: &str, span: Span) -> Val {
        let abi = self.go().map_or(GoAbi::Unknown, |go| go.abi);
        if abi == GoAbi::Registers {
            return Val::new(ExprKind::Retval, Ty::I64, span).with_space(self.probe.space);
        }
        let place = self.probe.name().to_owned();
        let d = Diagnostic::error("no-retval", span, format!("what {place} returns is not known"));
        self.report(d.note(why.to_owned()).note("its results are on the stack, behind its arguments"));
        Val::error(span)
    }

    fn tail_jump(&mut self, span: Span) -> bool {
        let jumps =
            self.probe.targets.iter().any(|t| matches!(&t.provider, Provider::Uprobe { go: Some(go), .. } if go.tails));
        if jumps {
            let place = self.probe.name().to_owned();
            let d = Diagnostic::error("no-retval", span, format!("{place} ends in a jump to another function"));
            self.report(d.note("that one makes the result: probe it instead"));
        }
        jumps
    }

    /// What can be wrong with `argN` here.
    pub(crate) fn go_arg_n(&mut self, n: u32, span: Span) -> bool {
        let Some(go) = self.go() else { return true };
        if go.abi != GoAbi::Unknown {
            return true;
        }
        let place = self.probe.name().to_owned();
        let d = Diagnostic::error("no-args", span, format!("{place} has no arg{n}"));
        self.report(
            d.note("where assembly, or code behind a function's entry, has its arguments is not known")
                .write("reg(\"ax\")"),
        );
        false
    }
}

/// What of several results is meant.
pub(crate) enum Which<'n> {
    Name(&'n ast::Ident),
    Number(i128),
}

/// A result as it is called: by its name, else by its number.
fn named(result: &UserParam, i: usize) -> UserParam {
    let name = if result.name.is_empty() { format!("r{i}") } else { result.name.clone() };
    UserParam { name, ..result.clone() }
}

fn unreadable(param: &UserParam) -> Option<String> {
    golang_value::unreadable(&param.place)
        .or_else(|| (param.ty == Ty::Void).then(|| format!("its type is not known here: {}", param.c_type)))
}

/// A place that is no function's entry: arguments are anywhere.
fn within(f: &GoFunction, offset: u64) -> GoPlaces {
    GoPlaces { places: vec![offset], tails: false, abi: GoAbi::Unknown, runtime: f.runtime.clone() }
}

/// The instructions that return from a function.
fn go_returns(p: &Point<'_>, f: GoFunction) -> Result<GoPlaces, Fault> {
    let refused = |message: String, why: String| Err(bad(Diagnostic::error("go-return", p.span, message).note(why)));
    if let Some(why) = f.unclear {
        return refused(format!("where {} returns cannot be told", f.name), why);
    }
    let tails = !f.tails.is_empty();
    let mut places = f.returns;
    places.extend(f.tails);
    places.sort_unstable();
    if places.is_empty() {
        return refused(
            format!("{} never returns", f.name),
            "it has no instruction that returns: it loops, panics or exits".into(),
        );
    }
    Ok(GoPlaces { places, tails, abi: f.abi, runtime: f.runtime })
}
