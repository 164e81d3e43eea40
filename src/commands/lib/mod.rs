//! `weftrace lib`: the scripts that there are, and the libraries that some come from.

mod catalog;
mod manage;

use crate::{
    args::{Format, Lib, LibCommand},
    exit::ExitStatus,
    printer::{self, inert},
    script_help::written,
};
use catalog::Entry;
use serde_json::{Value, json};
use std::fmt::Write;
use weftrace_library::Project;

pub fn run(args: &Lib) -> ExitStatus {
    match &args.command {
        LibCommand::List(list) => {
            let all = catalog::all();
            let wanted =
                |e: &&Entry| list.pattern.as_deref().is_none_or(|p| weftrace_lang::check::glob_matches(p, &e.name));
            let found: Vec<&Entry> = all.iter().filter(wanted).collect();
            several(&found, list.format, list.pattern.as_deref().unwrap_or_default())
        }
        LibCommand::Search(search) => {
            let all = catalog::all();
            let found: Vec<&Entry> = all.iter().filter(|e| search.words.iter().all(|word| e.has(word))).collect();
            several(&found, search.format, &search.words.join(" "))
        }
        LibCommand::Show(show) => one(&show.script, show.format),
        LibCommand::Add(add) => manage::add(&add.url, add.rev.as_deref()),
        LibCommand::Update(update) => manage::change(|p, by| p.update(&update.names, by)),
        LibCommand::Remove(remove) => manage::change(|p, by| p.remove(&remove.name, by)),
        LibCommand::Fetch => manage::copy("fetched", Project::fetch),
        LibCommand::Vendor => manage::copy("in vendor/:", Project::vendor),
    }
}

fn several(found: &[&Entry], format: Format, asked: &str) -> ExitStatus {
    if found.is_empty() {
        printer::err_line(&format!("no script matches {asked}"));
        printer::err_line("  = note: weftrace lib list has all");
        return ExitStatus::Script;
    }
    let mut out = String::new();
    let width = found.iter().map(|e| e.name.len()).max().unwrap_or(0);
    for entry in found {
        let _ = match format {
            Format::Json => writeln!(out, "{}", json(entry)),
            Format::Text => writeln!(out, "{}", inert(&format!("{:width$}  {}", entry.name, entry.header.title()))),
        };
    }
    printer::out(&out);
    ExitStatus::Ok
}

fn one(name: &str, format: Format) -> ExitStatus {
    let all = catalog::all();
    let Some(entry) = all.iter().find(|e| e.name == name) else {
        printer::err_line(&format!("error: no script {name}"));
        let near = weftrace_lang::suggest::nearest(name, all.iter().map(|e| e.name.as_str()), 3);
        if !near.is_empty() {
            printer::err_line(&format!("  = near by name: {}", near.join(", ")));
        }
        printer::err_line("  = note: weftrace lib list has all; weftrace lib search WORD looks into their headers");
        return ExitStatus::Script;
    };
    let shown = if format == Format::Json { format!("{}\n", json(entry)) } else { inert(&text(entry)) };
    printer::out(&shown);
    ExitStatus::Ok
}

fn text(entry: &Entry) -> String {
    let mut out = format!("{}: {}\n", entry.name, entry.header.title());
    for (key, value) in entry.header.values.iter().filter(|(key, _)| *key != "title") {
        let _ = writeln!(out, "  {:<9} {value}", format!("{key}:"));
    }
    let _ = writeln!(out, "  {:<9} {}", "from:", entry.origin);
    if !entry.flags.is_empty() {
        out.push_str("\nFlags:\n");
    }
    for flag in &entry.flags {
        let _ = writeln!(out, "  {:<20} {} [{}]", written(flag), flag.help, flag.default);
    }
    if !entry.streams.is_empty() {
        out.push_str("\nStreams:\n");
    }
    for stream in &entry.streams {
        let _ = writeln!(out, "  {:<20} {}", stream.stream, stream.fields.join(", "));
    }
    if !entry.alerts.is_empty() {
        out.push_str("\nAlerts, and their keys:\n");
    }
    for alert in &entry.alerts {
        out.push_str(format!("  {:<20} {}", alert.name, alert.keys.join(", ")).trim_end());
        out.push('\n');
    }
    if !entry.header.sample.is_empty() {
        let _ = writeln!(out, "\n{}", format!("Sample: {}", entry.header.sample_remark).trim_end());
    }
    for line in &entry.header.sample {
        out.push_str(format!("  {line}").trim_end());
        out.push('\n');
    }
    out
}

fn json(entry: &Entry) -> Value {
    let flags =
        entry.flags.iter().map(|f| json!({ "name": f.name, "takes": f.takes, "default": f.default, "help": f.help }));
    let streams = entry.streams.iter().map(|s| json!({ "name": s.stream, "fields": s.fields }));
    let alerts = entry.alerts.iter().map(|a| json!({ "name": a.name, "keys": a.keys }));
    let mut value = json!({
        "name": entry.name,
        "from": entry.origin,
        "flags": flags.collect::<Vec<_>>(),
        "streams": streams.collect::<Vec<_>>(),
        "alerts": alerts.collect::<Vec<_>>(),
        "sample": entry.header.sample,
    });
    for (key, text) in &entry.header.values {
        value[*key] = json!(text);
    }
    value
}
