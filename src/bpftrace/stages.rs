//! `-d STAGE`, `--emit-elf FILE`: what a program becomes on its way.

use super::args::Args;
use crate::{frontend::Loaded, printer};
use weftrace_artifact::Artifact;
use weftrace_compiler::{driver, ebpf};
use weftrace_lang::{hir::Program, hir_dump};

/// Prints the stages that are asked for.
pub fn print(args: &Args, loaded: &mut Loaded, program: &Program) -> Result<(), String> {
    for stage in &args.debug {
        let all = stage == "all";
        let mut known = all;
        let mut show = |name: &str, text: &mut dyn FnMut(&mut Loaded) -> String| {
            if all || stage == name {
                known = true;
                let text = text(loaded);
                printer::out(&format!("{name}\n{}\n\n{text}\n", "-".repeat(name.len())));
            }
        };
        show("ast", &mut |l| format!("{:#?}\n", l.script));
        show("types", &mut |_| hir_dump::dump(program));
        show("verifier", &mut |l| compiled(l, program));
        match stage.as_str() {
            "codegen" | "codegen-opt" | "dis" => {
                return Err(format!(
                    "-d {stage}: there is no LLVM here; -d verifier shows the instructions, `weftrace dump --stage ir` what they are made of"
                ));
            }
            "libbpf" => return Err("-d libbpf: programs are loaded without libbpf; -d verifier shows them".into()),
            "parse" => return Err("-d parse: the parser keeps no log; -d ast shows what it made".into()),
            _ if known => {}
            _ => {
                return Err(format!(
                    "USAGE: invalid option for -d: {stage}\nHINT: there are ast, types, verifier and all"
                ));
            }
        }
    }
    Ok(())
}

/// The instructions as the kernel gets them.
fn compiled(loaded: &mut Loaded, program: &Program) -> String {
    let options = driver::Options { read_file: loaded.options.reading_file, ..driver::Options::default() };
    driver::dump(program, &loaded.sources, &loaded.world, &options, driver::Stage::Bpf).0
}

/// Writes the ELF object with the programs; true: that was all that was asked for.
pub fn emit_elf(args: &Args, artifact: &Artifact) -> Result<bool, String> {
    let Some(path) = &args.emit_elf else { return Ok(false) };
    let bytes = ebpf::elf::object(artifact).map_err(|e| e.to_string())?;
    std::fs::write(path, bytes).map_err(|e| format!("failed to write {}: {e}", path.display()))?;
    Ok(true)
}
