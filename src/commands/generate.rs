//! What packagers make of the command line: completions for shells, pages of the manual.

use crate::{
    args::{self, Completions, Manpages},
    exit::ExitStatus,
    printer,
};

pub fn completions(args: &Completions) -> ExitStatus {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "weftrace", &mut text);
    printer::out(&String::from_utf8_lossy(&text));
    ExitStatus::Ok
}

/// `weftrace.1`, `weftrace-run.1` …
pub fn manpages(args: &Manpages) -> ExitStatus {
    let written =
        std::fs::create_dir_all(&args.folder).and_then(|()| clap_mangen::generate_to(args::command(), &args.folder));
    match written {
        Ok(()) => ExitStatus::Ok,
        Err(error) => {
            printer::err_line(&format!("error: {}: {error}", args.folder.display()));
            ExitStatus::NotWritten
        }
    }
}
