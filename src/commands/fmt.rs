//! `weftrace fmt`: scripts laid out anew, comments kept.

use crate::{args::Fmt, exit::ExitStatus, frontend, printer, render};
use std::path::Path;
use weftrace_lang::{
    span::{FileId, SourceMap},
    syntax,
};

pub fn run(args: &Fmt) -> ExitStatus {
    let mut status = ExitStatus::Ok;
    for path in &args.scripts {
        if let Err(failed) = one(path, args) {
            status = failed;
        }
    }
    status
}

fn one(path: &Path, args: &Fmt) -> Result<(), ExitStatus> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        printer::err_line(&format!("error: {name}: {error}"));
        ExitStatus::Usage
    })?;
    let done = syntax::format(&text, FileId(0)).map_err(|found| {
        let mut sources = SourceMap::default();
        sources.add(name.clone(), text.clone());
        printer::err(&render::render_all(&found, &sources, frontend::text_style()));
        ExitStatus::Script
    })?;
    if args.check {
        if done == text {
            return Ok(());
        }
        printer::err_line(&format!("{name} would be laid out anew"));
        return Err(ExitStatus::Script);
    }
    if !args.write {
        printer::out(&done);
    } else if done != text {
        std::fs::write(path, done).map_err(|error| {
            printer::err_line(&format!("error: {name}: {error}"));
            ExitStatus::Usage
        })?;
    }
    Ok(())
}
