//! The table: a row for each run, on the terminal and in docs/accuracy.md.

use super::{
    Options, Row,
    judge::Hold,
    plan::{Cause, Mode},
};
use std::{fmt::Write as _, fs, io, path::Path, process::Command};

pub const HEAD: &str =
    "cause              connections  id   requests  joined    wrong  affected  verdict right  no fault  blamed\n";

/// Below this line of docs/accuracy.md nothing is written by hand.
const MARK: &str = "<!-- Below: written by `make accuracy`. -->";

/// The table's head: a row is known by its first three cells.
const COLUMNS: &str = "\
| cause | connections | id | requests | joined | wrong joins | affected | verdict right | blamed falsely | kept | right by cause | date |
|---|---|---|---|---|---|---|---|---|---|---|---|";

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 { "-".into() } else { format!("{:.2} %", part as f64 * 100.0 / whole as f64) }
}

pub fn line(row: &Row) -> String {
    let (name, mode, id) = (row.cause.text(), row.mode.name(), if row.ids { "yes" } else { "no" });
    let t = match &row.outcome {
        Ok(tally) => tally,
        Err(error) => return format!("{name:<18} {mode:<12} {id:<4} FAILED: {error}\n"),
    };
    let mut text = format!(
        "{name:<18} {mode:<12} {id:<4} {:>8}  {:>8}  {:>5}  {:>8}  {:>13}  {:>8}  {:>6}\n",
        t.requests,
        percent(t.joined, t.expected),
        t.wrong,
        t.affected,
        percent(t.right, t.affected),
        t.clean,
        percent(t.blamed + t.unknown, t.clean),
    );
    if t.failed > 0 {
        let _ = writeln!(text, "  {} requests failed", t.failed);
    }
    if t.by_cause.len() > 1 {
        let causes = t.by_cause.iter().map(|(cause, (all, right))| format!("{} {right}/{all}", cause.name()));
        let _ = writeln!(text, "  by cause: {}", causes.collect::<Vec<_>>().join(" · "));
    }
    for lost in row.lost.iter().take(2) {
        let _ = writeln!(text, "  {lost}");
    }
    text
}

/// The same as a row of Markdown, without its first cells.
fn cells(row: &Row, options: &Options, date: &str) -> String {
    let t = match &row.outcome {
        Ok(tally) => tally,
        Err(error) => return format!("failed: {} | | | | | | | | {date}", error.replace(['\n', '|'], " ")),
    };
    let kept = if row.broken(Hold::All).is_empty() { "yes" } else { "**no**" };
    let causes = t.by_cause.iter().filter(|_| t.by_cause.len() > 1);
    let causes: Vec<_> = causes.map(|(cause, (all, right))| format!("{} {right}/{all}", cause.name())).collect();
    format!(
        "{} at {}/s | {} | {} | {} | {} | {} | {kept} | {} | {date}",
        t.requests,
        options.rate,
        percent(t.joined, t.expected),
        t.wrong,
        t.affected,
        percent(t.right, t.affected),
        percent(t.blamed + t.unknown, t.clean),
        causes.join(", "),
    )
}

/// The first cells of a row, which say what was run; where it stands in the table.
fn key(cause: Cause, mode: Mode, ids: bool) -> String {
    format!("| {} | {} | {} | ", cause.text(), mode.name(), if ids { "yes" } else { "no" })
}

fn keys() -> impl Iterator<Item = String> {
    let runs = |ids| Cause::ALL.into_iter().flat_map(move |c| Mode::ALL.into_iter().map(move |m| key(c, m, ids)));
    [false, true].into_iter().flat_map(runs)
}

/// The first line of what a program says.
fn said(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let text = output.map(|o| [o.stdout, o.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("?").trim().to_owned()
}

fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": ?");
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count} × {}", model.trim_start_matches([' ', '\t', ':']))
}

/// What a run was made with.
fn programs(options: &Options) -> String {
    let sdk = "import importlib.metadata as m; print(m.version('opentelemetry-sdk'))";
    format!(
        "The last run: {}; Linux {}; {}; {}; {}; {} with opentelemetry-sdk {}.",
        machine(),
        said(Path::new("uname"), &["-r"]),
        said(&options.weftrace, &["--version"]),
        said(Path::new("go"), &["version"]),
        said(Path::new("nginx"), &["-v"]),
        said(&options.python, &["--version"]),
        said(&options.python, &["-c", sdk]),
    )
}

/// Puts a run's row into the table of a document, in the place of an older one of the same run. What a person wrote above the mark stays.
pub fn merge(path: &Path, options: &Options, row: &Row) -> io::Result<()> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let line =
        key(row.cause, row.mode, row.ids) + &cells(row, options, &said(Path::new("date"), &["-u", "+%F"])) + " |";
    fs::write(path, merged(&old, &programs(options), &line))
}

/// The document with this line in its table.
fn merged(old: &str, programs: &str, line: &str) -> String {
    let (head, table) = old.split_once(MARK).unwrap_or((old, ""));
    let mut text = format!("{}\n\n{MARK}\n\n{programs}\n\n{COLUMNS}\n", head.trim_end());
    for key in keys() {
        let here = |text: &&str| text.starts_with(&key);
        if let Some(row) = Some(line).filter(here).or_else(|| table.lines().find(here)) {
            text.push_str(row);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_the_place_of_its_own_run_only() {
        let row = |cause, ids, cells: &str| key(cause, Mode::Keep, ids) + cells + " |";
        let loss = row(Cause::Loss, false, "12000 at 200/s | 99.00 %");
        let mut text = merged("# Accuracy\n\nBy hand.\n", "The last run: a", &loss);
        let none = row(Cause::None, false, "7");
        text = merged(&text, "The last run: b", &row(Cause::Loss, true, "8"));
        text = merged(&text, "The last run: c", &none);
        let rows = |text: &str| {
            text.lines().skip_while(|l| !l.starts_with("|---")).skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(rows(&text), [none.clone(), loss, row(Cause::Loss, true, "8")]);
        let better = row(Cause::Loss, false, "9");
        text = merged(&text, "The last run: d", &better);
        assert_eq!(rows(&text), [none, better, row(Cause::Loss, true, "8")]);
        assert!(
            text.starts_with("# Accuracy\n\nBy hand.\n\n<!--") && text.contains("run: d") && !text.contains("run: c")
        );
    }
}
