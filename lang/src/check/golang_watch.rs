//! Calls of Go functions that never return: a panic or `runtime.Goexit` ended them. A script that probes both the entry and the return
//! of a function gets probes beside its own that count them, in the language itself: entries are then returns, these, and the calls
//! that still run.
//!
//! What is kept is a stack of calls for each goroutine. A call is known by how deep in its stack it is: that stays when a stack grows
//! and is moved. Whatever is as deep as a new call, or deeper than what returns, recovers or ends, has been unwound.

use super::Options;
use crate::ast::Item;
use crate::hir::{Program, Provider, Target};
use crate::span::SourceMap;
use crate::world::{GoAbi, GoRecovery, GoRuntime, World};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Places for probes that are not looked up again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    pub(crate) entries: Vec<Target>,
    pub(crate) returns: Vec<Target>,
}

/// The attach points that mean them.
pub(crate) const ENTRIES: &str = "__go_entries";
pub(crate) const RETURNS: &str = "__go_returns";
/// How deep in its goroutine's stack a call is.
pub(crate) const DEPTH: &str = "__go_depth";

/// Calls that can be followed at one time.
const MOST_CALLS: u32 = 65536;
/// Calls that one event may end.
const MOST_ENDED: u32 = 4096;

/// The maps' names begin so.
const MAPS: &str = "__go_";

/// What a checked program needs beside itself.
pub(crate) fn wanted(program: &Program) -> Option<Watch> {
    let mut watch = Watch::default();
    let (mut entered, mut left) = (BTreeSet::new(), BTreeSet::new());
    let all = || program.probes.iter().filter(|p| !p.hidden).flat_map(|p| &p.targets);
    for target in all() {
        if let Some((function, ret)) = function(target) {
            if ret {
                left.insert(function)
            } else {
                entered.insert(function)
            };
        }
    }
    let mut seen = BTreeSet::new();
    for target in all() {
        let Some((function, ret)) = function(target) else { continue };
        if entered.contains(&function) && left.contains(&function) && seen.insert((function, ret)) {
            if ret { watch.returns.push(target.clone()) } else { watch.entries.push(target.clone()) }
        }
    }
    (!watch.entries.is_empty()).then_some(watch)
}

/// The function that a target is the entry or a return of: file and offset.
fn function(target: &Target) -> Option<((&str, u64), bool)> {
    match &target.provider {
        Provider::Uprobe { path, offset, ret, go: Some(go), .. } if go.abi != GoAbi::Unknown => {
            Some(((path.as_str(), *offset), *ret))
        }
        _ => None,
    }
}

/// The probes, as the items of a script.
pub(crate) fn items(watch: &Watch, sources: &mut SourceMap, world: &dyn World, opts: &mut Options) -> Vec<Item> {
    let text = text(watch, world);
    // Without a name: what it says has no place in the script.
    let file = sources.add("", text.clone());
    opts.hidden.push(file);
    crate::syntax::parse(&text, file).0.items
}

fn text(watch: &Watch, world: &dyn World) -> String {
    let mut out = String::new();
    for map in ["call", "next", "top"] {
        let _ = writeln!(out, "let @{MAPS}{map} = hash({MOST_CALLS});");
    }
    // An unwound call leaves the stack; `$top` is then the one around it.
    let unwind = |until: &str, goroutine: &str| {
        format!(
            "for ($i : 0..{MOST_ENDED}) {{ if ({until}) {{ break; }} \
             $was = @{MAPS}call[pid, {goroutine}, $top]; @{MAPS}lost[$was] = count(); $under = @{MAPS}next[pid, {goroutine}, $top]; \
             delete(@{MAPS}call, (pid, {goroutine}, $top)); delete(@{MAPS}next, (pid, {goroutine}, $top)); $top = $under; }}\n"
        )
    };
    let keep = |goroutine: &str| {
        format!(
            "if ($top == 0) {{ delete(@{MAPS}top, (pid, {goroutine})); }} else {{ @{MAPS}top[pid, {goroutine}] = $top; }}\n"
        )
    };
    let _ = writeln!(
        out,
        "uprobe:{ENTRIES} {{ $d = {DEPTH}; $g = goid; $top = @{MAPS}top[pid, $g];\n{}\
         @{MAPS}call[pid, $g, $d] = func; @{MAPS}next[pid, $g, $d] = $top; @{MAPS}top[pid, $g] = $d; }}",
        unwind("$top < $d", "$g"),
    );
    // A call that began before the probes is not in the stack.
    let _ = writeln!(
        out,
        "uretprobe:{RETURNS} {{ $d = {DEPTH}; $g = goid; $top = @{MAPS}top[pid, $g]; if ($top >= $d) {{\n{}\
         if ($top == $d) {{ $under = @{MAPS}next[pid, $g, $d]; delete(@{MAPS}call, (pid, $g, $d)); \
         delete(@{MAPS}next, (pid, $g, $d)); $top = $under; }}\n{} }} }}",
        unwind("$top <= $d", "$g"),
        keep("$g"),
    );
    for (path, runtime) in files(watch) {
        let there = |name: &str| world.user_function(path, name).is_found();
        if there("runtime.goexit1") {
            let _ = writeln!(
                out,
                "uprobe:\"{path}\":\"runtime.goexit1\" {{ $g = goid; $top = @{MAPS}top[pid, $g]; if ($top > 0) {{\n{}{} }} }}",
                unwind("$top == 0", "$g"),
                keep("$g"),
            );
        }
        // It runs on the thread's own stack: the goroutine is its argument.
        if let (Some(goid), Some(sp), true) =
            (runtime.goid, recovers_at(path, runtime, world), there("runtime.recovery"))
        {
            let _ = writeln!(
                out,
                "uprobe:\"{path}\":\"runtime.recovery\" {{ $g = *(uint64 *)uptr(arg0 + {goid}); $top = @{MAPS}top[pid, $g]; \
                 if ($top > 0) {{ $d = (int64)(*(uint64 *)uptr(arg0 + 8) - {sp});\n{}{} }} }}",
                unwind("$top <= $d", "$g"),
                keep("$g"),
            );
        }
    }
    out.push_str(&at_the_end());
    out
}

/// What is told: one line for each function some of whose calls never returned.
fn at_the_end() -> String {
    let told = |condition: &str, calls: &str, ended: &str, running: &str, values: &str| {
        format!(
            "if ({condition}) {{ warnf(\"{calls} of %s never returned: a panic or runtime.Goexit ended {ended}{running}\", {values}); }}\n"
        )
    };
    let one = |running, values| told("$n == 1", "1 call", "it", running, values);
    let many = |running, values| told("$n > 1", "%d calls", "them", running, values);
    let running = "; %d still ran at the end";
    format!(
        "END {{ for ($kv : @{MAPS}call) {{ @{MAPS}runs[$kv.1] = count(); }}\n\
         for ($kv : @{MAPS}lost) {{ $n = (int64)$kv.1; $f = $kv.0; $r = (int64)@{MAPS}runs[$f];\n\
         if ($r > 0) {{ {}{} }} else {{ {}{} }} }}\n\
         clear(@{MAPS}lost); clear(@{MAPS}call); clear(@{MAPS}next); clear(@{MAPS}top); clear(@{MAPS}runs); }}\n",
        one(running, "$f, $r"),
        many(running, "$n, $f, $r"),
        one("", "$f"),
        many("", "$n, $f"),
    )
}

fn files(watch: &Watch) -> BTreeMap<&str, &GoRuntime> {
    let each = watch.entries.iter().filter_map(|t| match &t.provider {
        Provider::Uprobe { path, go: Some(go), .. } => Some((path.as_str(), &go.runtime)),
        _ => None,
    });
    each.collect()
}

/// The stack pointer of the frame that goes on after a recovery, as an expression of the goroutine in `arg0`.
fn recovers_at(path: &str, runtime: &GoRuntime, world: &dyn World) -> Option<String> {
    let said = || {
        let member = |owner: &str, name: &str| {
            let def = world.user_struct(path, owner).found()?;
            def.fields.iter().find(|f| f.name == name).map(|f| f.offset)
        };
        // A panic has kept that itself since Go 1.22, which also brought `startSP`.
        match member("runtime._panic", "startSP") {
            Some(_) => {
                let (panic, sp) = (member("runtime.g", "_panic")?, member("runtime._panic", "sp")?);
                Some(GoRecovery::InPanic { panic, sp })
            }
            None => member("runtime.g", "sigcode0").map(GoRecovery::InG),
        }
    };
    Some(match runtime.recovery.or_else(said)? {
        GoRecovery::InG(offset) => format!("*(uint64 *)uptr(arg0 + {offset})"),
        GoRecovery::InPanic { panic, sp } => format!("*(uint64 *)uptr(*(uint64 *)uptr(arg0 + {panic}) + {sp})"),
    })
}
