//! `weftrace list`: what there is to probe and to name.

use crate::{args::List, bundle, exit::ExitStatus, printer};
use std::fmt::Write;
use weftrace_lang::{
    check,
    world::{Answer, World},
};
use weftrace_probes::world::HostWorld;

pub fn run(args: &List) -> ExitStatus {
    let pattern = args.pattern.as_deref().unwrap_or("tracepoint:*");
    let world = HostWorld::new();
    let text = match pattern.split_once(':').unwrap_or((pattern, "*")) {
        ("scripts", _) => Ok(scripts(args.verbose)),
        ("builtins", _) => Ok(builtins()),
        ("pcap", glob) => Ok(packet_fields(&world, glob)),
        ("tracepoint" | "t", rest) => {
            let (category, event) = rest.split_once(':').unwrap_or((rest, "*"));
            tracepoints(&world, category, event, args.verbose)
        }
        ("rawtracepoint" | "rt", glob) => names("rawtracepoint", world.raw_tracepoints(glob)),
        ("kprobe" | "k" | "kretprobe", glob) => names("kprobe", world.kernel_functions(glob)),
        ("uprobe" | "u" | "uretprobe", rest) => {
            let (binary, glob) = rest.rsplit_once(':').unwrap_or((rest, "*"));
            let found = world.user_functions(binary, glob);
            names("uprobe", map(found, |f| f.into_iter().map(|s| format!("{}:{}", s.path, s.name)).collect()))
        }
        (other, _) => Err(format!(
            "no provider `{other}` to list: tracepoint:…, rawtracepoint:…, kprobe:…, uprobe:BINARY:…, pcap:* (packet fields), builtins, scripts\n  = write: weftrace list 'tracepoint:*:*{other}*'"
        )),
    };
    match text {
        Ok(text) if text.is_empty() => {
            printer::err_line(&format!("nothing matches {pattern}"));
            ExitStatus::Script
        }
        Ok(text) => {
            printer::out(&text);
            ExitStatus::Ok
        }
        Err(why) => {
            printer::err_line(&format!("error: {why}"));
            ExitStatus::Script
        }
    }
}

fn map<T, U>(answer: Answer<T>, f: impl FnOnce(T) -> U) -> Answer<U> {
    match answer {
        Answer::Found(x) => Answer::Found(f(x)),
        Answer::NotThere => Answer::NotThere,
        Answer::NotPermitted(why) => Answer::NotPermitted(why),
        Answer::CouldNotTell(why) => Answer::CouldNotTell(why),
    }
}

/// The answer's names, one a line; an answer that is not knowledge is an error.
fn names(provider: &str, answer: Answer<Vec<String>>) -> Result<String, String> {
    match answer {
        Answer::Found(names) => Ok(names.iter().fold(String::new(), |mut out, name| {
            let _ = writeln!(out, "{provider}:{name}");
            out
        })),
        Answer::NotThere => Ok(String::new()),
        Answer::NotPermitted(why) => Err(format!("not permitted: {why}")),
        Answer::CouldNotTell(why) => Err(format!("could not tell: {why}")),
    }
}

fn tracepoints(world: &HostWorld, category: &str, event: &str, verbose: bool) -> Result<String, String> {
    let found = world.tracepoints(category, event);
    let (true, Answer::Found(all)) = (verbose, &found) else { return names("tracepoint", found) };
    let mut out = String::new();
    for name in all {
        let _ = writeln!(out, "tracepoint:{name}");
        let Some((category, event)) = name.split_once(':') else { continue };
        if let Answer::Found(event) = world.tracepoint(category, event) {
            for field in &event.fields {
                let _ = writeln!(out, "    {} {}", field.c_type, field.name);
            }
        }
    }
    Ok(out)
}

fn packet_fields(world: &HostWorld, glob: &str) -> String {
    let mut out = String::new();
    for field in world.packet_field_table().iter().filter(|f| check::glob_matches(glob, &f.name)) {
        let _ = writeln!(out, "{:<36} {:<10} {}", field.name, check::type_name(&field.ty), field.doc);
    }
    out
}

fn builtins() -> String {
    let mut out = String::new();
    for row in weftrace_lang::builtins::rows() {
        let _ = writeln!(out, "{:<44} {}", row.signature, row.doc);
    }
    out
}

fn scripts(verbose: bool) -> String {
    let mut out = String::new();
    for (name, text) in bundle::SCRIPTS {
        let _ = writeln!(out, "{name:<24} {}", bundle::header(text, "title").unwrap_or_default());
        if verbose {
            for key in ["answers", "layers", "needs"] {
                if let Some(value) = bundle::header(text, key) {
                    let _ = writeln!(out, "{:<24}   {key}: {value}", "");
                }
            }
        }
    }
    out
}
