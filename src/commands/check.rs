//! `weftrace check`: what is wrong with a script, for people and for machines.

use crate::{
    args::{Check, Format},
    exit::ExitStatus,
    frontend::{self, Setting},
    render::Style,
};

pub fn run(args: &Check) -> ExitStatus {
    let setting = Setting { reading_file: args.read, unsafe_ok: false, ..Setting::default() };
    let mut loaded = match frontend::load(&args.source, &setting) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let program = loaded.check();
    let (_, header) = weftrace_lang::header::parse(&loaded.sources.file(loaded.file).text, loaded.file);
    loaded.diagnostics.extend(header);
    if !loaded.has_errors() {
        loaded.compile(&program);
    }
    let failed = loaded.has_errors();
    let style = if args.format == Format::Json { Style::Json } else { frontend::text_style() };
    loaded.report(false, style);
    if failed { ExitStatus::Script } else { ExitStatus::Ok }
}
