//! `weftrace test`: scripts on their fixtures, and what they print beside what is expected.
//!
//! Every run is a process of its own ([`child`]): as it is typed, and once more with counts in its blocks for the coverage.

mod cases;
mod child;
mod coverage;
mod report;

use crate::{args::Test, exit::ExitStatus, printer, render};
use cases::{Case, Input, Places, Tested};
use child::{Ended, Ran, Runs};
use coverage::Coverage;
use similar::TextDiff;
use std::{
    ffi::OsString,
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use weftrace_lang::{
    ast::{Item, Script},
    diag::Severity,
    header,
    span::{FileId, SourceMap},
    syntax,
};
use weftrace_probes::kernel::caps::{CapSet, Capability, in_user_namespace};

/// What became of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    /// The expectation was written anew.
    Blessed,
    /// Why, in lines.
    Failed(String),
    /// What it needs.
    Skipped(String),
}

#[derive(Debug)]
struct Outcome {
    /// The fixture's file name; `script` for what is wrong with the script itself.
    name: String,
    verdict: Verdict,
    took: Duration,
}

/// All of a script.
#[derive(Debug)]
struct Report {
    /// Its path without its ending.
    script: String,
    outcomes: Vec<Outcome>,
    /// Err: why it isn't known. None: it was not asked for, or there is nothing to run.
    coverage: Option<Result<Coverage, String>>,
}

pub fn run(args: &Test) -> ExitStatus {
    let places = if args.places.is_empty() { &[PathBuf::from(".")][..] } else { &args.places };
    let done = match all(places, args) {
        Ok(done) if done.reports.is_empty() => {
            printer::err_line("error: there is no script (a file that ends in .probe or .bt)");
            return ExitStatus::Usage;
        }
        Ok(done) => done,
        Err(why) => {
            printer::err_line(&format!("error: {why}"));
            return ExitStatus::Usage;
        }
    };
    if let Err(why) = report::write(&done.reports, &done.orphans, args) {
        printer::err_line(&format!("error: {why}"));
        return ExitStatus::NotWritten;
    }
    if let Some(untested) = done.untested {
        printer::err_line(&format!("error: interrupted: {untested} scripts were not tested to the end"));
        return ExitStatus::Script;
    }
    let failed = done.reports.iter().flat_map(|r| &r.outcomes).any(|o| matches!(o.verdict, Verdict::Failed(_)));
    if failed { ExitStatus::Script } else { ExitStatus::Ok }
}

/// What was done.
struct Done {
    reports: Vec<Report>,
    orphans: Vec<String>,
    /// It was interrupted, and so many scripts are left.
    untested: Option<usize>,
}

/// Tests scripts one after the other.
fn all(places: &[PathBuf], args: &Test) -> Result<Done, cases::Failed> {
    let Places { scripts, orphans } = cases::find(places)?;
    let folder = if args.no_coverage { None } else { Some(Folder::new()?) };
    let mut runs = Runs::new(args.timeout).map_err(|error| format!("processes can't be waited for: {error}"))?;
    let orphans = orphans.iter().map(|path| path.display().to_string()).collect();
    let mut done = Done { reports: Vec::new(), orphans, untested: None };
    for (before, script) in scripts.iter().enumerate() {
        done.reports.push(one(script, args, folder.as_ref(), &mut runs)?);
        if runs.interrupted {
            done.untested = Some(scripts.len() - before);
            break;
        }
    }
    Ok(done)
}

fn one(script: &Path, args: &Test, folder: Option<&Folder>, runs: &mut Runs) -> Result<Report, cases::Failed> {
    let mut report =
        Report { script: script.with_extension("").display().to_string(), outcomes: Vec::new(), coverage: None };
    let mut complain = |why: String| {
        report.outcomes.push(Outcome { name: "script".into(), verdict: Verdict::Failed(why), took: Duration::ZERO });
    };
    let text = fs::read(script).map_err(|error| format!("{}: {error}", script.display()))?;
    let Ok(text) = String::from_utf8(text) else {
        complain(format!("{} is no text", script.display()));
        return Ok(report);
    };
    let (parsed, mut found) = syntax::parse(&text, FileId(0));
    found.extend(header::parse(&text, FileId(0)).1);
    if found.iter().any(|d| d.severity == Severity::Error) {
        let mut sources = SourceMap::default();
        sources.add(script.display().to_string(), text);
        complain(render::render_all(&found, &sources, render::Style::Plain).trim_end().to_owned());
        return Ok(report);
    }
    let Tested { script, cases, wrong } = cases::of(script, has_tests(&parsed))?;
    wrong.into_iter().for_each(complain);
    for case in &cases {
        report.outcomes.push(run_case(&script, case, args, runs)?);
        if runs.interrupted {
            break;
        }
        // Of test: blocks in a file of their own it would be that file's.
        if let Some(folder) = folder.filter(|_| case.kind != Input::Tests || case.input == script) {
            let counted = count(&script, case, folder, runs);
            report.coverage = Some(match (report.coverage.take(), counted) {
                (Some(Ok(mut all)), Ok(more)) => {
                    all.add(more);
                    Ok(all)
                }
                (None, counted) => counted,
                (Some(Err(why)), _) | (_, Err(why)) => Err(why),
            });
        }
    }
    Ok(report)
}

fn has_tests(script: &Script) -> bool {
    script.items.iter().any(|item| match item {
        Item::Probe(probe) => probe.alternatives().flat_map(|p| &p.points).any(|point| point.provider.text == "test"),
        _ => false,
    })
}

/// The command line of a case, with `options` of its run.
fn command(script: &Path, case: &Case, options: &[OsString]) -> Vec<OsString> {
    let mut line: Vec<OsString> = match case.kind {
        Input::Capture => vec!["run".into(), "-q".into(), "--read".into(), case.input.clone().into()],
        Input::Recording => vec!["replay".into(), "-q".into()],
        Input::Tests => vec!["run".into(), "-q".into(), "--run-tests".into()],
    };
    if let Some(spans) = &case.spans {
        line.extend(["--spans".into(), spans.clone().into()]);
    }
    line.extend_from_slice(options);
    line.push("--".into());
    match case.kind {
        Input::Capture => line.push(script.into()),
        Input::Recording => line.extend([case.input.clone().into(), script.into()]),
        Input::Tests => line.push(case.input.clone().into()),
    }
    line.extend_from_slice(&case.args);
    line
}

fn run_case(script: &Path, case: &Case, args: &Test, runs: &mut Runs) -> Result<Outcome, cases::Failed> {
    let ran = runs.weftrace(&command(script, case, &[]));
    let ran = ran.map_err(|error| format!("weftrace could not be started: {error}"))?;
    let name = case.input.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // A case that has arguments alone runs on the input of another.
    let name = if name.contains(&format!(".{}.", case.variant)) || case.variant.is_empty() {
        name
    } else {
        format!("{name} ({})", case.variant)
    };
    let verdict = match &ran.ended {
        Ended::Code(code) if ran_well(*code, &ran) => compare(case, &ran, args.bless)?,
        Ended::Code(3) if case.kind == Input::Tests && !may_test() => Verdict::Skipped(first_line(&ran.err)),
        Ended::Code(_) if case.kind == Input::Tests && ran.err.is_empty() => Verdict::Failed(text(&ran.out)),
        Ended::Code(code) => Verdict::Failed(format!("exit code {code}\n{}", text(&ran.err))),
        Ended::Otherwise(why) => Verdict::Failed(format!("{why}\n{}", text(&ran.err))),
    };
    Ok(Outcome { name, verdict, took: ran.took })
}

/// Whether this process may run `test:` blocks; one that the kernel takes none of is no excuse.
fn may_test() -> bool {
    let needed = [Capability::Bpf, Capability::Perfmon].map(Capability::here);
    CapSet::effective().lacks(&needed).is_none() && !in_user_namespace()
}

/// It ran to its end; with alerts, of which the exit code tells. A script that exits with that number itself told none.
fn ran_well(code: i32, ran: &Ran) -> bool {
    code == ExitStatus::Ok.code() || code == ExitStatus::Alert.code() && said(ran).len() > ran.out.len()
}

/// What a case is held to: its output, and below it the alerts that it told beside.
fn said(ran: &Ran) -> Vec<u8> {
    let mut all = ran.out.clone();
    let alert = |line: &&str| {
        ["  ALERT  ", "  RESOLVED  "].iter().any(|word| line.get(9..).is_some_and(|l| l.starts_with(word)))
    };
    for line in text(&ran.err).lines().filter(alert) {
        all.extend_from_slice(line.as_bytes());
        all.push(b'\n');
    }
    all
}

fn compare(case: &Case, ran: &Ran, bless: bool) -> Result<Verdict, cases::Failed> {
    let said = said(ran);
    let failed = |error: std::io::Error| format!("{}: {error}", case.expect.display());
    let expected = match fs::read(&case.expect) {
        Ok(expected) => Some(expected),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    if expected.as_ref() == Some(&said) {
        return Ok(Verdict::Passed);
    }
    // Tests judge themselves; what else they print is compared.
    let only_tests = case.kind == Input::Tests && text(&said).lines().all(|line| line.starts_with("ok "));
    if expected.is_none() && only_tests {
        return Ok(Verdict::Passed);
    }
    if bless {
        fs::write(&case.expect, &said).map_err(failed)?;
        return Ok(Verdict::Blessed);
    }
    let file = case.expect.display().to_string();
    let Some(expected) = expected else {
        return Ok(Verdict::Failed(format!("{file} is not there: weftrace test --bless writes it\n{}", text(&said))));
    };
    let (expected, printed) = (String::from_utf8_lossy(&expected), String::from_utf8_lossy(&said));
    if expected == printed {
        return Ok(Verdict::Failed(format!("{file}: other bytes that are no text")));
    }
    let diff = TextDiff::from_lines(expected.as_ref(), printed.as_ref());
    Ok(Verdict::Failed(
        diff.unified_diff().context_radius(2).header(&file, "printed").to_string().trim_end().to_owned(),
    ))
}

/// Runs a case with counts in the script's blocks.
fn count(script: &Path, case: &Case, folder: &Folder, runs: &mut Runs) -> Result<Coverage, String> {
    let file = folder.0.join("counts");
    let _ = fs::remove_file(&file);
    let options = [OsString::from("--coverage"), file.clone().into()];
    let ran = runs.weftrace(&command(script, case, &options)).map_err(|error| error.to_string())?;
    match Coverage::read(&file) {
        Some(counts) if matches!(ran.ended, Ended::Code(_)) => Ok(counts),
        _ => Err(first_line(&ran.err)),
    }
}

/// The first of what a run says about itself.
fn first_line(err: &[u8]) -> String {
    let said = text(err);
    let line = said.lines().find(|line| !line.is_empty()).unwrap_or("nothing was said");
    line.trim_start_matches("error: ").to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

/// A folder that only its owner sees, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let path = std::env::temp_dir().join(format!("weftrace-test-{}-{now}", std::process::id()));
        // Refused if somebody made it before.
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map(|()| Self(path.clone())).map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
