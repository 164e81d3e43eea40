//! bpftrace's own programs parse and round-trip. Its source tree isn't committed: WEFTRACE_BPFTRACE_SRC names it.

use std::path::{Path, PathBuf};
use weftrace_lang::diag::Severity;
use weftrace_lang::span::FileId;
use weftrace_lang::syntax::{parse, print};

/// One program, and whether its test wants an error.
struct Program {
    origin: String,
    text: String,
    fails: bool,
}

#[test]
fn bpftrace_programs_parse_and_round_trip() {
    let Some(root) = std::env::var_os("WEFTRACE_BPFTRACE_SRC").map(PathBuf::from) else {
        println!("SKIP bpftrace source tree");
        return;
    };
    let mut programs = runtime_programs(&root.join("tests/runtime"));
    let suite = programs.len();
    for dir in ["tests/runtime/scripts", "tools", "tools/old", "tests/self", "src/stdlib"] {
        programs.extend(files(&root.join(dir), "bt"));
    }
    assert!(
        suite > 900 && programs.len() > suite + 70,
        "few programs found: {suite} of the suite, {} in all",
        programs.len()
    );
    let (mut passed, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for program in &programs {
        match check(&program.text) {
            Ok(()) => passed += 1,
            Err(_) if program.fails => refused.push(program.origin.as_str()),
            Err(why) => wrong.push(format!("{}\n{}\n{why}\n", program.origin, program.text)),
        }
    }
    println!(
        "{} programs ({suite} of the runtime suite): {passed} parse and round-trip, {} refused where bpftrace refuses too, {} wrong",
        programs.len(),
        refused.len(),
        wrong.len()
    );
    println!("refused: {refused:#?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(text: &str) -> Result<(), String> {
    let errors = |text: &str| {
        let (script, diags) = parse(text, FileId::default());
        let errors: Vec<String> = diags
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .map(|d| format!("{:?} {} ({})", d.span, d.message, d.label))
            .collect();
        if errors.is_empty() { Ok(script) } else { Err(errors.join("\n")) }
    };
    let script = errors(text)?;
    let printed = print(&script);
    let again = errors(&printed).map_err(|e| format!("printed:\n{printed}\n{e}"))?;
    if script.without_spans() != again.without_spans() {
        return Err(format!("round trip differs; printed:\n{printed}"));
    }
    if print(&again) != printed {
        return Err(format!("printing is not stable:\n{printed}"));
    }
    Ok(())
}

fn files(dir: &Path, extension: &str) -> Vec<Program> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).map(|d| d.filter_map(|e| e.ok().map(|e| e.path())).collect()).unwrap_or_default();
    paths.retain(|p| p.is_file() && (extension.is_empty() || p.extension().is_some_and(|e| e == extension)));
    paths.sort();
    let text = |p: &Path| std::fs::read_to_string(p).unwrap_or_default();
    paths.iter().map(|p| Program { origin: p.display().to_string(), text: text(p), fails: false }).collect()
}

/// `PROG` with its continuation lines, and what a `RUN` line passes by `-e '…'`.
fn runtime_programs(dir: &Path) -> Vec<Program> {
    let mut programs = Vec::new();
    for file in files(dir, "") {
        for block in file.text.split("\n\n") {
            programs.extend(program(&file.origin, block));
        }
    }
    programs
}

fn program(file: &str, block: &str) -> Option<Program> {
    let name = block.lines().find_map(|l| l.strip_prefix("NAME "))?;
    let fails = block.lines().any(|l| l.starts_with("WILL_FAIL"));
    let origin = format!("{}: {name}", file.rsplit('/').next().unwrap_or(file));
    let mut text: Option<String> = None;
    let mut continues = false;
    for line in block.lines() {
        if let Some(first) = line.strip_prefix("PROG ") {
            text = Some(first.to_owned());
            continues = true;
        } else if let Some(run) = line.strip_prefix("RUN ") {
            text = shell_word(run);
            continues = false;
        } else if continues && line.starts_with("     ") {
            let text = text.get_or_insert_default();
            text.push('\n');
            text.push_str(&line[5..]);
        } else {
            continues = false;
        }
    }
    text.map(|text| Program { origin, text, fails })
}

/// The shell word after bpftrace's `-e`: quoted and bare pieces joined. None where the shell would compute it.
fn shell_word(run: &str) -> Option<String> {
    let args = &run[run.find("{{BPFTRACE}}")?..];
    let at = args.find("-e ")?;
    if args[..at].contains('|') {
        return None;
    }
    let mut word = String::new();
    let mut quote = None;
    let mut chars = args[at + 3..].chars();
    while let Some(c) = chars.next() {
        match quote {
            Some(q) if c == q => quote = None,
            Some('"') if c == '\\' => word.extend(chars.next()),
            Some('"') if c == '$' => return None,
            Some(_) => word.push(c),
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c.is_whitespace() => break,
            None => word.push(c),
        }
    }
    Some(word.replace("{{BEFORE_PID}}", "1"))
}
