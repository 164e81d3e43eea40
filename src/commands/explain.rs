//! `weftrace explain E0207`: what a finding means.

use crate::{args::Explain, exit::ExitStatus, printer};
use std::fmt::Write;
use weftrace_lang::diag::kinds::{self, KINDS, Kind};

pub fn run(args: &Explain) -> ExitStatus {
    if args.kinds.is_empty() {
        let mut lines = String::new();
        for kind in KINDS {
            let _ = writeln!(lines, "{} {}", kind.number, kind.code);
        }
        printer::out(&lines);
        return ExitStatus::Ok;
    }
    let mut status = ExitStatus::Ok;
    let mut out = String::new();
    for asked in &args.kinds {
        if let Some(kind) = kinds::find(asked) {
            text(&mut out, kind);
        } else {
            unknown(asked);
            status = ExitStatus::Script;
        }
    }
    printer::out(&out);
    status
}

fn text(out: &mut String, kind: &Kind) {
    if !out.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "{} {}\n{}", kind.number, kind.code, kind.doc);
}

fn unknown(asked: &str) {
    printer::err_line(&format!("error: there is no finding {}", asked.escape_debug()));
    let near = weftrace_lang::suggest::nearest(asked, KINDS.iter().flat_map(|k| [k.code, k.number]), 3);
    if !near.is_empty() {
        printer::err_line(&format!("  = near by name: {}", near.join(", ")));
    }
    printer::err_line("  = note: weftrace explain lists all");
}
