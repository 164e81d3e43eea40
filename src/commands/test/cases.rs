//! Which tests there are: what lies beside a script, by its name.
//!
//! `NAME[.CASE].SUFFIX` belongs to `NAME.probe` (or `NAME.bt`). [`INPUTS`] has the suffixes of what a script is run on; `args` has the
//! arguments of the run, `expect` what it prints, `spans` what applications told while a capture was made. A case with arguments of its own and no input has that of `NAME`.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// What a script is run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// `run --read`
    Capture,
    /// `replay`
    Recording,
    /// A script with `test:` blocks
    Tests,
}

/// Suffix of a fixture → what it is.
pub(super) const INPUTS: &[(&str, Input)] = &[
    ("pcap", Input::Capture),
    ("pcapng", Input::Capture),
    ("pcap.gz", Input::Capture),
    ("pcapng.gz", Input::Capture),
    ("pcap.zst", Input::Capture),
    ("pcapng.zst", Input::Capture),
    ("recording", Input::Recording),
];

/// `NAME.test.probe` is the case of this name: a script with `test:` blocks.
const TESTS: (&str, &str) = ("test", "probe");

/// Endings of scripts' names.
const SCRIPTS: [&str; 2] = ["probe", "bt"];

/// Folders below a folder that is tested, and files in one: more is a mistake.
const MOST_FOLDERS: usize = 10_000;

/// One run.
#[derive(Debug)]
pub(super) struct Case {
    /// `each` of `retransmit.each.pcap`; empty: of the script itself.
    pub(super) variant: String,
    pub(super) input: PathBuf,
    pub(super) kind: Input,
    /// Beside a capture: `--spans`
    pub(super) spans: Option<PathBuf>,
    pub(super) args: Vec<OsString>,
    pub(super) expect: PathBuf,
}

/// A script with its cases.
#[derive(Debug)]
pub(super) struct Tested {
    pub(super) script: PathBuf,
    pub(super) cases: Vec<Case>,
    /// Files that belong to no case, with what is wrong.
    pub(super) wrong: Vec<String>,
}

/// What is wrong with the command line.
pub(super) type Failed = String;

/// What there is to test, each once, by name.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) scripts: BTreeSet<PathBuf>,
    /// Files that would test a script, which isn't there. Captures aren't among them: they lie in other folders too.
    pub(super) orphans: BTreeSet<PathBuf>,
}

/// Scripts of folders, those of a folder within too, and scripts as they are named.
pub(super) fn find(places: &[PathBuf]) -> Result<Places, Failed> {
    let mut found = Places::default();
    for place in places {
        let failed = |error: io::Error| format!("{}: {error}", place.display());
        let meta = fs::metadata(place).map_err(failed)?;
        if meta.is_dir() {
            walk(place, &mut found).map_err(failed)?;
        } else if is_script(place) {
            found.scripts.insert(place.clone());
        } else {
            return Err(no_script(place));
        }
    }
    let Places { scripts, orphans } = &mut found;
    orphans.retain(|path| !tested(path).any(|script| scripts.contains(&script)));
    Ok(found)
}

fn no_script(place: &Path) -> Failed {
    let shown = place.display();
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    if !name.ends_with(&format!(".{}.{}", TESTS.0, TESTS.1)) {
        return format!("{shown} is no script: its name ends in neither .probe nor .bt");
    }
    match tested(place).find(|script| script.exists()) {
        Some(script) => format!("{shown} has the tests of a script: weftrace test {}", script.display()),
        None => format!("{shown} has the tests of a script, which is not there"),
    }
}

/// The scripts that a fixture could belong to, by its name: none, if it is no fixture.
fn tested(fixture: &Path) -> impl Iterator<Item = PathBuf> {
    let name = fixture.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stems = name.match_indices('.').filter(|(at, _)| *at > 0 && split(&name[*at..]).is_some());
    let stems: Vec<String> = stems.map(|(at, _)| name[..at].to_owned()).collect();
    let folder = fixture.parent().unwrap_or(Path::new("")).to_owned();
    stems.into_iter().flat_map(|stem| SCRIPTS.map(|end| format!("{stem}.{end}"))).map(move |name| folder.join(name))
}

fn walk(folder: &Path, found: &mut Places) -> io::Result<()> {
    let (mut open, mut seen) = (vec![folder.to_owned()], 0);
    while let Some(folder) = open.pop() {
        seen += 1;
        if seen > MOST_FOLDERS {
            return Err(io::Error::other(format!("more than {MOST_FOLDERS} folders")));
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            // Not through links: they may lead out of it, or round in it.
            let kind = entry.file_type()?;
            if kind.is_dir() && !hidden {
                open.push(entry.path());
            } else if !kind.is_dir() && is_script(&entry.path()) {
                found.scripts.insert(entry.path());
            } else if !kind.is_dir() && tested(&entry.path()).next().is_some() && !is_capture(&entry.path()) {
                found.orphans.insert(entry.path());
            }
        }
    }
    Ok(())
}

/// By its name; `NAME.test.probe` is a fixture.
fn is_script(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let script =
        SCRIPTS.iter().any(|end| name.strip_suffix(end).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')));
    script && !name.ends_with(&format!(".{}.{}", TESTS.0, TESTS.1))
}

fn is_capture(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    INPUTS.iter().any(|(suffix, kind)| *kind == Input::Capture && name.ends_with(&format!(".{suffix}")))
}

/// Beside one script.
#[derive(Debug, Default)]
struct Found {
    /// One, if all is well.
    inputs: Vec<(PathBuf, Input)>,
    spans: Option<PathBuf>,
    args: Option<PathBuf>,
    expect: Option<PathBuf>,
}

/// The cases of a script. `own_tests`: it has `test:` blocks itself.
pub(super) fn of(script: &Path, own_tests: bool) -> Result<Tested, Failed> {
    let stem = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = script.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    let mut by_case: BTreeMap<String, Found> = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = folder.join(entry.map_err(failed)?.file_name());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((case, suffix)) = name.strip_prefix(&stem).and_then(split) else { continue };
        let found = by_case.entry(case.to_owned()).or_default();
        match suffix {
            "args" => found.args = Some(path),
            "spans" => found.spans = Some(path),
            "expect" => found.expect = Some(path),
            of_tests if of_tests == TESTS.1 => found.inputs.push((path, Input::Tests)),
            input => found.inputs.extend(INPUTS.iter().find(|(s, _)| *s == input).map(|(_, kind)| (path, *kind))),
        }
    }
    if own_tests {
        let found = by_case.entry("self".to_owned()).or_default();
        found.inputs.push((script.to_owned(), Input::Tests));
    }
    assemble(script, &stem, folder, by_case)
}

/// `.each.pcap` → (`each`, `pcap`), `.pcap.gz` → (``, `pcap.gz`). None: nothing of ours.
fn split(rest: &str) -> Option<(&str, &str)> {
    let rest = rest.strip_prefix('.')?;
    if rest.split_once('.') == Some(TESTS) {
        return Some(TESTS);
    }
    let suffixes = INPUTS.iter().map(|(suffix, _)| *suffix).chain(["args", "expect", "spans"]);
    let suffix = suffixes
        .filter(|s| rest == *s || rest.strip_suffix(s).is_some_and(|r| r.ends_with('.')))
        .max_by_key(|s| s.len())?;
    let case = rest.strip_suffix(suffix)?;
    let case = case.strip_suffix('.').unwrap_or(case);
    (!case.contains('.')).then_some((case, suffix))
}

fn assemble(script: &Path, stem: &str, folder: &Path, by_case: BTreeMap<String, Found>) -> Result<Tested, Failed> {
    let mut tested = Tested { script: script.to_owned(), cases: Vec::new(), wrong: Vec::new() };
    let of_all = by_case.get("").map(|found| (found.inputs.clone(), found.spans.clone())).unwrap_or_default();
    for (case, mut found) in by_case {
        let lonely =
            |path: &Path| format!("{} has no fixture: a capture, a recording or {stem}.test.probe", path.display());
        if found.inputs.is_empty() && found.args.is_some() {
            found.inputs.clone_from(&of_all.0);
            found.spans = found.spans.or_else(|| of_all.1.clone());
        }
        if found.inputs.is_empty() {
            tested.wrong.extend(found.expect.iter().chain(&found.args).chain(&found.spans).map(|p| lonely(p)));
            continue;
        }
        if let [(one, _), (other, _), ..] = found.inputs.as_slice() {
            tested.wrong.push(format!("{} and {} are fixtures of one case", one.display(), other.display()));
            continue;
        }
        if let Some(spans) =
            found.spans.as_ref().filter(|_| found.inputs.iter().any(|(_, kind)| *kind != Input::Capture))
        {
            tested.wrong.push(format!("{} is for a case with a capture, and this has none", spans.display()));
            continue;
        }
        let args = found.args.as_deref().map(arguments).transpose()?.unwrap_or_default();
        let dotted = if case.is_empty() { String::new() } else { format!(".{case}") };
        let expect = folder.join(format!("{stem}{dotted}.expect"));
        let Found { mut inputs, spans, .. } = found;
        tested.cases.extend(inputs.pop().map(|(input, kind)| Case { variant: case, input, kind, spans, args, expect }));
    }
    Ok(tested)
}

/// The words of a file, in as many lines as one likes.
fn arguments(path: &Path) -> Result<Vec<OsString>, Failed> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.split_whitespace().map(OsString::from).collect())
}

#[cfg(test)]
#[path = "cases_tests.rs"]
mod tests;
