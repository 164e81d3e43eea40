//! `weftrace dump`: what a script becomes, stage by stage.

use super::needs;
use crate::{
    args::{Dump, Stage},
    exit::ExitStatus,
    frontend::{self, Loaded, Setting},
    printer,
};
use weftrace_compiler::{driver, ebpf};
use weftrace_lang::{hir::Program, hir_dump};
use weftrace_probes::kernel::{
    Host,
    caps::{self, PlanNeeds},
};

pub fn run(args: &Dump) -> ExitStatus {
    let setting = Setting { reading_file: args.read, unsafe_ok: true, ..Setting::default() };
    let mut loaded = match frontend::load(&args.source, &setting) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let output = text(&mut loaded, args.stage);
    let failed = loaded.has_errors();
    loaded.report(false, frontend::text_style());
    match (&args.output, output) {
        (_, None) => {}
        (Some(path), Some(bytes)) => {
            if let Err(error) = std::fs::write(path, bytes) {
                printer::err_line(&format!("error: {}: {error}", path.display()));
                return ExitStatus::Usage;
            }
        }
        (None, Some(_)) if args.stage == Stage::Elf => {
            printer::err_line("error: an ELF object is no text: name a file with -o");
            return ExitStatus::Usage;
        }
        (None, Some(bytes)) => printer::out(&String::from_utf8_lossy(&bytes)),
    }
    if failed { ExitStatus::Script } else { ExitStatus::Ok }
}

/// The stage's text; None if the script is too broken to get there.
fn text(loaded: &mut Loaded, stage: Stage) -> Option<Vec<u8>> {
    if stage == Stage::Ast {
        return Some(format!("{:#?}\n", loaded.script).into_bytes());
    }
    let program = loaded.check();
    if loaded.has_errors() {
        return None;
    }
    let stage = match stage {
        Stage::Ast => return None,
        Stage::Hir => return Some(hir_dump::dump(&program).into_bytes()),
        Stage::Elf => {
            let artifact = loaded.compile(&program);
            return match ebpf::elf::object(&artifact) {
                Ok(bytes) if !loaded.has_errors() => Some(bytes),
                Ok(_) => None,
                Err(error) => {
                    printer::err_line(&format!("error: {error}"));
                    None
                }
            };
        }
        Stage::Ir => driver::Stage::Ir,
        Stage::Bpf => driver::Stage::Bpf,
        Stage::Clif => driver::Stage::Clif,
        Stage::Plan => return Some(plan(loaded, &program).into_bytes()),
    };
    let text = self::stage(loaded, &program, stage);
    if text.is_empty() {
        printer::err_line(match stage {
            driver::Stage::Bpf => "note: nothing of it runs in the kernel",
            driver::Stage::Clif => "note: nothing of it runs in user space",
            driver::Stage::Ir | driver::Stage::Plan => NOTHING_RUNS,
        });
    }
    Some(text.into_bytes())
}

const NOTHING_RUNS: &str = "note: nothing of it runs";

/// The plan and what it needs.
fn plan(loaded: &mut Loaded, program: &Program) -> String {
    let (artifact, text) = loaded.compile_with_plan(program);
    if text.is_empty() {
        printer::err_line(NOTHING_RUNS);
    }
    if text.is_empty() || loaded.options.reading_file {
        return text;
    }
    let setting = caps::Setting { commands_run: true, ..caps::Setting::default() };
    text + &needs::plan_lines(&PlanNeeds::of(&artifact, &Host::new(), setting))
}

/// A stage's text; findings are added to the script's.
fn stage(loaded: &mut Loaded, program: &Program, stage: driver::Stage) -> String {
    let options = driver::Options { read_file: loaded.options.reading_file, ..driver::Options::default() };
    let (text, found) = driver::dump(program, &loaded.sources, &loaded.world, &options, stage);
    loaded.diagnostics.extend(found);
    text
}
